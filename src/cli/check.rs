//! `check`: is the configuration right, and does the world it speaks of exist?

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use crate::cli::context::{Context, environment};
use crate::cli::exit::{FAILED, Silent, USAGE, sentence};
use crate::cli::output::room::Room;
use crate::cli::output::{self, Report};
use crate::cli::wiring;
use crate::clock::{Clock as _, SystemClock};
use crate::config::fleet::FleetConfig;
use crate::config::service::{DatabaseSource, ProviderConfig};
use crate::config::{ConfigErrors, Configuration};
use crate::decide::policy::Mode;
use crate::decide::schedule::Schedule;
use crate::domain::ids::FleetName;
use crate::domain::time::Timestamp;
use crate::provider::verify::{self, Verdict};
use crate::store::Store as _;
use crate::view::fleet::schedule::{self, ScheduleStatus};
use crate::view::words::{count, many, moment, span};

/// Starts of a schedule that are shown.
const STARTS_SHOWN: usize = 3;

/// `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Also ask the cloud (templates, subnets, target groups, permission to launch, by DryRun) and the database
    #[arg(long)]
    online: bool,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: &CheckArgs) -> anyhow::Result<()> {
    let configuration = match crate::config::load(&context.dir, &environment) {
        Ok(configuration) => configuration,
        Err(errors) => return refuse(context, errors),
    };
    let mut report = Checked::of(context, &configuration, SystemClock.now());
    if args.online {
        let findings = look_around(&configuration).await;
        report.ok = findings.iter().all(Finding::is_fine);
        report.online = Some(findings);
    }
    output::print(context.format, &report)?;
    if report.ok { Ok(()) } else { Err(Silent(FAILED).into()) }
}

fn refuse(context: &Context, errors: ConfigErrors) -> anyhow::Result<()> {
    for error in &errors.errors {
        output::complain(&format!("error: {error}"));
    }
    output::complain(&format!("{} in {}.", count(errors.errors.len(), "error"), context.dir.display()));
    if context.format == output::Format::Json {
        output::print(context.format, &Broken::of(errors))?;
    }
    Err(Silent(USAGE).into())
}

#[derive(Debug, Serialize)]
struct Broken {
    ok: bool,
    errors: Vec<Flaw>,
}

#[derive(Debug, Serialize)]
struct Flaw {
    file: String,
    line: usize,
    column: usize,
    key: String,
    message: String,
}

impl Broken {
    fn of(errors: ConfigErrors) -> Self {
        let flaw = |error: crate::config::ConfigError| Flaw {
            file: error.file,
            line: error.line,
            column: error.column,
            key: error.key,
            message: error.message,
        };
        Self { ok: false, errors: errors.errors.into_iter().map(flaw).collect() }
    }
}

impl Report for Broken {
    fn table(&self, _room: Room) -> String {
        count(self.errors.len(), "error")
    }
}

#[derive(Debug, Serialize)]
struct Checked {
    ok: bool,
    folder: String,
    version: String,
    service: ServiceRow,
    fleets: Vec<FleetRow>,
    online: Option<Vec<Finding>>,
}

#[derive(Debug, Serialize)]
struct ServiceRow {
    owner: String,
    listen: String,
    database: &'static str,
    provider: String,
}

#[derive(Debug, Serialize)]
struct FleetRow {
    fleet: FleetName,
    mode: Mode,
    min: u32,
    max: u32,
    interval_seconds: u64,
    subnets: usize,
    target_groups: usize,
    rules: usize,
    targets: usize,
    queries: usize,
    scrapes: usize,
    schedules: Vec<ScheduleRow>,
    /// Schedules that contradict each other, and when; null: none do, as far as their next starts go.
    conflict: Option<String>,
}

/// One schedule, and when it starts next, on its own clock.
#[derive(Debug, Serialize)]
struct ScheduleRow {
    #[serde(flatten)]
    status: ScheduleStatus,
    starts: Vec<String>,
}

/// One thing that was asked of the world outside.
#[derive(Debug, Serialize)]
struct Finding {
    /// `None`: the service as a whole.
    fleet: Option<FleetName>,
    key: String,
    verdict: &'static str,
    what: String,
    remedy: Option<String>,
}

impl Finding {
    fn of(finding: verify::Finding) -> Self {
        Self {
            verdict: word(finding.verdict),
            fleet: Some(finding.fleet),
            key: finding.key,
            what: finding.what,
            remedy: finding.remedy,
        }
    }

    fn of_service(key: &str, result: anyhow::Result<String>, remedy: &str) -> Self {
        let (verdict, what, remedy) = match result {
            Ok(what) => (Verdict::Good, what, None),
            Err(error) => (Verdict::Bad, sentence(&error), Some(remedy.to_owned())),
        };
        Self { fleet: None, key: key.to_owned(), verdict: word(verdict), what, remedy }
    }

    fn is_fine(&self) -> bool {
        self.verdict == word(Verdict::Good) || self.verdict == word(Verdict::Doubtful)
    }

    fn line(&self) -> String {
        let place = match &self.fleet {
            Some(fleet) => format!("fleets/{fleet}.toml"),
            None => "fleet-scaler.toml".to_owned(),
        };
        let remedy = self.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
        format!("{:<7} {place}: {}: {}{remedy}", self.verdict, self.key, self.what)
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "ok",
        Verdict::Doubtful => "warning",
        Verdict::Unanswered => "unknown",
        Verdict::Bad => "error",
    }
}

/// Looks at the world that the configuration speaks of. Every question is asked, whatever the others were answered.
async fn look_around(configuration: &Configuration) -> Vec<Finding> {
    let mut findings = vec![Finding::of_service(
        "database.url",
        look_at_database(configuration).await,
        "start the database, mend the URL, or run `fleet-scaler migrate`",
    )];
    match wiring::cloud(configuration).await {
        Err(error) => findings.push(Finding::of_service("provider", Err(error), "mend the provider's table")),
        Ok(cloud) => {
            for fleet in configuration.fleets.values() {
                let owner = &configuration.service.owner;
                let found = verify::verify(cloud.provider.as_ref(), owner, fleet).await;
                findings.extend(found.into_iter().map(Finding::of));
            }
        }
    }
    findings
}

async fn look_at_database(configuration: &Configuration) -> anyhow::Result<String> {
    let memory = wiring::open(configuration).await?;
    let now = memory.store.now().await;
    memory.close().await;
    Ok(format!("it answers, its schema fits, and its clock says {}", moment(now?)))
}

impl Checked {
    fn of(context: &Context, configuration: &Configuration, now: Timestamp) -> Self {
        let service = &configuration.service;
        Self {
            ok: true,
            folder: context.dir.display().to_string(),
            version: configuration.version.clone(),
            service: ServiceRow {
                owner: service.owner.to_string(),
                listen: service.http.listen.to_string(),
                database: match service.database.source {
                    DatabaseSource::Url(_) => "postgres",
                    DatabaseSource::Embedded { .. } => "embedded",
                },
                provider: match &service.provider {
                    ProviderConfig::Aws(aws) => format!("aws {}", aws.region),
                    ProviderConfig::Simulated(_) => "simulated".to_owned(),
                },
            },
            fleets: configuration.fleets.values().map(|config| FleetRow::of(config, now)).collect(),
            online: None,
        }
    }
}

impl FleetRow {
    fn of(config: &FleetConfig, now: Timestamp) -> Self {
        let starts = |schedule: &Schedule| {
            let starts = schedule.starts(now, STARTS_SHOWN);
            starts.iter().map(|start| start.format("%a %Y-%m-%d %H:%M").to_string()).collect()
        };
        let schedules = config.schedules.iter().map(|schedule| ScheduleRow {
            status: ScheduleStatus::of(schedule, now),
            starts: starts(schedule),
        });
        Self {
            fleet: config.name.clone(),
            mode: config.mode,
            min: config.size.min,
            max: config.size.max,
            interval_seconds: config.interval.as_secs(),
            subnets: config.launch.subnets.len(),
            target_groups: config.balancer.target_groups.len(),
            rules: config.rules.len(),
            targets: config.targets.len(),
            queries: config.metrics.queries.len(),
            scrapes: config.metrics.scrapes.len(),
            schedules: schedules.collect(),
            conflict: schedule::conflict(config, now),
        }
    }

    fn line(&self) -> String {
        let mode = match self.mode {
            Mode::Live => "live",
            Mode::DryRun => "dry-run",
        };
        let mut line = format!(
            "{}: {mode}, {} to {} hosts in {}, every {}; {}, {}, {}, {}, {}",
            self.fleet,
            self.min,
            self.max,
            count(self.subnets, "subnet"),
            span(std::time::Duration::from_secs(self.interval_seconds)),
            count(self.target_groups, "target group"),
            count(self.rules, "rule"),
            count(self.targets, "target"),
            many(self.queries, "query", "queries"),
            count(self.scrapes, "scrape"),
        );
        for ScheduleRow { status, starts } in &self.schedules {
            let (says, zone) = (status.line(), &status.timezone);
            let _ = write!(line, "\n    schedule {says}; it starts {} {zone}", starts.join(", "));
        }
        if let Some(conflict) = &self.conflict {
            let _ = write!(line, "\n    warning: {conflict}");
        }
        line
    }
}

impl Report for Checked {
    fn table(&self, _room: Room) -> String {
        let mut page = format!(
            "{}: valid\n  owner {}, listens on {}, database {}, provider {}",
            self.folder,
            self.service.owner,
            self.service.listen,
            self.service.database,
            self.service.provider
        );
        for fleet in &self.fleets {
            let _ = write!(page, "\n  {}", fleet.line());
        }
        for finding in self.online.iter().flatten() {
            let _ = write!(
                page,
                "
  {}",
                finding.line()
            );
        }
        page
    }
}
