//! Leases and fences: who may write, and who not any more.

use std::time::Duration;

use fleet_scaler::decide::plan::Action;
use fleet_scaler::domain::failure::FailureClass;
use fleet_scaler::domain::host::Step;
use fleet_scaler::domain::ids::{Epoch, FleetName, ReplicaId};
use fleet_scaler::domain::launch::AbandonReason;
use fleet_scaler::store::{Fence, HostChange, LeaseAnswer, Orphan, Store, StoreError, TakenOver};

use super::fixture::{
    LEASE, World, attempt, decision, host, launch, launched, resolution, run_instances, take,
};
use super::subject::on_both_stores;
use crate::support::TestDatabase;

on_both_stores![
    a_lease_is_kept_under_its_epoch_and_refused_to_others,
    an_expired_or_released_lease_changes_hands_under_a_higher_epoch,
    of_many_replicas_that_ask_at_once_one_gets_it,
    every_write_under_a_fence_that_fell_is_refused_and_changes_nothing,
    an_expired_lease_fences_even_its_own_holder,
];

async fn ask(store: &dyn Store, replica: &str, span: Duration) -> LeaseAnswer {
    store.lease_take(&FleetName::new("shop"), &ReplicaId::new(replica), span).await.unwrap()
}

fn held(answer: LeaseAnswer) -> (Fence, TakenOver) {
    match answer {
        LeaseAnswer::Held { fence, taken_over, .. } => (fence, taken_over),
        LeaseAnswer::Other { holder, .. } => panic!("{holder} holds it"),
    }
}

async fn a_lease_is_kept_under_its_epoch_and_refused_to_others(world: World) {
    let store = &*world.store;
    let (first, taken_over) = held(ask(store, "a", LEASE).await);
    assert_eq!((first.epoch, taken_over), (Epoch(1), TakenOver::Yes));
    let (second, taken_over) = held(ask(store, "a", LEASE).await);
    assert_eq!((second, taken_over), (first.clone(), TakenOver::No));
    let LeaseAnswer::Other { holder, expires_at } = ask(store, "b", LEASE).await else { panic!("b has it") };
    assert_eq!(holder, ReplicaId::new("a"));
    assert!(expires_at > store.now().await.unwrap());
}

async fn an_expired_or_released_lease_changes_hands_under_a_higher_epoch(world: World) {
    let store = &*world.store;
    let (a, _) = held(ask(store, "a", LEASE).await);
    world.expire().await;
    let (b, taken_over) = held(ask(store, "b", LEASE).await);
    assert_eq!((b.epoch, taken_over), (Epoch(2), TakenOver::Yes));
    assert!(matches!(store.lease_release(&a).await, Err(StoreError::Fenced { .. })));
    store.lease_release(&b).await.unwrap();
    let (again, taken_over) = held(ask(store, "b", LEASE).await);
    assert_eq!(
        (again.epoch, taken_over),
        (Epoch(2), TakenOver::No),
        "nobody has acted since it was given back"
    );
    world.expire().await;
    assert_eq!(held(ask(store, "b", LEASE).await).0.epoch, Epoch(2), "nor since it ran out");
    world.expire().await;
    assert_eq!(held(ask(store, "a", LEASE).await).0.epoch, Epoch(3), "somebody else raises it");
}

async fn of_many_replicas_that_ask_at_once_one_gets_it(world: World) {
    let store = &*world.store;
    let names: Vec<String> = (0..12).map(|n| format!("r{n}")).collect();
    let answers = futures::future::join_all(names.iter().map(|name| ask(store, name, LEASE))).await;
    let winners = answers.iter().filter(|answer| matches!(answer, LeaseAnswer::Held { .. })).count();
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn the_schema_itself_keeps_epochs_rising() {
    let db = TestDatabase::new().await;
    take(&db.store(), "web", "a").await;
    for statement in ["UPDATE scaler.lease SET epoch = 0", "UPDATE scaler.lease SET holder = 'b'"] {
        let error = sqlx::query(statement).execute(&db.pool()).await.unwrap_err();
        assert!(error.to_string().contains("an epoch only rises"), "{statement}: {error}");
    }
}

/// Every write that carries a fence, with one that does not stand.
async fn every_write(world: &World, fence: &Fence) -> Vec<(&'static str, Result<(), StoreError>)> {
    let store = &world.store;
    let now = world.now().await;
    let commit = decision(Action::ScaleOut, 0, 1, now);
    let (_, known) = world.scale_out(1).await;
    let other = launch(fence, commit.id, 1, now);
    let bought = host(&known, "i-1", now);
    let change =
        HostChange { after: bought.clone().advance(&Step::Run, now).unwrap(), step: Some(Step::Run) };
    let orphan = Orphan { id: bought.id.clone(), fleet: fence.fleet.clone() };
    let attempt = attempt(&other, "eu-west-1b", now);
    let wait = Duration::from_secs(1);
    let open = known.open_attempt().unwrap().id;
    vec![
        ("lease_release", store.lease_release(fence).await),
        ("decision_commit", store.decision_commit(fence, &commit).await.map(drop)),
        ("attempt_open", store.attempt_open(fence, &attempt).await),
        ("attempt_defer", store.attempt_defer(fence, open, FailureClass::Throttled, wait).await),
        (
            "attempt_resolve",
            store.attempt_resolve(fence, &resolution(&known, launched(1), vec![bought.clone()])).await,
        ),
        ("launch_abandon", store.launch_abandon(fence, known.id, AbandonReason::NotWanted).await),
        ("call_begin", store.call_begin(fence, &run_instances(&known)).await),
        ("calls_settle_abandoned", store.calls_settle_abandoned(fence).await.map(drop)),
        ("host_advance", store.host_advance(fence, &change).await),
        ("orphan_sighted", store.orphan_sighted(fence, &orphan).await.map(drop)),
        ("host_adopt", store.host_adopt(fence, &bought).await),
    ]
}

async fn every_write_under_a_fence_that_fell_is_refused_and_changes_nothing(world: World) {
    let stale = Fence { epoch: Epoch(world.fence.epoch.0 - 1), ..world.fence.clone() };
    let stranger = Fence { replica: ReplicaId::new("stranger"), ..world.fence.clone() };
    let unknown = Fence { fleet: FleetName::new("nobody"), ..world.fence.clone() };
    for fence in [&stale, &stranger, &unknown] {
        for (name, result) in every_write(&world, fence).await {
            assert!(matches!(result, Err(StoreError::Fenced { .. })), "{name} under {fence:?}: {result:?}");
        }
    }
    let stored = world.load().await;
    assert!(stored.hosts.is_empty());
    assert_eq!(stored.launches.len(), 3, "only those that the right fence opened");
}

async fn an_expired_lease_fences_even_its_own_holder(world: World) {
    let commit = decision(Action::Hold, 0, 0, world.now().await);
    world.expire().await;
    let result = world.store.decision_commit(&world.fence, &commit).await;
    assert!(matches!(result, Err(StoreError::Fenced { .. })), "{result:?}");
    assert_eq!(world.load().await.lease.unwrap().epoch, world.fence.epoch, "it is still known who held it");
}

#[tokio::test]
async fn a_lease_that_runs_out_while_its_holder_waits_for_the_row_is_not_taken_for_alive() {
    let db = TestDatabase::new().await;
    let store = db.store();
    let (fence, _) = held(ask(&store, "a", Duration::from_millis(300)).await);
    let commit = decision(Action::Hold, 0, 0, store.now().await.unwrap());
    let pool = db.pool();
    let mut blocker = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM scaler.lease WHERE fleet = 'shop' FOR UPDATE")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.decision_commit(&fence, &commit).await }
    });
    tokio::time::sleep(Duration::from_millis(600)).await;
    blocker.rollback().await.unwrap();
    let result = waiting.await.unwrap();
    assert!(matches!(result, Err(StoreError::Fenced { .. })), "{result:?}");
}
