//! A fleet with everything around it but a process: real Postgres, the simulated cloud, and a loop that the test turns by
//! hand. Which door to the cloud is used makes no difference to what is asserted: the model's journal is the witness.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use fleet_scaler::clock::{Clock, SystemClock};
use fleet_scaler::config::{self, fleet::FleetConfig};
use fleet_scaler::domain::ids::{FleetName, InstanceId, OwnerName, ReplicaId};
use fleet_scaler::domain::tags;
use fleet_scaler::entropy::ChaChaEntropy;
use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::Fault;
use fleet_scaler::provider::simulated::model::journal::{
    CallOutcome, CallRecord, Event, TerminationRecord, Verdict,
};
use fleet_scaler::provider::simulated::options::CloudOptions;
use fleet_scaler::provider::simulated::options::parts::Span;
use fleet_scaler::provider::simulated::{CloudHandle, SimulatedCloud};
use fleet_scaler::provider::{CloudProvider, InstanceState};
use fleet_scaler::reconcile::Parts;
use fleet_scaler::reconcile::observe::Lookout;
use fleet_scaler::reconcile::tick::{FleetRunner, Ticked};
use fleet_scaler::signals::live::LiveSignals;
use fleet_scaler::signals::{Harvest, HarvestRequest, SignalSource};
use fleet_scaler::store::postgres::PostgresStore;
use fleet_scaler::store::{Store, StoreError};

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::support::TestDatabase;

/// The owner tag of every test.
pub(crate) const OWNER: &str = "prod-1";
/// How long a lease lasts here: short, so that a successor does not wait long for a dead holder's.
pub(crate) const LEASE: Duration = Duration::from_millis(1500);
/// How long a test waits for something that must come.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The fleet of most tests: three zones, one group, no rules; sizes are set by hand.
pub(crate) const FLEET: &str = r#"
name = "web"
interval = "1s"
[size]
min = 2
max = 8
step_in_max = 4
[launch]
launch_template_id = "lt-demo"
launch_template_version = "2"
subnets = ["subnet-a", "subnet-b", "subnet-c"]
pool_cooldown = "2s"
pool_cooldown_max = "4s"
boot_timeout = "60s"
[balancer]
target_groups = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
drain_timeout = "20s"
health_grace = "5s"
[metrics.host]
allow_loopback = true
[scale_in]
window = "2s"
[cooldown]
scale_out = "1s"
scale_in = "1s"
[safety]
termination_budget = { count = 50, per = "10m" }
"#;

/// Reads a fleet's file as the service would.
pub(crate) fn fleet(toml: &str) -> FleetConfig {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("fleets")).unwrap();
    let service = format!(
        "[database]\nurl = \"postgres://unused\"\n[service]\nowner = \"{OWNER}\"\n[provider.simulated]\nseed = 1\n"
    );
    std::fs::write(dir.path().join("fleet-scaler.toml"), service).unwrap();
    let name = toml.lines().find_map(|line| line.strip_prefix("name = \"")).unwrap().trim_end_matches('"');
    std::fs::write(dir.path().join(format!("fleets/{name}.toml")), toml).unwrap();
    let loaded = config::load(dir.path(), &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
    loaded.fleets[&FleetName::new(name)].clone()
}

/// A cloud whose hosts boot in tenths of a second.
pub(crate) fn quick_cloud() -> CloudOptions {
    let mut options = CloudOptions::default().with_host_port(None).instant();
    options.boot = Span::seconds(0.1, 0.1);
    options.health = Span::seconds(0.1, 0.1);
    options.shutdown = Span::seconds(0.1, 0.0);
    for group in &mut options.target_groups {
        group.deregistration_delay = Duration::from_millis(600);
    }
    options
}

/// No host is ever asked: for fleets whose size is set by hand.
pub(crate) struct Silence;

#[async_trait]
impl SignalSource for Silence {
    async fn harvest(&self, _: &HarvestRequest) -> Harvest {
        Harvest::default()
    }
    fn forget(&self, _: &FleetName, _: &InstanceId) {}
}

/// A fleet and what it lives in.
pub(crate) struct World {
    /// Dropped, it stops.
    #[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "it is kept to be dropped"))]
    running: CloudHandle,
    database: TestDatabase,
    pub(crate) pool: PgPool,
    pub(crate) cloud: Arc<SimulatedCloud>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fleet: Arc<FleetConfig>,
    pub(crate) signals: Arc<dyn SignalSource>,
}

impl World {
    pub(crate) async fn new(fleet: FleetConfig, options: CloudOptions) -> Self {
        Self::in_database(TestDatabase::new().await, fleet, options).await
    }

    pub(crate) async fn in_database(
        database: TestDatabase,
        fleet: FleetConfig,
        options: CloudOptions,
    ) -> Self {
        let pool = database.pool();
        let store: Arc<dyn Store> = Arc::new(database.store());
        let running =
            SimulatedCloud::start(options, Arc::new(SystemClock), &CancellationToken::new()).await.unwrap();
        let cloud = Arc::clone(&running.cloud);
        Self { running, database, pool, cloud, store, fleet: Arc::new(fleet), signals: Arc::new(Silence) }
    }

    /// The contracts as a process with this name has them.
    pub(crate) fn parts(&self, replica: &str) -> Parts {
        Parts {
            replica: ReplicaId::new(replica),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(ChaChaEntropy::from_os()),
            cloud: Arc::clone(&self.cloud) as Arc<dyn CloudProvider>,
            signals: Arc::clone(&self.signals),
            store: Arc::clone(&self.store),
        }
    }

    pub(crate) fn runner(&self, replica: &str) -> FleetRunner {
        self.runner_of(&self.parts(replica))
    }

    pub(crate) fn runner_of(&self, parts: &Parts) -> FleetRunner {
        let [runner] = Self::runners_of(parts, [&self.fleet]);
        runner
    }

    /// The loops of several fleets in one process: they share what one process has once.
    pub(crate) fn runners_of<const N: usize>(
        parts: &Parts,
        fleets: [&Arc<FleetConfig>; N],
    ) -> [FleetRunner; N] {
        let owner = OwnerName::new(OWNER);
        let lookout = Lookout::new(Arc::clone(&parts.cloud), Arc::clone(&parts.clock), owner);
        let lookout = Arc::new(lookout);
        fleets.map(|fleet| FleetRunner::new(parts.clone(), Arc::clone(&lookout), LEASE, Arc::clone(fleet)))
    }

    /// Where EC2 and ELBv2 are spoken.
    #[cfg(feature = "aws")]
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.running.addr.unwrap())
    }

    pub(crate) fn database_url(&self) -> &str {
        self.database.url().reveal()
    }

    /// The memory with what it can be asked about the past.
    pub(crate) fn history(&self) -> PostgresStore {
        self.database.store()
    }

    /// With the hosts' pages really asked for.
    pub(crate) fn with_real_signals(mut self) -> Self {
        self.signals = Arc::new(LiveSignals::new().unwrap());
        self
    }

    pub(crate) fn fault(&self, fault: Fault) -> u64 {
        self.cloud.set_fault(fault).unwrap()
    }

    /// Every call of one operation, in order.
    pub(crate) fn calls(&self, op: Op) -> Vec<CallRecord> {
        self.cloud.with_model(|model| model.journal().calls().filter(|call| call.op == op).cloned().collect())
    }

    pub(crate) fn terminations(&self) -> Vec<TerminationRecord> {
        self.cloud.with_model(|model| model.journal().terminations().cloned().collect())
    }

    /// Instances that exist now and are not dead, as the model itself knows them.
    pub(crate) fn alive(&self) -> usize {
        self.cloud.with_model(|model| model.instances().filter(|instance| is_alive(instance.state)).count())
    }

    /// Instances that ever came into being.
    pub(crate) fn ever_launched(&self) -> usize {
        self.cloud.with_model(|model| {
            let entries = model.journal().since(0);
            entries.filter(|entry| matches!(&entry.event, Event::Instance { from: None, .. })).count()
        })
    }

    pub(crate) async fn hosts_in(&self, state: &str) -> usize {
        let hosts = self.store.hosts_recent(&self.fleet.name).await.unwrap();
        hosts.iter().filter(|host| host.state.name() == state).count()
    }

    /// The hosts of any fleet that serve.
    pub(crate) async fn healthy_of(&self, fleet: &FleetName) -> Vec<InstanceId> {
        let hosts = self.store.hosts_recent(fleet).await.unwrap();
        hosts.into_iter().filter(|host| host.state.name() == "healthy").map(|host| host.id).collect()
    }

    /// What must hold whatever happened, as the cloud and the rows tell it.
    pub(crate) async fn check_promises(&self) {
        self.check_terminations();
        self.check_launches().await;
        self.check_calls_have_rows().await;
    }

    /// I4, I5: nothing is terminated that a group still had, and nothing that is not ours.
    fn check_terminations(&self) {
        for record in self.terminations() {
            let deregistered = record.passages.iter().all(|passage| passage.deregistered_at.is_some());
            assert!(
                deregistered || record.verdict == Verdict::AlreadyDead,
                "terminated while it served: {record:?}"
            );
            let tagged = self.cloud.with_model(|model| {
                model
                    .instance(&record.instance)
                    .is_none_or(|instance| instance.tags.get(tags::OWNER).is_some_and(|owner| owner == OWNER))
            });
            assert!(tagged, "terminated though it is not ours: {record:?}");
        }
    }

    /// I1, I3: instances with a launch's tag are never more than its count.
    async fn check_launches(&self) {
        let mut carried: BTreeMap<String, i64> = BTreeMap::new();
        self.cloud.with_model(|model| {
            for instance in model.instances() {
                if let Some(launch) = instance.tags.get(tags::LAUNCH) {
                    *carried.entry(launch.clone()).or_default() += 1;
                }
            }
        });
        let counts: Vec<(uuid::Uuid, i32)> =
            sqlx::query_as("SELECT id, count FROM scaler.launch").fetch_all(&self.pool).await.unwrap();
        let counts: BTreeMap<String, i64> =
            counts.into_iter().map(|(id, count)| (id.to_string(), i64::from(count))).collect();
        for (launch, instances) in carried {
            let count = counts.get(&launch).copied().unwrap_or(0);
            assert!(instances <= count, "launch {launch} of {count} has {instances} instances");
        }
    }

    /// I6: no call reached the cloud whose row was not committed first.
    async fn check_calls_have_rows(&self) {
        let ops = [
            (Op::RunInstances, "RunInstances"),
            (Op::RegisterTargets, "RegisterTargets"),
            (Op::DeregisterTargets, "DeregisterTargets"),
            (Op::TerminateInstances, "TerminateInstances"),
        ];
        // The calls first: a process that goes on meanwhile commits rows, and only then makes calls.
        let sent = ops.map(|(op, _)| i64::try_from(self.calls(op).len()).unwrap());
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT op::text, count(*) FROM audit.cloud_calls GROUP BY 1")
                .fetch_all(&self.pool)
                .await
                .unwrap();
        let rows: BTreeMap<String, i64> = rows.into_iter().collect();
        for ((_, name), sent) in ops.into_iter().zip(sent) {
            let rows = rows.get(name).copied().unwrap_or(0);
            assert!(sent <= rows, "{sent} {name} calls were sent and {rows} have a row");
        }
    }

    /// Sentences of this fleet's decisions, newest first.
    pub(crate) async fn reasons(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT reason FROM audit.decisions WHERE fleet = $1 ORDER BY at DESC LIMIT 50")
            .bind(self.fleet.name.as_str())
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// Turns the loop for so long, whatever comes of it.
    pub(crate) async fn turn_for(&self, runner: &mut FleetRunner, span: Duration) {
        let clock = SystemClock;
        let started = clock.now();
        while (clock.now() - started).to_std().unwrap_or_default() < span {
            drop(runner.tick().await);
            clock.sleep(Duration::from_millis(100)).await;
        }
    }

    /// Mutating calls that reached the cloud so far.
    pub(crate) fn mutations(&self) -> usize {
        [Op::RunInstances, Op::RegisterTargets, Op::DeregisterTargets, Op::TerminateInstances]
            .map(|op| self.calls(op).len())
            .iter()
            .sum()
    }

    /// The tokens of all launches that were sent, with the zone each went to.
    pub(crate) fn tokens(&self) -> Vec<(String, String)> {
        let text = |call: &CallRecord, key: &str| {
            call.parameters.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
        };
        self.calls(Op::RunInstances)
            .iter()
            .map(|call| (text(call, "client_token"), text(call, "subnet")))
            .collect()
    }
}

/// Whether a call did its work.
pub(crate) fn worked(call: &CallRecord) -> bool {
    matches!(call.outcome, CallOutcome::Ok { .. })
}

/// Turns the loop until something holds.
pub(crate) async fn turn_until<F>(runner: &mut FleetRunner, what: &str, mut holds: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let clock = SystemClock;
    let started = clock.now();
    let mut last = String::new();
    while !holds().await {
        match runner.tick().await {
            Ok(Ticked::Done(plan)) => last.clone_from(&plan.reason),
            Ok(Ticked::NotHeld) => "another replica holds the fleet".clone_into(&mut last),
            Err(StoreError::Fenced { .. }) => "fenced".clone_into(&mut last),
            Err(error) => last = error.to_string(),
        }
        let waited = clock.now() - started;
        assert!(waited.to_std().unwrap_or_default() < PATIENCE, "{what}: not after {waited}; last: {last}");
        clock.sleep(Duration::from_millis(40)).await;
    }
}

/// Distinct things of a list.
pub(crate) fn distinct<T: Ord>(things: impl IntoIterator<Item = T>) -> usize {
    things.into_iter().collect::<BTreeSet<_>>().len()
}

fn is_alive(state: InstanceState) -> bool {
    !matches!(state, InstanceState::ShuttingDown | InstanceState::Terminated)
}
