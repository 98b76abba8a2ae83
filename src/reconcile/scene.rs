//! Everything one tick sees before it judges: the rows, the cloud, the groups, and then the hosts' own numbers.
//!
//! The cloud is looked at *before* the rows are read. An instance that is launched in between then has a row and is not
//! in the list yet, which the grace for absence covers; the other way round it would look like an orphan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::config::fleet::FleetConfig;
use crate::decide::Snapshot;
use crate::decide::aggregate::{self, HostCounts, Sample};
use crate::decide::forecast::{self, Forecasts};
use crate::decide::policy::{Place, Policy, looks_back};
use crate::decide::signal::Observation;
use crate::decide::snapshot::{CloudView, Deregistration, HostView, OpenLaunch, Protection, Unserved};
use crate::domain::boot::BootTimes;
use crate::domain::failure::CloudError;
use crate::domain::host::{Host, HostState};
use crate::domain::ids::{InstanceId, OwnerName, TargetGroupArn, Zone};
use crate::domain::time::Timestamp;
use crate::reconcile::observe::{Body, GroupView, Groups, Lookout, Standing, World};
use crate::reconcile::references::References;
use crate::reconcile::{Parts, spans};
use crate::signals::{HarvestRequest, ScrapeTarget};
use crate::store::{StoreError, StoredFleet};

/// What one tick sees.
#[derive(Debug)]
pub struct Scene {
    /// The cloud's instances, or why they could not be had.
    pub world: Result<Arc<World>, CloudError>,
    /// The rows.
    pub stored: StoredFleet,
    /// The target groups of the fleet and of its drains.
    pub groups: Groups,
    /// The fleet's subnets with their zones; empty where they could not be looked up.
    pub places: Vec<Place>,
    /// Live instances with our tags and no row.
    pub orphans: u32,
    /// Hosts that live, and whose tags no longer say that they are this fleet's.
    pub quarantined: BTreeSet<InstanceId>,
    /// Where the balancer sends no traffic.
    pub unserved: Unserved,
    /// How long the fleet's last hosts took from launch to healthy; `None`: too few are known.
    pub boot_times: Option<BootTimes>,
    /// What load is expected.
    pub forecasts: Arc<Forecasts>,
    /// What could not be seen, a line each.
    pub faults: Vec<String>,
    /// Our own time passed when the rows had been read: their `now` is carried forward from here.
    pub read_at: Duration,
}

impl Scene {
    /// How long all but a twentieth of the last hosts took at most.
    #[must_use]
    pub fn boot_p95(&self) -> Option<Duration> {
        self.boot_times.as_ref().map(|times| times.p95)
    }
}

/// Looks at the cloud and reads the rows. Only a silent store fails it.
pub async fn read(
    parts: &Parts,
    lookout: &Lookout,
    config: &FleetConfig,
    references: &mut References,
) -> Result<Scene, StoreError> {
    references.refresh_joined(&*parts.store, config).await?;
    references.refresh_boots(&*parts.store, &*parts.clock, config).await?;
    let world = lookout.look(config.interval / 2).await;
    let rows = parts.store.fleet_load(&config.name, horizon(config), config.safety.budget_per);
    let stored = spans::within(&spans::rows(), rows).await?;
    let read_at = parts.clock.elapsed();
    let cloud = &*parts.cloud;
    let mut faults = Vec::new();
    let world = match world {
        Ok(world) => {
            let (world, error) = world.confirmed(cloud, stored.hosts.iter().map(|host| &host.id)).await;
            faults.extend(error.map(|error| format!("hosts that no list shows: {error}")));
            Ok(world)
        }
        Err(error) => Err(error),
    };
    let quarantined = quarantined(&world, lookout.owner(), &stored);
    faults.extend(quarantined.iter().map(|host| {
        format!("host {host}: its tags do not say any more that it is this fleet's; it is left alone")
    }));
    let groups = groups_of_interest(config, &stored, references.joined());
    let of_interest: Vec<_> = groups.iter().cloned().collect();
    references.refresh_groups(cloud, &*parts.clock, &of_interest).await;
    let groups = Groups::look(cloud, groups).await;
    let places = references.places(cloud, config).await.unwrap_or_else(|error| {
        faults.push(format!("subnets: {error}"));
        Vec::new()
    });
    faults.extend(world.as_ref().err().map(|error| format!("instances: {error}")));
    faults.extend(groups.0.iter().filter_map(|(arn, view)| match view {
        GroupView::Seen(_) => None,
        GroupView::Gone => Some(format!("target group {arn}: it does not exist any more")),
        GroupView::Unknown(error) => Some(format!("target group {arn}: {error}")),
    }));
    let unserved = unserved(config, &world, &stored, &groups);
    faults.extend(unserved.iter().map(|(zone, hosts)| {
        format!(
            "zone {zone}: not in use by a target group that {hosts} of its hosts are in (Target.NotInUse): enable the \
             zone on the load balancer, or take its subnets out of the fleet"
        )
    }));
    let unserved: BTreeSet<Zone> = unserved.into_keys().collect();
    let unserved = Unserved { lately: unserved.clone(), now: unserved };
    let boot_times = references.boot_times().cloned();
    Ok(Scene {
        world,
        stored,
        groups,
        places,
        orphans: 0,
        quarantined,
        unserved,
        boot_times,
        forecasts: Arc::default(),
        faults,
        read_at,
    })
}

/// The zones to which the balancer sends no traffic, each with the number of hosts that say so.
fn unserved(
    config: &FleetConfig,
    world: &Result<Arc<World>, CloudError>,
    stored: &StoredFleet,
    groups: &Groups,
) -> BTreeMap<Zone, u32> {
    let world = world.as_ref().ok().map(Arc::as_ref);
    let mut zones = BTreeMap::new();
    for host in stored.hosts.iter().filter(|host| host.state.is_capacity()) {
        let alive = matches!(Body::of(world, &host.id), Body::Alive(_));
        if alive && groups.standing(&config.balancer.target_groups, &host.id) == Standing::NotInUse {
            *zones.entry(host.zone.clone()).or_insert(0) += 1;
        }
    }
    zones
}

fn quarantined(
    world: &Result<Arc<World>, CloudError>,
    owner: &OwnerName,
    stored: &StoredFleet,
) -> BTreeSet<InstanceId> {
    let Ok(world) = world else { return BTreeSet::new() };
    let astray = stored.hosts.iter().filter(|host| world.is_astray(&host.id, owner, &host.fleet));
    astray.map(|host| host.id.clone()).collect()
}

/// How far back observations are of use, to the policy in force and to those that are tried beside it.
fn horizon(config: &FleetConfig) -> Duration {
    let tried = config.candidates.iter();
    let tried = tried.map(|candidate| looks_back(config.interval, &candidate.rules, &candidate.scale_in));
    tried.fold(looks_back(config.interval, &config.rules, &config.scale_in), Duration::max)
}

fn groups_of_interest(
    config: &FleetConfig,
    stored: &StoredFleet,
    joined: &[TargetGroupArn],
) -> BTreeSet<TargetGroupArn> {
    let drained = stored.hosts.iter().filter_map(|host| host.state.drain()).flat_map(|drain| &drain.groups);
    config.balancer.target_groups.iter().chain(joined).chain(drained).cloned().collect()
}

/// Asks the hosts for their numbers and puts everything together for the decision.
pub async fn snapshot(
    parts: &Parts,
    config: &FleetConfig,
    policy: Arc<Policy>,
    scene: &Scene,
    now: Timestamp,
) -> Snapshot {
    let current = observe(parts, config, &policy, scene, now).await;
    let stored = &scene.stored;
    Snapshot {
        now,
        hosts: stored.hosts.iter().map(|host| view(config, scene, host)).collect(),
        launches: stored
            .launches
            .iter()
            .map(|launch| OpenLaunch {
                id: launch.id,
                missing: launch.missing(),
                created_at: launch.created_at,
            })
            .collect(),
        orphans: scene.orphans,
        unserved: scene.unserved.clone(),
        current,
        window: stored.window.clone(),
        memory: stored.memory.clone(),
        requests: stored.requests.clone(),
        drains_in_budget: stored.drains_in_budget.clone(),
        pools: stored.pools.clone(),
        cloud: match &scene.world {
            Ok(_) => CloudView::Fresh,
            Err(error) => CloudView::Unknown(error.to_string()),
        },
        boot_time: scene.boot_p95(),
        forecasts: scene.forecasts.near(now, forecast::lead(scene.boot_p95(), config.interval)),
        policy,
    }
}

fn view(config: &FleetConfig, scene: &Scene, host: &Host) -> HostView {
    let world = scene.world.as_ref().ok().map(Arc::as_ref);
    let standing = scene.groups.standing(&config.balancer.target_groups, &host.id);
    let tag = world
        .and_then(|world| world.instances.get(&host.id))
        .and_then(|instance| instance.tags.get(&config.scale_in.protect_tag));
    let protection = match tag {
        _ if scene.quarantined.contains(&host.id) => Protection::Quarantined,
        Some(value) if value != "false" => Protection::Tagged,
        Some(_) | None => Protection::None,
    };
    let deregistration = if scene.stored.letting_go.contains(&host.id) {
        Deregistration::Sent
    } else {
        Deregistration::NotSent
    };
    HostView {
        host: host.clone(),
        seen: Body::of(world, &host.id).sighting(standing),
        protection,
        deregistration,
    }
}

async fn observe(
    parts: &Parts,
    config: &FleetConfig,
    policy: &Policy,
    scene: &Scene,
    now: Timestamp,
) -> Observation {
    let serving: Vec<_> = in_state(scene, |state| matches!(state, HostState::Healthy { .. })).collect();
    let targets = serving
        .iter()
        .filter_map(|host| host.address.map(|address| ScrapeTarget { host: host.id.clone(), address }))
        .collect();
    let request = HarvestRequest {
        fleet: config.name.clone(),
        hosts: targets,
        metrics: config.metrics.clone(),
        now: parts.clock.now(),
    };
    let harvest = parts.signals.harvest(&request).await;
    let mut faults = scene.faults.clone();
    faults.extend(harvest.faults.iter().map(|fault| format!("{}: {}", fault.source, fault.message)));
    let asked: Vec<_> = serving.iter().map(|host| host.id.clone()).collect();
    let observed = aggregate::observe(&Sample {
        at: now,
        asked: &asked,
        hosts: &harvest.hosts,
        queries: &harvest.queries,
        counts: counts(scene),
        quorum: config.metrics.host.quorum,
        needed: &policy.signals(),
        faults: &faults,
    });
    Observation {
        quarantined: scene.quarantined.iter().cloned().collect(),
        unserved: scene.unserved.now.iter().cloned().collect(),
        ..observed
    }
}

fn in_state(scene: &Scene, wanted: fn(&HostState) -> bool) -> impl Iterator<Item = &Host> {
    scene.stored.hosts.iter().filter(move |host| wanted(&host.state))
}

fn counts(scene: &Scene) -> HostCounts {
    let count = |wanted| u32::try_from(in_state(scene, wanted).count()).unwrap_or(u32::MAX);
    HostCounts {
        healthy: count(|state| matches!(state, HostState::Healthy { .. })),
        in_service: count(|state| matches!(state, HostState::Healthy { .. } | HostState::Unhealthy { .. })),
        pending: count(HostState::is_booting),
    }
}
