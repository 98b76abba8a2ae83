//! Decisions: committed once, whole or not at all, under the ceiling, and what is remembered of them.

use std::time::Duration;

use fleet_scaler::decide::plan::{Action, Answer, Granted};
use fleet_scaler::decide::policy::Mode;
use fleet_scaler::decide::signal::Value;
use fleet_scaler::decide::snapshot::CloudView;
use fleet_scaler::domain::host::{DrainReason, Step};
use fleet_scaler::domain::ids::{DecisionId, FleetName};
use fleet_scaler::domain::launch::Launch;
use fleet_scaler::domain::time::{after, before};
use fleet_scaler::store::{DecisionFilter, OperatorActionKind, StoreError};

use super::fixture::{GROUP, HOUR, World, begin_drain, decision, fresh, launch, take};
use super::subject::on_both_stores;

on_both_stores![
    a_decision_is_stored_whole_and_found_again,
    the_same_commit_again_changes_nothing_and_gives_the_same_time,
    a_commit_that_is_refused_leaves_nothing_behind,
    the_ceiling_counts_live_reserved_orphans_and_new,
    a_draining_host_counts_under_the_ceiling_until_its_termination_was_sent,
    drains_commit_even_above_the_ceiling,
    writers_that_race_never_pass_the_ceiling_together,
    a_run_of_the_same_quiet_answer_is_one_row_with_a_count,
    an_answer_under_a_new_epoch_is_a_row_of_its_own,
    cooldowns_run_from_commits_that_changed_the_size_and_survive_a_restart,
    rules_remember_when_each_last_fired,
    a_dry_run_says_and_remembers_nothing,
    a_decision_answers_the_requests_it_names,
    a_value_that_is_no_number_is_unknown_and_never_spoils_the_window,
    decisions_are_listed_newest_first_and_filtered,
    an_intent_must_be_its_decisions_own,
];

async fn a_decision_is_stored_whole_and_found_again(world: World) {
    let (commit, launch) = world.scale_out(3).await;
    let stored = world.load().await;
    assert_eq!(stored.launches, vec![with_attempt_counted(launch)]);
    assert_eq!(
        stored.window,
        vec![commit.plan.observation.clone()],
        "floats and times survive the round trip"
    );
    assert_eq!(stored.memory.desired, Some(3));
    let rows = world.store.decisions(&DecisionFilter::default()).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].id, &rows[0].plan, rows[0].count), (commit.id, &commit.plan, 1));
    assert_eq!(rows[0].outcome, "in_progress");
    assert_eq!((&rows[0].replica, rows[0].epoch), (&world.fence.replica, world.fence.epoch));
}

/// The row counts the attempt that the intent was committed with.
fn with_attempt_counted(mut launch: Launch) -> Launch {
    launch.attempts = 1;
    launch
}

async fn the_same_commit_again_changes_nothing_and_gives_the_same_time(world: World) {
    let now = world.now().await;
    let mut commit = decision(Action::ScaleOut, 0, 2, now);
    commit.launches = vec![launch(&world.fence, commit.id, 2, now)];
    let first = world.commit(&commit).await;
    assert_eq!(world.commit(&commit).await, first);
    assert_eq!(world.load().await.launches.len(), 1);
    assert_eq!(world.store.decisions(&DecisionFilter::default()).await.unwrap().len(), 1);
}

async fn a_commit_that_is_refused_leaves_nothing_behind(world: World) {
    let host = world.healthy_host("a").await;
    let before = world.load().await;
    let now = world.now().await;
    let mut commit = decision(Action::Replace, 1, 1, now);
    commit.launches = vec![launch(&world.fence, commit.id, 1, now)];
    let stale = fleet_scaler::domain::host::Host { version: host.version - 1, ..host };
    commit.hosts = vec![begin_drain(&stale, DrainReason::Unhealthy, now)];
    let result = world.store.decision_commit(&world.fence, &commit).await;
    assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
    let after = world.load().await;
    assert_eq!((after.launches, after.hosts, after.window), (before.launches, before.hosts, before.window));
}

async fn the_ceiling_counts_live_reserved_orphans_and_new(world: World) {
    world.healthy_host("a").await;
    world.scale_out(2).await;
    for (max, orphans, fits) in [(4, 0, true), (3, 0, false), (4, 1, false), (5, 1, false), (6, 1, true)] {
        let now = world.now().await;
        let mut commit = decision(Action::ScaleOut, 3, 4, now);
        commit.launches = vec![launch(&world.fence, commit.id, 1, now)];
        (commit.max, commit.orphans) = (max, orphans);
        let result = world.store.decision_commit(&world.fence, &commit).await;
        assert_eq!(result.is_ok(), fits, "max {max}, orphans {orphans}: {result:?}");
        if let Err(StoreError::Conflict(sentence)) = result {
            assert!(sentence.contains(&format!("max of {max}")), "{sentence}");
        }
    }
}

async fn a_draining_host_counts_under_the_ceiling_until_its_termination_was_sent(world: World) {
    let host = world.healthy_host("a").await;
    let (_, drained) = world.scale_in(std::slice::from_ref(&host), DrainReason::ScaleIn).await;
    let fits = async || {
        let now = world.now().await;
        let mut commit = decision(Action::Repair, 0, 1, now);
        commit.launches = vec![launch(&world.fence, commit.id, 1, now)];
        commit.max = 1;
        world.store.decision_commit(&world.fence, &commit).await
    };
    assert!(matches!(fits().await, Err(StoreError::Conflict(_))));
    let deadline = after(world.now().await, HOUR);
    let host = world.step(&drained[0], Step::Deregister { deadline }).await;
    assert!(matches!(fits().await, Err(StoreError::Conflict(_))));
    world.step(&host, Step::Terminate).await;
    fits().await.unwrap();
}

async fn drains_commit_even_above_the_ceiling(world: World) {
    let host = world.healthy_host("a").await;
    let now = world.now().await;
    let mut commit = decision(Action::Repair, 1, 0, now);
    commit.max = 0;
    commit.hosts = vec![begin_drain(&host, DrainReason::AboveMax, now)];
    world.commit(&commit).await;
    assert_eq!(world.load().await.drains_in_budget, vec![now]);
}

async fn writers_that_race_never_pass_the_ceiling_together(world: World) {
    let now = world.now().await;
    let commits: Vec<_> = (0..10)
        .map(|_| {
            let mut commit = decision(Action::ScaleOut, 0, 3, now);
            commit.launches = vec![launch(&world.fence, commit.id, 3, now)];
            commit.max = 10;
            commit
        })
        .collect();
    let results = futures::future::join_all(
        commits.iter().map(|commit| world.store.decision_commit(&world.fence, commit)),
    )
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3, "{results:?}");
    let reserved: u32 = world.load().await.launches.iter().map(Launch::missing).sum();
    assert_eq!(reserved, 9);
}

async fn a_run_of_the_same_quiet_answer_is_one_row_with_a_count(world: World) {
    let mut last = None;
    for _ in 0..4 {
        let commit = decision(Action::Hold, 3, 3, world.now().await);
        let at = world.commit(&commit).await;
        assert_eq!(world.commit(&commit).await, at, "a repeated commit is not counted again");
        last = Some(at);
    }
    let rows = world.store.decisions(&DecisionFilter::default()).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].count, Some(rows[0].last_at), rows[0].outcome.as_str()), (4, last, "quiet"));
    assert_eq!(world.load().await.window.len(), 4, "the window has every observation");

    let mut other = decision(Action::Hold, 3, 3, world.now().await);
    other.plan.cloud = CloudView::Unknown("describe timed out".into());
    world.commit(&other).await;
    world.commit(&decision(Action::Hold, 3, 3, world.now().await)).await;
    let counts: Vec<i64> = world
        .store
        .decisions(&DecisionFilter::default())
        .await
        .unwrap()
        .iter()
        .map(|row| row.count)
        .collect();
    assert_eq!(counts, [1, 1, 4], "another answer ends the run");
}

async fn an_answer_under_a_new_epoch_is_a_row_of_its_own(world: World) {
    world.commit(&decision(Action::Hold, 3, 3, world.now().await)).await;
    world.store.lease_release(&world.fence).await.unwrap();
    let fence = take(&*world.store, "web", "replica-2").await;
    let commit = decision(Action::Hold, 3, 3, world.now().await);
    world.store.decision_commit(&fence, &commit).await.unwrap();
    assert_eq!(world.store.decisions(&DecisionFilter::default()).await.unwrap().len(), 2);
}

async fn cooldowns_run_from_commits_that_changed_the_size_and_survive_a_restart(world: World) {
    let commit = async |action, before, wanted| {
        world.commit(&decision(action, before, wanted, world.now().await)).await
    };
    let repair = commit(Action::Repair, 0, 2).await;
    let memory = world.load().await.memory;
    assert_eq!((memory.desired, memory.last_scale_out, memory.last_change), (Some(2), None, None));
    let out = commit(Action::ScaleOut, 2, 4).await;
    assert!(out > repair);
    commit(Action::Replace, 3, 4).await;
    commit(Action::Hold, 4, 4).await;
    let memory = world.load().await.memory;
    assert_eq!((memory.last_scale_out, memory.last_change), (Some(out), Some(out)));
    let inward = commit(Action::ScaleIn, 4, 3).await;
    commit(Action::ScaleIn, 3, 3).await;
    let memory = world.store.fleet_load(&FleetName::new("web"), HOUR, HOUR).await.unwrap().memory;
    assert_eq!(
        (memory.desired, memory.last_scale_out, memory.last_change),
        (Some(3), Some(out), Some(inward))
    );
    let manual = commit(Action::Manual, 3, 5).await;
    let memory = world.load().await.memory;
    assert_eq!((memory.last_scale_out, memory.last_change), (Some(manual), Some(manual)));
}

async fn rules_remember_when_each_last_fired(world: World) {
    let mut commit = decision(Action::ScaleOut, 1, 2, world.now().await);
    commit.plan.rules_fired = vec!["hot".into(), "busy".into()];
    let first = world.commit(&commit).await;
    let mut commit = decision(Action::ScaleOut, 2, 3, world.now().await);
    commit.plan.rules_fired = vec!["hot".into()];
    let second = world.commit(&commit).await;
    let fired = world.load().await.memory.rules_fired;
    assert_eq!(
        fired.into_iter().collect::<Vec<_>>(),
        [("busy".to_owned(), first), ("hot".to_owned(), second)]
    );
}

async fn a_dry_run_says_and_remembers_nothing(world: World) {
    world.commit(&decision(Action::Repair, 0, 2, world.now().await)).await;
    for _ in 0..3 {
        let mut commit = decision(Action::ScaleOut, 2, 4, world.now().await);
        commit.mode = Mode::DryRun;
        commit.plan.rules_fired = vec!["hot".into()];
        world.commit(&commit).await;
    }
    let memory = world.load().await.memory;
    assert_eq!((memory.desired, memory.last_change, memory.rules_fired.len()), (Some(2), None, 0));
    let rows = world.store.decisions(&DecisionFilter::default()).await.unwrap();
    assert_eq!((rows.len(), rows[0].count, rows[0].outcome.as_str()), (2, 3, "dry_run"));
}

#[tokio::test]
async fn a_dry_run_is_a_scale_event_that_took_no_time() {
    let world = World::new().await;
    let mut commit = decision(Action::ScaleOut, 2, 4, world.now().await);
    commit.mode = Mode::DryRun;
    world.commit(&commit).await;
    let events: Vec<(String, i32, Option<String>)> =
        sqlx::query_as("SELECT outcome, size_after, duration::text FROM audit.scale_events ORDER BY at DESC")
            .fetch_all(&world.db().pool())
            .await
            .unwrap();
    assert_eq!(events[0], ("dry_run".to_owned(), 4, None));
}

async fn a_decision_answers_the_requests_it_names(world: World) {
    let granted = world.act(OperatorActionKind::SetSize(5)).await;
    let refused = world.act(OperatorActionKind::SetSize(500)).await;
    let waiting = world.act(OperatorActionKind::SetSize(6)).await;
    let mut commit = decision(Action::Manual, 1, 5, world.now().await);
    let answer = |request, granted, because: &str| Answer { request, granted, because: because.into() };
    commit.plan.answered =
        vec![answer(granted, Granted::Yes, "5 it is"), answer(refused, Granted::No, "500 is above max 20")];
    world.commit(&commit).await;
    let requests = world.load().await.requests;
    assert_eq!(requests.iter().map(|request| request.id).collect::<Vec<_>>(), [waiting]);
}

#[tokio::test]
async fn the_audit_view_says_what_became_of_a_request() {
    let world = World::new().await;
    let granted = world.act(OperatorActionKind::SetSize(5)).await;
    let refused = world.act(OperatorActionKind::SetSize(500)).await;
    world.act(OperatorActionKind::SetSize(6)).await;
    let mut commit = decision(Action::Manual, 1, 5, world.now().await);
    let answer = |request, granted, because: &str| Answer { request, granted, because: because.into() };
    commit.plan.answered =
        vec![answer(granted, Granted::Yes, "5 it is"), answer(refused, Granted::No, "500 is above max 20")];
    world.commit(&commit).await;
    let rows: Vec<(String, Option<String>)> =
        sqlx::query_as("SELECT outcome, answer FROM audit.operator_actions ORDER BY at")
            .fetch_all(&world.db().pool())
            .await
            .unwrap();
    let expected = [
        ("granted".to_owned(), Some("5 it is".to_owned())),
        ("refused".to_owned(), Some("500 is above max 20".to_owned())),
        ("pending".to_owned(), None),
    ];
    assert_eq!(rows, expected);
}

async fn a_value_that_is_no_number_is_unknown_and_never_spoils_the_window(world: World) {
    let mut commit = decision(Action::Hold, 1, 1, world.now().await);
    commit.plan.observation.values.insert("bad".into(), Value::exact(f64::NAN));
    commit.plan.observation.values.insert("worse".into(), Value::exact(f64::INFINITY));
    world.commit(&commit).await;
    let window = world.load().await.window;
    assert_eq!(window.len(), 1);
    assert_eq!(window[0].values.keys().collect::<Vec<_>>(), ["cpu.avg", "qps"]);
    assert!(world.store.decisions(&DecisionFilter::default()).await.is_ok());
}

#[tokio::test]
async fn a_character_that_postgres_cannot_store_never_stops_a_decision() {
    let world = World::new().await;
    let mut commit = decision(Action::Hold, 1, 1, world.now().await);
    commit.plan.reason = "a host\0says so".into();
    commit.plan.observation.faults = vec!["10.0.0.1: unexpected \0 in line 3".into()];
    commit.plan.recommendations[0].because = "\0".into();
    world.commit(&commit).await;
    assert_eq!(world.load().await.window[0].faults, ["10.0.0.1: unexpected  in line 3"]);
}

#[tokio::test]
async fn an_observation_of_another_version_is_left_out_of_the_window() {
    let world = World::new().await;
    world.commit(&decision(Action::Hold, 1, 1, world.now().await)).await;
    sqlx::query(
        "INSERT INTO scaler.observation VALUES ('web', clock_timestamp(), '{\"from\": \"the future\"}')",
    )
    .execute(&world.db().pool())
    .await
    .unwrap();
    assert_eq!(world.load().await.window.len(), 1);
}

#[tokio::test]
async fn the_window_is_cut_at_the_horizon_and_pruned_beyond_its_bound() {
    let world = World::new().await;
    sqlx::query(
        "INSERT INTO scaler.observation
         SELECT 'web', clock_timestamp() - interval '2 hours' - n * interval '30 seconds', '{}'
         FROM generate_series(1, 8000) n",
    )
    .execute(&world.db().pool())
    .await
    .unwrap();
    let kept = async || -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM scaler.observation");
        count.fetch_one(&world.db().pool()).await.unwrap()
    };
    let old = before(world.now().await, Duration::from_hours(2));
    world.commit(&decision(Action::Hold, 1, 1, old)).await;
    assert!(world.load().await.window.is_empty(), "two hours is beyond a horizon of one");
    assert_eq!(kept().await, 7_001, "one commit takes a thousand away");
    for size in 1..3 {
        world.commit(&decision(Action::ScaleOut, size, size + 1, before(old, Duration::from_secs(1)))).await;
    }
    let two_days = (2 * 24 - 2) * 60 * 2;
    assert!((two_days..two_days + 5).contains(&kept().await), "what is younger than two days stays");
    sqlx::query("UPDATE scaler.observation SET at = at - interval '30 days'")
        .execute(&world.db().pool())
        .await
        .unwrap();
    for size in 3..12 {
        world.commit(&decision(Action::ScaleOut, size, size + 1, world.now().await)).await;
    }
    assert_eq!(kept().await, 5_001, "and of a slow fleet the newest 5000, with the row at the edge");
}

async fn decisions_are_listed_newest_first_and_filtered(world: World) {
    let other = take(&*world.store, "db", "replica-1").await;
    world.commit(&decision(Action::Repair, 0, 2, world.now().await)).await;
    let middle = world.commit(&decision(Action::ScaleOut, 2, 3, world.now().await)).await;
    let commit = decision(Action::ScaleOut, 1, 2, world.now().await);
    world.store.decision_commit(&other, &commit).await.unwrap();
    let list = async |filter: DecisionFilter| -> Vec<(String, Action)> {
        let rows = world.store.decisions(&filter).await.unwrap();
        rows.into_iter().map(|row| (row.fleet.to_string(), row.plan.action)).collect()
    };
    let (web, db) = ("web".to_owned(), "db".to_owned());
    let all = [(db, Action::ScaleOut), (web.clone(), Action::ScaleOut), (web.clone(), Action::Repair)];
    assert_eq!(list(DecisionFilter::default()).await, all);
    let fleet = Some(FleetName::new("web"));
    assert_eq!(list(DecisionFilter { fleet: fleet.clone(), ..Default::default() }).await, all[1..]);
    assert_eq!(list(DecisionFilter { since: Some(middle), ..Default::default() }).await, all[..2]);
    assert_eq!(list(DecisionFilter { action: Some(Action::Repair), ..Default::default() }).await, all[2..]);
    assert_eq!(list(DecisionFilter { limit: 1, ..Default::default() }).await, all[..1]);
    assert_eq!(world.store.fleets().await.unwrap(), [FleetName::new("db"), FleetName::new("web")]);
}

async fn an_intent_must_be_its_decisions_own(world: World) {
    let now = world.now().await;
    let mut commit = decision(Action::ScaleOut, 0, 1, now);
    commit.launches = vec![launch(&world.fence, DecisionId(fresh()), 1, now)];
    let result = world.store.decision_commit(&world.fence, &commit).await;
    assert!(matches!(result, Err(StoreError::Refused(_))), "{result:?}");
}

#[tokio::test]
async fn a_drain_belongs_to_the_decision_that_chose_it() {
    let world = World::new().await;
    let host = world.healthy_host("a").await;
    let (commit, _) = world.scale_in(std::slice::from_ref(&host), DrainReason::ScaleIn).await;
    let row: (uuid::Uuid, String, Vec<String>) =
        sqlx::query_as("SELECT decision_id, reason::text, groups FROM scaler.drain")
            .fetch_one(&world.db().pool())
            .await
            .unwrap();
    assert_eq!(row, (commit.id.0, "scale_in".to_owned(), vec![GROUP.to_owned()]));
}
