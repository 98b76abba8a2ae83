//! What a forecast may do, and what it never does.

use std::time::Duration;

use proptest::prelude::*;

use super::fixture::{Fleet, MINUTE, ago, cpu_target, expect};
use crate::decide::Plan;
use crate::decide::forecast::{Expected, Forecast, Trial, Trust};
use crate::decide::inputs::Basis;
use crate::decide::plan::{Action, ReasonCode, Recommendation};
use crate::decide::policy::ForecastPolicy;
use crate::domain::time::after;

const WON: Trust = Trust::Tried(Trial { days: 5, with: 1.2, without: 1.5 });
const LOST: Trust = Trust::Tried(Trial { days: 5, with: 1.5, without: 1.2 });

/// Ten minutes apart, from ten minutes ago on.
fn forecast(trust: Trust, loads: &[f64]) -> Forecast {
    let point = |(step, load): (u32, &f64)| Expected {
        at: after(ago(10 * MINUTE), 10 * MINUTE * step),
        load: *load,
        low: load * 0.9,
        high: load * 1.2,
    };
    Forecast { trust, points: (0..).zip(loads).map(point).collect() }
}

/// Hosts with one target of 60 % that may follow a forecast three hosts far.
fn fleet(hosts: u32, cpu: f64, forecast: Forecast) -> Fleet {
    let mut fleet = Fleet::of(hosts, cpu);
    fleet.policy.rules.clear();
    fleet.policy.size.max = 40;
    fleet.policy.targets = vec![cpu_target()];
    fleet.policy.targets[0].forecast = Some(ForecastPolicy { hosts_max: 3 });
    // With two ticks it takes ten minutes.
    fleet.snapshot.boot_time = Some(Duration::from_secs(580));
    fleet.snapshot.forecasts.insert("cpu.avg".into(), forecast);
    fleet
}

fn said(plan: &Plan) -> &Recommendation {
    plan.recommendations.iter().find(|one| one.source == "forecast cpu-60").unwrap()
}

#[test]
fn hosts_are_bought_for_load_that_is_expected_when_they_serve() {
    // A fifth more within ten minutes: 10 × 0.58 × 1.2 / 0.66 = 10.5.
    let plan = fleet(10, 0.58, forecast(WON, &[50.0, 50.0, 60.0, 90.0])).decide();
    expect(&plan, Action::ScaleOut, (10, 11));
    assert_eq!(
        said(&plan).because,
        "load of cpu.avg 5.80, 6.96 expected by 10:10:00Z (6.264 to 8.352): 11 hosts"
    );
    assert_eq!(
        plan.reason,
        "Scale out 10 → 11: forecast cpu-60: load of cpu.avg 5.80, 6.96 expected by 10:10:00Z (6.264 to 8.352): 11 hosts"
    );
}

#[test]
fn no_more_hosts_than_the_operator_set() {
    // Four times as much is expected; nine hosts are what the load asks for now, and three more the bound.
    let plan = fleet(10, 0.58, forecast(WON, &[10.0, 10.0, 40.0])).decide();
    expect(&plan, Action::ScaleOut, (10, 12));
    assert!(
        said(&plan).because.ends_with(": 12 hosts, no more than 3 ahead of the load"),
        "{:?}",
        said(&plan)
    );
}

#[test]
fn one_that_has_not_proven_itself_is_recorded_and_not_followed() {
    let little = Trust::Tried(Trial { days: 1, with: 0.99, without: 1.0 });
    let too_short = Trust::TooShort { hours: 30, needed: 73 };
    for (trust, because) in [
        (LOST, "not followed: over the last 5 days it would have cost 25 % of the hosts"),
        (
            little,
            "not followed: over the last day it would have saved 1 % of the hosts, and 2 % are the least",
        ),
        (too_short, "not followed: 30 h of load are known, and a trial takes 73"),
    ] {
        let plan = fleet(10, 0.58, forecast(trust, &[50.0, 50.0, 90.0])).decide();
        expect(&plan, Action::Hold, (10, 10));
        assert_eq!((said(&plan).size, said(&plan).because.as_str()), (None, because));
    }
}

#[test]
fn one_that_ended_or_was_never_made_says_nothing() {
    let plan = fleet(10, 0.58, forecast(WON, &[50.0, 50.0])).decide();
    assert_eq!(said(&plan).because, "no load is expected for this time: there is no forecast of it");
    let mut fleet = fleet(10, 0.58, forecast(WON, &[]));
    fleet.snapshot.forecasts.clear();
    assert_eq!(said(&fleet.decide()).size, None);
    fleet.policy.targets[0].forecast = None;
    assert!(fleet.decide().recommendations.iter().all(|one| one.source != "forecast cpu-60"));
}

#[test]
fn load_that_is_expected_again_soon_keeps_its_hosts() {
    let mut falling = fleet(10, 0.40, forecast(WON, &[50.0, 40.0, 40.0]));
    falling.recommended(Some(6));
    expect(&falling.decide(), Action::ScaleIn, (10, 9));
    // In ten minutes it will be half as much again as now: 10 × 0.4 × 1.5 / 0.66 = 9.1.
    let mut lull = fleet(10, 0.40, forecast(WON, &[50.0, 40.0, 60.0]));
    lull.recommended(Some(6));
    let plan = lull.decide();
    expect(&plan, Action::Hold, (10, 10));
    assert_eq!(said(&plan).size, Some(10));
}

#[test]
fn a_rise_that_the_fleet_has_room_for_is_no_word_for_fewer_hosts() {
    // A hundredth more in ten minutes: nine hosts would do, and ten are no reason to say so.
    let plan = fleet(10, 0.58, forecast(WON, &[50.0, 50.0, 50.5])).decide();
    expect(&plan, Action::Hold, (10, 10));
    assert_eq!((plan.code, said(&plan).size), (ReasonCode::Quiet, Some(9)), "{}", plan.reason);
}

#[test]
fn it_is_kept_with_the_decision_and_read_again() {
    let snapshot = fleet(10, 0.58, forecast(WON, &[50.0, 50.0, 60.0])).snapshot();
    let window = snapshot.window.clone();
    let basis = Basis { snapshot: snapshot.into(), withheld: None };
    let read = basis.inputs().unwrap().open().unwrap().basis(window).unwrap();
    assert_eq!(read, basis);
    assert_eq!(read.plan().size_wanted, 11);
}

proptest! {
    /// Whatever is expected, a fleet with a forecast is never smaller than one without, and never larger by more than
    /// the bound.
    #[test]
    fn it_raises_and_never_lowers_and_never_beyond_the_bound(
        hosts in 3_u32..30,
        cpu in 0.0_f64..1.0,
        earlier in 1_u32..30,
        loads in proptest::collection::vec(prop_oneof![Just(0.0), 0.0_f64..1e3, Just(1e300)], 0..6),
    ) {
        let mut with = fleet(hosts, cpu, forecast(WON, &loads));
        with.policy.size.step_in_max = 40;
        with.policy.size.step_out_max = Some(40);
        with.recommended(Some(earlier));
        let mut without = with.clone();
        without.policy.targets[0].forecast = None;
        let (with, without) = (with.decide(), without.decide());
        prop_assert!(with.size_wanted >= without.size_wanted, "{} and {}", with.reason, without.reason);
        let ahead = with.observation.recommended.unwrap().saturating_sub(without.observation.recommended.unwrap());
        // Beside the load itself there is the size that the fleet has.
        prop_assert!(with.size_wanted <= without.size_wanted.max(hosts) + 3, "{} and {}", with.reason, without.reason);
        prop_assert!(ahead <= 3.max(hosts), "{ahead}");
    }

    /// More load never means fewer hosts, whatever is expected.
    #[test]
    fn more_load_never_means_fewer_hosts(
        cpu in 0.0_f64..0.9,
        more in 0.0_f64..0.1,
        loads in proptest::collection::vec(0.0_f64..1e3, 3..6),
    ) {
        let size = |cpu| fleet(12, cpu, forecast(WON, &loads)).decide().size_wanted;
        prop_assert!(size(cpu + more) >= size(cpu));
    }
}
