//! A reply that is lost: the write was done, nobody heard of it, and it is written again. Which writes may simply be
//! repeated, and what the others say.

use std::time::Duration;

use fleet_scaler::decide::plan::Action;
use fleet_scaler::decide::snapshot::PoolHealth;
use fleet_scaler::domain::failure::{CloudError, FailureClass};
use fleet_scaler::domain::host::{DrainReason, Step};
use fleet_scaler::domain::launch::{AbandonReason, AttemptOutcome, AttemptState};
use fleet_scaler::domain::time::after;
use fleet_scaler::store::{CallAnswer, DecisionFilter, Orphan, PoolChange, Resolution, StoreError};

use super::fixture::{
    HOUR, World, begin_drain, decision, host, launch, launched, pool, resolution, run_instances, take,
    terminate,
};
use super::subject::{Count, on_both_stores};

on_both_stores![
    a_decision_is_the_same_one_however_far_its_work_has_come,
    a_decision_is_the_same_one_under_the_next_epoch,
    an_attempt_is_the_same_one_even_when_it_is_settled,
    a_call_is_the_same_one_and_keeps_its_outcome,
    an_outcome_counts_once,
    a_launch_is_given_up_once,
    a_step_that_was_taken_is_a_conflict_and_the_rows_show_it,
    what_is_counted_is_counted_again_and_harms_nobody,
];

async fn a_decision_is_the_same_one_however_far_its_work_has_come(world: World) {
    let host = world.healthy_host("a").await;
    let now = world.now().await;
    let mut commit = decision(Action::Replace, 1, 1, now);
    commit.launches = vec![launch(&world.fence, commit.id, 1, now)];
    commit.hosts = vec![begin_drain(&host, DrainReason::Unhealthy, now)];
    commit.budget.count = 1;
    let at = world.commit(&commit).await;
    world.buy(&commit.launches[0], "b").await;
    let deadline = after(now, HOUR);
    world.step(&commit.hosts[0].after, Step::Deregister { deadline }).await;
    let before = world.load().await;
    assert_eq!(world.commit(&commit).await, at, "its versions and its budget are not judged again");
    let after = world.load().await;
    assert_eq!((after.hosts, after.launches), (before.hosts, before.launches));
    assert_eq!(world.subject.count(Count::Drains).await, 1);
}

async fn a_decision_is_the_same_one_under_the_next_epoch(world: World) {
    let commit = decision(Action::ScaleOut, 1, 2, world.now().await);
    let at = world.commit(&commit).await;
    world.store.lease_release(&world.fence).await.unwrap();
    let next = take(&*world.store, "web", "replica-2").await;
    assert_eq!(world.store.decision_commit(&next, &commit).await.unwrap(), at);
    let late = world.store.decision_commit(&world.fence, &commit).await;
    assert!(
        matches!(late, Err(StoreError::Fenced { .. })),
        "whoever lost the lease learns that first: {late:?}"
    );
    let rows = world.store.decisions(&DecisionFilter::default()).await.unwrap();
    assert_eq!((rows.len(), rows[0].epoch), (1, world.fence.epoch));
}

async fn an_attempt_is_the_same_one_even_when_it_is_settled(world: World) {
    let (_, launch) = world.scale_out(1).await;
    let attempt = launch.open_attempt().unwrap().clone();
    world.store.attempt_open(&world.fence, &attempt).await.unwrap();
    world.buy(&launch, "a").await;
    world.store.attempt_open(&world.fence, &attempt).await.unwrap();
    assert!(world.load().await.launches.is_empty(), "and the launch stays closed");
    let mut other = attempt;
    other.request.max_count += 1;
    let result = world.store.attempt_open(&world.fence, &other).await;
    assert!(
        matches!(result, Err(StoreError::Refused(_))),
        "the same id for other bytes is a bug: {result:?}"
    );
}

async fn a_call_is_the_same_one_and_keeps_its_outcome(world: World) {
    let (_, launch) = world.scale_out(1).await;
    let call = run_instances(&launch);
    let answer = |request: &str| CallAnswer {
        failure: None,
        instances: vec![],
        request_id: Some(request.to_owned()),
        duration: Duration::from_secs(1),
    };
    world.store.call_begin(&world.fence, &call).await.unwrap();
    world.store.call_end(call.id, &answer("first")).await.unwrap();
    world.store.call_begin(&world.fence, &call).await.unwrap();
    world.store.call_end(call.id, &answer("second")).await.unwrap();
    let journal = world.subject.journal().await;
    assert_eq!(journal, [("ok".to_owned(), None, vec![], Some("first".to_owned()))]);
    assert_eq!(world.store.calls_settle_abandoned(&world.fence).await.unwrap(), 0);
}

async fn an_outcome_counts_once(world: World) {
    let (_, launch) = world.scale_out(1).await;
    let error = CloudError::new(FailureClass::Invalid, "InvalidAMIID.NotFound", "no such image");
    let cooling_until = after(world.now().await, HOUR);
    let health = PoolHealth { pool: pool("eu-west-1a"), failures: 1, cooling_until, allowance: 1 };
    let refused = Resolution {
        pool: PoolChange::Set(health.clone()),
        ..resolution(&launch, AttemptOutcome::Refused { error }, vec![])
    };
    world.store.attempt_resolve(&world.fence, &refused).await.unwrap();
    let told_otherwise = Resolution {
        outcome: AttemptOutcome::Refused {
            error: CloudError::new(FailureClass::Invalid, "X", "in other words"),
        },
        pool: PoolChange::Clear(health.pool.clone()),
        ..refused
    };
    world.store.attempt_resolve(&world.fence, &told_otherwise).await.unwrap();
    let stored = world.load().await;
    assert_eq!((stored.memory.launch_failures, stored.pools), (1, vec![health]));

    let (_, launch) = world.scale_out(1).await;
    let bought = resolution(&launch, launched(1), vec![host(&launch, "i-1", world.now().await)]);
    world.store.attempt_resolve(&world.fence, &bought).await.unwrap();
    let host = world.step(&bought.hosts[0], Step::Run).await;
    world.store.attempt_resolve(&world.fence, &bought).await.unwrap();
    assert_eq!(world.load().await.hosts, [host], "what came of the host since stays");
}

async fn a_launch_is_given_up_once(world: World) {
    let (_, launch) = world.scale_out(1).await;
    let error = CloudError::new(FailureClass::Capacity, "X", "none left");
    let refused = resolution(&launch, AttemptOutcome::Refused { error }, vec![]);
    world.store.attempt_resolve(&world.fence, &refused).await.unwrap();
    for reason in [AbandonReason::NoPool, AbandonReason::NotWanted] {
        world.store.launch_abandon(&world.fence, launch.id, reason).await.unwrap();
    }
    assert_eq!(world.subject.launch(launch.id).await, ("abandoned".into(), Some("no_pool".into()), 0));
}

async fn a_step_that_was_taken_is_a_conflict_and_the_rows_show_it(world: World) {
    let host = world.healthy_host("a").await;
    let after = world.step(&host, Step::BecomeUnhealthy).await;
    let again = world.try_step(&host, Step::BecomeUnhealthy).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    assert_eq!(world.load().await.hosts, [after]);
}

async fn what_is_counted_is_counted_again_and_harms_nobody(world: World) {
    let (_, launch) = world.scale_out(1).await;
    let id = launch.open_attempt().unwrap().id;
    for _ in 0..2 {
        world.store.attempt_defer(&world.fence, id, FailureClass::Throttled, HOUR).await.unwrap();
    }
    let open = world.load().await.launches.remove(0);
    let AttemptState::Open { calls, .. } = open.open_attempt().unwrap().state else { panic!("{open:?}") };
    assert_eq!(calls, 2, "it only waits a little longer the next time");
    let host = world.healthy_host("a").await;
    let stray =
        Orphan { id: fleet_scaler::domain::ids::InstanceId::new("i-stray"), fleet: host.fleet.clone() };
    for count in 1..3 {
        assert_eq!(world.store.orphan_sighted(&world.fence, &stray).await.unwrap().count, count);
    }
    let call = terminate(&world.fence, &host, None);
    world.store.call_begin(&world.fence, &call).await.unwrap();
    assert_eq!(world.store.calls_settle_abandoned(&world.fence).await.unwrap(), 1);
    assert_eq!(world.store.calls_settle_abandoned(&world.fence).await.unwrap(), 0);
}
