//! The journal of mutating calls: a row before the call, exactly one outcome after it.

use crate::domain::ids::{CallId, FleetName, TargetGroupArn, Zone};
use crate::store::postgres::convert::secs;
use crate::store::postgres::lease;
use crate::store::postgres::session::Tx;
use crate::store::shared::{bounded, int, outcome_of};
use crate::store::{CallAnswer, CloudCall, Fence, StoreError};

pub(super) async fn begin(tx: &mut Tx, fence: &Fence, call: &CloudCall) -> Result<(), StoreError> {
    lease::check(tx, fence).await?;
    if call.fleet != fence.fleet {
        return Err(StoreError::Refused(format!(
            "call {} is of fleet {}, not {}",
            call.id, call.fleet, fence.fleet
        )));
    }
    let instances: Vec<String> = call.instances.iter().map(ToString::to_string).collect();
    sqlx::query!(
        "INSERT INTO scaler.cloud_call (id, fleet, replica, epoch, op, decision_id, launch_id, attempt_id, ordinal,
             instance_ids, target_group, zone, client_token)
         VALUES ($1, $2, $3, $4, $5::text::scaler.cloud_operation, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT (id) DO NOTHING",
        call.id.0,
        call.fleet.as_str(),
        fence.replica.as_str(),
        fence.epoch.0,
        call.op.as_str(),
        call.decision.map(|id| id.0),
        call.launch.map(|id| id.0),
        call.attempt.map(|id| id.0),
        int(call.ordinal)?,
        &instances,
        call.target_group.as_ref().map(TargetGroupArn::as_str),
        call.zone.as_ref().map(Zone::as_str),
        call.client_token.as_ref().map(crate::domain::ids::ClientToken::as_str),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The first outcome stands: whoever gives another one later is told so by nobody, because nothing follows from it.
pub(super) async fn end(tx: &mut Tx, call: CallId, answer: &CallAnswer) -> Result<(), StoreError> {
    let fleet = sqlx::query_scalar!("SELECT fleet FROM scaler.cloud_call WHERE id = $1", call.0)
        .fetch_optional(&mut *tx)
        .await?
        .map(FleetName::new)
        .ok_or_else(|| StoreError::Refused(format!("call {call} was never begun")))?;
    lease::lock(tx, &fleet).await?;
    let failure = answer.failure.as_ref();
    let instances: Vec<String> = answer.instances.iter().map(ToString::to_string).collect();
    let request_id =
        answer.request_id.as_ref().or_else(|| failure.and_then(|error| error.request_id.as_ref()));
    sqlx::query!(
        "INSERT INTO scaler.cloud_call_outcome (call_id, fleet, outcome, error_class, error_code, error_message,
             request_id, instance_ids, duration)
         VALUES ($1, $2, $3::text::scaler.call_outcome, $4::text::scaler.failure_class, $5, $6, $7, $8,
             make_interval(secs => $9))
         ON CONFLICT (call_id) DO NOTHING",
        call.0,
        fleet.as_str(),
        outcome_of(failure),
        failure.map(|error| error.class.as_str()),
        failure.map(|error| bounded(&error.code)),
        failure.map(|error| bounded(&error.message)),
        request_id,
        &instances,
        secs(answer.duration),
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn settle_abandoned(tx: &mut Tx, fence: &Fence) -> Result<u64, StoreError> {
    let now = lease::check(tx, fence).await?;
    let settled = sqlx::query!(
        "INSERT INTO scaler.cloud_call_outcome (call_id, fleet, outcome, error_class, error_code, error_message,
             instance_ids)
         SELECT c.id, c.fleet, 'unknown', 'unknown', 'Abandoned',
                'the process that sent it is gone; nobody heard the answer', '{}'
         FROM scaler.cloud_call c
         WHERE c.fleet = $1 AND c.epoch <= $2
           AND NOT EXISTS (SELECT FROM scaler.cloud_call_outcome o WHERE o.call_id = c.id)
         ORDER BY c.at, c.id",
        fence.fleet.as_str(),
        fence.epoch.0,
    )
    .execute(&mut *tx)
    .await?;
    // What was sent and not heard of may have been done, however the process ended that sent it.
    sqlx::query!(
        "UPDATE scaler.launch_attempt a SET last_failure = 'unknown', doubted_at = $2
         WHERE a.fleet = $1 AND a.state = 'open' AND EXISTS (
             SELECT FROM scaler.cloud_call c JOIN scaler.cloud_call_outcome o ON o.call_id = c.id
             WHERE c.attempt_id = a.id AND o.outcome = 'unknown')",
        fence.fleet.as_str(),
        now,
    )
    .execute(tx)
    .await?;
    Ok(settled.rows_affected())
}
