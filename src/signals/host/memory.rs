//! What is kept of each host between two scrapes.
//!
//! A cache, and no more: the counters to compare the next page with, and the values that may stand in for one failed
//! scrape. A service that restarts goes without both for one observation, which is what it says then. The memory is as
//! large as the fleets that were asked for last: whoever is not in a request is forgotten.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::fleet::MetricsConfig;
use crate::domain::ids::{FleetName, InstanceId};
use crate::signals::fault::FaultClass;
use crate::signals::host::derive::Baseline;
use crate::signals::{HarvestRequest, ScrapeTarget};

/// The least age up to which something kept is of use, whatever the fleet's interval.
const HORIZON_MIN: Duration = Duration::from_mins(1);
/// How many of a fleet's intervals something kept is of use.
const HORIZON_INTERVALS: u32 = 3;

/// A fleet that nobody harvested for so long is another replica's by now, or gone.
const ABANDONED: Duration = Duration::from_hours(1);

/// What is kept of every fleet.
#[derive(Debug, Default)]
pub(super) struct Memory(BTreeMap<FleetName, FleetMemory>);

/// What is kept of one fleet.
#[derive(Debug)]
pub(super) struct FleetMemory {
    /// What was asked for: when that changes, nothing that is kept means the same any more.
    metrics: MetricsConfig,
    /// When the fleet was last harvested.
    at: Instant,
    /// About how long there is from one harvest to the next.
    interval: Option<Duration>,
    hosts: BTreeMap<InstanceId, HostMemory>,
}

#[derive(Debug)]
struct HostMemory {
    address: IpAddr,
    pages: BTreeMap<u16, PageMemory>,
}

/// What is kept of one page.
#[derive(Debug, Default)]
pub(super) struct PageMemory {
    /// The counters to compare with.
    pub(super) baseline: Option<Baseline>,
    /// The values of the last good page and when it came; taken out by the failure that they stand in for.
    pub(super) values: Option<(Instant, BTreeMap<String, f64>)>,
    /// Why the last scrape failed, if it did.
    pub(super) failed: Option<FaultClass>,
    /// Whether pages of this host end with a line feed, once one did.
    pub(super) ends_with_line_feed: bool,
}

impl Memory {
    /// Notes that a fleet is being harvested: forgets hosts that are not asked for, and everything if what is asked for
    /// has changed.
    pub(super) fn begin(&mut self, request: &HarvestRequest, now: Instant) -> &mut FleetMemory {
        let fresh = || FleetMemory {
            metrics: request.metrics.clone(),
            at: now,
            interval: None,
            hosts: BTreeMap::new(),
        };
        self.0.retain(|_, fleet| now.saturating_duration_since(fleet.at) < ABANDONED);
        let fleet = self.0.entry(request.fleet.clone()).or_insert_with(fresh);
        if fleet.metrics != request.metrics {
            *fleet = fresh();
        }
        let asked: BTreeMap<&InstanceId, IpAddr> =
            request.hosts.iter().map(|target| (&target.host, target.address)).collect();
        fleet.hosts.retain(|host, kept| asked.get(host) == Some(&kept.address));
        fleet
    }

    /// The fleet's memory, if it is still there.
    pub(super) fn fleet(&mut self, fleet: &FleetName) -> Option<&mut FleetMemory> {
        self.0.get_mut(fleet)
    }

    /// How many fleets are known.
    pub(super) fn fleets(&self) -> usize {
        self.0.len()
    }

    /// How many hosts are known, over all fleets.
    pub(super) fn hosts(&self) -> usize {
        self.0.values().map(|fleet| fleet.hosts.len()).sum()
    }

    /// Forgets a host, and its fleet with its last one.
    pub(super) fn forget(&mut self, fleet: &FleetName, host: &InstanceId) {
        if let Some(kept) = self.0.get_mut(fleet) {
            kept.hosts.remove(host);
            if kept.hosts.is_empty() {
                self.0.remove(fleet);
            }
        }
    }
}

impl FleetMemory {
    /// How old something kept may be and still be of use, seen from `now`. A replica that gets a fleet back after an hour
    /// must not take an hour's mean for the load of this moment.
    pub(super) fn horizon(&mut self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.at);
        let interval = self.interval.unwrap_or(since);
        if now > self.at {
            self.at = now;
            // A harvest out of turn, because somebody poked, does not make the interval short.
            self.interval = Some(since.max(interval / 2));
        }
        HORIZON_MIN.max(interval.saturating_mul(HORIZON_INTERVALS))
    }

    /// Whether a host was asked last time and failed. One that was not asked is none the worse for it.
    pub(super) fn is_failing(&self, host: &InstanceId) -> bool {
        let failed = |page: &PageMemory| page.failed.is_some_and(|class| class != FaultClass::NotAsked);
        self.hosts.get(host).is_some_and(|host| host.pages.values().any(failed))
    }

    /// What is kept of one page of a host; nothing yet, if it is new.
    pub(super) fn page(&mut self, target: &ScrapeTarget, port: u16) -> &mut PageMemory {
        let host = self
            .hosts
            .entry(target.host.clone())
            .or_insert_with(|| HostMemory { address: target.address, pages: BTreeMap::new() });
        host.pages.entry(port).or_default()
    }
}
