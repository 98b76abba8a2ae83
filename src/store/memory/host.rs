//! Hosts and their drains: one function advances a host, by compare-and-set. What the columns of Postgres cannot say (a
//! step that the machine does not have, a drain that changes under way) is refused, or left out, here too.

use crate::domain::host::{Drain, DrainReason, Host, HostState};
use crate::domain::ids::{DecisionId, FleetName, InstanceId};
use crate::domain::time::Timestamp;
use crate::store::memory::event::Event;
use crate::store::memory::rows::{DrainOutcome, DrainRow, HostMove, HostRow, MoveCause, OrphanRow};
use crate::store::memory::transaction::Tx;
use crate::store::{Fence, HostChange, Orphan, OrphanSightings, StoreError};

/// Sightings that ended so long ago are swept: whatever was seen then is gone.
const ORPHAN_SPAN: chrono::TimeDelta = chrono::TimeDelta::days(1);

/// Writes a host's next state. The caller has checked the fence.
pub(super) fn advance(
    tx: &mut Tx<'_>,
    fence: &Fence,
    change: &HostChange,
    decision: Option<DecisionId>,
) -> Result<(), StoreError> {
    let after = &change.after;
    let before = tx
        .host_of(&fence.fleet, &after.id)
        .ok_or_else(|| StoreError::Conflict(format!("fleet {} has no host {}", fence.fleet, after.id)))?;
    let version = before.host.version;
    if version + 1 != after.version {
        return Err(StoreError::Conflict(format!(
            "host {} has changed: it is {} at version {version}, not {}",
            after.id,
            before.host.state.name(),
            after.version - 1
        )));
    }
    ensure_lawful(&before.host, after)?;
    let mut row = before.clone();
    let (drain, state) = advance_drain(tx, fence, after, &row, decision)?;
    judge_launch(tx, &fence.fleet, after, &row);
    row.drain = drain;
    row.host.state = state;
    row.host.healthy_at = after.healthy_at;
    row.host.address = after.address;
    row.host.subnet.clone_from(&after.subnet);
    row.host.version = after.version;
    write(tx, fence, row, MoveCause::Step { step: change.step.clone(), decision });
    Ok(())
}

fn write(tx: &mut Tx<'_>, fence: &Fence, row: HostRow, cause: MoveCause) {
    let (id, state, version) = (row.host.id.clone(), row.host.state.clone(), row.host.version);
    let event = match cause {
        MoveCause::Launched => Event::HostLaunched(id),
        MoveCause::Adopted => Event::HostAdopted(id),
        MoveCause::Step { .. } => Event::Host { id, state: state.name(), version },
    };
    tx.put_host(row, HostMove { at: tx.now, epoch: fence.epoch, state, version, cause });
    tx.event(Some(&fence.fleet), event);
}

/// The host state machine's arrows, and what of a host never changes.
fn ensure_lawful(before: &Host, after: &Host) -> Result<(), StoreError> {
    let complaint = if before.state.is_final() {
        format!("is {}, which is final", before.state.name())
    } else if before.healthy_at.is_some() && before.healthy_at != after.healthy_at {
        "was healthy for the first time once and for all".to_owned()
    } else if !may(&before.state, &after.state) {
        format!("cannot go from {} to {}", before.state.name(), after.state.name())
    } else {
        return ensure_served(after);
    };
    Err(StoreError::Refused(format!("host {} {complaint}", before.id)))
}

fn ensure_served(host: &Host) -> Result<(), StoreError> {
    let serves = matches!(host.state, HostState::Healthy { .. } | HostState::Unhealthy { .. });
    if serves && host.healthy_at.is_none() {
        return Err(StoreError::Refused(format!(
            "host {} is {} and was never healthy",
            host.id,
            host.state.name()
        )));
    }
    Ok(())
}

fn may(before: &HostState, after: &HostState) -> bool {
    use HostState as S;
    before.name() == after.name()
        || match after {
            S::Pending { .. } => false,
            S::Running { .. } => matches!(before, S::Pending { .. } | S::Draining { .. }),
            S::Registered { .. } => matches!(before, S::Running { .. }),
            S::Healthy { .. } => {
                matches!(before, S::Running { .. } | S::Registered { .. } | S::Unhealthy { .. })
            }
            S::Unhealthy { .. } => matches!(before, S::Healthy { .. } | S::Draining { .. }),
            S::Draining { .. } => before.is_capacity(),
            S::Deregistered { .. } => matches!(before, S::Draining { .. }),
            S::Terminating { .. } => matches!(before, S::Deregistered { .. }),
            S::Terminated { .. } => before.drain().is_some(),
            S::Lost { .. } => !before.is_final(),
        }
}

/// Keeps the drain's row in step with the host's state; gives the drain that the host is on or went, and the state with
/// what that row says: why a host goes, and until when, is said once.
fn advance_drain(
    tx: &mut Tx<'_>,
    fence: &Fence,
    after: &Host,
    before: &HostRow,
    decision: Option<DecisionId>,
) -> Result<(Option<u64>, HostState), StoreError> {
    let Some(number) = before.drain else {
        let HostState::Draining { drain } = &after.state else { return Ok((None, after.state.clone())) };
        let number = begin_drain(tx, fence, &after.id, drain, decision);
        return Ok((Some(number), after.state.clone()));
    };
    let missing = || StoreError::Refused(format!("host {} is without its drain", after.id));
    let mut row = tx.rows.drains.get(&number).cloned().ok_or_else(missing)?;
    let was = &before.host.state;
    match &after.state {
        HostState::Deregistered { since, deadline, .. } => {
            let moved_back = row.deregistered.is_some_and(|told| told.0 > *since || told.1 > *deadline);
            if moved_back {
                let id = &after.id;
                return Err(StoreError::Refused(format!(
                    "the drain of {id}: what was done of it cannot be undone"
                )));
            }
            row.deregistered = Some((*since, *deadline));
        }
        HostState::Terminating { since, .. } if matches!(was, HostState::Deregistered { .. }) => {
            row.terminating_at = Some(*since);
        }
        HostState::Terminated { since, .. } => row.ended = Some((*since, DrainOutcome::Terminated)),
        HostState::Lost { since } => row.ended = Some((*since, DrainOutcome::Lost)),
        state if state.is_capacity() => row.ended = Some((state.since(), DrainOutcome::Cancelled)),
        _ => {}
    }
    let state = as_its_drain_says(&after.state, &row);
    tx.put_drain(number, row);
    Ok(((!state.is_capacity()).then_some(number), state))
}

fn as_its_drain_says(state: &HostState, row: &DrainRow) -> HostState {
    match state {
        HostState::Draining { .. } => HostState::Draining { drain: row.drain.clone() },
        HostState::Deregistered { since, deadline, .. } => HostState::Deregistered {
            drain: row.drain.clone(),
            since: *since,
            deadline: row.deregistered.map_or(*deadline, |(_, deadline)| deadline),
        },
        HostState::Terminating { since, .. } => {
            HostState::Terminating { drain: row.drain.clone(), since: *since }
        }
        HostState::Terminated { since, .. } => {
            HostState::Terminated { since: *since, reason: row.drain.reason }
        }
        other => other.clone(),
    }
}

fn begin_drain(
    tx: &mut Tx<'_>,
    fence: &Fence,
    host: &InstanceId,
    drain: &Drain,
    decision: Option<DecisionId>,
) -> u64 {
    let number = tx.next_drain();
    let (host, fleet, drain) = (host.clone(), fence.fleet.clone(), drain.clone());
    let row =
        DrainRow { host, fleet, decision, drain, deregistered: None, terminating_at: None, ended: None };
    tx.put_drain(number, row);
    number
}

/// What the change says of the launch that bought the host: given up before it was ever healthy, it failed; healthy for
/// the first time, launches work.
fn judge_launch(tx: &mut Tx<'_>, fleet: &FleetName, after: &Host, before: &HostRow) {
    let timed_out = matches!(&after.state, HostState::Draining { drain } if drain.reason == DrainReason::BootTimeout)
        && before.drain.is_none();
    let never_healthy = before.host.healthy_at.is_none();
    let died_booting =
        matches!(after.state, HostState::Lost { .. }) && never_healthy && before.drain.is_none();
    if timed_out || died_booting {
        launch_failed(tx, fleet);
    } else if never_healthy && after.healthy_at.is_some() {
        launch_worked(tx, fleet);
    }
}

/// One more launch that failed in a row: the breaker counts it.
pub(super) fn launch_failed(tx: &mut Tx<'_>, fleet: &FleetName) {
    let now = tx.now;
    if let Some(memory) = tx.memory(fleet) {
        memory.launch_failures = memory.launch_failures.saturating_add(1);
        memory.last_launch_failure = Some(now);
    }
}

/// A host became healthy: launches work again.
fn launch_worked(tx: &mut Tx<'_>, fleet: &FleetName) {
    if tx.rows.fleets.get(fleet).is_some_and(|row| row.memory.launch_failures == 0) {
        return;
    }
    if let Some(memory) = tx.memory(fleet) {
        memory.launch_failures = 0;
        memory.last_launch_failure = None;
    }
}

/// Gives hosts their rows; those that have one already keep it. Gives how many are new.
pub(super) fn insert(
    tx: &mut Tx<'_>,
    fence: &Fence,
    hosts: &[Host],
    cause: &MoveCause,
) -> Result<usize, StoreError> {
    let mut new = 0;
    for host in hosts {
        ensure_fresh(fence, host)?;
        if tx.host(&host.id).is_some() {
            continue;
        }
        if host.launch.is_some_and(|launch| !tx.rows.launches.contains_key(&launch)) {
            return Err(StoreError::Refused(format!("host {} is of a launch that is not recorded", host.id)));
        }
        let row = HostRow { host: host.clone(), recorded_at: tx.now, drain: None };
        write(tx, fence, row, cause.clone());
        new += 1;
    }
    for host in hosts {
        if tx.rows.orphans.contains_key(&host.id) {
            tx.put_orphan(&host.id, None);
        }
    }
    Ok(new)
}

fn ensure_fresh(fence: &Fence, host: &Host) -> Result<(), StoreError> {
    if host.fleet != fence.fleet
        || !host.state.is_capacity()
        || host.id.as_str().is_empty()
        || host.version < 0
    {
        let state = host.state.name();
        return Err(StoreError::Refused(format!("host {} of {} is {state}", host.id, host.fleet)));
    }
    ensure_served(host)
}

pub(super) fn orphan_sighted(
    tx: &mut Tx<'_>,
    fence: &Fence,
    orphan: &Orphan,
) -> Result<OrphanSightings, StoreError> {
    tx.check(fence)?;
    let now = tx.now;
    sweep_orphans(tx, now);
    let row = match tx.rows.orphans.get(&orphan.id) {
        Some(known) => OrphanRow {
            fleet: orphan.fleet.clone(),
            last_at: known.last_at.max(now),
            count: known.count + 1,
            ..*known
        },
        None => OrphanRow { fleet: orphan.fleet.clone(), first_at: now, last_at: now, count: 1 },
    };
    let sightings = OrphanSightings { first: row.first_at, last: row.last_at, count: row.count };
    tx.put_orphan(&orphan.id, Some(row));
    if sightings.count == 1 {
        tx.event(Some(&fence.fleet), Event::OrphanSighted(orphan.id.clone()));
    }
    Ok(sightings)
}

fn sweep_orphans(tx: &mut Tx<'_>, now: Timestamp) {
    let gone = tx.rows.orphans.iter().filter(|(_, row)| now - row.last_at > ORPHAN_SPAN);
    for id in gone.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
        tx.put_orphan(&id, None);
    }
}
