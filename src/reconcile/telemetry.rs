//! What the loop tells Prometheus. Names and labels are the contract's; each is described where `/metrics` is served.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use tracing::field::display;

use crate::config::fleet::FleetConfig;
use crate::decide::condition::Facet;
use crate::decide::plan::{Effect, Guard};
use crate::decide::policy::{Mode, Policy};
use crate::decide::signal::SignalName;
use crate::decide::{Plan, Snapshot};
use crate::domain::host::{Host, HostState};
use crate::domain::ids::{DecisionId, FleetName, InstanceId, Pool, Zone};
use crate::domain::time::{Timestamp, since};
use crate::reconcile::commit::Committed;

/// A host that took a step, and the decision that made it do so, if one did.
pub(super) fn host_advanced(before: &Host, after: &Host, decision: Option<DecisionId>) {
    let (fleet, host) = (&after.fleet, &after.id);
    let (launch, decision) = (after.launch.map(display), decision.map(display));
    let (from, to) = (before.state.name(), after.state.name());
    tracing::info!(%fleet, %host, launch, decision, from, to, "host");
    counter!("fleet_scaler_host_transitions_total", "fleet" => fleet.to_string(), "to" => to).increment(1);
    if let (None, Some(at)) = (before.healthy_at, after.healthy_at) {
        let span = since(at, after.launched_at).as_secs_f64();
        histogram!("fleet_scaler_launch_to_healthy_seconds", "fleet" => fleet.to_string()).record(span);
    }
}

/// A host that has its first row: bought, or adopted.
pub(super) fn host_recorded(host: &Host) {
    let (fleet, to) = (host.fleet.to_string(), host.state.name());
    counter!("fleet_scaler_host_transitions_total", "fleet" => fleet, "to" => to).increment(1);
}

/// A decision, and the fleet as it was judged.
pub(super) fn decided(config: &FleetConfig, snapshot: &Snapshot, plan: &Plan, committed: &Committed) {
    let status = match (committed, config.mode) {
        (Committed::No { .. }, _) => "conflict",
        (Committed::Yes { .. }, Mode::DryRun) => "dry_run",
        (Committed::Yes { .. }, Mode::Live) => "committed",
    };
    counter!("fleet_scaler_decisions_total",
        "fleet" => config.name.to_string(), "action" => plan.action.as_str(), "status" => status)
    .increment(1);
    sizes(&config.name, snapshot, plan);
    signals(&config.name, snapshot, plan);
    stops(&config.name, snapshot, plan);
    ways(&config.name, snapshot);
    if plan.action != crate::decide::plan::Action::Hold {
        let decision = match committed {
            Committed::Yes { decision, .. } => Some(display(decision)),
            Committed::No { .. } => None,
        };
        tracing::info!(
            fleet = %config.name, decision, action = %plan.action, from = plan.size_before, to = plan.size_wanted,
            status, "{}", plan.reason
        );
    }
}

/// How large the fleet is, should be, and may be.
fn sizes(fleet: &FleetName, snapshot: &Snapshot, plan: &Plan) {
    let fleet = || fleet.to_string();
    gauge!("fleet_scaler_desired_size", "fleet" => fleet()).set(f64::from(plan.size_wanted));
    gauge!("fleet_scaler_recommended_size", "fleet" => fleet())
        .set(plan.observation.recommended.map_or(f64::NAN, f64::from));
    for candidate in &plan.candidates {
        let name = candidate.name.clone();
        gauge!("fleet_scaler_candidate_size", "fleet" => fleet(), "candidate" => name)
            .set(f64::from(candidate.size_wanted));
    }
    let bounds = snapshot.policy.bounds(snapshot.now);
    for (bound, hosts) in [("min", bounds.min), ("max", bounds.max)] {
        gauge!("fleet_scaler_size_limit", "fleet" => fleet(), "bound" => bound).set(f64::from(hosts));
    }
    for state in HostState::NAMES {
        let count = snapshot.hosts.iter().filter(|view| view.host.state.name() == state).count();
        gauge!("fleet_scaler_hosts", "fleet" => fleet(), "state" => state).set(count as f64);
        // Told from zero on: of a counter that begins at three, nobody can say that it rose.
        counter!("fleet_scaler_host_transitions_total", "fleet" => fleet(), "to" => state).increment(0);
    }
    let boot = snapshot.boot_time.map_or(f64::NAN, |span| span.as_secs_f64());
    gauge!("fleet_scaler_boot_seconds", "fleet" => fleet()).set(boot);
    gauge!("fleet_scaler_orphans", "fleet" => fleet()).set(f64::from(snapshot.orphans));
}

/// What was heard. A signal without a value is told as NaN: the last value would look like a fresh one.
fn signals(fleet: &FleetName, snapshot: &Snapshot, plan: &Plan) {
    let observed = &plan.observation;
    for name in snapshot.policy.signals() {
        let value = observed.value(&name, Facet::Heard).unwrap_or(f64::NAN);
        gauge!("fleet_scaler_signal", "fleet" => fleet.to_string(), "signal" => name).set(value);
    }
    for (name, forecast) in &snapshot.forecasts {
        let (fleet, signal) = (fleet.to_string(), name.clone());
        let trusted = f64::from(u8::from(forecast.trust.is_earned()));
        gauge!("fleet_scaler_forecast_trusted", "fleet" => fleet, "signal" => signal).set(trusted);
    }
    gauge!("fleet_scaler_hosts_heard", "fleet" => fleet.to_string()).set(f64::from(observed.hosts_heard));
    gauge!("fleet_scaler_hosts_asked", "fleet" => fleet.to_string()).set(f64::from(observed.hosts_asked));
}

/// Signals that no rule and no target uses any more.
pub(super) fn signals_dropped<'a>(fleet: &FleetName, dropped: impl Iterator<Item = &'a SignalName>) {
    for name in dropped {
        gauge!("fleet_scaler_signal", "fleet" => fleet.to_string(), "signal" => name.clone()).set(f64::NAN);
    }
}

/// Signals that are not forecast any more.
pub(super) fn forecasts_dropped<'a>(fleet: &FleetName, dropped: impl Iterator<Item = &'a SignalName>) {
    for name in dropped {
        let (fleet, signal) = (fleet.to_string(), name.clone());
        gauge!("fleet_scaler_forecast_trusted", "fleet" => fleet, "signal" => signal).set(f64::NAN);
    }
}

/// Candidates that are not tried any more.
pub(super) fn candidates_dropped(fleet: &FleetName, before: &FleetConfig, now: &FleetConfig) {
    let stays = |name: &str| now.candidates.iter().any(|candidate| candidate.name == name);
    for candidate in before.candidates.iter().filter(|candidate| !stays(&candidate.name)) {
        let name = candidate.name.clone();
        gauge!("fleet_scaler_candidate_size", "fleet" => fleet.to_string(), "candidate" => name)
            .set(f64::NAN);
    }
}

/// What holds the fleet back.
fn stops(fleet: &FleetName, snapshot: &Snapshot, plan: &Plan) {
    let memory = &snapshot.memory;
    let failing = memory.breaker_is_open(&snapshot.policy.safety, snapshot.now);
    gauge!("fleet_scaler_breaker_open", "fleet" => fleet.to_string()).set(f64::from(u8::from(failing)));
    for (direction, pause) in [("out", &memory.pause_out), ("in", &memory.pause_in)] {
        let holds = pause.as_ref().is_some_and(|pause| pause.holds(snapshot.now));
        paused(fleet, direction, holds);
    }
    for guard in Guard::ALL {
        let holds =
            plan.verdicts.iter().any(|verdict| verdict.guard == guard && verdict.effect != Effect::Pass);
        gauge!("fleet_scaler_guard_holds", "fleet" => fleet.to_string(), "guard" => guard.as_str())
            .set(f64::from(u8::from(holds)));
    }
}

/// How hosts on their way in and out get on.
fn ways(fleet: &FleetName, snapshot: &Snapshot) {
    let now = snapshot.now;
    let pools: BTreeSet<Pool> = pools(&snapshot.policy).collect();
    let cooling =
        snapshot.pools.iter().filter(|health| health.is_cooling(now) && pools.contains(&health.pool));
    gauge!("fleet_scaler_pools", "fleet" => fleet.to_string()).set(pools.len() as f64);
    gauge!("fleet_scaler_pools_cooling", "fleet" => fleet.to_string()).set(cooling.count() as f64);
    let reserved: u32 = snapshot.launches.iter().map(|launch| launch.missing).sum();
    gauge!("fleet_scaler_reserved_hosts", "fleet" => fleet.to_string()).set(f64::from(reserved));
    let oldest = snapshot.launches.iter().map(|launch| since(now, launch.created_at)).max();
    gauge!("fleet_scaler_oldest_open_launch_seconds", "fleet" => fleet.to_string())
        .set(oldest.unwrap_or_default().as_secs_f64());
    let overdue =
        snapshot.hosts.iter().filter_map(|view| due(&view.host.state)).map(|due| since(now, due)).max();
    gauge!("fleet_scaler_drain_overdue_seconds", "fleet" => fleet.to_string())
        .set(overdue.unwrap_or_default().as_secs_f64());
}

/// Everywhere that the fleet may buy.
fn pools(policy: &Policy) -> impl Iterator<Item = Pool> {
    let own = policy.instance_types.is_empty().then_some(None);
    let types: Vec<_> = policy.instance_types.iter().cloned().map(Some).chain(own).collect();
    policy.places.iter().flat_map(move |place| {
        let pool = |instance_type| Pool { zone: place.zone.clone(), instance_type };
        types.clone().into_iter().map(pool)
    })
}

/// When a host on its way out should have taken its next step, at the latest.
fn due(state: &HostState) -> Option<Timestamp> {
    match state {
        HostState::Draining { drain } => Some(drain.started_at),
        HostState::Deregistered { deadline, .. } => Some(*deadline),
        HostState::Terminating { since, .. } => Some(*since),
        HostState::Pending { .. }
        | HostState::Running { .. }
        | HostState::Registered { .. }
        | HostState::Healthy { .. }
        | HostState::Unhealthy { .. }
        | HostState::Terminated { .. }
        | HostState::Lost { .. } => None,
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

/// Whether a fleet's file is in force.
pub(super) fn configured(fleet: &FleetName, is: bool) {
    gauge!("fleet_scaler_fleet_configured", "fleet" => fleet.to_string()).set(f64::from(u8::from(is)));
}

/// Whether this replica holds the fleet.
pub(super) fn lease(fleet: &FleetName, held: bool) {
    gauge!("fleet_scaler_lease_held", "fleet" => fleet.to_string()).set(f64::from(u8::from(held)));
}

/// How many replicas share the fleets, this one included.
pub(super) fn replicas(count: usize) {
    gauge!("fleet_scaler_replicas").set(count as f64);
}

/// The outcome of a tick that ended well.
pub(super) const DONE: &str = "done";

/// How long a tick took, how it ended, and how soon the next is due. One that ended well is dated.
pub(super) fn ticked(
    fleet: &FleetName,
    (took, interval): (Duration, Duration),
    outcome: &'static str,
    now: Timestamp,
) {
    let label = fleet.to_string();
    gauge!("fleet_scaler_interval_seconds", "fleet" => label.clone()).set(interval.as_secs_f64());
    if outcome == DONE {
        let at = now.timestamp_millis() as f64 / 1_000.0;
        gauge!("fleet_scaler_last_tick_timestamp_seconds", "fleet" => label.clone()).set(at);
    }
    histogram!("fleet_scaler_tick_seconds", "fleet" => label.clone()).record(took.as_secs_f64());
    counter!("fleet_scaler_ticks_total", "fleet" => label, "outcome" => outcome).increment(1);
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
