//! What the loop tells Prometheus. Names and labels are the contract's; each is described where `/metrics` is served.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::config::fleet::FleetConfig;
use crate::decide::policy::Mode;
use crate::decide::{Plan, Snapshot};
use crate::domain::host::{Host, HostState};
use crate::domain::ids::{FleetName, InstanceId, Zone};
use crate::domain::time::{Timestamp, since};
use crate::reconcile::commit::Committed;

/// A host that took a step.
pub(super) fn host_advanced(before: &Host, after: &Host) {
    let (fleet, host) = (&after.fleet, &after.id);
    tracing::info!(%fleet, %host, from = before.state.name(), to = after.state.name(), "host");
    if let (None, Some(at)) = (before.healthy_at, after.healthy_at) {
        let span = since(at, after.launched_at).as_secs_f64();
        histogram!("fleet_scaler_launch_to_healthy_seconds", "fleet" => fleet.to_string()).record(span);
    }
}

/// A decision, and the fleet as it was judged.
pub(super) fn decided(config: &FleetConfig, snapshot: &Snapshot, plan: &Plan, committed: &Committed) {
    let fleet = || config.name.to_string();
    let status = match (committed, config.mode) {
        (Committed::No { .. }, _) => "conflict",
        (Committed::Yes { .. }, Mode::DryRun) => "dry_run",
        (Committed::Yes { .. }, Mode::Live) => "committed",
    };
    counter!("fleet_scaler_decisions_total",
        "fleet" => fleet(), "action" => plan.action.as_str(), "status" => status)
    .increment(1);
    gauge!("fleet_scaler_desired_size", "fleet" => fleet()).set(f64::from(plan.size_wanted));
    for state in HostState::NAMES {
        let count = snapshot.hosts.iter().filter(|view| view.host.state.name() == state).count();
        gauge!("fleet_scaler_hosts", "fleet" => fleet(), "state" => state).set(count as f64);
    }
    let memory = &snapshot.memory;
    let safety = &snapshot.policy.safety;
    let failing = memory.breaker_is_open(safety, snapshot.now);
    gauge!("fleet_scaler_breaker_open", "fleet" => fleet()).set(f64::from(u8::from(failing)));
    for (direction, pause) in [("out", &memory.pause_out), ("in", &memory.pause_in)] {
        let holds = pause.as_ref().is_some_and(|pause| pause.holds(snapshot.now));
        paused(&config.name, direction, holds);
    }
    if plan.action != crate::decide::plan::Action::Hold {
        tracing::info!(
            fleet = %config.name, action = %plan.action, from = plan.size_before, to = plan.size_wanted, status,
            "{}", plan.reason
        );
    }
}

/// The hosts that lost this fleet's tags, before and now. Each is told of once: it may stay so for days.
pub(super) fn quarantined(fleet: &FleetName, before: &BTreeSet<InstanceId>, now: &BTreeSet<InstanceId>) {
    for host in now.difference(before) {
        tracing::warn!(%fleet, %host, "its tags do not say any more that it is this fleet's: it is left alone");
    }
    for host in before.difference(now) {
        tracing::info!(%fleet, %host, "it is out of quarantine: it has its tags again, or has ended");
    }
    gauge!("fleet_scaler_quarantined_hosts", "fleet" => fleet.to_string()).set(now.len() as f64);
}

/// The zones to which the balancer sends no traffic. A zone is told of once, as long as it does not come and go.
pub(super) fn unserved<T>(fleet: &FleetName, before: &BTreeMap<Zone, T>, now: &BTreeSet<Zone>) {
    for zone in now {
        if !before.contains_key(zone) {
            tracing::warn!(%fleet, %zone, "the balancer does not serve the zone: nothing is bought there");
        }
    }
    gauge!("fleet_scaler_unserved_zones", "fleet" => fleet.to_string()).set(now.len() as f64);
}

/// Whether a direction is paused.
pub(super) fn paused(fleet: &FleetName, direction: &'static str, holds: bool) {
    gauge!("fleet_scaler_paused", "fleet" => fleet.to_string(), "direction" => direction)
        .set(f64::from(u8::from(holds)));
}

/// Whether this replica holds the fleet.
pub(super) fn lease(fleet: &FleetName, held: bool) {
    gauge!("fleet_scaler_lease_held", "fleet" => fleet.to_string()).set(f64::from(u8::from(held)));
}

/// How many replicas share the fleets, this one included.
pub(super) fn replicas(count: usize) {
    gauge!("fleet_scaler_replicas").set(count as f64);
}

/// How long a tick took, and how it ended.
pub(super) fn ticked(fleet: &FleetName, took: Duration, outcome: &'static str) {
    histogram!("fleet_scaler_tick_seconds", "fleet" => fleet.to_string()).record(took.as_secs_f64());
    counter!("fleet_scaler_ticks_total", "fleet" => fleet.to_string(), "outcome" => outcome).increment(1);
}

/// The age of the oldest instance with our owner's tag that belongs to no fleet in force; zero where there is none.
pub(super) fn oldest_unowned(launched_at: Option<Timestamp>, now: Timestamp) {
    let age = launched_at.map_or(0.0, |at| since(now, at).as_secs_f64());
    gauge!("fleet_scaler_oldest_unowned_instance_seconds").set(age);
}

/// Whether the files on disk are the configuration in force.
pub(super) fn configuration(valid: bool) {
    gauge!("fleet_scaler_config_valid").set(f64::from(u8::from(valid)));
}
