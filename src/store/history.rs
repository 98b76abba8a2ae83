//! What people and programs ask of the memory: pages of what was decided and what happened, and how every fleet stands.
//!
//! It is a contract beside [`Store`] and not a part of it, because nothing in the loop may depend on it: a tick reads
//! what it needs by [`Store::fleet_load`], and a slow question of a dashboard is never in its way. Every question is one
//! read transaction with a deadline and a bounded answer. Lists go by keyset: a page begins after a row that its reader
//! has seen, so rows that come in between are neither shown twice nor left out.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use crate::decide::inputs::Inputs;
use crate::decide::plan::{Action, Answer, Guard, ReasonCode};
use crate::decide::signal::Observation;
use crate::decide::snapshot::FleetMemory;
use crate::domain::ids::{
    CallId, DecisionId, Epoch, FleetName, InstanceId, LaunchId, OperatorActionId, ReplicaId, TargetGroupArn,
    Zone,
};
use crate::domain::operation::Operation;
use crate::domain::time::Timestamp;
use crate::store::{DecisionRow, Lease, OperatorAction, OperatorActionKind, Store, StoreError};

/// Questions about the past and the present, beside the writes of [`Store`].
#[async_trait]
pub trait History: Store {
    /// How every fleet stands that was ever known, by name.
    async fn standings(&self) -> Result<Vec<Standing>, StoreError>;
    /// Decisions, newest first.
    async fn decision_heads(&self, query: &DecisionQuery) -> Result<Vec<DecisionHead>, StoreError>;
    /// One decision in full, with the calls that followed from it, oldest first.
    async fn decision(&self, id: DecisionId) -> Result<Option<(DecisionRow, Vec<CallRecord>)>, StoreError>;
    /// What happened, newest first.
    async fn events(&self, query: &EventQuery) -> Result<Vec<EventRecord>, StoreError>;
    /// A fleet's past as a series, oldest first: of each of `points` equal parts of the span the last thing that was
    /// observed. What is older than the observations that are kept is told from the decisions, which are fewer.
    async fn samples(&self, query: &SeriesQuery) -> Result<Vec<Sample>, StoreError>;
    /// A fleet's decisions with what they were made from, as far as that is still kept, oldest first.
    async fn recorded(&self, query: &RecordedQuery) -> Result<Vec<Recorded>, StoreError>;
    /// A fleet's observations of a time, oldest first, as a decision of that time looked back on them; at most 5,000.
    async fn observed(&self, query: &ObservedQuery) -> Result<Vec<Observation>, StoreError>;
    /// How often each candidate of a fleet wanted another size than was decided, by name.
    async fn candidate_tallies(&self, query: &TallyQuery) -> Result<Vec<CandidateTally>, StoreError>;
    /// What people did, newest first, and what became of it.
    async fn operator_actions(&self, query: &ActionQuery) -> Result<Vec<ActionRecord>, StoreError>;
    /// What a person did, and what became of it.
    async fn operator_action(&self, id: OperatorActionId) -> Result<Option<ActionRecord>, StoreError>;
    /// What changes with every event and every tick of a fleet: who follows it need not ask for more.
    async fn pulses(&self) -> Result<BTreeMap<FleetName, Pulse>, StoreError>;
    /// Counts requests that were turned away, by hour, cause and token: however many there are, the rows are few.
    async fn refusals_record(&self, refusals: &[Refusal]) -> Result<(), StoreError>;
}

/// How one fleet stands, without a row for each of its hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Which.
    pub fleet: FleetName,
    /// The store's clock at that moment.
    pub now: Timestamp,
    /// Who holds it; `None`: nobody ever did.
    pub lease: Option<Lease>,
    /// What is remembered of earlier decisions.
    pub memory: FleetMemory,
    /// How many hosts that are not final are in each state; a state that none is in is left out.
    pub hosts: BTreeMap<String, u32>,
    /// Hosts that open launches may still buy.
    pub reserved: u32,
    /// Pools that are left alone at this moment.
    pub pools_cooling: u32,
    /// Requests that no decision has answered.
    pub requests: u32,
    /// The newest decision.
    pub last: Option<DecisionHead>,
    /// The newest observation.
    pub observed: Option<Observation>,
}

/// A decision without its inputs and its guards' words.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionHead {
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
    /// In which direction, and on whose account.
    pub action: Action,
    /// Hosts that served or were on their way, before it.
    pub size_before: u32,
    /// The size wanted from then on.
    pub size_wanted: u32,
    /// What kind of reason it has.
    pub code: ReasonCode,
    /// Why, in one sentence.
    pub reason: String,
    /// Guards that refused something, in their order.
    pub refused_by: Vec<Guard>,
    /// How it went, as [`DecisionRow::outcome`] says it.
    pub outcome: String,
}

/// Which decisions are wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecisionQuery {
    /// Of this fleet.
    pub fleet: Option<FleetName>,
    /// Made, or made again, at this moment or later.
    pub since: Option<Timestamp>,
    /// First made before this moment.
    pub until: Option<Timestamp>,
    /// With one of these actions; empty: with any.
    pub actions: Vec<Action>,
    /// After this one, which was the last of the page before.
    pub after: Option<(Timestamp, DecisionId)>,
    /// At most so many.
    pub limit: u32,
}

/// A mutating call and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    /// Its id.
    pub id: CallId,
    /// When it was written down, just before it was sent.
    pub at: Timestamp,
    /// Which operation.
    pub op: Operation,
    /// The launch it is for.
    pub launch: Option<LaunchId>,
    /// 1 for the first call of this attempt or step, 2 for its first repetition.
    pub ordinal: u32,
    /// The instances it names, or, of RunInstances, gave.
    pub instances: Vec<InstanceId>,
    /// The target group it names.
    pub target_group: Option<TargetGroupArn>,
    /// The zone it asked in.
    pub zone: Option<Zone>,
    /// `ok`, `refused`, `throttled`, `unknown`, or `pending`: no answer yet.
    pub outcome: String,
    /// The cloud's own code.
    pub error_code: Option<String>,
    /// The cloud's own words.
    pub error_message: Option<String>,
    /// The cloud's id of the request.
    pub request_id: Option<String>,
    /// When its outcome was written down.
    pub answered_at: Option<Timestamp>,
}

/// Something that happened to a fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// The fleet; `None`: the service itself.
    pub fleet: Option<FleetName>,
    /// Its place among the fleet's events; it only rises.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// What, in one word.
    pub kind: String,
    /// To what: an instance, a launch, an attempt, or the id of a row.
    pub subject: String,
    /// What the store keeps of the state after it.
    pub data: Value,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventQuery {
    /// Of this fleet.
    pub fleet: Option<FleetName>,
    /// At this moment or later.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// Of one of these kinds; empty: of any.
    pub kinds: Vec<String>,
    /// To this subject.
    pub subject: Option<String>,
    /// After this one, which was the last of the page before.
    pub after: Option<EventKey>,
    /// At most so many.
    pub limit: u32,
}

/// Where an event stands among all events: by time, then by fleet, then by place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventKey {
    /// When.
    pub at: Timestamp,
    /// The fleet; empty: the service itself.
    pub fleet: String,
    /// Its place among the fleet's events.
    pub seq: i64,
}

impl EventRecord {
    /// Where it stands among all events.
    #[must_use]
    pub fn key(&self) -> EventKey {
        let fleet = self.fleet.as_ref().map(ToString::to_string).unwrap_or_default();
        EventKey { at: self.at, fleet, seq: self.seq }
    }
}

/// Which part of a fleet's past is wanted, and how finely.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesQuery {
    /// The fleet.
    pub fleet: FleetName,
    /// From this moment.
    pub since: Timestamp,
    /// Until before this one, which is later.
    pub until: Timestamp,
    /// In so many equal parts.
    pub points: u32,
}

impl SeriesQuery {
    /// How long one part is; never nothing.
    #[must_use]
    pub fn step(&self) -> Duration {
        let span = crate::domain::time::since(self.until, self.since);
        (span / self.points.max(1)).max(Duration::from_micros(1))
    }
}

/// What was observed last within one part of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The observation, with its own time.
    pub observation: Observation,
    /// The size wanted at that time; `None`: nothing had been decided.
    pub wanted: Option<u32>,
}

/// How long what a decision was made from is kept, the observations that it looked back on included. The decision itself
/// is kept for ever.
pub const INPUTS_KEPT: Duration = Duration::from_hours(2 * 24);

/// A decision with what it was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its id.
    pub id: DecisionId,
    /// When it was first made. What is kept is of that time; when it was made again, only its being the same was noted.
    pub at: Timestamp,
    /// How often it was made.
    pub count: i64,
    /// The plan as it was recorded.
    pub plan: Value,
    /// The seal of the inputs; `None`: none were kept then.
    pub seal: Option<String>,
    /// The inputs; `None`: they are gone, or none were kept.
    pub inputs: Option<Inputs>,
}

/// Which decisions are wanted with what they were made from.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedQuery {
    /// Of this fleet.
    pub fleet: FleetName,
    /// First made at this moment or later.
    pub since: Timestamp,
    /// First made before this moment.
    pub until: Timestamp,
    /// After this one, which was the last of the page before.
    pub after: Option<(Timestamp, DecisionId)>,
    /// At most so many.
    pub limit: u32,
}

/// Since when a fleet's candidates are compared with what was decided.
#[derive(Clone, Debug, PartialEq)]
pub struct TallyQuery {
    /// The fleet.
    pub fleet: FleetName,
    /// Decisions that were made, or made again, at this moment or later.
    pub since: Timestamp,
    /// The newest so many at most.
    pub decisions: u32,
}

/// How often a candidate wanted another size than was decided.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateTally {
    /// Its name.
    pub name: String,
    /// When the oldest of the decisions that are counted was first made.
    pub since: Timestamp,
    /// How often it was asked.
    pub evaluations: i64,
    /// How often it wanted more hosts than were wanted.
    pub larger: i64,
    /// How often it wanted fewer.
    pub smaller: i64,
    /// Hosts that it wanted more than were wanted, on average over all evaluations; negative: fewer.
    pub hosts_more: f64,
    /// The newest decision from which it differed, and when that was last made.
    pub differed: Option<(DecisionId, Timestamp)>,
}

/// Which actions of people are wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActionQuery {
    /// On this fleet.
    pub fleet: Option<FleetName>,
    /// By this actor: the whole name, or either side of the ` via ` between a person and the token that spoke for them.
    pub actor: Option<String>,
    /// At this moment or later.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// Of one of these kinds, by the names that rows carry; empty: of any.
    pub kinds: Vec<String>,
    /// After this one, which was the last of the page before.
    pub after: Option<(Timestamp, OperatorActionId)>,
    /// At most so many.
    pub limit: u32,
}

/// Which observations are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedQuery {
    /// Of this fleet.
    pub fleet: FleetName,
    /// From this one on.
    pub first: Timestamp,
    /// Up to this one.
    pub last: Timestamp,
}

impl OperatorActionKind {
    /// Every kind, by the name that rows and answers carry.
    pub const NAMES: [&str; 5] = ["pause", "resume", "set_size", "drain", "evaluate"];

    /// The name that rows and answers carry.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pause { .. } => "pause",
            Self::Resume => "resume",
            Self::SetSize(_) => "set_size",
            Self::Drain(_) => "drain",
            Self::Evaluate => "evaluate",
        }
    }
}

/// Between a person and the token that spoke for them, in the name of an actor.
pub const VIA: &str = " via ";

/// What a person did, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionRecord {
    /// When.
    pub at: Timestamp,
    /// What, by whom, and why.
    pub action: OperatorAction,
    /// The decision that answered it, when, and what it said; `None`: none has, or it needs none.
    pub answer: Option<(DecisionId, Timestamp, Answer)>,
}

/// What changes with every event and every tick of a fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pulse {
    /// The place of its newest event.
    pub seq: i64,
    /// When it was last observed.
    pub observed_at: Option<Timestamp>,
}

/// Requests that were turned away for the same cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why, in one word: `no_token`, `unknown_token`, `expired_token` or `scope`.
    pub cause: &'static str,
    /// The name of the token that was shown; empty: it was none of ours.
    pub token: String,
    /// Where the last of them came from.
    pub peer: String,
    /// What the last of them asked for: a method and a path.
    pub request: String,
    /// How many they are.
    pub count: u32,
}
