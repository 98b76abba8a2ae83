//! Signals: named numbers, and what is known of them at one tick.
//!
//! A value is an interval. With every host heard, its three numbers are equal. With some hosts silent, `if_idle` is what
//! the value would be if each of those were at 0 %, and `if_busy` if each were at 100 %. Scaling out must be justified
//! by the first and scaling in by the second, so a missing host can delay a change and never cause one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::decide::condition::{Facet, check_name};
use crate::decide::trail::Trail;
use crate::domain::ids::{InstanceId, Zone};
use crate::domain::time::Timestamp;

/// A signal's full name as expressions write it: `cpu.avg`, `qps`, `hosts.healthy`.
pub type SignalName = String;

/// The signals that every host page offers, without their aggregate suffix.
pub const HOST_SIGNALS: [&str; 6] = ["cpu", "memory", "load1", "disk", "net_rx", "net_tx"];

/// Of [`HOST_SIGNALS`], those whose 100 % means "busy": only for these can a silent host stand in as 0 % or 100 %.
pub const BOUNDED_HOST_SIGNALS: [&str; 4] = ["cpu", "memory", "load1", "disk"];

/// The aggregates over a fleet's hosts.
pub const AGGREGATES: [&str; 8] = ["avg", "min", "max", "p50", "p90", "p95", "p99", "sum"];

/// The signals about the fleet itself.
pub const FLEET_SIGNALS: [&str; 3] = ["hosts.healthy", "hosts.in_service", "hosts.pending"];

/// Which names an expression of one fleet may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Per host: the host pages' own and the user's scrapes, without suffix.
    pub host: BTreeSet<String>,
    /// Per fleet: the user's queries.
    pub fleet: BTreeSet<String>,
}

/// One signal's value at one tick.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SignalValue)]
pub struct Value {
    /// Over the hosts that were heard.
    pub heard: f64,
    /// If every silent host were at 0 %.
    pub if_idle: f64,
    /// If every silent host were at 100 %.
    pub if_busy: f64,
}

impl Value {
    /// A value with nothing missing.
    #[must_use]
    pub fn exact(value: f64) -> Self {
        Self { heard: value, if_idle: value, if_busy: value }
    }
}

/// The API's description takes anything that is called `Value` for any JSON.
type Described = Value;

/// What was observed of a fleet at one tick. A name that is not in `values` is unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Observation {
    /// When, by the database's clock.
    #[schema(value_type = DateTime<Utc>)]
    #[serde(with = "crate::domain::time::json")]
    pub at: Timestamp,
    /// Every signal that has a value, by full name.
    #[schema(value_type = BTreeMap<String, Described>)]
    pub values: BTreeMap<SignalName, Value>,
    /// Hosts in service whose page gave a fresh sample.
    pub hosts_heard: u32,
    /// Hosts in service that were asked.
    pub hosts_asked: u32,
    /// The size recommended at that tick, before any guard; `None`: nothing could be recommended.
    pub recommended: Option<u32>,
    /// What each candidate recommended at that tick, by name, for its own window to look back on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub candidates: BTreeMap<String, Option<u32>>,
    /// What went wrong while it was taken, for people: one line a fault, bounded.
    pub faults: Vec<String>,
    /// Hosts that live and no longer carry this fleet's tags, by id: somebody changed them by hand, and nothing is done
    /// to them until they are put back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<InstanceId>,
    /// Zones to which the balancer sends no traffic, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unserved: Vec<Zone>,
    /// What each target had learned of its signal by then, by the target's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trails: BTreeMap<String, Trail>,
}

impl Catalog {
    /// Whether a signal of this full name exists; if not, what would be right.
    pub fn check(&self, name: &str) -> Result<(), String> {
        check_name(name, self)
    }
}

impl Value {
    /// One of its three numbers.
    #[must_use]
    pub fn facet(&self, facet: Facet) -> f64 {
        match facet {
            Facet::Heard => self.heard,
            Facet::IfIdle => self.if_idle,
            Facet::IfBusy => self.if_busy,
        }
    }
}

impl Observation {
    /// Nothing observed.
    #[must_use]
    pub fn empty(at: Timestamp) -> Self {
        Self {
            at,
            values: BTreeMap::new(),
            hosts_heard: 0,
            hosts_asked: 0,
            recommended: None,
            faults: Vec::new(),
            quarantined: Vec::new(),
            unserved: Vec::new(),
            trails: BTreeMap::new(),
            candidates: BTreeMap::new(),
        }
    }

    /// Without the values that are no numbers, which are unknown anyway: in JSON they would become null, and what is kept
    /// of the observation could not be read again.
    #[must_use]
    pub fn finite(mut self) -> Self {
        let is_number =
            |value: &Value| [value.heard, value.if_idle, value.if_busy].into_iter().all(f64::is_finite);
        self.values.retain(|_, value| is_number(value));
        self
    }

    /// A signal's number; `None`: it has no value, or one that is not finite, which is no value either.
    #[must_use]
    pub fn value(&self, name: &str, facet: Facet) -> Option<f64> {
        self.values.get(name).map(|value| value.facet(facet)).filter(|number| number.is_finite())
    }
}

/// The signal of the hosts' pages that a full name is an aggregate of, with the aggregate: `("cpu", "avg")`. `None` for
/// names that are one number for the whole fleet.
#[must_use]
pub fn split_host_signal(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('.').filter(|(_, suffix)| AGGREGATES.contains(suffix))
}
