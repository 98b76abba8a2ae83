//! What holds for every snapshot: bounds, cooldowns, more load never means fewer hosts, and the same question gives the
//! same answer.

use proptest::prelude::*;

use super::fixture::{Fleet, MINUTE, ago, bought, cpu_target, now, rule, seconds};
use crate::decide::plan::Action;
use crate::decide::policy::{Candidate, RuleAction, SizePolicy};
use crate::decide::schedule::cron::Cron;
use crate::decide::schedule::{Schedule, ScheduledSize};
use crate::decide::signal::{Observation, Value};
use crate::decide::snapshot::{Ask, CloudView, FleetMemory, HostView, Sighting};
use crate::decide::{Course, Plan, decide_silently};
use crate::domain::host::{DrainReason, HostState};

/// One host's state, drawn.
#[derive(Clone, Debug)]
enum Draw {
    Healthy,
    Unhealthy(u64),
    Booting(u64),
    Leaving(usize),
}

fn draw() -> impl Strategy<Value = (Draw, u8)> {
    let state = prop_oneof![
        6 => Just(Draw::Healthy),
        1 => (0..600_u64).prop_map(Draw::Unhealthy),
        1 => (0..2000_u64).prop_map(Draw::Booting),
        1 => (0..DrainReason::ALL.len()).prop_map(Draw::Leaving),
    ];
    (state, 0..12_u8)
}

prop_compose! {
    fn memory()(
        desired in prop::option::weighted(0.9, 0..14_u32),
        scaled_out in prop::option::of(0..900_u64),
        changed in prop::option::of(0..900_u64),
        fired in prop::option::of(0..900_u64),
        failures in 0..5_u32,
        failed in 0..1200_u64,
        paused in prop::array::uniform2(prop::bool::weighted(0.1)),
    ) -> FleetMemory {
        FleetMemory {
            desired,
            last_scale_out: scaled_out.map(|span| ago(seconds(span))),
            last_change: changed.map(|span| ago(seconds(span))),
            rules_fired: fired.map(|span| ("hot".to_owned(), ago(seconds(span)))).into_iter().collect(),
            launch_failures: failures,
            last_launch_failure: (failures > 0).then(|| ago(seconds(failed))),
            pause_out: paused[0].then(Fleet::pause),
            pause_in: paused[1].then(Fleet::pause),
        }
    }
}

prop_compose! {
    fn size()(min in 0..5_u32, span in 0..8_u32, step_in_max in 1..4_u32, out in prop::option::of(1..4_u32)) -> SizePolicy {
        SizePolicy { min, max: min + span, step_out_max: out, step_in_max }
    }
}

prop_compose! {
    pub(super) fn fleet()(
        hosts in prop::collection::vec(draw(), 0..12),
        memory in memory(),
        size in size(),
        cpu in 0.0..1.2_f64,
        steady in any::<bool>(),
        earlier in prop::collection::vec((0.0..1.2_f64, prop::option::weighted(0.95, 0..14_u32)), 31),
        (reserved, orphans, drained) in (0..3_u32, prop_oneof![9 => Just(0_u32), 1 => 0..4_u32], 0..7_usize),
        (ask, blind, targets) in (prop::option::weighted(0.1, 0..14_u32), prop::bool::weighted(0.05), any::<bool>()),
        (idle, busy) in (0.0..0.2_f64, 0.0..0.2_f64),
    ) -> Fleet {
        let count = u32::try_from(hosts.len()).unwrap();
        let mut fleet = Fleet::of(count, cpu);
        fleet.policy.size = size;
        if targets {
            fleet.policy.targets = vec![cpu_target()];
        }
        fleet.policy.rules.push(rule("surge", "cpu.avg > 0.9 || cpu.avg * hosts.healthy > 8", (1, 2), RuleAction::AddPercent(40.0)));
        fleet.snapshot.memory = memory;
        fleet.snapshot.orphans = orphans;
        for (number, (state, sighting)) in hosts.into_iter().enumerate() {
            let number = number + 1;
            match state {
                Draw::Healthy => {}
                Draw::Unhealthy(span) => fleet.unhealthy(number, seconds(span)),
                Draw::Booting(span) => fleet.booting(number, seconds(span)),
                Draw::Leaving(reason) => fleet.draining(number, DrainReason::ALL[reason]),
            }
            match sighting {
                0 => fleet.seen(number, Sighting::Unknown),
                1 => fleet.seen(number, Sighting::Absent),
                2 => fleet.protected(number),
                _ => {}
            }
        }
        for (seen, (value, recommended)) in fleet.snapshot.window.iter_mut().zip(earlier) {
            let value = if steady { cpu } else { value };
            seen.values.insert("cpu.avg".into(), Value { heard: value, if_idle: value - idle.min(value), if_busy: value + busy });
            seen.recommended = if steady { recommended.map(|_| 0) } else { recommended };
        }
        if reserved > 0 {
            fleet.reserve(reserved, MINUTE);
        }
        fleet.snapshot.drains_in_budget = vec![ago(MINUTE); drained];
        if let Some(size) = ask {
            fleet.asks(Ask::SetSize(size));
        }
        if blind {
            fleet.snapshot.cloud = CloudView::Unknown("no answer".into());
        }
        fleet
    }
}

/// Hosts that count towards the ceiling whatever becomes of them.
fn standing(fleet: &Fleet) -> u32 {
    let hosts = u32::try_from(fleet.snapshot.hosts.len()).unwrap();
    hosts + fleet.snapshot.orphans + fleet.snapshot.launches.iter().map(|launch| launch.missing).sum::<u32>()
}

fn busier(seen: &mut Observation, by: f64) {
    if let Some(value) = seen.values.get_mut("cpu.avg") {
        *value = Value { heard: value.heard + by, if_idle: value.if_idle + by, if_busy: value.if_busy + by };
    }
}

/// In force at 11:00 in Berlin, which it is.
fn all_day(size: ScheduledSize) -> Schedule {
    Schedule {
        name: "day".into(),
        start: Cron::parse("0 0 * * *").unwrap(),
        end: Cron::parse("0 23 * * *").unwrap(),
        zone: "Europe/Berlin".parse().unwrap(),
        size,
    }
}

proptest! {
    #[test]
    fn the_size_stays_in_its_bounds_and_so_does_what_is_bought(fleet in fleet()) {
        let plan = fleet.decide();
        let size = fleet.policy.size;
        prop_assert!((size.min..=size.max).contains(&plan.size_wanted), "{}", plan.reason);
        prop_assert!(bought(&plan) <= size.max.saturating_sub(standing(&fleet)), "{}", plan.reason);
        prop_assert!(plan.launches.iter().all(|launch| launch.count > 0));
        prop_assert!(plan.launches.is_empty() || plan.cancelled_drains.len() < 12);
        if let Some(size) = plan.observation.recommended {
            prop_assert!((fleet.policy.size.min..=fleet.policy.size.max).contains(&size));
        }
    }

    #[test]
    fn the_size_stays_in_the_bounds_of_a_schedule(mut fleet in fleet(), floor in 0..9_u32, room in 0..9_u32) {
        let min = fleet.policy.size.min + floor;
        fleet.policy.schedules = vec![all_day(ScheduledSize::Both { min, max: min + room })];
        let plan = fleet.decide();
        prop_assert!((min..=min + room).contains(&plan.size_wanted), "{}", plan.reason);
        prop_assert!(bought(&plan) <= (min + room).saturating_sub(standing(&fleet)), "{}", plan.reason);
        if let Some(size) = plan.observation.recommended {
            prop_assert!((min..=min + room).contains(&size));
        }
    }

    /// Whatever is tried beside a policy, what is done is the same.
    #[test]
    fn a_candidate_changes_nothing_that_is_done(fleet in fleet(), other in fleet()) {
        let alone = fleet.decide();
        let mut beside = fleet;
        beside.policy.candidates = vec![Candidate { name: "other".into(), policy: other.policy }];
        let mut plan = beside.decide();
        prop_assert_eq!(plan.candidates.len(), 1);
        plan.candidates.clear();
        plan.observation.candidates.clear();
        prop_assert_eq!(plan, alone);
    }

    #[test]
    fn a_cooldown_is_never_broken(fleet in fleet()) {
        let plan = fleet.decide();
        let (memory, cooldown) = (&fleet.snapshot.memory, fleet.policy.cooldown);
        match plan.action {
            Action::ScaleOut => {
                prop_assert!(memory.last_scale_out.is_none_or(|at| at + cooldown.scale_out <= now()));
            }
            Action::ScaleIn => {
                prop_assert!(memory.last_change.is_none_or(|at| at + cooldown.scale_in <= now()));
            }
            Action::Hold | Action::Repair | Action::Replace | Action::Manual => {}
        }
        for name in &plan.rules_fired {
            prop_assert!(memory.rules_fired.get(name).is_none_or(|at| *at + cooldown.scale_out <= now()));
        }
    }

    #[test]
    fn more_load_never_means_a_smaller_size(fleet in fleet(), by in 0.0..0.8_f64) {
        let mut busy = fleet.clone();
        busy.observations().for_each(|seen| busier(seen, by));
        let (calm, busy) = (fleet.decide(), busy.decide());
        prop_assert!(busy.size_wanted >= calm.size_wanted, "{}\n{}", calm.reason, busy.reason);
        prop_assert!(
            busy.observation.recommended >= calm.observation.recommended,
            "{:#?}\n{:#?}",
            calm.recommendations,
            busy.recommendations
        );
    }

    #[test]
    fn the_same_question_gives_the_same_answer(fleet in fleet()) {
        let plan = fleet.decide();
        prop_assert_eq!(&plan, &fleet.decide());
        let stored = serde_json::to_string(&plan).unwrap();
        let read: Plan = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(plan.signature(), read.signature());
        prop_assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::from_str::<serde_json::Value>(&stored).unwrap());
        let unworded = plan.verdicts.iter().any(|verdict| verdict.because.contains(" { "));
        prop_assert!(!plan.reason.is_empty() && !unworded);
    }

    #[test]
    fn in_silence_the_same_is_decided(fleet in fleet()) {
        let (plan, course) = (fleet.decide(), decide_silently(&fleet.snapshot()));
        let drains = u32::try_from(plan.drains.len()).unwrap();
        let Plan { action, size_wanted, rules_fired, observation, .. } = plan;
        let told = Course { action, size_wanted, drains, rules_fired, observation };
        prop_assert_eq!(course, told);
    }

    #[test]
    fn nothing_is_taken_away_for_the_load_while_it_is_unknown(mut fleet in fleet()) {
        for seen in fleet.observations() {
            seen.values.remove("cpu.avg");
        }
        let plan = fleet.decide();
        prop_assert!(!matches!(plan.action, Action::ScaleIn | Action::ScaleOut), "{}", plan.reason);
        prop_assert_eq!(plan.observation.recommended, None);
    }

    #[test]
    fn victims_are_named_once_seen_and_the_floor_and_the_budget_hold(fleet in fleet()) {
        let plan = fleet.decide();
        let host = |id| fleet.snapshot.hosts.iter().find(|view| view.host.id == id).unwrap();
        let chosen: Vec<_> = plan.drains.iter().map(|drain| host(drain.host.clone())).collect();
        let is_healthy = |view: &HostView| matches!(view.host.state, HostState::Healthy { .. });
        let healthy = fleet.snapshot.hosts.iter().filter(|view| is_healthy(view)).count();
        let leaving = chosen.iter().filter(|view| is_healthy(view)).count();
        prop_assert!(leaving == 0 || healthy - leaving >= fleet.policy.size.min as usize, "{}", plan.reason);
        let budget = (fleet.policy.safety.budget_count as usize).saturating_sub(fleet.snapshot.drains_in_budget.len());
        prop_assert!(chosen.len() <= budget);
        let mut ids: Vec<_> = plan.drains.iter().map(|drain| &drain.host).collect();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), plan.drains.len());
        for view in chosen {
            prop_assert!(view.seen == Sighting::Present && view.host.state.is_capacity());
        }
        if fleet.snapshot.cloud != CloudView::Fresh {
            prop_assert!(plan.drains.is_empty() && plan.launches.is_empty() && plan.cancelled_drains.is_empty());
        }
    }
}
