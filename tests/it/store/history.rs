//! History: it only grows, whoever asks; who may read it may do nothing else; and what got round that is found.

use std::sync::Arc;

use fleet_scaler::domain::host::{DrainReason, Step};
use fleet_scaler::domain::ids::FleetName;
use fleet_scaler::domain::time::after;
use fleet_scaler::store::postgres::PostgresStore;
use fleet_scaler::store::{
    CallAnswer, ConfigChange, ConfigOutcome, Direction, OperatorActionKind, Store as _,
};
use sqlx::{Connection as _, PgConnection, PgPool};

use super::fixture::{HOUR, World, run_instances, take, terminate};
use super::subject::Subject;
use crate::support::{TestDatabase, sql};

/// What happened is never changed.
const HISTORY: [&str; 7] = [
    "scaler.decision",
    "scaler.operator_action",
    "scaler.operator_answer",
    "scaler.config_version",
    "scaler.event",
    "scaler.cloud_call",
    "scaler.cloud_call_outcome",
];

/// A fleet with a bit of everything in its history.
async fn eventful() -> World {
    let world = World::new().await;
    let (_, launch) = world.scale_out(2).await;
    let call = run_instances(&launch);
    world.store.call_begin(&world.fence, &call).await.unwrap();
    let hosts = world.buy(&launch, "a").await;
    let instances = hosts.iter().map(|host| host.id.clone()).collect();
    let answer = CallAnswer { failure: None, instances, request_id: Some("r".into()), duration: HOUR };
    world.store.call_end(call.id, &answer).await.unwrap();
    let mut healthy = Vec::new();
    for host in hosts {
        let host = world.step(&host, Step::Run).await;
        healthy.push(world.step(&host, Step::BecomeHealthy).await);
    }
    let (commit, draining) = world.scale_in(&healthy[..1], DrainReason::ScaleIn).await;
    let deadline = after(world.now().await, HOUR);
    let host = world.step(&draining[0], Step::Deregister { deadline }).await;
    let call = terminate(&world.fence, &host, Some(commit.id));
    world.store.call_begin(&world.fence, &call).await.unwrap();
    let host = world.step(&host, Step::Terminate).await;
    world.step(&host, Step::ConfirmTerminated).await;
    world.act(OperatorActionKind::Pause { direction: Direction::In, span: Some(HOUR) }).await;
    let request = world.act(OperatorActionKind::SetSize(1)).await;
    answer_request(&world, request).await;
    let fleet = Some(FleetName::new("web"));
    let change =
        ConfigChange { fleet, version: "v1".into(), outcome: ConfigOutcome::Applied, text: "a".into() };
    world.store.config_record(&change).await.unwrap();
    world
}

async fn answer_request(world: &World, request: fleet_scaler::domain::ids::OperatorActionId) {
    use fleet_scaler::decide::plan::{Action, Answer, Granted};
    let mut commit = super::fixture::decision(Action::Manual, 1, 1, world.now().await);
    commit.plan.answered =
        vec![Answer { request, granted: Granted::Yes, because: "it is so already".into() }];
    world.commit(&commit).await;
}

async fn refused(pool: &PgPool, statement: String) -> String {
    match sqlx::raw_sql(sql(statement.clone())).execute(pool).await {
        Ok(_) => panic!("{statement} went through"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn history_refuses_update_delete_and_truncate_even_from_its_owner_and_from_a_superuser() {
    let world = eventful().await;
    for pool in [world.db().pool(), world.db().superuser_pool()] {
        for table in HISTORY {
            let rows: i64 = sqlx::query_scalar(sql(format!("SELECT count(*) FROM {table}")))
                .fetch_one(&pool)
                .await
                .unwrap();
            assert!(rows > 0, "{table} has something to lose");
            for statement in [
                format!("UPDATE {table} SET fleet = fleet"),
                format!("UPDATE {table} SET fleet = fleet WHERE false"),
                format!("DELETE FROM {table}"),
                format!("TRUNCATE {table} CASCADE"),
            ] {
                let error = refused(&pool, statement.clone()).await;
                assert!(error.contains("never changed or removed"), "{statement}: {error}");
            }
        }
        let silenced = "SET session_replication_role = replica; DELETE FROM scaler.event";
        refused(&pool, silenced.to_owned()).await;
    }
}

#[tokio::test]
async fn no_row_of_state_can_be_removed_and_no_ended_one_changed() {
    let world = eventful().await;
    let pool = world.db().pool();
    for table in
        ["fleet_state", "lease", "decision_run", "event_chain", "launch", "launch_attempt", "host", "drain"]
    {
        for verb in ["DELETE FROM", "TRUNCATE"] {
            let error = refused(
                &pool,
                format!("{verb} scaler.{table}{}", if verb == "TRUNCATE" { " CASCADE" } else { "" }),
            )
            .await;
            assert!(error.contains("never changed or removed"), "{verb} {table}: {error}");
        }
    }
    for (statement, why) in [
        ("UPDATE scaler.drain SET reason = 'operator' WHERE ended_at IS NOT NULL", "has ended"),
        ("UPDATE scaler.launch_attempt SET outcome = 'spent', launched = NULL", "final"),
        ("UPDATE scaler.event_chain SET seq = seq - 1", "moves only with an event"),
        (
            "INSERT INTO scaler.event_chain VALUES ('x', 0, decode(repeat('00', 32), 'hex'))",
            "moves only with an event",
        ),
    ] {
        let error = refused(&pool, statement.to_owned()).await;
        assert!(error.contains(why), "{statement}: {error}");
    }
}

#[tokio::test]
async fn no_view_of_the_audit_lets_anything_through() {
    let world = eventful().await;
    let pool = world.db().pool();
    let views: Vec<(String, String)> = sqlx::query_as(
        "SELECT table_name::text, min(column_name)::text FROM information_schema.columns
         WHERE table_schema = 'audit' AND data_type = 'text' GROUP BY table_name",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(views.len() >= 6);
    for (view, column) in views {
        for statement in
            [format!("UPDATE audit.{view} SET {column} = 'x'"), format!("DELETE FROM audit.{view}")]
        {
            let error = refused(&pool, statement.clone()).await;
            assert!(error.contains("cannot"), "{statement}: {error}");
        }
    }
}

/// A session as another role, set up by the administrator.
async fn session_as(db: &TestDatabase, role: &str) -> PgConnection {
    let mut connection = PgConnection::connect(db.superuser_url().reveal()).await.unwrap();
    let become_it = sql(format!("SET SESSION AUTHORIZATION {role}"));
    sqlx::raw_sql(become_it).execute(&mut connection).await.unwrap();
    connection
}

#[tokio::test]
async fn the_auditor_reads_the_views_and_nothing_else() {
    let world = eventful().await;
    let mut auditor = session_as(world.db(), "fleet_auditor").await;
    for view in
        ["decisions", "scale_events", "instances", "cloud_calls", "operator_actions", "config_changes"]
    {
        let rows: i64 = sqlx::query_scalar(sql(format!("SELECT count(*) FROM audit.{view}")))
            .fetch_one(&mut auditor)
            .await
            .unwrap_or_else(|error| panic!("{view}: {error}"));
        assert!(rows > 0, "{view} is empty");
        sqlx::raw_sql(sql(format!("SELECT * FROM audit.{view}"))).execute(&mut auditor).await.unwrap();
    }
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'scaler'")
            .fetch_all(&world.db().pool())
            .await
            .unwrap();
    for table in tables {
        for statement in [
            format!("SELECT FROM scaler.{table}"),
            format!("DELETE FROM scaler.{table}"),
            format!("INSERT INTO scaler.{table} DEFAULT VALUES"),
        ] {
            let error =
                sqlx::raw_sql(sql(statement.clone())).execute(&mut auditor).await.unwrap_err().to_string();
            assert!(error.contains("permission denied"), "{statement}: {error}");
        }
    }
    for statement in [
        "DELETE FROM audit.decisions",
        "SELECT scaler.verify_chain('web')",
        "CREATE TABLE audit.mine (x int)",
        "CREATE TABLE public.mine (x int)",
        "CREATE SCHEMA mine",
    ] {
        assert!(sqlx::raw_sql(statement).execute(&mut auditor).await.is_err(), "{statement} went through");
    }
}

#[tokio::test]
async fn the_service_role_can_do_all_its_work_and_cannot_touch_history_or_its_triggers() {
    let db = TestDatabase::new().await;
    let login = sql(format!("service_{}", std::process::id()));
    let admin = db.superuser_pool();
    sqlx::raw_sql(sql(format!("CREATE ROLE {login} LOGIN IN ROLE fleet_scaler_service")))
        .execute(&admin)
        .await
        .unwrap();
    let url = db.url().reveal().replacen("fleet_scaler@", &format!("{login}@"), 1);
    let url = fleet_scaler::config::service::SecretUrl::new(url);
    let store = PostgresStore::connect(&url, 3).unwrap();
    store.schema_check().await.unwrap();
    let fence = take(&store, "web", "replica-1").await;
    let world = World { store: Arc::new(store.clone()), subject: Subject::Postgres { store, db }, fence };
    let host = world.healthy_host("a").await;
    let (_, draining) = world.scale_in(&[host], DrainReason::ScaleIn).await;
    let call = terminate(&world.fence, &draining[0], None);
    world.store.call_begin(&world.fence, &call).await.unwrap();
    let answer = CallAnswer { failure: None, instances: vec![], request_id: None, duration: HOUR };
    world.store.call_end(call.id, &answer).await.unwrap();
    world.act(OperatorActionKind::Resume).await;
    assert_eq!(world.postgres().verify_chain(&world.fence.fleet).await.unwrap().problems, []);
    assert!(PostgresStore::migrate(&url).await.unwrap().is_empty(), "an up-to-date schema needs no rights");

    let mut session = session_as(world.db(), login).await;
    for table in HISTORY {
        for statement in [
            format!("UPDATE {table} SET fleet = fleet"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
            format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
            format!("DROP TABLE {table}"),
        ] {
            let error =
                sqlx::raw_sql(sql(statement.clone())).execute(&mut session).await.unwrap_err().to_string();
            assert!(
                error.contains("permission denied") || error.contains("must be owner"),
                "{statement}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn the_chain_of_an_untouched_history_holds() {
    let world = eventful().await;
    let reports = world.postgres().verify_audit().await.unwrap();
    assert_eq!(reports.iter().map(|report| report.fleet.as_str()).collect::<Vec<_>>(), ["web"]);
    assert!(reports[0].events > 20 && reports[0].head.is_some());
    assert_eq!(reports[0].problems, []);
}

/// What an intruder with the owner's rights does.
async fn tamper(world: &World, table: &str, statement: &str) -> Vec<String> {
    let script = sql(format!(
        "ALTER TABLE {table} DISABLE TRIGGER ALL; {statement}; ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only"
    ));
    sqlx::raw_sql(script).execute(&world.db().superuser_pool()).await.unwrap();
    let report = world.postgres().verify_chain(&world.fence.fleet).await.unwrap();
    report.problems.into_iter().map(|problem| problem.problem).collect()
}

#[tokio::test]
async fn a_changed_event_is_found() {
    let world = eventful().await;
    let found = tamper(&world, "scaler.event", "UPDATE scaler.event SET data = '{}' WHERE seq = 3").await;
    assert!(
        found.iter().any(|problem| problem.starts_with("event 3 ") && problem.ends_with("was changed")),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_removed_event_is_found_in_the_middle_and_at_the_end() {
    let world = eventful().await;
    let found = tamper(&world, "scaler.event", "DELETE FROM scaler.event WHERE seq = 4").await;
    assert!(found.contains(&"events 4 to 4 are missing".to_owned()), "{found:?}");
    let world = eventful().await;
    let newest = "DELETE FROM scaler.event WHERE seq = (SELECT max(seq) FROM scaler.event)";
    let found = tamper(&world, "scaler.event", newest).await;
    assert!(found.iter().any(|problem| problem.starts_with("the chain should end with event")), "{found:?}");
}

#[tokio::test]
async fn a_rewritten_event_with_a_right_hash_is_found_by_its_successor() {
    let world = eventful().await;
    let forged = "UPDATE scaler.event e SET data = '{}' WHERE seq = 3;
                  UPDATE scaler.event e SET hash = scaler.event_hash(e) WHERE seq = 3";
    let found = tamper(&world, "scaler.event", forged).await;
    assert_eq!(found, ["event 4 does not follow the one before it"]);
}

#[tokio::test]
async fn changed_removed_and_smuggled_records_are_found() {
    let world = eventful().await;
    let found = tamper(
        &world,
        "scaler.operator_action",
        "UPDATE scaler.operator_action SET actor = 'eve' WHERE kind = 'pause'",
    )
    .await;
    assert!(
        found.len() == 1 && found[0].starts_with("operator_action ") && found[0].ends_with("was changed"),
        "{found:?}"
    );
    let world = eventful().await;
    let found = tamper(&world, "scaler.cloud_call_outcome", "DELETE FROM scaler.cloud_call_outcome").await;
    assert!(found.len() == 1 && found[0].ends_with("was removed"), "{found:?}");
    let world = eventful().await;
    let smuggle = "INSERT INTO scaler.operator_action (id, fleet, actor, kind, reason)
                   VALUES (gen_random_uuid(), 'web', 'eve', 'resume', '')";
    let found = tamper(&world, "scaler.operator_action", smuggle).await;
    assert!(found.len() == 1 && found[0].ends_with("came in beside the chain"), "{found:?}");
}

#[tokio::test]
async fn a_digest_does_not_depend_on_the_session() {
    let world = eventful().await;
    let odd = "SET TimeZone = 'Asia/Kathmandu'; SET IntervalStyle = 'iso_8601'; SET DateStyle = 'German';
               SELECT 1/count(*) FROM scaler.history_digests('web');
               SELECT 1/(count(*) = 0)::int FROM scaler.verify_chain('web')";
    sqlx::raw_sql(odd).execute(&world.db().pool()).await.unwrap();
}

#[tokio::test]
async fn events_of_writers_that_race_form_one_chain() {
    let world = World::new().await;
    let acts = (0..20).map(|n| world.act(OperatorActionKind::SetSize(n)));
    futures::future::join_all(acts).await;
    let report = world.postgres().verify_chain(&world.fence.fleet).await.unwrap();
    assert_eq!((report.problems.len(), report.events), (0, 21), "20 acts and a lease");
}

#[tokio::test]
async fn a_scale_event_says_how_it_went() {
    let world = World::new().await;
    let outcomes = async || -> Vec<(String, Option<bool>)> {
        sqlx::query_as("SELECT outcome, duration >= interval '0' FROM audit.scale_events ORDER BY at")
            .fetch_all(&world.db().pool())
            .await
            .unwrap()
    };
    let (_, launch) = world.scale_out(2).await;
    assert_eq!(outcomes().await, [("in_progress".to_owned(), None)]);
    let hosts = world.buy(&launch, "a").await;
    let first = world.step(&hosts[0], Step::Run).await;
    let first = world.step(&first, Step::BecomeHealthy).await;
    assert_eq!(outcomes().await, [("in_progress".to_owned(), None)]);
    world.step(&hosts[1], Step::Lose).await;
    assert_eq!(outcomes().await, [("partial".to_owned(), Some(true))]);
    let (_, launch) = world.scale_out(1).await;
    let host = world.buy(&launch, "b").await.remove(0);
    world.step(&host, Step::Lose).await;
    let (_, draining) = world.scale_in(&[first], DrainReason::ScaleIn).await;
    let all = outcomes().await;
    assert_eq!(all[1..], [("failed".to_owned(), Some(true)), ("in_progress".to_owned(), None)]);
    world.step(&draining[0], Step::ConfirmTerminated).await;
    assert_eq!(outcomes().await[2], ("done".to_owned(), Some(true)));
}
