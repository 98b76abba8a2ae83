//! Whole plans, as `plan` prints them. `UPDATE_GOLDEN=1 cargo test golden` writes the files anew; read the difference.

use std::path::PathBuf;

use super::fixture::{Fleet, MINUTE, ago, cpu_target, now, seconds};
use crate::decide::explain::render;
use crate::decide::policy::Mode;
use crate::decide::signal::Value;
use crate::decide::snapshot::{Ask, CloudView};
use crate::domain::host::DrainReason;
use crate::domain::ids::InstanceId;

#[track_caller]
pub(super) fn golden(name: &str, fleet: &Fleet) {
    let plan = fleet.decide();
    let text = render("web", &plan) + "\n";
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/decide").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &text).unwrap();
    }
    let expected =
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert_eq!(text, expected, "{name}: UPDATE_GOLDEN=1 writes the file anew");
}

#[test]
fn scale_out_by_rule() {
    golden("scale_out_by_rule", &Fleet::of(4, 0.82));
}

#[test]
fn scale_out_by_target() {
    let mut fleet = Fleet::of(4, 0.9);
    fleet.policy.rules.clear();
    fleet.policy.targets = vec![cpu_target()];
    golden("scale_out_by_target", &fleet);
}

#[test]
fn hold_inside_tolerance() {
    let mut fleet = Fleet::of(4, 0.62);
    fleet.policy.targets = vec![cpu_target()];
    golden("hold_inside_tolerance", &fleet);
}

#[test]
fn cooldown() {
    let mut fleet = Fleet::of(4, 0.82);
    fleet.snapshot.memory.last_scale_out = Some(ago(seconds(35)));
    fleet.snapshot.memory.last_change = Some(ago(seconds(35)));
    fleet.snapshot.memory.rules_fired.insert("hot".into(), ago(seconds(35)));
    golden("cooldown", &fleet);
}

#[test]
fn scale_in_oldest_first() {
    golden("scale_in_oldest_first", &Fleet::idle(4, 0.2));
}

#[test]
fn window_refuses() {
    let mut fleet = Fleet::idle(4, 0.2);
    fleet.snapshot.window[12].recommended = Some(6);
    golden("window_refuses", &fleet);
}

#[test]
fn window_clamps() {
    let mut fleet = Fleet::of(8, 0.2);
    fleet.policy.rules.clear();
    fleet.policy.targets = vec![cpu_target()];
    fleet.policy.size.step_in_max = 5;
    fleet.observed(0.2, Some(3));
    fleet.snapshot.window[12].recommended = Some(5);
    golden("window_clamps", &fleet);
}

#[test]
fn projection_refuses() {
    let mut fleet = Fleet::idle(3, 0.28);
    fleet.policy.rules[0] =
        super::fixture::rule("warm", "cpu.avg > 0.40", (1, 1), crate::decide::policy::RuleAction::Add(1));
    golden("projection_refuses", &fleet);
}

#[test]
fn all_metrics_gone() {
    let mut fleet = Fleet::idle(4, 0.2);
    fleet.deaf();
    golden("all_metrics_gone", &fleet);
}

#[test]
fn half_of_the_metrics_gone() {
    let mut fleet = Fleet::of(4, 0.2);
    fleet.observed(0.2, Some(3));
    fleet.policy.targets = vec![cpu_target()];
    for seen in fleet.observations() {
        seen.hosts_heard = 2;
        seen.values.insert("cpu.avg".into(), Value { heard: 0.2, if_idle: 0.1, if_busy: 0.6 });
    }
    golden("half_of_the_metrics_gone", &fleet);
}

#[test]
fn below_min_while_deaf() {
    let mut fleet = Fleet::of(2, 0.2);
    fleet.deaf();
    fleet.lose(2);
    fleet.snapshot.current.hosts_heard = 0;
    golden("below_min_while_deaf", &fleet);
}

#[test]
fn lost_host_replaced() {
    let mut fleet = Fleet::of(4, 0.5);
    fleet.snapshot.memory.last_scale_out = Some(ago(seconds(5)));
    fleet.snapshot.memory.last_change = Some(ago(seconds(5)));
    fleet.lose(2);
    golden("lost_host_replaced", &fleet);
}

#[test]
fn failed_hosts_replaced() {
    let mut fleet = Fleet::of(6, 0.5);
    fleet.unhealthy(1, 3 * MINUTE);
    fleet.booting(5, 16 * MINUTE);
    golden("failed_hosts_replaced", &fleet);
}

#[test]
fn unhealthy_halt() {
    let mut fleet = Fleet::of(10, 0.5);
    for number in 1..=3 {
        fleet.unhealthy(number, 3 * MINUTE);
    }
    golden("unhealthy_halt", &fleet);
}

#[test]
fn budget_spent() {
    let mut fleet = Fleet::idle(4, 0.2);
    fleet.snapshot.drains_in_budget = (1..=5).rev().map(|minute| ago(minute * MINUTE)).collect();
    golden("budget_spent", &fleet);
}

#[test]
fn breaker_open() {
    let mut fleet = Fleet::of(4, 0.82);
    fleet.snapshot.memory.launch_failures = 3;
    fleet.snapshot.memory.last_launch_failure = Some(ago(4 * MINUTE));
    fleet.lose(4);
    golden("breaker_open", &fleet);
}

#[test]
fn breaker_half_open() {
    let mut fleet = Fleet::of(4, 0.5);
    fleet.snapshot.memory.launch_failures = 3;
    fleet.snapshot.memory.last_launch_failure = Some(ago(11 * MINUTE));
    fleet.lose(4);
    fleet.lose(3);
    golden("breaker_half_open", &fleet);
}

#[test]
fn paused_out() {
    let mut fleet = Fleet::of(4, 0.82);
    fleet.snapshot.memory.pause_out = Some(Fleet::pause());
    golden("paused_out", &fleet);
}

#[test]
fn dry_run() {
    let mut fleet = Fleet::of(4, 0.82);
    fleet.policy.mode = Mode::DryRun;
    golden("dry_run", &fleet);
}

#[test]
fn manual_size_refused() {
    let mut fleet = Fleet::of(4, 0.5);
    fleet.asks(Ask::SetSize(12));
    golden("manual_size_refused", &fleet);
}

#[test]
fn manual_size_granted() {
    let mut fleet = Fleet::of(4, 0.2);
    fleet.snapshot.memory.last_change = Some(ago(seconds(5)));
    fleet.deaf();
    fleet.asks(Ask::SetSize(2));
    golden("manual_size_granted", &fleet);
}

#[test]
fn host_sent_away_by_a_person() {
    let mut fleet = Fleet::of(4, 0.5);
    fleet.asks(Ask::Drain(InstanceId::new("i-3")));
    golden("host_sent_away_by_a_person", &fleet);
}

#[test]
fn every_pool_cools() {
    let mut fleet = Fleet::of(4, 0.82);
    for zone in ["eu-west-1a", "eu-west-1b", "eu-west-1c"] {
        for kind in ["m7g.large", "m6g.large"] {
            fleet.cools(zone, kind, now() + 20 * MINUTE, 1);
        }
    }
    fleet.snapshot.pools[3].cooling_until = now() + 7 * MINUTE;
    golden("every_pool_cools", &fleet);
}

#[test]
fn a_surge_takes_drains_back() {
    let mut fleet = Fleet::of(4, 0.82);
    fleet.snapshot.memory.desired = Some(3);
    fleet.draining(1, DrainReason::ScaleIn);
    golden("a_surge_takes_drains_back", &fleet);
}

#[test]
fn cloud_out_of_sight() {
    let mut fleet = Fleet::of(4, 0.82);
    fleet.snapshot.cloud = CloudView::Unknown("DescribeInstances: no answer within 20s".into());
    golden("cloud_out_of_sight", &fleet);
}

#[test]
fn first_look() {
    let mut fleet = Fleet::of(1, 0.5);
    fleet.snapshot.hosts.clear();
    fleet.snapshot.window.clear();
    fleet.snapshot.memory.desired = None;
    fleet.snapshot.current = super::fixture::observation(now(), 0.5, 0, None);
    fleet.snapshot.current.values.remove("cpu.avg");
    golden("first_look", &fleet);
}
