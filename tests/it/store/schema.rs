//! The schema: how it comes to be, how it is told apart, and that it explains itself.

use std::collections::BTreeSet;

use fleet_scaler::config::service::SecretUrl;
use fleet_scaler::decide::plan::Action;
use fleet_scaler::domain::failure::FailureClass;
use fleet_scaler::domain::host::{DrainReason, HostState};
use fleet_scaler::domain::ids::FleetName;
use fleet_scaler::store::postgres::PostgresStore;
use fleet_scaler::store::{Operation, Store as _, StoreError};
use serde_json::Value;
use sqlx::{Column as _, Either, Executor as _, TypeInfo as _};

use crate::support::{TestCluster, TestDatabase, sql};

const VIEWS: [(&str, &str); 7] = [
    (
        "decisions",
        "decision_id, at, fleet, replica, epoch, action, size_before, size_wanted, reason, inputs, recommendations, verdicts",
    ),
    ("scale_events", "decision_id, at, fleet, action, size_before, size_after, cause, outcome, duration"),
    (
        "instances",
        "instance_id, fleet, state, zone, instance_type, launch_id, decision_id, launched_at, healthy_at, drain_started_at, terminated_at, termination_reason",
    ),
    (
        "cloud_calls",
        "at, fleet, op, decision_id, launch_id, instance_ids, attempt, zone, client_token, request_id, outcome, error_code, duration",
    ),
    ("operator_actions", "at, fleet, actor, action, reason"),
    (
        "candidates",
        "decision_id, at, last_at, count, fleet, candidate, action, size_wanted, recommended, reason, real_action, real_size_before, real_size_wanted",
    ),
    ("config_changes", "at, fleet, version, outcome, diff"),
];

fn schema_message(result: Result<impl std::fmt::Debug, StoreError>) -> String {
    match result {
        Err(StoreError::Schema(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn processes_that_migrate_at_once_do_it_once() {
    let database = TestDatabase::empty().await;
    let unmigrated = schema_message(database.store().schema_check().await);
    assert!(unmigrated.contains("fleet-scaler migrate"), "{unmigrated}");
    let results = futures::future::join_all((0..4).map(|_| PostgresStore::migrate(database.url()))).await;
    let mut applied: Vec<usize> = results.into_iter().map(|result| result.unwrap().len()).collect();
    applied.sort_unstable();
    let all = std::fs::read_dir("migrations").unwrap().count();
    assert_eq!(applied, [0, 0, 0, all]);
    database.store().schema_check().await.unwrap();
    assert!(PostgresStore::migrate(database.url()).await.unwrap().is_empty());
}

/// Most servers' order of text does not look at hyphens at first; the contract's does, on every server.
#[tokio::test]
async fn fleets_are_in_the_order_of_their_letters_whatever_the_server_speaks() {
    let database = TestCluster::shared().await.empty_database_in("en-u-ka-shifted").await;
    PostgresStore::migrate(database.url()).await.unwrap();
    let store = database.store();
    let sorted = ["a-c", "a1", "ab", "b-2", "b1"];
    for name in ["b1", "ab", "a-c", "b-2", "a1"] {
        super::fixture::take(&store, name, "replica-1").await;
    }
    let names = store.fleets().await.unwrap();
    assert_eq!(names.iter().map(FleetName::as_str).collect::<Vec<_>>(), sorted);
    let naive: Vec<String> = sqlx::query_scalar("SELECT fleet FROM scaler.fleet_state ORDER BY fleet")
        .fetch_all(&database.pool())
        .await
        .unwrap();
    assert_ne!(naive, sorted, "this server would have sorted them its own way");
}

#[tokio::test]
async fn a_schema_of_another_program_is_refused_with_what_to_do() {
    let newer = TestDatabase::new().await;
    let insert = "INSERT INTO scaler.schema_migration (version, description, checksum)
                  VALUES (9999, 'from the future', '')";
    sqlx::query(insert).execute(&newer.pool()).await.unwrap();
    for message in [
        schema_message(newer.store().schema_check().await),
        schema_message(PostgresStore::migrate(newer.url()).await),
    ] {
        assert!(message.contains("at version 9999") && message.contains("newer program"), "{message}");
    }
    let older = TestDatabase::new().await;
    let delete = "DELETE FROM scaler.schema_migration WHERE version = (SELECT max(version) FROM scaler.schema_migration)";
    sqlx::query(delete).execute(&older.pool()).await.unwrap();
    let message = schema_message(older.store().schema_check().await);
    assert!(message.contains("lacks 1 of") && message.contains("fleet-scaler migrate"), "{message}");
    let edited = TestDatabase::new().await;
    let update = "UPDATE scaler.schema_migration SET checksum = 'x' WHERE version = 1";
    sqlx::query(update).execute(&edited.pool()).await.unwrap();
    let message = schema_message(edited.store().schema_check().await);
    assert!(message.contains("migration 1 ") && message.contains("different builds"), "{message}");
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
    let database = TestDatabase::empty().await;
    sqlx::raw_sql("CREATE SCHEMA audit; CREATE TABLE audit.decisions (mine int)")
        .execute(&database.pool())
        .await
        .unwrap();
    let message = schema_message(PostgresStore::migrate(database.url()).await);
    assert!(message.contains("nothing was changed") && message.contains("decisions"), "{message}");
    let left: bool = sqlx::query_scalar("SELECT to_regnamespace('scaler') IS NOT NULL")
        .fetch_one(&database.pool())
        .await
        .unwrap();
    assert!(!left);
}

/// A server on which no database knows our roles.
async fn without_roles() -> TestCluster {
    let cluster = TestCluster::dedicated().await;
    let url = cluster.server().url_of("postgres", "fleet_scaler");
    let pool = sqlx::PgPool::connect(url.reveal()).await.unwrap();
    sqlx::raw_sql(
        "DROP OWNED BY fleet_auditor, fleet_scaler_service; DROP ROLE fleet_auditor, fleet_scaler_service",
    )
    .execute(&pool)
    .await
    .unwrap();
    cluster
}

#[tokio::test]
async fn roles_are_made_once_a_server_by_whoever_may_and_else_the_message_says_what_to_do() {
    let cluster = without_roles().await;
    let (one, two, three) =
        (cluster.empty_database().await, cluster.empty_database().await, cluster.empty_database().await);
    sqlx::raw_sql(sql(format!(
        "CREATE ROLE plain LOGIN; CREATE ROLE maker LOGIN CREATEROLE;
         GRANT CREATE ON DATABASE {} TO plain, maker",
        database_of(three.url())
    )))
    .execute(&three.superuser_pool())
    .await
    .unwrap();
    let as_role =
        |role: &str| SecretUrl::new(three.url().reveal().replacen("fleet_scaler@", &format!("{role}@"), 1));
    let message = schema_message(PostgresStore::migrate(&as_role("plain")).await);
    assert!(message.contains("CREATEROLE") && message.contains("CREATE ROLE fleet_auditor"), "{message}");
    let (first, second) = tokio::join!(PostgresStore::migrate(one.url()), PostgresStore::migrate(two.url()));
    assert!(first.is_ok() && second.is_ok(), "two databases at once: {first:?}, {second:?}");
    PostgresStore::migrate(&as_role("maker")).await.unwrap();
    PostgresStore::connect(&as_role("maker"), 2).unwrap().schema_check().await.unwrap();
}

fn database_of(url: &SecretUrl) -> String {
    url.reveal().split(['/', '?']).nth(3).unwrap().to_owned()
}

#[tokio::test]
async fn the_views_have_the_columns_that_operators_were_promised() {
    let database = TestDatabase::new().await;
    for (view, promised) in VIEWS {
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT column_name::text FROM information_schema.columns
             WHERE table_schema = 'audit' AND table_name = $1 ORDER BY ordinal_position",
        )
        .bind(view)
        .fetch_all(&database.pool())
        .await
        .unwrap();
        let promised: Vec<&str> = promised.split(", ").collect();
        assert_eq!(columns[..promised.len()], promised, "audit.{view}");
    }
}

#[tokio::test]
async fn every_table_view_column_type_and_function_says_what_it_is() {
    let database = TestDatabase::new().await;
    let silent: Vec<String> = sqlx::query_scalar(
        "SELECT c.oid::regclass || coalesce('.' || a.attname, '') FROM pg_class c
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relnamespace IN ('scaler'::regnamespace, 'audit'::regnamespace) AND c.relkind IN ('r', 'v')
           AND (coalesce(col_description(c.oid, a.attnum), '') = '' OR coalesce(obj_description(c.oid), '') = '')
         UNION ALL
         SELECT 'function ' || p.proname FROM pg_proc p
         WHERE p.pronamespace = 'scaler'::regnamespace AND coalesce(obj_description(p.oid, 'pg_proc'), '') = ''
         UNION ALL
         SELECT 'type ' || t.typname FROM pg_type t
         WHERE t.typnamespace = 'scaler'::regnamespace AND t.typtype = 'e'
           AND coalesce(obj_description(t.oid, 'pg_type'), '') = ''
         UNION ALL
         SELECT 'schema ' || n.nspname FROM pg_namespace n
         WHERE n.nspname IN ('scaler', 'audit') AND coalesce(obj_description(n.oid, 'pg_namespace'), '') = ''",
    )
    .fetch_all(&database.pool())
    .await
    .unwrap();
    assert!(silent.is_empty(), "{silent:?}");
}

#[tokio::test]
async fn the_schemas_words_are_the_programs() {
    let database = TestDatabase::new().await;
    let pool = database.pool();
    let words = async |name: &str| -> BTreeSet<String> {
        let query = sql(format!("SELECT unnest(enum_range(NULL::scaler.{name}))::text"));
        sqlx::query_scalar(query).fetch_all(&pool).await.unwrap().into_iter().collect()
    };
    let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(words("host_state").await, own(&HostState::NAMES));
    assert_eq!(words("drain_reason").await, own(&DrainReason::ALL.map(DrainReason::as_str)));
    assert_eq!(words("decision_action").await, own(&Action::ALL.map(Action::as_str)));
    let classes = [
        FailureClass::Capacity,
        FailureClass::Quota,
        FailureClass::Throttled,
        FailureClass::Denied,
        FailureClass::Invalid,
        FailureClass::NotFound,
        FailureClass::TokenMismatch,
        FailureClass::TokenSpent,
        FailureClass::Protected,
        FailureClass::Unknown,
    ];
    assert_eq!(words("failure_class").await, own(&classes.map(FailureClass::as_str)));
    let operations = [
        Operation::RunInstances,
        Operation::RegisterTargets,
        Operation::DeregisterTargets,
        Operation::TerminateInstances,
    ];
    assert_eq!(words("cloud_operation").await, own(&operations.map(Operation::as_str)));
}

/// `"TextArray"` in the data, `TEXT[]` from the server.
fn type_name(info: &Value) -> String {
    let name = info.as_str().unwrap_or_else(|| panic!("{info} is no plain type")).to_uppercase();
    match name.strip_suffix("ARRAY") {
        Some(element) => format!("{element}[]"),
        None => name,
    }
}

#[tokio::test]
async fn the_data_that_queries_are_checked_against_is_of_this_schema() {
    let database = TestDatabase::new().await;
    let pool = database.superuser_pool();
    let mut checked = 0;
    for entry in std::fs::read_dir(".sqlx").unwrap() {
        let path = entry.unwrap().path();
        let data: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let query = data["query"].as_str().unwrap();
        let now = pool.describe(sqlx::SqlSafeStr::into_sql_str(sql(query.to_owned()))).await;
        let now = now.unwrap_or_else(|error| panic!("{query}: {error}: run scripts/sqlx-prepare.sh"));
        let stored = &data["describe"];
        let columns: Vec<(String, String)> = stored["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| (column["name"].as_str().unwrap().to_owned(), type_name(&column["type_info"])))
            .collect();
        let current: Vec<(String, String)> = now
            .columns()
            .iter()
            .map(|column| (column.name().to_owned(), column.type_info().name().to_owned()))
            .collect();
        assert_eq!(current, columns, "{query}: run scripts/sqlx-prepare.sh");
        let parameters: Vec<String> =
            stored["parameters"]["Left"].as_array().unwrap().iter().map(type_name).collect();
        let Some(Either::Left(current)) = now.parameters() else { panic!("{query}: no parameters") };
        let current: Vec<String> = current.iter().map(|info| info.name().to_owned()).collect();
        assert_eq!(current, parameters, "{query}: run scripts/sqlx-prepare.sh");
        for (n, (name, _)) in columns.iter().enumerate() {
            // Where a query says itself whether a column can be null, what sqlx makes of the plan does not matter (and
            // changes with the planner's mood).
            if !name.contains(['!', '?']) {
                let nullable = stored["nullable"][n].as_bool();
                assert_eq!(now.nullable(n), nullable, "{query}: {name}: run scripts/sqlx-prepare.sh");
            }
        }
        checked += 1;
    }
    assert!(checked > 50, "only {checked} queries in .sqlx");
}
