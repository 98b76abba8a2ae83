//! How a fleet stands, worked out from its configuration and from what is remembered of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::cli::words::left;
use crate::config::fleet::FleetConfig;
use crate::decide::plan::{Action, ReasonCode};
use crate::decide::policy::Mode;
use crate::decide::snapshot::{FleetMemory, OperatorRequest, PoolHealth};
use crate::domain::host::{Host, HostState};
use crate::domain::ids::{DecisionId, FleetName, LaunchId};
use crate::domain::launch::Launch;
use crate::domain::time::{Timestamp, after};
use crate::store::{DecisionRow, Lease, StoredFleet};

/// How one fleet stands.
#[derive(Debug, Serialize)]
pub(crate) struct FleetStatus {
    pub(crate) fleet: FleetName,
    pub(crate) at: Timestamp,
    /// `None`: no file configures it any more.
    pub(crate) mode: Option<Mode>,
    pub(crate) size: Size,
    pub(crate) hosts: BTreeMap<&'static str, usize>,
    pub(crate) cooldowns: Cooldowns,
    pub(crate) pauses: Vec<PauseRow>,
    pub(crate) breaker: Breaker,
    pub(crate) pools_cooling: Vec<PoolHealth>,
    pub(crate) open_launches: Vec<OpenLaunch>,
    pub(crate) requests: Vec<OperatorRequest>,
    pub(crate) termination_budget: Option<Budget>,
    pub(crate) lease: Option<LeaseRow>,
    pub(crate) last_decision: Option<LastDecision>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Size {
    pub(crate) wanted: Option<u32>,
    pub(crate) live: usize,
    pub(crate) reserved: u32,
    pub(crate) min: Option<u32>,
    pub(crate) max: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Cooldowns {
    pub(crate) scale_out_seconds: u64,
    pub(crate) scale_in_seconds: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct PauseRow {
    pub(crate) direction: &'static str,
    pub(crate) until: Option<Timestamp>,
    pub(crate) actor: String,
    pub(crate) reason: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Breaker {
    pub(crate) open: bool,
    pub(crate) launch_failures: u32,
    pub(crate) launch_failures_max: Option<u32>,
    pub(crate) resets_at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OpenLaunch {
    pub(crate) launch_id: LaunchId,
    pub(crate) missing: u32,
    pub(crate) attempts: u32,
    pub(crate) since: Timestamp,
}

#[derive(Debug, Serialize)]
pub(crate) struct Budget {
    pub(crate) used: usize,
    pub(crate) count: u32,
    pub(crate) per_seconds: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct LeaseRow {
    #[serde(flatten)]
    pub(crate) lease: Lease,
    pub(crate) held: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct LastDecision {
    pub(crate) decision_id: DecisionId,
    pub(crate) at: Timestamp,
    pub(crate) last_at: Timestamp,
    pub(crate) count: i64,
    pub(crate) action: Action,
    pub(crate) size_before: u32,
    pub(crate) size_wanted: u32,
    pub(crate) outcome: String,
    pub(crate) code: ReasonCode,
    pub(crate) reason: String,
}

impl FleetStatus {
    /// Works it out.
    pub(crate) fn of(
        name: &FleetName,
        config: Option<&FleetConfig>,
        stored: StoredFleet,
        last: Option<&DecisionRow>,
    ) -> Self {
        let now = stored.now;
        Self {
            fleet: name.clone(),
            at: now,
            mode: config.map(|config| config.mode),
            size: Size {
                wanted: stored.memory.desired,
                live: stored.hosts.iter().filter(|host| host.state.is_capacity()).count(),
                reserved: stored.launches.iter().map(Launch::missing).sum(),
                min: config.map(|config| config.size.min),
                max: config.map(|config| config.size.max),
            },
            hosts: by_state(&stored.hosts),
            cooldowns: Cooldowns::of(config, &stored.memory, now),
            pauses: pauses(&stored.memory, now),
            breaker: Breaker::of(config, &stored.memory, now),
            pools_cooling: stored.pools.into_iter().filter(|pool| pool.is_cooling(now)).collect(),
            open_launches: stored
                .launches
                .iter()
                .map(|launch| OpenLaunch {
                    launch_id: launch.id,
                    missing: launch.missing(),
                    attempts: launch.attempts,
                    since: launch.created_at,
                })
                .collect(),
            requests: stored.requests,
            termination_budget: config.map(|config| Budget {
                used: stored.drains_in_budget.len(),
                count: config.safety.budget_count,
                per_seconds: config.safety.budget_per.as_secs(),
            }),
            lease: stored.lease.map(|lease| LeaseRow { held: now < lease.expires_at, lease }),
            last_decision: last.map(LastDecision::of),
        }
    }
}

impl Cooldowns {
    fn of(config: Option<&FleetConfig>, memory: &FleetMemory, now: Timestamp) -> Self {
        let seconds = |since: Option<Timestamp>, span: Option<Duration>| {
            let end = since.zip(span).map(|(since, span)| after(since, span));
            end.and_then(|end| left(now, end))
                .map_or(0, |left| left.as_secs() + u64::from(left.subsec_nanos() > 0))
        };
        let cooldown = config.map(|config| config.cooldown);
        Self {
            scale_out_seconds: seconds(memory.last_scale_out, cooldown.map(|cooldown| cooldown.scale_out)),
            scale_in_seconds: seconds(memory.last_change, cooldown.map(|cooldown| cooldown.scale_in)),
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

impl LastDecision {
    fn of(row: &DecisionRow) -> Self {
        Self {
            decision_id: row.id,
            at: row.at,
            last_at: row.last_at,
            count: row.count,
            action: row.plan.action,
            size_before: row.plan.size_before,
            size_wanted: row.plan.size_wanted,
            outcome: row.outcome.clone(),
            code: row.plan.code,
            reason: row.plan.reason.clone(),
        }
    }
}

fn by_state(hosts: &[Host]) -> BTreeMap<&'static str, usize> {
    let mut counts: BTreeMap<&'static str, usize> = HostState::NAMES.map(|name| (name, 0)).into();
    for host in hosts {
        *counts.entry(host.state.name()).or_default() += 1;
    }
    counts
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
