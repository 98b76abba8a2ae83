//! Who lives, as the replicas tell each other. It gives no right: who may act is decided where a lease is taken.

use std::time::Duration;

use crate::domain::ids::ReplicaId;
use crate::domain::time::{Timestamp, after};
use crate::store::Muster;
use crate::store::memory::rows::Rows;
use crate::store::shared::bounded_span;

pub(super) fn muster(rows: &mut Rows, now: Timestamp, replica: &ReplicaId, span: Duration) -> Muster {
    // In Postgres the silent are kept for a while, for people who wonder; nobody wonders here.
    rows.replicas.retain(|_, expires_at| *expires_at > now);
    rows.replicas.insert(replica.clone(), after(now, bounded_span(span)));
    let leases = rows.fleets.iter().filter_map(|(fleet, row)| Some((fleet.clone(), row.lease.clone()?)));
    Muster { now, replicas: rows.replicas.keys().cloned().collect(), leases: leases.collect() }
}
