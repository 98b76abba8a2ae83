//! What targets learn, and what they do with it.

use proptest::prelude::*;

use super::fixture::{Fleet, MINUTE, ago, cpu_target, expect, now, observation, seconds};
use crate::decide::Plan;
use crate::decide::plan::Action;
use crate::decide::policy::Mode;
use crate::decide::signal::Value;
use crate::decide::trail::Trail;

/// Ten hosts with one target, which knows this much since ten seconds ago.
fn fleet(cpu: f64, headroom: f64, unrest: f64) -> Fleet {
    let mut fleet = Fleet::of(10, cpu);
    fleet.policy.rules.clear();
    fleet.policy.size.max = 40;
    fleet.policy.size.step_in_max = 10;
    fleet.policy.targets = vec![cpu_target()];
    let trail = Trail { level: 10.0 * cpu, headroom, unrest, lean: 0.0 };
    for seen in &mut fleet.snapshot.window {
        seen.trails.insert("cpu-60".into(), trail);
    }
    fleet
}

fn learned(plan: &Plan) -> Trail {
    plan.observation.trails["cpu-60"]
}

#[test]
fn head_room_buys_hosts_before_the_limit_is_reached() {
    expect(&fleet(0.62, 0.0, 0.02).decide(), Action::Hold, (10, 10));
    // 6.2 × 1.2 / 0.66 = 11.27 hosts, and a margin of 1.6 % so that the next is not due at once.
    let plan = fleet(0.62, 0.2, 0.02).decide();
    expect(&plan, Action::ScaleOut, (10, 12));
    assert_eq!(
        plan.recommendations[0].because,
        "cpu.avg 0.62 over 10 hosts, 0.60 wanted with 20 % head-room: 12 hosts"
    );
}

#[test]
fn unrest_widens_the_band_in_which_nothing_is_given_back() {
    let mut calm = fleet(0.55, 0.0, 0.01);
    calm.recommended(Some(9));
    // 5.5 / 0.66 = 8.33 with a margin of 1.3 %: nine, and one of ten is more than 2.5 %.
    expect(&calm.decide(), Action::ScaleIn, (10, 9));
    let mut restless = fleet(0.55, 0.0, 0.25);
    restless.recommended(Some(9));
    // The margin is 8.5 %, and one host of ten is not the 14.5 % that must have become too many.
    expect(&restless.decide(), Action::Hold, (10, 10));
}

#[test]
fn a_shortfall_raises_the_head_room_and_calm_lowers_it() {
    let before = Trail { level: 6.0, headroom: 0.1, unrest: 0.05, lean: 0.0 };
    let calm = learned(&fleet(0.6, 0.1, 0.05).decide());
    assert!(calm.headroom < before.headroom, "{calm:?}");
    let short = learned(&fleet(0.8, 0.1, 0.05).decide());
    assert!(short.headroom > before.headroom, "{short:?}");
    // One tick at 17.5 % above the limit outweighs 174 calm ones, as 0.1 % of the load may fall short.
    let (rise, sink) = (short.headroom - 0.1, 0.1 - calm.headroom);
    assert!((rise / sink - 174.0).abs() < 0.5, "{} of them", rise / sink);
}

#[test]
fn a_shortfall_that_has_another_cause_teaches_nothing() {
    let learns = |change: &dyn Fn(&mut Fleet)| {
        let mut fleet = fleet(0.8, 0.1, 0.05);
        change(&mut fleet);
        learned(&fleet.decide()).headroom > 0.1
    };
    assert!(learns(&|_| {}));
    assert!(!learns(&|fleet| fleet.policy.mode = Mode::DryRun));
    assert!(!learns(&|fleet| fleet.policy.size.max = 10));
    assert!(!learns(&|fleet| fleet.snapshot.memory.desired = Some(12)));
}

#[test]
fn the_first_tick_is_in_proportion_and_starts_at_the_value_itself() {
    let mut fleet = fleet(0.7, 0.0, 0.0);
    for seen in &mut fleet.snapshot.window {
        seen.trails.clear();
    }
    let plan = fleet.decide();
    expect(&plan, Action::ScaleOut, (10, 12));
    assert_eq!(learned(&plan), Trail { level: 7.0, headroom: 0.1, unrest: 0.1, lean: 0.0 });
}

#[test]
fn what_was_learned_outlives_a_tick_without_a_value_and_a_target_that_is_gone_is_forgotten() {
    let mut fleet = fleet(0.6, 0.17, 0.05);
    let before = fleet.snapshot.window[0].trails["cpu-60"];
    fleet.snapshot.current.values.remove("cpu.avg");
    assert_eq!(learned(&fleet.decide()), before);
    fleet.policy.targets.clear();
    assert!(fleet.decide().observation.trails.is_empty());
}

#[test]
fn a_processor_that_is_wholly_busy_hides_load_and_a_query_does_not() {
    let plan = fleet(1.0, 0.0, 0.02).decide();
    // 10 hosts × 1.0, taken for twice as much: smoothed it counts for 46 %, which is 14.6 / 0.66 and the margin.
    expect(&plan, Action::ScaleOut, (10, 20));
    assert_eq!(plan.recommendations[0].size, Some(23));
    let mut fleet = fleet(0.5, 0.0, 0.02);
    fleet.policy.targets[0].signal = "qps".into();
    for seen in fleet.observations() {
        seen.values.insert("qps".into(), Value::exact(1.0));
    }
    for seen in &mut fleet.snapshot.window {
        seen.trails.clear();
    }
    assert_eq!(fleet.decide().recommendations[0].size, Some(17));
}

#[test]
fn unrest_is_how_far_the_load_strays_while_a_host_boots() {
    let strayed = |boot_time| {
        let mut fleet = fleet(0.6, 0.0, 0.05);
        for seen in &mut fleet.snapshot.window {
            let recent = seen.at > ago(2 * MINUTE);
            seen.trails.get_mut("cpu-60").unwrap().level = if recent { 6.0 } else { 3.0 };
        }
        fleet.snapshot.boot_time = boot_time;
        learned(&fleet.decide()).unrest
    };
    assert!(strayed(Some(seconds(30))) < 0.05);
    assert!(strayed(Some(3 * MINUTE)) > 0.05);
    // Where nobody has measured it, a minute and a half is assumed.
    assert!(strayed(None) < 0.05);
}

prop_compose! {
    fn learner()(
        cpu in 0.0..1.1_f64,
        level in 0.0..20.0_f64,
        headroom in -0.2..2.0_f64,
        unrest in 0.0..3.0_f64,
        (idle, busy) in (0.0..0.2_f64, 0.0..0.2_f64),
        (lean, minute_ago) in (0.0..8.0_f64, 0.0..20.0_f64),
        desired in 1..30_u32,
        recommended in 0..30_u32,
    ) -> Fleet {
        let mut fleet = fleet(cpu, headroom, unrest);
        fleet.snapshot.memory.desired = Some(desired);
        for seen in &mut fleet.snapshot.window {
            seen.recommended = Some(recommended);
            let level = if seen.at > ago(MINUTE) { level } else { minute_ago };
            seen.trails.insert("cpu-60".into(), Trail { level, headroom, unrest, lean });
        }
        let value = Value { heard: cpu, if_idle: cpu - idle.min(cpu), if_busy: cpu + busy };
        fleet.snapshot.current.values.insert("cpu.avg".into(), value);
        fleet
    }
}

proptest! {
    #[test]
    fn more_load_never_means_a_smaller_size_whatever_was_learned(fleet in learner(), by in 0.0..0.8_f64) {
        let mut busy = fleet.clone();
        let value = busy.snapshot.current.values.get_mut("cpu.avg").unwrap();
        *value = Value { heard: value.heard + by, if_idle: value.if_idle + by, if_busy: value.if_busy + by };
        let (calm, busy) = (fleet.decide(), busy.decide());
        prop_assert!(busy.size_wanted >= calm.size_wanted, "{}\n{}", calm.reason, busy.reason);
        prop_assert!(busy.observation.recommended >= calm.observation.recommended);
        prop_assert!(learned(&busy).headroom >= learned(&calm).headroom);
    }

    #[test]
    fn what_is_learned_stays_in_its_bounds(fleet in learner()) {
        let trail = learned(&fleet.decide());
        prop_assert!((-0.2..=2.0).contains(&trail.headroom) && (0.0..=3.0).contains(&trail.unrest), "{trail:?}");
        prop_assert!(trail.level.is_finite() && trail.level >= 0.0);
        prop_assert!((0.0..=8.0).contains(&trail.lean));
    }
}

/// Ten hosts whose load was `minute_ago` until a minute ago and has been 6 since, with this much lean.
fn on_its_way(minute_ago: f64, lean: f64) -> Fleet {
    let mut fleet = fleet(0.6, 0.0, 0.05);
    for seen in &mut fleet.snapshot.window {
        let recent = seen.at > ago(MINUTE);
        let trail = seen.trails.get_mut("cpu-60").unwrap();
        (trail.level, trail.lean) = (if recent { 6.0 } else { minute_ago }, lean);
    }
    fleet
}

#[test]
fn a_load_that_rises_gets_more_head_room_the_more_loads_went_on_rising() {
    let size = |minute_ago, lean| on_its_way(minute_ago, lean).decide().recommendations[0].size;
    assert_eq!(size(4.5, 0.0), Some(10));
    // It rose by a quarter of what it is: half of that again is 12.5 % head-room, 10.2 hosts and the margin.
    assert_eq!(size(4.5, 0.5), Some(11));
    assert!(size(4.5, 2.0) > Some(13));
    let falling = on_its_way(7.5, 0.5).decide();
    assert!(falling.recommendations[0].size < Some(10), "{:?}", falling.recommendations);
}

#[test]
fn what_a_load_came_to_in_silence_is_not_taken_for_a_minutes_way() {
    // Nothing was heard for five minutes before the last tick but one: what came meanwhile is spread over them.
    let mut silent = on_its_way(3.0, 2.0);
    silent.snapshot.window.retain(|seen| seen.at > ago(seconds(15)) || seen.at <= ago(5 * MINUTE));
    let heard = on_its_way(3.0, 2.0);
    let size = |fleet: &Fleet| fleet.decide().recommendations[0].size;
    assert!(size(&silent) < size(&heard), "{:?}, {:?}", size(&silent), size(&heard));
    // However steep the way, no more than three times the load is kept ready.
    let steep = on_its_way(0.0, 8.0).decide();
    assert!(steep.recommendations[0].size <= Some(28), "{:?}", steep.recommendations);
}

#[test]
fn the_lean_grows_where_a_rise_went_on_and_sinks_where_it_did_not() {
    let lean = |cpu: f64| {
        let mut fleet = on_its_way(5.0, 0.5);
        fleet.snapshot.boot_time = Some(seconds(0));
        fleet.snapshot.current.values.insert("cpu.avg".into(), Value::exact(cpu));
        learned(&fleet.decide()).lean
    };
    assert!(lean(0.9) > 0.5, "{}", lean(0.9));
    assert!(lean(0.6) < 0.5, "{}", lean(0.6));
}

#[test]
fn a_trail_of_before_there_was_a_lean_can_be_read() {
    let trail: Trail = serde_json::from_str(r#"{"level":2.0,"headroom":0.07,"unrest":0.01}"#).unwrap();
    assert_eq!(trail, Trail { level: 2.0, headroom: 0.07, unrest: 0.01, lean: 0.0 });
}

#[test]
fn a_trail_survives_storage() {
    let mut seen = observation(now(), 0.5, 4, None);
    assert!(!serde_json::to_string(&seen).unwrap().contains("trails"));
    seen.trails.insert("cpu-60".into(), Trail { level: 2.0, headroom: 0.07, unrest: 0.01, lean: 0.2 });
    let stored = serde_json::to_string(&seen).unwrap();
    assert_eq!(serde_json::from_str::<crate::decide::signal::Observation>(&stored).unwrap(), seen);
}
