//! One tick of one fleet: lease, load, observe, decide, commit, act.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument as _;

use crate::config::fleet::FleetConfig;
use crate::decide::policy::Mode;
use crate::decide::{Plan, Snapshot};
use crate::domain::host::{Host, HostState};
use crate::domain::ids::{Epoch, InstanceId, Zone};
use crate::domain::time::{Timestamp, since};
use crate::provider::CloudProvider;
use crate::reconcile::calls::Caller;
use crate::reconcile::commit;
use crate::reconcile::desk::{Desk, LaunchGate};
use crate::reconcile::drain::{self, Stubborn};
use crate::reconcile::foresight::Foresight;
use crate::reconcile::launch::{self, Board};
use crate::reconcile::observe::Lookout;
use crate::reconcile::reads::Reads;
use crate::reconcile::references::References;
use crate::reconcile::scene::{self, Scene};
use crate::reconcile::sweep::{self, Absences};
use crate::reconcile::{Parts, spans, telemetry};
use crate::store::{Fence, LeaseAnswer, StoreError, StoredFleet, TakenOver};

/// One fleet's loop, as far as it lives in this process. Everything that matters is in the store; what is kept here may be
/// lost at any moment and only makes a tick cheaper or kinder.
pub struct FleetRunner {
    parts: Parts,
    reads: Arc<Reads>,
    lookout: Arc<Lookout>,
    lease: Duration,
    config: Arc<FleetConfig>,
    references: References,
    foresight: Foresight,
    absences: Absences,
    stubborn: Stubborn,
    quarantined: BTreeSet<InstanceId>,
    /// Zones that the balancer did not serve, and when that was seen last.
    unserved: BTreeMap<Zone, Timestamp>,
    settled: Option<Epoch>,
    fence: Option<Fence>,
}

/// What became of a tick.
#[derive(Clone, Debug, PartialEq)]
pub enum Ticked {
    /// Another replica holds the fleet.
    NotHeld,
    /// Observed, decided, acted.
    Done(Box<Plan>),
}

impl FleetRunner {
    /// A runner that knows nothing yet.
    #[must_use]
    pub fn new(parts: Parts, lookout: Arc<Lookout>, lease: Duration, config: Arc<FleetConfig>) -> Self {
        let reads = Reads::new(parts.cloud, Arc::clone(&parts.clock), config.name.clone());
        let reads = Arc::new(reads);
        let cloud: Arc<dyn CloudProvider> = Arc::clone(&reads) as Arc<dyn CloudProvider>;
        Self {
            parts: Parts { cloud, ..parts },
            reads,
            lookout,
            lease,
            config,
            references: References::default(),
            foresight: Foresight::default(),
            absences: Absences::new(),
            stubborn: Stubborn::new(),
            quarantined: BTreeSet::new(),
            unserved: BTreeMap::new(),
            settled: None,
            fence: None,
        }
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &FleetConfig {
        &self.config
    }

    /// Puts another version of the configuration in force, from the next tick on.
    pub fn reconfigure(&mut self, config: Arc<FleetConfig>) {
        let [before, now] = [&self.config, &config].map(|config| config.policy(Vec::new()));
        telemetry::signals_dropped(&config.name, before.signals().difference(&now.signals()));
        let [before, now] = [before, now].map(|policy| policy.forecast_signals());
        telemetry::forecasts_dropped(&config.name, before.difference(&now));
        telemetry::candidates_dropped(&config.name, &self.config, &config);
        self.config = config;
        self.references = References::default();
        self.foresight = Foresight::default();
    }

    /// One tick. An error leaves everything as the rows say; the next tick starts from them, and first gives the outcome
    /// `unknown` to what this one has sent and could not write down.
    pub async fn tick(&mut self) -> Result<Ticked, StoreError> {
        let ticked = self.turn().await;
        if ticked.is_err() {
            self.was_cut_off();
        }
        ticked
    }

    async fn turn(&mut self) -> Result<Ticked, StoreError> {
        let config = Arc::clone(&self.config);
        let parts = self.parts.clone();
        let lookout = Arc::clone(&self.lookout);
        let held = spans::within(&spans::lease(), self.hold(&config)).await?;
        let Some(fence) = held else { return Ok(Ticked::NotHeld) };
        spans::held(&fence);
        let observing = spans::observe();
        let seen = scene::read(&parts, &lookout, &config, &mut self.references);
        let mut scene = spans::within(&observing, seen).await?;
        let moment = (scene.stored.now, scene.boot_p95());
        let (forecasts, fault) = self.foresight.look(&*parts.store, &config, &fence, moment).await;
        scene.forecasts = forecasts;
        scene.faults.extend(fault);
        self.reads.note("DescribeInstances", "", &scene.world);
        self.note_unserved(&config, &mut scene);
        let desk = Desk {
            parts: &parts,
            fence: &fence,
            caller: Caller::new(&parts, &fence, self.lease),
            owner: lookout.owner(),
            fleet: &config,
            policy: Arc::new(config.policy(scene.places.clone())),
            unserved: scene.unserved.now.clone(),
            launching: launch_gate(&config, &scene.stored),
            clocks: (scene.stored.now, scene.read_at),
        };
        if scene.world.is_err() {
            // A look that failed says nothing of tags: what was somebody else's stays untouched until it is seen again.
            scene.quarantined.clone_from(&self.quarantined);
        }
        telemetry::quarantined(&config.name, &self.quarantined, &scene.quarantined);
        self.quarantined.clone_from(&scene.quarantined);
        desk.caller.renew().await?;
        let scene = spans::within(&observing, sweep_scene(&desk, scene, &mut self.absences)).await?;
        let policy = Arc::clone(&desk.policy);
        let snapshot = scene::snapshot(&parts, &config, policy, &scene, desk.now());
        let snapshot = Arc::new(snapshot.instrument(observing).await);
        let plan = spans::decide().in_scope(|| crate::decide::decide(&snapshot));
        desk.caller.renew().await?;
        let committed =
            spans::within(&spans::commit(), commit::commit(&desk, &scene, &snapshot, &plan)).await?;
        spans::decided(&plan, &committed);
        telemetry::decided(&config, &snapshot, &plan, &committed);
        if let (Mode::Live, commit::Committed::Yes { .. }) = (config.mode, &committed) {
            spans::within(&spans::act(), self.act(&desk, scene, &snapshot, committed)).await?;
        }
        if desk.caller.left_unrecorded() {
            self.was_cut_off();
        }
        Ok(Ticked::Done(Box::new(plan)))
    }

    /// A host's time to become healthy begins when the balancer serves its zone. How long ago that was is known from
    /// memory only: after a restart a host may be given up that was just about to serve.
    fn note_unserved(&mut self, config: &FleetConfig, scene: &mut Scene) {
        let now = scene.stored.now;
        telemetry::unserved(&config.name, &self.unserved, &scene.unserved.now);
        self.unserved.extend(scene.unserved.now.iter().map(|zone| (zone.clone(), now)));
        self.unserved.retain(|_, seen| since(now, *seen) <= config.launch.boot_timeout);
        scene.unserved.lately.extend(self.unserved.keys().cloned());
    }

    /// Keeps the lease between two ticks that are further apart than it lasts.
    pub async fn keep(&mut self) -> Result<(), StoreError> {
        if self.fence.is_some() {
            let config = Arc::clone(&self.config);
            self.hold(&config).await?;
        }
        Ok(())
    }

    /// Notes that a tick was cut off in the middle: what it had sent is settled before the next one.
    pub fn was_cut_off(&mut self) {
        self.settled = None;
    }

    /// Whether the lease was ours when it was last asked for.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.fence.is_some()
    }

    /// Whether the lease may pass to another replica now: no call of ours is out that the next tick would settle.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.fence.as_ref().is_some_and(|fence| self.settled == Some(fence.epoch))
    }

    /// Gives the lease back, so that another replica need not wait for it to run out.
    pub async fn release(&mut self) {
        let Some(fence) = self.fence.take() else { return };
        telemetry::lease(&fence.fleet, false);
        if let Err(error) = self.parts.store.lease_release(&fence).await {
            tracing::warn!(fleet = %fence.fleet, %error, "the lease could not be given back; it runs out by itself");
        }
    }

    /// Takes or keeps the lease; on taking it over, settles what earlier holders left unanswered.
    async fn hold(&mut self, config: &FleetConfig) -> Result<Option<Fence>, StoreError> {
        let answer = self.parts.store.lease_take(&config.name, &self.parts.replica, self.lease).await?;
        telemetry::lease(&config.name, matches!(answer, LeaseAnswer::Held { .. }));
        let LeaseAnswer::Held { fence, taken_over, .. } = answer else {
            self.fence = None;
            return Ok(None);
        };
        self.fence = Some(fence.clone());
        if taken_over == TakenOver::Yes || self.settled != Some(fence.epoch) {
            let settled = self.parts.store.calls_settle_abandoned(&fence).await?;
            tracing::info!(fleet = %fence.fleet, epoch = %fence.epoch, unanswered_calls = settled, "took the lease");
            self.settled = Some(fence.epoch);
        }
        Ok(Some(fence))
    }

    /// Moves every intent and every host on its way one step.
    async fn act(
        &mut self,
        desk: &Desk<'_>,
        scene: Scene,
        snapshot: &Snapshot,
        committed: commit::Committed,
    ) -> Result<(), StoreError> {
        let commit::Committed::Yes { hosts, launches, desired, .. } = committed else { return Ok(()) };
        let world = scene.world.as_ref().ok().map(Arc::clone);
        let capacity = hosts.iter().filter(|host| host.state.is_capacity()).count();
        let capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
        // An orphan will be adopted: what waits to be bought in its place is called off.
        let live = capacity.saturating_add(scene.orphans);
        let launches = launch::abandon_unwanted(desk, launches, live, desired).await?;
        let known =
            hosts.iter().map(|host| host.id.clone()).chain(scene.stored.ended.iter().cloned()).collect();
        let mut board = Board { hosts, known, pools: scene.stored.pools.clone() };
        for intent in launches {
            launch::launch_step(desk, intent, &mut board).await?;
        }
        // What does not carry our tags is not ours to call for, whatever its row says.
        board.hosts.retain(|host| !scene.quarantined.contains(&host.id));
        let hosts = drain::register_hosts(desk, board.hosts, &scene.groups).await?;
        let hosts = drain::deregister_hosts(desk, hosts, &scene.groups, &self.references).await?;
        // A pause in the middle of a drain finishes the deregistration and holds the termination.
        let held = snapshot.memory.pause_in.as_ref().is_some_and(|pause| pause.holds(desk.now()));
        let hosts: Vec<Host> = hosts
            .into_iter()
            .filter(|host| !held || matches!(host.state, HostState::Terminating { .. }))
            .collect();
        drain::terminate_hosts(desk, &hosts, world.as_deref(), &scene.groups, &mut self.stubborn).await
    }
}

/// Whether fresh launch calls may be sent: not while a person paused them, nor while the breaker is open.
fn launch_gate(config: &FleetConfig, stored: &StoredFleet) -> LaunchGate {
    let gate = LaunchGate::default();
    let paused = stored.memory.pause_out.as_ref().is_some_and(|pause| pause.holds(stored.now));
    if paused || stored.memory.breaker_is_open(&config.safety, stored.now) {
        gate.close();
    }
    gate
}

/// Writes down what was seen.
async fn sweep_scene(
    desk: &Desk<'_>,
    mut scene: Scene,
    absences: &mut Absences,
) -> Result<Scene, StoreError> {
    let world = scene.world.as_ref().ok().map(Arc::clone);
    let hosts = std::mem::take(&mut scene.stored.hosts);
    let before: BTreeSet<_> = hosts.iter().map(|host| host.id.clone()).collect();
    let hosts = sweep::advance_hosts(desk, hosts, world.as_deref(), &scene.groups, absences).await?;
    scene.stored.ended.extend(before.into_iter().filter(|id| hosts.iter().all(|host| host.id != *id)));
    scene.stored.hosts = hosts;
    if let Some(world) = &world {
        let orphans = sweep::orphans(world, &desk.fleet.name, &scene.stored);
        let adopted = sweep::adopt_orphans(desk, &orphans).await?;
        scene.orphans = u32::try_from(orphans.len() - adopted.len()).unwrap_or(u32::MAX);
        scene.stored.hosts.extend(adopted);
        scene.stored.hosts.sort_by(|a, b| a.id.cmp(&b.id));
    }
    absences.retain(|id, _| scene.stored.hosts.iter().any(|host| host.id == *id));
    Ok(scene)
}
