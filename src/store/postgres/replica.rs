//! Who lives, and who holds what: what a replica needs to take its share of the fleets and no more.
//!
//! No lock is taken on the leases, and none is needed. A share that was reckoned from an old answer is unfair until the
//! next one; who may act is decided where a lease is taken.

use std::time::Duration;

use crate::domain::ids::{Epoch, FleetName, ReplicaId};
use crate::store::postgres::convert::secs;
use crate::store::postgres::session::Tx;
use crate::store::{Lease, Muster, StoreError};

/// Rows of replicas that ended without a word are kept so long, for people who wonder, and not for ever.
const DEAD_KEPT: Duration = Duration::from_hours(1);

pub(super) async fn muster(tx: &mut Tx, replica: &ReplicaId, span: Duration) -> Result<Muster, StoreError> {
    let now = sqlx::query_scalar!(
        r#"INSERT INTO scaler.replica AS r (name, seen_at, expires_at)
           SELECT $1, moment.now, moment.now + make_interval(secs => $2)
           FROM (SELECT clock_timestamp() AS now) AS moment
           ON CONFLICT (name) DO UPDATE
           SET seen_at = greatest(r.seen_at, EXCLUDED.seen_at),
               expires_at = greatest(r.seen_at, EXCLUDED.expires_at)
           RETURNING seen_at AS "now!""#,
        replica.as_str(),
        secs(span),
    )
    .fetch_one(&mut *tx)
    .await?;
    // Rows that another replica is deleting at this moment are left to it: two that wait for each other help nobody.
    sqlx::query!(
        r#"DELETE FROM scaler.replica WHERE name IN (
               SELECT name FROM scaler.replica
               WHERE expires_at < $1::timestamptz - make_interval(secs => $2) FOR UPDATE SKIP LOCKED)"#,
        now,
        secs(DEAD_KEPT),
    )
    .execute(&mut *tx)
    .await?;
    let replicas = sqlx::query_scalar!(
        r#"SELECT name FROM scaler.replica WHERE expires_at > $1 OR name = $2 ORDER BY name COLLATE "C""#,
        now,
        replica.as_str(),
    )
    .fetch_all(&mut *tx)
    .await?;
    let leases = sqlx::query!(
        r#"SELECT fleet, holder AS "holder!", epoch, expires_at AS "expires_at!"
           FROM scaler.lease WHERE holder IS NOT NULL"#
    )
    .fetch_all(tx)
    .await?;
    let leases = leases.into_iter().map(|row| {
        let holder = ReplicaId::new(row.holder);
        (FleetName::new(row.fleet), Lease { holder, epoch: Epoch(row.epoch), expires_at: row.expires_at })
    });
    Ok(Muster { now, replicas: replicas.into_iter().map(ReplicaId::new).collect(), leases: leases.collect() })
}

pub(super) async fn leave(tx: &mut Tx, replica: &ReplicaId) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM scaler.replica WHERE name = $1", replica.as_str()).execute(tx).await?;
    Ok(())
}
