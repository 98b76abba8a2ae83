//! Several fleets, and as many replicas of the real program as a story needs, over one database and one cloud that is
//! spoken to over HTTP.
#![allow(dead_code, reason = "each of the binaries that use it uses a part")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet_scaler::domain::ids::{FleetName, OperatorActionId};
use fleet_scaler::entropy::{ChaChaEntropy, Entropy as _};
use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::Fault;
use fleet_scaler::provider::simulated::model::journal::{Event, HoldPoint};
use fleet_scaler::provider::simulated::options::CloudOptions;
use fleet_scaler::store::{OperatorAction, OperatorActionKind};

use crate::cli::program::{Running, program};
use crate::service::world::{FLEET, OWNER, PATIENCE, World, fleet};

/// How long a lease lasts here.
pub(crate) const SITE_LEASE: Duration = Duration::from_secs(2);

/// Where the replicas work.
pub(crate) struct Site {
    pub(crate) world: Arc<World>,
    pub(crate) fleets: Vec<String>,
    dir: tempfile::TempDir,
}

/// A fleet's lease, as its row says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) holder: String,
    pub(crate) epoch: i64,
    pub(crate) live: bool,
}

impl Site {
    /// So many fleets, `f0` and so on, of one host each at first.
    pub(crate) async fn new(fleets: usize, options: CloudOptions) -> Self {
        let toml = FLEET.replace("min = 2", "min = 1");
        Self::of(fleets, &toml, options, SITE_LEASE).await
    }

    /// So many fleets of this file, but for its name.
    pub(crate) async fn of(fleets: usize, toml: &str, options: CloudOptions, lease: Duration) -> Self {
        let files: Vec<(String, String)> = (0..fleets)
            .map(|number| format!("f{number}"))
            .map(|name| (name.clone(), toml.replace("name = \"web\"", &format!("name = \"{name}\""))))
            .collect();
        let options = options.with_listen("127.0.0.1:0".parse().unwrap());
        let world = World::new(fleet(&files[0].1), options).await;
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("fleets")).unwrap();
        let service = format!(
            "[database]\nurl = \"postgres://set-by-the-environment\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [service]\nowner = \"{OWNER}\"\nlease = \"{}s\"\nshutdown_grace = \"10s\"\n\
             [provider.aws]\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\ncall_timeout = \"5s\"\n",
            lease.as_secs(),
            world.endpoint()
        );
        std::fs::write(dir.path().join("fleet-scaler.toml"), service).unwrap();
        for (name, toml) in &files {
            std::fs::write(dir.path().join(format!("fleets/{name}.toml")), toml).unwrap();
        }
        let fleets = files.into_iter().map(|(name, _)| name).collect();
        Self { world: Arc::new(world), fleets, dir }
    }

    /// Starts a replica; its name begins with this one.
    pub(crate) fn serve(&self, replica: &str) -> Running {
        self.serve_over(replica, self.world.database_url())
    }

    /// The same, with another way to the database.
    pub(crate) fn serve_over(&self, replica: &str, url: &str) -> Running {
        let mut running = self.spawn_over(replica, url);
        running.says("listening");
        running
    }

    /// Starts one and waits for nothing; what it says is thrown away.
    pub(crate) fn spawn(&self, replica: &str) -> Running {
        let mut running = self.spawn_over(replica, self.world.database_url());
        let mut said = running.0.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        running
    }

    fn spawn_over(&self, replica: &str, url: &str) -> Running {
        let mut command = program();
        command
            .args(["serve", "--no-migrate", "--config"])
            .arg(self.dir.path())
            .env("FLEET_SCALER_REPLICA", replica)
            .env("DATABASE_URL", url)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        Running::start(&mut command)
    }

    /// Every lease there is.
    pub(crate) async fn holds(&self) -> BTreeMap<String, Hold> {
        let rows: Vec<(String, String, i64, bool)> = sqlx::query_as(
            "SELECT fleet, holder, epoch, expires_at > clock_timestamp() FROM scaler.lease WHERE holder IS NOT NULL",
        )
        .fetch_all(&self.world.pool)
        .await
        .unwrap();
        rows.into_iter().map(|(fleet, holder, epoch, live)| (fleet, Hold { holder, epoch, live })).collect()
    }

    /// How many fleets each replica holds now, by the name it was started with.
    pub(crate) async fn spread(&self) -> BTreeMap<String, usize> {
        let mut spread = BTreeMap::new();
        for hold in self.holds().await.into_values().filter(|hold| hold.live) {
            // The program adds a suffix of its own to the name.
            let name = hold.holder.rsplit_once('-').map_or(hold.holder.as_str(), |(name, _)| name);
            *spread.entry(name.to_owned()).or_default() += 1;
        }
        spread
    }

    /// Waits for something that must come.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, mut holds: impl FnMut() -> F) {
        let started = Instant::now();
        while !holds().await {
            let late = started.elapsed() > PATIENCE;
            assert!(
                !late,
                "{what}: not after {PATIENCE:?}; {:?}; {:#?}",
                self.holds().await,
                self.sizes().await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the fleets are spread like this.
    pub(crate) async fn until_spread(&self, wanted: &[(&str, usize)]) {
        let wanted: BTreeMap<String, usize> =
            wanted.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        self.until(&format!("spread as {wanted:?}"), || async { self.spread().await == wanted }).await;
    }

    /// Waits for that, and sees that it stays so: nothing is passed to and fro.
    pub(crate) async fn settled_as(&self, wanted: &[(&str, usize)]) {
        self.until_spread(wanted).await;
        let before = self.holds().await;
        tokio::time::sleep(SITE_LEASE * 2).await;
        assert_eq!(self.holds().await, before, "fleets changed hands with nobody coming or going");
    }

    /// Hosts in service, by fleet.
    pub(crate) async fn sizes(&self) -> BTreeMap<String, i64> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT f.fleet, count(h.fleet) FROM scaler.fleet_state f
             LEFT JOIN scaler.host h ON h.fleet = f.fleet AND h.state = 'healthy' GROUP BY 1",
        )
        .fetch_all(&self.world.pool)
        .await
        .unwrap();
        rows.into_iter().collect()
    }

    /// Waits until a fleet has so many hosts in service.
    pub(crate) async fn until_size(&self, fleet: &str, size: i64) {
        let what = format!("{fleet} has {size} hosts");
        self.until(&what, || async { self.sizes().await.get(fleet) == Some(&size) }).await;
    }

    /// Waits until every fleet has its first host.
    pub(crate) async fn until_all_serve(&self) {
        for fleet in &self.fleets {
            self.until_size(fleet, 1).await;
        }
    }

    /// Asks for a size by hand.
    pub(crate) async fn set_size(&self, fleet: &str, size: u32) {
        let action = OperatorAction {
            id: OperatorActionId(ChaChaEntropy::from_os().uuid()),
            fleet: FleetName::new(fleet),
            actor: "test".to_owned(),
            reason: "a test".to_owned(),
            kind: OperatorActionKind::SetSize(size),
        };
        self.world.store.operator_act(&action).await.unwrap();
    }

    /// Holds the next call of one operation on one side of its work.
    pub(crate) fn hold(&self, op: Op, when: HoldPoint) -> u64 {
        self.world.fault(Fault::Hold { op: Some(op), when, count: Some(1) })
    }

    /// Waits until such a call is held.
    pub(crate) async fn until_held(&self, op: Op) {
        self.until("the call is held", || async {
            self.world.cloud.with_model(|model| {
                let mut entries = model.journal().since(0);
                entries.any(|entry| matches!(&entry.event, Event::Held { op: held, .. } if *held == op))
            })
        })
        .await;
    }

    /// I9: what was committed under an epoch came before anything that was committed under a higher one.
    pub(crate) async fn check_epochs(&self) {
        let late: Vec<(String, i64, String)> = sqlx::query_as(
            "WITH written AS (
                 SELECT fleet, epoch, replica, at FROM audit.decisions
                 UNION ALL SELECT fleet, epoch, replica, at FROM audit.cloud_calls)
             SELECT DISTINCT w.fleet, w.epoch, w.replica FROM written w
             JOIN (SELECT fleet, epoch, min(at) AS first FROM written GROUP BY 1, 2) later
             ON later.fleet = w.fleet AND later.epoch > w.epoch AND w.at > later.first",
        )
        .fetch_all(&self.world.pool)
        .await
        .unwrap();
        assert!(late.is_empty(), "written under an epoch that was over: {late:?}");
        let shared: Vec<(String, i64)> = sqlx::query_as(
            "SELECT fleet, epoch FROM audit.decisions GROUP BY 1, 2 HAVING count(DISTINCT replica) > 1",
        )
        .fetch_all(&self.world.pool)
        .await
        .unwrap();
        assert!(shared.is_empty(), "two replicas acted under one epoch: {shared:?}");
    }
}
