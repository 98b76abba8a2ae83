//! The program itself, killed and told to stop: real processes, the real SDK over HTTP, real Postgres.
//!
//! The crash matrix enumerates every step inside a process. Here the deaths are those of the operating system: at each
//! mutating call of the cloud, before its work and after it with the answer on its way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet_scaler::clock::{Clock as _, SystemClock};
use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::Fault;
use fleet_scaler::provider::simulated::model::journal::{Event, HoldPoint};
use fleet_scaler::store::OperatorActionKind;

use crate::cli::program::{Running, program};
use crate::cli::web;
use crate::service::drains::operator;
use crate::service::world::{FLEET, OWNER, PATIENCE, World, fleet, quick_cloud};

/// A world whose cloud is spoken to over HTTP, and a folder that points the program at it.
struct Stage {
    world: Arc<World>,
    dir: tempfile::TempDir,
}

impl Stage {
    async fn new(toml: &str) -> Self {
        let options = quick_cloud().with_listen("127.0.0.1:0".parse().unwrap());
        let world = World::new(fleet(toml), options).await;
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("fleets")).unwrap();
        let service = format!(
            "[database]\nurl = \"postgres://set-by-the-environment\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [service]\nowner = \"{OWNER}\"\nlease = \"2s\"\nshutdown_grace = \"10s\"\n\
             [provider.aws]\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\ncall_timeout = \"5s\"\n",
            world.endpoint()
        );
        std::fs::write(dir.path().join("fleet-scaler.toml"), service).unwrap();
        std::fs::write(dir.path().join("fleets/web.toml"), toml).unwrap();
        Self { world: Arc::new(world), dir }
    }

    fn serve(&self) -> Running {
        self.serve_at().0
    }

    /// And where its pages are.
    fn serve_at(&self) -> (Running, SocketAddr) {
        let mut command = program();
        command
            .args(["serve", "--no-migrate", "--config"])
            .arg(self.dir.path())
            .env("DATABASE_URL", self.world.database_url())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        let mut running = Running::start(&mut command);
        let line = running.says("listening");
        let address = line.trim().rsplit("address=").next().unwrap().parse().unwrap();
        (running, address)
    }

    async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn(Arc<World>) -> F) {
        let clock = SystemClock;
        let started = clock.now();
        while !holds(Arc::clone(&self.world)).await {
            let waited = (clock.now() - started).to_std().unwrap_or_default();
            assert!(waited < PATIENCE, "{what}: not after {waited:?}: {:#?}", self.world.reasons().await);
            clock.sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_settled(&self, size: usize) {
        let what = format!("settled at {size}");
        self.until(
            &what,
            |world| async move { world.hosts_in("healthy").await == size && world.alive() == size },
        )
        .await;
    }

    /// Holds the next call of one operation on one side of its work.
    fn hold(&self, op: Op, when: HoldPoint) -> u64 {
        self.world.fault(Fault::Hold { op: Some(op), when, count: Some(1) })
    }

    async fn until_held(&self, op: Op) {
        self.until("the call is held", |world| async move {
            world.cloud.with_model(|model| {
                let mut entries = model.journal().since(0);
                entries.any(|entry| matches!(&entry.event, Event::Held { op: held, .. } if *held == op))
            })
        })
        .await;
    }
}

/// Kills the program while this call is out, lets the call go on or not, starts another, and expects the story to end as
/// if nothing had happened.
async fn killed_at(op: Op, when: HoldPoint) {
    let stage = Stage::new(FLEET).await;
    let on_the_way_in = matches!(op, Op::RunInstances | Op::RegisterTargets);
    let held = on_the_way_in.then(|| stage.hold(op, when));
    let mut first = stage.serve();
    let held = if let Some(held) = held {
        held
    } else {
        stage.until_settled(2).await;
        operator(&stage.world, OperatorActionKind::SetSize(3)).await;
        stage.until_settled(3).await;
        let held = stage.hold(op, when);
        operator(&stage.world, OperatorActionKind::SetSize(2)).await;
        held
    };
    stage.until_held(op).await;
    first.signal("KILL");
    first.wait();
    stage.world.cloud.clear_fault(held).unwrap();
    let _second = stage.serve();
    stage.until_settled(2).await;
    if !on_the_way_in {
        stage
            .until("one host terminated", |world| async move { world.hosts_in("terminated").await == 1 })
            .await;
    }
    let bought = if on_the_way_in { 2 } else { 3 };
    assert_eq!(stage.world.ever_launched(), bought, "killed at {op:?}, {when:?} its work");
    stage.world.check_promises().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_call_is_survived() {
    let ops = [Op::RunInstances, Op::RegisterTargets, Op::DeregisterTargets, Op::TerminateInstances];
    let deaths = ops.into_iter().flat_map(|op| [(op, HoldPoint::Before), (op, HoldPoint::After)]);
    let stories = deaths.map(|(op, when)| tokio::spawn(killed_at(op, when)));
    for story in futures::future::join_all(stories).await {
        story.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_in_the_middle_of_a_drain_gives_the_lease_back_and_the_next_process_finishes() {
    let stage = Stage::new(FLEET).await;
    let mut first = stage.serve();
    stage.until_settled(2).await;
    operator(&stage.world, OperatorActionKind::SetSize(3)).await;
    stage.until_settled(3).await;
    stage.world.fault(Fault::StuckDraining { target_group: None });
    operator(&stage.world, OperatorActionKind::SetSize(2)).await;
    stage
        .until("a host is deregistered", |world| async move { world.hosts_in("deregistered").await == 1 })
        .await;
    first.signal("TERM");
    let status = first.wait();
    assert_eq!(status.code(), Some(0), "a stop is no failure");
    let held: i64 =
        sqlx::query_scalar("SELECT count(*) FROM scaler.lease WHERE expires_at > clock_timestamp()")
            .fetch_one(&stage.world.pool)
            .await
            .unwrap();
    assert_eq!(held, 0, "the lease was given back");
    assert!(stage.world.terminations().is_empty(), "a stop is no reason to hurry");
    stage.world.cloud.clear_faults();
    let _second = stage.serve();
    stage.until("it goes", |world| async move { world.hosts_in("terminated").await == 1 }).await;
    stage.world.check_promises().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_vanishes_pauses_its_fleet_and_a_broken_one_changes_nothing() {
    let stage = Stage::new(FLEET).await;
    let first = stage.serve();
    stage.until_settled(2).await;
    let file = stage.dir.path().join("fleets/web.toml");
    std::fs::write(&file, FLEET.replace("min = 2", "min = \"two\"")).unwrap();
    first.signal("HUP");
    stage
        .until("the refusal is recorded", |world| async move {
            config_outcomes(&world).await.contains(&"refused".into())
        })
        .await;
    std::fs::write(&file, FLEET.replace("min = 2", "min = 3")).unwrap();
    stage.until_settled(3).await;
    std::fs::remove_file(&file).unwrap();
    stage
        .until("the loss is recorded", |world| async move {
            config_outcomes(&world).await.contains(&"vanished".into())
        })
        .await;
    let before = stage.world.mutations();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(stage.world.mutations(), before, "nobody acts for a fleet without a file");
    assert_eq!(stage.world.alive(), 3, "and nothing is terminated");
    first.signal("KILL");
    let (_second, address) = stage.serve_at();
    let started = Instant::now();
    while !web::get(address, "/metrics").body.contains("fleet_scaler_fleet_configured{fleet=\"web\"} 0") {
        assert!(started.elapsed() < PATIENCE, "a process that never had the file does not tell of the fleet");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn config_outcomes(world: &World) -> Vec<String> {
    sqlx::query_scalar("SELECT outcome::text FROM audit.config_changes").fetch_all(&world.pool).await.unwrap()
}
