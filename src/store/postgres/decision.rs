//! Decisions: what was judged, and in the same transaction everything that follows from it.

use std::collections::BTreeSet;

use sqlx::types::Json;
use uuid::Uuid;

use crate::decide::plan::{Action, Plan};
use crate::decide::policy::Mode;
use crate::decide::signal::Observation;
use crate::domain::host::Step;
use crate::domain::ids::{DecisionId, Epoch, FleetName, InstanceId, ReplicaId};
use crate::domain::time::Timestamp;
use crate::store::postgres::convert::{json, secs};
use crate::store::postgres::session::Tx;
use crate::store::postgres::{fleet, host, inputs, launch, lease, operator};
use crate::store::shared::{self, Standing, bounded, int};
use crate::store::{DecisionCommit, DecisionFilter, DecisionRow, Fence, StoreError};

pub(super) async fn commit(
    tx: &mut Tx,
    fence: &Fence,
    commit: &DecisionCommit,
) -> Result<Timestamp, StoreError> {
    let now = lease::check(tx, fence).await?;
    if let Some(at) = committed_before(tx, fence, commit.id).await? {
        return Ok(at);
    }
    observe(tx, fence, &commit.plan.observation).await?;
    let signature = shared::signature(commit);
    if shared::is_quiet(commit) && repeat(tx, fence, commit.id, &signature, now).await? {
        return Ok(now);
    }
    check_ceiling(tx, fence, commit).await?;
    check_recalls(tx, fence, commit).await?;
    check_departures(tx, fence, commit, now).await?;
    insert(tx, fence, commit, &signature, now).await?;
    for change in &commit.hosts {
        host::advance(tx, fence, change, Some(commit.id)).await?;
    }
    for intent in &commit.launches {
        if intent.decision != commit.id {
            return Err(StoreError::Refused(format!(
                "launch {} is of decision {}",
                intent.id, intent.decision
            )));
        }
        launch::insert(tx, fence, intent).await?;
    }
    for answer in &commit.plan.answered {
        operator::answer(tx, fence, commit.id, answer).await?;
    }
    if commit.mode == Mode::Live {
        remember(tx, fence, &commit.plan, now).await?;
    }
    inputs::prune(tx, fence, now).await?;
    Ok(now)
}

/// A drain is taken back only as long as nobody was asked to let the host go.
async fn check_recalls(tx: &mut Tx, fence: &Fence, commit: &DecisionCommit) -> Result<(), StoreError> {
    let recalled = commit.hosts.iter().filter(|change| change.step == Some(Step::CancelDrain));
    let recalled: Vec<_> = recalled.map(|change| &change.after.id).collect();
    if recalled.is_empty() {
        return Ok(());
    }
    let letting_go = fleet::letting_go(tx, &fence.fleet).await?;
    match recalled.iter().find(|id| letting_go.contains(id)) {
        None => Ok(()),
        Some(id) => Err(StoreError::Conflict(format!("host {id} is being deregistered; its drain goes on"))),
    }
}

/// Who goes may go, and the floor and the budget have room for it.
async fn check_departures(
    tx: &mut Tx,
    fence: &Fence,
    commit: &DecisionCommit,
    now: Timestamp,
) -> Result<(), StoreError> {
    let leavers = shared::leavers(commit);
    if leavers.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = leavers.iter().map(|leaver| leaver.id.to_string()).collect();
    let row = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE state = 'healthy') AS "healthy!",
                  coalesce(array_agg(instance_id) FILTER (WHERE state = 'healthy' AND instance_id = ANY ($2)), '{}')
                      AS "serving!",
                  coalesce(array_agg(instance_id) FILTER (WHERE drain_id IS NOT NULL AND instance_id = ANY ($2)), '{}')
                      AS "leaving!",
                  (SELECT count(*) FROM scaler.drain
                   WHERE fleet = $1 AND started_at > $3::timestamptz - make_interval(secs => $4)
                     AND outcome IS DISTINCT FROM 'cancelled') AS "spent!"
           FROM scaler.host WHERE fleet = $1 AND state NOT IN ('terminated', 'lost')"#,
        fence.fleet.as_str(),
        &ids,
        now,
        secs(commit.budget.per),
    )
    .fetch_one(tx)
    .await?;
    let (serving, leaving) = (named(row.serving), named(row.leaving));
    let count = |count: i64| usize::try_from(count).unwrap_or(usize::MAX);
    let standing = Standing {
        healthy: count(row.healthy),
        serving: &serving,
        leaving: &leaving,
        spent: count(row.spent),
    };
    shared::departures(&fence.fleet, commit, &leavers, &standing)
}

fn named(ids: Vec<String>) -> BTreeSet<InstanceId> {
    ids.into_iter().map(InstanceId::new).collect()
}

/// When this very commit was made, if it was.
async fn committed_before(
    tx: &mut Tx,
    fence: &Fence,
    id: DecisionId,
) -> Result<Option<Timestamp>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT at AS "at!" FROM scaler.decision WHERE id = $1 AND fleet = $2
           UNION ALL
           SELECT r.last_at FROM (SELECT id FROM scaler.decision WHERE fleet = $2 ORDER BY at DESC LIMIT 1) last
           JOIN scaler.decision_run r ON r.decision_id = last.id WHERE r.last_id = $1"#,
        id.0,
        fence.fleet.as_str(),
    )
    .fetch_optional(tx)
    .await?)
}

/// Appends to the window.
async fn observe(tx: &mut Tx, fence: &Fence, observation: &Observation) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO scaler.observation (fleet, at, doc) VALUES ($1, $2, $3) ON CONFLICT (fleet, at) DO NOTHING",
        fence.fleet.as_str(),
        observation.at,
        json(&observation.clone().finite())?,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Counts a quiet answer with the fleet's last decision, where that was the same; `false`: it was not. After a quarter
/// of an hour a new row is begun, so that the inputs in a row are never older than that.
async fn repeat(
    tx: &mut Tx,
    fence: &Fence,
    id: DecisionId,
    signature: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let counted = sqlx::query!(
        "INSERT INTO scaler.decision_run AS r (decision_id, count, last_at, last_id)
         SELECT last.id, 2, $4::timestamptz, $5 FROM (
             SELECT d.id, d.signature, d.epoch, d.at FROM scaler.decision d
             WHERE d.fleet = $1 ORDER BY d.at DESC LIMIT 1) last
         WHERE last.signature = $2 AND last.epoch = $3 AND last.at > $4::timestamptz - interval '15 minutes'
         ON CONFLICT (decision_id) DO UPDATE
             SET count = r.count + 1, last_at = greatest(r.last_at, excluded.last_at), last_id = excluded.last_id",
        fence.fleet.as_str(),
        signature,
        fence.epoch.0,
        now,
        id.0,
    )
    .execute(tx)
    .await?;
    Ok(counted.rows_affected() == 1)
}

async fn check_ceiling(tx: &mut Tx, fence: &Fence, commit: &DecisionCommit) -> Result<(), StoreError> {
    if shared::bought(commit) == 0 {
        return Ok(());
    }
    let live = host::live_count(tx, &fence.fleet).await?;
    let reserved = launch::reserved(tx, &fence.fleet).await?;
    shared::ceiling(&fence.fleet, commit, live, reserved)
}

async fn insert(
    tx: &mut Tx,
    fence: &Fence,
    commit: &DecisionCommit,
    signature: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mode = match commit.mode {
        Mode::Live => "live",
        Mode::DryRun => "dry_run",
    };
    let mut plan = commit.plan.clone();
    plan.observation = plan.observation.finite();
    let inputs = shared::inputs(commit)?;
    sqlx::query!(
        "INSERT INTO scaler.decision (id, fleet, at, replica, epoch, mode, action, size_before, size_wanted, reason,
             signature, plan, inputs_seal)
         VALUES ($1, $2, $3, $4, $5, $6::text::scaler.decision_mode, $7::text::scaler.decision_action, $8, $9, $10,
             $11, $12, $13)",
        commit.id.0,
        fence.fleet.as_str(),
        now,
        fence.replica.as_str(),
        fence.epoch.0,
        mode,
        plan.action.as_str(),
        int(plan.size_before)?,
        int(plan.size_wanted)?,
        bounded(&plan.reason),
        signature,
        json(&plan)?,
        inputs.seal(),
    )
    .execute(&mut *tx)
    .await?;
    inputs::keep(tx, fence, commit.id, now, &inputs).await
}

/// Sets the size wanted, and starts the cooldowns where the size changed for the load's or a person's sake.
async fn remember(tx: &mut Tx, fence: &Fence, plan: &Plan, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE scaler.fleet_state SET
             desired = $2,
             last_scale_out = CASE WHEN $4 AND $2 > coalesce(desired, $3) THEN $5 ELSE last_scale_out END,
             last_change = CASE WHEN $4 AND $2 <> coalesce(desired, $3) THEN $5 ELSE last_change END,
             rules_fired = rules_fired || coalesce(
                 (SELECT jsonb_object_agg(rule, to_jsonb($5::timestamptz)) FROM unnest($6::text[]) rule), '{}')
         WHERE fleet = $1",
        fence.fleet.as_str(),
        int(plan.size_wanted)?,
        int(plan.size_before)?,
        shared::cools(plan.action),
        now,
        &plan.rules_fired,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A decision as the listing gives it.
struct ListRow {
    id: Uuid,
    at: Timestamp,
    last_at: Timestamp,
    count: i64,
    fleet: String,
    replica: String,
    epoch: i64,
    plan: Json<Plan>,
    outcome: String,
}

/// Newest first. A run counts as late as its last repetition; none is longer than a quarter of an hour.
pub(super) async fn list(tx: &mut Tx, filter: &DecisionFilter) -> Result<Vec<DecisionRow>, StoreError> {
    let rows = sqlx::query_as!(
        ListRow,
        r#"SELECT d.id, d.at, coalesce(r.last_at, d.at) AS "last_at!", coalesce(r.count, 1) AS "count!", d.fleet,
                  d.replica, d.epoch, d.plan AS "plan: Json<Plan>",
                  CASE WHEN d.mode = 'dry_run' THEN 'dry_run'
                       ELSE coalesce((SELECT p.outcome FROM scaler.decision_progress p WHERE p.decision_id = d.id),
                                     CASE WHEN d.action = 'hold' THEN 'quiet'
                                          WHEN d.starts_nothing AND d.size_wanted <> d.size_before THEN 'held'
                                          ELSE 'done' END) END AS "outcome!"
           FROM scaler.decision d LEFT JOIN scaler.decision_run r ON r.decision_id = d.id
           WHERE ($1::text IS NULL OR d.fleet = $1)
             AND ($2::timestamptz IS NULL
                  OR (d.at >= $2 - interval '1 hour' AND coalesce(r.last_at, d.at) >= $2))
             AND ($3::text IS NULL OR d.action::text = $3)
           ORDER BY d.at DESC, d.id LIMIT $4"#,
        filter.fleet.as_ref().map(FleetName::as_str),
        filter.since,
        filter.action.map(Action::as_str),
        i64::from(shared::list_limit(filter.limit)),
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(DecisionRow::from).collect())
}

impl From<ListRow> for DecisionRow {
    fn from(row: ListRow) -> Self {
        Self {
            id: DecisionId(row.id),
            at: row.at,
            last_at: row.last_at,
            count: row.count,
            fleet: FleetName::new(row.fleet),
            replica: ReplicaId::new(row.replica),
            epoch: Epoch(row.epoch),
            plan: row.plan.0,
            outcome: row.outcome,
        }
    }
}
