//! `demo`: the whole service at work on a simulated cloud, told as it happens.
//!
//! Nothing in it is played: a private Postgres, the cloud with a match day's load on it, and the service with its own
//! loop against both. What is told is read from the service's tables; at the end the audit views tell it again, and
//! the demo fails if it has not seen what it promises.

#[cfg(not(feature = "aws"))]
mod inside;
mod narrator;
#[cfg(feature = "aws")]
mod process;
mod stage;
mod story;

use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use crate::cli::demo::narrator::{Narrator, Seen};
use crate::cli::demo::stage::Stage;
use crate::cli::output;
use crate::cli::stop::Stop;
use crate::store::{DecisionFilter, Store as _};

#[cfg(not(feature = "aws"))]
use crate::cli::demo::inside::Service;
#[cfg(feature = "aws")]
use crate::cli::demo::process::Service;

/// How often the tables are read.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Decisions that one look takes in; there is at most one a second.
const DECISIONS: u32 = 20;

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How long the match day is played, in minutes
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=60))]
    minutes: u32,
    /// Leave the folder with the configuration and the service's log behind
    #[arg(long)]
    keep: bool,
}

/// Runs it.
pub(crate) async fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let length = Duration::from_mins(u64::from(args.minutes));
    let mut stop = Stop::listen()?;
    let stage = Stage::set(length).await?;
    let result = play(&stage, &mut stop, length).await;
    stage.strike(args.keep).await;
    result
}

async fn play(stage: &Stage, stop: &mut Stop, length: Duration) -> anyhow::Result<()> {
    let mut service = Service::start(stage).await?;
    output::line(&stage.introduction(Service::DOOR))?;
    let mut narrator = Narrator::default();
    let told = tokio::select! {
        told = tell(stage, &mut narrator, length) => told.map(|()| Ended::Over),
        ended = service.ended() => Err(ended),
        () = stop.asked() => Ok(Ended::Early),
    };
    // Whoever read along may be gone; the service is stopped all the same.
    let said = output::line(
        "\nThe service is told to stop: it finishes what is in flight and gives its lease back …",
    );
    let stopped = service.stop().await;
    said?;
    match told? {
        Ended::Early => output::line("Stopped early."),
        Ended::Over => {
            stopped?;
            story::tell(&stage.database).await?;
            narrator.evidence.conclude()
        }
    }
}

enum Ended {
    Over,
    Early,
}

async fn tell(stage: &Stage, narrator: &mut Narrator, length: Duration) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut shortage = stage::Shortage::default();
    while start.elapsed() < length {
        let elapsed = start.elapsed();
        if let Some(news) = shortage.at(stage, elapsed.as_secs_f64() / length.as_secs_f64()) {
            output::line(&narrator.remark(elapsed, "cloud", &news))?;
        }
        // Before the service has migrated, and while it restarts, there is nothing to read.
        if let Ok(seen) = look(stage).await {
            for line in narrator.news(elapsed, &seen) {
                output::line(&line)?;
            }
        }
        if let Some(line) = narrator.waiting(elapsed) {
            output::line(&line)?;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn look(stage: &Stage) -> anyhow::Result<Seen> {
    let store = &stage.store;
    // Hosts first: a host that is seen to move has its decision in the answer that comes after.
    let hosts = store.hosts_recent(&stage.fleet).await?;
    let fleet = Some(stage.fleet.clone());
    let filter = DecisionFilter { fleet, limit: DECISIONS, ..DecisionFilter::default() };
    let mut decisions = store.decisions(&filter).await?;
    decisions.reverse();
    let stored = store.fleet_load(&stage.fleet, LOOK_EVERY, LOOK_EVERY).await?;
    Ok(Seen {
        hosts,
        cooling: stored.pools.into_iter().filter(|pool| pool.is_cooling(stored.now)).collect(),
        decisions,
        rps: stage.rps(),
    })
}
