//! Measured numbers, as the loop asks for them: a set of hosts and queries in, values and faults out.

pub mod exposition;
pub mod fault;
pub mod fetch;
pub mod host;
pub mod live;
pub mod query;
pub mod range;

use std::collections::BTreeMap;
use std::net::IpAddr;

use async_trait::async_trait;

use crate::config::fleet::MetricsConfig;
use crate::domain::ids::{FleetName, InstanceId};
use crate::domain::time::Timestamp;

/// Where signals come from.
///
/// Contract: `harvest` never fails as a whole and always returns within the largest time-out of what it was asked plus
/// a little; what could not be had is absent from the values and named in `faults`. Every value is finite and possible
/// for its signal. A host's value is of this call, or at most of the one before it (one failed scrape may be bridged).
#[async_trait]
pub trait SignalSource: Send + Sync {
    /// Asks every host and every query once.
    async fn harvest(&self, request: &HarvestRequest) -> Harvest;
    /// Forgets what is kept of a host between scrapes (it is gone).
    fn forget(&self, fleet: &FleetName, host: &InstanceId);
}

/// What to ask for.
#[derive(Clone, Debug)]
pub struct HarvestRequest {
    /// For which fleet.
    pub fleet: FleetName,
    /// Of which hosts in service.
    pub hosts: Vec<ScrapeTarget>,
    /// What, and how.
    pub metrics: MetricsConfig,
    /// The time now; samples are dated by this, not by what a page claims.
    pub now: Timestamp,
}

/// A host whose page is asked for: an owned instance at the address that the cloud gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeTarget {
    /// Which host.
    pub host: InstanceId,
    /// Its address.
    pub address: IpAddr,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Harvest {
    /// Per host that gave a fresh, valid sample: its signals (`cpu`, `memory`, …, scrapes by name), without suffix.
    pub hosts: BTreeMap<InstanceId, BTreeMap<String, f64>>,
    /// Per query that gave one finite number: its value.
    pub queries: BTreeMap<String, f64>,
    /// What went wrong, one line for a person each, bounded in number and length.
    pub faults: Vec<SignalFault>,
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalFault {
    /// The host, or the query's name.
    pub source: String,
    /// A short class for metrics: the name of a [`fault::FaultClass`], or `more` for the line that counts the rest.
    pub class: &'static str,
    /// What happened, for a person.
    pub message: String,
}
