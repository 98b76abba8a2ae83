//! Launching: exactly what was wanted, whatever became of the answers.

use std::time::Duration;

use fleet_scaler::domain::ids::Zone;
use fleet_scaler::provider::simulated::model::admin::ForeignInstance;
use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::{Death, Fault};

use crate::service::world::{FLEET, World, distinct, fleet, quick_cloud, turn_until, worked};

async fn settled(world: &World, size: usize) -> bool {
    world.hosts_in("healthy").await == size && world.alive() == size
}

#[tokio::test]
async fn a_new_fleet_is_brought_to_its_minimum_over_the_zones() {
    let world = World::new(fleet(&FLEET.replace("min = 2", "min = 3")), quick_cloud()).await;
    let mut runner = world.runner("a");
    turn_until(&mut runner, "three hosts healthy", || settled(&world, 3)).await;
    assert_eq!(world.ever_launched(), 3);
    assert_eq!(distinct(world.tokens().into_iter().map(|(_, subnet)| subnet)), 3, "one host a zone");
    world.check_promises().await;
}

#[tokio::test]
async fn a_reply_that_is_lost_buys_nothing_twice() {
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    world.fault(Fault::DropReply { op: Some(Op::RunInstances), count: Some(3), probability: None });
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two hosts healthy", || settled(&world, 2)).await;
    assert_eq!(world.ever_launched(), 2, "the work was done three times, and bought two hosts");
    let calls = world.calls(Op::RunInstances);
    assert!(calls.len() > 2, "the calls were repeated");
    let tokens = world.tokens();
    let zones_of_a_token =
        |token: &str| distinct(tokens.iter().filter(|(t, _)| t == token).map(|(_, subnet)| subnet));
    for (token, _) in &tokens {
        assert_eq!(zones_of_a_token(token), 1, "token {token} went to more than one zone");
    }
    assert_eq!(
        distinct(tokens.iter().map(|(token, _)| token)),
        2,
        "one token an attempt, and no other for an unknown outcome"
    );
    world.check_promises().await;
}

/// The reply is lost and the launch then refused for good, so that only its tag can tell, which a person has copied.
#[tokio::test]
async fn of_machines_with_a_launchs_tags_only_what_it_bought_is_taken_for_its_own() {
    let world = World::new(fleet(&FLEET.replace("min = 2", "min = 1")), quick_cloud()).await;
    world.fault(Fault::DropReply { op: Some(Op::RunInstances), count: Some(1), probability: None });
    let mut runner = world.runner("a");
    drop(runner.tick().await);
    let (bought, tags) = world.cloud.with_model(|model| {
        let bought = model.instances().next().unwrap();
        (bought.id.clone(), bought.tags.clone())
    });
    let copies = ForeignInstance { tags, count: Some(2), ..ForeignInstance::default() };
    world.cloud.with_model(|model| model.add_instances(&copies)).unwrap();
    world.fault(Fault::Error {
        op: Some(Op::RunInstances),
        zone: None,
        code: "UnauthorizedOperation".to_owned(),
        http_status: None,
        message: None,
        count: None,
        probability: None,
    });
    let healthy = || async { world.hosts_in("healthy").await == 1 };
    turn_until(&mut runner, "one host healthy", healthy).await;
    let hosts = world.healthy_of(&world.fleet.name).await;
    assert_eq!(hosts, [bought], "and none of the copies");
    assert_eq!(
        world.calls(Op::RunInstances).iter().filter(|call| worked(call)).count(),
        1,
        "it was bought once"
    );
}

#[tokio::test]
async fn a_request_that_never_arrives_is_sent_again_with_the_same_bytes() {
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    world.fault(Fault::DropRequest { op: Some(Op::RunInstances), count: Some(3), probability: None });
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two hosts healthy", || settled(&world, 2)).await;
    assert_eq!(world.ever_launched(), 2);
    assert_eq!(distinct(world.tokens().into_iter().map(|(token, _)| token)), 2);
    world.check_promises().await;
}

#[tokio::test]
async fn throttling_blames_no_zone_and_loses_nothing() {
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    world.fault(Fault::Error {
        op: Some(Op::RunInstances),
        zone: None,
        code: "RequestLimitExceeded".to_owned(),
        http_status: None,
        message: None,
        count: Some(2),
        probability: None,
    });
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two hosts healthy", || settled(&world, 2)).await;
    assert_eq!(distinct(world.tokens().into_iter().map(|(token, _)| token)), 2, "the same tokens, later");
    let pools: i64 =
        sqlx::query_scalar("SELECT count(*) FROM scaler.pool_health").fetch_one(&world.pool).await.unwrap();
    assert_eq!(pools, 0, "no pool was blamed");
    world.check_promises().await;
}

#[tokio::test]
async fn a_bad_image_opens_the_breaker_and_leaves_the_old_hosts_alone() {
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two hosts healthy", || settled(&world, 2)).await;
    world.fault(Fault::Error {
        op: Some(Op::RunInstances),
        zone: None,
        code: "InvalidAMIID.NotFound".to_owned(),
        http_status: None,
        message: None,
        count: None,
        probability: None,
    });
    let victim = world.cloud.with_model(|model| model.instances().next().unwrap().id.clone());
    world.fault(Fault::KillInstance { instance: victim, how: Death::Terminated });
    let before = world.calls(Op::RunInstances).len();
    turn_until(&mut runner, "the breaker opens", || async {
        let row: Option<i32> =
            sqlx::query_scalar("SELECT launch_failures FROM scaler.fleet_state WHERE fleet = 'web'")
                .fetch_optional(&world.pool)
                .await
                .unwrap();
        row.unwrap_or(0) >= 3
    })
    .await;
    for _ in 0..20 {
        runner.tick().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        world.calls(Op::RunInstances).len() - before,
        3,
        "no launch is tried while the breaker is open"
    );
    assert_eq!(world.hosts_in("healthy").await, 1, "the host that serves goes on serving");
    assert!(world.terminations().is_empty());
    world.check_promises().await;
}

#[tokio::test]
async fn a_host_lost_outside_is_replaced_and_hosts_of_others_are_not_touched() {
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    let foreign = world
        .cloud
        .with_model(|model| model.add_instances(&ForeignInstance::default()).unwrap()[0].id.clone());
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two hosts healthy", || async { world.hosts_in("healthy").await == 2 }).await;
    let victim = world
        .cloud
        .with_model(|model| model.instances().find(|instance| instance.id != foreign).unwrap().id.clone());
    world.fault(Fault::KillInstance { instance: victim, how: Death::Terminated });
    turn_until(&mut runner, "the lost host is replaced", || async {
        world.hosts_in("healthy").await == 2 && world.hosts_in("lost").await == 1
    })
    .await;
    assert!(world.terminations().iter().all(|record| record.instance != foreign));
    world.check_promises().await;
}

#[tokio::test]
async fn hosts_that_never_become_healthy_are_given_up_and_the_breaker_bounds_them() {
    let toml = FLEET.replace("boot_timeout = \"60s\"", "boot_timeout = \"2s\"");
    let world = World::new(fleet(&toml), quick_cloud()).await;
    world.fault(Fault::NeverHealthy { instance: None, zone: Some(Zone::new("eu-west-1a")), next: None });
    world.fault(Fault::NeverHealthy { instance: None, zone: Some(Zone::new("eu-west-1b")), next: None });
    world.fault(Fault::NeverHealthy { instance: None, zone: Some(Zone::new("eu-west-1c")), next: None });
    let mut runner = world.runner("a");
    turn_until(&mut runner, "the breaker opens", || async {
        let row: Option<i32> =
            sqlx::query_scalar("SELECT launch_failures FROM scaler.fleet_state WHERE fleet = 'web'")
                .fetch_optional(&world.pool)
                .await
                .unwrap();
        row.unwrap_or(0) >= 3
    })
    .await;
    let launched = world.ever_launched();
    for _ in 0..60 {
        runner.tick().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(launched <= 6, "{launched} hosts were bought for a fleet of two");
    assert_eq!(world.ever_launched(), launched, "nothing is bought while the breaker is open");
    assert!(world.calls(Op::DeregisterTargets).iter().any(worked), "they were deregistered before they went");
    world.check_promises().await;
}
