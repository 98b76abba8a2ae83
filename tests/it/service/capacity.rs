//! Zones that have no room.

use std::time::Duration;

use fleet_scaler::domain::ids::Zone;
use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::{Death, Fault};
use fleet_scaler::provider::simulated::model::journal::CallRecord;

use crate::service::world::{FLEET, World, distinct, fleet, quick_cloud, turn_until, worked};

fn subnet(call: &CallRecord) -> &str {
    call.parameters.get("subnet").and_then(|value| value.as_str()).unwrap_or_default()
}

#[tokio::test]
async fn a_zone_without_room_cools_and_the_next_one_gets_a_new_token() {
    let world = World::new(fleet(&FLEET.replace("min = 2", "min = 3")), quick_cloud()).await;
    let dry =
        world.fault(Fault::Capacity { zone: Some(Zone::new("eu-west-1a")), instance_type: None, left: 0 });
    let mut runner = world.runner("a");
    turn_until(&mut runner, "three hosts healthy", || async { world.hosts_in("healthy").await == 3 }).await;
    assert_eq!(world.ever_launched(), 3);
    let tokens = world.tokens();
    assert_eq!(
        distinct(tokens.iter().map(|(token, _)| token)),
        tokens.len(),
        "each attempt had a token of its own"
    );
    let refused = world.calls(Op::RunInstances).iter().filter(|call| !worked(call)).count();
    assert!(
        refused >= 1
            && world.calls(Op::RunInstances).iter().filter(|c| !worked(c)).all(|c| subnet(c) == "subnet-a")
    );
    let (failures, cooling): (i32, bool) = sqlx::query_as(
        "SELECT failures, cooling_until > clock_timestamp() - interval '1 minute' FROM scaler.pool_health WHERE zone = 'eu-west-1a'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert!(failures >= 1 && cooling);

    // Room again: the pool is probed once it has cooled, by the next launch that it suits best.
    world.cloud.clear_fault(dry).unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let victim = world.cloud.with_model(|model| model.instances().next().unwrap().id.clone());
    world.fault(Fault::KillInstance { instance: victim, how: Death::Terminated });
    turn_until(&mut runner, "the lost host is replaced", || async {
        world.hosts_in("healthy").await == 3 && world.hosts_in("lost").await == 1
    })
    .await;
    let probed = world.calls(Op::RunInstances).iter().any(|call| worked(call) && subnet(call) == "subnet-a");
    assert!(probed, "the zone that had no room is asked again");
    world.check_promises().await;
}

#[tokio::test]
async fn without_room_anywhere_there_is_no_churn_and_recovery_comes_by_itself() {
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    let dry = world.fault(Fault::Capacity { zone: None, instance_type: None, left: 0 });
    let mut runner = world.runner("a");
    let started = tokio::time::Instant::now();
    while started.elapsed() < Duration::from_secs(6) {
        runner.tick().await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    // Three pools; each is asked at once, and again after 2 s and then every 4 s: at most 3 times in 6 s, by up to two
    // intents that were open when it was free.
    let calls = world.calls(Op::RunInstances).len();
    assert!((3..=18).contains(&calls), "{calls} launch calls in six seconds");
    assert_eq!(world.ever_launched(), 0);
    let done: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit.scale_events WHERE outcome::text = 'done'")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(done, 0, "a change that bought nothing is not called done");
    world.cloud.clear_fault(dry).unwrap();
    turn_until(&mut runner, "two hosts healthy", || async { world.hosts_in("healthy").await == 2 }).await;
    assert_eq!(world.ever_launched(), 2);
    world.check_promises().await;
}

#[tokio::test]
async fn a_quota_is_not_taken_to_another_zone() {
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    world.fault(Fault::Quota { instances: Some(0), vcpus: Some(0) });
    let mut runner = world.runner("a");
    for _ in 0..40 {
        runner.tick().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let tokens = world.tokens();
    assert_eq!(tokens.len(), 2, "each intent asked once and backs off: {tokens:?}");
    world.check_promises().await;
}

#[tokio::test]
async fn a_partial_launch_is_completed_elsewhere() {
    let toml = FLEET.replace("min = 2", "min = 6");
    let world = World::new(fleet(&toml), quick_cloud()).await;
    world.fault(Fault::Capacity { zone: Some(Zone::new("eu-west-1b")), instance_type: None, left: 1 });
    let mut runner = world.runner("a");
    turn_until(&mut runner, "six hosts healthy", || async { world.hosts_in("healthy").await == 6 }).await;
    assert_eq!(world.ever_launched(), 6);
    world.check_promises().await;
}
