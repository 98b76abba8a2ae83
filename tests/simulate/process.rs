//! One process of the service: its clock, its ways to the outside, and the loops of its fleets, each driven one step at a
//! time. Killed, it keeps nothing; frozen, it keeps everything and misses what happens.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use fleet_scaler::config::fleet::FleetConfig;
use fleet_scaler::domain::ids::{FleetName, OwnerName, ReplicaId};
use fleet_scaler::domain::time::{Timestamp, after};
use fleet_scaler::entropy::ChaChaEntropy;
use fleet_scaler::reconcile::Parts;
use fleet_scaler::reconcile::observe::Lookout;
use fleet_scaler::reconcile::tick::{FleetRunner, Ticked};
use fleet_scaler::store::StoreError;

use crate::clock::HostClock;
use crate::run::OWNER;
use crate::seam_cloud::SeamCloud;
use crate::seam_signals::SeamSignals;
use crate::seam_store::{Private, SeamStore};
use crate::world::{LEASE, World};

type Tick = Pin<Box<dyn Future<Output = (FleetRunner, Result<Ticked, StoreError>)> + Send>>;

/// What one fleet's loop is doing.
enum Loop {
    /// Waiting for its next tick.
    Resting(Box<FleetRunner>, Timestamp),
    /// In the middle of one.
    Ticking(Tick),
    /// For the moment in which it changes from one to the other.
    Between,
}

/// One process.
pub(crate) struct Process {
    pub(crate) name: ReplicaId,
    pub(crate) clock: Arc<HostClock>,
    pub(crate) frozen_until: Option<Timestamp>,
    loops: BTreeMap<FleetName, Loop>,
}

impl Process {
    /// A fresh one, which knows nothing.
    pub(crate) fn start(
        world: &Arc<World>,
        name: &str,
        seed: u64,
        fleets: &BTreeMap<FleetName, Arc<FleetConfig>>,
    ) -> Self {
        let name = ReplicaId::new(name);
        let clock = Arc::new(HostClock::new(Arc::clone(&world.time)));
        let parts = Parts {
            replica: name.clone(),
            clock: Arc::clone(&clock) as _,
            entropy: Arc::new(ChaChaEntropy::seeded(seed)),
            cloud: Arc::new(SeamCloud { world: Arc::clone(world), replica: name.clone() }),
            signals: Arc::new(SeamSignals { world: Arc::clone(world), replica: name.clone() }),
            store: Arc::new(SeamStore {
                world: Arc::clone(world),
                replica: name.clone(),
                private: Mutex::new(Private::default()),
            }),
        };
        let lookout =
            Arc::new(Lookout::new(Arc::clone(&parts.cloud), Arc::clone(&parts.clock), OwnerName::new(OWNER)));
        let loops = fleets.iter().map(|(fleet, config)| {
            let config = Arc::new(bent(world, config));
            let runner = FleetRunner::new(parts.clone(), Arc::clone(&lookout), LEASE, config);
            (fleet.clone(), Loop::Resting(Box::new(runner), world.now()))
        });
        Self { loops: loops.collect(), name, clock, frozen_until: None }
    }

    pub(crate) fn is_frozen(&self, now: Timestamp) -> bool {
        self.frozen_until.is_some_and(|until| now < until)
    }

    /// Starts the ticks that are due, and gives the fleets that have a step to take.
    pub(crate) fn ready(&mut self, world: &Arc<World>) -> Vec<FleetName> {
        let now = world.now();
        if self.is_frozen(now) {
            return Vec::new();
        }
        self.frozen_until = None;
        let mut ready = Vec::new();
        for (fleet, state) in &mut self.loops {
            if matches!(state, Loop::Resting(_, at) if *at <= now)
                && let Loop::Resting(runner, _) = std::mem::replace(state, Loop::Between)
            {
                let mut runner = *runner;
                *state = Loop::Ticking(Box::pin(async move {
                    let ticked = runner.tick().await;
                    (runner, ticked)
                }));
            }
            if matches!(state, Loop::Ticking(_)) {
                ready.push(fleet.clone());
            }
        }
        ready
    }

    /// The next moment at which this process has something to do by itself.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        let rests = self.loops.values().filter_map(|state| match state {
            Loop::Resting(_, at) => Some(*at),
            Loop::Ticking(_) | Loop::Between => None,
        });
        let next = rests.min();
        match (self.frozen_until, next) {
            (Some(until), Some(at)) => Some(until.max(at)),
            (Some(until), None) => Some(until),
            (None, next) => next,
        }
    }

    /// One step of one fleet's tick. Gives how the tick ended, if it did.
    pub(crate) fn step(
        &mut self,
        world: &Arc<World>,
        fleet: &FleetName,
    ) -> Option<Result<Ticked, StoreError>> {
        let state = self.loops.get_mut(fleet)?;
        let Loop::Ticking(tick) = state else { return None };
        let mut context = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready((runner, ticked)) = tick.as_mut().poll(&mut context) else { return None };
        let rest = runner.config().interval;
        *state = Loop::Resting(Box::new(runner), after(world.now(), rest));
        Some(ticked)
    }

    /// Puts another version of a fleet's file in force. A tick that is under way ends with what it began with.
    pub(crate) fn reconfigure(&mut self, world: &World, config: &Arc<FleetConfig>) -> bool {
        match self.loops.get_mut(&config.name) {
            Some(Loop::Resting(runner, _)) => {
                runner.reconfigure(Arc::new(bent(world, config)));
                true
            }
            Some(Loop::Ticking(_) | Loop::Between) | None => false,
        }
    }

    /// Lets every loop begin its next tick at once, as a poke from outside does.
    pub(crate) fn poke(&mut self, now: Timestamp) {
        for state in self.loops.values_mut() {
            if let Loop::Resting(_, at) = state {
                *at = (*at).min(after(now, Duration::from_millis(1)));
            }
        }
    }
}

/// The configuration as the planted bug, if any, makes the loop see it.
fn bent(world: &World, config: &FleetConfig) -> FleetConfig {
    let mut config = config.clone();
    if let Some(bug) = world.bug {
        bug.bend(&mut config);
    }
    config
}
