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
    /// What kind of reason it is.
    pub code: ReasonCode,
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
    /// What candidates would have done in its place, in the order of the file. None of it is acted on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<CandidatePlan>,
}

/// What a plan comes to, without why and without who: as much of it as a replay goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// As [`Plan::action`].
    pub action: Action,
    /// As [`Plan::size_wanted`].
    pub size_wanted: u32,
    /// How many [`Plan::drains`] there are.
    pub drains: u32,
    /// As [`Plan::rules_fired`].
    pub rules_fired: Vec<String>,
    /// As [`Plan::observation`].
    pub observation: Observation,
}

/// What a candidate would have done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CandidatePlan {
    /// Its name.
    pub name: String,
    /// In which direction it would have gone.
    pub action: Action,
    /// The size that it would have wanted, after all guards.
    pub size_wanted: u32,
    /// The size that it recommended before any guard but the bounds; `None`: it could not say.
    pub recommended: Option<u32>,
    /// Why, in one sentence.
    pub reason: String,
}

impl Plan {
    /// What the decision says, without the numbers that wobble from tick to tick: two plans with the same signature give
    /// the same answer for the same reason, and a run of quiet ones may be kept as one.
    #[must_use]
    pub fn signature(&self) -> String {
        let recommendations = self.recommendations.iter().map(|r| match r.size {
            Some(size) => format!("{}={size}", r.source),
            None => format!("{}=-", r.source),
        });
        let verdicts = self.verdicts.iter().filter_map(|v| match v.effect {
            Effect::Pass => None,
            Effect::Clamp { to, .. } => Some(format!("{}:{to}", v.guard)),
            Effect::Refuse => Some(format!("{}:no", v.guard)),
        });
        let candidates =
            self.candidates.iter().map(|one| format!(" {}:{}→{}", one.name, one.action, one.size_wanted));
        let cloud = match self.cloud {
            CloudView::Fresh => "fresh",
            CloudView::Unknown(_) => "unknown",
        };
        format!(
            "{} {}→{} {} [{}] [{}] +{} -{} {} {cloud}{}",
            self.action,
            self.size_before,
            self.size_wanted,
            self.code,
            recommendations.collect::<Vec<_>>().join(","),
            verdicts.collect::<Vec<_>>().join(","),
            self.launches.iter().map(|launch| launch.count).sum::<u32>(),
            self.drains.len(),
            self.cancelled_drains.len(),
            candidates.collect::<String>(),
        )
    }
}

impl Plan {
    /// What it planned to buy cannot be asked for now, for this reason; a later decision plans it again.
    pub fn withhold_launches(&mut self, why: &str) {
        self.launches.clear();
        self.observation.faults.push(why.to_owned());
    }
}

impl CandidatePlan {
    /// What it would have done and why: `calmer would scale_out: Scale out 4 → 5: …`.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{} would {}: {}", self.name, self.action, self.reason)
    }
}

/// What kind of reason a plan has: the same words for the same thing, whatever the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// Nothing asks for a change.
    Quiet,
    /// Something would like fewer hosts and something else would not.
    Outvoted,
    /// A signal has no value, and nothing that has one asks for more hosts.
    Blind,
    /// A guard refused what the load asked for.
    HeldBack,
    /// More hosts for the load.
    ScaledOut,
    /// Fewer hosts for the load.
    ScaledIn,
    /// A person asked, and got it.
    Asked,
    /// The first size ever.
    FirstSize,
    /// The fleet is outside its bounds.
    OutOfBounds,
    /// Hosts are missing from the size wanted, or failed.
    Missing,
    /// More hosts are there than the size wanted.
    Excess,
    /// Something is to be put right, and a guard or the cloud's room does not let it.
    Stuck,
}

impl ReasonCode {
    /// The name that rows and metrics carry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Outvoted => "outvoted",
            Self::Blind => "blind",
            Self::HeldBack => "held_back",
            Self::ScaledOut => "scaled_out",
            Self::ScaledIn => "scaled_in",
            Self::Asked => "asked",
            Self::FirstSize => "first_size",
            Self::OutOfBounds => "out_of_bounds",
            Self::Missing => "missing",
            Self::Excess => "excess",
            Self::Stuck => "stuck",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// In which direction a decision goes, and on whose account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Recommendation {
    /// Whose: `rule hot`, `target cpu-60`.
    pub source: String,
    /// The size; `None`: it has no opinion (not sustained, inside the tolerance), or cannot have one (unknown).
    pub size: Option<u32>,
    /// Why, in one sentence, with the numbers.
    pub because: String,
    /// Of a rule: the observations that it counted. `None`: not a rule's, or recorded before this was kept.
    #[serde(default)]
    pub window: Option<RuleWindow>,
    /// Of a target: its signal beside the value that is wanted. `None`: not a target's, or recorded before this was kept.
    #[serde(default)]
    pub reading: Option<TargetReading>,
}

/// The observations that a rule counted, and what its condition said of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RuleWindow {
    /// The condition as it was written then; cut after 500 characters.
    pub when: String,
    /// At least so many observations must hold…
    pub hits_needed: u32,
    /// …of the last so many.
    pub of: u32,
    /// So many held.
    pub hits: u32,
    /// One letter an observation, oldest first, at most `of`: `H` it held, `F` it did not, `U` it could not be told. Those
    /// from before the fleet's last change of size do not count and are not here.
    pub observations: String,
}

/// A target's signal beside the value that is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TargetReading {
    /// The signal, by its full name.
    pub signal: String,
    /// Its value over the hosts that were heard; `None`: it had none.
    pub value: Option<f64>,
    /// What it would have been with every silent host at 0 %; `None`: it had no value.
    pub if_idle: Option<f64>,
    /// What it would have been with every silent host at 100 %; `None`: it had no value.
    pub if_busy: Option<f64>,
    /// The value to keep.
    pub wanted: f64,
    /// Relative distance from it within which nothing is done, 0–1.
    pub tolerance: f64,
    /// The hosts whose load the signal speaks of.
    pub hosts: u32,
}

/// What one guard said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Verdict {
    /// Which guard.
    pub guard: Guard,
    /// What it did.
    pub effect: Effect,
    /// Why, in one sentence.
    pub because: String,
}

/// The guards, in the order in which they speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
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

impl Guard {
    /// Every guard, in their order.
    pub const ALL: [Self; 12] = [
        Self::Pause,
        Self::DryRun,
        Self::MissingData,
        Self::Bounds,
        Self::InFlight,
        Self::Cooldown,
        Self::Step,
        Self::Window,
        Self::Projection,
        Self::UnhealthyHalt,
        Self::Budget,
        Self::Breaker,
    ];

    /// The name that rows and tables carry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::DryRun => "dry_run",
            Self::MissingData => "missing_data",
            Self::Bounds => "bounds",
            Self::InFlight => "in_flight",
            Self::Cooldown => "cooldown",
            Self::Step => "step",
            Self::Window => "window",
            Self::Projection => "projection",
            Self::UnhealthyHalt => "unhealthy_halt",
            Self::Budget => "budget",
            Self::Breaker => "breaker",
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a guard did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlannedLaunch {
    /// Zone and type.
    pub pool: Pool,
    /// Where in it.
    pub subnet: SubnetId,
    /// How many.
    pub count: u32,
}

/// One host to take out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlannedDrain {
    /// Which.
    pub host: InstanceId,
    /// The version it was judged at: the drain is refused if it has changed since.
    pub version: i64,
    /// Why.
    pub reason: DrainReason,
}

/// What became of an operator's request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Answer {
    /// Which.
    pub request: OperatorActionId,
    /// Whether it was granted.
    pub granted: Granted,
    /// The sentence that the operator reads.
    pub because: String,
}

/// Whether a request was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Granted {
    /// It was.
    Yes,
    /// A guard refused it.
    No,
}
