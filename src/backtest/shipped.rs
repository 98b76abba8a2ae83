//! The shipped decision as a scaler: every tick makes a real [`Snapshot`] and asks [`decide`] itself.
//!
//! What the loop keeps between two ticks is kept here as the store keeps it: the window of observations, the size last
//! wanted, the times of the last changes and the terminations that the budget counts. The plant stands in for the
//! cloud, so what a plan buys is there at the next look, booting, and which host goes is the plant's choice.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use crate::backtest::{Scaler, Second, SeenHost, Sight};
use crate::decide::plan::Action;
use crate::decide::policy::Policy;
use crate::decide::signal::{Observation, Value};
use crate::decide::snapshot::{
    CloudView, Deregistration, FleetMemory, HostView, Protection, Sighting, Snapshot, Unserved,
};
use crate::decide::{Plan, decide};
use crate::domain::host::{Host, HostState};
use crate::domain::ids::{InstanceId, InstanceType, Zone};
use crate::domain::time::{Timestamp, after, before};

/// The signal that stands for the utilisation that the plant's hosts report.
pub const SIGNAL: &str = "cpu.avg";

/// Boots that are remembered: the boot time is a high percentile of these.
const BOOTS: usize = 100;

/// The shipped decision for one fleet.
#[derive(Debug)]
pub struct Shipped {
    name: String,
    snapshot: Snapshot,
    /// The plant's number of each host of the snapshot.
    ids: Vec<u32>,
    /// How long the last launches took to serve, in seconds.
    boots: VecDeque<Second>,
    looks_back: Duration,
}

impl Shipped {
    /// Under this policy, called so in tables.
    #[must_use]
    pub fn new(name: &str, policy: Policy) -> Self {
        let looks_back = policy.looks_back();
        let snapshot = Snapshot {
            now: moment(0),
            policy: Arc::new(policy),
            hosts: Vec::new(),
            launches: Vec::new(),
            current: Observation::empty(moment(0)),
            window: Vec::new(),
            memory: FleetMemory::default(),
            requests: Vec::new(),
            drains_in_budget: Vec::new(),
            pools: Vec::new(),
            orphans: 0,
            unserved: Unserved::default(),
            cloud: CloudView::Fresh,
            boot_time: None,
        };
        Self { name: name.to_owned(), snapshot, ids: Vec::new(), boots: VecDeque::new(), looks_back }
    }

    /// What is decided at this sight, in full; what the loop would remember of it is remembered.
    pub fn decide(&mut self, sight: &Sight<'_>) -> Plan {
        let now = moment(sight.now);
        self.snapshot.now = now;
        self.meet(sight);
        self.snapshot.current = observe(sight);
        self.snapshot.memory.desired.get_or_insert(sight.desired);
        let plan = decide(&self.snapshot);
        self.remember(&plan);
        plan
    }

    /// Brings the rows up to what is seen. Both are ordered by the plant's number.
    fn meet(&mut self, sight: &Sight<'_>) {
        let mut seen = sight.hosts.iter().peekable();
        let mut place = 0;
        while place < self.ids.len() {
            match seen.peek() {
                Some(host) if host.id == self.ids[place] => {
                    if let Some(took) = served(&mut self.snapshot.hosts[place].host, host) {
                        self.boots.push_back(took);
                    }
                    seen.next();
                    place += 1;
                }
                _ => {
                    self.ids.remove(place);
                    self.snapshot.hosts.remove(place);
                }
            }
        }
        for host in seen {
            self.ids.push(host.id);
            self.snapshot.hosts.push(row(host, self.snapshot.policy.as_ref()));
        }
        self.snapshot.boot_time = self.boot_time();
    }

    /// How long all but the slowest twentieth of the last launches took.
    fn boot_time(&mut self) -> Option<Duration> {
        let surplus = self.boots.len().saturating_sub(BOOTS);
        self.boots.drain(..surplus);
        let mut sorted: Vec<Second> = self.boots.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * 95).div_ceil(100).checked_sub(1)?;
        sorted.get(rank).map(|seconds| Duration::from_secs(u64::from(*seconds)))
    }

    fn remember(&mut self, plan: &Plan) {
        let snapshot = &mut self.snapshot;
        let now = snapshot.now;
        let had = snapshot.memory.desired.unwrap_or(plan.size_before);
        let cools = matches!(plan.action, Action::ScaleOut | Action::ScaleIn | Action::Manual);
        if cools && plan.size_wanted != had {
            snapshot.memory.last_change = Some(now);
            if plan.size_wanted > had {
                snapshot.memory.last_scale_out = Some(now);
            }
        }
        snapshot.memory.desired = Some(plan.size_wanted);
        snapshot.memory.rules_fired.extend(plan.rules_fired.iter().map(|rule| (rule.clone(), now)));
        snapshot.drains_in_budget.extend(plan.drains.iter().map(|_| now));
        let spent_until = before(now, snapshot.policy.safety.budget_per);
        snapshot.drains_in_budget.retain(|at| *at > spent_until);
        snapshot.window.push(plan.observation.clone());
        let from = before(now, self.looks_back);
        let old = snapshot.window.iter().take_while(|seen| seen.at <= from).count();
        snapshot.window.drain(..old);
    }
}

impl Scaler for Shipped {
    fn name(&self) -> &str {
        &self.name
    }

    fn interval(&self) -> Second {
        Second::try_from(self.snapshot.policy.interval.as_secs()).unwrap_or(Second::MAX)
    }

    fn size(&mut self, sight: &Sight<'_>) -> u32 {
        self.decide(sight).size_wanted
    }
}

/// The day that is replayed begins at an arbitrary moment.
fn moment(second: Second) -> Timestamp {
    let start = Timestamp::UNIX_EPOCH + TimeDelta::days(20_000);
    after(start, Duration::from_secs(u64::from(second)))
}

/// Notes that a host serves; returns how long that took, once.
fn served(host: &mut Host, seen: &SeenHost) -> Option<Second> {
    let ready_at = seen.ready_at.filter(|_| host.healthy_at.is_none())?;
    host.healthy_at = Some(moment(ready_at));
    host.state = HostState::Healthy { since: moment(ready_at) };
    ready_at.checked_sub(seen.launched_at).filter(|took| *took > 0)
}

fn row(seen: &SeenHost, policy: &Policy) -> HostView {
    let launched_at = moment(seen.launched_at);
    let mut host = Host {
        // Ids sort as text, so the numbers are padded.
        id: InstanceId::new(format!("i-{:010}", seen.id)),
        fleet: policy.fleet.clone(),
        launch: None,
        zone: policy.places.first().map_or_else(|| Zone::new("a"), |place| place.zone.clone()),
        subnet: policy.places.first().map(|place| place.subnet.clone()),
        instance_type: InstanceType::new("any"),
        address: None,
        launched_at,
        healthy_at: None,
        state: HostState::Pending { since: launched_at },
        version: 1,
    };
    served(&mut host, seen);
    HostView {
        host,
        seen: Sighting::Present,
        protection: Protection::None,
        deregistration: Deregistration::NotSent,
    }
}

/// What `decide::aggregate` makes of the same hosts, without a map for each of them; a test holds the two together.
fn observe(sight: &Sight<'_>) -> Observation {
    let (mut asked, mut heard, mut busy) = (0_u32, 0_u32, 0.0_f64);
    for host in sight.hosts.iter().filter(|host| host.ready_at.is_some()) {
        asked += 1;
        if let Some(utilisation) = host.utilisation {
            heard += 1;
            busy += utilisation;
        }
    }
    let silent = f64::from(asked - heard);
    let pending = sight.hosts.len() as f64 - f64::from(asked);
    let mut values = BTreeMap::new();
    if heard > 0 {
        let all = f64::from(asked);
        let value =
            Value { heard: busy / f64::from(heard), if_idle: busy / all, if_busy: (busy + silent) / all };
        values.insert(SIGNAL.to_owned(), value);
    }
    for (name, count) in [
        ("hosts.healthy", f64::from(asked)),
        ("hosts.in_service", f64::from(asked)),
        ("hosts.pending", pending),
    ] {
        values.insert(name.to_owned(), Value::exact(count));
    }
    let at = moment(sight.now);
    Observation { values, hosts_heard: heard, hosts_asked: asked, ..Observation::empty(at) }
}
