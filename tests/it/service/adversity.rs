//! What a cloud, a database and a machine do on their worse days, one at a time: the fleet comes to its size, nothing is
//! bought twice, nothing goes that serves, and what could not be known was waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use fleet_scaler::clock::{Clock, SystemClock};
use fleet_scaler::config::{self, service::SecretUrl};
use fleet_scaler::domain::ids::{FleetName, InstanceId, Zone};
use fleet_scaler::domain::time::Timestamp;
use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::{Death, Fault};
use fleet_scaler::provider::simulated::model::journal::Verdict;
use fleet_scaler::reconcile::control::Control;
use fleet_scaler::reconcile::driver;
use fleet_scaler::reconcile::health::Health;
use fleet_scaler::reconcile::tick::FleetRunner;
use fleet_scaler::signals::{Harvest, HarvestRequest, SignalSource};
use fleet_scaler::store::OperatorActionKind;
use fleet_scaler::store::postgres::PostgresStore;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::service::drains::operator;
use crate::service::world::{FLEET, OWNER, PATIENCE, World, distinct, fleet, quick_cloud, turn_until};

fn refusal(op: Op, zone: Option<&str>, code: &str) -> Fault {
    Fault::Error {
        op: Some(op),
        zone: zone.map(Zone::new),
        code: code.to_owned(),
        http_status: None,
        message: None,
        count: None,
        probability: None,
    }
}

async fn until_healthy(world: &World, runner: &mut FleetRunner, size: usize) {
    let what = format!("{size} hosts healthy");
    turn_until(runner, &what, || async { world.hosts_in("healthy").await == size && world.alive() == size })
        .await;
}

/// A fleet of one whose first launch did its work and lost its answer.
async fn launch_in_doubt() -> (World, FleetRunner) {
    let world = World::new(fleet(&FLEET.replace("min = 2", "min = 1")), quick_cloud()).await;
    world.fault(Fault::DropReply { op: Some(Op::RunInstances), count: Some(1), probability: None });
    let mut runner = world.runner("a");
    turn_until(&mut runner, "the launch is sent", || async { world.calls(Op::RunInstances).len() == 1 })
        .await;
    (world, runner)
}

#[tokio::test]
async fn a_token_that_mismatches_is_looked_up_and_never_replaced() {
    let (world, mut runner) = launch_in_doubt().await;
    world.fault(refusal(Op::RunInstances, None, "IdempotentParameterMismatch"));
    until_healthy(&world, &mut runner, 1).await;
    assert!(world.calls(Op::RunInstances).len() >= 2, "the same bytes were sent again");
    assert_eq!(distinct(world.tokens()), 1, "one token, in one zone");
    assert_eq!(world.ever_launched(), 1, "what the token had bought was found by its tag");
    world.check_promises().await;
}

#[tokio::test]
async fn a_token_whose_instance_is_dead_ends_its_intent_and_another_one_buys() {
    let (world, mut runner) = launch_in_doubt().await;
    let bought = world.cloud.with_model(|model| model.instances().next().unwrap().id.clone());
    world.fault(Fault::KillInstance { instance: bought, how: Death::Terminated });
    until_healthy(&world, &mut runner, 1).await;
    assert_eq!(world.ever_launched(), 2, "one died before anybody knew of it, one took its place");
    let launches: Vec<(String, i32)> =
        sqlx::query_as("SELECT state::text, launched FROM scaler.launch ORDER BY created_at")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(launches.len(), 2, "a new intent, and not a new token for the old one: {launches:?}");
    world.check_promises().await;
}

#[tokio::test]
async fn hosts_that_the_lists_do_not_show_yet_are_waited_for() {
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    world.fault(Fault::VisibilityLag { ms: 2_500 });
    let mut runner = world.runner("a");
    until_healthy(&world, &mut runner, 2).await;
    assert_eq!(world.ever_launched(), 2, "absence is no loss");
    assert_eq!(world.hosts_in("lost").await, 0);
    world.check_promises().await;
}

#[tokio::test]
async fn hosts_that_stay_pending_go_at_their_deadline_and_are_replaced() {
    let toml = FLEET.replace("boot_timeout = \"60s\"", "boot_timeout = \"2s\"");
    let world = World::new(fleet(&toml), quick_cloud()).await;
    let stuck = world.fault(Fault::SlowBoot { zone: None, ms: 600_000 });
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two hosts are launched", || async { world.ever_launched() == 2 }).await;
    world.cloud.clear_fault(stuck).unwrap();
    until_healthy(&world, &mut runner, 2).await;
    assert_eq!(world.ever_launched(), 4, "each was replaced once");
    world.check_promises().await;
}

#[tokio::test]
async fn a_permission_that_is_missing_stops_one_fleet_and_no_other() {
    let only = |subnet: &str| FLEET.replace("\"subnet-a\", \"subnet-b\", \"subnet-c\"", subnet);
    let mut world = World::new(fleet(&only("\"subnet-a\"")), quick_cloud()).await;
    world.fault(refusal(Op::RunInstances, Some("eu-west-1a"), "UnauthorizedOperation"));
    let mut denied = world.runner("a");
    world.fleet = Arc::new(fleet(&only("\"subnet-b\"").replace("name = \"web\"", "name = \"api\"")));
    let mut allowed = world.runner("a");
    world.turn_for(&mut denied, Duration::from_secs(1)).await;
    until_healthy(&world, &mut allowed, 2).await;
    world.turn_for(&mut denied, Duration::from_secs(2)).await;
    let refused: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit.cloud_calls WHERE fleet = 'web' AND error_code = 'UnauthorizedOperation'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(refused, 3, "the breaker opens after three refusals for good");
    assert_eq!(world.alive(), 2);
    world.check_promises().await;
}

#[tokio::test]
async fn while_the_cloud_cannot_be_read_nothing_is_asked_of_it() {
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    let mut runner = world.runner("a");
    operator(&world, OperatorActionKind::SetSize(3)).await;
    until_healthy(&world, &mut runner, 3).await;
    let blind = world.fault(refusal(Op::DescribeInstances, None, "ExpiredToken"));
    // What was seen a moment ago may be used once more.
    tokio::time::sleep(Duration::from_secs(2)).await;
    operator(&world, OperatorActionKind::SetSize(2)).await;
    let before = world.mutations();
    world.turn_for(&mut runner, Duration::from_secs(3)).await;
    assert_eq!(world.mutations(), before, "nothing is touched unseen");
    let reasons = world.reasons().await;
    assert!(reasons.iter().any(|reason| reason.contains("could not be seen")), "{reasons:#?}");
    world.cloud.clear_fault(blind).unwrap();
    until_healthy(&world, &mut runner, 2).await;
    assert_eq!(world.ever_launched(), 3);
    world.check_promises().await;
}

#[tokio::test]
async fn a_ceiling_below_the_fleet_buys_nothing_and_lets_hosts_go_by_the_ordinary_way() {
    let mut world = World::new(fleet(FLEET), quick_cloud()).await;
    let mut runner = world.runner("a");
    operator(&world, OperatorActionKind::SetSize(5)).await;
    until_healthy(&world, &mut runner, 5).await;
    world.fleet = Arc::new(fleet(&FLEET.replace("max = 8", "max = 3")));
    runner.reconfigure(Arc::clone(&world.fleet));
    until_healthy(&world, &mut runner, 3).await;
    let terminations = world.terminations();
    assert_eq!(terminations.len(), 2);
    assert!(terminations.iter().all(|record| record.verdict == Verdict::Drained), "{terminations:?}");
    assert_eq!(world.ever_launched(), 5);
    world.check_promises().await;
}

/// The system's clock, set forward and back by somebody.
#[derive(Default)]
struct SetClock {
    ahead_s: AtomicI64,
}

#[async_trait]
impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        SystemClock.now() + TimeDelta::seconds(self.ahead_s.load(Ordering::Relaxed))
    }
    fn elapsed(&self) -> Duration {
        SystemClock.elapsed()
    }
    async fn sleep(&self, span: Duration) {
        SystemClock.sleep(span).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_set_by_an_hour_changes_nothing() {
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    let clock = Arc::new(SetClock::default());
    let mut parts = world.parts("a");
    parts.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    let mut runner = world.runner_of(&parts);
    operator(&world, OperatorActionKind::SetSize(3)).await;
    until_healthy(&world, &mut runner, 3).await;
    for ahead in [3_600, -3_600] {
        clock.ahead_s.store(ahead, Ordering::Relaxed);
        let epoch = epoch(&world).await;
        world.turn_for(&mut runner, Duration::from_secs(2)).await;
        assert_eq!(self::epoch(&world).await, epoch, "the lease was kept");
        assert_eq!((world.hosts_in("healthy").await, world.ever_launched()), (3, 3), "{ahead} s");
        assert!(world.terminations().is_empty(), "{ahead} s");
    }
    operator(&world, OperatorActionKind::SetSize(2)).await;
    until_healthy(&world, &mut runner, 2).await;
    assert_eq!(world.terminations()[0].verdict, Verdict::Drained);
    world.check_promises().await;
}

async fn epoch(world: &World) -> i64 {
    sqlx::query_scalar("SELECT epoch FROM scaler.lease WHERE fleet = 'web'")
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_database_that_was_never_there_means_that_nothing_is_asked_of_the_cloud() {
    let mut world = World::new(fleet(FLEET), quick_cloud()).await;
    let nobody = SecretUrl::new("postgres://fleet_scaler@127.0.0.1:1/nowhere");
    world.store = Arc::new(PostgresStore::connect(&nobody, 2).unwrap());
    let mut runner = world.runner("a");
    for _ in 0..3 {
        assert!(runner.tick().await.is_err(), "a tick without a database cannot be well");
    }
    assert_eq!(world.mutations(), 0);
    assert_eq!(world.ever_launched(), 0);
}

/// Panics when it is first asked.
#[derive(Default)]
struct Trap {
    asked: AtomicU32,
}

#[async_trait]
impl SignalSource for Trap {
    async fn harvest(&self, _: &HarvestRequest) -> Harvest {
        assert!(self.asked.fetch_add(1, Ordering::Relaxed) > 0, "a panic that the test asked for");
        Harvest::default()
    }
    fn forget(&self, _: &FleetName, _: &InstanceId) {}
}

#[tokio::test]
async fn a_loop_that_panics_is_started_again() {
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("fleets")).unwrap();
    let service = format!(
        "[database]\nurl = \"postgres://unused\"\n[service]\nowner = \"{OWNER}\"\n[provider.simulated]\nseed = 1\n"
    );
    std::fs::write(dir.path().join("fleet-scaler.toml"), service).unwrap();
    std::fs::write(dir.path().join("fleets/web.toml"), FLEET).unwrap();
    let configuration = config::load(dir.path(), &|_| None).unwrap();
    let trap = Arc::new(Trap::default());
    let mut parts = world.parts("a");
    parts.signals = Arc::clone(&trap) as Arc<dyn SignalSource>;
    let (health, stop) = (Arc::new(Health::new(Arc::new(SystemClock))), CancellationToken::new());
    let (reload, folder) = (Arc::new(Notify::new()), dir.path().to_owned());
    let control = Arc::new(Control::new(configuration));
    let driver = tokio::spawn(driver::run(parts, control, folder, health, reload, stop.clone()));
    let started = SystemClock.elapsed();
    while world.hosts_in("healthy").await < 2 {
        let waited = SystemClock.elapsed().saturating_sub(started);
        assert!(waited < PATIENCE, "the fleet is not looked after");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(trap.asked.load(Ordering::Relaxed) >= 2, "the first loop died, and another one asked");
    stop.cancel();
    driver.await.unwrap();
    world.check_promises().await;
}
