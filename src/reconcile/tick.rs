//! One tick of one fleet: lease, load, observe, decide, commit, act.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::config::fleet::FleetConfig;
use crate::decide::policy::{Mode, Policy};
use crate::decide::snapshot::{FleetMemory, PoolHealth};
use crate::decide::{Plan, Snapshot};
use crate::domain::host::{Host, HostState, Step};
use crate::domain::ids::{Epoch, OwnerName, Pool};
use crate::domain::time::{Timestamp, after, since};
use crate::reconcile::calls::Caller;
use crate::reconcile::commit;
use crate::reconcile::drain::{self, Stubborn};
use crate::reconcile::launch::{self, Board};
use crate::reconcile::observe::Lookout;
use crate::reconcile::pace;
use crate::reconcile::references::References;
use crate::reconcile::scene::{self, Scene};
use crate::reconcile::sweep::{self, Absences};
use crate::reconcile::{Parts, telemetry};
use crate::store::{Fence, HostChange, LeaseAnswer, StoreError, TakenOver};

/// One fleet's loop, as far as it lives in this process. Everything that matters is in the store; what is kept here may be
/// lost at any moment and only makes a tick cheaper or kinder.
pub struct FleetRunner {
    parts: Parts,
    lookout: Arc<Lookout>,
    lease: Duration,
    config: Arc<FleetConfig>,
    references: References,
    absences: Absences,
    stubborn: Stubborn,
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

/// What one tick works with. Times are the database's clock, carried forward by ours.
pub struct Desk<'a> {
    /// The contracts.
    pub parts: &'a Parts,
    /// For every write.
    pub fence: &'a Fence,
    /// The way to mutating calls.
    pub caller: Caller<'a>,
    /// Whose instances these are.
    pub owner: &'a OwnerName,
    /// The fleet's configuration.
    pub fleet: &'a FleetConfig,
    /// Its policy, with places looked up.
    pub policy: Arc<Policy>,
    /// Whether a person has paused launches.
    pub pause_out: bool,
    /// The database's clock when the rows were read, and ours at that moment.
    clocks: (Timestamp, Timestamp),
}

impl Desk<'_> {
    /// The database's clock now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        after(self.clocks.0, since(self.parts.clock.now(), self.clocks.1))
    }

    /// A pool after one more refusal.
    #[must_use]
    pub fn cooled(&self, earlier: Option<&PoolHealth>, pool: &Pool) -> PoolHealth {
        let launch = &self.fleet.launch;
        let cooldown = (launch.pool_cooldown, launch.pool_cooldown_max);
        pace::pool_refused(earlier, pool.clone(), self.now(), cooldown, &*self.parts.entropy)
    }

    /// Takes one step of a host's life and writes it down. A host that somebody else changed meanwhile, or that cannot
    /// take the step, stays as it is; the next tick looks again.
    pub async fn advance(&self, host: Host, step: Step) -> Result<Host, StoreError> {
        let after = match host.clone().advance(&step, self.now()) {
            Ok(after) => after,
            Err(illegal) => {
                tracing::error!(fleet = %host.fleet, %illegal, "a step that cannot be taken was asked for");
                return Ok(host);
            }
        };
        let change = HostChange { after, step: Some(step) };
        match self.parts.store.host_advance(self.fence, &change).await {
            Ok(()) => {
                telemetry::host_advanced(&host, &change.after);
                Ok(change.after)
            }
            Err(StoreError::Conflict(why)) => {
                tracing::info!(fleet = %host.fleet, host = %host.id, why, "the host changed meanwhile");
                Ok(host)
            }
            Err(error) => Err(error),
        }
    }
}

impl FleetRunner {
    /// A runner that knows nothing yet.
    #[must_use]
    pub fn new(parts: Parts, lookout: Arc<Lookout>, lease: Duration, config: Arc<FleetConfig>) -> Self {
        Self {
            parts,
            lookout,
            lease,
            config,
            references: References::default(),
            absences: Absences::new(),
            stubborn: Stubborn::new(),
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
        self.config = config;
        self.references = References::default();
    }

    /// One tick. An error leaves everything as the rows say; the next tick starts from them.
    pub async fn tick(&mut self) -> Result<Ticked, StoreError> {
        let config = Arc::clone(&self.config);
        let parts = self.parts.clone();
        let lookout = Arc::clone(&self.lookout);
        let Some(fence) = self.hold(&config).await? else { return Ok(Ticked::NotHeld) };
        let read_at = parts.clock.now();
        let scene = scene::read(&parts, &lookout, &config, &mut self.references).await?;
        let desk = Desk {
            parts: &parts,
            fence: &fence,
            caller: Caller::new(&parts, &fence, self.lease),
            owner: lookout.owner(),
            fleet: &config,
            policy: Arc::new(config.policy(scene.places.clone())),
            pause_out: pause_holds(&scene.stored.memory, scene.stored.now),
            clocks: (scene.stored.now, read_at),
        };
        let scene = sweep_scene(&desk, scene, &mut self.absences).await?;
        let policy = Arc::clone(&desk.policy);
        let snapshot = scene::snapshot(&parts, &config, policy, &scene, desk.now()).await;
        let plan = crate::decide::decide(&snapshot);
        let committed = commit::commit(&desk, &scene, &snapshot, &plan).await?;
        telemetry::decided(&config, &snapshot, &plan, &committed);
        if let (Mode::Live, commit::Committed::Yes { .. }) = (config.mode, &committed) {
            self.act(&desk, scene, &snapshot, committed).await?;
        }
        Ok(Ticked::Done(Box::new(plan)))
    }

    /// Gives the lease back, so that another replica need not wait for it to run out.
    pub async fn release(&mut self) {
        let Some(fence) = self.fence.take() else { return };
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
        let commit::Committed::Yes { hosts, launches, desired } = committed else { return Ok(()) };
        let world = scene.world.as_ref().ok().map(Arc::clone);
        let capacity = hosts.iter().filter(|host| host.state.is_capacity()).count();
        let capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
        let launches = launch::abandon_unwanted(desk, launches, capacity, desired).await?;
        let known =
            hosts.iter().map(|host| host.id.clone()).chain(scene.stored.ended.iter().cloned()).collect();
        let mut board = Board { hosts, known, pools: scene.stored.pools.clone() };
        for intent in launches {
            launch::launch_step(desk, intent, &mut board).await?;
        }
        let hosts = drain::register_hosts(desk, board.hosts).await?;
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

fn pause_holds(memory: &FleetMemory, now: Timestamp) -> bool {
    memory.pause_out.as_ref().is_some_and(|pause| pause.holds(now))
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
