//! A fleet on a quiet Sunday: four healthy hosts, half busy, nothing remembered; each test changes what it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::decide::Plan;
use crate::decide::condition::Condition;
use crate::decide::plan::{Action, Effect, Guard};
use crate::decide::policy::{
    Cooldown, Mode, Place, Policy, Rule, RuleAction, Safety, ScaleIn, SizePolicy, Sustained, Target,
    VictimOrder,
};
use crate::decide::signal::{Catalog, HOST_SIGNALS, Observation, Value};
use crate::decide::snapshot::{
    Ask, CloudView, Deregistration, FleetMemory, HostView, OpenLaunch, OperatorRequest, Pause, PoolHealth,
    Protection, Sighting, Snapshot, Unserved,
};
use crate::domain::host::{Drain, DrainReason, Host, HostState};
use crate::domain::ids::{
    FleetName, InstanceId, InstanceType, LaunchId, OperatorActionId, Pool, SubnetId, Zone,
};
use crate::domain::time::Timestamp;

pub(super) const MINUTE: Duration = Duration::from_mins(1);
const ZONES: [&str; 3] = ["eu-west-1a", "eu-west-1b", "eu-west-1c"];

/// Sunday, 1 March 2026, 10:00:00 UTC.
pub(super) fn now() -> Timestamp {
    Timestamp::from_timestamp(1_772_359_200, 0).unwrap()
}

/// So long before now.
pub(super) fn ago(span: Duration) -> Timestamp {
    now() - span
}

pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(super) fn catalog() -> Catalog {
    Catalog {
        host: HOST_SIGNALS.iter().map(|&name| name.to_owned()).collect(),
        fleet: BTreeSet::from(["qps".to_owned()]),
    }
}

pub(super) fn rule(name: &str, when: &str, (hits, of): (u32, u32), action: RuleAction) -> Rule {
    Rule {
        name: name.to_owned(),
        when: Condition::parse(when, &catalog()).unwrap(),
        sustained: Sustained { hits, of },
        action,
        cooldown: None,
    }
}

pub(super) fn cpu_target() -> Target {
    Target {
        name: "cpu-60".into(),
        signal: "cpu.avg".into(),
        value: 0.6,
        tolerance: 0.1,
        shortfall: 0.001,
        forecast: None,
    }
}

fn policy() -> Policy {
    Policy {
        fleet: FleetName::new("web"),
        mode: Mode::Live,
        interval: seconds(10),
        size: SizePolicy { min: 2, max: 10, step_out_max: None, step_in_max: 1 },
        schedules: Vec::new(),
        rules: vec![
            rule("hot", "cpu.avg > 0.75", (2, 3), RuleAction::Add(2)),
            rule("idle", "cpu.avg < 0.30", (3, 3), RuleAction::Remove(1)),
        ],
        targets: Vec::new(),
        cooldown: Cooldown { scale_out: MINUTE, scale_in: 5 * MINUTE },
        scale_in: ScaleIn {
            window: 5 * MINUTE,
            order: VictimOrder::Oldest,
            protect_tag: "fleet-scaler:protect".into(),
        },
        safety: Safety {
            halt_unhealthy: 0.2,
            budget_count: 5,
            budget_per: 10 * MINUTE,
            launch_failures_max: 3,
            breaker_reset: 10 * MINUTE,
        },
        quorum: 0.75,
        boot_timeout: 15 * MINUTE,
        health_grace: 2 * MINUTE,
        target_groups: Vec::new(),
        places: ZONES
            .iter()
            .map(|zone| Place {
                zone: Zone::new(*zone),
                subnet: SubnetId::new(format!("subnet-{}", &zone[8..])),
            })
            .collect(),
        instance_types: vec![InstanceType::new("m7g.large"), InstanceType::new("m6g.large")],
        candidates: Vec::new(),
    }
}

/// One test's fleet.
#[derive(Clone, Debug)]
pub(super) struct Fleet {
    pub(super) policy: Policy,
    pub(super) snapshot: Snapshot,
}

impl Fleet {
    /// `count` healthy hosts, `i-1` the oldest, over three zones, at `cpu` for longer than the window.
    pub(super) fn of(count: u32, cpu: f64) -> Self {
        let policy = policy();
        let snapshot = Snapshot {
            now: now(),
            policy: Arc::new(policy.clone()),
            hosts: (1..=count).map(host).collect(),
            launches: Vec::new(),
            current: observation(now(), cpu, count, None),
            window: Vec::new(),
            memory: FleetMemory { desired: Some(count), ..FleetMemory::default() },
            requests: Vec::new(),
            drains_in_budget: Vec::new(),
            pools: Vec::new(),
            orphans: 0,
            unserved: Unserved::default(),
            cloud: CloudView::Fresh,
            boot_time: None,
            forecasts: BTreeMap::new(),
        };
        let mut fleet = Self { policy, snapshot };
        fleet.observed(cpu, Some(count));
        fleet
    }

    /// As `of`, and the last five minutes recommended one host fewer.
    pub(super) fn idle(count: u32, cpu: f64) -> Self {
        let mut fleet = Self::of(count, cpu);
        fleet.observed(cpu, Some(count - 1));
        fleet
    }

    /// Sets what the whole window saw and recommended.
    pub(super) fn observed(&mut self, cpu: f64, recommended: Option<u32>) {
        let asked = self.snapshot.current.hosts_asked;
        self.snapshot.window = (1..=31)
            .rev()
            .map(|tick| observation(ago(tick * seconds(10)), cpu, asked, recommended))
            .collect();
    }

    /// Sets what the whole window recommended.
    pub(super) fn recommended(&mut self, size: Option<u32>) {
        self.snapshot.window.iter_mut().for_each(|seen| seen.recommended = size);
    }

    /// Every observation, the current one last.
    pub(super) fn observations(&mut self) -> impl Iterator<Item = &mut Observation> {
        self.snapshot.window.iter_mut().chain(std::iter::once(&mut self.snapshot.current))
    }

    /// Nothing was heard of any host, now and for the last three ticks.
    pub(super) fn deaf(&mut self) {
        let last = self.snapshot.window.len().saturating_sub(3);
        for seen in self.snapshot.window[last..].iter_mut().chain(std::iter::once(&mut self.snapshot.current))
        {
            seen.values.remove("cpu.avg");
            seen.hosts_heard = 0;
            seen.recommended = None;
        }
        self.snapshot.current.faults = vec!["i-1: timeout: no answer within 3s".into()];
    }

    pub(super) fn host(&mut self, number: usize) -> &mut Host {
        &mut self.snapshot.hosts[number - 1].host
    }

    /// A host in another state; `since` is as long ago as `span`.
    pub(super) fn unhealthy(&mut self, number: usize, span: Duration) {
        self.host(number).state = HostState::Unhealthy { since: ago(span) };
    }

    /// A host that was launched so long ago and never was healthy.
    pub(super) fn booting(&mut self, number: usize, span: Duration) {
        let host = self.host(number);
        host.launched_at = ago(span);
        host.healthy_at = None;
        host.state = HostState::Registered { since: ago(span) };
    }

    pub(super) fn draining(&mut self, number: usize, reason: DrainReason) {
        let drain = Drain { reason, started_at: ago(seconds(5)), groups: Vec::new() };
        self.host(number).state = HostState::Draining { drain };
    }

    pub(super) fn seen(&mut self, number: usize, seen: Sighting) {
        self.snapshot.hosts[number - 1].seen = seen;
    }

    pub(super) fn protected(&mut self, number: usize) {
        self.snapshot.hosts[number - 1].protection = Protection::Tagged;
    }

    pub(super) fn lose(&mut self, number: usize) {
        self.snapshot.hosts.remove(number - 1);
        self.snapshot.current.hosts_asked -= 1;
        self.snapshot.current.hosts_heard = self.snapshot.current.hosts_heard.saturating_sub(1);
        let healthy = f64::from(self.snapshot.current.hosts_asked);
        self.snapshot.current.values.insert("hosts.healthy".into(), Value::exact(healthy));
    }

    pub(super) fn reserve(&mut self, missing: u32, span: Duration) {
        let id = LaunchId(Uuid::from_u128(u128::from(missing)));
        self.snapshot.launches.push(OpenLaunch { id, missing, created_at: ago(span) });
    }

    pub(super) fn cools(&mut self, zone: &str, kind: &str, until: Timestamp, allowance: u32) {
        let pool = Pool { zone: Zone::new(zone), instance_type: Some(InstanceType::new(kind)) };
        self.snapshot.pools.push(PoolHealth { pool, failures: 2, cooling_until: until, allowance });
    }

    pub(super) fn asks(&mut self, ask: Ask) {
        let id = OperatorActionId(Uuid::from_u128(self.snapshot.requests.len() as u128));
        let request = OperatorRequest { id, actor: "alice".into(), reason: "load test".into(), ask };
        self.snapshot.requests.push(request);
    }

    pub(super) fn pause() -> Pause {
        Pause { until: Some(now() + 60 * MINUTE), actor: "bob".into(), reason: "migration".into() }
    }

    /// The snapshot, with the policy as it is by now.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot { policy: Arc::new(self.policy.clone()), ..self.snapshot.clone() }
    }

    pub(super) fn decide(&self) -> Plan {
        crate::decide::decide(&self.snapshot())
    }
}

pub(super) fn observation(at: Timestamp, cpu: f64, asked: u32, recommended: Option<u32>) -> Observation {
    let counts = f64::from(asked);
    Observation {
        at,
        values: BTreeMap::from([
            ("cpu.avg".to_owned(), Value::exact(cpu)),
            ("hosts.healthy".to_owned(), Value::exact(counts)),
        ]),
        hosts_heard: asked,
        hosts_asked: asked,
        recommended,
        candidates: BTreeMap::new(),
        faults: Vec::new(),
        quarantined: Vec::new(),
        unserved: Vec::new(),
        trails: BTreeMap::new(),
    }
}

fn host(number: u32) -> HostView {
    let launched_at = ago(24 * 60 * MINUTE) + number * MINUTE;
    let zone = ZONES[(number as usize - 1) % ZONES.len()];
    let host = Host {
        id: InstanceId::new(format!("i-{number}")),
        fleet: FleetName::new("web"),
        launch: Some(LaunchId(Uuid::from_u128(7))),
        zone: Zone::new(zone),
        subnet: Some(SubnetId::new(format!("subnet-{}", &zone[8..]))),
        instance_type: InstanceType::new("m7g.large"),
        address: None,
        launched_at,
        healthy_at: Some(launched_at + MINUTE),
        state: HostState::Healthy { since: launched_at + MINUTE },
        version: i64::from(number) + 40,
    };
    HostView {
        host,
        seen: Sighting::Present,
        protection: Protection::None,
        deregistration: Deregistration::NotSent,
    }
}

pub(super) fn effect(plan: &Plan, guard: Guard) -> Effect {
    plan.verdicts.iter().find(|verdict| verdict.guard == guard).unwrap().effect
}

pub(super) fn because(plan: &Plan, guard: Guard) -> &str {
    &plan.verdicts.iter().find(|verdict| verdict.guard == guard).unwrap().because
}

pub(super) fn bought(plan: &Plan) -> u32 {
    plan.launches.iter().map(|launch| launch.count).sum()
}

pub(super) fn victims(plan: &Plan) -> Vec<&str> {
    plan.drains.iter().map(|drain| drain.host.as_str()).collect()
}

#[track_caller]
pub(super) fn expect(plan: &Plan, action: Action, (before, wanted): (u32, u32)) {
    assert_eq!(
        (plan.action, plan.size_before, plan.size_wanted),
        (action, before, wanted),
        "{}",
        plan.reason
    );
}
