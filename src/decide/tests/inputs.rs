//! What is kept of a snapshot is the whole of it: read again, it is the same, and so is the decision.

use proptest::prelude::*;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::fixture::{Fleet, MINUTE, ago, cpu_target, now, observation, rule, seconds};
use super::properties::fleet;
use crate::decide::inputs::{Basis, FORMAT, Inputs, PROGRAM, Unreadable};
use crate::decide::policy::{Candidate, RuleAction, VictimOrder};
use crate::decide::schedule::cron::Cron;
use crate::decide::schedule::{Schedule, ScheduledSize};
use crate::decide::signal::{Observation, Value};
use crate::decide::snapshot::{Ask, CloudView, Deregistration};
use crate::decide::trail::Trail;
use crate::domain::ids::{InstanceId, TargetGroupArn, Zone};

fn basis(fleet: &Fleet) -> Basis {
    Basis { snapshot: Arc::new(fleet.snapshot()), withheld: None }
}

fn again(inputs: &Inputs, window: &[Observation]) -> Result<Basis, Unreadable> {
    inputs.open()?.basis(window.to_vec())
}

/// As Postgres keeps them: in words of its own, and read as a program reads them.
fn stored(window: &[Observation]) -> Vec<Observation> {
    window.iter().map(|seen| serde_json::from_str(&serde_json::to_string(seen).unwrap()).unwrap()).collect()
}

/// A fleet that has some of everything that a policy and a snapshot can have.
fn crowded(mut fleet: Fleet) -> Fleet {
    let size = ScheduledSize::Both { min: 3, max: 9 };
    let start = Cron::parse("0 8 * * MON-FRI").unwrap();
    let end = Cron::parse("*/20 19 L * *").unwrap();
    let zone = "Europe/Berlin".parse().unwrap();
    fleet.policy.schedules.push(Schedule { name: "office".into(), start, end, zone, size });
    fleet.policy.targets = vec![cpu_target()];
    let spaced = "cpu . avg > 0.85 || (qps / hosts.healthy > 1.5e2 ? true : cpu.p95>0.9)";
    fleet.policy.rules.push(rule("spaced", spaced, (1, 1000), RuleAction::RemovePercent(12.5)));
    fleet.policy.rules[0].cooldown = Some(seconds(7));
    fleet.policy.target_groups = vec![TargetGroupArn::new("arn:web")];
    fleet.policy.scale_in.order = VictimOrder::ZoneBalance;
    fleet.snapshot.boot_time = Some(seconds(61) + std::time::Duration::from_nanos(1));
    fleet.snapshot.unserved.lately.insert(Zone::new("eu-west-1c"));
    fleet.cools("eu-west-1a", "m7g.large", ago(seconds(3)), 2);
    fleet.asks(Ask::Drain(InstanceId::new("i-2")));
    let trail = Trail { level: 0.1 + 0.2, headroom: -1.0 / 3.0, unrest: 1e-17, lean: 0.3 };
    for seen in fleet.snapshot.window.iter_mut().rev().take(3) {
        seen.trails.insert("cpu-60".into(), trail);
        seen.candidates.insert("calmer".into(), None);
    }
    if let Some(view) = fleet.snapshot.hosts.first_mut() {
        view.host.address = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)));
        view.deregistration = Deregistration::Sent;
    }
    let mut calmer = fleet.policy.clone();
    calmer.rules.truncate(1);
    fleet.policy.candidates = vec![Candidate { name: "calmer".into(), policy: calmer }];
    fleet
}

proptest! {
    #[test]
    fn what_is_kept_is_the_same_snapshot_and_the_same_decision(
        drawn in fleet(),
        is_crowded in any::<bool>(),
        wobble in prop::num::f64::NORMAL,
    ) {
        let mut fleet = if is_crowded { crowded(drawn) } else { drawn };
        fleet.snapshot.current.values.insert("qps".into(), Value { heard: wobble, if_idle: -wobble, if_busy: f64::MIN_POSITIVE });
        let basis = basis(&fleet);
        let kept = again(&basis.inputs().unwrap(), &stored(&fleet.snapshot.window)).unwrap();
        prop_assert_eq!(&kept, &basis);
        prop_assert_eq!(kept.plan(), basis.plan());
    }
}

#[test]
fn what_kept_launches_back_is_a_part_of_the_decision() {
    let fleet = Fleet::of(4, 0.95);
    let free = basis(&fleet);
    assert!(!free.plan().launches.is_empty(), "{}", free.plan().reason);
    let held = Basis { withheld: Some("launch template: gone".into()), ..free };
    let kept = again(&held.inputs().unwrap(), &fleet.snapshot.window).unwrap();
    let plan = kept.plan();
    assert!(plan.launches.is_empty());
    assert_eq!((plan.observation.faults, kept), (vec!["launch template: gone".to_owned()], held));
}

#[test]
fn a_value_that_is_no_number_is_left_out_and_changes_nothing() {
    let mut fleet = Fleet::of(4, 0.5);
    fleet.snapshot.current.values.insert("qps".into(), Value::exact(f64::NAN));
    let basis = basis(&fleet);
    let kept = again(&basis.inputs().unwrap(), &fleet.snapshot.window).unwrap();
    assert!(!kept.snapshot.current.values.contains_key("qps"));
    assert_eq!(kept.plan().verdicts, basis.plan().verdicts);
}

#[test]
fn what_cannot_be_read_says_why() {
    let fleet = Fleet::of(2, 0.5);
    let inputs = basis(&fleet).inputs().unwrap();
    let window = &fleet.snapshot.window;
    let refused = |inputs: &Inputs| again(inputs, window).unwrap_err();
    let newer = Inputs { format: FORMAT + 1, document: "?".into(), ..inputs.clone() };
    assert_eq!(refused(&newer), Unreadable::Format(FORMAT + 1), "and nothing of it is read");
    let other = Inputs { program: "0.0.0".into(), document: "?".into(), ..inputs.clone() };
    assert_eq!(refused(&other), Unreadable::Program("0.0.0".into()));
    let more =
        Inputs { document: inputs.document.replacen('{', r#"{"hosts_of_tomorrow":1,"#, 1), ..inputs.clone() };
    assert!(matches!(refused(&more), Unreadable::Broken(why) if why.contains("hosts_of_tomorrow")));
    let short = again(&inputs, &window[1..]).unwrap_err();
    assert_eq!(short, Unreadable::Window { kept: window.len() - 1, needed: window.len() });
    let mut moved = window.clone();
    moved[0] = observation(ago(60 * MINUTE), 0.5, 2, None);
    assert!(matches!(again(&inputs, &moved), Err(Unreadable::Window { .. })));
    assert!(inputs.open().unwrap().looked_back().is_some_and(|(first, last)| first < last && last < now()));
    assert_eq!(inputs.program, PROGRAM);
}

#[test]
fn a_seal_is_of_every_part() {
    let mut fleet = Fleet::of(2, 0.5);
    let inputs = basis(&fleet).inputs().unwrap();
    fleet.snapshot.cloud = CloudView::Unknown("no answer".into());
    let other = basis(&fleet).inputs().unwrap();
    assert_eq!((inputs.policy_digest(), inputs.seal().len()), (other.policy_digest(), 64));
    let seals = [
        inputs.seal(),
        other.seal(),
        Inputs { format: 2, ..inputs.clone() }.seal(),
        Inputs { program: String::new(), ..inputs.clone() }.seal(),
        Inputs { policy: String::new(), document: inputs.policy.clone() + &inputs.document, ..inputs }.seal(),
    ];
    let distinct: std::collections::BTreeSet<_> = seals.iter().collect();
    assert_eq!(distinct.len(), seals.len());
}
