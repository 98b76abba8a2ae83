//! What schedules do to a fleet: the bounds they make, the words they are told in, and what does not move for them.
//!
//! It is Sunday, 11:00 in Berlin.

use super::fixture::{Fleet, MINUTE, ago, because, bought, expect, now, seconds, victims};
use super::golden::golden;
use crate::decide::bounds::Bounds;
use crate::decide::plan::{Action, Guard};
use crate::decide::policy::{Mode, SizePolicy};
use crate::decide::schedule::cron::Cron;
use crate::decide::schedule::{Schedule, ScheduledSize};
use crate::decide::snapshot::Ask;
use crate::domain::time::Timestamp;

fn schedule(name: &str, (start, end): (&str, &str), size: ScheduledSize) -> Schedule {
    Schedule {
        name: name.into(),
        start: Cron::parse(start).unwrap(),
        end: Cron::parse(end).unwrap(),
        zone: "Europe/Berlin".parse().unwrap(),
        size,
    }
}

const DAY: (&str, &str) = ("0 8 * * *", "0 19 * * *");
const NIGHT: (&str, &str) = ("0 22 * * *", "0 6 * * *");
const WEEKEND: (&str, &str) = ("0 0 * * SAT", "0 0 * * MON");

fn open(min: u32) -> Schedule {
    schedule("office-hours", DAY, ScheduledSize::Min(min))
}

#[test]
fn schedule_raises_the_floor() {
    let mut fleet = Fleet::of(4, 0.5);
    fleet.policy.schedules = vec![open(8), schedule("night", NIGHT, ScheduledSize::Max(3))];
    let plan = fleet.decide();
    expect(&plan, Action::Repair, (4, 8));
    assert_eq!(bought(&plan), 4);
    golden("schedule_raises_the_floor", &fleet);
}

#[test]
fn schedule_keeps_the_floor() {
    let mut fleet = Fleet::idle(8, 0.1);
    fleet.policy.schedules = vec![open(8)];
    expect(&fleet.decide(), Action::Hold, (8, 8));
    golden("schedule_keeps_the_floor", &fleet);
}

#[test]
fn schedule_sets_the_ceiling() {
    let mut fleet = Fleet::of(6, 0.9);
    fleet.policy.schedules = vec![schedule("weekend", WEEKEND, ScheduledSize::Max(4))];
    let plan = fleet.decide();
    expect(&plan, Action::Repair, (6, 4));
    // One decision takes no more away than ever.
    assert_eq!(victims(&plan), ["i-1"]);
    golden("schedule_sets_the_ceiling", &fleet);
}

/// The floor is gone with the schedule's end, and the hosts are not: the window remembers the size of a minute ago, and then
/// hosts go one by one.
#[test]
fn schedule_is_over() {
    let mut fleet = Fleet::idle(8, 0.1);
    fleet.policy.schedules = vec![schedule("morning", ("0 6 * * *", "59 10 * * *"), ScheduledSize::Min(8))];
    for seen in &mut fleet.snapshot.window {
        if seen.at < ago(MINUTE) {
            seen.recommended = Some(8);
        }
    }
    expect(&fleet.decide(), Action::Hold, (8, 8));
    golden("schedule_is_over", &fleet);

    let mut later = Fleet::idle(8, 0.1);
    later.policy.schedules = fleet.policy.schedules;
    let plan = later.decide();
    expect(&plan, Action::ScaleIn, (8, 7));
}

/// It is a state: a fleet that was not looked at when the schedule began has its floor all the same, whoever looks.
#[test]
fn a_start_that_nobody_saw_is_not_missed() {
    let mut fleet = Fleet::of(4, 0.5);
    fleet.policy.schedules = vec![open(8)];
    fleet.snapshot.window.clear();
    fleet.snapshot.memory.last_change = Some(ago(24 * 60 * MINUTE));
    expect(&fleet.decide(), Action::Repair, (4, 8));
}

#[test]
fn a_first_look_begins_at_the_floor_of_now() {
    let mut fleet = Fleet::of(0, 0.5);
    fleet.snapshot.memory.desired = None;
    fleet.policy.schedules = vec![open(8)];
    let plan = fleet.decide();
    expect(&plan, Action::Repair, (0, 8));
    assert!(because(&plan, Guard::Bounds).contains("schedule office-hours"), "{:?}", plan.verdicts);
}

#[test]
fn in_dry_run_it_is_told_what_the_schedule_would_do() {
    let mut fleet = Fleet::of(4, 0.5);
    fleet.policy.mode = Mode::DryRun;
    fleet.policy.schedules = vec![open(8)];
    let plan = fleet.decide();
    expect(&plan, Action::Repair, (4, 8));
    let floor = "fewer than min = 8 (schedule office-hours, until 19:00 Europe/Berlin)";
    assert!(plan.reason.ends_with(floor), "{}", plan.reason);
}

#[test]
fn the_load_still_counts_above_the_floor_and_up_to_the_ceiling() {
    let mut fleet = Fleet::of(8, 0.9);
    fleet.policy.schedules = vec![schedule("sale", DAY, ScheduledSize::Both { min: 8, max: 14 })];
    fleet.policy.size.step_out_max = Some(20);
    fleet.policy.rules[0].action = crate::decide::policy::RuleAction::Add(9);
    let plan = fleet.decide();
    expect(&plan, Action::ScaleOut, (8, 14));
    let bounds = "17 is outside min = 8 (schedule sale, until 19:00 Europe/Berlin) and max = 14 (schedule sale, until \
                  19:00 Europe/Berlin)";
    assert_eq!(because(&plan, Guard::Bounds), bounds);
}

#[test]
fn a_person_may_ask_for_what_the_bounds_of_now_allow() {
    let mut fleet = Fleet::of(8, 0.5);
    fleet.policy.schedules = vec![open(8)];
    fleet.asks(Ask::SetSize(5));
    let plan = fleet.decide();
    let refusal = "5 is outside min = 8 (schedule office-hours, until 19:00 Europe/Berlin) and max = 10";
    assert_eq!(plan.answered[0].because, refusal);

    fleet.snapshot.requests.clear();
    fleet.asks(Ask::SetSize(9));
    expect(&fleet.decide(), Action::Manual, (8, 9));
}

/// A size that a person set lasts beyond the schedule's end, and is raised by a start.
#[test]
fn a_size_that_a_person_set_is_raised_by_a_start_and_kept_at_an_end() {
    let mut fleet = Fleet::of(9, 0.5);
    fleet.policy.schedules = vec![schedule("morning", ("0 6 * * *", "59 10 * * *"), ScheduledSize::Min(8))];
    fleet.snapshot.memory.last_change = Some(ago(seconds(90)));
    expect(&fleet.decide(), Action::Hold, (9, 9));
    fleet.policy.schedules = vec![open(10)];
    expect(&fleet.decide(), Action::Repair, (9, 10));
}

#[test]
fn a_pause_keeps_a_schedule_from_buying() {
    let mut fleet = Fleet::of(4, 0.5);
    fleet.policy.schedules = vec![open(8)];
    fleet.snapshot.memory.pause_out = Some(Fleet::pause());
    let plan = fleet.decide();
    assert_eq!((plan.size_wanted, bought(&plan)), (8, 0), "{}", plan.reason);
}

fn bounds(schedules: &[Schedule], at: Timestamp) -> (u32, u32, Option<String>, Option<String>) {
    let own = SizePolicy { min: 2, max: 10, step_out_max: None, step_in_max: 1 };
    let bounds = Bounds::at(&own, schedules, at);
    (bounds.min, bounds.max, bounds.floor.map(|by| by.name), bounds.ceiling.map(|by| by.name))
}

#[test]
fn of_several_the_highest_floor_and_the_lowest_ceiling_count() {
    let name = |name: &str| Some(name.to_owned());
    let min = |name, min| schedule(name, DAY, ScheduledSize::Min(min));
    let max = |name, max| schedule(name, DAY, ScheduledSize::Max(max));
    let both = |name, min, max| schedule(name, DAY, ScheduledSize::Both { min, max });
    for (schedules, expected) in [
        (vec![], (2, 10, None, None)),
        (vec![min("a", 4), min("b", 6), min("c", 5)], (6, 10, name("b"), None)),
        (vec![max("a", 8), max("b", 6), max("c", 7)], (2, 6, None, name("b"))),
        // A ceiling takes the place of the fleet's own, and may be higher.
        (vec![max("a", 30)], (2, 30, None, name("a"))),
        (vec![max("a", 30), max("b", 20)], (2, 20, None, name("b"))),
        (vec![both("a", 15, 20)], (15, 20, name("a"), name("a"))),
        // Of a floor and a lower ceiling the floor wins.
        (vec![min("a", 8), max("b", 4)], (8, 8, name("a"), name("a"))),
        (vec![both("a", 15, 20), max("b", 4)], (15, 15, name("a"), name("a"))),
        // Equal: nothing has to be raised, and nobody is named for it.
        (vec![min("a", 2)], (2, 10, None, None)),
    ] {
        assert_eq!(bounds(&schedules, now()), expected, "{schedules:?}");
    }
    let own = SizePolicy { min: 2, max: 10, step_out_max: None, step_in_max: 1 };
    let clash = Bounds::at(&own, &[min("a", 8), max("b", 4)], now());
    assert!(
        clash
            .to_string()
            .ends_with("max = 8 (schedule a, until 19:00 Europe/Berlin), above the 4 of schedule b")
    );
    // At night none of them is in force.
    assert_eq!(bounds(&[min("a", 4), max("b", 8)], now() + 12 * 60 * MINUTE), (2, 10, None, None));
}
