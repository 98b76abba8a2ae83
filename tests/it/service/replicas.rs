//! Two and three replicas over one database: how they share the fleets, and what becomes of the fleets of one that dies,
//! sleeps through its lease, or loses its database in mid-sentence.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::journal::HoldPoint;

use crate::cli::program::Running;
use crate::service::proxy::Proxy;
use crate::service::site::{Hold, Site};
use crate::service::world::{distinct, quick_cloud};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleets_are_spread_as_replicas_come_and_go() {
    let site = Site::new(6, quick_cloud()).await;
    let _first = site.serve("a");
    site.until_spread(&[("a", 6)]).await;
    let mut second = site.serve("b");
    site.settled_as(&[("a", 3), ("b", 3)]).await;
    let mut third = site.serve("c");
    site.settled_as(&[("a", 2), ("b", 2), ("c", 2)]).await;
    third.signal("TERM");
    assert_eq!(third.wait().code(), Some(0));
    site.until_spread(&[("a", 3), ("b", 3)]).await;
    second.signal("KILL");
    second.wait();
    site.until_spread(&[("a", 6)]).await;
    site.until_all_serve().await;
    assert_eq!(site.world.ever_launched(), 6, "a fleet that moves buys nothing for it");
    site.world.check_promises().await;
    site.check_epochs().await;
}

/// Two replicas with three fleets each, all served, and the one of them that holds `f0`.
struct Pair {
    site: Arc<Site>,
    holder: Running,
    other: Running,
    before: BTreeMap<String, Hold>,
}

impl Pair {
    async fn new() -> Self {
        let site = Arc::new(Site::new(6, quick_cloud()).await);
        let (a, b) = (site.serve("a"), site.serve("b"));
        site.until_spread(&[("a", 3), ("b", 3)]).await;
        site.until_all_serve().await;
        let before = site.holds().await;
        let (holder, other) = if before["f0"].holder.starts_with("a-") { (a, b) } else { (b, a) };
        Self { site, holder, other, before }
    }

    /// Those that the holder of `f0` had.
    fn lost(&self) -> Vec<String> {
        let holder = &self.before["f0"].holder;
        self.before
            .iter()
            .filter(|(_, hold)| hold.holder == *holder)
            .map(|(fleet, _)| fleet.clone())
            .collect()
    }

    /// Waits until all of them are somebody else's, under a higher epoch.
    async fn until_taken_over(&self) {
        for fleet in self.lost() {
            let old = &self.before[&fleet];
            self.site
                .until(&format!("{fleet} is taken over"), || async {
                    let now = &self.site.holds().await[&fleet];
                    now.holder != old.holder && now.epoch > old.epoch && now.live
                })
                .await;
        }
    }

    /// The launch of `f0` that was in doubt was asked for again, with the same bytes, and by nobody given up.
    async fn check_replayed(&self) {
        let calls: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT client_token, zone, epoch FROM audit.cloud_calls c
             WHERE op = 'RunInstances' AND fleet = 'f0' AND launch_id =
                 (SELECT id FROM scaler.launch WHERE fleet = 'f0' ORDER BY created_at DESC LIMIT 1)",
        )
        .fetch_all(&self.site.world.pool)
        .await
        .unwrap();
        assert!(distinct(calls.iter().map(|(.., epoch)| epoch)) >= 2, "asked under both epochs: {calls:?}");
        assert_eq!(
            distinct(calls.iter().map(|(token, zone, _)| (token, zone))),
            1,
            "the same bytes: {calls:?}"
        );
        let abandoned: i64 =
            sqlx::query_scalar("SELECT count(*) FROM scaler.launch WHERE state <> 'fulfilled'")
                .fetch_one(&self.site.world.pool)
                .await
                .unwrap();
        assert_eq!(abandoned, 0, "what is in doubt is never given up");
    }
}

async fn killed_while_a_launch_is_out(when: HoldPoint) {
    let mut pair = Pair::new().await;
    let hold = pair.site.hold(Op::RunInstances, when);
    pair.site.set_size("f0", 2).await;
    pair.site.until_held(Op::RunInstances).await;
    pair.holder.signal("KILL");
    pair.holder.wait();
    pair.until_taken_over().await;
    pair.site.world.cloud.clear_fault(hold).unwrap();
    pair.site.until_size("f0", 2).await;
    pair.check_replayed().await;
    assert_eq!(pair.site.world.ever_launched(), 7, "killed {when:?} the launch");
    pair.site.world.check_promises().await;
    pair.site.check_epochs().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_replicas_fleets_and_launches_are_taken_over() {
    killed_while_a_launch_is_out(HoldPoint::After).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_launch_that_was_still_on_its_way_when_its_sender_died_is_taken_over() {
    killed_while_a_launch_is_out(HoldPoint::Before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_sleeps_through_its_lease_does_nothing_under_its_old_epoch() {
    let pair = Pair::new().await;
    let hold = pair.site.hold(Op::RunInstances, HoldPoint::Before);
    pair.site.set_size("f0", 2).await;
    pair.site.until_held(Op::RunInstances).await;
    pair.holder.signal("STOP");
    pair.until_taken_over().await;
    pair.site.set_size("f1", 2).await;
    // The call that went out before the sleep arrives only now, with its successor's beside it.
    pair.site.world.cloud.clear_fault(hold).unwrap();
    pair.site.until_size("f0", 2).await;
    pair.site.until_size("f1", 2).await;
    pair.holder.signal("CONT");
    pair.site.until_spread(&[("a", 3), ("b", 3)]).await;
    pair.site.set_size("f0", 1).await;
    pair.site.until_size("f0", 1).await;
    assert_eq!(pair.site.world.ever_launched(), 8, "nothing was bought twice");
    pair.check_replayed().await;
    pair.site.world.check_promises().await;
    pair.site.check_epochs().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_alone_with_a_sleeper_serves_everything() {
    let pair = Pair::new().await;
    pair.other.signal("STOP");
    let awake = if pair.before["f0"].holder.starts_with("a-") { "a" } else { "b" };
    pair.site.until_spread(&[(awake, 6)]).await;
    pair.other.signal("CONT");
    pair.site.until_spread(&[("a", 3), ("b", 3)]).await;
    pair.site.check_epochs().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleets_that_a_counted_replica_never_takes_are_taken_all_the_same() {
    let site = Site::new(6, quick_cloud()).await;
    // It lives, as far as anybody can tell, and does nothing.
    sqlx::query(
        "INSERT INTO scaler.replica (name, seen_at, expires_at)
         SELECT 'ghost', now, now + interval '1 hour' FROM (SELECT clock_timestamp() AS now) AS moment",
    )
    .execute(&site.world.pool)
    .await
    .unwrap();
    let _replica = site.serve("a");
    site.until_spread(&[("a", 3)]).await;
    site.until_spread(&[("a", 6)]).await;
    site.until_all_serve().await;
    let taken: i64 = sqlx::query_scalar("SELECT sum(epoch)::bigint FROM scaler.lease")
        .fetch_one(&site.world.pool)
        .await
        .unwrap();
    assert_eq!(taken, 6, "and kept, not passed to and fro");
    site.world.check_promises().await;
}

/// A fleet that grows and shrinks while something is done to its replica's way to the database.
async fn disturbed(site: &Site, mut disturb: impl AsyncFnMut()) {
    for size in [3, 1, 4, 2] {
        site.set_size("f0", size).await;
        site.set_size("f1", size).await;
        disturb().await;
        site.until_size("f0", i64::from(size)).await;
        disturb().await;
        site.until_size("f1", i64::from(size)).await;
    }
    // Four each at the most at once; grown by two and by three after the first, unless a drain could be taken back.
    let bought = site.world.ever_launched();
    assert!((8..=12).contains(&bought), "{bought} machines were bought");
    site.world.check_promises().await;
    site.check_epochs().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_the_database_ends_are_made_anew() {
    let site = Site::new(2, quick_cloud()).await;
    let _replica = site.serve("a");
    site.until_all_serve().await;
    disturbed(&site, async || {
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = 'fleet-scaler' AND datname = current_database() AND pid <> pg_backend_pid()",
        )
        .execute(&site.world.pool)
        .await
        .unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_cuts_or_swallows_the_answer_to_a_commit_buys_nothing_twice() {
    let site = Site::new(2, quick_cloud()).await;
    let proxy = Proxy::before(site.world.database_url()).await;
    let _replica = site.serve_over("a", proxy.url());
    site.until_all_serve().await;
    disturbed(&site, async || {
        proxy.cut();
        proxy.swallow(3);
    })
    .await;
    assert!(proxy.swallowed() >= 12, "only {} answers were swallowed", proxy.swallowed());
}
