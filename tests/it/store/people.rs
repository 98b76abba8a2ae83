//! What is asked about people: who did what, a page at a time, and how the policies that they try would have done.

use std::time::Duration;

use fleet_scaler::decide::plan::Action;
use fleet_scaler::domain::ids::{FleetName, InstanceId, OperatorActionId};
use fleet_scaler::domain::time::Timestamp;
use fleet_scaler::store::history::{ActionQuery, TallyQuery};
use fleet_scaler::store::{Direction, OperatorAction, OperatorActionKind};

use super::fixture::{LEASE, World, decision, fresh, take};
use super::subject::on_both_stores;

on_both_stores![
    pages_of_actions_meet_and_are_found_by_fleet_actor_kind_and_time,
    a_candidate_is_counted_by_evaluations_and_not_by_rows,
];

async fn acted(world: &World, fleet: &str, actor: &str, kind: OperatorActionKind) -> OperatorActionId {
    let id = OperatorActionId(fresh());
    let (fleet, actor, reason) = (FleetName::new(fleet), actor.to_owned(), "because of the tests".to_owned());
    world.store.operator_act(&OperatorAction { id, fleet, actor, reason, kind }).await.unwrap();
    world.subject.pass(Duration::from_secs(1)).await;
    id
}

async fn pages_of_actions_meet_and_are_found_by_fleet_actor_kind_and_time(world: World) {
    let pause = || OperatorActionKind::Pause { direction: Direction::Both, span: None };
    let first = acted(&world, "web", "ada", pause()).await;
    let second = acted(&world, "db", "ada via pager-bot", OperatorActionKind::SetSize(4)).await;
    let between = world.now().await;
    let third = acted(&world, "web", "grace via pager-bot", OperatorActionKind::Resume).await;
    let drain = OperatorActionKind::Drain(InstanceId::new("i-9"));
    let fourth = acted(&world, "web", "adam", drain).await;
    let found = async |query: ActionQuery| -> Vec<OperatorActionId> {
        let records = world.store.operator_actions(&query).await.unwrap();
        records.into_iter().map(|record| record.action.id).collect()
    };
    let all = ActionQuery::default();
    let by = |name: &str| ActionQuery { actor: Some(name.to_owned()), ..ActionQuery::default() };
    assert_eq!(found(all.clone()).await, [fourth, third, second, first]);
    let web = Some(FleetName::new("web"));
    assert_eq!(found(ActionQuery { fleet: web.clone(), ..all.clone() }).await, [fourth, third, first]);
    // A person is found under their own name and behind a token, and a token by what went through it.
    assert_eq!(found(by("ada")).await, [second, first]);
    assert_eq!(found(by("pager-bot")).await, [third, second]);
    assert_eq!(found(by("ada via pager-bot")).await, [second]);
    assert_eq!(found(by("a%")).await, []);
    let kinds = vec!["set_size".to_owned(), "drain".to_owned()];
    assert_eq!(found(ActionQuery { kinds, ..all.clone() }).await, [fourth, second]);
    assert_eq!(found(ActionQuery { since: Some(between), ..all.clone() }).await, [fourth, third]);
    assert_eq!(found(ActionQuery { until: Some(between), fleet: web, ..all.clone() }).await, [first]);

    let mut query = ActionQuery { limit: 3, ..all };
    let mut read = Vec::new();
    loop {
        let page = world.store.operator_actions(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        query.after = Some((last.at, last.action.id));
        read.extend(page.into_iter().map(|record| record.action.id));
        acted(&world, "web", "ada", OperatorActionKind::Evaluate).await;
    }
    assert_eq!(read, [fourth, third, second, first], "what comes in between is on no later page");
}

/// Decides so, with a candidate that wants so many; a part of the lease goes by first.
async fn decided(world: &World, action: Action, wanted: u32, candidate: u32) -> Timestamp {
    world.subject.pass(LEASE / 4).await;
    take(&*world.store, "web", "replica-1").await;
    let mut commit = decision(action, 3, wanted, world.now().await);
    commit.plan.candidates[0].size_wanted = candidate;
    world.commit(&commit).await
}

async fn a_candidate_is_counted_by_evaluations_and_not_by_rows(world: World) {
    decided(&world, Action::ScaleOut, 9, 9).await;
    world.subject.pass(LEASE / 4).await;
    let since = world.now().await;
    let oldest = decided(&world, Action::ScaleOut, 6, 4).await;
    // One row, three times the same quiet answer.
    for _ in 0..2 {
        decided(&world, Action::Hold, 3, 5).await;
    }
    let differed_at = decided(&world, Action::Hold, 3, 5).await;
    decided(&world, Action::Hold, 3, 3).await;
    let query = TallyQuery { fleet: FleetName::new("web"), since, decisions: 1_000 };
    let tallies = world.store.candidate_tallies(&query).await.unwrap();
    let [tally] = tallies.as_slice() else { panic!("one candidate: {tallies:?}") };
    assert_eq!((tally.name.as_str(), tally.since), ("calmer", oldest));
    assert_eq!((tally.evaluations, tally.larger, tally.smaller), (5, 3, 1));
    assert!((tally.hosts_more - 0.8).abs() < 1e-9, "3 times 2 more and once 2 fewer, of 5: {tally:?}");
    let (id, at) = tally.differed.unwrap();
    let (row, _) = world.store.decision(id).await.unwrap().unwrap();
    assert_eq!((row.count, row.last_at, at), (3, differed_at, differed_at));

    // No more than so many decisions are opened: here the newest, in which the two agree.
    let newest = TallyQuery { decisions: 1, ..query };
    let tally = world.store.candidate_tallies(&newest).await.unwrap().remove(0);
    assert_eq!((tally.evaluations, tally.larger, tally.smaller, tally.differed), (1, 0, 0, None));
    let elsewhere = TallyQuery { fleet: FleetName::new("db"), ..newest };
    assert_eq!(world.store.candidate_tallies(&elsewhere).await.unwrap(), []);
}
