//! A fleet's past as a series: of each part the indexes say which row is its point, and only those rows are read. So it
//! takes as long as there are points, however many observations lie between them.

use std::time::Duration;

use crate::domain::time::{Timestamp, since};
use crate::store::StoreError;
use crate::store::history::{Sample, SeriesQuery};
use crate::store::postgres::convert::nat;
use crate::store::postgres::session::Tx;

/// Of each part the last observation, and of the parts before the first one that is kept the last decision's own. Beside it
/// the size wanted at the end of the part.
pub(in crate::store::postgres) async fn samples(
    tx: &mut Tx,
    query: &SeriesQuery,
) -> Result<Vec<Sample>, StoreError> {
    let step = micros(query.step());
    let parts = micros(since(query.until, query.since)).saturating_add(step - 1) / step;
    let rows = sqlx::query!(
        r#"WITH kept AS (SELECT coalesce(min(at), 'infinity') AS since FROM scaler.observation WHERE fleet = $1),
                parts AS (
                    SELECT part, $2::timestamptz + interval '1 microsecond' * (part * $4::int8) AS begins,
                           least($3, $2::timestamptz + interval '1 microsecond' * ((part + 1) * $4::int8)) AS ends
                    FROM generate_series(0, $5::int8 - 1) part),
                points AS (
                    SELECT p.part, p.ends, coalesce(seen.at, made.at) AS at, seen.at IS NULL AS decided
                    FROM parts p CROSS JOIN kept
                    LEFT JOIN LATERAL (
                        SELECT o.at FROM scaler.observation o
                        WHERE o.fleet = $1 AND o.at >= p.begins AND o.at < p.ends
                        ORDER BY o.at DESC LIMIT 1) seen ON true
                    LEFT JOIN LATERAL (
                        SELECT d.at FROM scaler.decision d
                        WHERE seen.at IS NULL AND d.fleet = $1 AND d.at >= p.begins
                          AND d.at < least(p.ends, kept.since)
                        ORDER BY d.at DESC LIMIT 1) made ON true
                    WHERE seen.at IS NOT NULL OR made.at IS NOT NULL)
           SELECT p.at AS "at!",
                  CASE WHEN p.decided
                       THEN (SELECT d.plan -> 'observation' FROM scaler.decision d
                             WHERE d.fleet = $1 AND d.at = p.at LIMIT 1)
                       ELSE (SELECT o.doc FROM scaler.observation o WHERE o.fleet = $1 AND o.at = p.at)
                       END AS "doc!",
                  (SELECT d.size_wanted FROM scaler.decision d
                   WHERE d.fleet = $1 AND d.at < p.ends ORDER BY d.at DESC LIMIT 1) AS wanted
           FROM points p ORDER BY p.part"#,
        query.fleet.as_str(),
        query.since,
        query.until,
        step,
        parts,
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().filter_map(|row| sample(row.at, row.doc, row.wanted).transpose()).collect()
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// A row that this version cannot read is left out, as a gap.
fn sample(at: Timestamp, doc: serde_json::Value, wanted: Option<i32>) -> Result<Option<Sample>, StoreError> {
    match serde_json::from_value(doc) {
        Ok(observation) => Ok(Some(Sample { observation, wanted: wanted.map(nat).transpose()? })),
        Err(error) => {
            tracing::warn!(%at, %error, "an observation cannot be read");
            Ok(None)
        }
    }
}
