//! What the load asks for and the guards let through: one rule of judgment a test, from both sides.

use super::fixture::{
    Fleet, MINUTE, ago, because, bought, cpu_target, effect, expect, now, observation, rule, seconds,
};
use crate::decide::plan::{Action, Effect, Guard, ReasonCode};
use crate::decide::policy::RuleAction;
use crate::decide::signal::Value;
use crate::domain::host::DrainReason;

#[test]
fn every_guard_speaks_once_and_in_order() {
    for fleet in [Fleet::of(4, 0.5), Fleet::of(4, 0.9), Fleet::idle(4, 0.1)] {
        let plan = fleet.decide();
        let guards: Vec<Guard> = plan.verdicts.iter().map(|verdict| verdict.guard).collect();
        assert_eq!(guards, Guard::ALL);
        assert!(plan.verdicts.iter().all(|verdict| !verdict.because.is_empty()));
    }
}

#[test]
fn a_rule_counts_observations_since_the_last_change_only() {
    let mut fleet = Fleet::of(4, 0.82);
    fleet.snapshot.memory.last_change = Some(ago(seconds(5)));
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (4, 4));
    assert_eq!(
        plan.recommendations[0].because,
        "held in 1 of 1 observations, 2 needed (cpu.avg 0.82 > 0.75)"
    );
    fleet.snapshot.memory.last_change = Some(ago(seconds(15)));
    expect(&fleet.decide(), Action::ScaleOut, (4, 6));
    fleet.snapshot.memory.last_change = Some(ago(seconds(10)));
    expect(&fleet.decide(), Action::Hold, (4, 4));
}

#[test]
fn two_of_three_may_be_any_two() {
    let mut fleet = Fleet::of(4, 0.82);
    fleet.snapshot.current = observation(now(), 0.5, 4, None);
    let plan = fleet.decide();
    expect(&plan, Action::ScaleOut, (4, 6));
    assert_eq!(plan.recommendations[0].because, "held in 2 of 3 observations (cpu.avg 0.82 > 0.75)");
    fleet.snapshot.window.last_mut().unwrap().values.insert("cpu.avg".into(), Value::exact(0.5));
    expect(&fleet.decide(), Action::Hold, (4, 4));
}

#[test]
fn a_rule_waits_for_the_hosts_of_its_last_time() {
    let mut fleet = Fleet::of(6, 0.9);
    fleet.snapshot.memory.last_change = Some(ago(3 * MINUTE));
    fleet.snapshot.memory.last_scale_out = Some(ago(3 * MINUTE));
    fleet.snapshot.memory.rules_fired.insert("hot".into(), ago(3 * MINUTE));
    expect(&fleet.decide(), Action::ScaleOut, (6, 8));
    fleet.booting(6, 2 * MINUTE);
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (6, 6));
    assert_eq!(effect(&plan, Guard::InFlight), Effect::Refuse);
    assert_eq!(plan.code, ReasonCode::HeldBack);
    assert_eq!(plan.observation.recommended, Some(8));
    // Hosts that boot for another reason are none of its own.
    fleet.snapshot.memory.rules_fired.insert("hot".into(), ago(MINUTE));
    fleet.policy.rules[0].cooldown = Some(seconds(30));
    expect(&fleet.decide(), Action::ScaleOut, (6, 8));
    // Neither given up nor there: what could not be bought yet.
    fleet.lose(6);
    let plan = fleet.decide();
    expect(&plan, Action::Replace, (5, 6));
    assert_eq!(effect(&plan, Guard::InFlight), Effect::Refuse);
}

#[test]
fn a_rule_has_a_cooldown_of_its_own() {
    let mut fleet = Fleet::of(4, 0.9);
    fleet.policy.rules[0].cooldown = Some(10 * MINUTE);
    fleet.snapshot.memory.rules_fired.insert("hot".into(), ago(4 * MINUTE));
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (4, 4));
    assert_eq!(because(&plan, Guard::Cooldown), "rule hot: its own cooldown runs for another 6m");
    fleet.policy.rules.push(rule("warm", "cpu.avg > 0.6", (1, 1), RuleAction::Add(1)));
    let plan = fleet.decide();
    expect(&plan, Action::ScaleOut, (4, 5));
    assert_eq!(plan.rules_fired, ["warm"]);
    assert_eq!(effect(&plan, Guard::Cooldown), Effect::Clamp { from: 6, to: 5 });
}

#[test]
fn the_largest_wish_wins_and_every_rule_that_wanted_it_fired() {
    let mut fleet = Fleet::of(4, 0.9);
    fleet.policy.rules.push(rule("surge", "cpu.avg > 0.85", (1, 1), RuleAction::AddPercent(60.0)));
    let plan = fleet.decide();
    expect(&plan, Action::ScaleOut, (4, 7));
    assert_eq!(plan.rules_fired, ["hot", "surge"]);
    fleet.policy.size.step_out_max = Some(1);
    let plan = fleet.decide();
    expect(&plan, Action::ScaleOut, (4, 5));
    assert_eq!(effect(&plan, Guard::Step), Effect::Clamp { from: 7, to: 5 });
}

#[test]
fn the_fleet_shrinks_only_if_all_agree() {
    let mut fleet = Fleet::of(4, 0.2);
    fleet.observed(0.2, Some(1));
    fleet.policy.size.step_in_max = 3;
    expect(&fleet.decide(), Action::ScaleIn, (4, 3));
    fleet.policy.rules.push(rule("asleep", "cpu.avg < 0.25", (1, 1), RuleAction::Remove(3)));
    let plan = fleet.decide();
    expect(&plan, Action::ScaleIn, (4, 2));
    assert_eq!(plan.rules_fired, ["idle", "asleep"]);
    // A target has the last word on how far.
    fleet.policy.targets = vec![cpu_target()];
    fleet.policy.targets[0].value = 0.3;
    expect(&fleet.decide(), Action::ScaleIn, (4, 3));
    fleet.policy.targets[0].value = 0.2;
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (4, 4));
    assert_eq!(plan.code, ReasonCode::Outvoted);
    // Something unknown has no say in growing, and forbids shrinking.
    fleet.policy.targets = vec![cpu_target()];
    fleet.policy.targets[0].signal = "qps".into();
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (4, 4));
    assert_eq!(plan.code, ReasonCode::Blind);
    assert_eq!(plan.observation.recommended, None);
    assert_eq!(effect(&plan, Guard::MissingData), Effect::Refuse);
}

#[test]
fn silent_hosts_delay_a_change_and_never_cause_one() {
    let mut fleet = Fleet::of(4, 0.8);
    for seen in fleet.observations() {
        seen.hosts_heard = 3;
        seen.values.insert("cpu.avg".into(), Value { heard: 0.8, if_idle: 0.6, if_busy: 0.85 });
    }
    expect(&fleet.decide(), Action::Hold, (4, 4));
    let mut fleet = Fleet::idle(4, 0.2);
    for seen in fleet.observations() {
        seen.hosts_heard = 3;
        seen.values.insert("cpu.avg".into(), Value { heard: 0.2, if_idle: 0.1, if_busy: 0.4 });
    }
    expect(&fleet.decide(), Action::Hold, (4, 4));
    fleet.policy.rules.clear();
    fleet.policy.targets = vec![cpu_target()];
    // 4 × 0.4 / 0.6 with the silent one at full load: three are enough even then.
    expect(&fleet.decide(), Action::ScaleIn, (4, 3));
    fleet.snapshot.current.hosts_heard = 2;
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (4, 4));
    assert_eq!(
        because(&plan, Guard::MissingData),
        "at 10:00:00Z only 2 of 4 hosts were heard; scale-in takes 75 %"
    );
}

#[test]
fn targets_count_hosts_on_the_way() {
    let mut fleet = Fleet::of(4, 0.9);
    fleet.policy.rules.clear();
    fleet.policy.targets = vec![cpu_target()];
    fleet.snapshot.memory.desired = Some(6);
    fleet.reserve(2, MINUTE);
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (6, 6));
    assert_eq!(plan.recommendations[0].because, "cpu.avg 0.90, 0.60 wanted: 6 hosts are enough");
    // Just on target, computed: no host more for the noise in the last digit.
    let mut fleet = Fleet::of(3, 0.2 + 0.1);
    fleet.policy.rules.clear();
    fleet.policy.targets = vec![cpu_target()];
    fleet.policy.targets[0].value = 0.1 * 3.0;
    fleet.policy.targets[0].tolerance = 0.0;
    expect(&fleet.decide(), Action::Hold, (3, 3));
}

#[test]
fn scale_in_takes_a_whole_window() {
    let mut fleet = Fleet::idle(4, 0.2);
    fleet.snapshot.window.drain(..3);
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (4, 4));
    assert_eq!(
        because(&plan, Guard::Window),
        "observations reach back 4m40s of the 5m that scale-in takes: not before 10:00:20Z"
    );
    let mut fleet = Fleet::idle(4, 0.2);
    fleet.snapshot.window.drain(10..17);
    let plan = fleet.decide();
    assert_eq!(
        because(&plan, Guard::Window),
        "nothing was observed for 1m20s before 09:57:40Z: not before 10:02:40Z"
    );
    // A restart that took some ticks is no hole.
    let mut fleet = Fleet::idle(4, 0.2);
    fleet.snapshot.window.drain(10..14);
    expect(&fleet.decide(), Action::ScaleIn, (4, 3));
    fleet.snapshot.window[20].recommended = None;
    assert_eq!(
        because(&fleet.decide(), Guard::Window),
        "a signal was unknown at 09:58:50Z: not before 10:03:50Z"
    );
    fleet.snapshot.window[20].recommended = Some(4);
    expect(&fleet.decide(), Action::Hold, (4, 4));
}

#[test]
fn scale_in_waits_for_its_cooldown_and_for_hosts_on_their_way() {
    let mut fleet = Fleet::idle(4, 0.2);
    fleet.snapshot.memory.last_change = Some(ago(4 * MINUTE));
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (4, 4));
    assert_eq!(because(&plan, Guard::Cooldown), "scale-in cools down for another 1m");
    fleet.snapshot.memory.last_change = Some(ago(5 * MINUTE));
    expect(&fleet.decide(), Action::ScaleIn, (4, 3));
    fleet.booting(4, MINUTE);
    assert_eq!(effect(&fleet.decide(), Guard::InFlight), Effect::Refuse);
}

#[test]
fn the_bounds_hold_for_the_load() {
    let mut fleet = Fleet::of(9, 0.9);
    let plan = fleet.decide();
    expect(&plan, Action::ScaleOut, (9, 10));
    assert_eq!(effect(&plan, Guard::Bounds), Effect::Clamp { from: 11, to: 10 });
    fleet.policy.size.max = 9;
    expect(&fleet.decide(), Action::Hold, (9, 9));
    let plan = Fleet::idle(2, 0.1).decide();
    expect(&plan, Action::Hold, (2, 2));
    assert_eq!(because(&plan, Guard::Bounds), "1 is outside min = 2 and max = 10");
}

#[test]
fn the_ceiling_counts_every_machine_that_exists() {
    let mut fleet = Fleet::of(10, 0.5);
    fleet.draining(3, DrainReason::Operator);
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (9, 10));
    assert_eq!((bought(&plan), plan.code), (0, ReasonCode::Stuck));
    assert_eq!(effect(&plan, Guard::Bounds), Effect::Clamp { from: 10, to: 9 });
    fleet.lose(3);
    let plan = fleet.decide();
    expect(&plan, Action::Replace, (9, 10));
    assert_eq!(bought(&plan), 1);
}
