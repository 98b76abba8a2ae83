//! One observe and decide with nothing changed: what `plan` prints.

use std::sync::Arc;

use crate::config::fleet::FleetConfig;
use crate::decide::{Plan, Snapshot, decide};
use crate::domain::ids::OwnerName;
use crate::domain::time::after;
use crate::reconcile::observe::Lookout;
use crate::reconcile::references::References;
use crate::reconcile::sweep;
use crate::reconcile::{Parts, foresight, scene};
use crate::store::StoreError;

/// Observes one fleet as its loop would and decides. Writes nothing, sends no mutating call, takes no lease.
///
/// Rows are taken as they stand: a host that died a second ago is still counted until the loop has written that down. And
/// where a rate needs two scrapes, hosts are asked twice, an interval apart but not longer than five seconds.
pub async fn preview(
    parts: &Parts,
    owner: &OwnerName,
    fleet: &FleetConfig,
) -> Result<(Snapshot, Plan), StoreError> {
    let lookout = Lookout::new(Arc::clone(&parts.cloud), Arc::clone(&parts.clock), owner.clone());
    let mut references = References::default();
    let mut seen = scene::read(parts, &lookout, fleet, &mut references).await?;
    let moment = (seen.stored.now, seen.boot_p95());
    match foresight::as_it_stands(&*parts.store, fleet, moment).await {
        Ok(forecasts) => seen.forecasts = Arc::new(forecasts),
        Err(why) => seen.faults.push(format!("forecast: {why}")),
    }
    if let Ok(world) = &seen.world {
        let orphans = sweep::orphans(world, &fleet.name, &seen.stored).len();
        seen.orphans = u32::try_from(orphans).unwrap_or(u32::MAX);
    }
    let policy = Arc::new(fleet.policy(seen.places.clone()));
    let now = after(seen.stored.now, parts.clock.elapsed().saturating_sub(seen.read_at));
    let first = scene::snapshot(parts, fleet, Arc::clone(&policy), &seen, now).await;
    let snapshot = if fleet.metrics.host_needed && first.current.hosts_asked > 0 {
        parts.clock.sleep(fleet.interval.min(std::time::Duration::from_secs(5))).await;
        let now = after(seen.stored.now, parts.clock.elapsed().saturating_sub(seen.read_at));
        scene::snapshot(parts, fleet, policy, &seen, now).await
    } else {
        first
    };
    let plan = decide(&snapshot);
    Ok((snapshot, plan))
}
