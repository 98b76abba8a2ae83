//! `kill -9` between any two steps of launch and of drain: every one of them, enumerated, none sampled.
//!
//! A first run without a death counts the steps that a fleet's story takes. Then the story is told once for each step and
//! each side of it: the process dies there for good, another one finds the rows and the cloud as they are, and the story
//! must end the same way, with nothing bought twice and nothing terminated while it served.

mod fuse;

use std::sync::Arc;
use std::time::Duration;

use fleet_scaler::clock::{Clock, SystemClock};
use fleet_scaler::domain::ids::OperatorActionId;
use fleet_scaler::entropy::{ChaChaEntropy, Entropy as _};
use fleet_scaler::provider::CloudProvider;
use fleet_scaler::reconcile::Parts;
use fleet_scaler::reconcile::tick::FleetRunner;
use fleet_scaler::store::{OperatorAction, OperatorActionKind, Store};
use futures::StreamExt as _;

use crate::crash::fuse::{Fuse, FusedCloud, FusedStore, Side};
use crate::service::world::{FLEET, PATIENCE, World, fleet, quick_cloud};

/// Stories told side by side: they mostly wait.
const SIDE_BY_SIDE: usize = 12;
/// Far fewer would mean that the story no longer goes through launch and drain.
const STEPS_EXPECTED_MIN: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_dies_between_any_two_steps_is_survived() {
    let steps = story(None).await;
    for step in [
        "decision_commit",
        "call_begin",
        "RunInstances",
        "attempt_resolve",
        "call_end",
        "RegisterTargets",
        "DeregisterTargets",
        "TerminateInstances",
        "host_advance",
        "lease_take",
    ] {
        assert!(steps.contains(&step), "the story has no {step}: {steps:?}");
    }
    assert!(steps.len() >= STEPS_EXPECTED_MIN, "only {} steps: {steps:?}", steps.len());
    let deaths = (0..steps.len()).flat_map(|step| [(step, Side::Before), (step, Side::After)]);
    let told = futures::stream::iter(deaths)
        .map(|death| tokio::spawn(story(Some(death))))
        .buffer_unordered(SIDE_BY_SIDE);
    let failed: Vec<String> =
        told.filter_map(|told| async move { told.err().map(|error| error.to_string()) }).collect().await;
    assert!(
        failed.is_empty(),
        "{} of {} deaths were not survived: {failed:#?}",
        failed.len(),
        steps.len() * 2
    );
    println!("crash matrix: {} steps, {} deaths survived", steps.len(), steps.len() * 2);
}

/// Two hosts, then three by hand, then two again. The first process may die; its successors do not. Gives the steps of
/// the first.
async fn story(death: Option<(usize, Side)>) -> Vec<&'static str> {
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    let fuse = Fuse::new(death);
    let mut process = Process::start(&world, "first", Some(&fuse));
    for (size, ended) in [(None, 0), (Some(3), 0), (Some(2), 1)] {
        if let Some(size) = size {
            ask_for(&world, size).await;
        }
        process = process.until(&world, &fuse, death, size.unwrap_or(2) as usize, ended).await;
    }
    drop(process);
    assert_eq!(world.ever_launched(), 3, "bought more or fewer than was wanted, dying at {death:?}");
    assert_eq!(world.alive(), 2, "dying at {death:?}");
    assert!(!world.terminations().is_empty(), "nobody was let go, dying at {death:?}");
    world.check_promises().await;
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM scaler.launch WHERE state = 'open'")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(open, 0, "an intent is still open, dying at {death:?}");
    fuse.names()
}

async fn ask_for(world: &World, size: u32) {
    let action = OperatorAction {
        id: OperatorActionId(ChaChaEntropy::from_os().uuid()),
        fleet: world.fleet.name.clone(),
        actor: "test".to_owned(),
        reason: "the story".to_owned(),
        kind: OperatorActionKind::SetSize(size),
    };
    world.store.operator_act(&action).await.unwrap();
}

/// One process: a loop that turns until it is dropped, or dies.
struct Process {
    task: tokio::task::JoinHandle<()>,
    generation: u32,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Process {
    fn start(world: &World, replica: &str, fuse: Option<&Arc<Fuse>>) -> Self {
        let parts = world.parts(replica);
        let parts = match fuse {
            None => parts,
            Some(fuse) => Parts {
                store: Arc::new(FusedStore { inner: parts.store, fuse: Arc::clone(fuse) }) as Arc<dyn Store>,
                cloud: Arc::new(FusedCloud { inner: parts.cloud, fuse: Arc::clone(fuse) })
                    as Arc<dyn CloudProvider>,
                ..parts
            },
        };
        Self { task: tokio::spawn(turn(world.runner_of(&parts))), generation: 1 }
    }

    /// Waits until the fleet has settled at a size, with another process in the place of one that dies.
    async fn until(
        mut self,
        world: &World,
        fuse: &Arc<Fuse>,
        death: Option<(usize, Side)>,
        healthy: usize,
        terminated: usize,
    ) -> Self {
        let clock = SystemClock;
        let started = clock.now();
        loop {
            let settled = world.hosts_in("healthy").await == healthy
                && world.hosts_in("terminated").await == terminated
                && world.alive() == healthy;
            if settled {
                return self;
            }
            let waited = (clock.now() - started).to_std().unwrap_or_default();
            assert!(waited < PATIENCE, "not settled at {healthy} after {waited:?}, dying at {death:?}");
            tokio::select! {
                () = fuse.died() => {
                    let generation = self.generation + 1;
                    drop(self);
                    self = Self::start(world, &format!("successor-{generation}"), None);
                    self.generation = generation;
                }
                () = clock.sleep(Duration::from_millis(50)) => {}
            }
        }
    }
}

async fn turn(mut runner: FleetRunner) {
    loop {
        // What goes wrong in a tick is what the story is about: the next one starts from the rows.
        drop(runner.tick().await);
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}
