//! What every part of one simulated day has in common: the time, the cloud, the store, and the state of the simulation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

use fleet_scaler::config::fleet::FleetConfig;
use fleet_scaler::domain::ids::{FleetName, InstanceId, ReplicaId, TargetGroupArn};
use fleet_scaler::domain::launch::RunRequest;
use fleet_scaler::domain::time::Timestamp;
use fleet_scaler::provider::simulated::SimulatedCloud;
use fleet_scaler::provider::simulated::model::faults::Fault;
use fleet_scaler::provider::{CloudProvider as _, TargetId};
use fleet_scaler::store::history::History;

use crate::book::Book;
use crate::bugs::Bug;
use crate::clock::Time;
use crate::mishap::Script;
use crate::tally::Tally;
use crate::trace::Trace;

/// How long a replica may hold a fleet without renewing.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

/// A promise that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// `I4`.
    pub(crate) invariant: &'static str,
    /// What was seen.
    pub(crate) what: String,
}

/// One simulated day.
pub(crate) struct World {
    pub(crate) time: Arc<Time>,
    pub(crate) cloud: SimulatedCloud,
    pub(crate) store: Arc<dyn History>,
    pub(crate) bug: Option<Bug>,
    state: Mutex<State>,
}

/// What changes in the course of it.
pub(crate) struct State {
    pub(crate) rng: ChaCha12Rng,
    pub(crate) book: Book,
    pub(crate) trace: Trace,
    pub(crate) tally: Tally,
    pub(crate) violation: Option<Violation>,
    pub(crate) steps: u64,
    pub(crate) database: Database,
    pub(crate) network: Network,
    pub(crate) metrics: Metrics,
    /// The fleets as they really are configured, whatever a bug makes of it.
    pub(crate) fleets: BTreeMap<FleetName, Arc<FleetConfig>>,
    /// Of each process and fleet: hosts that were asked in the last harvest, and those that truly answered.
    pub(crate) harvests: BTreeMap<(ReplicaId, FleetName), (usize, usize)>,
    /// The next entry of the cloud's journal that nobody has judged.
    pub(crate) journal_next: u64,
    /// Instances whose tags somebody changed by hand, and when.
    pub(crate) retagged: BTreeMap<InstanceId, Timestamp>,
    /// Instances that a registration reached after its caller had given it up, and when.
    pub(crate) registered_late: BTreeMap<InstanceId, Timestamp>,
    /// For a story of the crash matrix: its steps, and what goes wrong at one of them.
    pub(crate) script: Option<Script>,
}

/// How the database is.
#[derive(Debug, Default)]
pub(crate) struct Database {
    /// It does not answer until then.
    pub(crate) down_until: Option<Timestamp>,
    /// How often a write is done and its reply lost.
    pub(crate) reply_lost: f64,
}

/// How the way to the cloud is.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// How often a call is given up by its caller and arrives all the same, later.
    pub(crate) late: f64,
    /// Such calls.
    pub(crate) under_way: Vec<(Timestamp, LateCall)>,
}

/// A call that its caller has given up.
#[derive(Clone, Debug)]
pub(crate) enum LateCall {
    Run(Box<RunRequest>),
    Register(TargetGroupArn, Vec<InstanceId>),
    Deregister(TargetGroupArn, Vec<TargetId>),
    Terminate(Vec<InstanceId>),
}

/// What the hosts have to tell.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// The load, in hosts at full work.
    pub(crate) load: f64,
    /// How far hosts differ from one another.
    pub(crate) noise: f64,
    /// Share of the hosts that do not answer.
    pub(crate) silent: f64,
    /// Whether one host says that it is idle, whatever it does.
    pub(crate) liar: bool,
}

impl World {
    pub(crate) fn new(
        seed: u64,
        time: Arc<Time>,
        cloud: SimulatedCloud,
        store: Arc<dyn History>,
        bug: Option<Bug>,
        aloud: bool,
    ) -> Self {
        let state = State {
            rng: ChaCha12Rng::seed_from_u64(seed ^ 0x5EED_CAFE),
            book: Book::default(),
            trace: Trace::new(aloud),
            tally: Tally::default(),
            violation: None,
            steps: 0,
            database: Database::default(),
            network: Network::default(),
            metrics: Metrics::default(),
            fleets: BTreeMap::new(),
            harvests: BTreeMap::new(),
            journal_next: 0,
            retagged: BTreeMap::new(),
            registered_late: BTreeMap::new(),
            script: None,
        };
        Self { time, cloud, store, bug, state: Mutex::new(state) }
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.time.now()
    }

    /// Notes a line of the story.
    pub(crate) fn note(&self, who: &str, what: &str) {
        let at = self.time.elapsed();
        self.state().trace.note(at, who, what);
    }

    /// Says that a promise did not hold. The first one counts.
    pub(crate) fn fail(&self, invariant: &'static str, what: impl Into<String>) {
        let what = what.into();
        self.note("checker", &format!("{invariant} VIOLATED: {what}"));
        self.state().violation.get_or_insert(Violation { invariant, what });
    }

    /// Whether the database answers just now.
    pub(crate) fn database_is_up(&self) -> bool {
        let now = self.now();
        self.state().database.down_until.is_none_or(|until| now >= until)
    }

    /// A number in `[0, 1)`.
    pub(crate) fn unit(&self) -> f64 {
        self.state().rng.random_range(0.0..1.0)
    }

    /// Somebody changes a tag by hand.
    pub(crate) fn change_tag(&self, instance: &InstanceId, key: &str, value: &str) {
        let set = [(key.to_owned(), value.to_owned())].into();
        let fault = Fault::ChangeTags { instance: instance.clone(), set, remove: BTreeSet::new() };
        if self.cloud.set_fault(fault).is_ok() {
            let now = self.now();
            self.state().retagged.insert(instance.clone(), now);
        }
    }

    /// Lets calls arrive that are due.
    pub(crate) fn deliver_late(&self) {
        let now = self.now();
        let due: Vec<LateCall> = {
            let mut state = self.state();
            let (due, left): (Vec<_>, Vec<_>) =
                std::mem::take(&mut state.network.under_way).into_iter().partition(|(at, _)| *at <= now);
            state.network.under_way = left;
            due.into_iter().map(|(_, call)| call).collect()
        };
        for call in due {
            self.note("network", &format!("delivers late: {call:?}"));
            // What comes of it nobody hears.
            let done = self.arrive(&call).now_or_never();
            match (done, call) {
                (Some(true), LateCall::Terminate(hosts)) => self.state().book.terminated.extend(hosts),
                // Its reply may be lost as well: it may have been done, whatever was answered.
                (Some(_), LateCall::Register(_, hosts)) => {
                    self.state().registered_late.extend(hosts.into_iter().map(|host| (host, now)));
                }
                _ => {}
            }
            self.judge_journal();
        }
    }

    async fn arrive(&self, call: &LateCall) -> bool {
        match call {
            LateCall::Run(request) => self.cloud.run_instances(request).await.is_ok(),
            LateCall::Register(group, hosts) => self.cloud.register(group, hosts).await.is_ok(),
            LateCall::Deregister(group, targets) => self.cloud.deregister(group, targets).await.is_ok(),
            LateCall::Terminate(hosts) => self.cloud.terminate(hosts).await.is_ok(),
        }
    }
}
