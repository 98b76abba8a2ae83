//! A fleet's past as columns: a chart wants the times once and a list of numbers for each line.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::decide::condition::Facet;
use crate::domain::ids::FleetName;
use crate::domain::time::to_micros;
use crate::store::history::{DecisionHead, Sample, SeriesQuery};
use crate::view::decision::DecisionSummary;

/// A fleet's past: every list is as long as `times`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Series {
    /// The fleet.
    pub fleet: FleetName,
    /// The beginning of the span.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub since: DateTime<Utc>,
    /// Its end, which is not part of it.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub until: DateTime<Utc>,
    /// One point stands for so many seconds: the last thing observed in them. Where nothing was, there is no point.
    pub step_seconds: f64,
    /// When each point was observed, oldest first.
    #[serde(serialize_with = "crate::domain::time::json::list")]
    pub times: Vec<DateTime<Utc>>,
    /// Sizes, in hosts.
    pub sizes: SizeSeries,
    /// Signals by name; null: it had no value then.
    pub signals: BTreeMap<String, Vec<Option<f64>>>,
    /// The decisions within the span that changed something, newest first, at most 500.
    pub decisions: Vec<DecisionSummary>,
}

/// Sizes over time, in hosts.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct SizeSeries {
    /// The size wanted; null: nothing had been decided.
    pub wanted: Vec<Option<u32>>,
    /// The size recommended before any guard; null: nothing could be.
    pub recommended: Vec<Option<u32>>,
    /// Hosts in service.
    pub in_service: Vec<Option<f64>>,
    /// Hosts in service that are healthy.
    pub healthy: Vec<Option<f64>>,
    /// Hosts on their way into service.
    pub pending: Vec<Option<f64>>,
}

impl Series {
    /// Turns rows into columns.
    #[must_use]
    pub fn of(
        query: &SeriesQuery,
        samples: &[Sample],
        signals: BTreeSet<String>,
        decisions: &[DecisionHead],
    ) -> Self {
        let values = |name: &str| -> Vec<Option<f64>> {
            samples.iter().map(|sample| sample.observation.value(name, Facet::Heard)).collect()
        };
        Self {
            fleet: query.fleet.clone(),
            since: query.since,
            until: query.until,
            step_seconds: query.step().as_secs_f64(),
            times: samples.iter().map(|sample| to_micros(sample.observation.at)).collect(),
            sizes: SizeSeries {
                wanted: samples.iter().map(|sample| sample.wanted).collect(),
                recommended: samples.iter().map(|sample| sample.observation.recommended).collect(),
                in_service: values("hosts.in_service"),
                healthy: values("hosts.healthy"),
                pending: values("hosts.pending"),
            },
            signals: signals.into_iter().map(|name| (name.clone(), values(&name))).collect(),
            decisions: decisions.iter().map(DecisionSummary::from).collect(),
        }
    }
}
