//! Questions about the past: pages of decisions and events, and one of them in full.
//!
//! A parameter that is null takes its condition away. Nothing is prepared under a name, so Postgres plans every question
//! with its values in it: a condition that says nothing is gone before the plan is made, and the right index is found.

pub(super) mod action;
pub(super) mod pulse;
pub(super) mod series;
pub(super) mod standing;
pub(super) mod tally;

use sqlx::types::Json;
use uuid::Uuid;

use crate::decide::plan::{Action, Plan};
use crate::domain::ids::{
    CallId, DecisionId, Epoch, FleetName, InstanceId, LaunchId, ReplicaId, TargetGroupArn, Zone,
};
use crate::domain::time::Timestamp;
use crate::store::history::{CallRecord, DecisionHead, DecisionQuery, EventQuery, EventRecord};
use crate::store::postgres::convert::{nat, word};
use crate::store::postgres::session::Tx;
use crate::store::shared::list_limit;
use crate::store::{DecisionRow, StoreError};

/// Calls that one decision shows; one that leads to more is shown by its launches and hosts.
const CALLS_MAX: i64 = 1_000;

/// A decision as a page gives it.
struct HeadRow {
    id: Uuid,
    at: Timestamp,
    last_at: Timestamp,
    count: i64,
    fleet: String,
    replica: String,
    epoch: i64,
    action: String,
    size_before: i32,
    size_wanted: i32,
    code: String,
    reason: String,
    refused_by: Vec<String>,
    outcome: String,
}

impl TryFrom<HeadRow> for DecisionHead {
    type Error = StoreError;

    fn try_from(row: HeadRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: DecisionId(row.id),
            at: row.at,
            last_at: row.last_at,
            count: row.count,
            fleet: FleetName::new(row.fleet),
            replica: ReplicaId::new(row.replica),
            epoch: Epoch(row.epoch),
            action: word(&row.action)?,
            size_before: nat(row.size_before)?,
            size_wanted: nat(row.size_wanted)?,
            code: word(&row.code)?,
            reason: row.reason,
            refused_by: row.refused_by.iter().map(|guard| word(guard)).collect::<Result<_, _>>()?,
            outcome: row.outcome,
        })
    }
}

/// Reads heads of decisions `d` with their runs `r`; what follows the columns is said by who asks.
macro_rules! heads {
    ($from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            HeadRow,
            r#"SELECT d.id, d.at, coalesce(r.last_at, d.at) AS "last_at!", coalesce(r.count, 1) AS "count!", d.fleet,
                      d.replica, d.epoch, d.action::text AS "action!", d.size_before, d.size_wanted,
                      d.plan ->> 'code' AS "code!", d.reason,
                      ARRAY(SELECT v ->> 'guard' FROM jsonb_array_elements(d.plan -> 'verdicts') v
                            WHERE v ->> 'effect' = 'refuse') AS "refused_by!",
                      CASE WHEN d.mode = 'dry_run' THEN 'dry_run'
                           ELSE coalesce(
                               (SELECT p.outcome FROM scaler.decision_progress p WHERE p.decision_id = d.id),
                               CASE WHEN d.action = 'hold' THEN 'quiet'
                                    WHEN d.starts_nothing AND d.size_wanted <> d.size_before THEN 'held'
                                    ELSE 'done' END) END AS "outcome!" "# + $from
            $(, $argument)*
        )
    };
}

/// A run counts as late as its last repetition; none is longer than a quarter of an hour.
pub(super) async fn heads(tx: &mut Tx, query: &DecisionQuery) -> Result<Vec<DecisionHead>, StoreError> {
    let (after_at, after_id) = query.after.unzip();
    let actions: Vec<String> = query.actions.iter().map(|action| action.as_str().to_owned()).collect();
    let changes_only = !actions.is_empty() && !query.actions.contains(&Action::Hold);
    let rows = heads!(
        r#"FROM scaler.decision d LEFT JOIN scaler.decision_run r ON r.decision_id = d.id
           WHERE ($1::text IS NULL OR d.fleet = $1)
             AND ($2::timestamptz IS NULL
                  OR (d.at >= $2 - interval '1 hour' AND coalesce(r.last_at, d.at) >= $2))
             AND ($3::timestamptz IS NULL OR d.at < $3)
             AND (NOT $4::bool OR d.action <> 'hold')
             AND (cardinality($5::text[]) = 0 OR d.action::text = ANY ($5))
             AND ($6::timestamptz IS NULL OR (d.at, d.id) < ($6, $7::uuid))
           ORDER BY d.at DESC, d.id DESC LIMIT $8"#,
        query.fleet.as_ref().map(FleetName::as_str),
        query.since,
        query.until,
        changes_only,
        &actions,
        after_at,
        after_id.map(|id| id.0),
        i64::from(list_limit(query.limit)),
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(DecisionHead::try_from).collect()
}

/// The newest decision of every fleet.
async fn newest_heads(tx: &mut Tx) -> Result<Vec<DecisionHead>, StoreError> {
    let rows = heads!(
        r#"FROM scaler.fleet_state s
           CROSS JOIN LATERAL (SELECT * FROM scaler.decision WHERE fleet = s.fleet ORDER BY at DESC LIMIT 1) d
           LEFT JOIN scaler.decision_run r ON r.decision_id = d.id"#
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(DecisionHead::try_from).collect()
}

/// One decision, and the calls that followed from it.
pub(super) async fn decision(
    tx: &mut Tx,
    id: DecisionId,
) -> Result<Option<(DecisionRow, Vec<CallRecord>)>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT d.at, coalesce(r.last_at, d.at) AS "last_at!", coalesce(r.count, 1) AS "count!", d.fleet,
                  d.replica, d.epoch, d.plan AS "plan: Json<Plan>",
                  CASE WHEN d.mode = 'dry_run' THEN 'dry_run'
                       ELSE coalesce((SELECT p.outcome FROM scaler.decision_progress p WHERE p.decision_id = d.id),
                                     CASE WHEN d.action = 'hold' THEN 'quiet'
                                          WHEN d.starts_nothing AND d.size_wanted <> d.size_before THEN 'held'
                                          ELSE 'done' END) END AS "outcome!"
           FROM scaler.decision d LEFT JOIN scaler.decision_run r ON r.decision_id = d.id WHERE d.id = $1"#,
        id.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let decision = DecisionRow {
        id,
        at: row.at,
        last_at: row.last_at,
        count: row.count,
        fleet: FleetName::new(row.fleet),
        replica: ReplicaId::new(row.replica),
        epoch: Epoch(row.epoch),
        plan: row.plan.0,
        outcome: row.outcome,
    };
    Ok(Some((decision, calls(tx, id).await?)))
}

/// The calls that name the decision, those of the launches that it wanted and that registered their hosts, and those
/// that took the hosts out which it sent away. These go for several hosts at once, of several decisions maybe, so they
/// name none: they are found by their hosts, within the host's way in or out.
async fn calls(tx: &mut Tx, id: DecisionId) -> Result<Vec<CallRecord>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT c.id, c.at, c.op::text AS "op!", c.launch_id, c.ordinal, c.target_group, c.zone,
                  CASE WHEN cardinality(c.instance_ids) > 0 THEN c.instance_ids
                       ELSE coalesce(o.instance_ids, c.instance_ids) END AS "instances!",
                  coalesce(o.outcome::text, 'pending') AS "outcome!", o.error_code AS "error_code?",
                  o.error_message AS "error_message?", o.request_id AS "request_id?", o.at AS "answered_at?"
           FROM scaler.cloud_call c LEFT JOIN scaler.cloud_call_outcome o ON o.call_id = c.id
           WHERE c.id IN (SELECT id FROM scaler.cloud_call WHERE decision_id = $1
                          UNION
                          SELECT k.id FROM scaler.launch l JOIN scaler.cloud_call k ON k.launch_id = l.id
                          WHERE l.decision_id = $1
                          UNION
                          SELECT k.id FROM scaler.launch l JOIN scaler.host h ON h.launch_id = l.id
                          JOIN scaler.cloud_call k ON k.fleet = l.fleet AND h.instance_id = ANY (k.instance_ids)
                              AND k.at BETWEEN l.created_at AND l.created_at + interval '1 day'
                          WHERE l.decision_id = $1 AND k.op = 'RegisterTargets'
                          UNION
                          SELECT k.id FROM scaler.drain w
                          JOIN scaler.cloud_call k ON k.fleet = w.fleet AND w.instance_id = ANY (k.instance_ids)
                              AND k.at BETWEEN w.started_at - interval '1 minute' AND coalesce(w.ended_at, 'infinity')
                          WHERE w.decision_id = $1 AND k.op IN ('DeregisterTargets', 'TerminateInstances'))
           ORDER BY c.at, c.id LIMIT $2"#,
        id.0,
        CALLS_MAX,
    )
    .fetch_all(tx)
    .await?;
    let records = rows.into_iter().map(|row| {
        Ok(CallRecord {
            id: CallId(row.id),
            at: row.at,
            op: word(&row.op)?,
            launch: row.launch_id.map(LaunchId),
            ordinal: nat(row.ordinal)?,
            instances: row.instances.into_iter().map(InstanceId::new).collect(),
            target_group: row.target_group.map(TargetGroupArn::new),
            zone: row.zone.map(Zone::new),
            outcome: row.outcome,
            error_code: row.error_code,
            error_message: row.error_message,
            request_id: row.request_id,
            answered_at: row.answered_at,
        })
    });
    records.collect()
}

/// What happened.
pub(super) async fn events(tx: &mut Tx, query: &EventQuery) -> Result<Vec<EventRecord>, StoreError> {
    let after = query.after.as_ref();
    let rows = sqlx::query!(
        r#"SELECT e.fleet, e.seq, e.at, e.kind, e.subject, e.data FROM scaler.event e
           WHERE ($1::text IS NULL OR e.fleet = $1)
             AND ($2::timestamptz IS NULL OR e.at >= $2)
             AND ($3::timestamptz IS NULL OR e.at < $3)
             AND (cardinality($4::text[]) = 0 OR e.kind = ANY ($4))
             AND ($5::text IS NULL OR e.subject = $5)
             AND ($6::timestamptz IS NULL OR (e.at, e.fleet COLLATE "C", e.seq) < ($6, $7::text, $8::bigint))
           ORDER BY e.at DESC, e.fleet COLLATE "C" DESC, e.seq DESC LIMIT $9"#,
        query.fleet.as_ref().map(FleetName::as_str),
        query.since,
        query.until,
        &query.kinds,
        query.subject.as_deref(),
        after.map(|key| key.at),
        after.map(|key| key.fleet.as_str()),
        after.map(|key| key.seq),
        i64::from(list_limit(query.limit)),
    )
    .fetch_all(tx)
    .await?;
    let records = rows.into_iter().map(|row| EventRecord {
        fleet: (!row.fleet.is_empty()).then(|| FleetName::new(row.fleet)),
        seq: row.seq,
        at: row.at,
        kind: row.kind,
        subject: row.subject,
        data: row.data,
    });
    Ok(records.collect())
}
