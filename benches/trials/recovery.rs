//! How the program comes back: killed at random moments while its fleet scales, and started again at once.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::figures::{circumstances, millis, number, percentile, report};
use crate::ground::{Ground, MAX};

/// The shortest that a configuration may say: a dead holder's lease is waited for.
const LEASE: Duration = Duration::from_secs(1);
/// A process lives no longer than this after its first decision.
const LIFE_MAX: Duration = Duration::from_secs(2);
/// Nothing takes longer on a machine that is alive.
const PATIENCE: Duration = Duration::from_mins(1);
/// One death in so many comes at any moment, the start included, and not only after a decision.
const EARLY_ONE_IN: usize = 4;
/// Before one start in so many a person asks for another size, so that there is something to buy or to drain.
const ASKED_ONE_IN: usize = 2;
/// How often the promises are checked, in deaths.
const CHECK_EVERY: u64 = 10;

/// How long a process took to its first decision.
struct Return {
    /// From its start.
    whole: Duration,
    /// From then, or from the end of its predecessor's lease if that was later.
    after_lease: Duration,
}

pub(crate) async fn run() -> Result<(), String> {
    let kills = number("KILLS", 200);
    let ground = Ground::new(1, LEASE).await;
    println!("recovery: {kills} kills, seed {}", ground.seed);
    let started = Instant::now();
    let mut returns = Vec::new();
    let mut early = 0;
    for kill in 1..=kills {
        if ground.below(ASKED_ONE_IN) == 0 {
            ground.site.set_size("f0", u32::try_from(1 + ground.below(MAX)).unwrap()).await;
        }
        if ground.below(EARLY_ONE_IN) == 0 {
            early += 1;
            let mut process = ground.site.spawn(&format!("early{kill}"));
            tokio::time::sleep(ground.span(LIFE_MAX)).await;
            process.0.kill().unwrap();
            process.wait();
        } else {
            returns.push(live_and_die(&ground, kill).await?);
        }
        if kill % CHECK_EVERY == 0 {
            ground.check().await?;
            println!(
                "{kill} of {kills} kills after {} s; {} machines bought",
                started.elapsed().as_secs(),
                ground.site.world.ever_launched()
            );
        }
    }
    conclude(&ground, kills, early, &returns, started.elapsed()).await
}

/// One process, from its start to its first decision and on to a random moment after it.
async fn live_and_die(ground: &Ground, kill: u64) -> Result<Return, String> {
    let pool = &ground.site.world.pool;
    let (start, lease_over): (DateTime<Utc>, DateTime<Utc>) = sqlx::query_as(
        "SELECT now, greatest(now, (SELECT max(expires_at) FROM scaler.lease))
         FROM (SELECT clock_timestamp() AS now) AS moment",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    let name = format!("r{kill}");
    let mut process = ground.site.spawn(&name);
    let begun = Instant::now();
    let decided = loop {
        let first: Option<DateTime<Utc>> = sqlx::query_scalar(
            "SELECT min(at) FROM scaler.decision WHERE replica LIKE $1 || '-%' AND at > $2",
        )
        .bind(&name)
        .bind(start)
        .fetch_one(pool)
        .await
        .unwrap();
        if let Some(at) = first {
            break at;
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("process {kill} decided nothing within {PATIENCE:?}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    tokio::time::sleep(ground.span(LIFE_MAX)).await;
    process.0.kill().unwrap();
    process.wait();
    let since = |moment: DateTime<Utc>| (decided - moment).to_std().unwrap_or_default();
    Ok(Return { whole: since(start), after_lease: since(lease_over) })
}

async fn conclude(
    ground: &Ground,
    kills: u64,
    early: u64,
    returns: &[Return],
    took: Duration,
) -> Result<(), String> {
    let _last = ground.site.serve("last");
    ground
        .site
        .until("nothing is in doubt", || async {
            ground.count("SELECT count(*) FROM audit.cloud_calls WHERE outcome = 'pending'").await == 0
                && ground.count("SELECT count(*) FROM scaler.launch WHERE state = 'open'").await == 0
        })
        .await;
    ground.check().await?;
    ground.check_audit().await?;
    let sorted = |of: fn(&Return) -> Duration| {
        let mut spans: Vec<_> = returns.iter().map(of).collect();
        spans.sort();
        spans
    };
    let (whole, after) = (sorted(|one| one.whole), sorted(|one| one.after_lease));
    let row = |what: &str, spans: &[Duration]| {
        let at = |percent| millis(percentile(spans, percent));
        format!("| {what} | {} | {} | {} |\n", at(50), at(99), at(100))
    };
    let changes = "SELECT count(*) FROM audit.decisions WHERE action IN ('scale_out', 'scale_in')";
    let doubts = "SELECT count(*) FROM audit.cloud_calls WHERE outcome = 'unknown'";
    report(
        "recovery.md",
        &format!(
            "# Recovery after `kill -9`\n\n{}.\n\nThe program was killed {kills} times at random moments while its \
             fleet followed a load that went up and down, and\nsizes that were set by hand. It was started again at \
             once. {early} of these deaths came at any moment, the start\nincluded, the others up to {} after the first \
             decision. The cloud is the simulated one, spoken to over HTTP.\nA lease lasts {} here. `make recovery` \
             makes this page anew.\n\n\
             | time to the first decision committed | median | 99 % | longest |\n|---|---|---|---|\n{}{}\n\
             A successor waits for the lease of the dead, which is why the first line depends on the lease, and the \
             second\ndoes not.\n\n\
             | what was checked | |\n|---|---|\n| machines bought | {} |\n| launches with more machines than their \
             count | 0 |\n| machines terminated that a target group still had | 0 |\n| cooldowns broken, of {} changes \
             of size by the load | 0 |\n| rows written under an epoch that was over | 0 |\n| calls in doubt that a \
             successor settled | {} |\n| audit chain | whole |\n\nIt took {} s.\n",
            circumstances(),
            millis(LIFE_MAX),
            millis(LEASE),
            row("from the start of the process", &whole),
            row("from then, or from the end of the dead one's lease", &after),
            ground.site.world.ever_launched(),
            ground.count(changes).await,
            ground.count(doubts).await,
            took.as_secs(),
        ),
    );
    Ok(())
}
