//! How every fleet stands: a handful of statements for all fleets together, whose cost does not grow with what they have
//! been through.

use std::collections::BTreeMap;

use crate::decide::signal::Observation;
use crate::domain::ids::FleetName;
use crate::domain::time::Timestamp;
use crate::store::StoreError;
use crate::store::history::Standing;
use crate::store::postgres::fleet;
use crate::store::postgres::history::newest_heads;
use crate::store::postgres::session::Tx;

pub(in crate::store::postgres) async fn standings(tx: &mut Tx) -> Result<Vec<Standing>, StoreError> {
    let now = fleet::now(tx).await?;
    let mut hosts = host_counts(tx).await?;
    let mut counts = counts(tx, now).await?;
    let mut observed = observed(tx).await?;
    let newest = newest_heads(tx).await?.into_iter();
    let mut newest: BTreeMap<_, _> = newest.map(|head| (head.fleet.clone(), head)).collect();
    let standings = fleet::memories(tx).await?.into_iter().map(|(fleet, memory, lease)| {
        let counted = counts.remove(&fleet).unwrap_or_default();
        Standing {
            now,
            lease,
            memory,
            hosts: hosts.remove(&fleet).unwrap_or_default(),
            reserved: counted.reserved,
            pools_cooling: counted.pools_cooling,
            requests: counted.requests,
            last: newest.remove(&fleet),
            observed: observed.remove(&fleet),
            fleet,
        }
    });
    Ok(standings.collect())
}

async fn host_counts(tx: &mut Tx) -> Result<BTreeMap<FleetName, BTreeMap<String, u32>>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT fleet, state::text AS "state!", count(*) AS "count!" FROM scaler.host
           WHERE state NOT IN ('terminated', 'lost') GROUP BY fleet, state"#
    )
    .fetch_all(tx)
    .await?;
    let mut counts: BTreeMap<FleetName, BTreeMap<String, u32>> = BTreeMap::new();
    for row in rows {
        counts.entry(FleetName::new(row.fleet)).or_default().insert(row.state, amount(row.count));
    }
    Ok(counts)
}

/// What is counted of a fleet beside its hosts.
#[derive(Default)]
struct Counted {
    reserved: u32,
    pools_cooling: u32,
    requests: u32,
}

async fn counts(tx: &mut Tx, now: Timestamp) -> Result<BTreeMap<FleetName, Counted>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT s.fleet,
                  (SELECT coalesce(sum(l.count - l.launched), 0) FROM scaler.launch l
                   WHERE l.fleet = s.fleet AND l.state = 'open') AS "reserved!",
                  (SELECT count(*) FROM scaler.pool_health p
                   WHERE p.fleet = s.fleet AND p.cooling_until > $1) AS "pools!",
                  (SELECT count(*) FROM scaler.operator_action o
                   WHERE o.fleet = s.fleet AND o.kind IN ('set_size', 'drain')
                     AND NOT EXISTS (SELECT FROM scaler.operator_answer a WHERE a.action_id = o.id)) AS "requests!"
           FROM scaler.fleet_state s"#,
        now
    )
    .fetch_all(tx)
    .await?;
    let counted = rows.into_iter().map(|row| {
        let counted = Counted {
            reserved: amount(row.reserved),
            pools_cooling: amount(row.pools),
            requests: amount(row.requests),
        };
        (FleetName::new(row.fleet), counted)
    });
    Ok(counted.collect())
}

/// The newest observation of every fleet; one that this version cannot read counts as none.
async fn observed(tx: &mut Tx) -> Result<BTreeMap<FleetName, Observation>, StoreError> {
    let rows = sqlx::query!(
        "SELECT s.fleet, o.doc FROM scaler.fleet_state s CROSS JOIN LATERAL (
             SELECT doc FROM scaler.observation WHERE fleet = s.fleet ORDER BY at DESC LIMIT 1) o"
    )
    .fetch_all(tx)
    .await?;
    let readable = rows
        .into_iter()
        .filter_map(|row| Some((FleetName::new(row.fleet), serde_json::from_value(row.doc).ok()?)));
    Ok(readable.collect())
}

fn amount(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
