//! Launch intents and their attempts. `launched` is always the number of hosts that carry the launch, counted again
//! whenever one is added, so that an answer that comes twice, or an adoption that comes before it, adds nothing.

use std::time::Duration;

use crate::domain::failure::FailureClass;
use crate::domain::host::Host;
use crate::domain::ids::{AttemptId, LaunchId};
use crate::domain::launch::{AbandonReason, Attempt, AttemptOutcome, AttemptState, Launch, LaunchState};
use crate::domain::time::{after, to_micros};
use crate::store::memory::event::Event;
use crate::store::memory::host;
use crate::store::memory::rows::{AttemptRow, LaunchRow, MoveCause};
use crate::store::memory::transaction::Tx;
use crate::store::shared::{bounded_span, int};
use crate::store::{Fence, PoolChange, Resolution, StoreError};

/// The longest token that EC2 takes.
const TOKEN_MAX: usize = 64;

/// Records an intent with its first attempt. The caller has checked the fence, and records the decision.
pub(super) fn insert(tx: &mut Tx<'_>, fence: &Fence, launch: &Launch) -> Result<(), StoreError> {
    let fresh = launch.fleet == fence.fleet
        && launch.launched == 0
        && launch.count > 0
        && !tx.rows.launches.contains_key(&launch.id);
    if !fresh {
        return Err(StoreError::Refused(format!(
            "launch {} is not a fresh one of fleet {}",
            launch.id, fence.fleet
        )));
    }
    int(launch.count)?;
    let state = LaunchState::Open { attempt: None };
    let row = Launch {
        id: launch.id,
        fleet: launch.fleet.clone(),
        decision: launch.decision,
        count: launch.count,
        template: launch.template.clone(),
        launched: 0,
        attempts: 0,
        state,
        created_at: launch.created_at,
    };
    tx.put_launch(LaunchRow { launch: row });
    tx.event(Some(&fence.fleet), Event::LaunchOpened(launch.id));
    match launch.open_attempt() {
        Some(attempt) => insert_attempt(tx, fence, attempt),
        None => Ok(()),
    }
}

pub(super) fn open_attempt(tx: &mut Tx<'_>, fence: &Fence, attempt: &Attempt) -> Result<(), StoreError> {
    tx.check(fence)?;
    match tx.rows.attempts.get(&attempt.id) {
        Some(known) if known.attempt.request == attempt.request => Ok(()),
        Some(_) => Err(StoreError::Refused(format!("attempt {} exists with another request", attempt.id))),
        None => insert_attempt(tx, fence, attempt),
    }
}

fn insert_attempt(tx: &mut Tx<'_>, fence: &Fence, attempt: &Attempt) -> Result<(), StoreError> {
    let request = &attempt.request;
    int(attempt.ordinal)?;
    int(request.max_count)?;
    let room = |launch: &Launch| {
        matches!(launch.state, LaunchState::Open { .. })
            && launch.count - launch.launched >= request.max_count
            && launch.attempts + 1 == attempt.ordinal
    };
    let Some(row) = tx.launch_of(&fence.fleet, attempt.launch).filter(|row| room(&row.launch)) else {
        return Err(StoreError::Conflict(format!(
            "launch {} is not open, lacks fewer than {} hosts, or has had an attempt {} already",
            attempt.launch, request.max_count, attempt.ordinal
        )));
    };
    let launch = Launch { attempts: attempt.ordinal, ..row.launch.clone() };
    ensure_sendable(tx, attempt)?;
    if tx.rows.unresolved.contains_key(&attempt.launch) {
        return Err(StoreError::Conflict(format!(
            "somebody was faster: launch {} has an attempt without an outcome",
            attempt.launch
        )));
    }
    tx.put_launch(LaunchRow { launch });
    let state = AttemptState::Open { calls: 0, not_before: None, last_failure: None, doubted_at: None };
    let stored = Attempt {
        id: attempt.id,
        launch: attempt.launch,
        ordinal: attempt.ordinal,
        request: request.clone(),
        state,
        opened_at: attempt.opened_at,
    };
    tx.put_attempt(AttemptRow { fleet: fence.fleet.clone(), attempt: stored, in_doubt: false });
    tx.event(Some(&fence.fleet), Event::AttemptOpened(attempt.id));
    Ok(())
}

/// What is frozen must be something that EC2 can take, and a token of its own.
fn ensure_sendable(tx: &Tx<'_>, attempt: &Attempt) -> Result<(), StoreError> {
    let token = &attempt.request.client_token;
    let text = token.as_str();
    let sendable = (1..=TOKEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let complaint = if attempt.request.max_count == 0 {
        "asks for nothing"
    } else if !sendable {
        "has a token that cannot be sent"
    } else if tx.rows.attempts.contains_key(&attempt.id) || tx.rows.tokens.contains_key(token) {
        "has the id or token of another one"
    } else {
        return Ok(());
    };
    Err(StoreError::Refused(format!("attempt {} {complaint}", attempt.id)))
}

pub(super) fn defer(
    tx: &mut Tx<'_>,
    fence: &Fence,
    attempt: AttemptId,
    failure: FailureClass,
    wait: Duration,
) -> Result<(), StoreError> {
    tx.check(fence)?;
    let until = to_micros(after(tx.now, bounded_span(wait)));
    let row = tx.rows.attempts.get_mut(&attempt).filter(|row| row.fleet == fence.fleet);
    let Some(AttemptState::Open { calls, not_before, last_failure, doubted_at }) =
        row.map(|row| &mut row.attempt.state)
    else {
        return Err(StoreError::Conflict(format!("attempt {attempt} is not open")));
    };
    *calls += 1;
    *not_before = Some(until);
    if failure == FailureClass::Unknown {
        *doubted_at = Some(tx.now);
    }
    if *last_failure != Some(FailureClass::Unknown) {
        *last_failure = Some(failure);
    }
    tx.event(Some(&fence.fleet), Event::AttemptDeferred(attempt, failure));
    Ok(())
}

pub(super) fn resolve(tx: &mut Tx<'_>, fence: &Fence, resolution: &Resolution) -> Result<(), StoreError> {
    tx.check(fence)?;
    if !settle_attempt(tx, fence, resolution)? {
        return Ok(());
    }
    host::insert(tx, fence, &resolution.hosts, &MoveCause::Launched)?;
    ensure_hosts_are_of(tx, resolution)?;
    count_hosts(tx, resolution.launch)?;
    if resolution.outcome == AttemptOutcome::Spent {
        close(tx, resolution.launch, Some(AbandonReason::TokenSpent));
    } else if resolution.outcome.is_launch_failure() {
        close(tx, resolution.launch, Some(AbandonReason::Refused));
        host::launch_failed(tx, &fence.fleet);
    } else {
        close_if_complete(tx, resolution.launch);
    }
    change_pool(tx, fence, &resolution.pool)
}

/// Writes an attempt's outcome; `false`: that very outcome is there already.
fn settle_attempt(tx: &mut Tx<'_>, fence: &Fence, resolution: &Resolution) -> Result<bool, StoreError> {
    if let AttemptOutcome::Launched { count } = resolution.outcome {
        int(count)?;
    }
    let known = tx.rows.attempts.get(&resolution.attempt);
    let known = known.filter(|row| row.fleet == fence.fleet && row.attempt.launch == resolution.launch);
    let Some(row) = known else {
        return Err(StoreError::Conflict(format!(
            "fleet {} has no attempt {} of launch {}",
            fence.fleet, resolution.attempt, resolution.launch
        )));
    };
    if let AttemptState::Resolved { outcome, .. } = &row.attempt.state {
        if is_same(outcome, &resolution.outcome) {
            return Ok(false);
        }
        return Err(StoreError::Conflict(format!("attempt {} has another outcome", resolution.attempt)));
    }
    if resolution.outcome == (AttemptOutcome::Launched { count: 0 }) {
        return Err(StoreError::Refused(format!("attempt {} launched nothing", resolution.attempt)));
    }
    let mut row = row.clone();
    row.attempt.state = AttemptState::Resolved { outcome: resolution.outcome.clone(), at: tx.now };
    tx.put_attempt(row);
    tx.event(Some(&fence.fleet), Event::AttemptResolved(resolution.attempt));
    Ok(true)
}

/// What a refusal said may differ from one telling to the next.
fn is_same(one: &AttemptOutcome, other: &AttemptOutcome) -> bool {
    match (one, other) {
        (AttemptOutcome::Launched { count: one }, AttemptOutcome::Launched { count: other }) => one == other,
        (AttemptOutcome::Refused { .. }, AttemptOutcome::Refused { .. })
        | (AttemptOutcome::Spent, AttemptOutcome::Spent) => true,
        _ => false,
    }
}

/// A host that was there before must be there for this launch: two launches never share an instance.
fn ensure_hosts_are_of(tx: &Tx<'_>, resolution: &Resolution) -> Result<(), StoreError> {
    let is_stranger =
        |host: &&Host| tx.host(&host.id).is_some_and(|row| row.host.launch != Some(resolution.launch));
    match resolution.hosts.iter().find(is_stranger) {
        None => Ok(()),
        Some(host) => Err(StoreError::Refused(format!(
            "host {} does not belong to launch {}",
            host.id, resolution.launch
        ))),
    }
}

fn count_hosts(tx: &mut Tx<'_>, id: LaunchId) -> Result<(), StoreError> {
    let launched = u32::try_from(tx.rows.hosts_of(id)).unwrap_or(u32::MAX);
    let Some(row) = tx.rows.launches.get(&id) else { return Ok(()) };
    if launched == row.launch.launched {
        return Ok(());
    }
    if launched > row.launch.count || launched < row.launch.launched {
        return Err(StoreError::Refused(format!(
            "launch {id} may buy {} hosts and has {launched}",
            row.launch.count
        )));
    }
    let launch = Launch { launched, ..row.launch.clone() };
    tx.put_launch(LaunchRow { launch });
    Ok(())
}

/// Closes a launch that has all its hosts and waits for no answer.
fn close_if_complete(tx: &mut Tx<'_>, id: LaunchId) {
    let complete = tx.rows.launches.get(&id).is_some_and(|row| row.launch.launched == row.launch.count);
    if complete && !tx.rows.unresolved.contains_key(&id) {
        close(tx, id, None);
    }
}

/// Closes an open launch: fulfilled, or given up for a reason.
fn close(tx: &mut Tx<'_>, id: LaunchId, given_up: Option<AbandonReason>) {
    let Some(row) = tx.rows.launches.get(&id) else { return };
    if !matches!(row.launch.state, LaunchState::Open { .. }) {
        return;
    }
    let at = tx.now;
    let state = match given_up {
        Some(reason) => LaunchState::Abandoned { at, reason },
        None => LaunchState::Fulfilled { at },
    };
    let launch = Launch { state, ..row.launch.clone() };
    let fleet = launch.fleet.clone();
    tx.put_launch(LaunchRow { launch });
    tx.event(Some(&fleet), Event::LaunchClosed(id, given_up));
}

pub(super) fn abandon(
    tx: &mut Tx<'_>,
    fence: &Fence,
    id: LaunchId,
    reason: AbandonReason,
) -> Result<(), StoreError> {
    tx.check(fence)?;
    let row = tx
        .launch_of(&fence.fleet, id)
        .ok_or_else(|| StoreError::Conflict(format!("fleet {} has no launch {id}", fence.fleet)))?;
    match (&row.launch.state, tx.rows.unresolved.contains_key(&id)) {
        (LaunchState::Abandoned { .. }, _) => Ok(()),
        (LaunchState::Open { .. }, true) => {
            Err(StoreError::Refused(format!("launch {id} has an attempt without an outcome")))
        }
        (LaunchState::Open { .. }, false) => {
            close(tx, id, Some(reason));
            Ok(())
        }
        (state @ LaunchState::Fulfilled { .. }, _) => {
            Err(StoreError::Conflict(format!("launch {id} is {}", state.name())))
        }
    }
}

fn change_pool(tx: &mut Tx<'_>, fence: &Fence, change: &PoolChange) -> Result<(), StoreError> {
    match change {
        PoolChange::Unchanged => {}
        PoolChange::Set(health) => {
            int(health.failures)?;
            int(health.allowance)?;
            if let Some(row) = tx.rows.fleets.get_mut(&fence.fleet) {
                row.pools.insert(health.pool.clone(), health.clone());
            }
            tx.event(Some(&fence.fleet), Event::PoolSet(health.clone()));
        }
        PoolChange::Clear(pool) => {
            let row = tx.rows.fleets.get_mut(&fence.fleet);
            if row.and_then(|row| row.pools.remove(pool)).is_some() {
                tx.event(Some(&fence.fleet), Event::PoolCleared(pool.clone()));
            }
        }
    }
    Ok(())
}

/// Gives an orphan a row. It exists, so it is taken even where its launch has had all it may: refusing would leave a
/// machine that nobody counts by its row and nobody could ever drain.
pub(super) fn adopt(tx: &mut Tx<'_>, fence: &Fence, orphan: &Host) -> Result<(), StoreError> {
    tx.check(fence)?;
    let launch = orphan.launch.filter(|id| tx.launch_of(&fence.fleet, *id).is_some());
    let orphan = Host { launch, ..orphan.clone() };
    if host::insert(tx, fence, std::slice::from_ref(&orphan), &MoveCause::Adopted)? == 0 {
        return match tx.host(&orphan.id) {
            Some(known) if known.host.fleet == fence.fleet && !known.host.state.is_final() => Ok(()),
            Some(known) => Err(StoreError::Conflict(format!(
                "instance {} cannot be adopted: it is recorded as {} of fleet {}",
                orphan.id,
                known.host.state.name(),
                known.host.fleet
            ))),
            None => Err(StoreError::Conflict(format!("instance {} has just been recorded", orphan.id))),
        };
    }
    let Some((id, row)) = launch.and_then(|id| Some((id, tx.rows.launches.get(&id)?))) else { return Ok(()) };
    let had = u32::try_from(tx.rows.hosts_of(id)).unwrap_or(u32::MAX);
    let launched = had.min(row.launch.count);
    let launch = Launch { launched, ..row.launch.clone() };
    tx.put_launch(LaunchRow { launch });
    close_if_complete(tx, id);
    Ok(())
}
