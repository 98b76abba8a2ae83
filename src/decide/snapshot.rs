//! Everything one decision is made from. Whoever has the snapshot can make the decision again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decide::forecast::Forecast;
use crate::decide::policy::{Policy, Safety};
use crate::decide::signal::{Observation, SignalName};
use crate::domain::host::Host;
use crate::domain::ids::{InstanceId, LaunchId, OperatorActionId, Pool, Zone};
use crate::domain::time::{Timestamp, after};

/// One fleet at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The database's clock.
    pub now: Timestamp,
    /// What the operator wants.
    pub policy: Arc<Policy>,
    /// Every host that is not final, ordered by id.
    pub hosts: Vec<HostView>,
    /// Intents with hosts still to be bought, ordered by id.
    pub launches: Vec<OpenLaunch>,
    /// This tick's observation; `recommended` is still `None`.
    pub current: Observation,
    /// Earlier observations, oldest first, as far back as the policy looks.
    pub window: Vec<Observation>,
    /// What is remembered of earlier decisions.
    pub memory: FleetMemory,
    /// What operators asked for and no decision has answered, oldest first.
    pub requests: Vec<OperatorRequest>,
    /// When hosts were chosen to go, within the budget's span.
    pub drains_in_budget: Vec<Timestamp>,
    /// What is known of pools that refused; a pool that is not here is fine.
    pub pools: Vec<PoolHealth>,
    /// Instances with our tags that no row knows yet, and that no open launch may turn out to have bought: they count as
    /// live from the moment they are seen, and nothing is done to them before they are adopted.
    pub orphans: u32,
    /// Where the balancer sends no traffic.
    pub unserved: Unserved,
    /// Whether the cloud could be described this tick. If not, hosts are as last known and nothing is torn down.
    pub cloud: CloudView,
    /// How long a host takes from its launch until it is healthy: a high percentile (95 %) of the last ones. `None`:
    /// nobody has measured it.
    pub boot_time: Option<Duration>,
    /// What load is expected, by signal, as far as this decision looks ahead.
    pub forecasts: BTreeMap<SignalName, Forecast>,
}

/// Zones in which a target group calls hosts of this fleet not in use: its load balancer does not serve the zone, or no
/// listener uses the group. That is the balancer's configuration and no host's fault; another host would fare no better.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unserved {
    /// At this moment. Nothing is bought there.
    pub now: BTreeSet<Zone>,
    /// Within the last `boot_timeout`, those of this moment among them. Hosts there are not given up: they have had no
    /// time to become healthy yet.
    pub lately: BTreeSet<Zone>,
}

/// Whether the cloud could be seen this tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloudView {
    /// Instances and target health are of this tick.
    Fresh,
    /// They could not be had; the text says why.
    Unknown(String),
}

/// One host, as a decision sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostView {
    /// The row.
    pub host: Host,
    /// Whether the cloud and its target groups were heard on it this tick.
    pub seen: Sighting,
    /// Whether it carries the protect tag, or lost this fleet's.
    pub protection: Protection,
    /// Whether any target group was asked to let it go.
    pub deregistration: Deregistration,
}

/// What was seen of a host this tick. Nothing destructive ever follows from `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sighting {
    /// The cloud lists it.
    Present,
    /// The cloud answered and does not list it.
    Absent,
    /// The cloud, or one of its target groups, did not answer.
    Unknown,
}

/// Whether a host may be chosen to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// It may.
    None,
    /// An operator's tag keeps it.
    Tagged,
    /// It lives, and its tags no longer say that it is this fleet's: nobody may touch it, whatever its row says.
    Quarantined,
}

/// Whether a draining host's way out has begun where others can see it. From the first call on there is one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deregistration {
    /// No call for it was ever recorded.
    NotSent,
    /// A call was recorded; it may have been done.
    Sent,
}

/// A launch intent with hosts missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenLaunch {
    /// Which.
    pub id: LaunchId,
    /// Hosts it may still buy.
    pub missing: u32,
    /// When it was committed.
    pub created_at: Timestamp,
}

/// What is remembered of a fleet between ticks, restarts and replicas.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FleetMemory {
    /// The size last wanted; `None`: nothing was ever decided.
    pub desired: Option<u32>,
    /// When a decision last made the fleet larger for its load.
    pub last_scale_out: Option<Timestamp>,
    /// When a decision last changed the size for its load, in either direction.
    pub last_change: Option<Timestamp>,
    /// When each rule last fired, by name.
    pub rules_fired: BTreeMap<String, Timestamp>,
    /// Launch failures in a row: refused for good, or never healthy.
    pub launch_failures: u32,
    /// When the last of them was.
    pub last_launch_failure: Option<Timestamp>,
    /// Scale-out (and repair) is paused until then, by a person.
    pub pause_out: Option<Pause>,
    /// Scale-in is paused until then, by a person.
    pub pause_in: Option<Pause>,
}

impl FleetMemory {
    /// Whether launches failed so often in a row, and so lately, that none is tried.
    #[must_use]
    pub fn breaker_is_open(&self, safety: &Safety, now: Timestamp) -> bool {
        self.launch_failures >= safety.launch_failures_max
            && self.last_launch_failure.is_some_and(|at| now < after(at, safety.breaker_reset))
    }
}

/// A person's "not now".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// It ends by itself then; `None`: when somebody resumes.
    pub until: Option<Timestamp>,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
}

impl Pause {
    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Something an operator asked for that takes a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OperatorRequest {
    /// Which row.
    pub id: OperatorActionId,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// What.
    pub ask: Ask,
}

/// What an operator asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// This size, now.
    SetSize(u32),
    /// This host out, by the ordinary path; it is not replaced beyond the size wanted.
    Drain(InstanceId),
}

/// What is known of a pool that refused for capacity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PoolHealth {
    /// Which.
    pub pool: Pool,
    /// Refusals since it last sold what was asked.
    pub failures: u32,
    /// Left alone until then.
    #[schema(value_type = DateTime<Utc>)]
    #[serde(with = "crate::domain::time::json")]
    pub cooling_until: Timestamp,
    /// Once it no longer cools: hosts the next attempt may ask for. Doubles on success.
    pub allowance: u32,
}

impl PoolHealth {
    /// Whether it is left alone at `now`.
    #[must_use]
    pub fn is_cooling(&self, now: Timestamp) -> bool {
        now < self.cooling_until
    }
}
