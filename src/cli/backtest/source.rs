//! Where the load comes from: a file, a folder of files, or an engine that remembers.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use url::Url;

use crate::backtest::trace::Trace;
use crate::cli::backtest::again;
use crate::cli::backtest::progress::Progress;
use crate::cli::backtest::recorded::{self, Lived};
use crate::cli::context::Context;
use crate::cli::exit::Usage;
use crate::cli::wiring;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Configuration;
use crate::config::fleet::QueryConfig;
use crate::domain::ids::FleetName;
use crate::domain::time::Timestamp;
use crate::signals::query::QueryClient;
use crate::signals::range::Span;
use crate::view::words::{Since, moment, parse_since, parse_span, span};

/// Where the load comes from.
#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// A recorded load: CSV, plain or gzip, whose name ends in its interval (load_60s.csv); or a folder of such
    #[arg(
        long,
        value_name = "PATH",
        required_unless_present_any = ["prometheus", "recorded"],
        conflicts_with_all = ["prometheus", "recorded"],
        help_heading = "Load"
    )]
    trace: Option<PathBuf>,
    /// The trace's column; else the one called load, else the last
    #[arg(long, value_name = "NAME", requires = "trace", help_heading = "Load")]
    column: Option<String>,
    /// An engine that speaks the Prometheus query API
    #[arg(long, value_name = "URL", requires = "query", requires = "since", help_heading = "Load")]
    prometheus: Option<Url>,
    /// PromQL that gives one series, the load, in any unit: sum(rate(http_requests_total[5m]))
    #[arg(
        long,
        value_name = "PROMQL",
        requires = "prometheus",
        allow_hyphen_values = true,
        help_heading = "Load"
    )]
    query: Option<String>,
    /// What the service itself observed of the fleet, from its database
    #[arg(long, requires = "since", conflicts_with = "prometheus", help_heading = "Load")]
    recorded: bool,
    /// Make each recorded decision again from what it was made from, and tell those that come out otherwise
    #[arg(
        long,
        requires = "recorded",
        conflicts_with_all = ["against", "candidate", "tune", "chart", "price", "hosts_at_peak"],
        help_heading = "Load"
    )]
    again: bool,
    /// From when on: how long ago (7d) or a moment (2026-11-22T02:30:00Z)
    #[arg(long, value_name = "WHEN", conflicts_with = "trace", value_parser = parse_since, help_heading = "Load")]
    since: Option<Since>,
    /// Until when; else until now
    #[arg(long, value_name = "WHEN", requires = "since", value_parser = parse_since, help_heading = "Load")]
    until: Option<Since>,
    /// Between two values; 1s to 1h
    #[arg(
        long,
        value_name = "SPAN",
        requires = "since",
        default_value = "60s",
        value_parser = parse_step,
        help_heading = "Load"
    )]
    step: u32,
    /// A hole of at most this length holds the last value; a longer one ends the matter
    #[arg(
        long,
        value_name = "SPAN",
        requires = "since",
        default_value = "10m",
        value_parser = parse_span,
        help_heading = "Load"
    )]
    fill: Duration,
    /// How long one question to the engine may take
    #[arg(
        long,
        value_name = "SPAN",
        requires = "prometheus",
        default_value = "30s",
        value_parser = parse_span,
        help_heading = "Load"
    )]
    timeout: Duration,
}

/// The load, and what is to be said of it.
pub(super) struct Load {
    pub(super) traces: Vec<Trace>,
    /// What the fleet itself did under the one trace, where that is known.
    pub(super) lived: Option<Lived>,
    pub(super) notes: Vec<String>,
}

impl SourceArgs {
    /// Reads it.
    pub(super) async fn read(
        &self,
        configuration: &Configuration,
        fleet: &FleetName,
    ) -> anyhow::Result<Load> {
        if let (true, Some(since)) = (self.recorded, self.since) {
            return self.remember(configuration, since, fleet).await;
        }
        if let (Some(url), Some(query), Some(since)) = (&self.prometheus, &self.query, self.since) {
            return self.ask(url, query, since, fleet).await;
        }
        let path = self.trace.clone().unwrap_or_default();
        let column = self.column.clone();
        let read = move || {
            if path.is_dir() {
                Trace::read_folder(&path, column.as_deref())
            } else {
                Trace::read(&path, column.as_deref()).map(|trace| vec![trace])
            }
        };
        let traces = tokio::task::spawn_blocking(read).await.context("reading the trace ended early")?;
        Ok(Load { traces: traces.map_err(|error| Usage(error.to_string()))?, lived: None, notes: Vec::new() })
    }

    /// Whether the decisions themselves are asked for, and no replay of their load.
    pub(super) fn again(&self) -> bool {
        self.again
    }

    /// Makes the decisions of a fleet again that is configured, or was once.
    pub(super) async fn make_again(
        &self,
        context: &Context,
        configuration: &Configuration,
        fleet: &str,
    ) -> anyhow::Result<again::Report> {
        let memory = wiring::open(configuration).await?;
        let asked = async {
            let fleet = context.fleet_ever(configuration, memory.store(), fleet).await?;
            let now = memory.store().now().await?;
            let span = self.whole(now)?;
            again::run(memory.store.as_ref(), &fleet, span, now).await
        };
        let report = asked.await;
        memory.close().await;
        report
    }

    /// From when until when; without `--since`, which is asked for, nothing.
    fn whole(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), Usage> {
        let from = self.since.map_or(now, |since| since.at(now));
        let until = self.until.map_or(now, |until| until.at(now));
        ensure_order(from, until)?;
        Ok((from, until))
    }

    async fn remember(
        &self,
        configuration: &Configuration,
        since: Since,
        fleet: &FleetName,
    ) -> anyhow::Result<Load> {
        let memory = wiring::open(configuration).await?;
        let asked = async {
            let now = memory.store().now().await?;
            let (from, until) = (since.at(now), self.until.map_or(now, |until| until.at(now)));
            let whole = self.span(from, until)?;
            recorded::read(memory.store.as_ref(), fleet, from, until, whole).await
        };
        let read = asked.await;
        memory.close().await;
        let (trace, lived, notes) = read?;
        Ok(Load { traces: vec![trace], lived: Some(lived), notes })
    }

    async fn ask(&self, url: &Url, query: &str, since: Since, fleet: &FleetName) -> anyhow::Result<Load> {
        let now = SystemClock.now();
        let (from, until) = (since.at(now), self.until.map_or(now, |until| until.at(now)));
        let whole = self.span(from, until)?;
        let config = QueryConfig {
            name: "load".to_owned(),
            url: url.clone(),
            query: query.to_owned(),
            timeout: self.timeout,
        };
        let progress = Progress::start("asking for the load", whole.parts());
        let series = QueryClient::new()?.ask_over(&config, whole, &mut || progress.add(1)).await;
        drop(progress);
        let series = series.map_err(|failure| anyhow::anyhow!("--prometheus: {}", failure.message))?;
        let points = series.values.len();
        let trace = Trace::new(format!("{fleet} as measured"), self.step, series.values)
            .map_err(|problem| anyhow::anyhow!("--prometheus: {problem}"))?;
        let mut notes = vec![format!("the load is {query} from {} to {}", moment(from), moment(until))];
        if series.filled > 0 {
            notes.push(format!(
                "{} of {points} values are holes that hold the value before them (of at most {} each)",
                series.filled,
                span(self.fill)
            ));
        }
        Ok(Load { traces: vec![trace], lived: None, notes })
    }

    fn span(&self, from: Timestamp, until: Timestamp) -> Result<Span, Usage> {
        let seconds = |at: Timestamp| u64::try_from(at.timestamp()).unwrap_or(0);
        ensure_order(from, until)?;
        let fill = u32::try_from(self.fill.as_secs()).unwrap_or(u32::MAX);
        Ok(Span { from: seconds(from), until: seconds(until), step: self.step, fill })
    }
}

fn ensure_order(from: Timestamp, until: Timestamp) -> Result<(), Usage> {
    if from < until {
        return Ok(());
    }
    Err(Usage(format!("--until {} is not after --since {}", moment(until), moment(from))))
}

fn parse_step(text: &str) -> Result<u32, String> {
    let wanted = "a step is in whole seconds, from 1s to 1h";
    let step = parse_span(text)?;
    match u32::try_from(step.as_secs()) {
        Ok(seconds @ 1..=3600) if step.subsec_nanos() == 0 => Ok(seconds),
        _ => Err(wanted.to_owned()),
    }
}
