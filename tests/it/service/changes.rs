//! What changes under a running fleet: its configuration, its tags, its database.

use std::sync::Arc;

use fleet_scaler::domain::ids::TargetGroupArn;
use fleet_scaler::provider::simulated::model::journal::Verdict;
use fleet_scaler::provider::simulated::options::parts::TargetGroupOptions;
use fleet_scaler::store::OperatorActionKind;

use crate::service::drains::operator;
use crate::service::world::{FLEET, World, fleet, quick_cloud, turn_until};
use crate::support::TestDatabase;

const OTHER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/other/fedcba9876543210";

/// A world with a second target group, and the fleet's file with both, or with the second one alone.
async fn two_groups() -> (World, String, String) {
    let mut options = quick_cloud();
    let delay = options.target_groups[0].deregistration_delay;
    let arn = TargetGroupArn::new(OTHER);
    let other = TargetGroupOptions { arn, name: "other".into(), port: 8080, deregistration_delay: delay };
    options.target_groups.push(other);
    let world = World::new(fleet(FLEET), options).await;
    let both = FLEET.replace("0123456789abcdef\"]", &format!("0123456789abcdef\", \"{OTHER}\"]"));
    let line = FLEET.lines().find(|line| line.starts_with("target_groups")).unwrap();
    let second = FLEET.replace(line, &format!("target_groups = [\"{OTHER}\"]"));
    (world, both, second)
}

/// How many targets a group has.
fn targets_in(world: &World, arn: &str) -> usize {
    let state = world.cloud.with_model(|model| model.state());
    let groups = state["target_groups"].as_array().unwrap();
    let group = groups.iter().find(|group| group["arn"] == arn).unwrap();
    group["targets"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_group_that_is_added_gets_the_hosts_and_costs_none() {
    let (mut world, both, _) = two_groups().await;
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two hosts healthy", || async { world.hosts_in("healthy").await == 2 }).await;
    world.fleet = Arc::new(fleet(&both));
    runner.reconfigure(Arc::clone(&world.fleet));
    turn_until(&mut runner, "both are in the second group", || async { targets_in(&world, OTHER) == 2 })
        .await;
    world.turn_for(&mut runner, std::time::Duration::from_secs(7)).await;
    assert_eq!(world.hosts_in("healthy").await, 2);
    assert_eq!(world.ever_launched(), 2, "nobody was replaced");
    assert!(world.terminations().is_empty());
    world.check_promises().await;
}

#[tokio::test]
async fn a_group_that_left_the_configuration_still_has_to_let_go() {
    let (mut world, _, second) = two_groups().await;
    let mut runner = world.runner("a");
    operator(&world, OperatorActionKind::SetSize(3)).await;
    turn_until(&mut runner, "three hosts healthy", || async { world.hosts_in("healthy").await == 3 }).await;
    drop(runner);
    // Another process, which never saw the first configuration.
    world.fleet = Arc::new(fleet(&second));
    let mut runner = world.runner("b");
    turn_until(&mut runner, "all are in the new group", || async { targets_in(&world, OTHER) == 3 }).await;
    operator(&world, OperatorActionKind::SetSize(2)).await;
    turn_until(&mut runner, "one host terminated", || async { world.hosts_in("terminated").await == 1 })
        .await;
    let terminations = world.terminations();
    assert_eq!(terminations[0].verdict, Verdict::Drained, "{terminations:?}");
    assert_eq!(terminations[0].passages.len(), 2, "it was in both groups, and left both");
    world.check_promises().await;
}

#[tokio::test]
async fn a_database_restored_from_yesterday_neither_buys_the_fleet_twice_nor_kills_it() {
    let mut world = World::new(fleet(FLEET), quick_cloud()).await;
    let mut runner = world.runner("a");
    operator(&world, OperatorActionKind::SetSize(3)).await;
    turn_until(&mut runner, "three hosts healthy", || async { world.hosts_in("healthy").await == 3 }).await;
    drop(runner);
    // Yesterday's database: nothing of this fleet is in it.
    let yesterday = TestDatabase::new().await;
    world.store = Arc::new(yesterday.store());
    world.pool = yesterday.pool();
    let mut runner = world.runner("b");
    for _ in 0..5 {
        runner.tick().await.unwrap();
    }
    assert_eq!(world.ever_launched(), 3, "what carries our tags counts as live at once");
    // A minute between two sightings is a long time for a test.
    sqlx::query("UPDATE scaler.orphan SET first_at = first_at - interval '2 minutes'")
        .execute(&world.pool)
        .await
        .unwrap();
    turn_until(&mut runner, "three hosts adopted and healthy", || async {
        world.hosts_in("healthy").await == 3
    })
    .await;
    for _ in 0..20 {
        runner.tick().await.unwrap();
    }
    assert_eq!((world.ever_launched(), world.alive()), (3, 3), "none bought, none ended");
    assert!(world.terminations().is_empty());
}
