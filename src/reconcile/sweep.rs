//! What was seen, written down: hosts advance, get lost, or are adopted.
//!
//! Only positive evidence moves a host towards its end: the cloud *shows* it dead, or has answered without it for longer
//! than any lag explains. A look that failed moves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::decide::policy::Mode;
use crate::domain::host::{Host, HostState, Step};
use crate::domain::ids::{FleetName, InstanceId, LaunchId};
use crate::domain::tags;
use crate::domain::time::{Timestamp, since};
use crate::provider::{CloudInstance, InstanceState};
use crate::reconcile::desk::Desk;
use crate::reconcile::observe::{Body, Groups, Standing, World};
use crate::reconcile::telemetry;
use crate::store::{HostChange, Orphan, StoreError, StoredFleet};

/// A host that the cloud has not shown for so long, though it answered, is lost. EC2's lists lag seconds to minutes
/// behind a launch; its documentation advises to keep asking for up to five minutes.
pub const ABSENCE_GRACE: Duration = Duration::from_mins(5);
/// The same for a host whose termination was asked for: EC2 shows it as terminated for about an hour, so its absence
/// says less about lag.
pub const TERMINATING_ABSENCE_GRACE: Duration = Duration::from_mins(1);
/// An orphan is adopted after two sightings at least so far apart.
pub const ORPHAN_AGE: Duration = Duration::from_mins(1);

/// Since when each host has been absent from the cloud's answers. Kept in memory only: a restart starts the grace anew,
/// which errs on the side of keeping.
pub type Absences = BTreeMap<InstanceId, Timestamp>;

/// The step that what was seen of a host amounts to, if any.
#[must_use]
pub fn step_of(host: &Host, body: Body, standing: Standing, absent_for: Option<Duration>) -> Option<Step> {
    match body {
        Body::Unknown => None,
        Body::Dead => Some(ending(&host.state)),
        Body::Absent => {
            let grace = match host.state {
                HostState::Terminating { .. } => TERMINATING_ABSENCE_GRACE,
                _ => ABSENCE_GRACE,
            };
            absent_for.is_some_and(|span| span >= grace).then(|| ending(&host.state))
        }
        Body::Alive(state) => living_step(&host.state, state, standing),
    }
}

/// How a host's life ends when it is found dead: as we asked, or without our doing.
fn ending(state: &HostState) -> Step {
    match state {
        HostState::Deregistered { .. } | HostState::Terminating { .. } => Step::ConfirmTerminated,
        HostState::Pending { .. }
        | HostState::Running { .. }
        | HostState::Registered { .. }
        | HostState::Healthy { .. }
        | HostState::Unhealthy { .. }
        | HostState::Draining { .. }
        | HostState::Terminated { .. }
        | HostState::Lost { .. } => Step::Lose,
    }
}

fn living_step(state: &HostState, seen: InstanceState, standing: Standing) -> Option<Step> {
    let serving = seen == InstanceState::Running && standing == Standing::Healthy;
    match state {
        HostState::Pending { .. } => (seen == InstanceState::Running).then_some(Step::Run),
        // A running host is registered first, so that `healthy` never means "by leftovers of an earlier registration".
        HostState::Running { .. }
        | HostState::Draining { .. }
        | HostState::Deregistered { .. }
        | HostState::Terminating { .. }
        | HostState::Terminated { .. }
        | HostState::Lost { .. } => None,
        HostState::Registered { .. } | HostState::Unhealthy { .. } => serving.then_some(Step::BecomeHealthy),
        HostState::Healthy { .. } => {
            let failing = standing == Standing::Unhealthy
                || matches!(seen, InstanceState::Stopping | InstanceState::Stopped);
            failing.then_some(Step::BecomeUnhealthy)
        }
    }
}

/// Instances with this fleet's tags that no row knows and no unresolved attempt explains. They count as live at once.
#[must_use]
pub fn orphans<'a>(world: &'a World, fleet: &'a FleetName, stored: &StoredFleet) -> Vec<&'a CloudInstance> {
    let known: BTreeSet<&InstanceId> =
        stored.hosts.iter().map(|host| &host.id).chain(stored.ended.iter()).collect();
    let in_flight: BTreeSet<String> = stored
        .launches
        .iter()
        .filter(|launch| launch.open_attempt().is_some())
        .map(|launch| launch.id.to_string())
        .collect();
    world
        .of_fleet(fleet)
        .filter(|instance| !matches!(instance.state, InstanceState::ShuttingDown | InstanceState::Terminated))
        .filter(|instance| !known.contains(&instance.id))
        .filter(|instance| !instance.tags.get(tags::LAUNCH).is_some_and(|id| in_flight.contains(id)))
        .collect()
}

/// A host's row as it is first written.
#[must_use]
pub fn host_of(instance: &CloudInstance, fleet: &FleetName, launch: Option<LaunchId>, at: Timestamp) -> Host {
    Host {
        id: instance.id.clone(),
        fleet: fleet.clone(),
        launch,
        zone: instance.zone.clone(),
        subnet: instance.subnet.clone(),
        instance_type: instance.instance_type.clone(),
        address: instance.address,
        launched_at: instance.launched_at,
        healthy_at: None,
        state: HostState::Pending { since: at },
        version: 1,
    }
}

/// Advances every host by what was seen of it. Hosts that became final leave the list; a host whose row was changed by
/// somebody else meanwhile is left as it is and looked at again next tick.
pub async fn advance_hosts(
    desk: &Desk<'_>,
    hosts: Vec<Host>,
    world: Option<&World>,
    groups: &Groups,
    absences: &mut Absences,
) -> Result<Vec<Host>, StoreError> {
    let mut kept = Vec::with_capacity(hosts.len());
    for host in hosts {
        let body = Body::of(world, &host.id);
        let absent_for = note_absence(absences, &host.id, body, desk.now());
        let host = refresh_address(desk, host, world).await?;
        let standing = groups.standing(&desk.fleet.balancer.target_groups, &host.id);
        let step = step_of(&host, body, standing, absent_for)
            .or_else(|| dry_step(desk.fleet.mode, &host, body, standing));
        let host = match step {
            Some(step) => desk.advance(host, step).await?,
            None => host,
        };
        if host.state.is_final() {
            absences.remove(&host.id);
            desk.parts.signals.forget(&host.fleet, &host.id);
        } else {
            kept.push(host);
        }
    }
    Ok(kept)
}

/// In a dry run nobody registers a host, so an adopted one is in service as soon as its groups say so.
fn dry_step(mode: Mode, host: &Host, body: Body, standing: Standing) -> Option<Step> {
    let serving = body == Body::Alive(InstanceState::Running) && standing == Standing::Healthy;
    let waits = matches!(host.state, HostState::Running { .. });
    (mode == Mode::DryRun && waits && serving).then_some(Step::BecomeHealthy)
}

fn note_absence(absences: &mut Absences, host: &InstanceId, body: Body, now: Timestamp) -> Option<Duration> {
    match body {
        Body::Absent => Some(since(now, *absences.entry(host.clone()).or_insert(now))),
        Body::Alive(_) | Body::Dead => {
            absences.remove(host);
            None
        }
        Body::Unknown => None,
    }
}

/// Writes down an address that the cloud gave later than the instance itself.
async fn refresh_address(desk: &Desk<'_>, host: Host, world: Option<&World>) -> Result<Host, StoreError> {
    let told = world.and_then(|world| world.instances.get(&host.id)).and_then(|instance| instance.address);
    if told.is_none() || told == host.address {
        return Ok(host);
    }
    let after = Host { address: told, version: host.version + 1, ..host.clone() };
    match desk.parts.store.host_advance(desk.fence, &HostChange { after: after.clone(), step: None }).await {
        Ok(()) => Ok(after),
        Err(StoreError::Conflict(why)) => {
            tracing::info!(fleet = %host.fleet, host = %host.id, why, "the host changed meanwhile");
            Ok(host)
        }
        Err(error) => Err(error),
    }
}

/// Notes each orphan, and adopts those seen twice, far enough apart. Gives back the adopted hosts.
pub async fn adopt_orphans(desk: &Desk<'_>, orphans: &[&CloudInstance]) -> Result<Vec<Host>, StoreError> {
    let mut adopted = Vec::new();
    for instance in orphans {
        let orphan = Orphan { id: instance.id.clone(), fleet: desk.fleet.name.clone() };
        let seen = desk.parts.store.orphan_sighted(desk.fence, &orphan).await?;
        let fleet = &desk.fleet.name;
        if seen.count < 2 || since(seen.last, seen.first) < ORPHAN_AGE {
            tracing::warn!(%fleet, host = %instance.id, sightings = seen.count, "an instance with our tags and no row");
            continue;
        }
        let launch = instance.tags.get(tags::LAUNCH).and_then(|id| id.parse().ok()).map(LaunchId);
        let host = host_of(instance, fleet, launch, desk.now());
        match desk.parts.store.host_adopt(desk.fence, &host).await {
            Ok(()) => {}
            // It has a row that says otherwise: another fleet's, or that of a host given up as lost. It stays in
            // quarantine, counted and shown, and holds up nobody.
            Err(StoreError::Conflict(why) | StoreError::Refused(why)) => {
                tracing::warn!(%fleet, host = %host.id, why, "an instance with our tags cannot be adopted");
                continue;
            }
            Err(error) => return Err(error),
        }
        telemetry::host_recorded(&host);
        let launch = host.launch.map(tracing::field::display);
        tracing::warn!(%fleet, host = %host.id, launch, "adopted an instance with our tags and no row");
        adopted.push(host);
    }
    Ok(adopted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::host::{Drain, DrainReason};
    use crate::domain::ids::{InstanceType, Zone};

    const ALIVE: Body = Body::Alive(InstanceState::Running);

    fn host(state: HostState) -> Host {
        Host {
            id: InstanceId::new("i-1"),
            fleet: FleetName::new("web"),
            launch: None,
            zone: Zone::new("a"),
            subnet: None,
            instance_type: InstanceType::new("m7g.large"),
            address: None,
            launched_at: Timestamp::UNIX_EPOCH,
            healthy_at: None,
            state,
            version: 1,
        }
    }

    fn states() -> Vec<HostState> {
        let since = Timestamp::UNIX_EPOCH;
        let drain = Drain { reason: DrainReason::ScaleIn, started_at: since, groups: Vec::new() };
        vec![
            HostState::Pending { since },
            HostState::Running { since },
            HostState::Registered { since },
            HostState::Healthy { since },
            HostState::Unhealthy { since },
            HostState::Draining { drain: drain.clone() },
            HostState::Deregistered { drain: drain.clone(), since, deadline: since },
            HostState::Terminating { drain, since },
        ]
    }

    #[test]
    fn unknown_moves_nothing() {
        for state in states() {
            let host = host(state);
            for standing in [Standing::Healthy, Standing::Unhealthy, Standing::Unknown] {
                assert_eq!(step_of(&host, Body::Unknown, standing, None), None, "{host:?}");
            }
            let step = step_of(&host, ALIVE, Standing::Unknown, None);
            assert!(matches!(step, None | Some(Step::Run)), "{host:?} made {step:?}");
        }
    }

    #[test]
    fn every_step_that_is_seen_can_be_taken() {
        for state in states() {
            for body in [ALIVE, Body::Alive(InstanceState::Stopped), Body::Dead, Body::Absent] {
                for standing in
                    [Standing::Healthy, Standing::NotInUse, Standing::Initial, Standing::Unhealthy]
                {
                    let host = host(state.clone());
                    if let Some(step) = step_of(&host, body, standing, Some(ABSENCE_GRACE)) {
                        assert!(
                            host.advance(&step, Timestamp::UNIX_EPOCH).is_ok(),
                            "{state:?} cannot {step:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_host_that_is_merely_not_shown_is_kept_through_the_grace() {
        let healthy = host(HostState::Healthy { since: Timestamp::UNIX_EPOCH });
        let nearly = Some(ABSENCE_GRACE.saturating_sub(Duration::from_secs(1)));
        assert_eq!(step_of(&healthy, Body::Absent, Standing::Unhealthy, None), None);
        assert_eq!(step_of(&healthy, Body::Absent, Standing::Unhealthy, nearly), None);
        assert_eq!(
            step_of(&healthy, Body::Absent, Standing::Unhealthy, Some(ABSENCE_GRACE)),
            Some(Step::Lose)
        );
    }

    #[test]
    fn a_zone_that_the_balancer_does_not_use_is_no_reason_to_replace_hosts() {
        let healthy = host(HostState::Healthy { since: Timestamp::UNIX_EPOCH });
        assert_eq!(step_of(&healthy, ALIVE, Standing::NotInUse, None), None);
    }
}
