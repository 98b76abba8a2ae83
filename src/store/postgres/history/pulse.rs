//! What changes while somebody looks on, and who was turned away.

use std::collections::BTreeMap;

use crate::domain::ids::FleetName;
use crate::store::StoreError;
use crate::store::history::{Pulse, Refusal};
use crate::store::postgres::session::Tx;
use crate::store::shared::bounded;

/// The head of each fleet's chain, and its newest observation: two looks at an index a fleet.
pub(in crate::store::postgres) async fn pulses(
    tx: &mut Tx,
) -> Result<BTreeMap<FleetName, Pulse>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT s.fleet AS "fleet!", coalesce(c.seq, 0) AS "seq!",
                  (SELECT max(o.at) FROM scaler.observation o WHERE o.fleet = s.fleet) AS observed_at
           FROM scaler.fleet_state s LEFT JOIN scaler.event_chain c ON c.fleet = s.fleet"#
    )
    .fetch_all(tx)
    .await?;
    let pulses = rows
        .into_iter()
        .map(|row| (FleetName::new(row.fleet), Pulse { seq: row.seq, observed_at: row.observed_at }));
    Ok(pulses.collect())
}

/// Counts what was turned away.
pub(in crate::store::postgres) async fn refuse(tx: &mut Tx, refusals: &[Refusal]) -> Result<(), StoreError> {
    for refusal in refusals.iter().filter(|refusal| refusal.count > 0) {
        sqlx::query!(
            "INSERT INTO scaler.refused_request AS r (hour, cause, token, count, first_at, last_at, last_peer,
                 last_request)
             SELECT date_trunc('hour', t.now, 'UTC'), $1, $2, $3, t.now, t.now, $4, $5
             FROM (SELECT clock_timestamp() AS now) t
             ON CONFLICT (hour, cause, token) DO UPDATE
                 SET count = r.count + excluded.count, last_at = greatest(r.last_at, excluded.last_at),
                     last_peer = excluded.last_peer, last_request = excluded.last_request",
            refusal.cause,
            bounded(&refusal.token),
            i64::from(refusal.count),
            bounded(&refusal.peer),
            bounded(&refusal.request),
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}
