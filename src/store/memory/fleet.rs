//! A fleet as a whole: what one tick reads, as of one moment.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use chrono::TimeDelta;

use crate::domain::boot::Boot;
use crate::domain::host::{Host, HostState};
use crate::domain::ids::{FleetName, InstanceId, TargetGroupArn};
use crate::domain::launch::{Launch, LaunchState};
use crate::domain::time::{Timestamp, before, since};
use crate::store::StoredFleet;
use crate::store::memory::operator;
use crate::store::memory::rows::{FleetRow, HostRow, Rows};
use crate::store::shared::{WINDOW_MAX, bounded_span};

/// The cloud shows hosts that ended for about an hour more.
const ENDED_SPAN: TimeDelta = TimeDelta::hours(2);
/// People want to see what has just gone.
const RECENT_SPAN: TimeDelta = TimeDelta::hours(1);

pub(super) fn load(
    rows: &Rows,
    now: Timestamp,
    name: &FleetName,
    horizon: Duration,
    budget_span: Duration,
) -> StoredFleet {
    let known = rows.fleets.get(name);
    let hosts: Vec<Host> = rows.alive(name).cloned().collect();
    let letting_go = hosts.iter().filter(|host| matches!(host.state, HostState::Draining { .. }));
    let letting_go = letting_go.filter_map(|host| rows.hosts.get(&host.id));
    StoredFleet {
        now,
        lease: known.and_then(|row| row.lease.clone()),
        memory: known.map(|row| row.memory.clone()).unwrap_or_default(),
        letting_go: letting_go
            .filter(|row| is_let_go(rows, name, row))
            .map(|row| row.host.id.clone())
            .collect(),
        hosts,
        ended: ended(known, now - ENDED_SPAN).into_iter().cloned().collect(),
        launches: rows.open_launches(name).map(|launch| with_attempt(rows, launch)).collect(),
        window: window(known, before(now, bounded_span(horizon))),
        pools: known.map(|row| row.pools.values().cloned().collect()).unwrap_or_default(),
        requests: operator::unanswered(rows, name),
        drains_in_budget: spent(known, before(now, bounded_span(budget_span))),
    }
}

fn with_attempt(rows: &Rows, launch: &Launch) -> Launch {
    let attempt = rows.unresolved(launch.id).map(|row| Box::new(row.attempt.clone()));
    Launch { state: LaunchState::Open { attempt }, ..launch.clone() }
}

/// Whether a host drains and a call to deregister was recorded for it since it was chosen.
pub(super) fn is_let_go(rows: &Rows, fleet: &FleetName, row: &HostRow) -> bool {
    let HostState::Draining { drain } = &row.host.state else { return false };
    let called = rows.fleets.get(fleet).and_then(|fleet| fleet.let_go.get(&row.host.id));
    row.host.fleet == *fleet && called.is_some_and(|at| *at >= drain.started_at)
}

/// Ids of hosts that became final after `from`.
fn ended(known: Option<&FleetRow>, from: Timestamp) -> BTreeSet<&InstanceId> {
    let after = known.into_iter().flat_map(|row| row.ended.iter().rev());
    after.take_while(|(at, _)| *at > from).map(|(_, id)| id).collect()
}

fn window(known: Option<&FleetRow>, from: Timestamp) -> Vec<crate::decide::signal::Observation> {
    let Some(row) = known else { return Vec::new() };
    let newest = row.window.range((Bound::Excluded(from), Bound::Unbounded)).rev();
    let mut window: Vec<_> =
        newest.take(WINDOW_MAX as usize).map(|(_, observation)| observation.clone()).collect();
    window.reverse();
    window
}

/// When hosts were chosen to go after `from`.
pub(super) fn spent(known: Option<&FleetRow>, from: Timestamp) -> Vec<Timestamp> {
    let after = known.into_iter().flat_map(|row| row.spent.range((from, 0)..));
    after.map(|(at, _)| *at).filter(|at| *at > from).collect()
}

/// Groups that living hosts were registered with: a host must be let go of by each of them before it ends.
pub(super) fn groups_joined(rows: &Rows, name: &FleetName) -> Vec<TargetGroupArn> {
    let Some(fleet) = rows.fleets.get(name) else { return Vec::new() };
    let joined = fleet.alive.iter().filter_map(|id| fleet.joined.get(id)).flatten();
    joined.collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// How long hosts took that became healthy since then, the newest first.
pub(super) fn boots(rows: &Rows, from: Timestamp, name: &FleetName, most: u32) -> Vec<Boot> {
    let hosts = rows.hosts.values().map(|row| &row.host).filter(|host| host.fleet == *name);
    let mut healthy: Vec<(Timestamp, &Host)> = hosts
        .filter_map(|host| Some((host.healthy_at?, host)))
        .filter(|(at, host)| *at >= from && host.launch.is_some())
        .collect();
    healthy.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id)));
    let boot = |(healthy_at, host): (Timestamp, &Host)| {
        let launch = rows.launches.get(host.launch.as_ref()?)?;
        Some(Boot {
            zone: host.zone.clone(),
            template: launch.launch.template.template.clone(),
            healthy_at,
            took: since(healthy_at, host.launched_at),
        })
    };
    healthy.into_iter().filter_map(boot).take(most as usize).collect()
}

/// Hosts that are not final, and those that became so within the last hour, by id.
pub(super) fn hosts_recent(rows: &Rows, now: Timestamp, name: &FleetName) -> Vec<Host> {
    let Some(fleet) = rows.fleets.get(name) else { return Vec::new() };
    let mut ids = ended(Some(fleet), now - RECENT_SPAN);
    ids.extend(&fleet.alive);
    ids.into_iter().filter_map(|id| rows.hosts.get(id)).map(|row| row.host.clone()).collect()
}
