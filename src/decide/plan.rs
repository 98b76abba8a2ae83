//! What a decision says: the size it wants, what is to be done about it, and why, in full.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::decide::signal::Observation;
use crate::decide::snapshot::CloudView;
use crate::domain::host::DrainReason;
use crate::domain::ids::{InstanceId, OperatorActionId, Pool, SubnetId};

/// One evaluation's outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// In which direction, and on whose account.
    pub action: Action,
    /// Hosts that serve or are on their way, and hosts reserved by open intents, before the plan.
    pub size_before: u32,
    /// The size wanted from now on.
    pub size_wanted: u32,
    /// What each rule, target and request would have liked, in a fixed order.
    pub recommendations: Vec<Recommendation>,
    /// What each guard said, in their order.
    pub verdicts: Vec<Verdict>,
    /// Why, in one sentence for a person.
    pub reason: String,
    /// What is to be bought, by place.
    pub launches: Vec<PlannedLaunch>,
    /// Which hosts are to go.
    pub drains: Vec<PlannedDrain>,
    /// Drains that nothing was sent for, taken back because the fleet needs the hosts after all.
    pub cancelled_drains: Vec<InstanceId>,
    /// Rules whose action is part of the outcome; their own cooldown starts.
    pub rules_fired: Vec<String>,
    /// Requests that this decision answers, granted or refused.
    pub answered: Vec<Answer>,
    /// This tick's observation, with `recommended` filled in.
    pub observation: Observation,
    /// Whether the cloud could be seen.
    pub cloud: CloudView,
}

/// In which direction a decision goes, and on whose account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing changes.
    Hold,
    /// Larger, for the load.
    ScaleOut,
    /// Smaller, for the load.
    ScaleIn,
    /// Back up to `min`, or down to `max`, or the first size ever.
    Repair,
    /// Hosts that were lost, failed or sent away are replaced, or the failed ones are taken out; the size stays.
    Replace,
    /// A person set the size, or sent a host away.
    Manual,
}

impl Action {
    /// Every action, for tables and tests.
    pub const ALL: [Self; 6] =
        [Self::Hold, Self::ScaleOut, Self::ScaleIn, Self::Repair, Self::Replace, Self::Manual];

    /// The name that rows and metrics carry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::ScaleOut => "scale_out",
            Self::ScaleIn => "scale_in",
            Self::Repair => "repair",
            Self::Replace => "replace",
            Self::Manual => "manual",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What one rule, target or request would like the size to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// Whose: `rule hot`, `target cpu-60`.
    pub source: String,
    /// The size; `None`: it has no opinion (not sustained, inside the tolerance), or cannot have one (unknown).
    pub size: Option<u32>,
    /// Why, in one sentence, with the numbers.
    pub because: String,
}

/// What one guard said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which guard.
    pub guard: Guard,
    /// What it did.
    pub effect: Effect,
    /// Why, in one sentence.
    pub because: String,
}

/// The guards, in the order in which they speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// An operator said "not now".
    Pause,
    /// The fleet only says what it would do.
    DryRun,
    /// What was not heard.
    MissingData,
    /// `min` and `max`.
    Bounds,
    /// Hosts on their way, out or in.
    InFlight,
    /// Too soon after the last change.
    Cooldown,
    /// Most hosts in one decision.
    Step,
    /// The highest size recommended lately.
    Window,
    /// Whether the hosts that stay could carry the load.
    Projection,
    /// Too many hosts unhealthy or unknown.
    UnhealthyHalt,
    /// Terminations in the span.
    Budget,
    /// Launches that keep failing.
    Breaker,
}

/// What a guard did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing.
    Pass,
    /// Changed the size wanted.
    Clamp {
        /// From this.
        from: u32,
        /// To that.
        to: u32,
    },
    /// Refused the change.
    Refuse,
}

/// Hosts to buy in one place, as one launch intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedLaunch {
    /// Zone and type.
    pub pool: Pool,
    /// Where in it.
    pub subnet: SubnetId,
    /// How many.
    pub count: u32,
}

/// One host to take out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedDrain {
    /// Which.
    pub host: InstanceId,
    /// The version it was judged at: the drain is refused if it has changed since.
    pub version: i64,
    /// Why.
    pub reason: DrainReason,
}

/// What became of an operator's request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which.
    pub request: OperatorActionId,
    /// Whether it was granted.
    pub granted: Granted,
    /// The sentence that the operator reads.
    pub because: String,
}

/// Whether a request was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granted {
    /// It was.
    Yes,
    /// A guard refused it.
    No,
}
