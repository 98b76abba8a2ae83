//! The highest load of every ten minutes, worked out where the observations lie. With eight days of them that takes a third
//! of a second; from then on it is a few hundred rows at a time.

use std::collections::BTreeSet;

use crate::decide::forecast::history::{BUCKET, LOOK_BACK, bucket};
use crate::decide::signal::{SignalName, split_host_signal};
use crate::domain::ids::FleetName;
use crate::domain::time::{Timestamp, before};
use crate::store::postgres::lease;
use crate::store::postgres::session::Tx;
use crate::store::{Fence, StoreError};

pub(super) async fn fold(
    tx: &mut Tx,
    fence: &Fence,
    signals: &BTreeSet<SignalName>,
) -> Result<(), StoreError> {
    let now = lease::check(tx, fence).await?;
    for signal in signals {
        sqlx::query!(
            "INSERT INTO scaler.load_history (fleet, signal, at, load)
             SELECT $1, $2, slot, max(load) FROM (
                 SELECT date_bin($3::float8 * interval '1 s', at, 'epoch') AS slot,
                        scaler.load_of(doc, $2, $4) AS load
                 FROM scaler.observation WHERE fleet = $1 AND at < $5 AND at >= coalesce(
                     (SELECT max(at) + $3::float8 * interval '1 s' FROM scaler.load_history
                      WHERE fleet = $1 AND signal = $2), '-infinity')) seen
             WHERE load IS NOT NULL GROUP BY slot ON CONFLICT DO NOTHING",
            fence.fleet.as_str(),
            signal,
            BUCKET.as_secs_f64(),
            split_host_signal(signal).is_some(),
            bucket(now),
        )
        .execute(&mut *tx)
        .await?;
    }
    sqlx::query!(
        "DELETE FROM scaler.load_history WHERE fleet = $1 AND at < $2",
        fence.fleet.as_str(),
        before(now, LOOK_BACK),
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn list(
    tx: &mut Tx,
    fleet: &FleetName,
    signal: &str,
) -> Result<Vec<(Timestamp, f64)>, StoreError> {
    let rows = sqlx::query!(
        "SELECT at, load FROM scaler.load_history WHERE fleet = $1 AND signal = $2 ORDER BY at",
        fleet.as_str(),
        signal,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.at, row.load)).collect())
}
