//! Schedules in the whole loop: what is bought, what the transaction allows, and what is remembered.

use std::sync::Arc;

use fleet_scaler::store::OperatorActionKind;

use crate::service::drains::operator;
use crate::service::world::{FLEET, World, fleet, quick_cloud, turn_until};

/// In force at every moment: it starts anew every minute, and where an end falls on a start, the start counts.
const ALWAYS: &str = r#"
[[schedule]]
name = "always"
start = "* * * * *"
end = "0 0 29 2 *"
timezone = "Europe/Berlin"
"#;

fn scheduled(size: &str) -> String {
    format!("{FLEET}{ALWAYS}size = {size}\n")
}

/// The fleet's own `max` is 8: the ceiling that the transaction checks is the schedule's, too.
#[tokio::test]
async fn a_schedule_may_ask_for_more_than_the_fleets_own_ceiling() {
    let mut world = World::new(fleet(&scheduled("{ min = 9, max = 12 }")), quick_cloud()).await;
    let mut runner = world.runner("a");
    turn_until(&mut runner, "nine hosts healthy", || async { world.hosts_in("healthy").await == 9 }).await;
    assert_eq!(world.ever_launched(), 9);

    // The schedule is over. Nine are above the fleet's own ceiling, so one goes; eight stay, though two are the floor.
    world.fleet = Arc::new(fleet(FLEET));
    runner.reconfigure(Arc::clone(&world.fleet));
    turn_until(&mut runner, "one host terminated", || async { world.hosts_in("terminated").await == 1 })
        .await;
    world.turn_for(&mut runner, std::time::Duration::from_secs(3)).await;
    assert_eq!((world.hosts_in("healthy").await, world.terminations().len()), (8, 1));
    world.check_promises().await;
}

/// It begins while the fleet is held by nobody, and whoever takes it next finds the floor where it is.
#[tokio::test]
async fn a_start_that_falls_into_an_outage_is_made_up_for() {
    let mut world = World::new(fleet(FLEET), quick_cloud()).await;
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two hosts healthy", || async { world.hosts_in("healthy").await == 2 }).await;
    drop(runner);
    world.fleet = Arc::new(fleet(&scheduled("{ min = 4 }")));
    let mut runner = world.runner("b");
    turn_until(&mut runner, "four hosts healthy", || async { world.hosts_in("healthy").await == 4 }).await;
    let reasons = world.reasons().await;
    let told = "Repair: 2 were wanted, 4 are now: schedule always raises the floor to 4 with no end in sight";
    assert!(reasons.iter().any(|reason| reason.starts_with(told)), "{reasons:?}");
    let recorded: Vec<String> = sqlx::query_scalar(
        "SELECT r.source FROM audit.decisions, jsonb_to_recordset(recommendations) AS r(source text)
         WHERE size_wanted = 4 AND action = 'repair'",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(recorded, ["schedule always"]);

    operator(&world, OperatorActionKind::SetSize(3)).await;
    let refused = || async {
        let answer: Option<String> =
            sqlx::query_scalar("SELECT answer FROM audit.operator_actions WHERE outcome = 'refused'")
                .fetch_optional(&world.pool)
                .await
                .unwrap();
        answer.is_some_and(|answer| answer.contains("min = 4 (schedule always, with no end in sight)"))
    };
    turn_until(&mut runner, "a size below the floor is refused", refused).await;
    world.check_promises().await;
}
