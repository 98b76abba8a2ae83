//! What decisions were made from: kept in the transaction of the decision, read when one is made again, gone when old.
//!
//! The documents are `json` and go in and come out as text, so that nothing between is parsed: `jsonb` would write floats in
//! its own way, and the seal would break.

use crate::decide::inputs::Inputs;
use crate::decide::signal::Observation;
use crate::domain::ids::{DecisionId, FleetName};
use crate::domain::time::{Timestamp, before};
use crate::store::history::{INPUTS_KEPT, ObservedQuery, Recorded, RecordedQuery};
use crate::store::postgres::session::Tx;
use crate::store::shared::{PRUNED_MAX, WINDOW_MAX, list_limit};
use crate::store::{Fence, StoreError};

/// One statement: the policy, unless it is there already, and what else there is.
pub(super) async fn keep(
    tx: &mut Tx,
    fence: &Fence,
    decision: DecisionId,
    at: Timestamp,
    inputs: &Inputs,
) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH policy AS (
             INSERT INTO scaler.decision_policy (fleet, digest, doc) VALUES ($2, $6, $7::text::json)
             ON CONFLICT DO NOTHING)
         INSERT INTO scaler.decision_input (decision_id, fleet, at, format, program, policy, doc)
         VALUES ($1, $2, $3, $4, $5, $6, $8::text::json)",
        decision.0,
        fence.fleet.as_str(),
        at,
        inputs.format,
        inputs.program,
        inputs.policy_digest(),
        inputs.policy,
        inputs.document,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Keeps what is old bounded: inputs and the observations that they point at go after two days, but for the newest
/// observations, which a window may need however slow the fleet is. A policy goes after the last of its decisions. However
/// much has piled up, one commit takes only so much of it away.
///
/// The edge is a parameter and not `clock_timestamp()`, by which no index can be searched; and how many there are is only
/// counted where something is old.
pub(super) async fn prune(tx: &mut Tx, fence: &Fence, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH aged AS (
             DELETE FROM scaler.decision_input WHERE decision_id IN (
                 SELECT decision_id FROM scaler.decision_input
                 WHERE fleet = $1 AND at < $2 ORDER BY at LIMIT $4)),
              unused AS (
             DELETE FROM scaler.decision_policy p WHERE p.fleet = $1 AND NOT EXISTS (
                 SELECT FROM scaler.decision_input i WHERE i.fleet = p.fleet AND i.policy = p.digest))
         DELETE FROM scaler.observation o WHERE o.fleet = $1 AND o.at IN (
             SELECT old.at FROM (
                 SELECT at FROM scaler.observation WHERE fleet = $1 AND at < $2 ORDER BY at LIMIT $4) old
             WHERE old.at < (SELECT at FROM scaler.observation WHERE fleet = $1 ORDER BY at DESC OFFSET $3 LIMIT 1))",
        fence.fleet.as_str(),
        before(now, INPUTS_KEPT),
        i64::from(WINDOW_MAX),
        i64::from(PRUNED_MAX),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Decisions with what they were made from, oldest first.
pub(super) async fn recorded(tx: &mut Tx, query: &RecordedQuery) -> Result<Vec<Recorded>, StoreError> {
    let (after_at, after_id) = query.after.unzip();
    let rows = sqlx::query!(
        r#"SELECT d.id, d.at, coalesce(r.count, 1) AS "count!", d.plan, d.inputs_seal, i.format AS "format?",
                  i.program AS "program?", p.doc::text AS policy, i.doc::text AS document
           FROM scaler.decision d
           LEFT JOIN scaler.decision_run r ON r.decision_id = d.id
           LEFT JOIN scaler.decision_input i ON i.decision_id = d.id
           LEFT JOIN scaler.decision_policy p ON p.fleet = i.fleet AND p.digest = i.policy
           WHERE d.fleet = $1 AND d.at >= $2 AND d.at < $3
             AND ($4::timestamptz IS NULL OR (d.at, d.id) > ($4, $5::uuid))
           ORDER BY d.at, d.id LIMIT $6"#,
        query.fleet.as_str(),
        query.since,
        query.until,
        after_at,
        after_id.map(|id| id.0),
        i64::from(list_limit(query.limit)),
    )
    .fetch_all(tx)
    .await?;
    let recorded = rows.into_iter().map(|row| {
        let inputs = match (row.format, row.program, row.policy, row.document) {
            (Some(format), Some(program), Some(policy), Some(document)) => {
                Some(Inputs { format, program, policy, document })
            }
            _ => None,
        };
        let (id, at, count, plan) = (DecisionId(row.id), row.at, row.count, row.plan);
        Recorded { id, at, count, plan, seal: row.inputs_seal, inputs }
    });
    Ok(recorded.collect())
}

/// Observations of a time, oldest first.
pub(super) async fn observed(tx: &mut Tx, query: &ObservedQuery) -> Result<Vec<Observation>, StoreError> {
    let rows = sqlx::query!(
        "SELECT at, doc FROM scaler.observation WHERE fleet = $1 AND at >= $2 AND at <= $3 ORDER BY at LIMIT $4",
        query.fleet.as_str(),
        query.first,
        query.last,
        i64::from(WINDOW_MAX),
    )
    .fetch_all(tx)
    .await?;
    Ok(readable(&query.fleet, rows.into_iter().map(|row| (row.at, row.doc))))
}

/// A row that this version cannot read is left out, with a warning: a gap in the window makes decisions wait, while an
/// error would stop them for good.
pub(super) fn readable(
    fleet: &FleetName,
    rows: impl Iterator<Item = (Timestamp, serde_json::Value)>,
) -> Vec<Observation> {
    let read = rows.filter_map(|(at, doc)| {
        serde_json::from_value(doc)
            .inspect_err(|error| tracing::warn!(%fleet, %at, %error, "an observation cannot be read"))
            .ok()
    });
    read.collect()
}
