//! What people do: pauses take effect at once, requests wait for the next decision.

use uuid::Uuid;

use crate::decide::plan::{Answer, Granted};
use crate::decide::snapshot::{Ask, OperatorRequest};
use crate::domain::ids::{DecisionId, FleetName, InstanceId, OperatorActionId};
use crate::domain::time::{Timestamp, after};
use crate::store::postgres::convert::nat;
use crate::store::postgres::lease;
use crate::store::postgres::session::Tx;
use crate::store::shared::{bounded, int};
use crate::store::{Direction, Fence, OperatorAction, OperatorActionKind, StoreError};

/// The columns in which the kinds of action differ.
#[derive(Default)]
struct Columns<'a> {
    kind: &'static str,
    direction: Option<&'static str>,
    until: Option<Timestamp>,
    size: Option<i32>,
    instance: Option<&'a str>,
}

fn columns(kind: &OperatorActionKind, now: Timestamp) -> Result<Columns<'_>, StoreError> {
    Ok(match kind {
        OperatorActionKind::Pause { direction, span } => Columns {
            kind: "pause",
            direction: Some(match direction {
                Direction::Out => "out",
                Direction::In => "in",
                Direction::Both => "both",
            }),
            until: span.map(|span| after(now, span)),
            ..Columns::default()
        },
        OperatorActionKind::Resume => Columns { kind: "resume", ..Columns::default() },
        OperatorActionKind::Evaluate => Columns { kind: "evaluate", ..Columns::default() },
        OperatorActionKind::SetSize(size) => {
            Columns { kind: "set_size", size: Some(int(*size)?), ..Columns::default() }
        }
        OperatorActionKind::Drain(host) => {
            Columns { kind: "drain", instance: Some(host.as_str()), ..Columns::default() }
        }
    })
}

pub(super) async fn act(tx: &mut Tx, action: &OperatorAction) -> Result<(), StoreError> {
    let now = lease::lock(tx, &action.fleet).await?;
    let columns = columns(&action.kind, now)?;
    let (actor, reason) = (bounded(&action.actor), bounded(&action.reason));
    let inserted = sqlx::query!(
        "INSERT INTO scaler.operator_action (id, fleet, at, actor, kind, reason, direction, until, size, instance_id)
         VALUES ($1, $2, $3, $4, $5::text::scaler.operator_action_kind, $6, $7::text::scaler.direction, $8, $9, $10)
         ON CONFLICT (id) DO NOTHING",
        action.id.0,
        action.fleet.as_str(),
        now,
        &actor,
        columns.kind,
        &reason,
        columns.direction,
        columns.until,
        columns.size,
        columns.instance,
    )
    .execute(&mut *tx)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(());
    }
    match &action.kind {
        OperatorActionKind::Pause { direction, .. } => {
            let both = *direction == Direction::Both;
            let (out, inward) = (both || *direction == Direction::Out, both || *direction == Direction::In);
            pause(tx, &action.fleet, out, inward, (&actor, &reason, columns.until)).await
        }
        OperatorActionKind::Resume => resume(tx, &action.fleet).await,
        OperatorActionKind::SetSize(_) | OperatorActionKind::Drain(_) | OperatorActionKind::Evaluate => {
            Ok(())
        }
    }
}

async fn pause(
    tx: &mut Tx,
    fleet: &FleetName,
    out: bool,
    inward: bool,
    (actor, reason, until): (&str, &str, Option<Timestamp>),
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE scaler.fleet_state SET
             pause_out_actor = CASE WHEN $2 THEN $4 ELSE pause_out_actor END,
             pause_out_reason = CASE WHEN $2 THEN $5 ELSE pause_out_reason END,
             pause_out_until = CASE WHEN $2 THEN $6 ELSE pause_out_until END,
             pause_in_actor = CASE WHEN $3 THEN $4 ELSE pause_in_actor END,
             pause_in_reason = CASE WHEN $3 THEN $5 ELSE pause_in_reason END,
             pause_in_until = CASE WHEN $3 THEN $6 ELSE pause_in_until END
         WHERE fleet = $1",
        fleet.as_str(),
        out,
        inward,
        actor,
        reason,
        until,
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn resume(tx: &mut Tx, fleet: &FleetName) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE scaler.fleet_state SET pause_out_actor = NULL, pause_out_reason = NULL, pause_out_until = NULL,
             pause_in_actor = NULL, pause_in_reason = NULL, pause_in_until = NULL
         WHERE fleet = $1",
        fleet.as_str()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A request as its row says it.
struct RequestRow {
    id: Uuid,
    actor: String,
    reason: String,
    size: Option<i32>,
    instance_id: Option<String>,
}

/// Requests that no decision has answered, oldest first.
pub(super) async fn unanswered(tx: &mut Tx, fleet: &FleetName) -> Result<Vec<OperatorRequest>, StoreError> {
    let rows = sqlx::query_as!(
        RequestRow,
        "SELECT o.id, o.actor, o.reason, o.size, o.instance_id FROM scaler.operator_action o
         WHERE o.fleet = $1 AND o.kind IN ('set_size', 'drain')
           AND NOT EXISTS (SELECT FROM scaler.operator_answer a WHERE a.action_id = o.id)
         ORDER BY o.at, o.id",
        fleet.as_str()
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(OperatorRequest::try_from).collect()
}

impl TryFrom<RequestRow> for OperatorRequest {
    type Error = StoreError;

    fn try_from(row: RequestRow) -> Result<Self, StoreError> {
        let ask = match (row.size, row.instance_id) {
            (Some(size), _) => Ask::SetSize(nat(size)?),
            (None, Some(host)) => Ask::Drain(InstanceId::new(host)),
            (None, None) => return Err(StoreError::Refused(format!("request {} asks for nothing", row.id))),
        };
        Ok(Self { id: OperatorActionId(row.id), actor: row.actor, reason: row.reason, ask })
    }
}

/// Records what a decision said to a request.
pub(super) async fn answer(
    tx: &mut Tx,
    fence: &Fence,
    decision: DecisionId,
    answer: &Answer,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO scaler.operator_answer (action_id, fleet, decision_id, granted, because)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (action_id) DO NOTHING",
        answer.request.0,
        fence.fleet.as_str(),
        decision.0,
        answer.granted == Granted::Yes,
        bounded(&answer.because),
    )
    .execute(tx)
    .await?;
    Ok(())
}
