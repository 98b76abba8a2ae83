//! What the demo plays on: a folder, a private Postgres, a simulated cloud with a match day on it, a configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli::output;
use crate::clock::SystemClock;
use crate::domain::ids::{FleetName, Zone};
use crate::provider::simulated::model::faults::Fault;
use crate::provider::simulated::model::load::{AtEnd, Curve};
use crate::provider::simulated::options::load::LoadOptions;
use crate::provider::simulated::options::parts::{Span, TargetGroupOptions};
use crate::provider::simulated::options::{CloudOptions, DEFAULT_TARGET_GROUP};
use crate::provider::simulated::{CloudHandle, SimulatedCloud};
use crate::store::embedded::{Durability, Embedded, Shutdown};
use crate::store::postgres::PostgresStore;

/// The match day lasted so long.
const DAY: Duration = Duration::from_hours(9);
/// Share of the demo in which it is played; the rest is for the last hosts to drain.
const PLAYED: f64 = 0.88;
/// Share of the day's requests: its peak is what a dozen hosts can carry.
const SCALE: f64 = 0.33;
/// The zone that has no capacity for a while, and from when to when, as shares of the demo.
const SHORT_ZONE: &str = "eu-west-1b";
const SHORT_FROM: f64 = 0.22;
const SHORT_UNTIL: f64 = 0.40;

/// Everything is there.
pub(super) struct Stage {
    /// The private Postgres.
    pub(super) database: Embedded,
    /// The cloud.
    pub(super) cloud: CloudHandle,
    /// What the service remembers, to read it from.
    pub(super) store: PostgresStore,
    /// The fleet.
    pub(super) fleet: FleetName,
    /// The configuration's folder.
    pub(super) config: PathBuf,
    folder: PathBuf,
    listen: SocketAddr,
    curve: Curve,
    since: Instant,
}

impl Stage {
    /// Sets it up, saying what it does.
    pub(super) async fn set(length: Duration) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("fleet-scaler-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        output::line("Starting a private Postgres …")?;
        let database = Embedded::start(&folder.join("db"), Durability::Throwaway).await?;
        output::line("Starting a simulated cloud with three zones and a load balancer …")?;
        let speed = DAY.as_secs_f64() / (length.as_secs_f64() * PLAYED);
        let load = LoadOptions::WorldCup { speed, scale: SCALE, at_end: AtEnd::Hold };
        let (host_port, listen) = (free_port().await?.port(), free_port().await?);
        let curve = load.resolve()?;
        let options = cloud_options(host_port, load);
        let cloud = SimulatedCloud::start(options, Arc::new(SystemClock), &CancellationToken::new()).await?;
        let config = folder.join("config");
        let files =
            Files { database: database.url().reveal().to_owned(), listen, host_port, cloud: cloud.addr };
        files.write(&config)?;
        Ok(Self {
            store: PostgresStore::connect(&database.url(), 2)?,
            fleet: FleetName::new("web"),
            since: Instant::now(),
            database,
            cloud,
            config,
            folder,
            listen,
            curve,
        })
    }

    /// Requests per second now.
    pub(super) fn rps(&self) -> f64 {
        self.curve.rps(self.since.elapsed())
    }

    /// Where the service writes its log.
    #[cfg(feature = "aws")]
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("service.log")
    }

    /// What is to be seen, and where to look closer.
    pub(super) fn introduction(&self, door: &str) -> String {
        let config = self.config.display();
        let page = self.page();
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("fleet-scaler"));
        let program = program.display();
        format!(
            "The service runs {door}.\nThe load is an afternoon of the 1998 World Cup, minutes for hours.\n\n  \
             The dashboard: {page}\n    \
             - the overview says how large the fleet is, how large it is wanted, and why;\n    \
             - the fleet's page draws the load against its threshold, with each decision on the time line;\n    \
             - a decision's page says what it rests on, what every guard said, and what was done;\n    \
             - after a fifth of the time {SHORT_ZONE} runs out of capacity: its hosts go to other zones;\n    \
             - pause the fleet there, give a reason, and see that it stands still and says so.\n\n  \
             The same from another terminal:\n    {program} status --config {config}\n    \
             {program} history --config {config}\n    curl {page}metrics\n"
        )
    }

    fn page(&self) -> String {
        format!("http://{}/", self.listen)
    }

    /// Takes it down.
    pub(super) async fn strike(self, keep: bool) {
        self.store.close().await;
        drop(self.cloud);
        if let Err(error) = self.database.stop(Shutdown::Fast).await {
            output::complain(&format!("the private Postgres did not stop as it should: {error}"));
        }
        if keep {
            output::complain(&format!(
                "The configuration and the service's log are in {}.",
                self.folder.display()
            ));
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A while in which one zone has nothing to sell.
#[derive(Default)]
pub(super) struct Shortage {
    fault: Option<u64>,
    over: bool,
}

impl Shortage {
    /// Brings it about, and ends it, when its time has come; says so.
    pub(super) fn at(&mut self, stage: &Stage, share: f64) -> Option<String> {
        let cloud = &stage.cloud.cloud;
        match self.fault {
            None if !self.over && share >= SHORT_FROM => {
                let zone = Some(Zone::new(SHORT_ZONE));
                self.fault = cloud.set_fault(Fault::Capacity { zone, instance_type: None, left: 0 }).ok();
                self.over = self.fault.is_none();
                Some(format!("{SHORT_ZONE} has no capacity left (our doing, for a while)"))
            }
            Some(fault) if share >= SHORT_UNTIL => {
                let _ = cloud.clear_fault(fault);
                *self = Self { fault: None, over: true };
                Some(format!("{SHORT_ZONE} has capacity again"))
            }
            _ => None,
        }
    }
}

async fn free_port() -> anyhow::Result<SocketAddr> {
    let listener =
        TcpListener::bind("127.0.0.1:0").await.context("no port is free on the loopback device")?;
    Ok(listener.local_addr()?)
}

/// A cloud whose machines start in seconds, not in minutes.
fn cloud_options(host_port: u16, load: LoadOptions) -> CloudOptions {
    let listen = cfg!(feature = "aws").then(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let group =
        TargetGroupOptions { deregistration_delay: Duration::from_secs(4), ..TargetGroupOptions::default() };
    CloudOptions {
        listen,
        host_port: Some(host_port),
        boot: Span::seconds(2.0, 2.0),
        health: Span::seconds(1.0, 2.0),
        shutdown: Span::seconds(1.0, 1.0),
        visibility_lag: Span::seconds(0.2, 0.5),
        target_groups: vec![group],
        load,
        ..CloudOptions::default()
    }
}

/// What the configuration's files say.
struct Files {
    database: String,
    listen: SocketAddr,
    host_port: u16,
    cloud: Option<SocketAddr>,
}

impl Files {
    fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let fleets = dir.join("fleets");
        std::fs::create_dir_all(&fleets)?;
        std::fs::write(dir.join("fleet-scaler.toml"), self.service())?;
        std::fs::write(fleets.join("web.toml"), self.fleet())?;
        Ok(())
    }

    fn service(&self) -> String {
        let provider = match self.cloud {
            Some(endpoint) => {
                format!("[provider.aws]\nregion = \"eu-west-1\"\nendpoint_url = \"http://{endpoint}\"\n")
            }
            None => "[provider.simulated]\nseed = 1\n".to_owned(),
        };
        format!(
            "[database]\nurl = \"{}\"\n\n[http]\nlisten = \"{}\"\n\n[service]\nowner = \"demo\"\n\
             shutdown_grace = \"10s\"\n\n{provider}",
            self.database, self.listen
        )
    }

    fn fleet(&self) -> String {
        FLEET.replace("GROUP", DEFAULT_TARGET_GROUP).replace("PORT", &self.host_port.to_string())
    }
}

/// The fleet. Its times are seconds where a real one's are minutes, as the afternoon is.
const FLEET: &str = r#"name = "web"
interval = "1s"

[size]
min = 3
max = 14
step_out_max = 4
step_in_max = 2

[launch]
launch_template_id = "lt-demo"
launch_template_version = "$Latest"
subnets = ["subnet-a", "subnet-b", "subnet-c"]
boot_timeout = "60s"
pool_cooldown = "8s"
pool_cooldown_max = "30s"

[balancer]
target_groups = ["GROUP"]
drain_timeout = "15s"
health_grace = "20s"

[metrics.host]
port = PORT
timeout = "2s"
allow_loopback = true

[[rule]]
name = "hot"
when = "cpu.avg > 0.85"
sustained = "2 of 3"
action = { add = 2 }

[[target]]
name = "cpu-60"
signal = "cpu.avg"
value = 0.60
tolerance = 0.10

[cooldown]
scale_out = "4s"
scale_in = "4s"

[scale_in]
window = "5s"
order = "oldest"

[safety]
termination_budget = { count = 60, per = "10m" }
"#;
