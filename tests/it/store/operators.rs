//! What people do, and which configuration was in force.

use std::time::Duration;

use fleet_scaler::decide::snapshot::Ask;
use fleet_scaler::domain::ids::{FleetName, InstanceId, OperatorActionId};
use fleet_scaler::domain::time::after;
use fleet_scaler::store::{ConfigChange, ConfigOutcome, Direction, OperatorAction, OperatorActionKind};

use super::fixture::{World, fresh};
use super::subject::{Count, on_both_stores};

on_both_stores![
    a_pause_holds_in_its_direction_until_it_ends_or_is_taken_back,
    requests_wait_in_order_and_are_recorded_once,
    a_fleet_that_no_replica_has_held_can_be_paused,
    replicas_that_load_the_same_change_at_once_record_it_once,
];

async fn a_pause_holds_in_its_direction_until_it_ends_or_is_taken_back(world: World) {
    let minute = Duration::from_mins(1);
    let pause = |direction, span| OperatorActionKind::Pause { direction, span };
    world.act(pause(Direction::In, Some(minute))).await;
    let stored = world.load().await;
    assert_eq!(stored.memory.pause_out, None);
    let inward = stored.memory.pause_in.unwrap();
    assert_eq!((inward.actor.as_str(), inward.reason.as_str()), ("ada", "because of the tests"));
    let until = inward.until.unwrap();
    assert!(until > stored.now && until <= after(stored.now, minute));
    assert!(inward.holds(stored.now) && !inward.holds(until), "it ends by itself");

    world.act(pause(Direction::Both, None)).await;
    let memory = world.load().await.memory;
    assert_eq!(memory.pause_out.as_ref().unwrap().until, None);
    assert_eq!(memory.pause_in.unwrap().until, None, "the later pause counts");
    world.act(OperatorActionKind::Resume).await;
    let memory = world.load().await.memory;
    assert_eq!((memory.pause_out, memory.pause_in), (None, None));
    world.act(pause(Direction::Out, None)).await;
    let memory = world.load().await.memory;
    assert!(memory.pause_out.is_some() && memory.pause_in.is_none());
}

async fn requests_wait_in_order_and_are_recorded_once(world: World) {
    let first = world.act(OperatorActionKind::SetSize(4)).await;
    let second = world.act(OperatorActionKind::Drain(InstanceId::new("i-9"))).await;
    let again = OperatorAction {
        id: first,
        fleet: world.fence.fleet.clone(),
        actor: "ada".into(),
        reason: "twice".into(),
        kind: OperatorActionKind::SetSize(7),
    };
    world.store.operator_act(&again).await.unwrap();
    let requests = world.load().await.requests;
    let asks: Vec<_> = requests.iter().map(|request| (request.id, request.ask.clone())).collect();
    assert_eq!(asks, [(first, Ask::SetSize(4)), (second, Ask::Drain(InstanceId::new("i-9")))]);
}

async fn a_fleet_that_no_replica_has_held_can_be_paused(world: World) {
    let fleet = FleetName::new("new");
    let action = OperatorAction {
        id: OperatorActionId(fresh()),
        fleet: fleet.clone(),
        actor: "ada".into(),
        reason: "not yet".into(),
        kind: OperatorActionKind::Pause { direction: Direction::Both, span: None },
    };
    world.store.operator_act(&action).await.unwrap();
    let stored = world.store.fleet_load(&fleet, Duration::ZERO, Duration::ZERO).await.unwrap();
    assert!(stored.memory.pause_out.is_some() && stored.lease.is_none());
}

#[tokio::test]
async fn configurations_are_recorded_when_they_change_with_what_changed() {
    let world = World::new().await;
    let record = async |fleet: Option<&str>, version: &str, outcome, text: &str| {
        let fleet = fleet.map(FleetName::new);
        let change = ConfigChange { fleet, version: version.into(), outcome, text: text.into() };
        world.store.config_record(&change).await.unwrap();
    };
    record(Some("web"), "v1", ConfigOutcome::Applied, "min = 1\nmax = 3").await;
    record(Some("web"), "v1", ConfigOutcome::Applied, "min = 1\nmax = 3").await;
    record(Some("web"), "v2", ConfigOutcome::Refused, "fleets/web.toml:2:1: max: not a number").await;
    record(Some("web"), "v3", ConfigOutcome::Applied, "min = 1\nmax = 5").await;
    record(Some("web"), "v3", ConfigOutcome::Vanished, "").await;
    record(None, "v1", ConfigOutcome::Applied, "owner = 1").await;
    let rows: Vec<(Option<String>, String, String, String)> =
        sqlx::query_as("SELECT fleet, version, outcome, diff FROM audit.config_changes ORDER BY at")
            .fetch_all(&world.db().pool())
            .await
            .unwrap();
    let row = |fleet: Option<&str>, version: &str, outcome: &str, diff: &str| {
        (fleet.map(str::to_owned), version.to_owned(), outcome.to_owned(), diff.to_owned())
    };
    let expected = [
        row(Some("web"), "v1", "applied", "+min = 1\n+max = 3"),
        row(Some("web"), "v2", "refused", "fleets/web.toml:2:1: max: not a number"),
        row(Some("web"), "v3", "applied", "-max = 3\n+max = 5"),
        row(Some("web"), "v3", "vanished", "-min = 1\n-max = 5"),
        row(None, "v1", "applied", "+owner = 1"),
    ];
    assert_eq!(rows, expected);
}

async fn replicas_that_load_the_same_change_at_once_record_it_once(world: World) {
    for fleet in [None, Some(FleetName::new("web"))] {
        let change =
            ConfigChange { fleet, version: "v1".into(), outcome: ConfigOutcome::Applied, text: "a".into() };
        let results = futures::future::join_all((0..5).map(|_| world.store.config_record(&change))).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
    assert_eq!(world.subject.count(Count::Configurations).await, 2);
}
