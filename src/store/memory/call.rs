//! The journal of mutating calls: a row before the call, exactly one outcome after it.

use crate::domain::failure::{CloudError, FailureClass};
use crate::domain::ids::CallId;
use crate::domain::launch::AttemptState;
use crate::store::memory::event::Event;
use crate::store::memory::rows::{AttemptRow, CallEnd, CallRow};
use crate::store::memory::transaction::Tx;
use crate::store::shared::{bounded, int, outcome_of};
use crate::store::{CallAnswer, CloudCall, Fence, Operation, StoreError};

pub(super) fn begin(tx: &mut Tx<'_>, fence: &Fence, call: &CloudCall) -> Result<(), StoreError> {
    tx.check(fence)?;
    if call.fleet != fence.fleet {
        return Err(StoreError::Refused(format!(
            "call {} is of fleet {}, not {}",
            call.id, call.fleet, fence.fleet
        )));
    }
    ensure_whole(call)?;
    if tx.rows.call_places.contains_key(&call.id) {
        return Ok(());
    }
    ensure_roots(tx, call)?;
    let place = tx.rows.calls.len();
    tx.rows.call_places.insert(call.id, place);
    let (at, replica, epoch) = (tx.now, fence.replica.clone(), fence.epoch);
    tx.rows.calls.push(CallRow { call: call.clone(), at, replica, epoch, end: None });
    if let Some(fleet) = tx.rows.fleets.get_mut(&fence.fleet) {
        fleet.out.insert(place);
        for id in &call.instances {
            match (call.op, &call.target_group) {
                (Operation::DeregisterTargets, _) => {
                    let last = fleet.let_go.entry(id.clone()).or_insert(at);
                    *last = at.max(*last);
                }
                (Operation::RegisterTargets, Some(group)) => {
                    fleet.joined.entry(id.clone()).or_default().insert(group.clone());
                }
                (Operation::RegisterTargets | Operation::RunInstances | Operation::TerminateInstances, _) => {
                }
            }
        }
    }
    tx.event(Some(&fence.fleet), Event::Call(call.id));
    Ok(())
}

/// A call names what it acts on, and nothing else.
fn ensure_whole(call: &CloudCall) -> Result<(), StoreError> {
    let runs = call.op == Operation::RunInstances;
    let of_group = matches!(call.op, Operation::RegisterTargets | Operation::DeregisterTargets);
    let complaint = if call.ordinal == 0 || int(call.ordinal).is_err() {
        "has no ordinal"
    } else if runs != call.attempt.is_some() || runs != call.client_token.is_some() {
        "and its attempt do not go together"
    } else if of_group != call.target_group.is_some() {
        "and its target group do not go together"
    } else if !runs && call.instances.is_empty() {
        "names no instance"
    } else {
        return Ok(());
    };
    Err(StoreError::Refused(format!("call {} ({}) {complaint}", call.id, call.op.as_str())))
}

/// What a call goes back to must be there.
fn ensure_roots(tx: &Tx<'_>, call: &CloudCall) -> Result<(), StoreError> {
    let known = call.decision.is_none_or(|id| tx.rows.decided.contains_key(&id))
        && call.launch.is_none_or(|id| tx.rows.launches.contains_key(&id))
        && call.attempt.is_none_or(|id| tx.rows.attempts.contains_key(&id));
    if known {
        return Ok(());
    }
    Err(StoreError::Refused(format!("call {} goes back to what is not recorded", call.id)))
}

/// The first outcome stands: whoever gives another one later is told so by nobody, because nothing follows from it.
pub(super) fn end(tx: &mut Tx<'_>, call: CallId, answer: &CallAnswer) -> Result<(), StoreError> {
    let place = tx.rows.call_places.get(&call).copied();
    let place = place.ok_or_else(|| StoreError::Refused(format!("call {call} was never begun")))?;
    let failure = answer.failure.as_ref();
    let end = CallEnd {
        at: tx.now,
        outcome: outcome_of(failure),
        failure: failure.map(|error| CloudError {
            code: bounded(&error.code),
            message: bounded(&error.message),
            ..error.clone()
        }),
        instances: answer.instances.clone(),
        request_id: answer.request_id.clone().or_else(|| failure.and_then(|error| error.request_id.clone())),
        duration: Some(answer.duration),
    };
    settle(tx, place, end);
    Ok(())
}

/// Gives a call its outcome, if it has none; whether it had none.
fn settle(tx: &mut Tx<'_>, place: usize, end: CallEnd) -> bool {
    let Some(row) = tx.rows.calls.get_mut(place).filter(|row| row.end.is_none()) else { return false };
    if end.outcome == "unknown"
        && let Some(attempt) = row.call.attempt.and_then(|id| tx.rows.attempts.get_mut(&id))
    {
        attempt.in_doubt = true;
    }
    row.end = Some(end);
    let (id, fleet) = (row.call.id, row.call.fleet.clone());
    if let Some(fleet) = tx.rows.fleets.get_mut(&fleet) {
        fleet.out.remove(&place);
    }
    tx.event(Some(&fleet), Event::CallEnded(id));
    true
}

pub(super) fn settle_abandoned(tx: &mut Tx<'_>, fence: &Fence) -> Result<u64, StoreError> {
    tx.check(fence)?;
    let Some(fleet) = tx.rows.fleets.get(&fence.fleet) else { return Ok(0) };
    let is_ours = |place: &usize| tx.rows.calls.get(*place).is_some_and(|row| row.epoch <= fence.epoch);
    let out: Vec<usize> = fleet.out.iter().copied().filter(is_ours).collect();
    let at = tx.now;
    let abandoned = || CallEnd {
        at,
        outcome: "unknown",
        failure: Some(CloudError::new(
            FailureClass::Unknown,
            "Abandoned",
            "the process that sent it is gone; nobody heard the answer",
        )),
        instances: Vec::new(),
        request_id: None,
        duration: None,
    };
    let settled = out.into_iter().filter(|place| settle(tx, *place, abandoned())).count();
    doubt_attempts(tx, fence);
    Ok(settled as u64)
}

/// What was sent and not heard of may have been done, however the process ended that sent it.
fn doubt_attempts(tx: &mut Tx<'_>, fence: &Fence) {
    let Some(fleet) = tx.rows.fleets.get(&fence.fleet) else { return };
    let open = fleet.open_launches.iter().filter_map(|launch| tx.rows.unresolved.get(launch));
    for id in open.copied().collect::<Vec<_>>() {
        if let Some(AttemptRow { attempt, in_doubt: true, .. }) = tx.rows.attempts.get_mut(&id)
            && let AttemptState::Open { last_failure, doubted_at, .. } = &mut attempt.state
        {
            *last_failure = Some(FailureClass::Unknown);
            *doubted_at = Some(tx.now);
        }
    }
}
