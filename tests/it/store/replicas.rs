//! Who lives, as the replicas tell each other through the store.

use std::time::Duration;

use fleet_scaler::domain::ids::{FleetName, ReplicaId};
use fleet_scaler::store::postgres::PostgresStore;
use fleet_scaler::store::{Muster, Store as _};

use super::fixture::{LEASE, take};
use crate::support::TestDatabase;

async fn muster(store: &PostgresStore, replica: &str, span: Duration) -> Muster {
    store.muster(&ReplicaId::new(replica), span).await.unwrap()
}

fn names(muster: &Muster) -> Vec<&str> {
    muster.replicas.iter().map(ReplicaId::as_str).collect()
}

#[tokio::test]
async fn each_hears_of_all_that_live_by_name() {
    let db = TestDatabase::new().await;
    let store = db.store();
    assert_eq!(names(&muster(&store, "b", LEASE).await), ["b"]);
    assert_eq!(names(&muster(&store, "a", LEASE).await), ["a", "b"]);
    assert_eq!(names(&muster(&store, "B", LEASE).await), ["B", "a", "b"], "in the order of their bytes");
    assert_eq!(names(&muster(&store, "b", LEASE).await), ["B", "a", "b"], "saying it again changes nothing");
}

#[tokio::test]
async fn one_that_left_or_fell_silent_is_not_counted() {
    let db = TestDatabase::new().await;
    let store = db.store();
    muster(&store, "left", LEASE).await;
    muster(&store, "silent", Duration::ZERO).await;
    store.muster_leave(&ReplicaId::new("left")).await.unwrap();
    store.muster_leave(&ReplicaId::new("never-was")).await.unwrap();
    assert_eq!(names(&muster(&store, "here", LEASE).await), ["here"]);
    let asked = muster(&store, "silent", Duration::ZERO).await;
    assert_eq!(names(&asked), ["here", "silent"], "whoever asks is there");
}

#[tokio::test]
async fn the_dead_are_forgotten_in_the_end() {
    let db = TestDatabase::new().await;
    let store = db.store();
    muster(&store, "old", LEASE).await;
    muster(&store, "older", LEASE).await;
    let age = "UPDATE scaler.replica SET seen_at = seen_at - interval '3 hours', expires_at = expires_at - \
               CASE name WHEN 'old' THEN interval '30 minutes' ELSE interval '2 hours' END";
    sqlx::query(age).execute(&db.pool()).await.unwrap();
    muster(&store, "new", LEASE).await;
    let rows: Vec<String> = sqlx::query_scalar("SELECT name FROM scaler.replica ORDER BY name")
        .fetch_all(&db.pool())
        .await
        .unwrap();
    assert_eq!(rows, ["new", "old"]);
}

#[tokio::test]
async fn leases_are_told_as_they_stand_held_or_not() {
    let db = TestDatabase::new().await;
    let store = db.store();
    let held = take(&store, "web", "a").await;
    let given = take(&store, "api", "b").await;
    store.lease_release(&given).await.unwrap();
    store.muster_leave(&given.replica).await.unwrap();
    let muster = muster(&store, "a", LEASE).await;
    assert_eq!(muster.leases.len(), 2);
    let (web, api) = (&muster.leases[&FleetName::new("web")], &muster.leases[&FleetName::new("api")]);
    assert_eq!((&web.holder, web.epoch), (&held.replica, held.epoch));
    assert!(web.expires_at > muster.now);
    assert_eq!((&api.holder, api.epoch), (&given.replica, given.epoch));
    assert!(api.expires_at <= muster.now, "it was given back");
}
