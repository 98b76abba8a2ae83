//! What happened, in one order. Postgres hangs the same events on a hash chain; nobody can get at memory behind the
//! store's back, so here their order is enough, and they name their subjects instead of copying them.

use crate::decide::snapshot::PoolHealth;
use crate::domain::failure::FailureClass;
use crate::domain::ids::{
    AttemptId, CallId, DecisionId, Epoch, FleetName, InstanceId, LaunchId, OperatorActionId, Pool, ReplicaId,
};
use crate::domain::launch::AbandonReason;
use crate::domain::time::Timestamp;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its place, from 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The fleet; `None`: the service itself.
    pub fleet: Option<FleetName>,
    /// What.
    pub what: Event,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A lease changed hands.
    LeaseTaken {
        /// Who has it now.
        holder: ReplicaId,
        /// Under which number.
        epoch: Epoch,
    },
    /// A lease was given back.
    LeaseReleased(Epoch),
    /// A decision was recorded.
    Decision(DecisionId),
    /// An intent was committed.
    LaunchOpened(LaunchId),
    /// An intent has all its hosts, or was given up.
    LaunchClosed(LaunchId, Option<AbandonReason>),
    /// An attempt was committed.
    AttemptOpened(AttemptId),
    /// A call of an attempt settled nothing.
    AttemptDeferred(AttemptId, FailureClass),
    /// An attempt has its outcome.
    AttemptResolved(AttemptId),
    /// A host was bought.
    HostLaunched(InstanceId),
    /// A host was adopted.
    HostAdopted(InstanceId),
    /// A host changed.
    Host {
        /// Which.
        id: InstanceId,
        /// Its state after it.
        state: &'static str,
        /// Its version after it.
        version: i64,
    },
    /// An orphan was seen for the first time.
    OrphanSighted(InstanceId),
    /// Something was learned of a pool.
    PoolSet(PoolHealth),
    /// A pool is fine again.
    PoolCleared(Pool),
    /// A call was recorded.
    Call(CallId),
    /// A call has its outcome.
    CallEnded(CallId),
    /// A person did something.
    OperatorActed(OperatorActionId),
    /// A person's request was answered.
    OperatorAnswered(OperatorActionId),
    /// A configuration was applied or refused.
    Configured(String),
}
