//! Launch intents and their attempts.
//!
//! `launch.launched` is always the number of hosts that carry the launch, counted again whenever one is added, so that an
//! answer that comes twice, or an adoption that comes before the answer, adds nothing.

use std::time::Duration;

use serde_json::json;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::failure::FailureClass;
use crate::domain::host::Host;
use crate::domain::ids::{AttemptId, DecisionId, FleetName, LaunchId, Pool};
use crate::domain::launch::{
    AbandonReason, Attempt, AttemptOutcome, AttemptState, Launch, LaunchState, LaunchTemplate, RunRequest,
};
use crate::domain::time::Timestamp;
use crate::store::postgres::audit::{self, Event};
use crate::store::postgres::convert::{json, nat, secs, word};
use crate::store::postgres::session::Tx;
use crate::store::postgres::{fleet, host, lease};
use crate::store::shared::int;
use crate::store::{Fence, PoolChange, Resolution, StoreError};

/// An open launch with its unresolved attempt.
struct OpenRow {
    id: Uuid,
    fleet: String,
    decision_id: Uuid,
    count: i32,
    launched: i32,
    attempts: i32,
    template: Json<LaunchTemplate>,
    created_at: Timestamp,
    attempt_id: Option<Uuid>,
    ordinal: Option<i32>,
    request: Option<Json<RunRequest>>,
    opened_at: Option<Timestamp>,
    calls: Option<i32>,
    not_before: Option<Timestamp>,
    last_failure: Option<String>,
    doubted_at: Option<Timestamp>,
}

/// Open launches of a fleet, by id.
pub(super) async fn open(tx: &mut Tx, fleet: &FleetName) -> Result<Vec<Launch>, StoreError> {
    sqlx::query_as!(
        OpenRow,
        r#"SELECT l.id, l.fleet, l.decision_id, l.count, l.launched, l.attempts,
                  l.template AS "template: Json<LaunchTemplate>", l.created_at, a.id AS "attempt_id?",
                  a.ordinal AS "ordinal?", a.request AS "request?: Json<RunRequest>", a.opened_at AS "opened_at?",
                  a.calls AS "calls?", a.not_before, a.last_failure::text AS last_failure, a.doubted_at
           FROM scaler.launch l LEFT JOIN scaler.launch_attempt a ON a.launch_id = l.id AND a.state = 'open'
           WHERE l.fleet = $1 AND l.state = 'open' ORDER BY l.id"#,
        fleet.as_str()
    )
    .fetch_all(tx)
    .await?
    .into_iter()
    .map(Launch::try_from)
    .collect()
}

impl TryFrom<OpenRow> for Launch {
    type Error = StoreError;

    fn try_from(row: OpenRow) -> Result<Self, StoreError> {
        let attempt = match (row.attempt_id, row.ordinal, row.request, row.opened_at, row.calls) {
            (Some(id), Some(ordinal), Some(Json(request)), Some(opened_at), Some(calls)) => {
                let last_failure = row.last_failure.as_deref().map(word::<FailureClass>).transpose()?;
                let (calls, not_before, doubted_at) = (nat(calls)?, row.not_before, row.doubted_at);
                let state = AttemptState::Open { calls, not_before, last_failure, doubted_at };
                let (id, launch, ordinal) = (AttemptId(id), LaunchId(row.id), nat(ordinal)?);
                Some(Box::new(Attempt { id, launch, ordinal, request, state, opened_at }))
            }
            _ => None,
        };
        Ok(Self {
            id: LaunchId(row.id),
            fleet: FleetName::new(row.fleet),
            decision: DecisionId(row.decision_id),
            count: nat(row.count)?,
            template: row.template.0,
            launched: nat(row.launched)?,
            attempts: nat(row.attempts)?,
            state: LaunchState::Open { attempt },
            created_at: row.created_at,
        })
    }
}

/// Hosts that open intents of a fleet may still buy.
pub(super) async fn reserved(tx: &mut Tx, fleet: &FleetName) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT coalesce(sum(count - launched), 0) AS "reserved!" FROM scaler.launch
           WHERE fleet = $1 AND state = 'open'"#,
        fleet.as_str()
    )
    .fetch_one(tx)
    .await?)
}

/// Records an intent with its first attempt. The caller holds the fleet's lock.
pub(super) async fn insert(tx: &mut Tx, fence: &Fence, launch: &Launch) -> Result<(), StoreError> {
    if launch.fleet != fence.fleet || launch.launched != 0 {
        return Err(StoreError::Refused(format!(
            "launch {} is not a fresh one of fleet {}",
            launch.id, fence.fleet
        )));
    }
    sqlx::query!(
        "INSERT INTO scaler.launch (id, fleet, decision_id, count, template, state, created_at)
         VALUES ($1, $2, $3, $4, $5, 'open', $6)",
        launch.id.0,
        launch.fleet.as_str(),
        launch.decision.0,
        int(launch.count)?,
        json(&launch.template)?,
        launch.created_at,
    )
    .execute(&mut *tx)
    .await?;
    let data =
        json!({ "count": launch.count, "decision": launch.decision, "template": json(&launch.template)? });
    audit::append(tx, fence.fleet.as_str(), &[Event::new("launch_opened", launch.id, data)]).await?;
    match launch.open_attempt() {
        Some(attempt) => insert_attempt(tx, fence, attempt).await,
        None => Ok(()),
    }
}

pub(super) async fn open_attempt(tx: &mut Tx, fence: &Fence, attempt: &Attempt) -> Result<(), StoreError> {
    lease::check(tx, fence).await?;
    let known = sqlx::query_scalar!(
        r#"SELECT request AS "request: Json<RunRequest>" FROM scaler.launch_attempt WHERE id = $1"#,
        attempt.id.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    match known {
        Some(Json(request)) if request == attempt.request => Ok(()),
        Some(_) => Err(StoreError::Refused(format!("attempt {} exists with another request", attempt.id))),
        None => insert_attempt(tx, fence, attempt).await,
    }
}

async fn insert_attempt(tx: &mut Tx, fence: &Fence, attempt: &Attempt) -> Result<(), StoreError> {
    let request = &attempt.request;
    let counted = sqlx::query!(
        "UPDATE scaler.launch SET attempts = $3
         WHERE id = $1 AND fleet = $2 AND state = 'open' AND count - launched >= $4 AND attempts = $3 - 1",
        attempt.launch.0,
        fence.fleet.as_str(),
        int(attempt.ordinal)?,
        int(request.max_count)?,
    )
    .execute(&mut *tx)
    .await?;
    if counted.rows_affected() != 1 {
        return Err(StoreError::Conflict(format!(
            "launch {} is not open, lacks fewer than {} hosts, or has had an attempt {} already",
            attempt.launch, request.max_count, attempt.ordinal
        )));
    }
    sqlx::query!(
        "INSERT INTO scaler.launch_attempt
             (id, fleet, launch_id, ordinal, client_token, zone, instance_type, max_count, request, opened_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        attempt.id.0,
        fence.fleet.as_str(),
        attempt.launch.0,
        int(attempt.ordinal)?,
        request.client_token.as_str(),
        request.pool.zone.as_str(),
        request.pool.instance_type.as_ref().map(crate::domain::ids::InstanceType::as_str),
        int(request.max_count)?,
        json(request)?,
        attempt.opened_at,
    )
    .execute(&mut *tx)
    .await?;
    let data = json!({
        "launch": attempt.launch, "ordinal": attempt.ordinal, "token": request.client_token,
        "pool": request.pool, "subnet": request.subnet, "max_count": request.max_count,
    });
    audit::append(tx, fence.fleet.as_str(), &[Event::new("attempt_opened", attempt.id, data)]).await
}

pub(super) async fn defer(
    tx: &mut Tx,
    fence: &Fence,
    attempt: AttemptId,
    failure: FailureClass,
    wait: Duration,
) -> Result<(), StoreError> {
    let now = lease::check(tx, fence).await?;
    let deferred = sqlx::query!(
        "UPDATE scaler.launch_attempt
         SET calls = calls + 1, not_before = $3::timestamptz + make_interval(secs => $4),
             last_failure = CASE WHEN last_failure = 'unknown' THEN 'unknown' ELSE $5::text::scaler.failure_class END,
             doubted_at = CASE WHEN $5::text = 'unknown' THEN $3::timestamptz ELSE doubted_at END
         WHERE id = $1 AND fleet = $2 AND state = 'open' RETURNING calls, not_before",
        attempt.0,
        fence.fleet.as_str(),
        now,
        secs(wait),
        failure.as_str(),
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| StoreError::Conflict(format!("attempt {attempt} is not open")))?;
    let data = json!({ "failure": failure, "calls": deferred.calls, "not_before": deferred.not_before });
    audit::append(tx, fence.fleet.as_str(), &[Event::new("attempt_deferred", attempt, data)]).await
}

pub(super) async fn resolve(tx: &mut Tx, fence: &Fence, resolution: &Resolution) -> Result<(), StoreError> {
    let now = lease::check(tx, fence).await?;
    if !settle_attempt(tx, fence, resolution, now).await? {
        return Ok(());
    }
    host::insert(tx, fence, &resolution.hosts, "host_launched").await?;
    ensure_hosts_are_of(tx, resolution).await?;
    count_hosts(tx, fence, resolution.launch).await?;
    if resolution.outcome == AttemptOutcome::Spent {
        close(tx, fence, resolution.launch, now, Some(AbandonReason::TokenSpent)).await?;
    } else if resolution.outcome.is_launch_failure() {
        close(tx, fence, resolution.launch, now, Some(AbandonReason::Refused)).await?;
        fleet::launch_failed(tx, &fence.fleet).await?;
    } else {
        close_if_complete(tx, fence, resolution.launch, now).await?;
    }
    change_pool(tx, fence, &resolution.pool).await
}

/// Writes an attempt's outcome; `false`: that very outcome is there already.
async fn settle_attempt(
    tx: &mut Tx,
    fence: &Fence,
    resolution: &Resolution,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (outcome, launched, error) = match &resolution.outcome {
        AttemptOutcome::Launched { count } => ("launched", Some(int(*count)?), None),
        AttemptOutcome::Refused { error } => ("refused", None, Some(json(error)?)),
        AttemptOutcome::Spent => ("spent", None, None),
    };
    let settled = sqlx::query!(
        "UPDATE scaler.launch_attempt
         SET state = 'resolved', resolved_at = $4, outcome = $5::text::scaler.attempt_outcome, launched = $6, error = $7
         WHERE id = $1 AND launch_id = $2 AND fleet = $3 AND state = 'open'",
        resolution.attempt.0,
        resolution.launch.0,
        fence.fleet.as_str(),
        now,
        outcome,
        launched,
        error,
    )
    .execute(&mut *tx)
    .await?;
    if settled.rows_affected() == 1 {
        let ids: Vec<_> = resolution.hosts.iter().map(|host| &host.id).collect();
        let data =
            json!({ "launch": resolution.launch, "outcome": json(&resolution.outcome)?, "hosts": ids });
        audit::append(tx, fence.fleet.as_str(), &[Event::new("attempt_resolved", resolution.attempt, data)])
            .await?;
        return Ok(true);
    }
    let same = sqlx::query_scalar!(
        r#"SELECT outcome = $4::text::scaler.attempt_outcome AND launched IS NOT DISTINCT FROM $5 AS "same!"
           FROM scaler.launch_attempt WHERE id = $1 AND launch_id = $2 AND fleet = $3"#,
        resolution.attempt.0,
        resolution.launch.0,
        fence.fleet.as_str(),
        outcome,
        launched,
    )
    .fetch_optional(tx)
    .await?;
    match same {
        Some(true) => Ok(false),
        Some(false) => {
            Err(StoreError::Conflict(format!("attempt {} has another outcome", resolution.attempt)))
        }
        None => Err(StoreError::Conflict(format!(
            "fleet {} has no attempt {} of launch {}",
            fence.fleet, resolution.attempt, resolution.launch
        ))),
    }
}

/// A host that was there before must be there for this launch: two launches never share an instance.
async fn ensure_hosts_are_of(tx: &mut Tx, resolution: &Resolution) -> Result<(), StoreError> {
    let ids: Vec<String> = resolution.hosts.iter().map(|host| host.id.to_string()).collect();
    let stranger = sqlx::query_scalar!(
        "SELECT instance_id FROM scaler.host WHERE instance_id = ANY($1) AND launch_id IS DISTINCT FROM $2
         ORDER BY instance_id LIMIT 1",
        &ids,
        resolution.launch.0,
    )
    .fetch_optional(tx)
    .await?;
    match stranger {
        None => Ok(()),
        Some(id) => {
            Err(StoreError::Refused(format!("host {id} does not belong to launch {}", resolution.launch)))
        }
    }
}

async fn count_hosts(tx: &mut Tx, fence: &Fence, launch: LaunchId) -> Result<(), StoreError> {
    let launched = host::count_of_launch(tx, launch).await?;
    sqlx::query!(
        "UPDATE scaler.launch SET launched = $3 WHERE id = $1 AND fleet = $2",
        launch.0,
        fence.fleet.as_str(),
        launched
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Closes a launch that has all its hosts and waits for no answer.
async fn close_if_complete(
    tx: &mut Tx,
    fence: &Fence,
    launch: LaunchId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let complete = sqlx::query_scalar!(
        r#"SELECT launched = count AND NOT EXISTS (
               SELECT FROM scaler.launch_attempt a WHERE a.launch_id = l.id AND a.state = 'open') AS "complete!"
           FROM scaler.launch l WHERE id = $1 AND fleet = $2 AND state = 'open'"#,
        launch.0,
        fence.fleet.as_str(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    match complete {
        Some(true) => close(tx, fence, launch, now, None).await,
        Some(false) | None => Ok(()),
    }
}

/// Closes an open launch: fulfilled, or given up for a reason.
async fn close(
    tx: &mut Tx,
    fence: &Fence,
    launch: LaunchId,
    now: Timestamp,
    given_up: Option<AbandonReason>,
) -> Result<(), StoreError> {
    let state = if given_up.is_some() { "abandoned" } else { "fulfilled" };
    let reason = given_up.map(AbandonReason::as_str);
    sqlx::query!(
        "UPDATE scaler.launch SET state = $3::text::scaler.launch_state, closed_at = $4,
             abandon_reason = $5::text::scaler.abandon_reason
         WHERE id = $1 AND fleet = $2 AND state = 'open'",
        launch.0,
        fence.fleet.as_str(),
        state,
        now,
        reason,
    )
    .execute(&mut *tx)
    .await?;
    let data = json!({ "state": state, "reason": reason });
    audit::append(tx, fence.fleet.as_str(), &[Event::new("launch_closed", launch, data)]).await
}

pub(super) async fn abandon(
    tx: &mut Tx,
    fence: &Fence,
    launch: LaunchId,
    reason: AbandonReason,
) -> Result<(), StoreError> {
    let now = lease::check(tx, fence).await?;
    let row = sqlx::query!(
        r#"SELECT l.state::text AS "state!", EXISTS (
               SELECT FROM scaler.launch_attempt a WHERE a.launch_id = l.id AND a.state = 'open') AS "in_flight!"
           FROM scaler.launch l WHERE l.id = $1 AND l.fleet = $2"#,
        launch.0,
        fence.fleet.as_str(),
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| StoreError::Conflict(format!("fleet {} has no launch {launch}", fence.fleet)))?;
    match (row.state.as_str(), row.in_flight) {
        ("abandoned", _) => Ok(()),
        ("open", false) => close(tx, fence, launch, now, Some(reason)).await,
        ("open", true) => {
            Err(StoreError::Refused(format!("launch {launch} has an attempt without an outcome")))
        }
        (state, _) => Err(StoreError::Conflict(format!("launch {launch} is {state}"))),
    }
}

async fn change_pool(tx: &mut Tx, fence: &Fence, change: &PoolChange) -> Result<(), StoreError> {
    let name = fence.fleet.as_str();
    let event = match change {
        PoolChange::Unchanged => return Ok(()),
        PoolChange::Set(health) => {
            sqlx::query!(
                "INSERT INTO scaler.pool_health (fleet, zone, instance_type, failures, cooling_until, allowance)
                 VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (fleet, zone, instance_type) DO UPDATE
                     SET failures = excluded.failures, cooling_until = excluded.cooling_until,
                         allowance = excluded.allowance",
                name,
                health.pool.zone.as_str(),
                kind_of(&health.pool),
                int(health.failures)?,
                health.cooling_until,
                int(health.allowance)?,
            )
            .execute(&mut *tx)
            .await?;
            Event::new("pool_set", &health.pool, json(health)?)
        }
        PoolChange::Clear(pool) => {
            let cleared = sqlx::query!(
                "DELETE FROM scaler.pool_health WHERE fleet = $1 AND zone = $2 AND instance_type = $3",
                name,
                pool.zone.as_str(),
                kind_of(pool),
            )
            .execute(&mut *tx)
            .await?;
            if cleared.rows_affected() == 0 {
                return Ok(());
            }
            Event::new("pool_cleared", pool, json(pool)?)
        }
    };
    audit::append(tx, name, &[event]).await
}

/// The column of a pool's type: empty where the template chooses.
fn kind_of(pool: &Pool) -> &str {
    pool.instance_type.as_ref().map_or("", |kind| kind.as_str())
}

/// The launch that an instance's tag names, if a row knows it: a database restored from a backup lacks the newest.
async fn known_launch(
    tx: &mut Tx,
    fence: &Fence,
    tagged: Option<LaunchId>,
) -> Result<Option<LaunchId>, StoreError> {
    let id = sqlx::query_scalar!(
        "SELECT id FROM scaler.launch WHERE id = $1 AND fleet = $2",
        tagged.map(|launch| launch.0),
        fence.fleet.as_str(),
    )
    .fetch_optional(tx)
    .await?;
    Ok(id.map(LaunchId))
}

/// Gives an orphan a row. It exists, so it is taken even where its launch has had all it may: refusing would leave a
/// machine that nobody counts by its row and nobody could ever drain.
pub(super) async fn adopt(tx: &mut Tx, fence: &Fence, orphan: &Host) -> Result<(), StoreError> {
    let now = lease::check(tx, fence).await?;
    let launch = known_launch(tx, fence, orphan.launch).await?;
    let orphan = &Host { launch, ..orphan.clone() };
    if host::insert(tx, fence, std::slice::from_ref(orphan), "host_adopted").await? == 0 {
        return match host::find(tx, &orphan.id).await? {
            Some(known) if known.fleet == fence.fleet && !known.state.is_final() => Ok(()),
            Some(known) => Err(StoreError::Conflict(format!(
                "instance {} cannot be adopted: it is recorded as {} of fleet {}",
                orphan.id,
                known.state.name(),
                known.fleet
            ))),
            None => Err(StoreError::Conflict(format!("instance {} has just been recorded", orphan.id))),
        };
    }
    let Some(launch) = orphan.launch else { return Ok(()) };
    let launched = host::count_of_launch(tx, launch).await?;
    sqlx::query!(
        "UPDATE scaler.launch SET launched = least(count, $3) WHERE id = $1 AND fleet = $2",
        launch.0,
        fence.fleet.as_str(),
        launched
    )
    .execute(&mut *tx)
    .await?;
    close_if_complete(tx, fence, launch, now).await
}
