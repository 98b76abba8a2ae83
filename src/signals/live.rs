//! The signal source of production: host pages and queries together.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::StreamExt as _;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, info_span};

use crate::domain::ids::{FleetName, InstanceId};
use crate::signals::fault::{self, Failure, Fault};
use crate::signals::fetch::ClientError;
use crate::signals::host::{HostHarvest, HostScraper};
use crate::signals::query::QueryClient;
use crate::signals::{Harvest, HarvestRequest, SignalSource};

/// Queries of one fleet that are under way at once.
const QUERIES_IN_FLIGHT: usize = 16;

/// Asks hosts and engines over HTTP.
pub struct LiveSignals {
    hosts: HostScraper,
    queries: QueryClient,
}

impl LiveSignals {
    /// Makes one, and names its metrics to whatever recorder is installed by then.
    pub fn new() -> Result<Self, ClientError> {
        metrics::describe_counter!(
            "fleet_scaler_scrapes_total",
            "Host pages asked for, by outcome: ok, or the class of what went wrong"
        );
        metrics::describe_counter!(
            "fleet_scaler_samples_rejected_total",
            "Signals that a page which was read gave no value for, by reason"
        );
        metrics::describe_counter!(
            "fleet_scaler_queries_total",
            "Queries asked, by outcome: ok, or the class of what went wrong"
        );
        metrics::describe_histogram!(
            "fleet_scaler_harvest_seconds",
            metrics::Unit::Seconds,
            "How long asking all hosts and engines of a fleet once took"
        );
        Ok(Self { hosts: HostScraper::new()?, queries: QueryClient::new()? })
    }

    /// Asks every host. One span for all of them: a fleet of hundreds would fill a trace with nothing else.
    async fn scrape(&self, request: &HarvestRequest, started: Instant) -> HostHarvest {
        // Signed, because a trace has no other integers.
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let span = info_span!("scrape", hosts_asked = number(request.hosts.len()), hosts_heard = Empty);
        let harvest = self.hosts.harvest(request, started).instrument(span.clone()).await;
        span.record("hosts_heard", number(harvest.hosts.len()));
        harvest
    }

    async fn ask(
        &self,
        request: &HarvestRequest,
        started: Instant,
    ) -> BTreeMap<String, Result<f64, Failure>> {
        let asks = request.metrics.queries.iter().map(|query| async move {
            let span = info_span!("query", query = query.name, otel.status_description = Empty);
            let answer = self.queries.ask(query, request.now, started).instrument(span.clone()).await;
            if let Err(failure) = &answer {
                span.record("otel.status_description", failure.message.as_str());
            }
            (query.name.clone(), answer)
        });
        // Collected first: the compiler cannot prove a stream that makes its futures while it runs fit for any thread.
        let asks: Vec<_> = asks.collect();
        futures::stream::iter(asks).buffer_unordered(QUERIES_IN_FLIGHT).collect().await
    }
}

#[async_trait]
impl SignalSource for LiveSignals {
    async fn harvest(&self, request: &HarvestRequest) -> Harvest {
        let started = Instant::now();
        let (hosts, answers) = futures::join!(self.scrape(request, started), self.ask(request, started));
        let mut queries = BTreeMap::new();
        let mut query_faults = Vec::new();
        for (name, answer) in answers {
            let outcome = answer.as_ref().err().map_or("ok", |failure| failure.class.as_str());
            metrics::counter!("fleet_scaler_queries_total", "outcome" => outcome).increment(1);
            match answer {
                Ok(value) => _ = queries.insert(name, value),
                Err(failure) => query_faults.push(Fault { source: name, failure }),
            }
        }
        metrics::histogram!("fleet_scaler_harvest_seconds").record(started.elapsed().as_secs_f64());
        Harvest { hosts: hosts.hosts, queries, faults: fault::told(query_faults, hosts.faults) }
    }

    fn forget(&self, fleet: &FleetName, host: &InstanceId) {
        self.hosts.forget(fleet, host);
    }
}
