//! The highest load of every ten minutes, worked out where the observations lie.

use crate::decide::forecast::history::{BUCKET, LOOK_BACK, bucket};
use crate::decide::signal::split_host_signal;
use crate::domain::ids::FleetName;
use crate::domain::time::{Timestamp, before};
use crate::store::postgres::lease;
use crate::store::postgres::session::Tx;
use crate::store::{Fence, StoreError};

/// Observations that one transaction goes through: a sixth of a second's work.
const FOLDED_MOST: i64 = 20_000;

/// From `from` on, or from where the last time ended; where to go on, if there is more.
pub(super) async fn fold(
    tx: &mut Tx,
    fence: &Fence,
    signal: &str,
    from: Option<Timestamp>,
) -> Result<Option<Timestamp>, StoreError> {
    let now = lease::check(tx, fence).await?;
    let (fleet, end, oldest) = (fence.fleet.as_str(), bucket(now), before(now, LOOK_BACK));
    sqlx::query!("DELETE FROM scaler.load_history WHERE fleet = $1 AND at < $2", fleet, oldest)
        .execute(&mut *tx)
        .await?;
    let from = match from {
        Some(from) => from,
        None => sqlx::query_scalar!(
            "SELECT max(at) + $3::float8 * interval '1 s' FROM scaler.load_history WHERE fleet = $1 AND signal = $2",
            fleet,
            signal,
            BUCKET.as_secs_f64(),
        )
        .fetch_one(&mut *tx)
        .await?
        .unwrap_or(oldest),
    };
    let more = sqlx::query_scalar!(
        "SELECT at FROM scaler.observation WHERE fleet = $1 AND at >= $2 AND at < $3 ORDER BY at LIMIT 1 OFFSET $4",
        fleet,
        from,
        end,
        FOLDED_MOST,
    )
    .fetch_optional(&mut *tx)
    .await?;
    // Whole buckets only; one that alone has more observations than that is gone through all the same.
    let more = more.map(bucket).filter(|more| *more > from);
    sqlx::query!(
        "INSERT INTO scaler.load_history (fleet, signal, at, load)
         SELECT $1, $2, slot, max(load) FROM (
             SELECT date_bin($3::float8 * interval '1 s', at, 'epoch') AS slot,
                    scaler.load_of(doc, $2, $4) AS load
             FROM scaler.observation WHERE fleet = $1 AND at >= $5 AND at < $6) seen
         WHERE load IS NOT NULL GROUP BY slot ON CONFLICT DO NOTHING",
        fleet,
        signal,
        BUCKET.as_secs_f64(),
        split_host_signal(signal).is_some(),
        from,
        more.unwrap_or(end),
    )
    .execute(tx)
    .await?;
    Ok(more)
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
