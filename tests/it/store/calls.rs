//! The journal of mutating calls: a row before each, and exactly one outcome after.

use std::time::Duration;

use fleet_scaler::domain::failure::{CloudError, FailureClass};
use fleet_scaler::domain::host::DrainReason;
use fleet_scaler::domain::ids::{CallId, InstanceId};
use fleet_scaler::domain::launch::AttemptState;
use fleet_scaler::store::{CallAnswer, CloudCall, Operation, StoreError};

use super::fixture::{World, fresh, run_instances, take, terminate};
use super::subject::on_both_stores;

on_both_stores![
    a_call_is_pending_until_its_outcome_and_then_has_one,
    every_class_of_failure_has_its_outcome,
    calls_that_nobody_heard_of_are_settled_as_unknown,
    a_call_without_what_it_acts_on_is_refused,
];

fn ok(instances: &[&str]) -> CallAnswer {
    let instances = instances.iter().map(|id| InstanceId::new(*id)).collect();
    CallAnswer {
        failure: None,
        instances,
        request_id: Some("req-1".into()),
        duration: Duration::from_millis(1500),
    }
}

fn failed(class: FailureClass) -> CallAnswer {
    let failure = Some(CloudError::new(class, "SomeCode", "said the cloud"));
    CallAnswer { failure, instances: vec![], request_id: None, duration: Duration::from_secs(20) }
}

async fn a_call_is_pending_until_its_outcome_and_then_has_one(world: World) {
    let (_, launch) = world.scale_out(2).await;
    let call = run_instances(&launch);
    world.store.call_begin(&world.fence, &call).await.unwrap();
    world.store.call_begin(&world.fence, &call).await.unwrap();
    assert_eq!(world.subject.journal().await, [("pending".to_owned(), None, vec![], None)]);
    world.store.call_end(call.id, &ok(&["i-1", "i-2"])).await.unwrap();
    world.store.call_end(call.id, &failed(FailureClass::Unknown)).await.unwrap();
    let expected =
        ("ok".to_owned(), None, vec!["i-1".to_owned(), "i-2".to_owned()], Some("req-1".to_owned()));
    assert_eq!(world.subject.journal().await, [expected], "the first outcome stands");
}

#[tokio::test]
async fn the_audit_view_says_what_a_call_goes_back_to() {
    let world = World::new().await;
    let (commit, launch) = world.scale_out(2).await;
    let call = run_instances(&launch);
    world.store.call_begin(&world.fence, &call).await.unwrap();
    world.store.call_end(call.id, &ok(&["i-1"])).await.unwrap();
    let row: (String, uuid::Uuid, uuid::Uuid, i32, String, String, String) = sqlx::query_as(
        "SELECT op, decision_id, launch_id, attempt, zone, client_token, duration::text FROM audit.cloud_calls",
    )
    .fetch_one(&world.db().pool())
    .await
    .unwrap();
    let token = launch.open_attempt().unwrap().request.client_token.to_string();
    let (zone, duration) = ("eu-west-1a".to_owned(), "00:00:01.5".to_owned());
    assert_eq!(row, ("RunInstances".to_owned(), commit.id.0, launch.id.0, 1, zone, token, duration));
}

async fn every_class_of_failure_has_its_outcome(world: World) {
    let host = world.healthy_host("a").await;
    for class in [
        (FailureClass::Capacity, "refused"),
        (FailureClass::Quota, "refused"),
        (FailureClass::Throttled, "throttled"),
        (FailureClass::Denied, "refused"),
        (FailureClass::Invalid, "refused"),
        (FailureClass::NotFound, "refused"),
        (FailureClass::TokenMismatch, "refused"),
        (FailureClass::TokenSpent, "refused"),
        (FailureClass::Protected, "refused"),
        (FailureClass::Unknown, "unknown"),
    ] {
        let call = terminate(&world.fence, &host, None);
        world.store.call_begin(&world.fence, &call).await.unwrap();
        world.store.call_end(call.id, &failed(class.0)).await.unwrap();
        let last = world.subject.journal().await.pop().unwrap();
        let expected = (class.1.to_owned(), Some("SomeCode".to_owned()), vec![host.id.to_string()], None);
        assert_eq!(last, expected, "{}", class.0);
    }
}

async fn calls_that_nobody_heard_of_are_settled_as_unknown(world: World) {
    let host = world.healthy_host("a").await;
    let (answered, lost) = (terminate(&world.fence, &host, None), terminate(&world.fence, &host, None));
    let (_, launch) = world.scale_out(1).await;
    let bought_perhaps = run_instances(&launch);
    for call in [&answered, &lost, &bought_perhaps] {
        world.store.call_begin(&world.fence, call).await.unwrap();
    }
    world.store.call_end(answered.id, &ok(&[])).await.unwrap();
    world.store.lease_release(&world.fence).await.unwrap();
    let next = take(&*world.store, "web", "replica-2").await;
    assert_eq!(world.store.calls_settle_abandoned(&next).await.unwrap(), 2);
    assert_eq!(world.store.calls_settle_abandoned(&next).await.unwrap(), 0);
    let open = world.load().await.launches.remove(0);
    let state = open.open_attempt().unwrap().state.clone();
    let AttemptState::Open { calls: 0, not_before: None, last_failure, doubted_at } = state else {
        panic!("{state:?}")
    };
    assert_eq!(last_failure, Some(FailureClass::Unknown), "the attempt may have bought something");
    assert!(doubted_at.is_some(), "and may do so yet");
    let outcomes: Vec<String> = world.subject.journal().await.into_iter().map(|row| row.0).collect();
    assert_eq!(outcomes, ["ok", "unknown", "unknown"]);
    world.store.call_end(lost.id, &ok(&[])).await.unwrap();
    assert_eq!(world.subject.journal().await[1].0, "unknown");
}

async fn a_call_without_what_it_acts_on_is_refused(world: World) {
    let host = world.healthy_host("a").await;
    let (_, draining) = world.scale_in(&[host], DrainReason::ScaleIn).await;
    let good = terminate(&world.fence, &draining[0], None);
    for bad in [
        CloudCall { instances: vec![], ..good.clone() },
        CloudCall { op: Operation::DeregisterTargets, ..good.clone() },
        CloudCall { op: Operation::RunInstances, ..good.clone() },
        CloudCall { fleet: fleet_scaler::domain::ids::FleetName::new("db"), ..good.clone() },
    ] {
        let result = world.store.call_begin(&world.fence, &bad).await;
        assert!(matches!(result, Err(StoreError::Refused(_))), "{bad:?}: {result:?}");
    }
    let never_begun = world.store.call_end(CallId(fresh()), &ok(&[])).await;
    assert!(matches!(never_begun, Err(StoreError::Refused(_))), "{never_begun:?}");
}
