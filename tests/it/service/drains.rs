//! Letting hosts go: named, oldest first, deregistered and drained before they are terminated.

use std::sync::Arc;
use std::time::Duration;

use fleet_scaler::domain::ids::{FleetName, OperatorActionId, TargetGroupArn};
use fleet_scaler::entropy::{ChaChaEntropy, Entropy as _};
use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::{Death, Fault};
use fleet_scaler::provider::simulated::model::journal::Verdict;
use fleet_scaler::provider::simulated::options::DEFAULT_TARGET_GROUP;
use fleet_scaler::reconcile::tick::FleetRunner;
use fleet_scaler::store::{Direction, OperatorAction, OperatorActionKind};

use crate::service::world::{FLEET, World, fleet, quick_cloud, turn_until};

pub(crate) async fn operator(world: &World, kind: OperatorActionKind) {
    act(world, &world.fleet.name, kind).await;
}

pub(crate) async fn act(world: &World, fleet: &FleetName, kind: OperatorActionKind) {
    let action = OperatorAction {
        id: OperatorActionId(ChaChaEntropy::from_os().uuid()),
        fleet: fleet.clone(),
        actor: "test".to_owned(),
        reason: "a test".to_owned(),
        kind,
    };
    world.store.operator_act(&action).await.unwrap();
}

async fn grown(
    options: fleet_scaler::provider::simulated::options::CloudOptions,
    size: u32,
) -> (World, FleetRunner) {
    let world = World::new(fleet(FLEET), options).await;
    let mut runner = world.runner("a");
    turn_until(&mut runner, "the minimum", || async { world.hosts_in("healthy").await == 2 }).await;
    operator(&world, OperatorActionKind::SetSize(size)).await;
    let size = size as usize;
    turn_until(&mut runner, "the size asked for", || async { world.hosts_in("healthy").await == size }).await;
    (world, runner)
}

#[tokio::test]
async fn the_oldest_goes_first_and_only_after_it_was_drained() {
    let (world, mut runner) = grown(quick_cloud(), 4).await;
    let mut by_age: Vec<_> = world.cloud.with_model(|model| {
        model.instances().map(|instance| (instance.launched_at, instance.id.clone())).collect()
    });
    by_age.sort();
    operator(&world, OperatorActionKind::SetSize(3)).await;
    turn_until(&mut runner, "one host terminated", || async { world.hosts_in("terminated").await == 1 })
        .await;
    let terminations = world.terminations();
    assert_eq!(terminations.len(), 1);
    assert_eq!(terminations[0].instance, by_age[0].1, "the oldest went");
    assert_eq!(terminations[0].verdict, Verdict::Drained);
    world.check_promises().await;
}

#[tokio::test]
async fn a_drain_that_sticks_ends_at_its_deadline() {
    let toml = FLEET.replace("drain_timeout = \"20s\"", "drain_timeout = \"2s\"");
    let world = World::new(fleet(&toml), quick_cloud()).await;
    let mut runner = world.runner("a");
    operator(&world, OperatorActionKind::SetSize(3)).await;
    turn_until(&mut runner, "three hosts", || async { world.hosts_in("healthy").await == 3 }).await;
    world.fault(Fault::StuckDraining { target_group: None });
    operator(&world, OperatorActionKind::SetSize(2)).await;
    turn_until(&mut runner, "one host terminated", || async { world.hosts_in("terminated").await == 1 })
        .await;
    assert_eq!(world.terminations()[0].verdict, Verdict::StillDraining);
    world.check_promises().await;
}

#[tokio::test]
async fn a_protected_host_does_not_hold_up_the_others() {
    let (world, mut runner) = grown(quick_cloud(), 5).await;
    let mut by_age: Vec<_> = world.cloud.with_model(|model| {
        model.instances().map(|instance| (instance.launched_at, instance.id.clone())).collect()
    });
    by_age.sort();
    world.fault(Fault::Protect { instance: by_age[0].1.clone() });
    operator(&world, OperatorActionKind::SetSize(2)).await;
    turn_until(&mut runner, "the others are gone", || async { world.hosts_in("terminated").await == 2 })
        .await;
    assert_eq!(world.hosts_in("deregistered").await, 1, "the protected one waits alone");
    assert!(world.calls(Op::TerminateInstances).len() < 12, "it is asked again with backoff, not every tick");
    world.check_promises().await;
}

#[tokio::test]
async fn a_group_that_is_gone_is_not_taken_for_drained() {
    let toml = FLEET.replace("drain_timeout = \"20s\"", "drain_timeout = \"8s\"");
    let world = World::new(fleet(&toml), quick_cloud()).await;
    let mut runner = world.runner("a");
    operator(&world, OperatorActionKind::SetSize(3)).await;
    turn_until(&mut runner, "three hosts", || async { world.hosts_in("healthy").await == 3 }).await;
    operator(&world, OperatorActionKind::SetSize(2)).await;
    turn_until(&mut runner, "a host is deregistered", || async { world.hosts_in("deregistered").await == 1 })
        .await;
    world.fault(Fault::DeleteTargetGroup { target_group: TargetGroupArn::new(DEFAULT_TARGET_GROUP) });
    for _ in 0..20 {
        runner.tick().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(world.terminations().is_empty(), "it waits for its deadline");
    turn_until(&mut runner, "the deadline", || async { world.hosts_in("deregistered").await == 0 }).await;
    assert_eq!(world.terminations().len(), 1, "and nobody else went with it");
}

#[tokio::test]
async fn a_pause_in_the_middle_of_a_drain_holds_the_termination() {
    let (world, mut runner) = grown(quick_cloud(), 3).await;
    operator(&world, OperatorActionKind::SetSize(2)).await;
    turn_until(&mut runner, "a host is on its way out", || async {
        world.hosts_in("draining").await + world.hosts_in("deregistered").await == 1
    })
    .await;
    operator(&world, OperatorActionKind::Pause { direction: Direction::In, span: None }).await;
    for _ in 0..60 {
        runner.tick().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.hosts_in("deregistered").await, 1, "the deregistration is finished");
    assert!(world.terminations().is_empty(), "the termination is held");
    operator(&world, OperatorActionKind::Resume).await;
    turn_until(&mut runner, "it goes", || async { world.hosts_in("terminated").await == 1 }).await;
    world.check_promises().await;
}

#[tokio::test]
async fn in_a_dry_run_nothing_is_asked_of_the_cloud_and_the_history_says_what_would_have_been() {
    let (mut world, runner) = grown(quick_cloud(), 3).await;
    drop(runner);
    let rule = "\n[[rule]]\nname = \"more\"\nwhen = \"hosts.healthy >= 2.0\"\nsustained = \"2 of 2\"\naction = { add = 2 }\n";
    let dry = FLEET.replace("interval =", "mode = \"dry-run\"\ninterval =") + rule;
    world.fleet = Arc::new(fleet(&dry));
    let before = world.mutations();
    let mut runner = world.runner("b");
    turn_until(&mut runner, "the rule would fire", || async { dry_runs(&world, "scale_out").await >= 1 })
        .await;
    let victim = world.cloud.with_model(|model| model.instances().next().unwrap().id.clone());
    world.fault(Fault::KillInstance { instance: victim, how: Death::Terminated });
    turn_until(&mut runner, "the lost host would be replaced", || async { dry_runs(&world, "").await >= 2 })
        .await;
    assert_eq!(world.mutations(), before, "a call was made in a dry run");
    assert_eq!(world.alive(), 2);
}

/// Changes of size that the history shows as dry runs; an empty action means any.
async fn dry_runs(world: &World, action: &str) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM audit.scale_events
         WHERE outcome::text = 'dry_run' AND ($1 = '' OR action::text = $1)",
    )
    .bind(action)
    .fetch_one(&world.pool)
    .await
    .unwrap()
}
