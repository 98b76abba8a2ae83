//! What people ask of the memory: pages that fit together, filters, and how every fleet stands.

use std::time::Duration;

use fleet_scaler::decide::plan::{Action, Answer, Granted};
use fleet_scaler::domain::host::{DrainReason, Host, Step};
use fleet_scaler::domain::ids::{DecisionId, FleetName, InstanceId, OperatorActionId, TargetGroupArn};
use fleet_scaler::domain::time::{Timestamp, after};
use fleet_scaler::store::history::{DecisionQuery, EventQuery, Refusal, SeriesQuery};
use fleet_scaler::store::{
    CallAnswer, CloudCall, DecisionCommit, Direction, Fence, Operation, OperatorActionKind,
};

use super::fixture::{HOUR, World, decision, fresh, run_instances, take, terminate};
use super::subject::{Subject, on_both_stores};
use crate::support::sql;

const MINUTE: Duration = Duration::from_mins(1);

on_both_stores![
    pages_of_decisions_meet_whatever_is_decided_in_between,
    decisions_are_found_by_fleet_time_and_action,
    a_decision_is_shown_with_the_calls_that_followed,
    calls_for_several_hosts_are_shown_with_each_decision,
    pages_of_events_meet_and_are_found_by_kind_and_subject,
    a_standing_says_what_the_whole_fleet_says,
    a_series_has_the_last_observation_of_each_part,
    an_action_is_read_as_it_was_made_and_with_its_answer,
    a_pulse_moves_with_events_and_ticks,
    refusals_are_counted_by_hour_cause_and_token,
];

/// Commits a decision with this action; a minute goes by first.
async fn decided(world: &World, fence: &Fence, action: Action, wanted: u32) -> DecisionId {
    world.subject.pass(MINUTE).await;
    // The lease is as long as the pause between two decisions.
    take(&*world.store, fence.fleet.as_str(), fence.replica.as_str()).await;
    let commit = decision(action, 1, wanted, world.now().await);
    world.store.decision_commit(fence, &commit).await.unwrap();
    commit.id
}

async fn page(world: &World, query: &DecisionQuery) -> Vec<(Timestamp, DecisionId)> {
    let heads = world.store.decision_heads(query).await.unwrap();
    heads.into_iter().map(|head| (head.at, head.id)).collect()
}

async fn pages_of_decisions_meet_whatever_is_decided_in_between(world: World) {
    let other = take(&*world.store, "db", "replica-1").await;
    let mut made = Vec::new();
    for number in 0..7 {
        let fence = if number % 3 == 0 { &other } else { &world.fence };
        made.insert(0, decided(&world, fence, Action::ScaleOut, 2 + number).await);
    }
    let mut query = DecisionQuery { limit: 3, ..DecisionQuery::default() };
    let mut read = Vec::new();
    loop {
        let page = page(&world, &query).await;
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        query.after = Some(*last);
        read.extend(page.into_iter().map(|(_, id)| id));
        decided(&world, &world.fence, Action::ScaleIn, 1).await;
    }
    assert_eq!(read, made);
}

async fn decisions_are_found_by_fleet_time_and_action(world: World) {
    let db = take(&*world.store, "db", "replica-1").await;
    let of_db = decided(&world, &db, Action::ScaleOut, 3).await;
    let hold = decided(&world, &world.fence, Action::Hold, 1).await;
    let before = world.now().await;
    let out = decided(&world, &world.fence, Action::ScaleOut, 4).await;
    let between = world.now().await;
    let manual = decided(&world, &world.fence, Action::Manual, 2).await;
    let found = async |query: DecisionQuery| -> Vec<DecisionId> {
        page(&world, &query).await.into_iter().map(|(_, id)| id).collect()
    };
    let all = DecisionQuery::default();
    let web = || Some(FleetName::new("web"));
    assert_eq!(found(all.clone()).await, [manual, out, hold, of_db]);
    assert_eq!(found(DecisionQuery { fleet: web(), ..all.clone() }).await, [manual, out, hold]);
    assert_eq!(found(DecisionQuery { since: Some(before), ..all.clone() }).await, [manual, out]);
    assert_eq!(found(DecisionQuery { until: Some(between), fleet: web(), ..all.clone() }).await, [out, hold]);
    let actions = vec![Action::ScaleOut, Action::Manual];
    assert_eq!(found(DecisionQuery { actions, ..all.clone() }).await, [manual, out, of_db]);
    let actions = vec![Action::Hold, Action::Manual];
    assert_eq!(found(DecisionQuery { actions, ..all }).await, [manual, hold]);
}

async fn a_decision_is_shown_with_the_calls_that_followed(world: World) {
    let (bought, launch) = world.scale_out(1).await;
    let run = run_instances(&launch);
    world.store.call_begin(&world.fence, &run).await.unwrap();
    let host = world.buy(&launch, "a").await.remove(0);
    let instances = vec![host.id.clone()];
    let answer = CallAnswer { failure: None, instances, request_id: Some("r-1".into()), duration: MINUTE };
    world.store.call_end(run.id, &answer).await.unwrap();
    let (sent_away, draining) = world.scale_in(&[host], DrainReason::ScaleIn).await;
    let end = terminate(&world.fence, &draining[0], Some(sent_away.id));
    world.store.call_begin(&world.fence, &end).await.unwrap();

    let (decision, calls) = world.store.decision(bought.id).await.unwrap().unwrap();
    assert_eq!((decision.plan.reason, decision.outcome.as_str()), (bought.plan.reason, "failed"));
    let said: Vec<_> = calls.iter().map(|call| (call.id, call.outcome.as_str(), &*call.instances)).collect();
    assert_eq!(said, [(run.id, "ok", &[InstanceId::new("i-a0")][..])]);
    assert_eq!(calls[0].request_id.as_deref(), Some("r-1"));
    let (_, calls) = world.store.decision(sent_away.id).await.unwrap().unwrap();
    let said: Vec<_> = calls.iter().map(|call| (call.id, call.outcome.as_str())).collect();
    assert_eq!(said, [(end.id, "pending")]);
    assert!(calls[0].answered_at.is_none());
    assert!(world.store.decision(DecisionId(fresh())).await.unwrap().is_none());
}

/// The loop registers, deregisters and terminates hosts of several decisions in one call, so those calls name none.
async fn calls_for_several_hosts_are_shown_with_each_decision(world: World) {
    let (bought, launch) = world.scale_out(2).await;
    let mut hosts = Vec::new();
    for host in world.buy(&launch, "a").await {
        hosts.push(world.step(&host, Step::Run).await);
    }
    let group = Some(TargetGroupArn::new("arn:web"));
    let call = |op, instances: &[&Host]| CloudCall {
        op,
        target_group: group.clone().filter(|_| op != Operation::TerminateInstances),
        instances: instances.iter().map(|host| host.id.clone()).collect(),
        ..terminate(&world.fence, instances[0], None)
    };
    let register = call(Operation::RegisterTargets, &[&hosts[0], &hosts[1]]);
    world.store.call_begin(&world.fence, &register).await.unwrap();
    let mut healthy = Vec::new();
    for host in hosts {
        healthy.push(world.step(&host, Step::BecomeHealthy).await);
    }
    let (first, one) = world.scale_in(&healthy[..1], DrainReason::ScaleIn).await;
    let (second, other) = world.scale_in(&healthy[1..], DrainReason::Operator).await;
    let deregister = call(Operation::DeregisterTargets, &[&one[0], &other[0]]);
    world.store.call_begin(&world.fence, &deregister).await.unwrap();
    let end = call(Operation::TerminateInstances, &[&one[0]]);
    world.store.call_begin(&world.fence, &end).await.unwrap();
    for (decision, expected) in [
        (bought.id, vec![register.id]),
        (first.id, vec![deregister.id, end.id]),
        (second.id, vec![deregister.id]),
    ] {
        let (_, calls) = world.store.decision(decision).await.unwrap().unwrap();
        assert_eq!(calls.iter().map(|call| call.id).collect::<Vec<_>>(), expected);
    }
}

async fn pages_of_events_meet_and_are_found_by_kind_and_subject(world: World) {
    let host = world.healthy_host("a").await;
    let all = world.store.events(&EventQuery::default()).await.unwrap();
    let kinds: Vec<_> = all.iter().rev().map(|event| event.kind.as_str()).collect();
    let steps = ["decision", "launch_opened", "attempt_resolved", "host_launched", "launch_closed", "host"];
    assert_eq!(kinds[0], "lease_taken", "{kinds:?}");
    for kind in steps {
        assert!(kinds.contains(&kind), "{kind} is not among {kinds:?}");
    }
    let mut query = EventQuery { limit: 3, ..EventQuery::default() };
    let mut read = Vec::new();
    loop {
        let page = world.store.events(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        query.after = Some(last.key());
        read.extend(page);
    }
    assert_eq!(read, all);
    let of_host = EventQuery {
        subject: Some(host.id.to_string()),
        kinds: vec!["host".into()],
        ..EventQuery::default()
    };
    let found = world.store.events(&of_host).await.unwrap();
    let states: Vec<_> = found.iter().map(|event| event.data["state"]["state"].clone()).collect();
    assert_eq!(states, ["healthy", "registered", "running"]);
    let elsewhere = EventQuery { fleet: Some(FleetName::new("db")), ..EventQuery::default() };
    assert!(world.store.events(&elsewhere).await.unwrap().is_empty());
}

async fn a_standing_says_what_the_whole_fleet_says(world: World) {
    take(&*world.store, "db", "replica-1").await;
    world.healthy_host("a").await;
    let (last, _) = world.scale_out(2).await;
    world.act(OperatorActionKind::SetSize(3)).await;
    world.act(OperatorActionKind::Pause { direction: Direction::In, span: Some(HOUR) }).await;
    let stored = world.load().await;
    let standings = world.store.standings().await.unwrap();
    assert_eq!(standings.iter().map(|one| one.fleet.as_str()).collect::<Vec<_>>(), ["db", "web"]);
    let web = &standings[1];
    assert_eq!((&web.memory, &web.lease), (&stored.memory, &stored.lease));
    assert_eq!(web.hosts.iter().map(|(state, n)| (state.as_str(), *n)).collect::<Vec<_>>(), [("healthy", 1)]);
    assert_eq!((web.reserved, web.requests, web.pools_cooling), (2, 1, 0));
    assert_eq!(web.observed.as_ref(), stored.window.last());
    let head = web.last.as_ref().unwrap();
    assert_eq!((head.id, head.outcome.as_str(), head.size_wanted), (last.id, "in_progress", 3));
    assert_eq!(standings[0].last, None);
}

async fn a_series_has_the_last_observation_of_each_part(world: World) {
    let since = world.now().await;
    let mut seen = Vec::new();
    for wanted in [2, 3, 4, 5] {
        decided(&world, &world.fence, Action::ScaleOut, wanted).await;
        seen.push(world.load().await.window.last().unwrap().at);
    }
    let fleet = || FleetName::new("web");
    let until = after(since, 4 * MINUTE + MINUTE / 2);
    let halves = SeriesQuery { fleet: fleet(), since, until, points: 2 };
    let samples = world.store.samples(&halves).await.unwrap();
    let found: Vec<_> = samples.iter().map(|sample| (sample.observation.at, sample.wanted)).collect();
    assert_eq!(found, [(seen[1], Some(3)), (seen[3], Some(5))]);
    let early = SeriesQuery { fleet: fleet(), since, until: after(since, MINUTE / 2), points: 10 };
    assert!(world.store.samples(&early).await.unwrap().is_empty(), "a part without an observation is a gap");

    // What the window has lost, the decisions still tell.
    forget_observations(&world, seen[2]).await;
    let again = world.store.samples(&halves).await.unwrap();
    let found: Vec<_> = again.iter().map(|sample| (sample.observation.at, sample.wanted)).collect();
    assert_eq!(found, [(seen[1], Some(3)), (seen[3], Some(5))]);
}

/// Takes away what was observed before a moment, as time does.
async fn forget_observations(world: &World, before: Timestamp) {
    match &world.subject {
        Subject::Postgres { db, .. } => {
            let delete = format!("DELETE FROM scaler.observation WHERE at < '{before}'");
            let gone = sqlx::raw_sql(sql(delete)).execute(&db.superuser_pool()).await.unwrap();
            assert_eq!(gone.rows_affected(), 2);
        }
        // Memory keeps an hour at least, and nothing takes a row out of it; its decisions are found in the other store.
        Subject::Memory { .. } => {}
    }
}

async fn an_action_is_read_as_it_was_made_and_with_its_answer(world: World) {
    let kinds = [
        OperatorActionKind::Pause { direction: Direction::Out, span: Some(HOUR) },
        OperatorActionKind::Pause { direction: Direction::Both, span: None },
        OperatorActionKind::Resume,
        OperatorActionKind::Drain(InstanceId::new("i-9")),
        OperatorActionKind::Evaluate,
    ];
    for kind in kinds {
        let id = world.act(kind.clone()).await;
        let record = world.store.operator_action(id).await.unwrap().unwrap();
        assert_eq!((record.action.id, &record.action.kind, record.answer), (id, &kind, None));
        assert_eq!(
            (record.action.actor.as_str(), record.action.reason.as_str()),
            ("ada", "because of the tests")
        );
    }
    let asked: Vec<_> = world.load().await.requests.into_iter().map(|request| request.ask).collect();
    assert_eq!(asked.len(), 1, "only the drain waits for a decision: {asked:?}");
    let request = world.act(OperatorActionKind::SetSize(4)).await;
    let answer = Answer { request, granted: Granted::No, because: "the fleet is paused".into() };
    let mut commit: DecisionCommit = decision(Action::Hold, 1, 1, world.now().await);
    commit.plan.answered = vec![answer.clone()];
    world.commit(&commit).await;
    let record = world.store.operator_action(request).await.unwrap().unwrap();
    let (decision, at, said) = record.answer.unwrap();
    assert_eq!((decision, said), (commit.id, answer));
    assert!(at >= record.at);
    assert!(world.store.operator_action(OperatorActionId(fresh())).await.unwrap().is_none());
}

async fn a_pulse_moves_with_events_and_ticks(world: World) {
    let web = FleetName::new("web");
    let first = world.store.pulses().await.unwrap()[&web];
    decided(&world, &world.fence, Action::Hold, 1).await;
    let ticked = world.store.pulses().await.unwrap()[&web];
    assert!(ticked.seq > first.seq && ticked.observed_at > first.observed_at, "{first:?} {ticked:?}");
    // The same quiet answer again is no event, and still a tick.
    let observed_at = ticked.observed_at;
    decided(&world, &world.fence, Action::Hold, 1).await;
    let again = world.store.pulses().await.unwrap()[&web];
    assert!(again.observed_at > observed_at, "{ticked:?} {again:?}");
}

async fn refusals_are_counted_by_hour_cause_and_token(world: World) {
    let refusal = |cause, token: &str, count| Refusal {
        cause,
        token: token.to_owned(),
        peer: "192.0.2.7".to_owned(),
        request: "POST /api/v1/fleets/web/pause".to_owned(),
        count,
    };
    let batch = [refusal("scope", "grafana", 3), refusal("unknown_token", "", 40)];
    for _ in 0..2 {
        world.store.refusals_record(&batch).await.unwrap();
    }
    world.store.refusals_record(&[refusal("expired_token", "old", 0)]).await.unwrap();
    let mut counts: Vec<(String, String, i64)> = match &world.subject {
        Subject::Memory { store, .. } => store.look(|rows| {
            let row = |((_, cause, token), row): (&(_, &str, String), &_)| -> (String, String, i64) {
                let row: &fleet_scaler::store::memory::rows::RefusalRow = row;
                ((*cause).to_owned(), token.clone(), row.count)
            };
            rows.refusals.iter().map(row).collect()
        }),
        Subject::Postgres { db, .. } => sqlx::query_as(
            "SELECT cause, token, sum(count)::bigint FROM audit.refused_requests GROUP BY 1, 2",
        )
        .fetch_all(&db.pool())
        .await
        .unwrap(),
    };
    counts.sort();
    let expected = [("scope", "grafana", 6), ("unknown_token", "", 80)];
    assert_eq!(counts, expected.map(|(cause, token, n)| (cause.to_owned(), token.to_owned(), n)));
}
