//! The example policies, each through a short story: what was observed, and what was decided then, as `plan` prints it.
//!
//! `UPDATE_GOLDEN=1` writes the stories anew under `tests/golden/examples`; read the difference. The world is a simple
//! one: what is bought serves at the next observation but one, and what is sent away is gone at the next.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fleet_scaler::config::fleet::FleetConfig;
use fleet_scaler::decide::plan::Action;
use fleet_scaler::decide::policy::Place;
use fleet_scaler::decide::signal::{Observation, Value};
use fleet_scaler::decide::snapshot::{
    CloudView, Deregistration, FleetMemory, HostView, Protection, Sighting, Unserved,
};
use fleet_scaler::decide::{Plan, Snapshot, decide, explain};
use fleet_scaler::domain::host::{Host, HostState};
use fleet_scaler::domain::ids::{FleetName, InstanceId, InstanceType, Zone};
use fleet_scaler::domain::time::Timestamp;

use serde_json::json;

use super::load_bare;

/// The values of one observation, by signal.
type Seen<'a> = &'a [(&'a str, f64)];

struct Story {
    config: FleetConfig,
    now: Timestamp,
    hosts: Vec<Host>,
    memory: FleetMemory,
    window: Vec<Observation>,
    bought: u32,
    told: String,
}

impl Story {
    fn of(fleet: &str, hosts: u32, begins: &str) -> Self {
        let mut configuration = load_bare(Path::new("config/examples")).expect("the examples are valid");
        let config = configuration.fleets.remove(&FleetName::new(fleet)).expect("the example");
        let now = begins.parse().expect("a moment");
        let mut story = Self {
            config,
            now,
            hosts: Vec::new(),
            memory: FleetMemory { desired: Some(hosts), ..FleetMemory::default() },
            window: Vec::new(),
            bought: 0,
            told: String::new(),
        };
        for number in 0..hosts {
            let long_ago = now - Duration::from_hours(24);
            story.add(number as usize, long_ago);
        }
        for host in &mut story.hosts {
            host.serve(now - Duration::from_hours(23));
        }
        story
    }

    fn zone(place: usize) -> Zone {
        Zone::new(["eu-west-1a", "eu-west-1b", "eu-west-1c"][place % 3])
    }

    fn add(&mut self, place: usize, at: Timestamp) {
        self.bought += 1;
        self.hosts.push(Host {
            id: InstanceId::new(format!("i-{:02}", self.bought)),
            fleet: self.config.name.clone(),
            launch: None,
            zone: Self::zone(place),
            subnet: None,
            instance_type: InstanceType::new("m7g.large"),
            address: None,
            launched_at: at,
            healthy_at: None,
            state: HostState::Registered { since: at },
            version: 1,
        });
    }

    /// Hosts were quiet for so long before the story begins, and nothing was recommended but the size.
    fn after_quiet(mut self, observations: u32, seen: Seen<'_>) -> Self {
        let healthy = u32::try_from(self.hosts.len()).expect("few hosts");
        for earlier in (1..=observations).rev() {
            let at = self.now - self.config.interval * earlier;
            let mut observation = self.observation(seen);
            (observation.at, observation.recommended) = (at, Some(healthy));
            self.window.push(observation);
        }
        self
    }

    fn observation(&self, seen: Seen<'_>) -> Observation {
        let healthy = self.hosts.iter().filter(|host| host.serves()).count();
        let healthy = u32::try_from(healthy).expect("few hosts");
        let values: BTreeMap<_, _> =
            seen.iter().map(|(name, value)| ((*name).to_owned(), Value::exact(*value))).collect();
        // As it would come back from the store.
        let observation = json!({
            "at": self.now,
            "values": values,
            "hosts_heard": healthy,
            "hosts_asked": healthy,
            "recommended": null,
            "faults": [],
        });
        serde_json::from_value(observation).expect("an observation")
    }

    fn snapshot(&self, seen: Seen<'_>) -> Snapshot {
        let places = self.config.launch.subnets.iter().enumerate();
        let places = places.map(|(place, subnet)| Place { zone: Self::zone(place), subnet: subnet.clone() });
        let view = |host: &Host| HostView {
            host: host.clone(),
            seen: Sighting::Present,
            protection: Protection::None,
            deregistration: Deregistration::NotSent,
        };
        Snapshot {
            now: self.now,
            policy: Arc::new(self.config.policy(places.collect())),
            hosts: self.hosts.iter().map(view).collect(),
            launches: Vec::new(),
            current: self.observation(seen),
            window: self.window.clone(),
            memory: self.memory.clone(),
            requests: Vec::new(),
            drains_in_budget: Vec::new(),
            pools: Vec::new(),
            orphans: 0,
            unserved: Unserved::default(),
            boot_time: None,
            forecasts: BTreeMap::new(),
            cloud: CloudView::Fresh,
        }
    }

    /// One observation and what is decided by it.
    fn then(&mut self, words: &str, seen: Seen<'_>) -> Plan {
        let plan = decide(&self.snapshot(seen));
        let page = explain::render(self.config.name.as_str(), &plan);
        let _ = write!(self.told, "# {words}\n{page}\n\n");
        self.carry_out(&plan);
        self.now += self.config.interval;
        plan
    }

    /// So many observations from a later moment on, which nobody tells of.
    fn jump(&mut self, to: &str, observations: u32, seen: Seen<'_>) {
        self.now = to.parse().expect("a moment");
        for _ in 0..observations {
            let plan = decide(&self.snapshot(seen));
            self.carry_out(&plan);
            self.now += self.config.interval;
        }
    }

    fn carry_out(&mut self, plan: &Plan) {
        for host in &mut self.hosts {
            host.serve(self.now);
        }
        self.hosts.retain(|host| plan.drains.iter().all(|drain| drain.host != host.id));
        for launch in &plan.launches {
            let place = (0..3).find(|place| Self::zone(*place) == launch.pool.zone).expect("a zone");
            for _ in 0..launch.count {
                self.add(place, self.now);
            }
        }
        self.memory.desired = Some(plan.size_wanted);
        if matches!(plan.action, Action::ScaleOut | Action::ScaleIn) {
            self.memory.last_change = Some(self.now);
        }
        if plan.action == Action::ScaleOut {
            self.memory.last_scale_out = Some(self.now);
        }
        self.memory.rules_fired.extend(plan.rules_fired.iter().map(|rule| (rule.clone(), self.now)));
        self.window.push(plan.observation.clone());
    }

    #[track_caller]
    fn ends(self) {
        let name = self.config.name.as_str();
        let file = PathBuf::from("tests/golden/examples").join(format!("{name}.txt"));
        let text = format!("{}\n", self.told.trim_end());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all("tests/golden/examples").expect("make the folder");
            std::fs::write(&file, &text).expect("write the story");
        }
        let expected = std::fs::read_to_string(&file).expect("the story");
        assert_eq!(text, expected, "{name}: UPDATE_GOLDEN=1 writes the file anew");
    }
}

trait Serves {
    fn serve(&mut self, since: Timestamp);
    fn serves(&self) -> bool;
}

impl Serves for Host {
    fn serve(&mut self, since: Timestamp) {
        if !self.serves() {
            (self.state, self.healthy_at) = (HostState::Healthy { since }, Some(since));
        }
    }

    fn serves(&self) -> bool {
        matches!(self.state, HostState::Healthy { .. })
    }
}

/// The size wanted after each step of a story.
fn sizes(plans: &[Plan]) -> Vec<(Action, u32)> {
    plans.iter().map(|plan| (plan.action, plan.size_wanted)).collect()
}

#[test]
fn a_weighted_score_takes_two_periods() {
    let load = |cpu, queue, gpu| [("cpu.avg", cpu), ("queue", queue), ("gpu.avg", gpu)];
    let mut story = Story::of("weighted-score", 4, "2026-03-02T10:00:00Z");
    let plans = [
        story.then(
            "A score of 0.60: every part is below its best, and so is the whole.",
            &load(0.6, 0.6, 0.6),
        ),
        story.then("0.84, for the first time. The queue alone would not have done it.", &load(0.9, 1.0, 0.6)),
        story.then("0.86 in the next period: a quarter more.", &load(0.95, 1.0, 0.6)),
        story.then(
            "0.86 still: what was seen before the change was the reason for it, and is none for another.",
            &load(0.95, 1.0, 0.6),
        ),
        story.then(
            "The engine that knows the queue does not answer: no score, and nothing is taken away.",
            &[("cpu.avg", 0.1), ("gpu.avg", 0.1)],
        ),
    ];
    let (hold, out) = (Action::Hold, Action::ScaleOut);
    assert_eq!(sizes(&plans), [(hold, 4), (hold, 4), (out, 5), (hold, 5), (hold, 5)]);
    story.ends();
}

#[test]
fn what_is_high_together_brings_two_at_once() {
    let load = |cpu, qps, p95| [("cpu.avg", cpu), ("qps", qps), ("p95", p95)];
    let mut story = Story::of("together", 4, "2026-03-02T10:00:00Z");
    let plans = [
        story.then("Busy and quick: nothing is wrong.", &load(0.8, 1200.0, 0.2)),
        story.then("Slow, with little to do: it is not the load. It is watched.", &load(0.4, 500.0, 0.7)),
        story.then("All three together: two at once.", &load(0.85, 1400.0, 0.8)),
        story.then("The two are booting.", &load(0.85, 1400.0, 0.8)),
        story.then("They serve, and it was enough.", &load(0.6, 1400.0, 0.3)),
    ];
    let (hold, out) = (Action::Hold, Action::ScaleOut);
    assert_eq!(sizes(&plans), [(hold, 4), (hold, 4), (out, 6), (hold, 6), (hold, 6)]);
    story.ends();
}

#[test]
fn one_more_and_then_a_look_after_three_minutes() {
    let load = |cpu, memory| [("cpu.avg", cpu), ("memory.avg", memory)];
    let mut story = Story::of("look-again", 4, "2026-03-02T10:00:00Z");
    let plans = [
        story.then("Memory is short, processors are not: one more.", &load(0.5, 0.9)),
        story.then("The new host boots.", &load(0.5, 0.9)),
        story.then("It serves, and memory is short still: the three minutes are not over.", &load(0.5, 0.88)),
        story.then("They are: one more.", &load(0.5, 0.87)),
        story.then("Enough, before it even serves.", &load(0.45, 0.7)),
    ];
    let (hold, out) = (Action::Hold, Action::ScaleOut);
    assert_eq!(sizes(&plans), [(out, 5), (hold, 5), (hold, 5), (out, 6), (hold, 6)]);
    story.ends();
}

#[test]
fn down_only_after_three_quiet_observations() {
    let load = |cpu, memory| [("cpu.avg", cpu), ("memory.avg", memory)];
    let (quiet, busy) = (load(0.2, 0.4), load(0.4, 0.5));
    let mut story = Story::of("quiet-scale-in", 5, "2026-03-02T10:00:00Z").after_quiet(3, &busy);
    let plans = [
        story.then("Quiet, once.", &quiet),
        story.then("Twice.", &quiet),
        story.then("Not quiet: the count begins again.", &busy),
        story.then("Quiet, once.", &quiet),
        story.then("Twice.", &quiet),
        story.then("Three times; and two minutes ago all five were recommended. The window waits.", &quiet),
        story.then("It still does: that was at 10:04.", &quiet),
        story.then("Quiet for long enough for both: the oldest goes.", &quiet),
        story.then("One peak, and two come.", &load(0.8, 0.5)),
    ];
    let (hold, out) = (Action::Hold, Action::ScaleOut);
    let expected = [[(hold, 5); 7].as_slice(), &[(Action::ScaleIn, 4), (out, 6)]].concat();
    assert_eq!(sizes(&plans), expected);
    story.ends();
}

#[test]
fn hosts_stand_ready_when_the_people_come() {
    let load = |cpu| [("cpu.avg", cpu)];
    let mut story = Story::of("office-hours", 2, "2026-03-02T06:44:00Z").after_quiet(6, &load(0.55));
    let morning = [
        story.then("07:44 in Berlin, a Monday: the fleet of a night.", &load(0.55)),
        story.then("07:45: the floor rises, and nobody waits for load to show.", &load(0.55)),
        story.then("They boot. A scale-in is not even thought of: the floor is six.", &load(0.2)),
    ];
    let (hold, repair) = (Action::Hold, Action::Repair);
    assert_eq!(sizes(&morning), [(hold, 2), (repair, 6), (hold, 6)]);
    story.jump("2026-03-02T17:50:00Z", 9, &load(0.3));
    let evening = [
        story.then("18:59: still six.", &load(0.3)),
        story.then(
            "19:00: the floor is two again, and nothing drops to it: the window remembers six.",
            &load(0.3),
        ),
    ];
    assert_eq!(sizes(&evening), [(hold, 6), (hold, 6)]);
    story.jump("2026-03-02T18:01:00Z", 4, &load(0.3));
    let later = [story.then("19:05: the first host goes, as by any other scale-in.", &load(0.3))];
    assert_eq!(sizes(&later), [(Action::ScaleIn, 5)]);
    story.ends();
}
