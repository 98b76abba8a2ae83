//! One fleet's settings, checked.

mod candidates;
mod launch;
mod metrics;
pub(super) mod read;
mod rules;
mod schedules;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::decide::bounds::Bounds;
use crate::decide::policy::{
    Candidate, Cooldown, Mode, Place, Policy, Rule, Safety, ScaleIn, SizePolicy, Target,
};
use crate::decide::schedule::Schedule;
use crate::decide::signal::{Catalog, HOST_SIGNALS};
use crate::domain::ids::{FleetName, InstanceType, SubnetId, TargetGroupArn};
use crate::domain::launch::{Market, TemplateRef};
use crate::domain::time::Timestamp;

/// `fleets/NAME.toml`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetConfig {
    /// Its name; the file's stem.
    pub name: FleetName,
    /// Whether decisions are acted on.
    pub mode: Mode,
    /// Observe, decide, act this often.
    pub interval: Duration,
    /// Bounds and steps.
    pub size: SizePolicy,
    /// Other bounds for a time, in the order of the file.
    pub schedules: Vec<Schedule>,
    /// What is launched.
    pub launch: LaunchConfig,
    /// What balances its load.
    pub balancer: BalancerConfig,
    /// What is measured.
    pub metrics: MetricsConfig,
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
    /// Policies that are tried beside this one, in the order of the file.
    pub candidates: Vec<CandidateConfig>,
}

impl FleetConfig {
    /// What deciding needs of it. `places` are its subnets with their zones, which only the cloud knows.
    #[must_use]
    pub fn policy(&self, places: Vec<Place>) -> Policy {
        let policy = Policy {
            fleet: self.name.clone(),
            mode: self.mode,
            interval: self.interval,
            size: self.size,
            schedules: self.schedules.clone(),
            rules: self.rules.clone(),
            targets: self.targets.clone(),
            cooldown: self.cooldown,
            scale_in: self.scale_in.clone(),
            safety: self.safety,
            quorum: self.metrics.host.quorum,
            boot_timeout: self.launch.boot_timeout,
            health_grace: self.balancer.health_grace,
            target_groups: self.balancer.target_groups.clone(),
            places,
            instance_types: self.launch.instance_types.clone(),
            candidates: Vec::new(),
        };
        let candidates = self.candidates.iter().map(|candidate| candidate.of(&policy)).collect();
        Policy { candidates, ..policy }
    }

    /// The bounds of its size at `now`.
    #[must_use]
    pub fn bounds(&self, now: Timestamp) -> Bounds {
        Bounds::at(&self.size, &self.schedules, now)
    }

    /// The signals that its conditions may use.
    #[must_use]
    pub fn catalog(&self) -> Catalog {
        self.metrics.catalog()
    }
}

/// A policy that is tried beside the one in force; what its file does not say is the fleet's own already.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateConfig {
    /// Its name.
    pub name: String,
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
}

impl CandidateConfig {
    /// The whole policy, `own` being the one in force.
    fn of(&self, own: &Policy) -> Candidate {
        let policy = Policy {
            size: self.size,
            schedules: self.schedules.clone(),
            rules: self.rules.clone(),
            targets: self.targets.clone(),
            cooldown: self.cooldown,
            scale_in: self.scale_in.clone(),
            ..own.clone()
        };
        Candidate { name: self.name.clone(), policy }
    }
}

/// What is launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchConfig {
    /// Which template.
    pub template: TemplateRef,
    /// Its version as written: a number, `$Latest` or `$Default`.
    pub template_version: String,
    /// Where; their zones are looked up.
    pub subnets: Vec<SubnetId>,
    /// What, in order of preference; empty: what the template says.
    pub instance_types: Vec<InstanceType>,
    /// Bought how.
    pub market: Market,
    /// A host that is not healthy by then is terminated and counts as a failed launch.
    pub boot_timeout: Duration,
    /// A pool that refused for capacity is left alone so long, doubling…
    pub pool_cooldown: Duration,
    /// …up to this.
    pub pool_cooldown_max: Duration,
    /// Tags beside the scaler's own.
    pub tags: BTreeMap<String, String>,
}

/// What balances a fleet's load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalancerConfig {
    /// The target groups; empty: the fleet has no balancer.
    pub target_groups: Vec<TargetGroupArn>,
    /// Terminate at the latest so long after deregistration; `None`: the largest deregistration delay + 60 s.
    pub drain_timeout: Option<Duration>,
    /// How long a registered host may be unhealthy before it counts as failed.
    pub health_grace: Duration,
}

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsConfig {
    /// How host pages are asked for; without `[metrics.host]` by the defaults.
    pub host: HostMetricsConfig,
    /// Whether any rule or target uses a host signal: if not, no host is asked.
    pub host_needed: bool,
    /// Questions to a Prometheus-compatible engine, in the order of the file.
    pub queries: Vec<QueryConfig>,
    /// Series of the hosts' own pages, in the order of the file.
    pub scrapes: Vec<ScrapeConfig>,
}

impl MetricsConfig {
    /// The signals that these sources offer.
    #[must_use]
    pub fn catalog(&self) -> Catalog {
        let scrapes = self.scrapes.iter().map(|scrape| scrape.name.clone());
        Catalog {
            host: HOST_SIGNALS.map(str::to_owned).into_iter().chain(scrapes).collect(),
            fleet: self.queries.iter().map(|query| query.name.clone()).collect(),
        }
    }
}

/// How host pages are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct HostMetricsConfig {
    /// The port.
    pub port: u16,
    /// The path.
    pub path: String,
    /// The deadline for one page, connect to last byte.
    pub timeout: Duration,
    /// Bytes of one page at most, after decompression.
    pub max_bytes: usize,
    /// Share of in-service hosts whose fresh sample it takes to scale in, 0–1.
    pub quorum: f64,
    /// Whether loopback and link-local addresses may be asked.
    pub allow_loopback: bool,
}

/// One question to a Prometheus-compatible engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryConfig {
    /// The signal's name.
    pub name: String,
    /// The engine's base URL.
    pub url: url::Url,
    /// PromQL that gives one number.
    pub query: String,
    /// The deadline.
    pub timeout: Duration,
}

/// One series of the hosts' own pages.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrapeConfig {
    /// The signal's name.
    pub name: String,
    /// The metric's name on the page.
    pub metric: String,
    /// Labels that a series must carry; more than one match is summed.
    pub labels: BTreeMap<String, String>,
    /// What kind of series it is.
    pub kind: SeriesKind,
    /// Multiplies the value.
    pub scale: f64,
    /// The port, where it is not the host page's own.
    pub port: Option<u16>,
}

/// What kind of series a scrape reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesKind {
    /// The value as it stands.
    Gauge,
    /// The rate per second between two scrapes.
    Counter,
}
