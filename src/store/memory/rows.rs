//! The tables. What they hold is public, so that a checker can look at a whole history; what merely finds it faster is
//! not. Every collection is ordered, so that the same run gives the same bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::decide::inputs::Inputs;
use crate::decide::plan::{Answer, Plan};
use crate::decide::policy::Mode;
use crate::decide::signal::{Observation, SignalName};
use crate::decide::snapshot::{FleetMemory, PoolHealth};
use crate::domain::failure::CloudError;
use crate::domain::host::{Drain, Host, HostState, Step};
use crate::domain::ids::{
    AttemptId, CallId, ClientToken, DecisionId, Epoch, FleetName, InstanceId, LaunchId, OperatorActionId,
    Pool, ReplicaId, TargetGroupArn,
};
use crate::domain::launch::{Attempt, Launch};
use crate::domain::time::Timestamp;
use crate::store::memory::event::EventRow;
use crate::store::{CloudCall, ConfigChange, Lease, OperatorAction};

/// Everything that is remembered.
#[derive(Debug, Default)]
pub struct Rows {
    /// Replicas that said they live, and until when their word holds.
    pub replicas: BTreeMap<ReplicaId, Timestamp>,
    /// Every fleet ever known.
    pub fleets: BTreeMap<FleetName, FleetRow>,
    /// Every host ever owned.
    pub hosts: BTreeMap<InstanceId, HostRow>,
    /// Every change of every host, in order; the first one says how it came.
    pub moves: BTreeMap<InstanceId, Vec<HostMove>>,
    /// Every way out that a host was ever on, by number.
    pub drains: BTreeMap<u64, DrainRow>,
    /// Every intent.
    pub launches: BTreeMap<LaunchId, LaunchRow>,
    /// Every attempt.
    pub attempts: BTreeMap<AttemptId, AttemptRow>,
    /// Every mutating call, in the order in which they were begun.
    pub calls: Vec<CallRow>,
    /// What people did.
    pub actions: BTreeMap<OperatorActionId, ActionRow>,
    /// Instances with our tags and no row.
    pub orphans: BTreeMap<InstanceId, OrphanRow>,
    /// Configurations that were applied or refused, in order.
    pub configurations: Vec<ConfigRow>,
    /// Requests that were turned away, by hour, cause and token.
    pub refusals: BTreeMap<(Timestamp, &'static str, String), RefusalRow>,
    /// What happened, in one order over all fleets; the oldest are dropped beyond the bound.
    pub events: VecDeque<EventRow>,
    /// The number of the newest event.
    pub(super) newest_event: u64,
    /// Every decision ever recorded, those too that were dropped beyond the bound.
    pub(super) decided: BTreeMap<DecisionId, (FleetName, Timestamp)>,
    pub(super) tokens: BTreeMap<ClientToken, AttemptId>,
    pub(super) unresolved: BTreeMap<LaunchId, AttemptId>,
    pub(super) bought: BTreeMap<LaunchId, BTreeSet<InstanceId>>,
    pub(super) call_places: BTreeMap<CallId, usize>,
}

/// One fleet.
#[derive(Debug)]
pub struct FleetRow {
    /// When it was first heard of.
    pub first_seen_at: Timestamp,
    /// Who may act for it; `None`: nobody ever did.
    pub lease: Option<Lease>,
    /// Every time the lease changed hands or was given back, in order.
    pub lease_changes: Vec<LeaseChange>,
    /// What is remembered between ticks, the pauses included.
    pub memory: FleetMemory,
    /// What was observed, by tick.
    pub window: BTreeMap<Timestamp, Observation>,
    /// The highest load of every ten minutes, of signals that are forecast.
    pub loads: BTreeMap<SignalName, BTreeMap<Timestamp, f64>>,
    /// Pools that refused and have not recovered.
    pub pools: BTreeMap<Pool, PoolHealth>,
    /// Decisions, oldest first; the oldest are dropped beyond the bound, the newest never.
    pub decisions: VecDeque<Decided>,
    pub(super) alive: BTreeSet<InstanceId>,
    pub(super) ended: BTreeSet<(Timestamp, InstanceId)>,
    pub(super) open_launches: BTreeSet<LaunchId>,
    /// Drains that cost budget.
    pub(super) spent: BTreeSet<(Timestamp, u64)>,
    pub(super) unanswered: BTreeSet<(Timestamp, OperatorActionId)>,
    /// Places of calls without an outcome.
    pub(super) out: BTreeSet<usize>,
    /// When a call to deregister last named the instance.
    pub(super) let_go: BTreeMap<InstanceId, Timestamp>,
    /// Groups that a call to register named with the instance.
    pub(super) joined: BTreeMap<InstanceId, BTreeSet<TargetGroupArn>>,
}

impl FleetRow {
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            first_seen_at: at,
            lease: None,
            lease_changes: Vec::new(),
            memory: FleetMemory::default(),
            window: BTreeMap::new(),
            loads: BTreeMap::new(),
            pools: BTreeMap::new(),
            decisions: VecDeque::new(),
            alive: BTreeSet::new(),
            ended: BTreeSet::new(),
            open_launches: BTreeSet::new(),
            spent: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            out: BTreeSet::new(),
            let_go: BTreeMap::new(),
            joined: BTreeMap::new(),
        }
    }
}

/// What became of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseChange {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub holder: ReplicaId,
    /// Under which number.
    pub epoch: Epoch,
    /// What.
    pub change: LeaseMove,
}

/// How a lease moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseMove {
    /// It changed hands, and the epoch rose.
    Taken {
        /// Who held it last.
        before: Option<ReplicaId>,
    },
    /// It was given back.
    Released,
}

/// One host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostRow {
    /// The host as it stands.
    pub host: Host,
    /// When its row was written.
    pub recorded_at: Timestamp,
    /// The number of the way out that it is on or went.
    pub drain: Option<u64>,
}

/// One change of one host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostMove {
    /// When it was committed.
    pub at: Timestamp,
    /// Under which number of the lease.
    pub epoch: Epoch,
    /// The state after it.
    pub state: HostState,
    /// The version after it.
    pub version: i64,
    /// How it came to it.
    pub cause: MoveCause,
}

/// Why a host's row was written.
#[derive(Clone, Debug, PartialEq)]
pub enum MoveCause {
    /// It was bought.
    Launched,
    /// It was an orphan.
    Adopted,
    /// It took a step; `None`: only what the cloud says of it changed.
    Step {
        /// Which.
        step: Option<Step>,
        /// The decision that wanted it.
        decision: Option<DecisionId>,
    },
}

/// One way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainRow {
    /// Whose.
    pub host: InstanceId,
    /// Its fleet.
    pub fleet: FleetName,
    /// The decision that chose it; `None`: it was not a decision's.
    pub decision: Option<DecisionId>,
    /// Why, since when, and out of which groups.
    pub drain: Drain,
    /// When every group had been told, and the deadline that runs from then.
    pub deregistered: Option<(Timestamp, Timestamp)>,
    /// When the cloud was asked to terminate it.
    pub terminating_at: Option<Timestamp>,
    /// When it was over, and how.
    pub ended: Option<(Timestamp, DrainOutcome)>,
}

/// How a way out ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainOutcome {
    /// By our termination.
    Terminated,
    /// Taken back.
    Cancelled,
    /// The host died first.
    Lost,
}

/// One intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchRow {
    /// The intent as it stands. Its unresolved attempt is among the attempts, and not in here.
    pub launch: Launch,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// The fleet.
    pub fleet: FleetName,
    /// The attempt: token, zone, request, outcome, when it was opened.
    pub attempt: Attempt,
    /// Whether the outcome of one of its calls was ever unknown.
    pub in_doubt: bool,
}

/// One mutating call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRow {
    /// What was to be sent.
    pub call: CloudCall,
    /// When it was recorded, before it was sent.
    pub at: Timestamp,
    /// By whom.
    pub replica: ReplicaId,
    /// Under which number of the lease.
    pub epoch: Epoch,
    /// What came of it; `None`: it is still out.
    pub end: Option<CallEnd>,
}

/// The one outcome of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallEnd {
    /// When it was recorded.
    pub at: Timestamp,
    /// `ok`, `refused`, `throttled` or `unknown`.
    pub outcome: &'static str,
    /// What it failed with.
    pub failure: Option<CloudError>,
    /// The instances it gave.
    pub instances: Vec<InstanceId>,
    /// The cloud's id of the request.
    pub request_id: Option<String>,
    /// How long it took; `None`: given up by a process that is gone.
    pub duration: Option<Duration>,
}

/// One decision, or a run of the same quiet one.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// Its id.
    pub id: DecisionId,
    /// When it was committed.
    pub at: Timestamp,
    /// By whom.
    pub replica: ReplicaId,
    /// Under which number of the lease.
    pub epoch: Epoch,
    /// Whether it was acted on.
    pub mode: Mode,
    /// What it said.
    pub plan: Plan,
    /// What makes two quiet ones the same.
    pub signature: String,
    /// What it was made from; `None`: that is too long ago.
    pub inputs: Option<Inputs>,
    /// That it was made again, unchanged; `None`: it was not.
    pub run: Option<Run>,
    /// The intents that it committed.
    pub launches: Vec<LaunchId>,
    /// The ways out that it began, by number.
    pub drains: Vec<u64>,
}

/// How often a quiet decision was made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How often it was made, the first time included.
    pub count: i64,
    /// When it was last made.
    pub last_at: Timestamp,
    /// The id of that last time: a commit that is repeated is not counted twice.
    pub last_id: DecisionId,
}

/// What one person did.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionRow {
    /// When.
    pub at: Timestamp,
    /// What, by whom, and why.
    pub action: OperatorAction,
    /// The decision that answered it, when, and what it said.
    pub answer: Option<(DecisionId, Timestamp, Answer)>,
}

/// One instance with our tags and no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanRow {
    /// What its fleet tag says.
    pub fleet: FleetName,
    /// When it was first seen.
    pub first_at: Timestamp,
    /// When it was last seen.
    pub last_at: Timestamp,
    /// How often.
    pub count: u32,
}

/// One configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigRow {
    /// When.
    pub at: Timestamp,
    /// What it was, and what became of it.
    pub change: ConfigChange,
}

/// Requests that were turned away within one hour, for one cause, with one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalRow {
    /// How many.
    pub count: i64,
    /// When the first of them was written down.
    pub first_at: Timestamp,
    /// When the last of them was written down.
    pub last_at: Timestamp,
    /// Where the last of them came from.
    pub last_peer: String,
    /// What the last of them asked for.
    pub last_request: String,
}

impl Rows {
    /// Every call of a fleet, in the order in which they were begun.
    pub fn calls_of<'a>(&'a self, fleet: &'a FleetName) -> impl Iterator<Item = &'a CallRow> {
        self.calls.iter().filter(move |row| row.call.fleet == *fleet)
    }

    /// Every host of a fleet that is not final, by id.
    pub fn alive<'a>(&'a self, fleet: &FleetName) -> impl Iterator<Item = &'a Host> + use<'a> {
        let alive = self.fleets.get(fleet).into_iter().flat_map(|row| &row.alive);
        alive.filter_map(|id| self.hosts.get(id)).map(|row| &row.host)
    }

    /// Every intent of a fleet that is open, by id.
    pub fn open_launches<'a>(&'a self, fleet: &FleetName) -> impl Iterator<Item = &'a Launch> + use<'a> {
        let open = self.fleets.get(fleet).into_iter().flat_map(|row| &row.open_launches);
        open.filter_map(|id| self.launches.get(id)).map(|row| &row.launch)
    }

    /// The attempts of a launch, by ordinal.
    #[must_use]
    pub fn attempts_of(&self, launch: LaunchId) -> Vec<&AttemptRow> {
        let mut attempts: Vec<_> =
            self.attempts.values().filter(|row| row.attempt.launch == launch).collect();
        attempts.sort_by_key(|row| row.attempt.ordinal);
        attempts
    }

    /// The attempt of a launch whose outcome is not known.
    #[must_use]
    pub fn unresolved(&self, launch: LaunchId) -> Option<&AttemptRow> {
        self.unresolved.get(&launch).and_then(|id| self.attempts.get(id))
    }

    /// Hosts that carry a launch, those too that are gone.
    #[must_use]
    pub fn hosts_of(&self, launch: LaunchId) -> usize {
        self.bought.get(&launch).map_or(0, BTreeSet::len)
    }
}
