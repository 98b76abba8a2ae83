//! How often a fleet's candidates wanted another size than was decided. Each answer stands in the plan of the decision
//! that was made instead, and a run of the same quiet decision has the same answers, so one row counts for all of it.

use crate::domain::ids::DecisionId;
use crate::store::StoreError;
use crate::store::history::{CandidateTally, TallyQuery};
use crate::store::postgres::session::Tx;

/// A run counts as late as its last repetition; none is longer than a quarter of an hour. Plans are large, so only the
/// newest so many decisions are opened, however far back is asked for.
pub(in crate::store::postgres) async fn tallies(
    tx: &mut Tx,
    query: &TallyQuery,
) -> Result<Vec<CandidateTally>, StoreError> {
    let rows = sqlx::query!(
        r#"WITH lately AS (
               SELECT d.id, d.at, d.size_wanted, d.plan -> 'candidates' AS candidates,
                      coalesce(r.last_at, d.at) AS last_at, coalesce(r.count, 1) AS count
               FROM scaler.decision d LEFT JOIN scaler.decision_run r ON r.decision_id = d.id
               WHERE d.fleet = $1 AND d.at >= $2::timestamptz - interval '1 hour' AND coalesce(r.last_at, d.at) >= $2
               ORDER BY d.at DESC, d.id DESC LIMIT $3)
           SELECT c.name AS "name!", min(l.at) AS "since!", sum(l.count)::bigint AS "evaluations!",
                  coalesce(sum(l.count) FILTER (WHERE c.size_wanted > l.size_wanted), 0)::bigint AS "larger!",
                  coalesce(sum(l.count) FILTER (WHERE c.size_wanted < l.size_wanted), 0)::bigint AS "smaller!",
                  (sum(l.count * (c.size_wanted - l.size_wanted)) / sum(l.count))::float8 AS "hosts_more!",
                  (array_agg(l.id ORDER BY l.at DESC) FILTER (WHERE c.size_wanted <> l.size_wanted))[1] AS decision,
                  max(l.last_at) FILTER (WHERE c.size_wanted <> l.size_wanted) AS differed_at
           FROM lately l
           CROSS JOIN LATERAL jsonb_to_recordset(coalesce(l.candidates, '[]')) AS c(name text, size_wanted bigint)
           GROUP BY c.name ORDER BY c.name"#,
        query.fleet.as_str(),
        query.since,
        i64::from(query.decisions),
    )
    .fetch_all(tx)
    .await?;
    let tallies = rows.into_iter().map(|row| CandidateTally {
        name: row.name,
        since: row.since,
        evaluations: row.evaluations,
        larger: row.larger,
        smaller: row.smaller,
        hosts_more: row.hosts_more,
        differed: row.decision.map(DecisionId).zip(row.differed_at),
    });
    Ok(tallies.collect())
}
