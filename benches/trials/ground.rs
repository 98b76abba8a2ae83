//! What both trials stand on: fleets that scale by a load that goes up and down, and the promises that are looked after.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fleet_scaler::config::service::SecretUrl;
use fleet_scaler::domain::tags;
use fleet_scaler::entropy::{ChaChaEntropy, Entropy as _};
use fleet_scaler::provider::InstanceState;
use fleet_scaler::provider::simulated::options::load::LoadOptions;
use fleet_scaler::store::postgres::PostgresStore;

use crate::figures::number;
use crate::service::site::Site;
use crate::service::world::{FLEET, quick_cloud};

/// No fleet may ever have more hosts.
pub(crate) const MAX: usize = 8;
/// A rule's change of size holds back the next one for so long.
const COOLDOWN: Duration = Duration::from_secs(2);

/// A trial's place and its chance.
pub(crate) struct Ground {
    pub(crate) site: Arc<Site>,
    pub(crate) chance: ChaChaEntropy,
    pub(crate) seed: u64,
}

impl Ground {
    /// So many fleets that scale by themselves, with a lease that is over soon.
    pub(crate) async fn new(fleets: usize, lease: Duration) -> Self {
        let seed = number("SEED", u64::from(std::process::id()));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mean = 110.0 * fleets as f64;
        let load = LoadOptions::Sine { mean, amplitude: mean * 0.8, period: Duration::from_secs(40) };
        let options = quick_cloud().with_seed(seed).with_host_port(Some(port)).with_load(load);
        let site = Site::of(fleets, &toml(port), options, lease).await;
        Self { site: Arc::new(site), chance: ChaChaEntropy::seeded(seed), seed }
    }

    /// A whole number below this one.
    pub(crate) fn below(&self, bound: usize) -> usize {
        usize::try_from(self.chance.uuid().as_u128() % bound as u128).unwrap()
    }

    /// A span of at most so long.
    pub(crate) fn span(&self, most: Duration) -> Duration {
        most.mul_f64(self.chance.unit())
    }

    /// Every promise, as the cloud's journal and the audit tables tell them now.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let site = Arc::clone(&self.site);
        // The witnesses speak by panicking.
        let checked = tokio::spawn(async move {
            site.world.check_promises().await;
            site.check_epochs().await;
            check_ceiling(&site);
            check_cooldowns(&site).await;
        });
        checked.await.map_err(|error| format!("a promise was broken (seed {}): {error}", self.seed))
    }

    /// The audit chain, read whole.
    pub(crate) async fn check_audit(&self) -> Result<usize, String> {
        let url = SecretUrl::new(self.site.world.database_url().to_owned());
        let store = PostgresStore::connect(&url, 1).map_err(|error| error.to_string())?;
        let reports = store.verify_audit().await.map_err(|error| error.to_string())?;
        match reports.iter().find(|report| !report.problems.is_empty()) {
            Some(broken) => Err(format!("the audit chain is broken: {broken:?}")),
            None => Ok(reports.len()),
        }
    }

    /// How many rows, by a query that counts.
    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.site.world.pool).await.unwrap()
    }
}

fn toml(port: u16) -> String {
    FLEET
        .replace("min = 2", "min = 1")
        .replace("allow_loopback", &format!("port = {port}\ntimeout = \"1s\"\nallow_loopback"))
        .replace("scale_out = \"1s\"", &format!("scale_out = \"{}s\"", COOLDOWN.as_secs()))
        .replace("scale_in = \"1s\"", &format!("scale_in = \"{}s\"", COOLDOWN.as_secs()))
        .replace("count = 50, per = \"10m\"", "count = 1000, per = \"10m\"")
        + "[[target]]\nname = \"cpu-60\"\nsignal = \"cpu.avg\"\nvalue = 0.60\ntolerance = 0.10\n"
}

/// I2: never more machines than the fleet's ceiling.
fn check_ceiling(site: &Site) {
    let mut alive: BTreeMap<String, usize> = BTreeMap::new();
    site.world.cloud.with_model(|model| {
        for instance in model.instances() {
            if !matches!(instance.state, InstanceState::ShuttingDown | InstanceState::Terminated) {
                *alive.entry(instance.tags.get(tags::FLEET).cloned().unwrap_or_default()).or_default() += 1;
            }
        }
    });
    assert!(alive.values().all(|count| *count <= MAX), "more than {MAX} machines: {alive:?}");
}

/// No two changes of a fleet's size by its load are closer than the cooldown.
async fn check_cooldowns(site: &Site) {
    let broken: Vec<(String, String, f64)> = sqlx::query_as(
        "SELECT fleet, action, gap FROM (
             SELECT fleet, action, extract(epoch FROM at - lag(at) OVER (PARTITION BY fleet ORDER BY at))::float8 AS gap,
                    lag(action) OVER (PARTITION BY fleet ORDER BY at) AS before
             FROM audit.decisions WHERE action IN ('scale_out', 'scale_in') AND outcome <> 'held') AS changes
         WHERE gap < $1 AND (action = 'scale_in' OR before = 'scale_out')",
    )
    .bind(COOLDOWN.as_secs_f64())
    .fetch_all(&site.world.pool)
    .await
    .unwrap();
    assert!(broken.is_empty(), "a cooldown was broken: {broken:?}");
}
