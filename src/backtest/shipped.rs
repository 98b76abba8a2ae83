//! The shipped decision as a scaler: every tick makes a real [`Snapshot`] and asks [`decide_silently`], which is
//! [`decide`](crate::decide::decide) without its sentences.
//!
//! What the loop keeps between two ticks is kept here as the store keeps it: the window of observations, the size last
//! wanted, the times of the last changes and the terminations that the budget counts. The plant stands in for the
//! cloud, so what a plan buys is there at the next look, booting, and which host goes is the plant's choice.

mod foreseen;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use crate::backtest::shipped::foreseen::Foreseen;
use crate::backtest::{Scaler, Second, SeenHost, Sight};
use crate::decide::forecast;
use crate::decide::plan::Action;
use crate::decide::policy::Policy;
use crate::decide::signal::{Observation, Value};
use crate::decide::snapshot::{
    CloudView, Deregistration, FleetMemory, HostView, Protection, Sighting, Snapshot, Unserved,
};
use crate::decide::{Course, decide_silently};
use crate::domain::host::{Host, HostState};
use crate::domain::ids::{InstanceId, InstanceType, Zone};
use crate::domain::time::{Timestamp, after, before};

/// The signal that stands for the utilisation that the plant's hosts report.
pub const SIGNAL: &str = "cpu.avg";

/// Boots that are remembered: the boot time is a high percentile of these.
const BOOTS: usize = 100;

/// What was decided at one sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// In which direction, and on whose account.
    pub action: Action,
    /// The size wanted from now on.
    pub size_wanted: u32,
}

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
    foreseen: Foreseen,
}

impl Shipped {
    /// Under this policy, called so in tables.
    #[must_use]
    pub fn new(name: &str, policy: Policy) -> Self {
        let (looks_back, foreseen) = (policy.looks_back(), Foreseen::by(&policy));
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
            forecasts: BTreeMap::new(),
        };
        Self {
            name: name.to_owned(),
            snapshot,
            ids: Vec::new(),
            boots: VecDeque::new(),
            looks_back,
            foreseen,
        }
    }

    /// What is decided at this sight; what the loop would remember of it is remembered.
    pub fn decide(&mut self, sight: &Sight<'_>) -> Decided {
        let now = moment(sight.now);
        self.snapshot.now = now;
        self.meet(sight);
        self.snapshot.current = observe(sight);
        let lead = forecast::lead(self.snapshot.boot_time, self.snapshot.policy.interval);
        self.snapshot.forecasts = self.foreseen.at(&self.snapshot.current, lead);
        let had = *self.snapshot.memory.desired.get_or_insert(sight.desired);
        let Course { action, size_wanted, drains, rules_fired, observation } =
            decide_silently(&self.snapshot);
        self.remember(action, (had, size_wanted), drains, rules_fired);
        self.observed(observation);
        Decided { action, size_wanted }
    }

    /// Brings the rows up to what is seen. Both are ordered by the plant's number.
    fn meet(&mut self, sight: &Sight<'_>) {
        let mut seen = sight.hosts.iter().peekable();
        let mut place = 0;
        let known = self.boots.len();
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
        if self.boots.len() != known {
            self.snapshot.boot_time = self.boot_time();
        }
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

    fn remember(&mut self, action: Action, (had, wanted): (u32, u32), drains: u32, fired: Vec<String>) {
        let snapshot = &mut self.snapshot;
        let now = snapshot.now;
        let cools = matches!(action, Action::ScaleOut | Action::ScaleIn | Action::Manual);
        if cools && wanted != had {
            snapshot.memory.last_change = Some(now);
            if wanted > had {
                snapshot.memory.last_scale_out = Some(now);
            }
        }
        snapshot.memory.desired = Some(wanted);
        snapshot.memory.rules_fired.extend(fired.into_iter().map(|rule| (rule, now)));
        snapshot.drains_in_budget.extend((0..drains).map(|_| now));
        let spent_until = before(now, snapshot.policy.safety.budget_per);
        snapshot.drains_in_budget.retain(|at| *at > spent_until);
    }

    fn observed(&mut self, observation: Observation) {
        let snapshot = &mut self.snapshot;
        snapshot.window.push(observation);
        let from = before(snapshot.now, self.looks_back);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::backtest::plant::Plant;
    use crate::decide::aggregate::{self, HostCounts, Sample};
    use crate::decide::policy::{
        Cooldown, ForecastPolicy, Mode, Place, Safety, ScaleIn, SizePolicy, Target, VictimOrder,
    };
    use crate::domain::ids::{FleetName, SubnetId};

    const MINUTE: Duration = Duration::from_mins(1);

    fn policy() -> Policy {
        let target = Target {
            name: "cpu".into(),
            signal: SIGNAL.into(),
            value: 0.6,
            tolerance: 0.1,
            shortfall: 0.0005,
            forecast: None,
        };
        Policy {
            fleet: FleetName::new("web"),
            mode: Mode::Live,
            interval: Duration::from_secs(15),
            size: SizePolicy { min: 1, max: 200, step_out_max: None, step_in_max: 50 },
            schedules: Vec::new(),
            candidates: Vec::new(),
            rules: Vec::new(),
            targets: vec![target],
            cooldown: Cooldown { scale_out: MINUTE, scale_in: 5 * MINUTE },
            scale_in: ScaleIn {
                window: 5 * MINUTE,
                order: VictimOrder::Oldest,
                protect_tag: "fleet-scaler:protect".into(),
            },
            safety: Safety {
                halt_unhealthy: 0.2,
                budget_count: 500,
                budget_per: 10 * MINUTE,
                launch_failures_max: 3,
                breaker_reset: 10 * MINUTE,
            },
            quorum: 0.75,
            boot_timeout: 15 * MINUTE,
            health_grace: 2 * MINUTE,
            target_groups: Vec::new(),
            places: vec![Place { zone: Zone::new("a"), subnet: SubnetId::new("subnet-a") }],
            instance_types: Vec::new(),
        }
    }

    fn host(id: u32, ready_at: Option<Second>, utilisation: Option<f64>) -> SeenHost {
        SeenHost { id, launched_at: 0, ready_at, utilisation }
    }

    #[test]
    fn the_observation_is_the_one_that_the_loop_would_make() {
        let hosts = [
            host(1, Some(0), Some(0.5)),
            host(2, Some(0), None),
            host(3, Some(0), Some(0.7)),
            host(4, None, None),
        ];
        let id = |host: &SeenHost| InstanceId::new(format!("i-{:010}", host.id));
        let asked: Vec<InstanceId> = hosts.iter().filter(|host| host.ready_at.is_some()).map(id).collect();
        let page =
            |host: &SeenHost| Some((id(host), BTreeMap::from([("cpu".to_owned(), host.utilisation?)])));
        let observed = aggregate::observe(&Sample {
            at: moment(60),
            asked: &asked,
            hosts: &hosts.iter().filter_map(page).collect(),
            queries: &BTreeMap::new(),
            counts: HostCounts { healthy: 3, in_service: 3, pending: 1 },
            quorum: 0.75,
            needed: &BTreeSet::from([SIGNAL.to_owned()]),
            faults: &[],
        });
        assert_eq!(observe(&Sight { now: 60, hosts: &hosts, desired: 4 }), observed);
    }

    #[test]
    fn a_rise_is_followed_and_given_back_after_the_window() {
        let load: Vec<f64> =
            (0..240).map(|step| if (40..120).contains(&step) { 30.0 } else { 12.0 }).collect();
        let run = Plant::new(load, 60, 1).run(&mut Shipped::new("ours", policy()));
        assert!(run.serving[60..120].iter().all(|serving| *serving >= 40), "{:?}", run.serving);
        assert!(run.serving[120..140].iter().all(|serving| *serving >= 40), "{:?}", run.serving);
        assert!(run.serving[239] + 30 < run.serving[125], "{:?}", run.serving);
    }

    /// Every morning the load is five times as high within an hour, and hosts take ten minutes to come.
    fn office(step: u32) -> f64 {
        let hour = f64::from(step % 5_760) / 240.0;
        let morning = ((hour - 8.0) * 4.0).clamp(0.0, 1.0);
        let evening = ((19.0 - hour) * 4.0).clamp(0.0, 1.0);
        4.0 + 16.0 * morning.min(evening)
    }

    #[test]
    fn a_morning_that_comes_every_day_finds_its_hosts_there() {
        let load: Vec<f64> = (0..10 * 5_760).map(office).collect();
        let run = |forecast| {
            let mut policy = policy();
            policy.targets[0].forecast = forecast;
            let run = Plant::new(load.clone(), 600, 1).run(&mut Shipped::new("ours", policy));
            let measures = |from: usize, till: usize| {
                let share =
                    run.unserved[from..till].iter().sum::<f64>() / run.load[from..till].iter().sum::<f64>();
                (share, run.paid[from..till].iter().sum::<u32>())
            };
            (measures(0, 3 * 5_760), measures(8 * 5_760, 10 * 5_760))
        };
        let (with, without) = (run(Some(ForecastPolicy { hosts_max: 20 })), run(None));
        assert_eq!(with.0, without.0, "three days are too few to be believed");
        // Without it every hour has the head-room that the mornings have taught.
        assert!(with.1.0 <= without.1.0, "{with:?}, {without:?}");
        assert!(f64::from(with.1.1) < 0.65 * f64::from(without.1.1), "{with:?}, {without:?}");
    }

    #[test]
    fn cooldowns_and_the_window_are_kept_as_the_store_keeps_them() {
        let mut shipped = Shipped::new("ours", policy());
        let busy: Vec<SeenHost> = (0..10).map(|id| host(id, Some(0), Some(0.8))).collect();
        let first = shipped.decide(&Sight { now: 15, hosts: &busy, desired: 10 });
        assert_eq!((first.action, first.size_wanted), (Action::ScaleOut, 14));
        let mut busier: Vec<SeenHost> = (0..14).map(|id| host(id, Some(15), Some(1.0))).collect();
        busier[13].ready_at = None;
        busier[13].utilisation = None;
        let second = shipped.decide(&Sight { now: 30, hosts: &busier, desired: 14 });
        assert_eq!((second.action, second.size_wanted), (Action::Hold, 14));
        let third = shipped.decide(&Sight { now: 75, hosts: &busier, desired: 14 });
        assert_eq!(third.action, Action::ScaleOut);
        for look in 6..100 {
            shipped.decide(&Sight { now: look * 15, hosts: &busier, desired: 20 });
        }
        assert_eq!(shipped.snapshot.window.len(), 44, "eleven minutes: twice the window, and four ticks");
    }

    #[test]
    fn the_boot_time_is_that_of_the_slowest_but_a_twentieth() {
        let mut shipped = Shipped::new("ours", policy());
        let booting: Vec<SeenHost> = (0..20).map(|id| host(id, None, None)).collect();
        shipped.decide(&Sight { now: 0, hosts: &booting, desired: 20 });
        assert_eq!(shipped.snapshot.boot_time, None);
        let ready: Vec<SeenHost> = (0..20).map(|id| host(id, Some(30 + id), None)).collect();
        shipped.decide(&Sight { now: 60, hosts: &ready, desired: 20 });
        assert_eq!(shipped.snapshot.boot_time, Some(Duration::from_secs(48)));
    }
}
