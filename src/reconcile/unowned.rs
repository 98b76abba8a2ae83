//! Instances that carry our owner's tag and belong to no fleet in force: shown, counted, alerted on, and never touched.
//!
//! Most often their fleet's file is gone. The process that saw it go says so; one that is started later never knew the
//! fleet, so it learns of it here, from the instances that still run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::ids::{FleetName, InstanceId};
use crate::domain::tags;
use crate::provider::{CloudInstance, InstanceState};
use crate::reconcile::observe::Lookout;
use crate::reconcile::{Parts, telemetry};

/// How often they are looked for.
const INTERVAL: Duration = Duration::from_secs(30);

/// Looks for them until it is told to stop. `fleets` are those in force.
pub(super) async fn watch(
    parts: Parts,
    lookout: Arc<Lookout>,
    fleets: watch::Receiver<Vec<FleetName>>,
    stop: CancellationToken,
) {
    let mut told = BTreeSet::new();
    while !stop.is_cancelled() {
        if let Ok(world) = lookout.look(INTERVAL).await {
            let in_force = fleets.borrow().clone();
            let mut unowned: Vec<_> =
                world.instances.values().filter(|instance| is_unowned(instance, &in_force)).collect();
            unowned.sort_unstable_by_key(|instance| (instance.launched_at, &instance.id));
            let oldest = unowned.first().map(|instance| instance.launched_at);
            telemetry::oldest_unowned(oldest, parts.clock.now());
            tell(&unowned, &mut told);
            say_whose(&parts, &unowned).await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = parts.clock.sleep(INTERVAL) => {}
        }
    }
}

fn is_unowned(instance: &CloudInstance, in_force: &[FleetName]) -> bool {
    let fleet = instance.tags.get(tags::FLEET);
    let has_one = fleet.is_some_and(|name| in_force.iter().any(|known| known.as_str() == name));
    !has_one && instance.state != InstanceState::Terminated
}

/// A line when they become others, not one at every look. They come oldest first.
fn tell(unowned: &[&CloudInstance], told: &mut BTreeSet<InstanceId>) {
    let now: BTreeSet<InstanceId> = unowned.iter().map(|instance| instance.id.clone()).collect();
    if now == *told {
        return;
    }
    if let Some(oldest) = unowned.first() {
        tracing::warn!(
            host = %oldest.id,
            fleet = oldest.tags.get(tags::FLEET),
            instances = now.len(),
            "instances with our owner's tag belong to no fleet in force; this one is the oldest"
        );
    } else {
        tracing::info!("no instance with our owner's tag is without a fleet any more");
    }
    *told = now;
}

/// Counts the fleets that have no file any more and had one once. Tags are anybody's to write, so no other name gets a
/// series.
async fn say_whose(parts: &Parts, unowned: &[&CloudInstance]) {
    let tagged: BTreeSet<FleetName> =
        unowned.iter().filter_map(|instance| instance.tags.get(tags::FLEET)).map(FleetName::new).collect();
    if tagged.is_empty() {
        return;
    }
    match parts.store.fleets().await {
        Ok(known) => {
            for fleet in known.iter().filter(|fleet| tagged.contains(*fleet)) {
                telemetry::configured(fleet, false);
            }
        }
        Err(error) => tracing::debug!(%error, "whose the instances without a fleet are is not known now"),
    }
}
