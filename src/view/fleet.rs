//! How a fleet stands, worked out from its configuration and from what is remembered of it.

pub mod boot;
pub mod forecast;
pub mod next;
pub mod observed;
pub mod rule;
pub mod schedule;
pub mod summary;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::fleet::FleetConfig;
use crate::decide::bounds::Scheduled;
use crate::decide::plan::CandidatePlan;
use crate::decide::policy::Mode;
use crate::decide::snapshot::{FleetMemory, OperatorRequest, PoolHealth};
use crate::domain::boot::Boot;
use crate::domain::host::{Host, HostState};
use crate::domain::ids::{FleetName, LaunchId};
use crate::domain::launch::Launch;
use crate::domain::time::{Timestamp, after};
use crate::store::{DecisionRow, Lease, StoredFleet};
use crate::view::decision::DecisionSummary;
use crate::view::fleet::boot::BootStatus;
use crate::view::fleet::forecast::ForecastStatus;
use crate::view::fleet::next::{Next, Waits};
use crate::view::fleet::observed::Observed;
use crate::view::fleet::rule::RuleStatus;
use crate::view::fleet::schedule::ScheduleStatus;
use crate::view::host::OBSERVATION_AGE;
use crate::view::words::left;

/// How one fleet stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct FleetStatus {
    /// Its name.
    pub fleet: FleetName,
    /// The moment of this answer, by the database's clock.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub at: DateTime<Utc>,
    /// Whether decisions are acted on; null: no file configures it any more.
    #[schema(inline)]
    pub mode: Option<Mode>,
    /// How often it is evaluated, in seconds; null: no file configures it any more.
    pub interval_seconds: Option<f64>,
    /// Its size.
    pub size: Size,
    /// Its schedules: those in force, and then those to come, the next one first.
    pub schedules: Vec<ScheduleStatus>,
    /// Hosts that are not gone, by state; every state is named.
    pub hosts: BTreeMap<&'static str, u32>,
    /// What was observed at the last evaluation, each signal beside its thresholds; null: nothing lately.
    pub observed: Option<Observed>,
    /// Its rules, each with the observations that it looks at.
    pub rules: Vec<RuleStatus>,
    /// What it waits for.
    pub next: Next,
    /// How long a change of size still waits.
    pub cooldowns: Cooldowns,
    /// What people have paused.
    pub pauses: Vec<PauseRow>,
    /// Whether launches are tried.
    pub breaker: Breaker,
    /// Pools (zone and type) that refused for capacity and are left alone.
    pub pools_cooling: Vec<PoolHealth>,
    /// How long its last hosts took from launch to healthy; null: fewer than three are known.
    pub boot: Option<BootStatus>,
    /// Launches that still lack hosts.
    pub open_launches: Vec<OpenLaunch>,
    /// What people asked for and no decision has answered.
    pub requests: Vec<OperatorRequest>,
    /// How many more hosts may be taken out; null: no file configures it any more.
    pub termination_budget: Option<Budget>,
    /// Who acts for it; null: nobody ever did.
    pub lease: Option<LeaseRow>,
    /// The newest decision; null: there is none.
    pub last_decision: Option<DecisionSummary>,
    /// What is expected of the load of each target that may follow a forecast, as that decision saw it.
    pub forecasts: Vec<ForecastStatus>,
    /// What policies that are tried beside the one in force would have done in its place. None of it was done.
    pub candidates: Vec<CandidatePlan>,
}

/// A fleet's size, in hosts.
#[derive(Debug, Serialize, ToSchema)]
pub struct Size {
    /// Last wanted; null: nothing was ever decided.
    pub wanted: Option<u32>,
    /// Hosts that serve, will serve, or may serve again.
    pub live: u32,
    /// Hosts that open launches may still buy.
    pub reserved: u32,
    /// Never fewer, as of now; null: no file configures it any more.
    pub min: Option<u32>,
    /// The schedule that `min` is from; null: the fleet's own.
    pub min_by: Option<String>,
    /// Never more, as of now; null: no file configures it any more.
    pub max: Option<u32>,
    /// The schedule that `max` is from; null: the fleet's own.
    pub max_by: Option<String>,
}

impl Size {
    /// `live` and `reserved` hosts, and what is wanted of them within the bounds at `now`.
    fn of(
        config: Option<&FleetConfig>,
        now: Timestamp,
        wanted: Option<u32>,
        (live, reserved): (u32, u32),
    ) -> Self {
        let bounds = config.map(|config| config.bounds(now));
        let (min, max) = (bounds.as_ref().map(|bounds| bounds.min), bounds.as_ref().map(|bounds| bounds.max));
        let (floor, ceiling) = bounds.map_or((None, None), |bounds| (bounds.floor, bounds.ceiling));
        let name = |by: Option<Scheduled>| by.map(|by| by.name);
        Self { wanted, live, reserved, min, min_by: name(floor), max, max_by: name(ceiling) }
    }
}

/// How long a change of size still waits.
#[derive(Debug, Serialize, ToSchema)]
pub struct Cooldowns {
    /// Seconds until it may grow; 0: now.
    pub scale_out_seconds: u64,
    /// When it may grow; null: now.
    #[serde(serialize_with = "crate::domain::time::json::optional")]
    pub scale_out_until: Option<DateTime<Utc>>,
    /// Seconds until it may shrink; 0: now.
    pub scale_in_seconds: u64,
    /// When it may shrink; null: now.
    #[serde(serialize_with = "crate::domain::time::json::optional")]
    pub scale_in_until: Option<DateTime<Utc>>,
}

/// A person's "not now".
#[derive(Debug, Serialize, ToSchema)]
pub struct PauseRow {
    /// `out` or `in`.
    pub direction: &'static str,
    /// When it ends by itself; null: when somebody resumes.
    #[serde(serialize_with = "crate::domain::time::json::optional")]
    pub until: Option<DateTime<Utc>>,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// Launches that fail in a row open it, and while it is open none is tried.
#[derive(Debug, Serialize, ToSchema)]
pub struct Breaker {
    /// Whether it is open.
    pub open: bool,
    /// Launch failures in a row.
    pub launch_failures: u32,
    /// So many open it; null: no file configures the fleet any more.
    pub launch_failures_max: Option<u32>,
    /// When one launch is tried again; null: it was not opened.
    #[serde(serialize_with = "crate::domain::time::json::optional")]
    pub resets_at: Option<DateTime<Utc>>,
}

/// A launch that still lacks hosts.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenLaunch {
    /// Its id; the value of the launch tag on its hosts.
    pub launch_id: LaunchId,
    /// Hosts it may still buy.
    pub missing: u32,
    /// Attempts so far.
    pub attempts: u32,
    /// When it was committed.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub since: DateTime<Utc>,
}

/// Terminations within a sliding span.
#[derive(Debug, Serialize, ToSchema)]
pub struct Budget {
    /// Spent.
    pub used: usize,
    /// Of so many.
    pub count: u32,
    /// Within so many seconds.
    pub per_seconds: u64,
}

/// Who may act for a fleet.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeaseRow {
    /// The lease as it stands.
    #[serde(flatten)]
    pub lease: Lease,
    /// Whether it holds at this moment.
    pub held: bool,
}

/// Observations that are older than this are not looked at, whoever would.
const HORIZON_MAX: Duration = Duration::from_hours(1);

/// How far back observations are of use to say how a fleet stands: as far as its longest rule looks, and its scale-in.
#[must_use]
pub fn horizon(config: Option<&FleetConfig>) -> Duration {
    let Some(config) = config else { return OBSERVATION_AGE };
    let longest = config.rules.iter().map(|rule| rule.sustained.of).max().unwrap_or(1);
    let rules = config.interval.saturating_mul(longest.saturating_add(1));
    rules.max(config.scale_in.window.saturating_add(config.interval)).clamp(OBSERVATION_AGE, HORIZON_MAX)
}

impl FleetStatus {
    /// Works it out. The rules look at the observations in `stored`, as far back as these go.
    #[must_use]
    pub fn of(
        name: &FleetName,
        config: Option<&FleetConfig>,
        stored: StoredFleet,
        last: Option<&DecisionRow>,
        boots: &[Boot],
    ) -> Self {
        let now = stored.now;
        let hosts = by_state(&stored.hosts);
        let reserved = stored.launches.iter().map(Launch::missing).sum();
        let cooldowns = Cooldowns::of(config, &stored.memory, now);
        let pauses = pauses(&stored.memory, now);
        let breaker = Breaker::of(config, &stored.memory, now);
        let lease = stored.lease.clone().map(|lease| LeaseRow::of(lease, now));
        let last_decision = last.map(DecisionSummary::from);
        let pools_cooling: Vec<_> =
            stored.pools.iter().filter(|pool| pool.is_cooling(now)).cloned().collect();
        let next = Waits {
            config,
            hosts: &hosts,
            cooldowns: &cooldowns,
            pauses: &pauses,
            breaker: &breaker,
            pools_cooling: pools_cooling.len(),
            requests: stored.requests.len(),
            lease: lease.as_ref(),
            last: last_decision.as_ref(),
            window: &stored.window,
            wanted: stored.memory.desired,
        };
        Self {
            fleet: name.clone(),
            at: now,
            mode: config.map(|config| config.mode),
            interval_seconds: config.map(|config| config.interval.as_secs_f64()),
            size: Size::of(config, now, stored.memory.desired, (live(&hosts), reserved)),
            schedules: ScheduleStatus::all(config, now),
            observed: stored.window.last().map(|newest| Observed::of(config, newest)),
            rules: rule::statuses(config, &stored),
            next: next.next(),
            cooldowns,
            pauses,
            breaker,
            pools_cooling,
            boot: BootStatus::of(config, boots),
            open_launches: stored.launches.iter().map(OpenLaunch::of).collect(),
            requests: stored.requests,
            termination_budget: config.map(|config| Budget {
                used: stored.drains_in_budget.len(),
                count: config.safety.budget_count,
                per_seconds: config.safety.budget_per.as_secs(),
            }),
            lease,
            forecasts: last.map(|last| ForecastStatus::all(&last.plan)).unwrap_or_default(),
            candidates: last.map(|last| last.plan.candidates.clone()).unwrap_or_default(),
            last_decision,
            hosts,
        }
    }
}

impl OpenLaunch {
    fn of(launch: &Launch) -> Self {
        Self {
            launch_id: launch.id,
            missing: launch.missing(),
            attempts: launch.attempts,
            since: launch.created_at,
        }
    }
}

impl LeaseRow {
    fn of(lease: Lease, now: Timestamp) -> Self {
        Self { held: now < lease.expires_at, lease }
    }
}

impl Cooldowns {
    fn of(config: Option<&FleetConfig>, memory: &FleetMemory, now: Timestamp) -> Self {
        let end = |since: Option<Timestamp>, span: Option<Duration>| {
            let end = since.zip(span).map(|(since, span)| after(since, span));
            end.filter(|end| now < *end)
        };
        let seconds = |end: Option<Timestamp>| {
            end.and_then(|end| left(now, end))
                .map_or(0, |left| left.as_secs() + u64::from(left.subsec_nanos() > 0))
        };
        let cooldown = config.map(|config| config.cooldown);
        let out = end(memory.last_scale_out, cooldown.map(|cooldown| cooldown.scale_out));
        let inward = end(memory.last_change, cooldown.map(|cooldown| cooldown.scale_in));
        Self {
            scale_out_seconds: seconds(out),
            scale_out_until: out,
            scale_in_seconds: seconds(inward),
            scale_in_until: inward,
        }
    }
}

impl Breaker {
    fn of(config: Option<&FleetConfig>, memory: &FleetMemory, now: Timestamp) -> Self {
        let safety = config.map(|config| config.safety);
        let tripped = safety.is_some_and(|safety| memory.launch_failures >= safety.launch_failures_max);
        let resets_at = safety
            .zip(memory.last_launch_failure)
            .filter(|_| tripped)
            .map(|(safety, last)| after(last, safety.breaker_reset));
        Self {
            open: resets_at.is_some_and(|resets_at| now < resets_at),
            launch_failures: memory.launch_failures,
            launch_failures_max: safety.map(|safety| safety.launch_failures_max),
            resets_at,
        }
    }
}

/// Hosts that count towards the size.
fn live(hosts: &BTreeMap<&'static str, u32>) -> u32 {
    ["pending", "running", "registered", "healthy", "unhealthy"]
        .iter()
        .filter_map(|state| hosts.get(state))
        .sum()
}

fn by_state(hosts: &[Host]) -> BTreeMap<&'static str, u32> {
    let mut counts = no_hosts();
    for host in hosts {
        *counts.entry(host.state.name()).or_default() += 1;
    }
    counts
}

fn no_hosts() -> BTreeMap<&'static str, u32> {
    HostState::NAMES.map(|name| (name, 0)).into()
}

fn pauses(memory: &FleetMemory, now: Timestamp) -> Vec<PauseRow> {
    [("out", &memory.pause_out), ("in", &memory.pause_in)]
        .into_iter()
        .filter_map(|(direction, pause)| pause.as_ref().map(|pause| (direction, pause)))
        .filter(|(_, pause)| pause.holds(now))
        .map(|(direction, pause)| PauseRow {
            direction,
            until: pause.until,
            actor: pause.actor.clone(),
            reason: pause.reason.clone(),
        })
        .collect()
}
