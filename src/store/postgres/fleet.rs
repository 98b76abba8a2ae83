//! A fleet as a whole: what one tick reads, as of one moment, and what is remembered between ticks.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::types::Json;

use crate::decide::signal::Observation;
use crate::decide::snapshot::{FleetMemory, Pause, PoolHealth};
use crate::domain::ids::{Epoch, FleetName, InstanceId, InstanceType, Pool, ReplicaId, TargetGroupArn, Zone};
use crate::domain::time::{Timestamp, before};
use crate::store::postgres::convert::nat;
use crate::store::postgres::session::Tx;
use crate::store::postgres::{host, inputs, launch, operator};
use crate::store::shared::WINDOW_MAX;
use crate::store::{Lease, StoreError, StoredFleet};

/// The cloud shows hosts for about an hour after their end; so long they are no orphans.
const ENDED_SHOWN: Duration = Duration::from_hours(2);

pub(super) async fn now(tx: &mut Tx) -> Result<Timestamp, StoreError> {
    Ok(sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(tx).await?)
}

pub(super) async fn names(tx: &mut Tx) -> Result<Vec<FleetName>, StoreError> {
    let names = sqlx::query_scalar!(r#"SELECT fleet FROM scaler.fleet_state ORDER BY fleet COLLATE "C""#)
        .fetch_all(tx)
        .await?;
    Ok(names.into_iter().map(FleetName::new).collect())
}

/// The transaction reads one snapshot, so the parts fit together. What is read since some moment has that moment as a
/// parameter: by `clock_timestamp()` no index can be searched, and every tick would go through all that ever was.
pub(super) async fn load(
    tx: &mut Tx,
    fleet: &FleetName,
    horizon: Duration,
    budget_span: Duration,
) -> Result<StoredFleet, StoreError> {
    let now = now(tx).await?;
    let (memory, lease) = memory(tx, fleet).await?;
    Ok(StoredFleet {
        now,
        lease,
        memory,
        hosts: host::alive(tx, fleet).await?,
        letting_go: letting_go(tx, fleet).await?,
        ended: ended(tx, fleet, before(now, ENDED_SHOWN)).await?,
        launches: launch::open(tx, fleet).await?,
        window: window(tx, fleet, before(now, horizon)).await?,
        pools: pools(tx, fleet).await?,
        requests: operator::unanswered(tx, fleet).await?,
        drains_in_budget: drains(tx, fleet, before(now, budget_span)).await?,
    })
}

/// A fleet's memory and lease as their rows say them.
struct MemoryRow {
    fleet: String,
    desired: Option<i32>,
    last_scale_out: Option<Timestamp>,
    last_change: Option<Timestamp>,
    rules_fired: Json<BTreeMap<String, Timestamp>>,
    launch_failures: i32,
    last_launch_failure: Option<Timestamp>,
    pause_out_actor: Option<String>,
    pause_out_reason: Option<String>,
    pause_out_until: Option<Timestamp>,
    pause_in_actor: Option<String>,
    pause_in_reason: Option<String>,
    pause_in_until: Option<Timestamp>,
    holder: Option<String>,
    epoch: Option<i64>,
    expires_at: Option<Timestamp>,
}

macro_rules! memories {
    ($rest:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            MemoryRow,
            r#"SELECT s.fleet, s.desired, s.last_scale_out, s.last_change,
                      s.rules_fired AS "rules_fired: Json<BTreeMap<String, Timestamp>>", s.launch_failures,
                      s.last_launch_failure, s.pause_out_actor, s.pause_out_reason, s.pause_out_until,
                      s.pause_in_actor, s.pause_in_reason, s.pause_in_until,
                      l.holder AS "holder?", l.epoch AS "epoch?", l.expires_at AS "expires_at?"
               FROM scaler.fleet_state s LEFT JOIN scaler.lease l ON l.fleet = s.fleet "# + $rest
            $(, $argument)*
        )
    };
}

/// What is remembered of a fleet, and who holds it.
type Remembered = (FleetName, FleetMemory, Option<Lease>);

async fn memory(tx: &mut Tx, fleet: &FleetName) -> Result<(FleetMemory, Option<Lease>), StoreError> {
    let row = memories!("WHERE s.fleet = $1", fleet.as_str()).fetch_optional(tx).await?;
    let remembered = row.map(remembered).transpose()?;
    Ok(remembered.map(|(_, memory, lease)| (memory, lease)).unwrap_or_default())
}

/// The same of every fleet, by name.
pub(super) async fn memories(tx: &mut Tx) -> Result<Vec<Remembered>, StoreError> {
    let rows = memories!(r#"ORDER BY s.fleet COLLATE "C""#).fetch_all(tx).await?;
    rows.into_iter().map(remembered).collect()
}

fn remembered(row: MemoryRow) -> Result<Remembered, StoreError> {
    let lease = match (row.holder, row.epoch, row.expires_at) {
        (Some(holder), Some(epoch), Some(expires_at)) => {
            Some(Lease { holder: ReplicaId::new(holder), epoch: Epoch(epoch), expires_at })
        }
        _ => None,
    };
    let memory = FleetMemory {
        desired: row.desired.map(nat).transpose()?,
        last_scale_out: row.last_scale_out,
        last_change: row.last_change,
        rules_fired: row.rules_fired.0,
        launch_failures: nat(row.launch_failures)?,
        last_launch_failure: row.last_launch_failure,
        pause_out: pause(row.pause_out_actor, row.pause_out_reason, row.pause_out_until),
        pause_in: pause(row.pause_in_actor, row.pause_in_reason, row.pause_in_until),
    };
    Ok((FleetName::new(row.fleet), memory, lease))
}

fn pause(actor: Option<String>, reason: Option<String>, until: Option<Timestamp>) -> Option<Pause> {
    Some(Pause { until, actor: actor?, reason: reason? })
}

/// Draining hosts that a call to deregister was recorded for. Most ticks have none that drain, and look no further.
pub(super) async fn letting_go(tx: &mut Tx, fleet: &FleetName) -> Result<Vec<InstanceId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT h.instance_id FROM scaler.host h
         JOIN scaler.drain d ON d.instance_id = h.instance_id AND d.ended_at IS NULL
         WHERE h.fleet = $1 AND h.state = 'draining' AND EXISTS (
             SELECT 1 FROM scaler.cloud_call c
             WHERE c.fleet = $1 AND c.op = 'DeregisterTargets' AND c.at >= d.started_at
               AND h.instance_id = ANY (c.instance_ids))
         ORDER BY h.instance_id COLLATE \"C\"",
        fleet.as_str()
    )
    .fetch_all(tx)
    .await?;
    Ok(ids.into_iter().map(InstanceId::new).collect())
}

/// Groups that living hosts were registered with: a host must be let go of by each of them before it ends.
pub(super) async fn groups_joined(tx: &mut Tx, fleet: &FleetName) -> Result<Vec<TargetGroupArn>, StoreError> {
    let groups = sqlx::query_scalar!(
        r#"SELECT DISTINCT c.target_group COLLATE "C" AS "group!" FROM scaler.cloud_call c
           WHERE c.fleet = $1 AND c.op = 'RegisterTargets' AND EXISTS (
               SELECT FROM scaler.host h WHERE h.fleet = $1 AND h.state NOT IN ('terminated', 'lost')
                   AND h.instance_id = ANY (c.instance_ids))
           ORDER BY 1"#,
        fleet.as_str()
    )
    .fetch_all(tx)
    .await?;
    Ok(groups.into_iter().map(TargetGroupArn::new).collect())
}

/// Hosts that ended lately.
async fn ended(tx: &mut Tx, fleet: &FleetName, since: Timestamp) -> Result<Vec<InstanceId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT instance_id FROM scaler.host WHERE fleet = $1 AND state IN ('terminated', 'lost')
           AND state_since > $2 ORDER BY instance_id COLLATE \"C\"",
        fleet.as_str(),
        since,
    )
    .fetch_all(tx)
    .await?;
    Ok(ids.into_iter().map(InstanceId::new).collect())
}

async fn window(tx: &mut Tx, fleet: &FleetName, since: Timestamp) -> Result<Vec<Observation>, StoreError> {
    let rows = sqlx::query!(
        "SELECT at, doc FROM scaler.observation
         WHERE fleet = $1 AND at > $2 ORDER BY at DESC LIMIT $3",
        fleet.as_str(),
        since,
        i64::from(WINDOW_MAX),
    )
    .fetch_all(tx)
    .await?;
    Ok(inputs::readable(fleet, rows.into_iter().rev().map(|row| (row.at, row.doc))))
}

async fn pools(tx: &mut Tx, fleet: &FleetName) -> Result<Vec<PoolHealth>, StoreError> {
    let rows = sqlx::query!(
        "SELECT zone, instance_type, failures, cooling_until, allowance FROM scaler.pool_health
         WHERE fleet = $1 ORDER BY zone COLLATE \"C\", instance_type COLLATE \"C\"",
        fleet.as_str()
    )
    .fetch_all(tx)
    .await?;
    let health = rows.into_iter().map(|row| {
        let instance_type = (!row.instance_type.is_empty()).then(|| InstanceType::new(row.instance_type));
        Ok(PoolHealth {
            pool: Pool { zone: Zone::new(row.zone), instance_type },
            failures: nat(row.failures)?,
            cooling_until: row.cooling_until,
            allowance: nat(row.allowance)?,
        })
    });
    health.collect()
}

/// When hosts were chosen to go; a drain that was taken back cost nothing.
async fn drains(tx: &mut Tx, fleet: &FleetName, since: Timestamp) -> Result<Vec<Timestamp>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT started_at FROM scaler.drain
         WHERE fleet = $1 AND started_at > $2
           AND outcome IS DISTINCT FROM 'cancelled'
         ORDER BY started_at, id",
        fleet.as_str(),
        since,
    )
    .fetch_all(tx)
    .await?)
}

/// One more launch that failed in a row: the breaker counts it.
pub(super) async fn launch_failed(tx: &mut Tx, fleet: &FleetName) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE scaler.fleet_state
         SET launch_failures = launch_failures + 1, last_launch_failure = clock_timestamp() WHERE fleet = $1",
        fleet.as_str()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A host became healthy: launches work again.
pub(super) async fn launch_worked(tx: &mut Tx, fleet: &FleetName) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE scaler.fleet_state SET launch_failures = 0, last_launch_failure = NULL
         WHERE fleet = $1 AND launch_failures > 0",
        fleet.as_str()
    )
    .execute(tx)
    .await?;
    Ok(())
}
