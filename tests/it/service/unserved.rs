//! Zones to which the balancer sends no traffic: a fault of the configuration, which no other host would mend.

use std::time::Duration;

use fleet_scaler::domain::ids::Zone;
use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::Fault;
use fleet_scaler::reconcile::tick::{FleetRunner, Ticked};
use fleet_scaler::store::OperatorActionKind;

use crate::service::drains::operator;
use crate::service::world::{FLEET, World, fleet, quick_cloud, turn_until};

/// Hosts are given up after six seconds here.
fn impatient() -> String {
    FLEET.replace("min = 2", "min = 3").replace("boot_timeout = \"60s\"", "boot_timeout = \"6s\"")
}

fn switch_off(world: &World, zones: &[&str]) -> Vec<u64> {
    zones.iter().map(|zone| world.fault(Fault::ZoneNotEnabled { zone: Zone::new(*zone) })).collect()
}

async fn launch_failures(world: &World) -> i32 {
    sqlx::query_scalar("SELECT launch_failures FROM scaler.fleet_state WHERE fleet = 'web'")
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

fn launches_in(world: &World, subnet: &str) -> usize {
    let calls = world.calls(Op::RunInstances);
    calls.iter().filter(|call| call.parameters["subnet"] == subnet).count()
}

/// What a tick decided, and what it found wrong.
async fn told(runner: &mut FleetRunner) -> (String, String) {
    let Ticked::Done(plan) = runner.tick().await.unwrap() else { panic!("the fleet is not held") };
    (plan.reason.clone(), plan.observation.faults.join("\n"))
}

#[tokio::test]
async fn a_zone_without_traffic_costs_nobody_and_gets_nobody() {
    let world = World::new(fleet(&impatient()), quick_cloud()).await;
    let off = switch_off(&world, &["eu-west-1b"]);
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two serve and one waits", || async {
        world.hosts_in("healthy").await == 2 && world.hosts_in("registered").await == 1
    })
    .await;
    world.turn_for(&mut runner, Duration::from_secs(8)).await;
    assert_eq!(
        (world.ever_launched(), world.alive()),
        (3, 3),
        "nobody is given up, nobody bought in its place"
    );
    assert_eq!(launch_failures(&world).await, 0, "and the breaker has nothing to count");
    let (reason, faults) = told(&mut runner).await;
    assert!(reason.contains("does not serve eu-west-1b"), "{reason}");
    assert!(faults.contains("zone eu-west-1b") && faults.contains("Target.NotInUse"), "{faults}");

    operator(&world, OperatorActionKind::SetSize(6)).await;
    turn_until(&mut runner, "the others grow", || async { world.hosts_in("healthy").await == 5 }).await;
    assert_eq!(launches_in(&world, "subnet-b"), 1, "none of the new ones went there");

    world.cloud.clear_fault(off[0]).unwrap();
    turn_until(&mut runner, "it serves at last", || async { world.hosts_in("healthy").await == 6 }).await;
    assert_eq!((world.ever_launched(), world.terminations().len()), (6, 0), "long after its boot_timeout");
    assert!(!told(&mut runner).await.0.contains("does not serve"));
    world.check_promises().await;
}

#[tokio::test]
async fn a_group_that_no_listener_uses_holds_the_fleet_as_it_is() {
    let world = World::new(fleet(&impatient()), quick_cloud()).await;
    switch_off(&world, &["eu-west-1a", "eu-west-1b", "eu-west-1c"]);
    let mut runner = world.runner("a");
    turn_until(&mut runner, "all three wait", || async { world.hosts_in("registered").await == 3 }).await;
    operator(&world, OperatorActionKind::SetSize(6)).await;
    world.turn_for(&mut runner, Duration::from_secs(8)).await;
    assert_eq!((world.ever_launched(), world.alive()), (3, 3));
    let (reason, _) = told(&mut runner).await;
    assert!(reason.contains("the balancer serves none of the fleet's zones"), "{reason}");
    world.check_promises().await;
}
