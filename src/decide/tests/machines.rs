//! Which machines go, stay and are bought, and what people ask for: one rule of judgment a test, from both sides.

use super::fixture::{Fleet, MINUTE, ago, bought, effect, expect, now, rule, seconds, victims};
use crate::decide::Plan;
use crate::decide::plan::{Action, Effect, Granted, Guard, ReasonCode};
use crate::decide::policy::{Mode, RuleAction, VictimOrder};
use crate::decide::snapshot::{Ask, CloudView, Sighting};
use crate::domain::host::{DrainReason, Host, HostState};
use crate::domain::ids::InstanceId;

#[test]
fn victims_go_in_the_order_that_is_asked_for() {
    let mut fleet = Fleet::of(8, 0.05);
    fleet.observed(0.05, Some(2));
    fleet.policy.rules = vec![rule("idle", "cpu.avg < 0.3", (3, 3), RuleAction::Remove(3))];
    fleet.policy.size.step_in_max = 3;
    assert_eq!(victims(&fleet.decide()), ["i-1", "i-2", "i-3"]);
    fleet.policy.scale_in.order = VictimOrder::Newest;
    assert_eq!(victims(&fleet.decide()), ["i-8", "i-7", "i-6"]);
    // Zones a, b, c hold 3, 3 and 2.
    fleet.policy.scale_in.order = VictimOrder::ZoneBalance;
    assert_eq!(victims(&fleet.decide()), ["i-1", "i-2", "i-3"]);
    fleet.policy.scale_in.order = VictimOrder::Oldest;
    fleet.protected(1);
    fleet.seen(2, Sighting::Unknown);
    fleet.seen(3, Sighting::Absent);
    fleet.host(4).launched_at = ago(MINUTE);
    fleet.host(5).launched_at = ago(2 * MINUTE);
    fleet.host(6).launched_at = ago(2 * MINUTE);
    fleet.policy.scale_in.order = VictimOrder::Oldest;
    assert_eq!(victims(&fleet.decide()), ["i-7", "i-8", "i-5"]);
}

#[test]
fn the_fullest_zone_gives_first() {
    let mut fleet = Fleet::of(5, 0.05);
    fleet.observed(0.05, Some(2));
    fleet.policy.rules = vec![rule("idle", "cpu.avg < 0.3", (3, 3), RuleAction::Remove(2))];
    fleet.policy.size.step_in_max = 2;
    fleet.policy.scale_in.order = VictimOrder::ZoneBalance;
    for number in [2, 4, 5] {
        let zone = fleet.host(3).zone.clone();
        fleet.host(number).zone = zone;
    }
    assert_eq!(victims(&fleet.decide()), ["i-2", "i-3"]);
}

#[test]
fn nobody_goes_who_may_not_and_the_size_says_so() {
    let mut fleet = Fleet::idle(4, 0.1);
    for number in 1..=4 {
        fleet.protected(number);
    }
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (4, 4));
    assert_eq!(effect(&plan, Guard::Bounds), Effect::Refuse);
}

#[test]
fn scale_in_leaves_as_many_healthy_as_it_wants() {
    let mut fleet = Fleet::idle(4, 0.1);
    fleet.unhealthy(3, seconds(30));
    let plan = fleet.decide();
    expect(&plan, Action::ScaleIn, (4, 3));
    assert_eq!(victims(&plan), ["i-3"]);
}

#[test]
fn a_failed_host_goes_after_its_time_and_not_before() {
    let mut fleet = Fleet::of(4, 0.5);
    fleet.unhealthy(2, 2 * MINUTE);
    fleet.booting(3, 15 * MINUTE);
    expect(&fleet.decide(), Action::Hold, (4, 4));
    fleet.unhealthy(2, 2 * MINUTE + seconds(1));
    let plan = fleet.decide();
    expect(&plan, Action::Replace, (3, 4));
    assert_eq!((victims(&plan), plan.drains[0].reason), (vec!["i-2"], DrainReason::Unhealthy));
    assert_eq!(plan.drains[0].version, 42);
    fleet.booting(3, 15 * MINUTE + seconds(1));
    let plan = fleet.decide();
    assert_eq!((victims(&plan), plan.drains[1].reason), (vec!["i-2", "i-3"], DrainReason::BootTimeout));
    // A machine found after its boot deadline is given a deadline of its own.
    fleet.host(3).launched_at = ago(60 * MINUTE);
    fleet.host(3).state = HostState::Running { since: ago(MINUTE) };
    assert_eq!(victims(&fleet.decide()), ["i-2"]);
    // Nothing destructive follows from what was not seen.
    fleet.seen(2, Sighting::Unknown);
    expect(&fleet.decide(), Action::Hold, (4, 4));
}

#[test]
fn what_keeps_a_failed_host_keeps_its_replacement_too() {
    let mut fleet = Fleet::of(4, 0.5);
    fleet.unhealthy(2, 3 * MINUTE);
    fleet.protected(2);
    expect(&fleet.decide(), Action::Hold, (4, 4));
    let mut fleet = Fleet::of(4, 0.5);
    fleet.unhealthy(2, 3 * MINUTE);
    fleet.snapshot.memory.pause_in = Some(Fleet::pause());
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (4, 4));
    assert_eq!((bought(&plan), plan.code), (0, ReasonCode::Stuck));
    assert_eq!(effect(&plan, Guard::Pause), Effect::Refuse);
    fleet.snapshot.memory.pause_in = None;
    fleet.snapshot.drains_in_budget = vec![ago(9 * MINUTE); 5];
    assert_eq!(effect(&fleet.decide(), Guard::Budget), Effect::Refuse);
    fleet.snapshot.drains_in_budget = vec![ago(10 * MINUTE); 5];
    expect(&fleet.decide(), Action::Replace, (3, 4));
}

#[test]
fn the_halt_takes_more_than_two_and_more_than_the_share() {
    let mut fleet = Fleet::of(6, 0.5);
    fleet.unhealthy(1, 3 * MINUTE);
    fleet.unhealthy(2, 3 * MINUTE);
    assert_eq!(victims(&fleet.decide()), ["i-1", "i-2"]);
    fleet.seen(3, Sighting::Unknown);
    let plan = fleet.decide();
    assert_eq!((victims(&plan), effect(&plan, Guard::UnhealthyHalt)), (vec![], Effect::Refuse));
    // Hosts that are already leaving for it count: a slow outage does not walk through the fleet.
    let mut fleet = Fleet::of(6, 0.5);
    fleet.draining(1, DrainReason::Unhealthy);
    fleet.draining(2, DrainReason::Unhealthy);
    fleet.unhealthy(3, 3 * MINUTE);
    assert_eq!(victims(&fleet.decide()), Vec::<&str>::new());
    fleet.policy.safety.halt_unhealthy = 0.5;
    assert_eq!(victims(&fleet.decide()), ["i-3"]);
}

#[test]
fn an_operator_drain_is_replaced_and_keeps_the_floor() {
    let drain = |fleet: &mut Fleet, id: &str| fleet.asks(Ask::Drain(InstanceId::new(id)));
    let mut fleet = Fleet::of(3, 0.5);
    for id in ["i-1", "i-2", "i-9", "i-1"] {
        drain(&mut fleet, id);
    }
    let plan = fleet.decide();
    expect(&plan, Action::Manual, (3, 3));
    let answers: Vec<(Granted, &str)> =
        plan.answered.iter().map(|answer| (answer.granted, answer.because.as_str())).collect();
    assert_eq!(
        answers,
        [
            (Granted::Yes, "i-1 is taken out"),
            (Granted::No, "only 2 healthy: another one away would leave fewer than 2"),
            (Granted::No, "fleet web has no host i-9"),
            (Granted::No, "i-1 is on its way out already (healthy)"),
        ]
    );
    assert_eq!((victims(&plan), bought(&plan)), (vec!["i-1"], 1));
    let mut fleet = Fleet::of(3, 0.5);
    fleet.protected(1);
    fleet.seen(2, Sighting::Unknown);
    fleet.snapshot.memory.pause_in = Some(Fleet::pause());
    for id in ["i-1", "i-2", "i-3"] {
        drain(&mut fleet, id);
    }
    let plan = fleet.decide();
    assert!(plan.answered.iter().all(|answer| answer.granted == Granted::No));
    assert!(plan.answered[0].because.contains("fleet-scaler:protect"));
    assert!(plan.answered[2].because.contains("paused until 11:00:00Z by bob"));
    expect(&plan, Action::Hold, (3, 3));
}

#[test]
fn a_size_that_was_asked_for_is_reached_in_steps() {
    let mut fleet = Fleet::of(6, 0.5);
    fleet.snapshot.memory.last_scale_out = Some(ago(seconds(1)));
    fleet.asks(Ask::SetSize(9));
    let plan = fleet.decide();
    expect(&plan, Action::Manual, (6, 9));
    assert_eq!((bought(&plan), plan.rules_fired.len()), (3, 0));
    fleet.snapshot.requests.clear();
    fleet.snapshot.memory.desired = Some(3);
    fleet.policy.size.step_in_max = 2;
    let plan = fleet.decide();
    expect(&plan, Action::Repair, (6, 3));
    assert_eq!((victims(&plan), plan.code), (vec!["i-1", "i-2"], ReasonCode::Excess));
    fleet.snapshot.drains_in_budget = vec![ago(MINUTE); 4];
    assert_eq!(victims(&fleet.decide()), ["i-1"]);
    fleet.snapshot.cloud = CloudView::Unknown("no answer".into());
    expect(&fleet.decide(), Action::Hold, (6, 3));
}

#[test]
fn a_lowered_ceiling_is_a_reason_of_its_own() {
    let mut fleet = Fleet::of(6, 0.5);
    fleet.policy.size.max = 4;
    let plan = fleet.decide();
    expect(&plan, Action::Repair, (6, 4));
    assert_eq!((victims(&plan), plan.drains[0].reason), (vec!["i-1"], DrainReason::AboveMax));
    fleet.snapshot.memory.desired = Some(4);
    expect(&fleet.decide(), Action::Repair, (6, 4));
    fleet.policy.size = crate::decide::policy::SizePolicy { min: 8, max: 10, ..fleet.policy.size };
    let plan = fleet.decide();
    expect(&plan, Action::Repair, (6, 8));
    assert_eq!(bought(&plan), 2);
}

#[test]
fn what_a_restored_database_forgot_is_neither_bought_again_nor_killed() {
    let mut fleet = Fleet::of(2, 0.5);
    fleet.snapshot.memory.desired = Some(4);
    fleet.snapshot.orphans = 6;
    let plan = fleet.decide();
    expect(&plan, Action::Repair, (8, 8));
    assert!(plan.launches.is_empty() && plan.drains.is_empty());
    assert_eq!(
        plan.reason,
        "Repair: 4 were wanted, 8 are now: 6 hosts with this fleet's tags and no record were found"
    );
    fleet.snapshot.orphans = 2;
    expect(&fleet.decide(), Action::Hold, (4, 4));
    fleet.snapshot.orphans = 1;
    assert_eq!(bought(&fleet.decide()), 1);
}

#[test]
fn hosts_are_spread_over_zones_and_go_round_pools_that_cool() {
    let mut fleet = Fleet::of(4, 0.9);
    fleet.policy.rules[0].action = RuleAction::Add(4);
    let places = |plan: &Plan| -> Vec<String> {
        plan.launches.iter().map(|launch| format!("{} {}", launch.count, launch.pool)).collect()
    };
    assert_eq!(
        places(&fleet.decide()),
        ["1 m7g.large in eu-west-1a", "2 m7g.large in eu-west-1b", "1 m7g.large in eu-west-1c"]
    );
    fleet.cools("eu-west-1b", "m7g.large", now() + MINUTE, 1);
    fleet.cools("eu-west-1c", "m7g.large", ago(MINUTE), 1);
    assert_eq!(
        places(&fleet.decide()),
        ["1 m7g.large in eu-west-1a", "2 m6g.large in eu-west-1b", "1 m7g.large in eu-west-1c"]
    );
    fleet.cools("eu-west-1b", "m6g.large", now() + MINUTE, 1);
    fleet.cools("eu-west-1c", "m6g.large", now() + MINUTE, 1);
    assert_eq!(places(&fleet.decide()), ["3 m7g.large in eu-west-1a", "1 m7g.large in eu-west-1c"]);
    for kind in ["m7g.large", "m6g.large"] {
        fleet.cools("eu-west-1a", kind, now() + MINUTE, 1);
    }
    let plan = fleet.decide();
    assert_eq!(places(&plan), ["1 m7g.large in eu-west-1c"]);
    assert_eq!(plan.size_wanted, 8);
    assert!(
        plan.reason.ends_with("3 hosts not bought yet: the pools refused lately and are tried with 1 first")
    );
    fleet.policy.instance_types.clear();
    fleet.policy.places.truncate(1);
    assert_eq!(places(&fleet.decide()), ["4 eu-west-1a"]);
}

#[test]
fn the_breaker_lets_one_through_and_waits_for_it() {
    let mut fleet = Fleet::of(4, 0.9);
    fleet.snapshot.memory.launch_failures = 3;
    fleet.snapshot.memory.last_launch_failure = Some(ago(9 * MINUTE));
    expect(&fleet.decide(), Action::Hold, (4, 4));
    fleet.snapshot.memory.last_launch_failure = Some(ago(10 * MINUTE));
    let plan = fleet.decide();
    expect(&plan, Action::ScaleOut, (4, 5));
    assert_eq!(bought(&plan), 1);
    fleet.snapshot.memory.desired = Some(5);
    fleet.reserve(1, MINUTE);
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (5, 5));
    assert_eq!(effect(&plan, Guard::Breaker), Effect::Refuse);
    fleet.snapshot.memory.launch_failures = 0;
    expect(&fleet.decide(), Action::ScaleOut, (5, 7));
}

#[test]
fn drains_that_were_announced_are_not_taken_back() {
    let mut fleet = Fleet::of(4, 0.9);
    fleet.snapshot.memory.desired = Some(3);
    let HostState::Draining { drain } = ({
        fleet.draining(1, DrainReason::ScaleIn);
        fleet.host(1).state.clone()
    }) else {
        panic!("not draining")
    };
    fleet.host(1).state = HostState::Deregistered { drain, since: ago(seconds(3)), deadline: now() };
    let plan = fleet.decide();
    assert_eq!((plan.cancelled_drains.len(), bought(&plan)), (0, 2));
    fleet.draining(1, DrainReason::Operator);
    assert_eq!(fleet.decide().cancelled_drains.len(), 0);
    fleet.draining(1, DrainReason::ScaleIn);
    fleet.draining(2, DrainReason::ScaleIn);
    fleet.snapshot.memory.desired = Some(2);
    let plan = fleet.decide();
    assert_eq!((plan.cancelled_drains.len(), bought(&plan), plan.size_wanted), (2, 0, 4));
}

#[test]
fn quiet_answers_have_one_signature_and_others_their_own() {
    let quiet = Fleet::of(4, 0.5).decide();
    let mut later = Fleet::of(4, 0.512);
    later.snapshot.now = now() + seconds(10);
    later.snapshot.current.at = later.snapshot.now;
    assert_eq!(quiet.signature(), later.decide().signature());
    assert_ne!(quiet.reason, later.decide().reason);
    let others = [Fleet::of(4, 0.9), Fleet::idle(4, 0.1), Fleet::of(5, 0.5)];
    assert!(others.iter().all(|other| other.decide().signature() != quiet.signature()));
    let mut paused = Fleet::of(4, 0.9);
    paused.snapshot.memory.pause_out = Some(Fleet::pause());
    assert_eq!(
        paused.decide().signature(),
        "hold 4→4 held_back [rule hot=6,rule idle=-] [pause:no] +0 -0 0 fresh"
    );
}

#[test]
fn a_dry_run_judges_the_fleet_as_it_stands() {
    let mut fleet = Fleet::of(4, 0.9);
    fleet.policy.mode = Mode::DryRun;
    // What it wanted before was not done.
    fleet.snapshot.memory.desired = Some(6);
    let plan = fleet.decide();
    expect(&plan, Action::ScaleOut, (4, 6));
    assert_eq!(effect(&plan, Guard::DryRun), Effect::Refuse);
    fleet.snapshot.memory.last_scale_out = Some(ago(seconds(5)));
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (4, 4));
    assert_eq!((plan.code, effect(&plan, Guard::DryRun)), (ReasonCode::HeldBack, Effect::Pass));
    fleet.asks(Ask::SetSize(5));
    fleet.asks(Ask::Drain(InstanceId::new("i-1")));
    let plan = fleet.decide();
    assert!(plan.answered.iter().all(|answer| answer.granted == Granted::No));
    assert!(plan.launches.is_empty() && plan.drains.is_empty());
}

#[test]
fn an_empty_policy_holds_what_there_is() {
    let mut fleet = Fleet::of(3, 0.5);
    fleet.policy.rules.clear();
    let plan = fleet.decide();
    expect(&plan, Action::Hold, (3, 3));
    assert_eq!(plan.reason, "Hold at 3: no rule and no target asks for a change");
    fleet.snapshot.memory.desired = None;
    expect(&fleet.decide(), Action::Hold, (3, 3));
}

#[test]
fn where_the_balancer_sends_no_traffic_nobody_is_bought_and_nobody_given_up() {
    let mut fleet = Fleet::of(4, 0.5);
    fleet.snapshot.memory.desired = Some(7);
    let zone_b = fleet.host(2).zone.clone();
    *fleet.host(2) = booting(fleet.host(2).clone());
    let old = fleet.decide();
    assert_eq!(victims(&old), ["i-2"], "a host that is not healthy by boot_timeout goes");

    fleet.snapshot.unserved.lately.insert(zone_b.clone());
    let late = fleet.decide();
    assert!(victims(&late).is_empty(), "it had no time to become healthy");
    assert!(late.launches.iter().any(|launch| launch.pool.zone == zone_b), "and its zone is served again");

    fleet.snapshot.unserved.now.insert(zone_b.clone());
    let plan = fleet.decide();
    assert!(victims(&plan).is_empty());
    assert_eq!(bought(&plan), 3);
    assert!(plan.launches.iter().all(|launch| launch.pool.zone != zone_b));
    assert!(plan.reason.contains("does not serve eu-west-1b (Target.NotInUse)"), "{}", plan.reason);

    for place in fleet.policy.places.clone() {
        fleet.snapshot.unserved.now.insert(place.zone);
    }
    let plan = fleet.decide();
    assert_eq!((bought(&plan), plan.code), (0, ReasonCode::Stuck));
    assert!(plan.reason.contains("serves none of the fleet's zones"), "{}", plan.reason);
}

/// The same host, registered a day ago and never healthy.
fn booting(host: Host) -> Host {
    Host { healthy_at: None, state: HostState::Registered { since: host.launched_at }, ..host }
}
