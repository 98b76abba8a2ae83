//! Scraping of host pages.
//!
//! A fleet's hosts are asked all at once, up to a share of the connections that the service may have open: a share for
//! each fleet, so that a fleet whose hosts hang cannot take the others' connections. Hosts whose last scrape failed are
//! asked last: where a fleet has more hosts than connections, those that hang then wait for one another and for nobody
//! else. The deadline is the harvest's: connect to last byte, waiting for a connection included, so that the whole
//! returns on time whatever the hosts do.
//!
//! node_exporter could be asked for fewer collectors (`collect[]=…`), which costs a host a third. It is not done of our
//! own accord: what answers at the port need not be node_exporter, and a page is asked for as it was typed. Whoever
//! knows that it is writes it into `metrics.host.path`.

mod address;
mod derive;
mod memory;
mod page;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Client, StatusCode};
use tokio::time::Instant;
use url::Url;

pub use address::{AddressRefusal, LocalAddresses, check};

use crate::config::fleet::HostMetricsConfig;
use crate::domain::ids::{FleetName, InstanceId};
use crate::signals::fault::{Failure, Fault, FaultClass};
use crate::signals::fetch::{self, AfterUse, ClientError};
use crate::signals::host::derive::{Reject, derive};
use crate::signals::host::memory::{Memory, PageMemory};
use crate::signals::host::page::{Builtin, Page, PagePlan};
use crate::signals::{HarvestRequest, ScrapeTarget};

/// Connections to hosts at most, over all fleets.
const IN_FLIGHT_TOTAL: usize = 512;
/// Connections of one fleet at most, however few fleets there are.
const IN_FLIGHT_FLEET_MAX: usize = 128;
/// Connections of one fleet at least, however many fleets there are.
const IN_FLIGHT_FLEET_MIN: usize = 4;
/// Up to so many hosts, over all fleets, connections are kept between scrapes. Each holds a file descriptor all the time,
/// and a process has a thousand by default, while a new connection costs a scrape a fifth more.
const KEPT_HOSTS_MAX: usize = 256;

/// Asks hosts for their pages and makes signals of them.
pub struct HostScraper {
    keeping: Client,
    closing: Client,
    memory: Mutex<Memory>,
}

/// What the hosts of a fleet gave.
#[derive(Debug, Default)]
pub(crate) struct HostHarvest {
    pub(crate) hosts: BTreeMap<InstanceId, BTreeMap<String, f64>>,
    pub(crate) faults: Vec<Fault>,
}

/// One page of one host.
struct Job<'r> {
    target: &'r ScrapeTarget,
    plan: &'r PagePlan<'r>,
}

struct Scraped<'r> {
    job: Job<'r>,
    outcome: Result<(Page, Instant), Failure>,
}

/// How a round of scrapes is run.
struct Round<'r> {
    jobs: Vec<Job<'r>>,
    at_once: usize,
    client: Client,
    horizon: Duration,
}

impl HostScraper {
    /// Makes one.
    pub fn new() -> Result<Self, ClientError> {
        Ok(Self {
            keeping: fetch::plain_client(AfterUse::Keep)?,
            closing: fetch::plain_client(AfterUse::Close)?,
            memory: Mutex::default(),
        })
    }

    /// Forgets what is kept of a host.
    pub(crate) fn forget(&self, fleet: &FleetName, host: &InstanceId) {
        self.memory().forget(fleet, host);
    }

    /// Asks every host of the request once.
    pub(crate) async fn harvest(&self, request: &HarvestRequest, started: Instant) -> HostHarvest {
        if !request.metrics.host_needed {
            return HostHarvest::default();
        }
        let plans = PagePlan::all(&request.metrics);
        let Round { jobs, at_once, client, horizon } = self.begin(request, &plans, started);
        let config = &request.metrics.host;
        let deadline = started + config.timeout;
        let scrapes = jobs.into_iter().map(|job| {
            let client = &client;
            async move {
                let outcome = scrape(client, &job, config, deadline).await;
                Scraped { job, outcome }
            }
        });
        // Collected first: the compiler cannot prove a stream that makes its futures while it runs fit for any thread.
        let scrapes: Vec<_> = scrapes.collect();
        let answers = futures::stream::iter(scrapes).buffer_unordered(at_once).collect().await;
        self.settle(request, answers, horizon)
    }

    fn begin<'r>(
        &self,
        request: &'r HarvestRequest,
        plans: &'r [PagePlan<'r>],
        started: Instant,
    ) -> Round<'r> {
        // A host that is named twice is asked once.
        let targets: BTreeMap<&InstanceId, &ScrapeTarget> =
            request.hosts.iter().map(|target| (&target.host, target)).collect();
        let mut memory = self.memory();
        let fleet = memory.begin(request, started);
        let horizon = fleet.horizon(started);
        let (failing, sound): (Vec<&ScrapeTarget>, Vec<&ScrapeTarget>) =
            targets.into_values().partition(|target| fleet.is_failing(&target.host));
        let jobs = sound.into_iter().chain(failing);
        let jobs = jobs.flat_map(|target| plans.iter().map(move |plan| Job { target, plan })).collect();
        let at_once =
            (IN_FLIGHT_TOTAL / memory.fleets().max(1)).clamp(IN_FLIGHT_FLEET_MIN, IN_FLIGHT_FLEET_MAX);
        let few = memory.hosts().max(request.hosts.len()) <= KEPT_HOSTS_MAX;
        let client = if few { self.keeping.clone() } else { self.closing.clone() };
        Round { jobs, at_once, client, horizon }
    }

    /// Makes signals of what came back, and remembers what the next round needs.
    fn settle(
        &self,
        request: &HarvestRequest,
        mut scraped: Vec<Scraped<'_>>,
        horizon: Duration,
    ) -> HostHarvest {
        scraped.sort_by_key(|scraped| (&scraped.job.target.host, scraped.job.plan.port));
        let mut harvest = HostHarvest::default();
        let mut quiet = QuietFaults::default();
        let mut memory = self.memory();
        for Scraped { job, outcome } in scraped {
            let mut gone = PageMemory::default();
            let kept =
                memory.fleet(&request.fleet).map_or(&mut gone, |fleet| fleet.page(job.target, job.plan.port));
            let settled = match outcome.and_then(|(page, received)| whole(page, received, kept)) {
                Ok((page, received)) => accept(&job, kept, &page, received, horizon, &mut quiet),
                Err(failure) => fail(kept, failure, horizon),
            };
            let outcome = settled.outcome.map_or("ok", FaultClass::as_str);
            metrics::counter!("fleet_scaler_scrapes_total", "outcome" => outcome).increment(1);
            if !settled.values.is_empty() {
                harvest.hosts.entry(job.target.host.clone()).or_default().extend(settled.values);
            }
            let source = || job.target.host.to_string();
            harvest
                .faults
                .extend(settled.faults.into_iter().map(|failure| Fault { source: source(), failure }));
        }
        drop(memory);
        harvest.faults.extend(quiet.into_faults());
        harvest
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fetches and reads one page.
async fn scrape(
    client: &Client,
    job: &Job<'_>,
    config: &HostMetricsConfig,
    deadline: Instant,
) -> Result<(Page, Instant), Failure> {
    let local = if config.allow_loopback { LocalAddresses::Allowed } else { LocalAddresses::Refused };
    check(job.target.address, local)
        .map_err(|refusal| Failure::new(FaultClass::Address, format!("{}: {refusal}", job.target.address)))?;
    let url = page_url(job.target.address, job.plan.port, &config.path)?;
    if Instant::now() >= deadline {
        let waited = humantime::format_duration(config.timeout);
        let message = format!("others held the fleet's connections for all of the {waited} allowed");
        return Err(Failure::new(FaultClass::NotAsked, message));
    }
    let body = fetch::within(deadline, config.timeout, async {
        let accept = HeaderValue::from_static("text/plain;version=0.0.4");
        let response = fetch::send(client.get(url).header(ACCEPT, accept)).await?;
        if response.status() != StatusCode::OK {
            let message = format!("answered {}", fetch::status_text(response.status()));
            return Err(Failure::new(FaultClass::Status, message));
        }
        fetch::read_body(response, config.max_bytes).await
    })
    .await?;
    let received = Instant::now();
    let page = Page::read(job.plan, &body)
        .map_err(|error| Failure::new(FaultClass::Malformed, format!("not a Prometheus page: {error}")))?;
    Ok((page, received))
}

/// The URL of a page: at the checked address itself, so that no name is looked up after the check.
fn page_url(address: IpAddr, port: u16, path: &str) -> Result<Url, Failure> {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let text = format!("http://{}{slash}{path}", SocketAddr::new(address, port));
    Url::parse(&text).map_err(|error| {
        Failure::new(FaultClass::Address, format!("metrics.host.path `{path}` gives no URL: {error}"))
    })
}

/// What one page came to.
struct Settled {
    values: BTreeMap<String, f64>,
    faults: Vec<Failure>,
    /// What the scrape counts as; `None`: it succeeded.
    outcome: Option<FaultClass>,
}

/// A page that ends in the middle of a line may have been cut in the middle of a number. Many a small exporter never
/// ends its last line, so only a host that used to do so is held to it.
fn whole(page: Page, received: Instant, kept: &PageMemory) -> Result<(Page, Instant), Failure> {
    if kept.ends_with_line_feed && !page.ends_with_line_feed {
        let message = "the page ends in the middle of a line, which it never did before: it was cut off";
        return Err(Failure::new(FaultClass::Malformed, message));
    }
    Ok((page, received))
}

fn accept(
    job: &Job<'_>,
    kept: &mut PageMemory,
    page: &Page,
    received: Instant,
    horizon: Duration,
    quiet: &mut QuietFaults,
) -> Settled {
    let derived = derive(job.plan, page, received, kept.baseline.as_ref(), horizon);
    *kept = PageMemory {
        baseline: Some(derived.baseline),
        values: Some((received, derived.values.clone())),
        failed: None,
        ends_with_line_feed: page.ends_with_line_feed,
    };
    let mut faults = Vec::new();
    for (signal, reject) in derived.rejects {
        let builtin = job.plan.builtin == Builtin::Offered && is_builtin(&signal);
        if reject == Reject::First || (reject == Reject::Absent && builtin) {
            quiet.add(signal, reject, &job.target.host);
        } else {
            let class = reject.class();
            metrics::counter!("fleet_scaler_samples_rejected_total", "reason" => class.as_str()).increment(1);
            faults.push(Failure::new(class, format!("{signal} has no value: {}", reject.sentence())));
        }
    }
    Settled { values: derived.values, faults, outcome: None }
}

/// Settles a scrape that gave nothing: the values before stand in, once, if it was silence and they are recent.
fn fail(kept: &mut PageMemory, failure: Failure, horizon: Duration) -> Settled {
    let class = failure.class;
    let before = std::mem::replace(kept, PageMemory { failed: Some(class), ..PageMemory::default() });
    let mut values = BTreeMap::new();
    let mut message = failure.message;
    if class.is_silence() && before.failed.is_none() {
        kept.baseline = before.baseline;
        kept.ends_with_line_feed = before.ends_with_line_feed;
        if let Some((at, earlier)) = before.values
            && at.elapsed() <= horizon
            && !earlier.is_empty()
        {
            values = earlier;
            message.push_str("; the values before stand in for this once");
        }
    }
    Settled { values, faults: vec![Failure::new(class, message)], outcome: Some(class) }
}

fn is_builtin(signal: &str) -> bool {
    crate::decide::signal::HOST_SIGNALS.contains(&signal)
}

/// Faults that are no news of a single host: a first page, or a page that never offers a signal. One line for each
/// signal, however many hosts it is true of.
#[derive(Default)]
struct QuietFaults(BTreeMap<(FaultClass, String), (InstanceId, usize, String)>);

impl QuietFaults {
    fn add(&mut self, signal: String, reject: Reject, host: &InstanceId) {
        let entry = self.0.entry((reject.class(), signal));
        entry.or_insert_with(|| (host.clone(), 0, reject.sentence())).1 += 1;
    }

    fn into_faults(self) -> impl Iterator<Item = Fault> {
        self.0.into_iter().map(|((class, signal), (host, hosts, sentence))| {
            let more = if hosts > 1 { format!(" (and on {} more hosts)", hosts - 1) } else { String::new() };
            let failure = Failure::new(class, format!("{signal} has no value: {sentence}{more}"));
            Fault { source: host.to_string(), failure }
        })
    }
}
