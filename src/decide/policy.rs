//! What an operator wants of one fleet, as far as deciding needs it: checked, typed, and free of files and clouds.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decide::bounds::Bounds;
use crate::decide::condition::{Condition, Facet, Truth};
use crate::decide::schedule::Schedule;
use crate::decide::signal::{Observation, SignalName};
use crate::domain::ids::{FleetName, InstanceType, SubnetId, TargetGroupArn, Zone};
use crate::domain::time::Timestamp;

/// One fleet's policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The fleet.
    pub fleet: FleetName,
    /// Whether decisions are acted on.
    pub mode: Mode,
    /// Observe, decide, act this often.
    pub interval: Duration,
    /// Bounds and steps.
    pub size: SizePolicy,
    /// Other bounds for a time, in the order of the file.
    pub schedules: Vec<Schedule>,
    /// Rules, in the order of the file.
    pub rules: Vec<Rule>,
    /// Targets, in the order of the file.
    pub targets: Vec<Target>,
    /// How long after a change the next one waits.
    pub cooldown: Cooldown,
    /// How hosts are given back.
    pub scale_in: ScaleIn,
    /// What stops everything.
    pub safety: Safety,
    /// Share of in-service hosts whose fresh sample it takes to scale in, 0–1.
    pub quorum: f64,
    /// A host that is not healthy by then counts as a failed launch.
    pub boot_timeout: Duration,
    /// A host in service may be unhealthy for so long before it counts as failed.
    pub health_grace: Duration,
    /// The target groups; empty: the fleet has no balancer.
    pub target_groups: Vec<TargetGroupArn>,
    /// Where hosts may be launched, in the order of the file. A zone may have several subnets.
    pub places: Vec<Place>,
    /// What may be launched, in order of preference; empty: what the template says.
    pub instance_types: Vec<InstanceType>,
    /// Policies that are tried beside this one and never act, in the order of the file.
    pub candidates: Vec<Candidate>,
}

/// A policy that is tried beside the one in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its name; unique in the fleet.
    pub name: String,
    /// The whole policy, what it shares with the one in force included.
    pub policy: Policy,
}

impl Policy {
    /// How far back observations are of use: the scale-in window and the longest rule, with room for slow ticks.
    #[must_use]
    pub fn looks_back(&self) -> Duration {
        looks_back(self.interval, &self.rules, &self.scale_in)
    }

    /// Every signal that a rule or a target uses, of a candidate too.
    #[must_use]
    pub fn signals(&self) -> BTreeSet<SignalName> {
        let of_rules = self.rules.iter().flat_map(|rule| rule.when.signals());
        let of_targets = self.targets.iter().map(|target| target.signal.clone());
        let of_candidates = self.candidates.iter().flat_map(|candidate| candidate.policy.signals());
        of_rules.chain(of_targets).chain(of_candidates).collect()
    }

    /// The signals whose load is to be forecast, for a candidate too.
    #[must_use]
    pub fn forecast_signals(&self) -> BTreeSet<SignalName> {
        let foresees = |target: &&Target| target.forecast.is_some();
        let of_targets = self.targets.iter().filter(foresees).map(|target| target.signal.clone());
        let of_candidates = self.candidates.iter().flat_map(|candidate| candidate.policy.forecast_signals());
        of_targets.chain(of_candidates).collect()
    }

    /// The bounds of its size at `now`.
    #[must_use]
    pub fn bounds(&self, now: Timestamp) -> Bounds {
        Bounds::at(&self.size, &self.schedules, now)
    }
}

/// [`Policy::looks_back`], for who has no whole policy yet.
#[must_use]
pub fn looks_back(interval: Duration, rules: &[Rule], scale_in: &ScaleIn) -> Duration {
    let longest = rules.iter().map(|rule| rule.sustained.of).max().unwrap_or(1);
    scale_in.window.max(interval * longest) * 2 + interval * 4
}

impl SizePolicy {
    /// Most hosts that one decision may add to a fleet of this size.
    #[must_use]
    pub fn step_out(&self, current: u32) -> u32 {
        self.step_out_max.unwrap_or(current.max(4))
    }
}

/// One subnet, with its zone looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The zone.
    pub zone: Zone,
    /// The subnet in it.
    pub subnet: SubnetId,
}

/// Whether a fleet's decisions are acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Decides and acts.
    Live,
    /// Decides and audits; makes no mutating call.
    DryRun,
}

/// Bounds and steps, in hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizePolicy {
    /// Never fewer, where no schedule raises it.
    pub min: u32,
    /// Never more, where no schedule sets another.
    pub max: u32,
    /// Most hosts one decision may add; `None`: max(4, the current size).
    pub step_out_max: Option<u32>,
    /// Most hosts one decision may remove.
    pub step_in_max: u32,
}

/// "When this holds for so long, do that."
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name; unique in the fleet.
    pub name: String,
    /// The condition.
    pub when: Condition,
    /// How many of the last observations must hold.
    pub sustained: Sustained,
    /// What it would like.
    pub action: RuleAction,
    /// How long after it fired it may fire again; `None`: the fleet's cooldown of its direction.
    pub cooldown: Option<Duration>,
}

impl Rule {
    /// What it says of one observation: with the hosts that were heard, and with the silent ones at their least
    /// favourable for what it would do.
    #[must_use]
    pub fn truth(&self, observation: &Observation) -> Truth {
        let doubt = if self.action.is_out() { Facet::IfIdle } else { Facet::IfBusy };
        match (self.when.evaluate(observation, Facet::Heard), self.when.evaluate(observation, doubt)) {
            (Truth::Unknown, _) | (_, Truth::Unknown) => Truth::Unknown,
            (Truth::Holds, Truth::Holds) => Truth::Holds,
            (Truth::Fails, _) | (_, Truth::Fails) => Truth::Fails,
        }
    }
}

/// `hits` of the last `of` observations. 1 ≤ hits ≤ of ≤ 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sustained {
    /// At least so many must hold…
    pub hits: u32,
    /// …of so many.
    pub of: u32,
}

/// What a rule would like to change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// So many hosts more.
    Add(u32),
    /// So many hosts fewer.
    Remove(u32),
    /// So many percent more, rounded up; at least one.
    AddPercent(f64),
    /// So many percent fewer, rounded down; at least one.
    RemovePercent(f64),
}

impl RuleAction {
    /// The size it would like, from the size wanted so far.
    #[must_use]
    pub fn apply(self, size: u32) -> u32 {
        match self {
            Self::Add(count) => size.saturating_add(count),
            Self::Remove(count) => size.saturating_sub(count),
            Self::AddPercent(percent) => size.saturating_add(share(size, percent, f64::ceil)),
            Self::RemovePercent(percent) => size.saturating_sub(share(size, percent, f64::floor)),
        }
    }

    /// Whether it makes the fleet larger.
    #[must_use]
    pub fn is_out(self) -> bool {
        matches!(self, Self::Add(_) | Self::AddPercent(_))
    }
}

/// So many percent of a size, at least one.
fn share(size: u32, percent: f64, round: fn(f64) -> f64) -> u32 {
    to_size(round(f64::from(size) * percent / 100.0)).max(1)
}

/// A computed size as a whole number: what is no size at all (NaN, below zero) is 0, what is too large stays large.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what is meant"
)]
pub(super) fn to_size(size: f64) -> u32 {
    size as u32
}

/// "Keep this signal at that value": in proportion, with a head-room that is learned from how the load has behaved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its name; unique in the fleet.
    pub name: String,
    /// The signal.
    pub signal: SignalName,
    /// The value to keep.
    pub value: f64,
    /// How far the signal may be above the value before hosts are added, relative to it, 0–1.
    pub tolerance: f64,
    /// Share of the load that may come before its hosts do, 0–1: the head-room is learned to keep it.
    pub shortfall: f64,
    /// Whether load that is expected counts, too; `None`: only load that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<ForecastPolicy>,
}

/// How far a forecast is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForecastPolicy {
    /// At most so many more hosts than the present load asks for.
    pub hosts_max: u32,
}

/// How long after a change of size the next one waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cooldown {
    /// Since the last scale-out.
    pub scale_out: Duration,
    /// Since the last change in either direction.
    pub scale_in: Duration,
}

/// How hosts are given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleIn {
    /// Never below the highest size recommended within it.
    pub window: Duration,
    /// Which host goes first.
    pub order: VictimOrder,
    /// A host with this tag is never a victim.
    pub protect_tag: String,
}

/// Which host goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VictimOrder {
    /// By launch time, the earliest first.
    Oldest,
    /// By launch time, the latest first.
    Newest,
    /// From the fullest zone, the oldest in it first.
    ZoneBalance,
}

/// What stops everything.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Safety {
    /// More than this share (and more than 2 hosts) unhealthy or unknown: no terminations. 0–1.
    pub halt_unhealthy: f64,
    /// At most so many terminations…
    pub budget_count: u32,
    /// …in any span of this length, for every reason together.
    pub budget_per: Duration,
    /// So many launch failures in a row open the breaker.
    pub launch_failures_max: u32,
    /// After so long without another failure one launch is tried again.
    pub breaker_reset: Duration,
}
