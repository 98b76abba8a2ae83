//! Writers at the same time: of those that exclude each other one wins, and the others are told why.

use std::sync::Arc;
use std::time::Duration;

use fleet_scaler::decide::plan::Action;
use fleet_scaler::domain::failure::{CloudError, FailureClass};
use fleet_scaler::domain::host::Step;
use fleet_scaler::domain::ids::{Epoch, FleetName, ReplicaId};
use fleet_scaler::domain::launch::AttemptOutcome;
use fleet_scaler::store::{Fence, HostChange, LeaseAnswer, Store, StoreError, TakenOver};

use super::fixture::{LEASE, World, attempt, decision, host, launch, launched, resolution, take};
use super::subject::{Count, on_both_stores};

on_both_stores![
    of_two_fences_only_the_newer_moves_a_host,
    a_version_is_written_once_however_many_try,
    attempts_that_race_leave_one_unresolved,
    the_same_attempt_many_times_at_once_is_one,
    outcomes_that_race_leave_one,
    the_same_decision_many_times_at_once_is_one,
    epochs_only_rise_and_only_with_a_new_holder,
];

const WRITERS: usize = 8;

/// Does the same thing from many tasks at once, and gives what became of each.
async fn all_at_once<T, F>(work: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..WRITERS).map(|n| tokio::spawn(work(n))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

fn won<T>(results: &[Result<T, StoreError>]) -> usize {
    results.iter().filter(|result| result.is_ok()).count()
}

fn is_conflict<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Conflict(_)))
}

async fn of_two_fences_only_the_newer_moves_a_host(world: World) {
    let host = world.healthy_host("a").await;
    world.expire().await;
    let newer = take(&*world.store, "web", "replica-2").await;
    assert_eq!(newer.epoch, Epoch(world.fence.epoch.0 + 1));
    let now = world.now().await;
    let fences = [world.fence.clone(), newer];
    let results =
        all_at_once(|n| {
            let (store, fence) = (Arc::clone(&world.store), fences[n % 2].clone());
            let after = host.clone().advance(&Step::BecomeUnhealthy, now).unwrap();
            async move {
                store.host_advance(&fence, &HostChange { after, step: Some(Step::BecomeUnhealthy) }).await
            }
        })
        .await;
    for (n, result) in results.iter().enumerate() {
        let is_older = n % 2 == 0;
        assert_eq!(matches!(result, Err(StoreError::Fenced { .. })), is_older, "{n}: {result:?}");
    }
    assert_eq!(won(&results), 1, "{results:?}");
    assert_eq!(world.load().await.hosts[0].version, host.version + 1);
}

async fn a_version_is_written_once_however_many_try(world: World) {
    let host = world.healthy_host("a").await;
    let now = world.now().await;
    let results = all_at_once(|n| {
        let (store, fence) = (Arc::clone(&world.store), world.fence.clone());
        let step = if n % 2 == 0 { Step::BecomeUnhealthy } else { Step::Lose };
        let after = host.clone().advance(&step, now).unwrap();
        async move { store.host_advance(&fence, &HostChange { after, step: Some(step) }).await }
    })
    .await;
    assert_eq!(won(&results), 1, "{results:?}");
    assert_eq!(results.iter().filter(|result| is_conflict(result)).count(), WRITERS - 1, "{results:?}");
}

async fn attempts_that_race_leave_one_unresolved(world: World) {
    let (_, launch) = world.scale_out(2).await;
    let capacity =
        AttemptOutcome::Refused { error: CloudError::new(FailureClass::Capacity, "X", "none left") };
    world.store.attempt_resolve(&world.fence, &resolution(&launch, capacity, vec![])).await.unwrap();
    let open = world.load().await.launches.remove(0);
    let results = all_at_once(|n| {
        let (store, fence) = (Arc::clone(&world.store), world.fence.clone());
        let attempt = attempt(&open, &format!("eu-west-1{}", ["a", "b"][n % 2]), open.created_at);
        async move { store.attempt_open(&fence, &attempt).await }
    })
    .await;
    assert_eq!(won(&results), 1, "{results:?}");
    assert_eq!(results.iter().filter(|result| is_conflict(result)).count(), WRITERS - 1, "{results:?}");
    assert_eq!(world.subject.count(Count::Attempts).await, 2);
}

async fn the_same_attempt_many_times_at_once_is_one(world: World) {
    let (_, launch) = world.scale_out(2).await;
    let now = world.now().await;
    let first = vec![host(&launch, "i-1", now)];
    world.store.attempt_resolve(&world.fence, &resolution(&launch, launched(1), first)).await.unwrap();
    let open = world.load().await.launches.remove(0);
    let next = attempt(&open, "eu-west-1b", now);
    let results = all_at_once(|_| {
        let (store, fence, next) = (Arc::clone(&world.store), world.fence.clone(), next.clone());
        async move { store.attempt_open(&fence, &next).await }
    })
    .await;
    assert_eq!(won(&results), WRITERS, "{results:?}");
    assert_eq!(world.load().await.launches[0].open_attempt(), Some(&next));
}

async fn outcomes_that_race_leave_one(world: World) {
    let (_, launch) = world.scale_out(2).await;
    let now = world.now().await;
    let denied = AttemptOutcome::Refused { error: CloudError::new(FailureClass::Denied, "X", "no") };
    let all = vec![host(&launch, "i-1", now), host(&launch, "i-2", now)];
    let tellings = [resolution(&launch, launched(2), all), resolution(&launch, denied, vec![])];
    let results = all_at_once(|n| {
        let (store, fence) = (Arc::clone(&world.store), world.fence.clone());
        let telling = tellings[n % 2].clone();
        async move { store.attempt_resolve(&fence, &telling).await }
    })
    .await;
    let launched_won = results[0].is_ok();
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.is_ok(), (n % 2 == 0) == launched_won, "{n}: {results:?}");
        assert!(result.is_ok() || is_conflict(result), "{n}: {results:?}");
    }
    let stored = world.load().await;
    assert_eq!(stored.hosts.len(), if launched_won { 2 } else { 0 });
    assert_eq!(stored.memory.launch_failures, u32::from(!launched_won), "counted once");
}

async fn the_same_decision_many_times_at_once_is_one(world: World) {
    let now = world.now().await;
    let mut commit = decision(Action::ScaleOut, 0, 3, now);
    commit.launches = vec![launch(&world.fence, commit.id, 3, now)];
    commit.max = 3;
    let results = all_at_once(|_| {
        let (store, fence, commit) = (Arc::clone(&world.store), world.fence.clone(), commit.clone());
        async move { store.decision_commit(&fence, &commit).await }
    })
    .await;
    let times: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert!(times.iter().all(|at| *at == times[0]), "{times:?}");
    assert_eq!(world.load().await.launches.len(), 1);
}

async fn epochs_only_rise_and_only_with_a_new_holder(world: World) {
    let mut last: Option<Fence> = None;
    for round in 0..6 {
        let answers = all_at_once(|n| {
            let store = Arc::clone(&world.store);
            async move { ask(&*store, &format!("replica-{n}")).await }
        })
        .await;
        let held: Vec<_> = answers
            .into_iter()
            .filter_map(|answer| match answer {
                LeaseAnswer::Held { fence, taken_over, .. } => Some((fence, taken_over)),
                LeaseAnswer::Other { .. } => None,
            })
            .collect();
        assert_eq!(held.len(), 1, "round {round}: {held:?}");
        let (fence, taken_over) = held.into_iter().next().unwrap();
        let (before, changed) = match &last {
            Some(last) => (last.epoch.0, last.replica != fence.replica),
            None => (0, true),
        };
        assert_eq!(fence.epoch.0, before + i64::from(changed), "round {round}");
        assert_eq!(taken_over == TakenOver::Yes, changed, "round {round}");
        if round % 2 == 0 {
            world.expire().await;
        } else {
            world.store.lease_release(&fence).await.unwrap();
        }
        last = Some(fence);
    }
}

async fn ask(store: &dyn Store, replica: &str) -> LeaseAnswer {
    let span = LEASE.min(Duration::from_mins(1));
    store.lease_take(&FleetName::new("contended"), &ReplicaId::new(replica), span).await.unwrap()
}
