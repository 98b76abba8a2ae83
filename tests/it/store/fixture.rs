//! Small worlds to test the store in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use fleet_scaler::decide::inputs::Basis;
use fleet_scaler::decide::plan::{
    Action, CandidatePlan, Effect, Guard, Plan, ReasonCode, Recommendation, RuleWindow, Verdict,
};
use fleet_scaler::decide::policy::{Mode, Policy};
use fleet_scaler::decide::signal::{Observation, Value};
use fleet_scaler::decide::snapshot::{
    CloudView, Deregistration, FleetMemory, HostView, Protection, Sighting, Snapshot, Unserved,
};
use fleet_scaler::domain::host::{Drain, DrainReason, Host, HostState, Step};
use fleet_scaler::domain::ids::{
    AttemptId, CallId, DecisionId, FleetName, InstanceId, InstanceType, LaunchId, OperatorActionId, Pool,
    ReplicaId, SubnetId, TargetGroupArn, Zone,
};
use fleet_scaler::domain::launch::{
    Attempt, AttemptOutcome, Launch, LaunchState, LaunchTemplate, Market, TemplateRef,
};
use fleet_scaler::domain::time::{Timestamp, after, before};
use fleet_scaler::entropy::{ChaChaEntropy, Entropy as _};
use fleet_scaler::store::history::History;
use fleet_scaler::store::postgres::PostgresStore;
use fleet_scaler::store::{
    CloudCall, DecisionCommit, DrainBudget, Fence, HostChange, LeaseAnswer, Operation, OperatorAction,
    OperatorActionKind, PoolChange, Resolution, Store, StoreError, StoredFleet,
};
use uuid::Uuid;

use super::subject::{Subject, TestClock, beginning};
use crate::support::TestDatabase;

pub(super) const LEASE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const GROUP: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/web/1";

pub(super) fn fresh() -> Uuid {
    ChaChaEntropy::from_os().uuid()
}

/// A store, and the lease of fleet `web`.
pub(super) struct World {
    pub(super) subject: Subject,
    pub(super) store: Arc<dyn History>,
    pub(super) fence: Fence,
}

impl World {
    /// Time goes by, and the lease is kept.
    pub(super) async fn wait(&self, span: Duration) {
        self.subject.pass(span).await;
        take(&*self.store, self.fence.fleet.as_str(), self.fence.replica.as_str()).await;
    }

    /// On Postgres.
    pub(super) async fn new() -> Self {
        Self::of(Subject::postgres().await).await
    }

    /// In memory.
    pub(super) async fn in_memory() -> Self {
        Self::of(Subject::memory(TestClock::ticking(beginning()))).await
    }

    pub(super) async fn of(subject: Subject) -> Self {
        let store = subject.store();
        let fence = take(&*store, "web", "replica-1").await;
        Self { subject, store, fence }
    }

    /// The database of a world on Postgres.
    pub(super) fn db(&self) -> &TestDatabase {
        match &self.subject {
            Subject::Postgres { db, .. } => db,
            Subject::Memory { .. } => panic!("this world has no database"),
        }
    }

    /// The store of a world on Postgres, with what the contract does not have.
    pub(super) fn postgres(&self) -> &PostgresStore {
        match &self.subject {
            Subject::Postgres { store, .. } => store,
            Subject::Memory { .. } => panic!("this world has no database"),
        }
    }

    /// Lets the lease run out.
    pub(super) async fn expire(&self) {
        self.subject.pass(LEASE + Duration::from_secs(1)).await;
    }

    pub(super) async fn now(&self) -> Timestamp {
        self.store.now().await.unwrap()
    }

    pub(super) async fn load(&self) -> StoredFleet {
        self.store.fleet_load(&self.fence.fleet, HOUR, HOUR).await.unwrap()
    }

    pub(super) async fn commit(&self, commit: &DecisionCommit) -> Timestamp {
        self.store.decision_commit(&self.fence, commit).await.unwrap()
    }

    /// A decision that wants so many more hosts, with its intent and first attempt.
    pub(super) async fn scale_out(&self, count: u32) -> (DecisionCommit, Launch) {
        let stored = self.load().await;
        let size =
            u32::try_from(stored.hosts.iter().filter(|host| host.state.is_capacity()).count()).unwrap();
        let mut commit = decision(Action::ScaleOut, size, size + count, stored.now);
        let launch = launch(&self.fence, commit.id, count, stored.now);
        commit.launches = vec![launch.clone()];
        self.commit(&commit).await;
        (commit, launch)
    }

    /// Buys the hosts of a launch: `i-<prefix>0`, `i-<prefix>1`, …, all pending.
    pub(super) async fn buy(&self, launch: &Launch, prefix: &str) -> Vec<Host> {
        let now = self.now().await;
        let hosts: Vec<Host> =
            (0..launch.count).map(|n| host(launch, &format!("i-{prefix}{n}"), now)).collect();
        let resolution = resolution(launch, launched(launch.count), hosts.clone());
        self.store.attempt_resolve(&self.fence, &resolution).await.unwrap();
        hosts
    }

    pub(super) async fn step(&self, host: &Host, step: Step) -> Host {
        self.try_step(host, step).await.unwrap()
    }

    pub(super) async fn try_step(&self, host: &Host, step: Step) -> Result<Host, StoreError> {
        let after = host.clone().advance(&step, self.now().await).unwrap();
        let change = HostChange { after: after.clone(), step: Some(step) };
        self.store.host_advance(&self.fence, &change).await.map(|()| after)
    }

    /// One host, launched and healthy.
    pub(super) async fn healthy_host(&self, prefix: &str) -> Host {
        let (_, launch) = self.scale_out(1).await;
        let host = self.buy(&launch, prefix).await.remove(0);
        let host = self.step(&host, Step::Run).await;
        let host = self.step(&host, Step::Register).await;
        self.step(&host, Step::BecomeHealthy).await
    }

    /// A decision that sends hosts away.
    pub(super) async fn scale_in(&self, hosts: &[Host], reason: DrainReason) -> (DecisionCommit, Vec<Host>) {
        let stored = self.load().await;
        let size =
            u32::try_from(stored.hosts.iter().filter(|host| host.state.is_capacity()).count()).unwrap();
        let wanted = size - u32::try_from(hosts.len()).unwrap();
        let mut commit = decision(Action::ScaleIn, size, wanted, stored.now);
        commit.hosts = hosts.iter().map(|host| begin_drain(host, reason, stored.now)).collect();
        self.commit(&commit).await;
        let after = commit.hosts.iter().map(|change| change.after.clone()).collect();
        (commit, after)
    }

    pub(super) async fn act(&self, kind: OperatorActionKind) -> OperatorActionId {
        let id = OperatorActionId(fresh());
        let (actor, reason) = ("ada".to_owned(), "because of the tests".to_owned());
        let action = OperatorAction { id, fleet: self.fence.fleet.clone(), actor, reason, kind };
        self.store.operator_act(&action).await.unwrap();
        id
    }
}

pub(super) async fn take(store: &dyn Store, fleet: &str, replica: &str) -> Fence {
    let (fleet, replica) = (FleetName::new(fleet), ReplicaId::new(replica));
    match store.lease_take(&fleet, &replica, LEASE).await.unwrap() {
        LeaseAnswer::Held { fence, .. } => fence,
        LeaseAnswer::Other { holder, .. } => panic!("{holder} holds {fleet}"),
    }
}

pub(super) fn observation(at: Timestamp) -> Observation {
    let values = BTreeMap::from([
        ("cpu.avg".to_owned(), Value::exact(0.81)),
        ("qps".to_owned(), Value { heard: 0.1 + 0.2, if_idle: 1e-9, if_busy: 123_456.789 }),
    ]);
    Observation {
        at,
        values,
        hosts_heard: 2,
        hosts_asked: 3,
        recommended: Some(4),
        candidates: BTreeMap::new(),
        faults: vec!["slow".into()],
        quarantined: Vec::new(),
        unserved: Vec::new(),
        trails: BTreeMap::new(),
    }
}

/// A live decision that starts nothing yet.
pub(super) fn decision(action: Action, before: u32, wanted: u32, at: Timestamp) -> DecisionCommit {
    let plan = Plan {
        action,
        size_before: before,
        size_wanted: wanted,
        recommendations: vec![Recommendation {
            source: "rule hot".into(),
            size: Some(wanted),
            because: "cpu.avg 0.81 > 0.75 in 2 of 3".into(),
            window: Some(RuleWindow {
                when: "cpu.avg > 0.75".into(),
                hits_needed: 2,
                of: 3,
                hits: 2,
                observations: "FHH".into(),
            }),
            reading: None,
        }],
        code: ReasonCode::ScaledOut,
        verdicts: vec![Verdict {
            guard: Guard::Bounds,
            effect: Effect::Pass,
            because: "within 1 and 20".into(),
        }],
        reason: format!("{before} to {wanted} hosts"),
        launches: vec![],
        drains: vec![],
        cancelled_drains: vec![],
        rules_fired: vec![],
        answered: vec![],
        observation: observation(at),
        candidates: vec![CandidatePlan {
            name: "calmer".into(),
            action: Action::Hold,
            size_wanted: before,
            recommended: None,
            reason: "Hold".into(),
        }],
        cloud: CloudView::Fresh,
    };
    let id = DecisionId(fresh());
    let budget = DrainBudget { count: 20, per: HOUR };
    let (launches, hosts, basis) = (vec![], vec![], basis(at));
    DecisionCommit { id, mode: Mode::Live, plan, basis, launches, hosts, max: 20, orphans: 0, min: 0, budget }
}

/// A host as the cloud makes them: what can be guessed of one from another is little.
pub(super) fn host_view(number: u32, at: Timestamp) -> HostView {
    let dice = fresh().as_u128();
    let launched_at = before(at, Duration::from_micros(u64::try_from(dice % 86_400_000_000).unwrap()));
    let healthy_at = after(launched_at, Duration::from_micros(61_000_000 + u64::from(number) * 7_919));
    let host = Host {
        id: InstanceId::new(format!("i-{:017x}", dice >> 60)),
        fleet: FleetName::new("web"),
        launch: Some(LaunchId(fresh())),
        zone: Zone::new(format!("eu-west-1{}", ["a", "b", "c"][number as usize % 3])),
        subnet: Some(SubnetId::new(format!("subnet-0{:016x}", number % 3))),
        instance_type: InstanceType::new("m7g.large"),
        address: Some(IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + u32::try_from(dice % 65_536).unwrap()))),
        launched_at,
        healthy_at: Some(healthy_at),
        state: HostState::Healthy { since: healthy_at },
        version: 4,
    };
    HostView {
        host,
        seen: Sighting::Present,
        protection: Protection::None,
        deregistration: Deregistration::NotSent,
    }
}

/// A snapshot of a fleet of one host: the stores keep it, and never look into it.
pub(super) fn basis(at: Timestamp) -> Basis {
    static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| {
        Arc::new(crate::service::world::fleet(crate::service::world::FLEET).policy(Vec::new()))
    });
    let snapshot = Snapshot {
        now: at,
        policy: Arc::clone(&POLICY),
        hosts: vec![host_view(1, at)],
        launches: vec![],
        current: observation(at),
        window: vec![],
        memory: FleetMemory::default(),
        requests: vec![],
        drains_in_budget: vec![],
        pools: vec![],
        orphans: 0,
        unserved: Unserved::default(),
        cloud: CloudView::Fresh,
        boot_time: None,
        forecasts: BTreeMap::new(),
    };
    Basis { snapshot: Arc::new(snapshot), withheld: None }
}

pub(super) fn pool(zone: &str) -> Pool {
    Pool { zone: Zone::new(zone), instance_type: Some(InstanceType::new("m7g.large")) }
}

/// An intent with its first attempt.
pub(super) fn launch(fence: &Fence, decision: DecisionId, count: u32, at: Timestamp) -> Launch {
    let template = LaunchTemplate {
        template: TemplateRef::Id("lt-0abc".into()),
        version: 7,
        market: Market::OnDemand,
        tags: BTreeMap::from([("scale-source".to_owned(), "auto".to_owned())]),
    };
    let state = LaunchState::Open { attempt: None };
    let (id, fleet) = (LaunchId(fresh()), fence.fleet.clone());
    let mut launch =
        Launch { id, fleet, decision, count, template, launched: 0, attempts: 0, state, created_at: at };
    let attempt = attempt(&launch, "eu-west-1a", at);
    launch.state = LaunchState::Open { attempt: Some(Box::new(attempt)) };
    launch
}

/// The next attempt at what a launch lacks.
pub(super) fn attempt(launch: &Launch, zone: &str, at: Timestamp) -> Attempt {
    Attempt::open(launch, AttemptId(fresh()), pool(zone), SubnetId::new("subnet-a"), 99, at)
}

pub(super) fn launched(count: u32) -> AttemptOutcome {
    AttemptOutcome::Launched { count }
}

pub(super) fn resolution(launch: &Launch, outcome: AttemptOutcome, hosts: Vec<Host>) -> Resolution {
    let attempt = launch.open_attempt().unwrap().id;
    Resolution { attempt, launch: launch.id, outcome, hosts, pool: PoolChange::Unchanged }
}

/// A host that was just bought.
pub(super) fn host(launch: &Launch, id: &str, at: Timestamp) -> Host {
    Host {
        id: InstanceId::new(id),
        fleet: launch.fleet.clone(),
        launch: Some(launch.id),
        zone: Zone::new("eu-west-1a"),
        subnet: Some(SubnetId::new("subnet-a")),
        instance_type: InstanceType::new("m7g.large"),
        address: None,
        launched_at: at,
        healthy_at: None,
        state: HostState::Pending { since: at },
        version: 0,
    }
}

pub(super) fn begin_drain(host: &Host, reason: DrainReason, at: Timestamp) -> HostChange {
    let drain = Drain { reason, started_at: at, groups: vec![TargetGroupArn::new(GROUP)] };
    let step = Step::BeginDrain { drain };
    HostChange { after: host.clone().advance(&step, at).unwrap(), step: Some(step) }
}

/// The journal's row for the first call of a launch's attempt.
pub(super) fn run_instances(launch: &Launch) -> CloudCall {
    let attempt = launch.open_attempt().unwrap();
    CloudCall {
        id: CallId(fresh()),
        fleet: launch.fleet.clone(),
        op: Operation::RunInstances,
        decision: Some(launch.decision),
        launch: Some(launch.id),
        attempt: Some(attempt.id),
        ordinal: 1,
        instances: vec![],
        target_group: None,
        zone: Some(attempt.request.pool.zone.clone()),
        client_token: Some(attempt.request.client_token.clone()),
    }
}

/// The journal's row for a termination.
pub(super) fn terminate(fence: &Fence, host: &Host, decision: Option<DecisionId>) -> CloudCall {
    CloudCall {
        id: CallId(fresh()),
        fleet: fence.fleet.clone(),
        op: Operation::TerminateInstances,
        decision,
        launch: None,
        attempt: None,
        ordinal: 1,
        instances: vec![host.id.clone()],
        target_group: None,
        zone: None,
        client_token: None,
    }
}

pub(super) fn decision_id() -> DecisionId {
    DecisionId(fresh())
}
