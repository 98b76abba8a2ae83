//! Hosts and their drains: one function advances a host, by compare-and-set, with its event in the same transaction.

use std::time::Duration;

use serde_json::json;

use crate::domain::host::{Drain, DrainReason, Host, HostState};
use crate::domain::ids::{
    DecisionId, FleetName, InstanceId, InstanceType, LaunchId, SubnetId, TargetGroupArn, Zone,
};
use crate::domain::time::{Timestamp, before};
use crate::store::postgres::audit::{self, Event};
use crate::store::postgres::convert::{address, ip, json, nat, word};
use crate::store::postgres::session::Tx;
use crate::store::postgres::{fleet, lease};
use crate::store::shared::int;
use crate::store::{Fence, HostChange, Orphan, OrphanSightings, StoreError};

/// A host with its drain, as the queries below give it.
struct HostRow {
    instance_id: String,
    fleet: String,
    launch_id: Option<uuid::Uuid>,
    zone: String,
    subnet: Option<String>,
    instance_type: String,
    address: Option<String>,
    launched_at: Timestamp,
    healthy_at: Option<Timestamp>,
    state: String,
    state_since: Timestamp,
    version: i64,
    reason: Option<String>,
    groups: Option<Vec<String>>,
    started_at: Option<Timestamp>,
    deadline: Option<Timestamp>,
}

/// One list of columns for three conditions.
macro_rules! hosts {
    ($tail:literal, $($argument:expr),*) => {
        sqlx::query_as!(
            HostRow,
            r#"SELECT h.instance_id, h.fleet, h.launch_id, h.zone, h.subnet, h.instance_type,
                      host(h.address) AS address, h.launched_at, h.healthy_at, h.state::text AS "state!",
                      h.state_since, h.version, d.reason::text AS reason, d.groups AS "groups?",
                      d.started_at AS "started_at?", d.deadline
               FROM scaler.host h LEFT JOIN scaler.drain d ON d.id = h.drain_id "# + $tail,
            $($argument),*
        )
    };
}

/// Hosts of a fleet that are not final, by id.
pub(super) async fn alive(tx: &mut Tx, fleet: &FleetName) -> Result<Vec<Host>, StoreError> {
    hosts!(
        r#"WHERE h.fleet = $1 AND h.state NOT IN ('terminated', 'lost') ORDER BY h.instance_id COLLATE "C""#,
        fleet.as_str()
    )
    .fetch_all(tx)
    .await?
    .into_iter()
    .map(Host::try_from)
    .collect()
}

/// Those, and the ones that became final within the last hour.
pub(super) async fn recent(tx: &mut Tx, fleet: &FleetName) -> Result<Vec<Host>, StoreError> {
    let hour_ago = before(fleet::now(tx).await?, Duration::from_hours(1));
    hosts!(
        r#"WHERE h.instance_id IN (
             SELECT instance_id FROM scaler.host WHERE fleet = $1 AND state NOT IN ('terminated', 'lost')
             UNION ALL
             SELECT instance_id FROM scaler.host WHERE fleet = $1 AND state IN ('terminated', 'lost')
                AND state_since > $2)
         ORDER BY h.instance_id COLLATE "C""#,
        fleet.as_str(),
        hour_ago
    )
    .fetch_all(tx)
    .await?
    .into_iter()
    .map(Host::try_from)
    .collect()
}

pub(super) async fn find(tx: &mut Tx, id: &InstanceId) -> Result<Option<Host>, StoreError> {
    hosts!("WHERE h.instance_id = $1", id.as_str()).fetch_optional(tx).await?.map(Host::try_from).transpose()
}

impl TryFrom<HostRow> for Host {
    type Error = StoreError;

    fn try_from(row: HostRow) -> Result<Self, StoreError> {
        let state = state_of(&row)?;
        Ok(Self {
            state,
            address: ip(row.address.as_deref())?,
            id: InstanceId::new(row.instance_id),
            fleet: FleetName::new(row.fleet),
            launch: row.launch_id.map(LaunchId),
            zone: Zone::new(row.zone),
            subnet: row.subnet.map(SubnetId::new),
            instance_type: InstanceType::new(row.instance_type),
            launched_at: row.launched_at,
            healthy_at: row.healthy_at,
            version: row.version,
        })
    }
}

fn state_of(row: &HostRow) -> Result<HostState, StoreError> {
    let since = row.state_since;
    let incomplete =
        || StoreError::Refused(format!("host {} is {} without its drain", row.instance_id, row.state));
    let drain = || -> Result<Drain, StoreError> {
        let groups = row.groups.iter().flatten().map(TargetGroupArn::new).collect();
        let reason: DrainReason = word(row.reason.as_deref().ok_or_else(incomplete)?)?;
        Ok(Drain { reason, started_at: row.started_at.ok_or_else(incomplete)?, groups })
    };
    Ok(match row.state.as_str() {
        "pending" => HostState::Pending { since },
        "running" => HostState::Running { since },
        "registered" => HostState::Registered { since },
        "healthy" => HostState::Healthy { since },
        "unhealthy" => HostState::Unhealthy { since },
        "draining" => HostState::Draining { drain: drain()? },
        "deregistered" => {
            HostState::Deregistered { drain: drain()?, since, deadline: row.deadline.ok_or_else(incomplete)? }
        }
        "terminating" => HostState::Terminating { drain: drain()?, since },
        "terminated" => HostState::Terminated { since, reason: drain()?.reason },
        "lost" => HostState::Lost { since },
        other => {
            return Err(StoreError::Refused(format!("host {} is in unknown state {other}", row.instance_id)));
        }
    })
}

/// What of a host's row a change must be judged against.
struct Before {
    version: i64,
    state: String,
    healthy_at: Option<Timestamp>,
    drain_id: Option<i64>,
}

/// Writes a host's next state. The caller holds the fleet's lock.
pub(super) async fn advance(
    tx: &mut Tx,
    fence: &Fence,
    change: &HostChange,
    decision: Option<DecisionId>,
) -> Result<(), StoreError> {
    let after = &change.after;
    let before = sqlx::query_as!(
        Before,
        r#"SELECT version, state::text AS "state!", healthy_at, drain_id
           FROM scaler.host WHERE instance_id = $1 AND fleet = $2"#,
        after.id.as_str(),
        fence.fleet.as_str(),
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| StoreError::Conflict(format!("fleet {} has no host {}", fence.fleet, after.id)))?;
    if before.version + 1 != after.version {
        return Err(StoreError::Conflict(format!(
            "host {} has changed: it is {} at version {}, not {}",
            after.id,
            before.state,
            before.version,
            after.version - 1
        )));
    }
    let drain_id = advance_drain(tx, fence, after, &before, decision).await?;
    write(tx, after, drain_id).await?;
    let mut data = json(after)?;
    if let Some(fields) = data.as_object_mut() {
        fields.insert("step".to_owned(), json(&change.step)?);
        fields.insert("decision".to_owned(), json(&decision)?);
    }
    audit::append(tx, fence.fleet.as_str(), &[Event::new("host", &after.id, data)]).await?;
    judge_launch(tx, &fence.fleet, after, &before).await
}

async fn write(tx: &mut Tx, after: &Host, drain_id: Option<i64>) -> Result<(), StoreError> {
    let written = sqlx::query!(
        "UPDATE scaler.host
         SET state = $3::text::scaler.host_state, state_since = $4, healthy_at = $5, address = $6::text::inet,
             subnet = $7, drain_id = $8, version = $9
         WHERE instance_id = $1 AND version = $2",
        after.id.as_str(),
        after.version - 1,
        after.state.name(),
        after.state.since(),
        after.healthy_at,
        address(after.address),
        after.subnet.as_ref().map(SubnetId::as_str),
        drain_id,
        after.version,
    )
    .execute(tx)
    .await?;
    match written.rows_affected() {
        1 => Ok(()),
        _ => Err(StoreError::Conflict(format!("host {} has changed meanwhile", after.id))),
    }
}

/// Keeps the drain's row in step with the host's state; gives the drain that the host is on or went.
async fn advance_drain(
    tx: &mut Tx,
    fence: &Fence,
    after: &Host,
    before: &Before,
    decision: Option<DecisionId>,
) -> Result<Option<i64>, StoreError> {
    match (&after.state, before.drain_id) {
        (HostState::Draining { drain }, None) => {
            begin_drain(tx, fence, &after.id, drain, decision).await.map(Some)
        }
        (HostState::Deregistered { since, deadline, .. }, Some(id)) => {
            sqlx::query!(
                "UPDATE scaler.drain SET deregistered_at = $2, deadline = $3 WHERE id = $1",
                id,
                since,
                deadline
            )
            .execute(tx)
            .await?;
            Ok(Some(id))
        }
        (HostState::Terminating { since, .. }, Some(id)) if before.state == "deregistered" => {
            sqlx::query!("UPDATE scaler.drain SET terminating_at = $2 WHERE id = $1", id, since)
                .execute(tx)
                .await?;
            Ok(Some(id))
        }
        (HostState::Terminated { since, .. }, Some(id)) => end_drain(tx, id, *since, "terminated").await,
        (HostState::Lost { since }, Some(id)) => end_drain(tx, id, *since, "lost").await,
        (state, Some(id)) if state.is_capacity() => {
            end_drain(tx, id, state.since(), "cancelled").await?;
            Ok(None)
        }
        (_, drain) => Ok(drain),
    }
}

async fn begin_drain(
    tx: &mut Tx,
    fence: &Fence,
    host: &InstanceId,
    drain: &Drain,
    decision: Option<DecisionId>,
) -> Result<i64, StoreError> {
    let groups: Vec<String> = drain.groups.iter().map(ToString::to_string).collect();
    Ok(sqlx::query_scalar!(
        "INSERT INTO scaler.drain (instance_id, fleet, decision_id, reason, groups, started_at)
         VALUES ($1, $2, $3, $4::text::scaler.drain_reason, $5, $6) RETURNING id",
        host.as_str(),
        fence.fleet.as_str(),
        decision.map(|id| id.0),
        drain.reason.as_str(),
        &groups,
        drain.started_at,
    )
    .fetch_one(tx)
    .await?)
}

async fn end_drain(
    tx: &mut Tx,
    id: i64,
    at: Timestamp,
    outcome: &'static str,
) -> Result<Option<i64>, StoreError> {
    sqlx::query!(
        "UPDATE scaler.drain SET ended_at = $2, outcome = $3::text::scaler.drain_outcome WHERE id = $1",
        id,
        at,
        outcome
    )
    .execute(tx)
    .await?;
    Ok(Some(id))
}

/// What the change says of the launch that bought the host: given up before it was ever healthy, it failed; healthy for
/// the first time, launches work.
async fn judge_launch(
    tx: &mut Tx,
    name: &FleetName,
    after: &Host,
    before: &Before,
) -> Result<(), StoreError> {
    let timed_out = matches!(&after.state, HostState::Draining { drain } if drain.reason == DrainReason::BootTimeout)
        && before.drain_id.is_none();
    let died_booting = matches!(after.state, HostState::Lost { .. })
        && before.healthy_at.is_none()
        && before.drain_id.is_none();
    if timed_out || died_booting {
        fleet::launch_failed(tx, name).await
    } else if before.healthy_at.is_none() && after.healthy_at.is_some() {
        fleet::launch_worked(tx, name).await
    } else {
        Ok(())
    }
}

/// Gives hosts their rows; those that have one already keep it. Gives how many are new.
pub(super) async fn insert(
    tx: &mut Tx,
    fence: &Fence,
    hosts: &[Host],
    kind: &'static str,
) -> Result<u64, StoreError> {
    let mut events = Vec::with_capacity(hosts.len());
    for host in hosts {
        if host.fleet != fence.fleet || host.state.drain().is_some() || host.state.is_final() {
            let state = host.state.name();
            return Err(StoreError::Refused(format!("host {} of {} is {state}", host.id, host.fleet)));
        }
        let inserted = sqlx::query!(
            "INSERT INTO scaler.host (instance_id, fleet, launch_id, zone, subnet, instance_type, address,
                 launched_at, healthy_at, state, state_since, version)
             VALUES ($1, $2, $3, $4, $5, $6, $7::text::inet, $8, $9, $10::text::scaler.host_state, $11, $12)
             ON CONFLICT (instance_id) DO NOTHING",
            host.id.as_str(),
            host.fleet.as_str(),
            host.launch.map(|id| id.0),
            host.zone.as_str(),
            host.subnet.as_ref().map(SubnetId::as_str),
            host.instance_type.as_str(),
            address(host.address),
            host.launched_at,
            host.healthy_at,
            host.state.name(),
            host.state.since(),
            host.version,
        )
        .execute(&mut *tx)
        .await?;
        if inserted.rows_affected() == 1 {
            events.push(Event::new(kind, &host.id, json(host)?));
        }
    }
    let ids: Vec<String> = hosts.iter().map(|host| host.id.to_string()).collect();
    sqlx::query!("DELETE FROM scaler.orphan WHERE instance_id = ANY($1)", &ids).execute(&mut *tx).await?;
    audit::append(tx, fence.fleet.as_str(), &events).await?;
    Ok(events.len() as u64)
}

/// Notes a sighting. Sightings that ended long ago are swept: whatever was seen then is gone.
pub(super) async fn orphan_sighted(
    tx: &mut Tx,
    fence: &Fence,
    orphan: &Orphan,
) -> Result<OrphanSightings, StoreError> {
    let now = lease::check(tx, fence).await?;
    sqlx::query!("DELETE FROM scaler.orphan WHERE last_at < clock_timestamp() - interval '1 day'")
        .execute(&mut *tx)
        .await?;
    let row = sqlx::query!(
        "INSERT INTO scaler.orphan AS o (instance_id, fleet, first_at, last_at, count) VALUES ($1, $2, $3, $3, 1)
         ON CONFLICT (instance_id) DO UPDATE
             SET last_at = greatest(o.last_at, excluded.last_at), count = o.count + 1, fleet = excluded.fleet
         RETURNING first_at, last_at, count",
        orphan.id.as_str(),
        orphan.fleet.as_str(),
        now,
    )
    .fetch_one(&mut *tx)
    .await?;
    if row.count == 1 {
        let data = json!({ "fleet": orphan.fleet });
        audit::append(tx, fence.fleet.as_str(), &[Event::new("orphan_sighted", &orphan.id, data)]).await?;
    }
    Ok(OrphanSightings { first: row.first_at, last: row.last_at, count: nat(row.count)? })
}

/// Hosts that count under the ceiling: all that exist and were not sent away for good.
pub(super) async fn live_count(tx: &mut Tx, fleet: &FleetName) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM scaler.host
           WHERE fleet = $1 AND state NOT IN ('terminating', 'terminated', 'lost')"#,
        fleet.as_str()
    )
    .fetch_one(tx)
    .await?)
}

/// How many hosts of a fleet carry a launch.
pub(super) async fn count_of_launch(tx: &mut Tx, launch: LaunchId) -> Result<i32, StoreError> {
    let count =
        sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM scaler.host WHERE launch_id = $1"#, launch.0)
            .fetch_one(tx)
            .await?;
    int(u32::try_from(count).unwrap_or(u32::MAX))
}
