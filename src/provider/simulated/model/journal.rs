//! What happened, in order: every call with its outcome, and every change of an instance or a target.
//!
//! It is what a test or a person believes instead of the program under test. So it says of each termination whether the
//! balancer had let go of the instance, from the model's own memory.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::Value;

use crate::domain::ids::{InstanceId, TargetGroupArn};
use crate::domain::time::Timestamp;
use crate::provider::simulated::model::api::{ApiError, Op};
use crate::provider::{InstanceState, TargetId};

/// So many entries are kept; the oldest go first.
const CAPACITY: usize = 100_000;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Rises by one with each entry.
    pub seq: u64,
    /// When it happened, by the model's time.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A call was dealt with. Its effects stand in the entries just before it.
    Call(Box<CallRecord>),
    /// A call waits until its `hold` is taken away.
    Held {
        /// Which operation.
        op: Op,
        /// Which call.
        request_id: String,
        /// Before or after its work.
        when: HoldPoint,
    },
    /// An instance came into being or changed.
    Instance {
        /// Which.
        instance: InstanceId,
        /// `None`: it was launched just now.
        from: Option<InstanceState>,
        /// `None`: it is no longer shown.
        to: Option<InstanceState>,
        /// Why.
        cause: String,
    },
    /// A target changed in its group.
    Target {
        /// The group.
        target_group: TargetGroupArn,
        /// The target.
        target: TargetId,
        /// ELBv2's name; `None`: it was not registered.
        from: Option<&'static str>,
        /// ELBv2's name; `None`: it is no longer there.
        to: Option<&'static str>,
        /// ELBv2's reason code, or why it went.
        reason: &'static str,
    },
    /// An instance was asked to terminate; this is how much it still served.
    Termination(TerminationRecord),
    /// A fault was set, was applied, or was taken away.
    Fault {
        /// Which.
        id: u64,
        /// What became of it.
        change: FaultChange,
        /// The fault.
        fault: Value,
    },
}

/// Where a call is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldPoint {
    /// Nothing is done yet.
    Before,
    /// Everything is done, only the answer is missing.
    After,
}

/// What became of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultChange {
    /// It is in force now.
    Set,
    /// It did its work at once.
    Applied,
    /// It is in force no more.
    Cleared,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallRecord {
    /// Which operation.
    pub op: Op,
    /// `wire` or `trait`.
    pub door: Door,
    /// Our id of it.
    pub request_id: String,
    /// When it came; the entry's own time is when its work was done.
    pub arrived_at: Timestamp,
    /// What was asked, the token among it.
    pub parameters: Value,
    /// What came of it.
    pub outcome: CallOutcome,
    /// Whether the caller was told.
    pub reply: Reply,
}

/// Which door a call came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// HTTP.
    Wire,
    /// The trait.
    Trait,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum CallOutcome {
    /// It was done.
    Ok {
        /// The answer in short.
        result: Value,
    },
    /// It was refused, and nothing was done.
    Refused {
        /// How.
        error: ApiError,
    },
    /// It never reached the service: nothing was done.
    Lost,
}

/// What the caller got to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The outcome.
    Sent,
    /// Nothing: the connection was closed.
    Dropped,
    /// Nothing until the `hold` is taken away.
    Held,
}

/// How far an instance was out of service when it was asked to terminate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TerminationRecord {
    /// Which.
    pub instance: InstanceId,
    /// Its state then.
    pub was: InstanceState,
    /// All of it in a word.
    pub verdict: Verdict,
    /// Every group it was ever registered in.
    pub passages: Vec<Passage>,
    /// Who asked.
    pub request_id: String,
}

/// How far an instance was out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was dead already.
    AlreadyDead,
    /// No group ever had it.
    NeverRegistered,
    /// Every group had let it go, and said so: none had it, none was draining it.
    Drained,
    /// A group was deleted before it had let go of it; no other group still had it.
    GroupDeleted,
    /// Deregistered everywhere, and a group was still draining it.
    StillDraining,
    /// A group still had it.
    StillRegistered,
}

/// One instance's time in one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Passage {
    /// The group.
    pub target_group: TargetGroupArn,
    /// At which port.
    pub port: u16,
    /// When it was registered, the last time.
    pub registered_at: Timestamp,
    /// When it was deregistered.
    pub deregistered_at: Option<Timestamp>,
    /// When the group had let go of it.
    pub drained_at: Option<Timestamp>,
    /// When the group was deleted.
    pub group_deleted_at: Option<Timestamp>,
}

impl Passage {
    fn verdict(&self) -> Verdict {
        match (self.drained_at, self.deregistered_at, self.group_deleted_at) {
            (Some(_), _, _) => Verdict::Drained,
            (None, _, Some(_)) => Verdict::GroupDeleted,
            (None, Some(_), None) => Verdict::StillDraining,
            (None, None, None) => Verdict::StillRegistered,
        }
    }
}

impl Verdict {
    /// The worst that holds for any group.
    pub(super) fn of(was: InstanceState, passages: &[Passage]) -> Self {
        if matches!(was, InstanceState::ShuttingDown | InstanceState::Terminated) {
            return Self::AlreadyDead;
        }
        passages.iter().map(Passage::verdict).max().unwrap_or(Self::NeverRegistered)
    }
}

/// The entries, oldest first.
#[derive(Debug, Default)]
pub struct Journal {
    entries: VecDeque<Entry>,
    next: u64,
}

impl Journal {
    pub(super) fn push(&mut self, at: Timestamp, event: Event) {
        if self.entries.len() == CAPACITY {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { seq: self.next, at, event });
        self.next += 1;
    }

    /// The entries from this sequence number on; those that were dropped for room are missing.
    pub fn since(&self, seq: u64) -> impl Iterator<Item = &Entry> {
        let start = self.entries.partition_point(|entry| entry.seq < seq);
        self.entries.range(start..)
    }

    /// The sequence number of the entry that comes next.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// The calls among the entries.
    pub fn calls(&self) -> impl Iterator<Item = &CallRecord> {
        self.entries.iter().filter_map(|entry| match &entry.event {
            Event::Call(call) => Some(call.as_ref()),
            _ => None,
        })
    }

    /// The terminations among the entries.
    pub fn terminations(&self) -> impl Iterator<Item = &TerminationRecord> {
        self.entries.iter().filter_map(|entry| match &entry.event {
            Event::Termination(record) => Some(record),
            _ => None,
        })
    }
}
