//! What only the store in memory has: tables to look at, a bound on its history, and a clock that may stand still.

use std::sync::Arc;

use fleet_scaler::decide::plan::Action;
use fleet_scaler::domain::host::{DrainReason, Step};
use fleet_scaler::domain::ids::{Epoch, FleetName, ReplicaId};
use fleet_scaler::domain::launch::{AttemptOutcome, AttemptState, Launch};
use fleet_scaler::domain::time::after;
use fleet_scaler::store::memory::event::Event;
use fleet_scaler::store::memory::rows::{DrainOutcome, LeaseMove, MoveCause};
use fleet_scaler::store::memory::{MemoryStore, Retention};
use fleet_scaler::store::{DecisionFilter, Store as _};

use super::fixture::{HOUR, World, decision, run_instances, take};
use super::subject::{Subject, TestClock, beginning};

fn memory(world: &World) -> &MemoryStore {
    match &world.subject {
        Subject::Memory { store, .. } => store,
        Subject::Postgres { .. } => panic!("this world is on Postgres"),
    }
}

#[tokio::test]
async fn a_checker_sees_who_held_a_lease_and_when() {
    let world = World::in_memory().await;
    world.store.lease_release(&world.fence).await.unwrap();
    take(&*world.store, "web", "replica-2").await;
    world.expire().await;
    take(&*world.store, "web", "replica-2").await;
    let changes = memory(&world).look(|rows| rows.fleets[&world.fence.fleet].lease_changes.clone());
    assert!(changes.is_sorted_by_key(|change| change.at));
    let (one, two) = (ReplicaId::new("replica-1"), ReplicaId::new("replica-2"));
    let told: Vec<_> =
        changes.into_iter().map(|change| (change.holder, change.epoch, change.change)).collect();
    let expected = [
        (one.clone(), Epoch(1), LeaseMove::Taken { before: None }),
        (one.clone(), Epoch(1), LeaseMove::Released),
        (two, Epoch(2), LeaseMove::Taken { before: Some(one) }),
    ];
    assert_eq!(told, expected, "coming back to a lease that nobody took is no change");
}

#[tokio::test]
async fn a_checker_sees_every_step_of_a_host_and_why() {
    let world = World::in_memory().await;
    let host = world.healthy_host("a").await;
    let (commit, draining) = world.scale_in(&[host], DrainReason::ScaleIn).await;
    let deadline = after(world.now().await, HOUR);
    let host = world.step(&draining[0], Step::Deregister { deadline }).await;
    let host = world.step(&host, Step::Terminate).await;
    world.step(&host, Step::ConfirmTerminated).await;
    memory(&world).look(|rows| {
        let moves = &rows.moves[&host.id];
        let states: Vec<_> = moves.iter().map(|one| one.state.name()).collect();
        let life = ["pending", "running", "registered", "healthy", "draining", "deregistered", "terminating"];
        assert_eq!(states, [&life[..], &["terminated"]].concat());
        assert_eq!(moves[0].cause, MoveCause::Launched);
        let MoveCause::Step { decision, .. } = moves[4].cause else { panic!("{:?}", moves[4]) };
        assert_eq!(decision, Some(commit.id));
        assert!(moves.iter().all(|one| one.epoch == world.fence.epoch));
        let drain = rows.drains.values().next().unwrap();
        assert_eq!((drain.decision, drain.deregistered.unwrap().1), (Some(commit.id), deadline));
        assert_eq!(drain.ended.unwrap().1, DrainOutcome::Terminated);
    });
}

#[tokio::test]
async fn a_checker_sees_what_was_sent_and_what_came_of_it() {
    let world = World::in_memory().await;
    let (_, launch) = world.scale_out(2).await;
    let call = run_instances(&launch);
    world.store.call_begin(&world.fence, &call).await.unwrap();
    let fleet = &world.fence.fleet;
    memory(&world).look(|rows| {
        let pending: Vec<_> =
            rows.calls_of(fleet).map(|row| (row.call.id, row.epoch, row.end.is_none())).collect();
        assert_eq!(pending, [(call.id, world.fence.epoch, true)]);
        assert_eq!(rows.open_launches(fleet).map(Launch::missing).sum::<u32>(), 2);
        let token = &rows.unresolved(launch.id).unwrap().attempt.request.client_token;
        assert_eq!(Some(token), call.client_token.as_ref());
    });
    world.buy(&launch, "a").await;
    memory(&world).look(|rows| {
        assert_eq!((rows.alive(fleet).count(), rows.hosts_of(launch.id)), (2, 2));
        let attempts = rows.attempts_of(launch.id);
        let AttemptState::Resolved { outcome, at } = &attempts[0].attempt.state else {
            panic!("{attempts:?}")
        };
        assert_eq!((attempts.len(), outcome), (1, &AttemptOutcome::Launched { count: 2 }));
        assert!(*at > attempts[0].attempt.opened_at);
        assert!(rows.unresolved(launch.id).is_none());
    });
}

#[tokio::test]
async fn history_is_bounded_and_what_is_checked_is_kept() {
    let store = MemoryStore::with_retention(
        Arc::new(TestClock::ticking(beginning())),
        Retention { decisions: 3, events: 5 },
    );
    let fence = take(&store, "web", "replica-1").await;
    let first = decision(Action::ScaleOut, 1, 2, store.now().await.unwrap());
    let at = store.decision_commit(&fence, &first).await.unwrap();
    for wanted in 3..9 {
        let commit = decision(Action::ScaleOut, 1, wanted, store.now().await.unwrap());
        store.decision_commit(&fence, &commit).await.unwrap();
    }
    let listed = store.decisions(&DecisionFilter::default()).await.unwrap();
    assert_eq!(listed.iter().map(|row| row.plan.size_wanted).collect::<Vec<_>>(), [8, 7, 6]);
    assert_eq!(store.decision_commit(&fence, &first).await.unwrap(), at, "it is still known to be done");
    store.look(|rows| {
        assert_eq!(rows.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
        assert!(matches!(rows.events[4].what, Event::Decision(_)));
        assert_eq!(rows.fleets[&fence.fleet].lease_changes.len(), 1);
    });
}

#[tokio::test]
async fn a_clock_that_stands_still_ends_nothing() {
    let world = World::of(Subject::memory(TestClock::standing(beginning()))).await;
    let fleet = FleetName::new("web");
    let first = world.store.fleet_load(&fleet, HOUR, HOUR).await.unwrap();
    for wanted in 1..4 {
        world.commit(&decision(Action::ScaleOut, 0, wanted, first.now)).await;
    }
    let last = world.store.fleet_load(&fleet, HOUR, HOUR).await.unwrap();
    assert_eq!((last.now, last.lease), (first.now, first.lease));
    let listed = world.store.decisions(&DecisionFilter::default()).await.unwrap();
    let wanted: Vec<_> = listed.iter().map(|row| row.plan.size_wanted).collect();
    assert_eq!(wanted, [3, 2, 1], "newest first, though all are of one moment");
}
