//! A fleet in the overview: the same as its page says, without the lists.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::fleet::FleetConfig;
use crate::decide::policy::Mode;
use crate::domain::ids::FleetName;
use crate::store::history::{DecisionHead, Standing};
use crate::view::decision::DecisionSummary;
use crate::view::fleet::next::{Next, Waits};
use crate::view::fleet::observed::Observed;
use crate::view::fleet::schedule::ScheduleStatus;
use crate::view::fleet::{Breaker, Cooldowns, LeaseRow, PauseRow, Size};
use crate::view::fleet::{live, no_hosts, pauses};

/// How one fleet stands, in brief.
#[derive(Debug, Serialize, ToSchema)]
pub struct FleetSummary {
    /// Its name.
    pub fleet: FleetName,
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
    /// What was observed last, each signal beside its thresholds; null: nothing yet.
    pub observed: Option<Observed>,
    /// What it waits for.
    pub next: Next,
    /// How long a change of size still waits.
    pub cooldowns: Cooldowns,
    /// What people have paused.
    pub pauses: Vec<PauseRow>,
    /// Whether launches are tried.
    pub breaker: Breaker,
    /// How many pools (zone and type) refused for capacity and are left alone.
    pub pools_cooling: u32,
    /// How many requests no decision has answered.
    pub requests: u32,
    /// Who acts for it; null: nobody ever did.
    pub lease: Option<LeaseRow>,
    /// The newest decision; null: there is none.
    pub last_decision: Option<DecisionSummary>,
}

impl FleetSummary {
    /// Works it out.
    #[must_use]
    pub fn of(config: Option<&FleetConfig>, standing: Standing) -> Self {
        let now: DateTime<Utc> = standing.now;
        let mut hosts = no_hosts();
        for (state, count) in &mut hosts {
            *count = standing.hosts.get(*state).copied().unwrap_or_default();
        }
        let cooldowns = Cooldowns::of(config, &standing.memory, now);
        let pauses = pauses(&standing.memory, now);
        let breaker = Breaker::of(config, &standing.memory, now);
        let lease = standing.lease.map(|lease| LeaseRow::of(lease, now));
        let last_decision = standing.last.as_ref().map(DecisionSummary::from);
        let next = Waits {
            config,
            hosts: &hosts,
            cooldowns: &cooldowns,
            pauses: &pauses,
            breaker: &breaker,
            pools_cooling: standing.pools_cooling as usize,
            requests: standing.requests as usize,
            lease: lease.as_ref(),
            last: last_decision.as_ref(),
            window: &[],
            wanted: standing.memory.desired,
        };
        Self {
            mode: config.map(|config| config.mode),
            interval_seconds: config.map(|config| config.interval.as_secs_f64()),
            size: Size::of(config, now, standing.memory.desired, (live(&hosts), standing.reserved)),
            schedules: ScheduleStatus::all(config, now),
            observed: standing.observed.as_ref().map(|newest| Observed::of(config, newest)),
            next: next.next(),
            cooldowns,
            pauses,
            breaker,
            pools_cooling: standing.pools_cooling,
            requests: standing.requests,
            lease,
            last_decision,
            fleet: standing.fleet,
            hosts,
        }
    }

    /// A fleet whose file is there and that no replica has looked at yet.
    #[must_use]
    pub fn unheard(config: &FleetConfig, now: DateTime<Utc>) -> Self {
        let standing = Standing {
            fleet: config.name.clone(),
            now,
            lease: None,
            memory: crate::decide::snapshot::FleetMemory::default(),
            hosts: BTreeMap::new(),
            reserved: 0,
            pools_cooling: 0,
            requests: 0,
            last: None::<DecisionHead>,
            observed: None,
        };
        Self::of(Some(config), standing)
    }
}
