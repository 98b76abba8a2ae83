//! A database that goes away and comes back.

use std::time::{Duration, Instant};

use fleet_scaler::config::service::SecretUrl;
use fleet_scaler::decide::plan::Action;
use fleet_scaler::store::postgres::PostgresStore;
use fleet_scaler::store::{DecisionFilter, Store as _, StoreError};

use super::fixture::{decision, take};
use crate::support::{TestCluster, TestDatabase, sql};

#[tokio::test]
async fn a_database_that_stops_is_unavailable_and_the_same_store_goes_on_when_it_is_back() {
    let mut cluster = TestCluster::dedicated().await;
    let database = cluster.database().await;
    let store = database.store();
    let fence = take(&store, "web", "replica-1").await;
    let commit = decision(Action::ScaleOut, 1, 2, store.now().await.unwrap());
    cluster.stop_immediate().await;
    let asked = Instant::now();
    assert!(matches!(store.now().await, Err(StoreError::Unavailable(_))));
    assert!(asked.elapsed() < Duration::from_secs(5), "readiness must know within 5 s");
    let lost = store.decision_commit(&fence, &commit).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    cluster.start().await;
    store.decision_commit(&fence, &commit).await.unwrap();
    assert_eq!(store.decisions(&DecisionFilter::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_connection_that_an_administrator_kills_is_unavailable_once() {
    let database = TestDatabase::new().await;
    let store = PostgresStore::connect(database.url(), 1).unwrap();
    let fence = take(&store, "web", "replica-1").await;
    let commit = decision(Action::Hold, 1, 1, store.now().await.unwrap());
    let pool = database.pool();
    let mut blocker = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM scaler.lease FOR UPDATE").execute(&mut *blocker).await.unwrap();
    let waiting = tokio::spawn({
        let (store, fence, commit) = (store.clone(), fence.clone(), commit.clone());
        async move { store.decision_commit(&fence, &commit).await }
    });
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'fleet-scaler' AND wait_event_type = 'Lock'";
    let mut killed = 0;
    while killed == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        killed = sqlx::query(kill).execute(&database.superuser_pool()).await.unwrap().rows_affected();
    }
    let result = waiting.await.unwrap();
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
    blocker.rollback().await.unwrap();
    store.decision_commit(&fence, &commit).await.unwrap();
}

#[tokio::test]
async fn a_lock_that_is_never_given_up_is_not_waited_for_for_ever() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let fence = take(&store, "web", "replica-1").await;
    let pool = database.pool();
    let mut blocker = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM scaler.lease FOR UPDATE").execute(&mut *blocker).await.unwrap();
    let result = store.lease_release(&fence).await;
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
}

/// Makes the first so many inserts of a decision fail for a reason that has nothing to do with them.
async fn fail_first(pool: &sqlx::PgPool, times: u32, condition: &str) {
    let script = sql(format!(
        "CREATE SEQUENCE scaler.tries;
         CREATE FUNCTION scaler.fail_first() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF nextval('scaler.tries') <= {times} THEN
                 RAISE EXCEPTION 'made up' USING ERRCODE = '{condition}';
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER fail_first BEFORE INSERT ON scaler.decision
             FOR EACH ROW EXECUTE FUNCTION scaler.fail_first()"
    ));
    sqlx::raw_sql(script).execute(pool).await.unwrap();
}

async fn tries(pool: &sqlx::PgPool) -> i64 {
    sqlx::query_scalar("SELECT last_value FROM scaler.tries").fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_deadlock_and_a_serialization_failure_are_tried_again() {
    for condition in ["deadlock_detected", "serialization_failure"] {
        let database = TestDatabase::new().await;
        let store = database.store();
        let fence = take(&store, "web", "replica-1").await;
        let pool = database.pool();
        fail_first(&pool, 2, condition).await;
        let commit = decision(Action::Hold, 1, 1, store.now().await.unwrap());
        store.decision_commit(&fence, &commit).await.unwrap();
        assert_eq!(tries(&pool).await, 3, "{condition}");
        let stored = store.fleet_load(&fence.fleet, Duration::from_mins(1), Duration::ZERO).await.unwrap();
        assert_eq!(stored.window.len(), 1, "{condition}");
    }
}

#[tokio::test]
async fn a_transaction_that_never_gets_through_is_given_up_and_leaves_nothing() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let fence = take(&store, "web", "replica-1").await;
    let pool = database.pool();
    fail_first(&pool, 1_000, "serialization_failure").await;
    let commit = decision(Action::ScaleOut, 1, 2, store.now().await.unwrap());
    let result = store.decision_commit(&fence, &commit).await;
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
    assert_eq!(tries(&pool).await, 6, "once, and five times again");
    let stored = store.fleet_load(&fence.fleet, Duration::from_mins(1), Duration::ZERO).await.unwrap();
    assert_eq!((stored.window.len(), stored.memory.desired), (0, None));
}

#[tokio::test]
async fn what_the_schema_refuses_is_not_tried_again() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let fence = take(&store, "web", "replica-1").await;
    let pool = database.pool();
    fail_first(&pool, 1_000, "check_violation").await;
    let commit = decision(Action::ScaleOut, 1, 2, store.now().await.unwrap());
    let result = store.decision_commit(&fence, &commit).await;
    assert!(matches!(result, Err(StoreError::Refused(_))), "{result:?}");
    assert_eq!(tries(&pool).await, 1);
}

#[tokio::test]
async fn nobody_at_the_address_is_unavailable_and_a_bad_url_says_so() {
    let nobody = SecretUrl::new("postgres://x:secret@127.0.0.1:1/x");
    let store = PostgresStore::connect(&nobody, 1).unwrap();
    let error = store.schema_check().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(!format!("{error} {error:?} {store:?}").contains("secret"));
    let error = PostgresStore::connect(&SecretUrl::new("not a url"), 1).unwrap_err();
    assert!(error.to_string().contains("postgres://user@host/database"), "{error}");
}

#[tokio::test]
async fn no_statement_stays_prepared_on_the_server() {
    let cluster = TestCluster::dedicated().await;
    let database = cluster.database().await;
    let log = cluster.server().socket_dir().join("server.log");
    let name: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&database.pool()).await.unwrap();
    sqlx::raw_sql(sql(format!("ALTER DATABASE {name} SET log_statement = 'all'")))
        .execute(&database.superuser_pool())
        .await
        .unwrap();
    let store = database.store();
    store.schema_check().await.unwrap();
    let fence = take(&store, "web", "replica-1").await;
    let commit = decision(Action::ScaleOut, 1, 2, store.now().await.unwrap());
    store.decision_commit(&fence, &commit).await.unwrap();
    store.fleet_load(&fence.fleet, Duration::from_mins(1), Duration::ZERO).await.unwrap();
    PostgresStore::migrate(database.url()).await.unwrap();
    let text = std::fs::read_to_string(log).unwrap();
    assert!(text.matches("execute <unnamed>").count() > 20, "{text}");
    assert!(!text.contains("execute sqlx"), "a name would mean nothing on the next server behind a pooler");
}
