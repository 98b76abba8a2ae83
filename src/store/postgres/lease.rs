//! Who may act for a fleet. The row that says so is also the fleet's mutex.
//!
//! The clock is read in a query of its own level, above the locked row: in `SELECT … FOR UPDATE` it would be read before
//! the wait for the lock, and a lease that ran out meanwhile would look alive.

use std::time::Duration;

use serde_json::json;

use crate::domain::ids::{Epoch, FleetName, ReplicaId};
use crate::domain::time::Timestamp;
use crate::store::postgres::audit::{self, Event};
use crate::store::postgres::convert::secs;
use crate::store::postgres::session::Tx;
use crate::store::{Fence, LeaseAnswer, StoreError, TakenOver};

/// A fleet's lease row, locked until the transaction ends.
struct Locked {
    holder: Option<String>,
    epoch: i64,
    expires_at: Option<Timestamp>,
    now: Timestamp,
}

impl Locked {
    /// Who holds it now, and until when.
    fn live(&self) -> Option<(&str, Timestamp)> {
        let (holder, expires_at) = (self.holder.as_deref()?, self.expires_at?);
        (self.now < expires_at).then_some((holder, expires_at))
    }
}

async fn lock_row(tx: &mut Tx, fleet: &FleetName) -> Result<Option<Locked>, StoreError> {
    Ok(sqlx::query_as!(
        Locked,
        r#"WITH locked AS MATERIALIZED (
               SELECT holder, epoch, expires_at FROM scaler.lease WHERE fleet = $1 FOR UPDATE)
           SELECT holder AS "holder?", epoch AS "epoch!", expires_at AS "expires_at?", clock_timestamp() AS "now!"
           FROM locked"#,
        fleet.as_str()
    )
    .fetch_optional(tx)
    .await?)
}

async fn lock_or_create(tx: &mut Tx, fleet: &FleetName) -> Result<Locked, StoreError> {
    if let Some(locked) = lock_row(tx, fleet).await? {
        return Ok(locked);
    }
    sqlx::query!("INSERT INTO scaler.fleet_state (fleet) VALUES ($1) ON CONFLICT DO NOTHING", fleet.as_str())
        .execute(&mut *tx)
        .await?;
    sqlx::query!("INSERT INTO scaler.lease (fleet) VALUES ($1) ON CONFLICT DO NOTHING", fleet.as_str())
        .execute(&mut *tx)
        .await?;
    let locked = lock_row(tx, fleet).await?;
    locked.ok_or_else(|| StoreError::Conflict(format!("fleet {fleet} has no lease row; try again")))
}

/// Makes the fleet known if it is not, and keeps every other writer of it out until the transaction ends. For what
/// needs no lease: facts, and what people do.
pub(super) async fn lock(tx: &mut Tx, fleet: &FleetName) -> Result<Timestamp, StoreError> {
    Ok(lock_or_create(tx, fleet).await?.now)
}

/// Whether the fence stands; it then does until the transaction ends. Gives the time.
pub(super) async fn check(tx: &mut Tx, fence: &Fence) -> Result<Timestamp, StoreError> {
    let fenced = || StoreError::Fenced { fleet: fence.fleet.clone(), epoch: fence.epoch };
    let locked = lock_row(tx, &fence.fleet).await?.ok_or_else(fenced)?;
    let (holder, _) = locked.live().ok_or_else(fenced)?;
    if holder == fence.replica.as_str() && locked.epoch == fence.epoch.0 {
        Ok(locked.now)
    } else {
        Err(fenced())
    }
}

pub(super) async fn take(
    tx: &mut Tx,
    fleet: &FleetName,
    replica: &ReplicaId,
    span: Duration,
) -> Result<LeaseAnswer, StoreError> {
    let locked = lock_or_create(tx, fleet).await?;
    let taken_over = match locked.live() {
        Some((holder, expires_at)) if holder != replica.as_str() => {
            return Ok(LeaseAnswer::Other { holder: ReplicaId::new(holder), expires_at });
        }
        Some(_) => TakenOver::No,
        // It ran out, or was given back, and nobody else has acted since: nothing needs fencing off.
        None if locked.holder.as_deref() == Some(replica.as_str()) => TakenOver::No,
        None => TakenOver::Yes,
    };
    let epoch = match taken_over {
        TakenOver::Yes => locked.epoch + 1,
        TakenOver::No => locked.epoch,
    };
    let expires_at = sqlx::query_scalar!(
        r#"UPDATE scaler.lease
           SET holder = $2, epoch = $3, expires_at = $4::timestamptz + make_interval(secs => $5)
           WHERE fleet = $1 RETURNING expires_at AS "expires_at!""#,
        fleet.as_str(),
        replica.as_str(),
        epoch,
        locked.now,
        secs(span),
    )
    .fetch_one(&mut *tx)
    .await?;
    if taken_over == TakenOver::Yes {
        let data = json!({ "holder": replica, "epoch": epoch, "before": locked.holder });
        audit::append(tx, fleet.as_str(), &[Event::new("lease_taken", fleet, data)]).await?;
    }
    let fence = Fence { fleet: fleet.clone(), replica: replica.clone(), epoch: Epoch(epoch) };
    Ok(LeaseAnswer::Held { fence, expires_at, taken_over })
}

/// Ends the lease now, so that whoever takes it next need not wait.
pub(super) async fn release(tx: &mut Tx, fence: &Fence) -> Result<(), StoreError> {
    let now = check(tx, fence).await?;
    sqlx::query!("UPDATE scaler.lease SET expires_at = $2 WHERE fleet = $1", fence.fleet.as_str(), now)
        .execute(&mut *tx)
        .await?;
    let data = json!({ "holder": fence.replica, "epoch": fence.epoch });
    audit::append(tx, fence.fleet.as_str(), &[Event::new("lease_released", &fence.fleet, data)]).await
}
