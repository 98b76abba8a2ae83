//! What decisions were made from: kept with them or not at all, the same when it is read, and gone when it is old.

use std::sync::Arc;
use std::time::Duration;

use fleet_scaler::decide::inputs::Basis;
use fleet_scaler::decide::plan::{Action, Plan};
use fleet_scaler::decide::snapshot::Snapshot;
use fleet_scaler::domain::time::{Timestamp, after, before};
use fleet_scaler::store::history::{INPUTS_KEPT, ObservedQuery, Recorded, RecordedQuery};
use fleet_scaler::store::{DecisionCommit, DecisionFilter, StoreError};

use super::fixture::{HOUR, World, begin_drain, decision, host, host_view, launch};
use super::subject::on_both_stores;
use crate::support::sql;

on_both_stores![
    what_a_decision_was_made_from_is_kept_with_it_to_the_last_letter,
    of_a_run_the_first_ones_inputs_are_kept,
    a_commit_that_is_refused_keeps_no_inputs,
    inputs_are_read_page_by_page_and_of_one_fleet,
    inputs_go_after_two_days_and_the_decision_stays,
];

/// Everything that is recorded of the fleet, page by page of two.
async fn recorded(world: &World) -> Vec<Recorded> {
    let since = before(world.now().await, Duration::from_hours(24 * 365));
    let until = after(world.now().await, HOUR);
    let fleet = world.fence.fleet.clone();
    let mut query = RecordedQuery { fleet, since, until, after: None, limit: 2 };
    let mut found: Vec<Recorded> = Vec::new();
    loop {
        let page = world.store.recorded(&query).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { return found };
        query.after = Some((last.at, last.id));
        found.extend(page);
    }
}

/// The same with something in it that is easily bent on its way.
fn with_oddities(mut commit: DecisionCommit) -> DecisionCommit {
    let mut snapshot = Snapshot::clone(&commit.basis.snapshot);
    snapshot.current.values.insert("odd".into(), fleet_scaler::decide::signal::Value::exact(-0.0));
    snapshot.current.values.insert("tiny".into(), fleet_scaler::decide::signal::Value::exact(5e-324));
    snapshot.current.faults = vec!["10.0.0.1: \0 and \u{1F98A} and \"quotes\"".into()];
    commit.basis = Basis { snapshot: Arc::new(snapshot), withheld: Some("no template".into()) };
    commit
}

async fn what_a_decision_was_made_from_is_kept_with_it_to_the_last_letter(world: World) {
    let at = world.now().await;
    let commit = with_oddities(decision(Action::ScaleOut, 1, 2, at));
    world.commit(&commit).await;
    let found = recorded(&world).await;
    let inputs = commit.basis.inputs().unwrap();
    assert_eq!((found.len(), found[0].id, found[0].count), (1, commit.id, 1));
    assert_eq!(found[0].seal, Some(inputs.seal()));
    assert_eq!(found[0].inputs.as_ref(), Some(&inputs));
    assert_eq!(serde_json::from_value::<Plan>(found[0].plan.clone()).unwrap(), commit.plan);
    assert_eq!(inputs.open().unwrap().basis(vec![]).unwrap(), commit.basis);
    let query = ObservedQuery { fleet: world.fence.fleet.clone(), first: at, last: at };
    assert_eq!(world.store.observed(&query).await.unwrap(), [commit.plan.observation]);
    let earlier = before(at, Duration::from_micros(1));
    let none = ObservedQuery { first: before(at, HOUR), last: earlier, ..query.clone() };
    assert!(world.store.observed(&none).await.unwrap().is_empty());
    let reversed = ObservedQuery { first: at, last: earlier, ..query };
    assert!(world.store.observed(&reversed).await.unwrap().is_empty());
}

async fn of_a_run_the_first_ones_inputs_are_kept(world: World) {
    let first = decision(Action::Hold, 1, 1, world.now().await);
    world.commit(&first).await;
    world.commit(&with_oddities(decision(Action::Hold, 1, 1, world.now().await))).await;
    let found = recorded(&world).await;
    assert_eq!((found.len(), found[0].id, found[0].count), (1, first.id, 2));
    assert_eq!(found[0].inputs, Some(first.basis.inputs().unwrap()));
    assert_eq!(found[0].seal, Some(first.basis.inputs().unwrap().seal()));
}

async fn a_commit_that_is_refused_keeps_no_inputs(world: World) {
    let now = world.now().await;
    let mut commit = decision(Action::Replace, 1, 1, now);
    let launch = launch(&world.fence, commit.id, 1, now);
    let stranger = host(&launch, "i-stranger", now);
    commit.hosts = vec![begin_drain(&stranger, fleet_scaler::domain::host::DrainReason::Unhealthy, now)];
    let result = world.store.decision_commit(&world.fence, &commit).await;
    assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
    assert!(recorded(&world).await.is_empty());
}

async fn inputs_are_read_page_by_page_and_of_one_fleet(world: World) {
    let other = super::fixture::take(&*world.store, "db", "replica-1").await;
    let mut made = Vec::new();
    for size in 1..6 {
        let commit = decision(Action::ScaleOut, size, size + 1, world.now().await);
        made.push((commit.id, world.commit(&commit).await));
        let others = decision(Action::ScaleOut, size, size + 1, world.now().await);
        world.store.decision_commit(&other, &others).await.unwrap();
    }
    let ids = |found: &[Recorded]| found.iter().map(|one| one.id).collect::<Vec<_>>();
    let wanted: Vec<_> = made.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids(&recorded(&world).await), wanted, "oldest first, each once");
    let (since, until): (Timestamp, Timestamp) = (made[1].1, made[3].1);
    let fleet = world.fence.fleet.clone();
    let query = RecordedQuery { fleet, since, until, after: None, limit: 0 };
    assert_eq!(ids(&world.store.recorded(&query).await.unwrap()), wanted[1..3]);
}

async fn inputs_go_after_two_days_and_the_decision_stays(world: World) {
    world.commit(&decision(Action::ScaleOut, 1, 2, world.now().await)).await;
    let again = async || super::fixture::take(&*world.store, "web", "replica-1").await;
    world.subject.pass(INPUTS_KEPT.saturating_sub(HOUR)).await;
    again().await;
    world.commit(&decision(Action::ScaleOut, 2, 3, world.now().await)).await;
    let kept = |found: &[Recorded]| found.iter().map(|one| one.inputs.is_some()).collect::<Vec<_>>();
    assert_eq!(kept(&recorded(&world).await), [true, true]);
    world.subject.pass(2 * HOUR).await;
    again().await;
    world.commit(&decision(Action::ScaleOut, 3, 4, world.now().await)).await;
    let found = recorded(&world).await;
    assert_eq!(kept(&found), [false, true, true]);
    assert_eq!(world.store.decisions(&DecisionFilter::default()).await.unwrap().len(), 3);
    world.subject.pass(INPUTS_KEPT + HOUR).await;
    again().await;
    world.commit(&decision(Action::ScaleOut, 4, 5, world.now().await)).await;
    assert_eq!(kept(&recorded(&world).await), [false, false, false, true]);
}

async fn count(world: &World, table: &str) -> i64 {
    let query = sql(format!("SELECT count(*) FROM scaler.{table}"));
    sqlx::query_scalar(query).fetch_one(&world.db().pool()).await.unwrap()
}

#[tokio::test]
async fn a_policy_is_kept_once_and_goes_with_its_last_decision() {
    let world = World::new().await;
    let mut commit = decision(Action::ScaleOut, 1, 2, world.now().await);
    world.commit(&commit).await;
    for size in 2..5 {
        let mut next = decision(Action::ScaleOut, size, size + 1, world.now().await);
        let mut snapshot = Snapshot::clone(&next.basis.snapshot);
        Arc::make_mut(&mut snapshot.policy).size.max = 7;
        next.basis.snapshot = Arc::new(snapshot);
        world.commit(&next).await;
        commit = next;
    }
    assert_eq!((count(&world, "decision_input").await, count(&world, "decision_policy").await), (4, 2));
    world.subject.pass(INPUTS_KEPT + HOUR).await;
    super::fixture::take(&*world.store, "web", "replica-1").await;
    for _ in 0..2 {
        let again = decision(Action::ScaleOut, 1, 2, world.now().await);
        world.commit(&DecisionCommit { basis: commit.basis.clone(), ..again }).await;
    }
    assert_eq!((count(&world, "decision_input").await, count(&world, "decision_policy").await), (2, 1));
}

/// They may go, but while they are there they are what was written; and that they go breaks no chain.
#[tokio::test]
async fn inputs_are_never_changed_and_their_going_leaves_the_chain_whole() {
    let world = World::new().await;
    world.commit(&decision(Action::ScaleOut, 1, 2, world.now().await)).await;
    for pool in [world.db().pool(), world.db().superuser_pool()] {
        for table in ["decision_input", "decision_policy"] {
            for statement in [
                format!("UPDATE scaler.{table} SET doc = '{{}}'"),
                format!("UPDATE scaler.{table} SET doc = doc WHERE false"),
                format!("TRUNCATE scaler.{table} CASCADE"),
            ] {
                let error =
                    sqlx::raw_sql(sql(statement.clone())).execute(&pool).await.unwrap_err().to_string();
                assert!(error.contains("written once"), "{statement}: {error}");
            }
        }
    }
    sqlx::raw_sql("DELETE FROM scaler.decision_input; DELETE FROM scaler.decision_policy")
        .execute(&world.db().pool())
        .await
        .unwrap();
    let report = world.postgres().verify_chain(&world.fence.fleet).await.unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    sqlx::raw_sql("ALTER TABLE scaler.decision DISABLE TRIGGER append_only; UPDATE scaler.decision SET inputs_seal = 'x'")
        .execute(&world.db().pool())
        .await
        .unwrap();
    let report = world.postgres().verify_chain(&world.fence.fleet).await.unwrap();
    assert!(!report.problems.is_empty(), "the seal hangs on the chain");
}

/// What a decision of a fleet of this size takes in the database: the inputs, and beside them the plan.
async fn bytes(world: &World, hosts: u32) -> (i32, i32) {
    let at = world.now().await;
    let mut commit = decision(Action::ScaleOut, hosts, hosts + 1, at);
    let mut snapshot = Snapshot::clone(&commit.basis.snapshot);
    snapshot.hosts = (0..hosts).map(|number| host_view(number, at)).collect();
    commit.basis.snapshot = Arc::new(snapshot);
    world.commit(&commit).await;
    let sizes = "SELECT pg_column_size(i.doc), pg_column_size(d.plan) FROM scaler.decision_input i
         JOIN scaler.decision d ON d.id = i.decision_id WHERE d.id = $1";
    sqlx::query_as(sizes).bind(commit.id.0).fetch_one(&world.db().pool()).await.unwrap()
}

#[tokio::test]
async fn what_is_kept_of_a_decision_is_small() {
    let world = World::new().await;
    let (small, large) = (bytes(&world, 20).await, bytes(&world, 200).await);
    assert!(small.0 < 6_000, "{small:?}");
    assert!(large.0 < 50_000, "{large:?}");
}
