//! Whether what a person asks for can be granted as things stand. Whoever asks hears it at once and nothing is recorded;
//! the decision that answers a recorded request judges again, by what is true then.

use std::cmp::Ordering;

use crate::config::fleet::FleetConfig;
use crate::decide::policy::Mode;
use crate::domain::host::{Host, HostState};
use crate::domain::time::Timestamp;
use crate::store::StoredFleet;
use crate::view::words::moment;

/// A guard refused it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Which way a request would change the fleet.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// It grows.
    Larger,
    /// It shrinks.
    Smaller,
}

/// A fleet in dry-run, or paused that way, would refuse the request: the person hears it now, and nothing is recorded.
pub fn unhindered(config: &FleetConfig, stored: &StoredFleet, way: Way) -> Result<(), Refused> {
    let name = &config.name;
    if config.mode == Mode::DryRun {
        return Err(Refused(format!("{name} is in dry-run: nothing is done to it. Nothing was recorded")));
    }
    let (pause, direction) = match way {
        Way::Larger => (&stored.memory.pause_out, "out"),
        Way::Smaller => (&stored.memory.pause_in, "in"),
    };
    let Some(pause) = pause.as_ref().filter(|pause| pause.holds(stored.now)) else { return Ok(()) };
    let until = match pause.until {
        Some(until) => format!("until {}", moment(until)),
        None => "until resumed".to_owned(),
    };
    Err(Refused(format!(
        "{name}: scale-{direction} is paused {until} by {}: {}. `fleet-scaler resume {name}` ends it. Nothing was \
         recorded",
        pause.actor, pause.reason
    )))
}

/// Whether this size can be asked for now.
pub fn size_allowed(config: &FleetConfig, stored: &StoredFleet, size: u32) -> Result<(), Refused> {
    within_bounds(config, size, stored.now)?;
    match way(stored.memory.desired, size) {
        Some(way) => unhindered(config, stored, way),
        None => Ok(()),
    }
}

/// Which way the fleet would go; `None`: it stays, or nothing was ever decided.
fn way(desired: Option<u32>, size: u32) -> Option<Way> {
    match desired?.cmp(&size) {
        Ordering::Less => Some(Way::Larger),
        Ordering::Greater => Some(Way::Smaller),
        Ordering::Equal => None,
    }
}

/// Whether the configuration allows this size at any time at all: what can be said without asking what time it is.
pub fn ever_allowed(config: &FleetConfig, size: u32) -> Result<(), Refused> {
    let min = config.size.min;
    let ceilings = config.schedules.iter().filter_map(|schedule| schedule.size.max());
    let max = ceilings.fold(config.size.max, u32::max);
    if (min..=max).contains(&size) {
        return Ok(());
    }
    let (relation, bound) = if size < min { ("below min", min) } else { ("above max", max) };
    Err(Refused(format!(
        "{}: size {size} is {relation} = {bound}; the configuration allows {min} to {max}. Nothing was recorded",
        config.name
    )))
}

/// Whether the bounds at `now` allow this size.
fn within_bounds(config: &FleetConfig, size: u32, now: Timestamp) -> Result<(), Refused> {
    let bounds = config.bounds(now);
    let (min, max) = (bounds.min, bounds.max);
    if (min..=max).contains(&size) {
        return Ok(());
    }
    let (relation, bound) =
        if size < min { ("below", bounds.min_words()) } else { ("above", bounds.max_words()) };
    Err(Refused(format!(
        "{}: size {size} is {relation} {bound}; the configuration allows {min} to {max} now. Nothing was recorded",
        config.name
    )))
}

/// Whether this host can be sent away now.
pub fn drain_allowed(config: &FleetConfig, stored: &StoredFleet, host: &Host) -> Result<(), Refused> {
    may_go(host)?;
    unhindered(config, stored, Way::Smaller)?;
    floor_kept(config, host, stored)
}

/// A host that is leaving, or gone, cannot be sent away again.
fn may_go(host: &Host) -> Result<(), Refused> {
    let already = match &host.state {
        HostState::Draining { drain }
        | HostState::Deregistered { drain, .. }
        | HostState::Terminating { drain, .. } => {
            format!("is {} since {} ({})", host.state.name(), moment(drain.started_at), drain.reason)
        }
        HostState::Terminated { since, .. } | HostState::Lost { since } => {
            format!("is gone ({}) since {}", host.state.name(), moment(*since))
        }
        HostState::Pending { .. }
        | HostState::Running { .. }
        | HostState::Registered { .. }
        | HostState::Healthy { .. }
        | HostState::Unhealthy { .. } => return Ok(()),
    };
    Err(Refused(format!("{}: {} {already}. Nothing was recorded", host.fleet, host.id)))
}

/// No drain that a person chooses starts while the hosts that would still serve are fewer than `min`.
fn floor_kept(config: &FleetConfig, host: &Host, stored: &StoredFleet) -> Result<(), Refused> {
    let bounds = config.bounds(stored.now);
    let min = bounds.min;
    let healthy = |host: &Host| matches!(host.state, HostState::Healthy { .. });
    let serving = stored.hosts.iter().filter(|host| healthy(host)).count();
    if !healthy(host) || serving > min as usize {
        return Ok(());
    }
    Err(Refused(format!(
        "{}: {} serves, and so do {serving} hosts in all, while {}. Set a larger size first, or wait until \
         more hosts are healthy. Nothing was recorded",
        config.name,
        host.id,
        bounds.min_words()
    )))
}
