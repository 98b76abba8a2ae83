//! What is remembered, and the only ways in which it changes.
//!
//! Every write of a lease holder carries a [`Fence`]; the store refuses it, whole, when the lease has changed hands or
//! run out. Every method is one transaction: it happened or it did not. All times are the store's own clock.

pub mod embedded;
pub mod history;
pub mod memory;
pub mod postgres;
mod shared;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::decide::inputs::Basis;
use crate::decide::plan::Plan;
use crate::decide::policy::Mode;
use crate::decide::signal::Observation;
use crate::decide::snapshot::{FleetMemory, OperatorRequest, PoolHealth};
use crate::domain::boot::Boot;
use crate::domain::failure::FailureClass;
use crate::domain::host::{Host, Step};
use crate::domain::ids::{
    AttemptId, CallId, ClientToken, DecisionId, Epoch, FleetName, InstanceId, LaunchId, ReplicaId,
    TargetGroupArn, Zone,
};
use crate::domain::launch::{AbandonReason, Attempt, AttemptOutcome, Launch};
pub use crate::domain::operation::Operation;
pub use crate::domain::operator::{Direction, OperatorAction, OperatorActionKind};
use crate::domain::time::Timestamp;

/// The scaler's memory.
///
/// Contract, for every implementation:
///
/// - A method with a fence commits only if that replica holds that fleet at that epoch and the lease has not expired, all
///   judged by the store's clock inside the transaction; else [`StoreError::Fenced`] and nothing changed.
/// - [`StoreError::Unavailable`] from a write means *unknown*: it may have been committed. Ids are the caller's, so the
///   same write again either succeeds, or finds its row and succeeds: [`Store::decision_commit`],
///   [`Store::attempt_open`], [`Store::call_begin`] and [`Store::operator_act`] are idempotent by id, however far things
///   have come since; [`Store::attempt_resolve`], [`Store::call_end`], [`Store::launch_abandon`] and
///   [`Store::host_adopt`] by what they settle. [`Store::host_advance`] is compare-and-set: a step that was taken after
///   all is a conflict, and the rows show it. [`Store::attempt_defer`] and [`Store::orphan_sighted`] count once more,
///   which only makes somebody wait.
/// - Every change of a launch or a host writes its event in the same transaction.
#[async_trait]
pub trait Store: Send + Sync {
    /// The store's clock.
    async fn now(&self) -> Result<Timestamp, StoreError>;
    /// Whether the schema is the one this program was built for.
    async fn schema_check(&self) -> Result<(), StoreError>;

    /// Takes, keeps or takes over a fleet's lease. A take-over raises the epoch; keeping it does not, and neither does a
    /// holder that comes back to a lease that ran out while nobody else took it. Replicas' names must differ.
    async fn lease_take(
        &self,
        fleet: &FleetName,
        replica: &ReplicaId,
        span: Duration,
    ) -> Result<LeaseAnswer, StoreError>;
    /// Gives a lease back, so that the next replica need not wait for it to run out.
    async fn lease_release(&self, fence: &Fence) -> Result<(), StoreError>;

    /// Says that this replica lives, for `span` from now, and tells who else does and how the leases stand. Needs no
    /// fence and gives no right: it only serves to divide the fleets fairly.
    async fn muster(&self, replica: &ReplicaId, span: Duration) -> Result<Muster, StoreError>;
    /// Says that this replica ends, so that the others may divide its fleets at once. No error for one that is unknown.
    async fn muster_leave(&self, replica: &ReplicaId) -> Result<(), StoreError>;

    /// Everything about one fleet, as of one moment. `horizon`: how far back observations are wanted; `budget_span`: how
    /// far back drains count.
    async fn fleet_load(
        &self,
        fleet: &FleetName,
        horizon: Duration,
        budget_span: Duration,
    ) -> Result<StoredFleet, StoreError>;

    /// Records a decision with its observation and, in the same transaction, its intents. Re-checks inside it what it was
    /// judged by, and says with a [`StoreError::Conflict`] what no longer holds:
    ///
    /// - where it launches anything, live + reserved + orphans + new ≤ max. Live is every host that is not final and
    ///   whose termination was not sent: a draining machine is a machine;
    /// - of every host that it drains or keeps: the version, that it is the fleet's, that it is not draining already, or
    ///   that no target group was asked to let it go;
    /// - where it drains anything, that the budget has that much left, whatever the reason; and that of the hosts that
    ///   serve none is *chosen* to go (every reason but that it failed) when only `min` do.
    async fn decision_commit(&self, fence: &Fence, commit: &DecisionCommit) -> Result<Timestamp, StoreError>;

    /// Records an attempt before anything is sent for it. At most one unresolved attempt a launch.
    async fn attempt_open(&self, fence: &Fence, attempt: &Attempt) -> Result<(), StoreError>;
    /// A call was answered without settling the attempt: throttled, over quota, or unknown. The same bytes go again
    /// after `wait`.
    async fn attempt_defer(
        &self,
        fence: &Fence,
        attempt: AttemptId,
        failure: FailureClass,
        wait: Duration,
    ) -> Result<(), StoreError>;
    /// Settles an attempt, records its hosts and what was learned of the pool, and closes the launch when it has all.
    async fn attempt_resolve(&self, fence: &Fence, resolution: &Resolution) -> Result<(), StoreError>;
    /// Gives up what an intent still lacks. Refused while an attempt is unresolved.
    async fn launch_abandon(
        &self,
        fence: &Fence,
        launch: LaunchId,
        reason: AbandonReason,
    ) -> Result<(), StoreError>;

    /// Records a mutating call before it is sent.
    async fn call_begin(&self, fence: &Fence, call: &CloudCall) -> Result<(), StoreError>;
    /// Records the one outcome of a call. Needs no fence: what the cloud answered is a fact.
    async fn call_end(&self, call: CallId, answer: &CallAnswer) -> Result<(), StoreError>;
    /// Gives the outcome `unknown` to calls of this fleet that were sent and never heard of, and marks their attempts so.
    /// For when no call of this fleet is out: after taking it over, or after a tick that was cut off.
    async fn calls_settle_abandoned(&self, fence: &Fence) -> Result<u64, StoreError>;

    /// The one writer of a host's state: compare-and-set on the version, and the event, in one transaction.
    async fn host_advance(&self, fence: &Fence, change: &HostChange) -> Result<(), StoreError>;
    /// Notes that an instance with our tags and no row was seen; gives back when it was first and how often by now.
    async fn orphan_sighted(&self, fence: &Fence, orphan: &Orphan) -> Result<OrphanSightings, StoreError>;
    /// Gives an orphan a row. A conflict where it has one that is final: a dead host does not come back to life.
    async fn host_adopt(&self, fence: &Fence, host: &Host) -> Result<(), StoreError>;

    /// Records what a person did: a pause, a resume, or a request for the next decision.
    async fn operator_act(&self, action: &OperatorAction) -> Result<(), StoreError>;
    /// Records a configuration that was applied or refused; no row if it is the same as the last.
    async fn config_record(&self, change: &ConfigChange) -> Result<(), StoreError>;

    /// The target groups that a fleet's living hosts were ever registered with, whatever the configuration says today.
    async fn groups_joined(&self, fleet: &FleetName) -> Result<Vec<TargetGroupArn>, StoreError>;
    /// Every fleet that has ever been known, by name.
    async fn fleets(&self) -> Result<Vec<FleetName>, StoreError>;
    /// Decisions, newest first.
    async fn decisions(&self, filter: &DecisionFilter) -> Result<Vec<DecisionRow>, StoreError>;
    /// Every host of a fleet that is not final, and the final ones of the last hour.
    async fn hosts_recent(&self, fleet: &FleetName) -> Result<Vec<Host>, StoreError>;
    /// How long its last hosts took from launch to healthy: those that became so within `span`, the newest first, at most
    /// `most`. An adopted host whose launch no row knows is not among them.
    async fn boots(&self, fleet: &FleetName, span: Duration, most: u32) -> Result<Vec<Boot>, StoreError>;
    /// Works out, from what was observed, the highest load of every
    /// [`BUCKET`](crate::decide::forecast::history::BUCKET) of one signal: from `from` on, or from where this was last done;
    /// the one that is not over waits. Much is done in parts: gives where to go on, and `None` where all is done. What is
    /// older than [`LOOK_BACK`](crate::decide::forecast::history::LOOK_BACK) goes.
    async fn loads_fold(
        &self,
        fence: &Fence,
        signal: &str,
        from: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, StoreError>;
    /// Those of one signal, each with the beginning of its bucket, oldest first.
    async fn loads(&self, fleet: &FleetName, signal: &str) -> Result<Vec<(Timestamp, f64)>, StoreError>;
    /// The host with this id, whichever fleet's and whatever its state.
    async fn host_find(&self, id: &InstanceId) -> Result<Option<Host>, StoreError>;
}

/// A replica's right to act for a fleet, as it stands in every write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The fleet.
    pub fleet: FleetName,
    /// Who acts.
    pub replica: ReplicaId,
    /// Under which number.
    pub epoch: Epoch,
}

/// What became of asking for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// It is ours.
    Held {
        /// For every write.
        fence: Fence,
        /// Until then, by the store's clock.
        expires_at: Timestamp,
        /// Whether it was somebody else's, or nobody's, before.
        taken_over: TakenOver,
    },
    /// Another replica holds it.
    Other {
        /// Who.
        holder: ReplicaId,
        /// Until then.
        expires_at: Timestamp,
    },
}

/// Whether a lease changed hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenOver {
    /// It did; the epoch rose.
    Yes,
    /// It was ours already.
    No,
}

/// A lease as it stands, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Lease {
    /// Who holds it, or held it last.
    pub holder: ReplicaId,
    /// Under which number.
    pub epoch: Epoch,
    /// Until when.
    #[serde(with = "crate::domain::time::json")]
    #[schema(value_type = DateTime<Utc>)]
    pub expires_at: Timestamp,
}

/// Who lives and who holds what, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Muster {
    /// The store's clock at that moment.
    pub now: Timestamp,
    /// The replicas whose word still holds, by name; whoever asked is always among them.
    pub replicas: Vec<ReplicaId>,
    /// Every lease that was ever taken, those that ran out or were given back included.
    pub leases: BTreeMap<FleetName, Lease>,
}

/// Everything about one fleet, as of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredFleet {
    /// The store's clock at that moment.
    pub now: Timestamp,
    /// Who holds it; `None`: nobody ever did.
    pub lease: Option<Lease>,
    /// What is remembered of earlier decisions.
    pub memory: FleetMemory,
    /// Hosts that are not final, ordered by id.
    pub hosts: Vec<Host>,
    /// Of the hosts that are draining, those that a target group was asked to let go of: a call is recorded.
    pub letting_go: Vec<InstanceId>,
    /// Ids of hosts that became final within the last two hours: the cloud still shows them, and they are no orphans.
    pub ended: Vec<InstanceId>,
    /// Open launches with their unresolved attempts, ordered by id.
    pub launches: Vec<Launch>,
    /// Observations within the horizon, oldest first.
    pub window: Vec<Observation>,
    /// Pools that refused and have not recovered, ordered by pool.
    pub pools: Vec<PoolHealth>,
    /// Requests that no decision has answered, oldest first.
    pub requests: Vec<OperatorRequest>,
    /// When hosts were chosen to go, within the budget's span, oldest first.
    pub drains_in_budget: Vec<Timestamp>,
}

/// A decision and what it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionCommit {
    /// Its id.
    pub id: DecisionId,
    /// Whether it is acted on. In a dry run the size wanted, the cooldowns and the rules' own clocks stay as they are.
    pub mode: Mode,
    /// What was decided; its observation is appended to the window.
    pub plan: Plan,
    /// What it was decided from: kept with it, unless it is counted with the same answer before.
    pub basis: Basis,
    /// Intents, each with its first attempt already in it (`LaunchState::Open { attempt: Some(_) }`).
    pub launches: Vec<Launch>,
    /// Hosts that begin or cancel their drain: the state after, and the step.
    pub hosts: Vec<HostChange>,
    /// The ceiling that the transaction re-checks.
    pub max: u32,
    /// Live instances with our tags and no row, which count under the ceiling too.
    pub orphans: u32,
    /// The floor that the transaction re-checks.
    pub min: u32,
    /// The termination budget that the transaction re-checks.
    pub budget: DrainBudget,
}

/// How many hosts may be chosen to go, for whatever reason, within a sliding span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainBudget {
    /// So many.
    pub count: u32,
    /// Within this.
    pub per: Duration,
}

/// One host's change of state.
#[derive(Clone, Debug, PartialEq)]
pub struct HostChange {
    /// The row after the change; its version is the expected one plus one.
    pub after: Host,
    /// The step that was taken; `None`: only what the cloud says of it (its address) changed.
    pub step: Option<Step>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolution {
    /// Which.
    pub attempt: AttemptId,
    /// Of which launch.
    pub launch: LaunchId,
    /// How.
    pub outcome: AttemptOutcome,
    /// The hosts it bought.
    pub hosts: Vec<Host>,
    /// What is known of the pool from now on; `None`: nothing new, or it is fine again.
    pub pool: PoolChange,
}

/// What was learned of a pool.
#[derive(Clone, Debug, PartialEq)]
pub enum PoolChange {
    /// Nothing.
    Unchanged,
    /// It cools, or may be asked for so much.
    Set(PoolHealth),
    /// It is fine again.
    Clear(crate::domain::ids::Pool),
}

/// A mutating call, as it is recorded before it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloudCall {
    /// Its id.
    pub id: CallId,
    /// For which fleet.
    pub fleet: FleetName,
    /// Which operation.
    pub op: Operation,
    /// The decision it goes back to, where there is one.
    pub decision: Option<DecisionId>,
    /// The launch it goes back to, where there is one.
    pub launch: Option<LaunchId>,
    /// The attempt it is a call of, for RunInstances.
    pub attempt: Option<AttemptId>,
    /// 1 for the first call of this attempt (or of this step of these hosts), 2 for its first repetition.
    pub ordinal: u32,
    /// The instances it names.
    pub instances: Vec<InstanceId>,
    /// The target group it names.
    pub target_group: Option<TargetGroupArn>,
    /// The zone it is in, for RunInstances.
    pub zone: Option<Zone>,
    /// The token it carries, for RunInstances.
    pub client_token: Option<ClientToken>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallAnswer {
    /// `None`: it succeeded.
    pub failure: Option<crate::domain::failure::CloudError>,
    /// The instances it gave, for RunInstances.
    pub instances: Vec<InstanceId>,
    /// The cloud's id of the request.
    pub request_id: Option<String>,
    /// How long it took.
    pub duration: Duration,
}

/// An instance with our tags and no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Which.
    pub id: InstanceId,
    /// What the fleet tag says; it may be no fleet we know.
    pub fleet: FleetName,
}

/// How often an orphan was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrphanSightings {
    /// First.
    pub first: Timestamp,
    /// Now.
    pub last: Timestamp,
    /// Times.
    pub count: u32,
}

/// A configuration that was applied or refused.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigChange {
    /// The fleet; `None`: the service's own file, or the folder as a whole.
    pub fleet: Option<FleetName>,
    /// A hash of the files' text.
    pub version: String,
    /// What became of it.
    pub outcome: ConfigOutcome,
    /// The checked configuration as text (no secrets), or the errors: what a diff is made from.
    pub text: String,
}

/// What became of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOutcome {
    /// It is in force.
    Applied,
    /// It did not validate; the last good one stays.
    Refused,
    /// The fleet's file is gone; the fleet is paused.
    Vanished,
}

/// Which decisions are wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecisionFilter {
    /// Of this fleet.
    pub fleet: Option<FleetName>,
    /// Not earlier.
    pub since: Option<Timestamp>,
    /// With this action.
    pub action: Option<crate::decide::plan::Action>,
    /// At most so many; 0 means 100.
    pub limit: u32,
}

/// A recorded decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionRow {
    /// Its id.
    pub id: DecisionId,
    /// When it was first made.
    pub at: Timestamp,
    /// When it was last made again, unchanged.
    pub last_at: Timestamp,
    /// How often.
    pub count: i64,
    /// The fleet.
    pub fleet: FleetName,
    /// By whom.
    pub replica: ReplicaId,
    /// Under which number.
    pub epoch: Epoch,
    /// What was decided.
    pub plan: Plan,
    /// How it went: `done`, `in_progress`, `partial`, `failed`, `dry_run`, `held` or `quiet`.
    pub outcome: String,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It did not answer, or the connection broke. A write may have been committed.
    #[error("the database cannot be reached: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The lease is not ours any more.
    #[error("fleet {fleet} is no longer held under epoch {epoch}")]
    Fenced {
        /// The fleet.
        fleet: FleetName,
        /// The number we acted under.
        epoch: Epoch,
    },
    /// What was judged has changed since; look again.
    #[error("{0}")]
    Conflict(String),
    /// The write would break an invariant; nothing was changed. It is a bug here.
    #[error("the database refused what must never be written: {0}")]
    Refused(String),
    /// The schema is not the one this program was built for.
    #[error("{0}")]
    Schema(String),
}
