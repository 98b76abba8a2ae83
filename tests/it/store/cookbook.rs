//! The audit cookbook: every query in it runs, as the auditor, and finds what it looks for.

use std::collections::BTreeMap;

use fleet_scaler::decide::plan::{Action, Effect, Guard, Verdict};
use fleet_scaler::domain::failure::{CloudError, FailureClass};
use fleet_scaler::domain::host::{DrainReason, Step};
use fleet_scaler::domain::time::after;
use fleet_scaler::store::history::Refusal;
use fleet_scaler::store::{CallAnswer, ConfigChange, ConfigOutcome, Direction, OperatorActionKind};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::fixture::{HOUR, World, decision, run_instances, terminate};
use crate::support::sql;

const COOKBOOK: &str = include_str!("../../../docs/audit-cookbook.md");
const RUNBOOK: &str = include_str!("../../../docs/runbook.md");
const CANDIDATES: &str = include_str!("../../../docs/candidates.md");
const SCHEDULES: &str = include_str!("../../../docs/schedules.md");
const QUESTIONS: &str = include_str!("../../../docs/questions.md");

/// The SQL blocks of the cookbook, each under its heading.
fn recipes() -> BTreeMap<String, String> {
    let (mut heading, mut block, mut found) = (String::new(), None::<String>, BTreeMap::new());
    for line in COOKBOOK.lines() {
        match (&mut block, line) {
            (None, "```sql") => block = Some(String::new()),
            (Some(_), "```") => {
                let earlier = found.insert(heading.clone(), block.take().unwrap());
                assert!(earlier.is_none(), "two blocks under {heading:?}");
            }
            (Some(text), line) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, line) if line.starts_with("## ") => line[3..].clone_into(&mut heading),
            (None, _) => {}
        }
    }
    assert!(block.is_none(), "a block without an end");
    found
}

/// A day in a fleet's life in which everything happened that the recipes ask about.
async fn day() -> World {
    let world = World::new().await;
    let capacity = CloudError::new(FailureClass::Capacity, "InsufficientInstanceCapacity", "no room");
    let (_, launch) = world.scale_out(1).await;
    let call = run_instances(&launch);
    world.store.call_begin(&world.fence, &call).await.unwrap();
    let refusal = CallAnswer { failure: Some(capacity), instances: vec![], request_id: None, duration: HOUR };
    world.store.call_end(call.id, &refusal).await.unwrap();
    let host = world.buy(&launch, "a").await.remove(0);
    let host = world.step(&host, Step::Run).await;
    let host = world.step(&host, Step::BecomeHealthy).await;
    for _ in 0..3 {
        let mut held = decision(Action::Hold, 1, 1, world.now().await);
        let because = "scale-out cools down".to_owned();
        held.plan.verdicts.push(Verdict { guard: Guard::Cooldown, effect: Effect::Refuse, because });
        held.plan.verdicts.push(Verdict {
            guard: Guard::Step,
            effect: Effect::Clamp { from: 4, to: 1 },
            because: "at most 1 host a decision".to_owned(),
        });
        world.commit(&held).await;
    }
    let (commit, draining) = world.scale_in(&[host], DrainReason::ScaleIn).await;
    let deadline = after(world.now().await, HOUR);
    let host = world.step(&draining[0], Step::Deregister { deadline }).await;
    world.store.call_begin(&world.fence, &terminate(&world.fence, &host, Some(commit.id))).await.unwrap();
    let host = world.step(&host, Step::Terminate).await;
    world.step(&host, Step::ConfirmTerminated).await;
    world.healthy_host("b").await;
    world.act(OperatorActionKind::Pause { direction: Direction::Both, span: Some(HOUR) }).await;
    let fleet = Some(world.fence.fleet.clone());
    let change =
        ConfigChange { fleet, version: "v1".into(), outcome: ConfigOutcome::Applied, text: "max = 3".into() };
    world.store.config_record(&change).await.unwrap();
    let (token, peer, request) = (String::new(), "192.0.2.7".to_owned(), "GET /api/v1/fleets".to_owned());
    let refusal = Refusal { cause: "no_token", token, peer, request, count: 1 };
    world.store.refusals_record(&[refusal]).await.unwrap();
    world
}

/// Every statement of a document: blocks, in the middle of a list too, and lines within a sentence.
fn statements(document: &str) -> Vec<String> {
    let blocks = document.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sql\n"));
    let blocks = blocks.flat_map(|block| block.split_inclusive(';')).map(str::to_owned);
    let inline = document.split('`').filter(|code| code.starts_with("SELECT ")).map(str::to_owned);
    blocks.chain(inline).filter(|statement| !statement.trim().is_empty()).collect()
}

async fn auditor(world: &World) -> PgConnection {
    let mut auditor = PgConnection::connect(world.db().superuser_url().reveal()).await.unwrap();
    let become_it = "SET SESSION AUTHORIZATION fleet_auditor; SET TimeZone = 'UTC'";
    sqlx::raw_sql(become_it).execute(&mut auditor).await.unwrap();
    auditor
}

/// What they look for has not happened on a good day; that they can be asked is what whoever is called needs.
#[tokio::test]
async fn every_query_of_the_runbook_and_the_questions_runs_as_the_auditor() {
    let (runbook, questions) = (statements(RUNBOOK), statements(QUESTIONS));
    assert!(runbook.len() >= 12, "only {}: {runbook:?}", runbook.len());
    assert_eq!(questions.len(), 10, "one query for each question");
    let world = day().await;
    let mut auditor = auditor(&world).await;
    let more = [statements(SCHEDULES), statements(CANDIDATES)].concat();
    assert_eq!(more.len(), 2, "{more:?}");
    for statement in runbook.into_iter().chain(questions).chain(more) {
        let ran = sqlx::raw_sql(sql(statement.clone())).fetch_all(&mut auditor).await;
        assert!(ran.is_ok(), "{statement}\n{}", ran.err().map(|error| error.to_string()).unwrap_or_default());
    }
}

/// Each of the ten has its page, its command and its query.
#[test]
fn every_question_is_answered_in_three_ways() {
    let questions: Vec<&str> = QUESTIONS.split("\n## ").skip(1).collect();
    assert_eq!(questions.len(), 10);
    for question in questions {
        for way in ["\n### Page\n", "\n### Command\n\n```\n$ fleet-scaler ", "\n### Query\n\n```sql\n"] {
            assert!(question.contains(way), "{way:?} is missing: {question}");
        }
    }
}

/// One column of what a recipe finds.
async fn column(auditor: &mut PgConnection, recipe: &str, name: &str) -> Vec<String> {
    let rows = sqlx::raw_sql(sql(recipe.to_owned())).fetch_all(auditor).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(name)).collect()
}

#[tokio::test]
async fn guards_and_lives_are_told_in_words() {
    let recipes = recipes();
    let world = day().await;
    let mut auditor = auditor(&world).await;
    let guards = &recipes["Which guards said no, and how often, in the last day?"];
    let mut effects = column(&mut auditor, guards, "effect").await;
    effects.sort();
    assert_eq!(effects, ["clamp", "refuse"]);
    let life = recipes["What was a host's life?"].replace("i-0abc123", "i-a0");
    assert_eq!(
        column(&mut auditor, &life, "state").await,
        ["pending", "running", "healthy", "draining", "deregistered", "terminating", "terminated"]
    );
}

#[tokio::test]
async fn every_recipe_runs_as_the_auditor_and_finds_something() {
    let recipes = recipes();
    assert!(recipes.len() >= 10, "only {} recipes", recipes.len());
    let world = day().await;
    let mut auditor = auditor(&world).await;
    let at: String =
        sqlx::query_scalar("SELECT to_char(max(at), 'YYYY-MM-DD HH24:MI:SS.US') FROM audit.decisions")
            .fetch_one(&mut auditor)
            .await
            .unwrap();
    for (heading, recipe) in recipes {
        // The examples name a moment and a host; this day's are other ones.
        let query = recipe.replace("2026-11-21 03:12", &at).replace("i-0abc123", "i-a0");
        let rows = sqlx::raw_sql(sql(query)).fetch_all(&mut auditor).await;
        let rows = rows.unwrap_or_else(|error| panic!("{heading}: {error}"));
        assert!(!rows.is_empty(), "{heading}: found nothing");
        assert!(!rows[0].is_empty(), "{heading}: no columns");
    }
}
