//! `cloud`: a simulated EC2 and ELBv2 on an address, for trying things out.
//!
//! The service talks to it through the real SDK (`endpoint_url` in `[provider.aws]`), and so does AWS's own command
//! line. Its faults are turned on and off while it runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::cli::context::Context;
use crate::cli::exit::Usage;
use crate::cli::output::room::Room;
use crate::cli::output::{self, Report};
use crate::cli::stop::Stop;
use crate::clock::SystemClock;
use crate::provider::simulated::SimulatedCloud;
use crate::provider::simulated::model::load::AtEnd;
use crate::provider::simulated::options::CloudOptions;
use crate::provider::simulated::options::load::LoadOptions;
use crate::provider::simulated::options::parts::Span;
use crate::view::words::parse_span;

/// `cloud`.
#[derive(Debug, Args)]
pub(crate) struct CloudArgs {
    /// Where EC2 and ELBv2 are spoken; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// A TOML file with every setting of the cloud; the options below override it
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The same seed gives the same instances, delays and deaths
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The load: requests per second (150), the shipped match day (world-cup), or a CSV file of times and numbers
    #[arg(long, value_name = "LOAD")]
    load: Option<String>,
    /// How many times faster the match day, or the file, is played
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, requires = "load")]
    speed: f64,
    /// How many times as much load as the match day, or the file, has
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, requires = "load")]
    scale: f64,
    /// From a launch to `running`
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    boot: Option<Duration>,
    /// From a registration to `healthy`
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    health: Option<Duration>,
    /// How long a deregistered target drains
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    drain: Option<Duration>,
    /// The port of the hosts' metrics pages, each on a loopback address of its own
    #[arg(long, value_name = "PORT")]
    host_port: Option<u16>,
}

/// Runs it until SIGTERM or SIGINT.
pub(crate) async fn run(context: &Context, args: &CloudArgs) -> anyhow::Result<()> {
    let options = args.options()?;
    let described = Started::of(&options);
    let mut asked = Stop::listen()?;
    let stop = CancellationToken::new();
    let handle = SimulatedCloud::start(options, Arc::new(SystemClock), &stop).await?;
    let endpoint = handle.addr.context("the simulated cloud has no address")?;
    output::print(context.format, &Started { endpoint: format!("http://{endpoint}"), ..described })?;
    asked.asked().await;
    stop.cancel();
    handle.stopped().await;
    Ok(())
}

impl CloudArgs {
    fn options(&self) -> anyhow::Result<CloudOptions> {
        let mut options = match &self.settings {
            Some(file) => read_settings(file)?,
            None => CloudOptions::default(),
        };
        options.listen = Some(self.listen);
        if let Some(seed) = self.seed {
            options.seed = seed;
        }
        if let Some(load) = &self.load {
            options.load = self.load_options(load);
        }
        if let Some(boot) = self.boot {
            options.boot = Span::exactly(boot);
        }
        if let Some(health) = self.health {
            options.health = Span::exactly(health);
        }
        for group in &mut options.target_groups {
            group.deregistration_delay = self.drain.unwrap_or(group.deregistration_delay);
        }
        if self.host_port.is_some() {
            options.host_port = self.host_port;
        }
        Ok(options)
    }

    fn load_options(&self, load: &str) -> LoadOptions {
        let (speed, scale, at_end) = (self.speed, self.scale, AtEnd::Hold);
        if let Ok(rps) = load.parse() {
            LoadOptions::Constant { rps }
        } else if load == "world-cup" {
            LoadOptions::WorldCup { speed, scale, at_end }
        } else {
            LoadOptions::Trace { file: load.into(), speed, scale, at_end }
        }
    }
}

fn read_settings(file: &Path) -> anyhow::Result<CloudOptions> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Usage(format!("--settings {}: {error}", file.display())))?;
    toml::from_str(&text).map_err(|error| Usage(format!("--settings {}: {error}", file.display())).into())
}

/// What is there to be used.
#[derive(Debug, Serialize)]
struct Started {
    endpoint: String,
    region: String,
    subnets: Vec<String>,
    launch_templates: Vec<String>,
    target_groups: Vec<String>,
    host_port: Option<u16>,
}

impl Started {
    fn of(options: &CloudOptions) -> Self {
        let subnet = |(subnet, zone): (&_, &_)| format!("{subnet} in {zone}");
        Self {
            endpoint: String::new(),
            region: options.region.clone(),
            subnets: options.subnets.iter().map(subnet).collect(),
            launch_templates: options.templates.iter().map(|template| template.id.clone()).collect(),
            target_groups: options.target_groups.iter().map(|group| group.arn.to_string()).collect(),
            host_port: options.host_port,
        }
    }
}

impl Report for Started {
    fn table(&self, _room: Room) -> String {
        let pages = match self.host_port {
            Some(port) => format!("each host's own loopback address, port {port}"),
            None => "none".to_owned(),
        };
        format!(
            "The simulated cloud listens at {endpoint}\n\
             \n  region            {}\n  subnets           {}\n  launch templates  {}\n  target groups     {}\n  \
             metrics pages     {pages}\n\
             \nPoint the service at it:     [provider.aws]  endpoint_url = \"{endpoint}\"\n\
             Point AWS's own tool at it:  aws --endpoint-url {endpoint} ec2 describe-instances\n\
             Look into it:                curl {endpoint}/_sim/state\n\
             Its faults and how to set:   curl {endpoint}/_sim/\n\
             \nCtrl-C ends it.",
            self.region,
            self.subnets.join(", "),
            self.launch_templates.join(", "),
            self.target_groups.join(", "),
            endpoint = self.endpoint,
        )
    }
}
