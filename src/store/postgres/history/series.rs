//! A fleet's past as a series: which rows are its points is found in the indexes alone, and only those rows are read.

use std::time::Duration;

use crate::domain::time::Timestamp;
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
    let rows = sqlx::query!(
        r#"WITH kept AS (SELECT coalesce(min(at), 'infinity') AS since FROM scaler.observation WHERE fleet = $1),
                known AS (
                    SELECT o.at, false AS decided FROM scaler.observation o
                    WHERE o.fleet = $1 AND o.at >= $2 AND o.at < $3
                    UNION ALL
                    SELECT d.at, true FROM scaler.decision d, kept
                    WHERE d.fleet = $1 AND d.at >= $2 AND d.at < $3 AND d.at < kept.since),
                parts AS (
                    SELECT (extract(epoch FROM k.at - $2) * 1000000)::int8 / $4::int8 AS part, k.at, k.decided
                    FROM known k),
                points AS (SELECT DISTINCT ON (part) part, at, decided FROM parts ORDER BY part, at DESC)
           SELECT p.at AS "at!",
                  CASE WHEN p.decided
                       THEN (SELECT d.plan -> 'observation' FROM scaler.decision d
                             WHERE d.fleet = $1 AND d.at = p.at LIMIT 1)
                       ELSE (SELECT o.doc FROM scaler.observation o WHERE o.fleet = $1 AND o.at = p.at)
                       END AS "doc!",
                  (SELECT d.size_wanted FROM scaler.decision d
                   WHERE d.fleet = $1
                     AND d.at < least($3, $2::timestamptz + interval '1 microsecond' * ((p.part + 1) * $4::int8))
                   ORDER BY d.at DESC LIMIT 1) AS wanted
           FROM points p ORDER BY p.part"#,
        query.fleet.as_str(),
        query.since,
        query.until,
        micros(query.step()),
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
