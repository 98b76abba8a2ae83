//! Candidates: what they are asked, what they may not touch, and how they are told.

use super::fixture::{Fleet, MINUTE, ago, bought, expect, rule, seconds};
use super::golden::golden;
use crate::decide::plan::{Action, CandidatePlan, Plan};
use crate::decide::policy::{Candidate, Policy, RuleAction};
use crate::decide::snapshot::Ask;

/// A candidate that differs from the policy in force in this.
fn candidate(fleet: &Fleet, name: &str, differs: impl FnOnce(&mut Policy)) -> Candidate {
    let mut policy = fleet.policy.clone();
    differs(&mut policy);
    Candidate { name: name.to_owned(), policy }
}

fn eager(policy: &mut Policy) {
    policy.rules = vec![rule("warm", "cpu.avg > 0.40", (1, 1), RuleAction::Add(3))];
}

fn tried<'a>(plan: &'a Plan, name: &str) -> &'a CandidatePlan {
    plan.candidates.iter().find(|candidate| candidate.name == name).unwrap()
}

#[test]
fn candidates_beside_the_real_one() {
    let mut fleet = Fleet::idle(4, 0.5);
    fleet.policy.candidates = vec![
        candidate(&fleet, "eager", eager),
        candidate(&fleet, "thrifty", |policy| {
            policy.rules = vec![rule("easy", "cpu.avg < 0.60", (3, 3), RuleAction::Remove(1))];
        }),
    ];
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (4, 4));
    let eager = tried(&plan, "eager");
    assert_eq!((eager.action, eager.size_wanted, eager.recommended), (Action::ScaleOut, 7, Some(7)));
    golden("candidates_beside_the_real_one", &fleet);
}

/// Whatever candidates there are, what is done is the same.
#[test]
fn nothing_that_is_done_depends_on_a_candidate() {
    for mut fleet in [Fleet::of(4, 0.82), Fleet::idle(4, 0.2), Fleet::of(1, 0.5)] {
        fleet.asks(Ask::SetSize(5));
        for asked in [true, false] {
            if !asked {
                fleet.snapshot.requests.clear();
            }
            fleet.policy.candidates.clear();
            let alone = fleet.decide();
            fleet.policy.candidates = vec![candidate(&fleet, "eager", eager)];
            let mut beside = fleet.decide();
            assert_eq!(beside.candidates.len(), 1);
            beside.candidates.clear();
            beside.observation.candidates.clear();
            assert_eq!(beside, alone);
        }
    }
}

/// Its wishes add up to nothing: tick after tick it is asked about the fleet as it stands.
#[test]
fn a_candidate_starts_from_the_fleet_as_it_stands() {
    let mut fleet = Fleet::of(4, 0.5);
    fleet.policy.candidates = vec![candidate(&fleet, "eager", eager)];
    for _ in 0..3 {
        let plan = fleet.decide();
        assert_eq!((tried(&plan, "eager").size_wanted, bought(&plan)), (7, 0));
        fleet.snapshot.memory.desired = Some(plan.size_wanted);
        fleet.snapshot.window.push(plan.observation);
    }
}

/// Its own recommendations are what its window looks back on, and not those of the policy in force.
#[test]
fn a_candidate_has_a_window_of_its_own() {
    let mut fleet = Fleet::of(4, 0.5);
    fleet.policy.candidates = vec![candidate(&fleet, "thrifty", |policy| {
        policy.rules = vec![rule("easy", "cpu.avg < 0.60", (3, 3), RuleAction::Remove(1))];
    })];
    let size = |fleet: &Fleet| tried(&fleet.decide(), "thrifty").size_wanted;
    assert_eq!(size(&fleet), 4, "it was never heard before");
    for seen in &mut fleet.snapshot.window {
        seen.candidates.insert("thrifty".into(), Some(3));
    }
    assert_eq!(size(&fleet), 3);
    fleet.snapshot.window[12].candidates.insert("thrifty".into(), Some(4));
    assert_eq!(size(&fleet), 4);
}

#[test]
fn a_rule_of_the_same_name_does_not_wait_for_the_real_one() {
    let mut fleet = Fleet::of(4, 0.82);
    fleet.snapshot.memory.rules_fired.insert("hot".into(), ago(seconds(30)));
    fleet.policy.rules[0].cooldown = Some(5 * MINUTE);
    fleet.policy.candidates = vec![candidate(&fleet, "same", |_| {})];
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (4, 4));
    assert_eq!(tried(&plan, "same").size_wanted, 6);
}

#[test]
fn another_answer_of_a_candidate_is_another_decision() {
    let mut fleet = Fleet::of(4, 0.5);
    let alone = fleet.decide().signature();
    fleet.policy.candidates = vec![candidate(&fleet, "eager", eager)];
    let eager = fleet.decide().signature();
    fleet.policy.candidates = vec![candidate(&fleet, "eager", |_| {})];
    let calm = fleet.decide().signature();
    assert!(alone != eager && eager != calm && calm != alone, "{alone}\n{eager}\n{calm}");
}
