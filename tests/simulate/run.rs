//! One simulated day: processes that take one step at a time, in an order that the seed chooses, until the trouble ends;
//! then time enough for everything to come to rest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

use fleet_scaler::config::fleet::FleetConfig;
use fleet_scaler::domain::ids::FleetName;
use fleet_scaler::domain::time::{Timestamp, after, since};
use fleet_scaler::provider::simulated::SimulatedCloud;
use fleet_scaler::provider::simulated::model::admin::ForeignInstance;
use fleet_scaler::provider::simulated::model::faults::{Death, Fault};
use fleet_scaler::provider::simulated::model::instance::Software;
use fleet_scaler::provider::simulated::options::CloudOptions;
use fleet_scaler::provider::simulated::options::load::LoadOptions;
use fleet_scaler::provider::simulated::options::parts::{Buckets, Span, TargetGroupOptions};
use fleet_scaler::reconcile::tick::Ticked;
use fleet_scaler::store::OperatorActionKind;
use fleet_scaler::store::history::History;

use crate::bugs::Bug;
use crate::chaos::{Relief, Trouble};
use crate::clock::{HostClock, Time};
use crate::fleets;
use crate::process::Process;
use crate::tally::Tally;
use crate::world::{LEASE, Violation, World};

/// The owner's tag of every simulated fleet.
pub(crate) const OWNER: &str = "prod-1";
/// Steps with trouble in them.
const STEPS_OF_TROUBLE: u64 = 500;
/// How often a step brings new trouble.
const TROUBLE_CHANCE: f64 = 0.03;
/// How long everything must have been quiet to have come to rest…
const QUIET: Duration = Duration::from_mins(3);
/// …and how long that may take once the trouble is over.
const REST_WITHIN: Duration = Duration::from_hours(1);
/// More changes of size than this, under a constant load, are oscillation.
const CHANGES_MOST: u64 = 16;
/// A day that takes so many steps goes in circles.
const STEPS_MOST: u64 = 60_000;

/// How to make the store of a day.
pub(crate) type MakeStore<'a> = &'a (dyn Fn(Arc<Time>) -> Arc<dyn History> + Sync);

/// What came of a seed.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) violation: Option<Violation>,
    pub(crate) steps: u64,
    pub(crate) hash: u64,
    pub(crate) tally: Tally,
    pub(crate) last: Vec<String>,
}

/// A place that a process runs in.
pub(crate) struct Seat {
    pub(crate) alive: Option<Process>,
    restart_at: Timestamp,
    generation: u32,
}

impl Seat {
    fn empty(restart_at: Timestamp) -> Self {
        Self { alive: None, restart_at, generation: 0 }
    }
}

/// One day.
pub(crate) struct Day {
    pub(crate) world: Arc<World>,
    pub(crate) rng: ChaCha12Rng,
    pub(crate) processes: Vec<Seat>,
    pub(crate) fleets: BTreeMap<FleetName, Arc<FleetConfig>>,
    pub(crate) reliefs: Vec<(Timestamp, Relief)>,
    troubles: Vec<Trouble>,
}

/// The answer of something that never waits.
pub(crate) fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    work.now_or_never()
}

/// Lives one day through.
pub(crate) fn run(seed: u64, bug: Option<Bug>, make_store: MakeStore<'_>, aloud: bool) -> Outcome {
    let mut day = Day::drawn(seed, bug, make_store, aloud);
    while day.steps() < STEPS_OF_TROUBLE && day.goes_on() {
        day.advance(true);
    }
    day.calm_down();
    day.come_to_rest();
    if bug.is_none() && day.goes_on() {
        day.make_again(seed);
    }
    let state = day.world.state();
    Outcome {
        seed,
        violation: state.violation.clone(),
        steps: state.steps,
        hash: state.trace.hash(),
        tally: state.tally.clone(),
        last: state.trace.last().map(str::to_owned).collect(),
    }
}

fn cloud(seed: u64, time: &Arc<Time>) -> SimulatedCloud {
    let mut options = CloudOptions::default().with_seed(seed).with_host_port(None);
    options.load = LoadOptions::Constant { rps: 0.0 };
    options.hosts.step = Duration::from_mins(10);
    options.hosts.noise = 0.0;
    options.boot = Span::seconds(5.0, 15.0).with_tail(0.05, 60.0);
    options.health = Span::seconds(3.0, 8.0).with_tail(0.05, 30.0);
    options.shutdown = Span::seconds(2.0, 8.0);
    options.visibility_lag = Span::seconds(0.0, 6.0).with_tail(0.05, 40.0);
    options.buckets = Buckets::Documented;
    let second = TargetGroupOptions {
        arn: fleet_scaler::domain::ids::TargetGroupArn::new(fleets::SECOND_GROUP),
        name: "more".to_owned(),
        ..TargetGroupOptions::default()
    };
    options.target_groups.push(second);
    for group in &mut options.target_groups {
        group.deregistration_delay = Duration::from_secs(20);
    }
    let clock = Arc::new(HostClock::new(Arc::clone(time)));
    SimulatedCloud::stepped(options, clock).unwrap_or_else(|error| panic!("the simulated cloud: {error}"))
}

impl Day {
    /// A day as the seed draws it.
    fn drawn(seed: u64, bug: Option<Bug>, make_store: MakeStore<'_>, aloud: bool) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let fleets = fleets::draw(&mut rng);
        let mut day = Self::quiet(seed, (rng, fleets), bug, make_store, aloud);
        {
            let mut state = day.world.state();
            state.metrics.load = day.rng.random_range(0.5..4.0);
            state.metrics.noise = 0.05;
        }
        let replicas = [1, 1, 2, 2, 3][day.rng.random_range(0..5)];
        day.troubles =
            Trouble::ALL.iter().copied().filter(|_| day.rng.random_range(0.0..1.0) < 0.3).collect();
        day.processes.resize_with(replicas, || Seat::empty(day.world.now()));
        day
    }

    /// A day of one process, on which nothing goes wrong by itself.
    pub(crate) fn quiet(
        seed: u64,
        (rng, fleets): (ChaCha12Rng, BTreeMap<FleetName, Arc<FleetConfig>>),
        bug: Option<Bug>,
        make_store: MakeStore<'_>,
        aloud: bool,
    ) -> Self {
        let time = Arc::new(Time::default());
        let store = make_store(Arc::clone(&time));
        let world = Arc::new(World::new(seed, Arc::clone(&time), cloud(seed, &time), store, bug, aloud));
        let now = world.now();
        {
            let mut state = world.state();
            state.fleets.clone_from(&fleets);
            for (name, config) in &fleets {
                state.book.fleet(name).bounds.push((now, config.size.min, config.size.max));
            }
        }
        // Somebody else's, in the same account: never to be touched.
        drop(world.cloud.with_model(|model| model.add_instances(&ForeignInstance::default())));
        let processes = vec![Seat::empty(now)];
        Self { world, rng, processes, fleets, reliefs: Vec::new(), troubles: Vec::new() }
    }

    fn steps(&self) -> u64 {
        self.world.state().steps
    }

    pub(crate) fn goes_on(&self) -> bool {
        let state = self.world.state();
        state.violation.is_none() && state.steps < STEPS_MOST
    }

    /// One step of somebody, or time, or trouble.
    pub(crate) fn advance(&mut self, with_trouble: bool) {
        self.relieve(false);
        self.world.deliver_late();
        self.restart_the_dead();
        if with_trouble && self.rng.random_range(0.0..1.0) < TROUBLE_CHANCE && !self.troubles.is_empty() {
            let trouble = self.troubles[self.rng.random_range(0..self.troubles.len())];
            self.make(trouble);
        }
        let world = Arc::clone(&self.world);
        let mut ready = Vec::new();
        for (place, seat) in self.processes.iter_mut().enumerate() {
            if let Some(process) = &mut seat.alive {
                ready.extend(process.ready(&world).into_iter().map(|fleet| (place, fleet)));
            }
        }
        if ready.is_empty() {
            return self.wait();
        }
        let (place, fleet) = ready.swap_remove(self.rng.random_range(0..ready.len()));
        self.step(place, &fleet);
        // Most calls take milliseconds, some take seconds.
        let span = match self.rng.random_range(0..100) {
            0..70 => self.rng.random_range(0.001..0.03),
            70..97 => self.rng.random_range(0.03..0.3),
            _ => self.rng.random_range(0.3..4.0),
        };
        self.world.time.pass(Duration::from_secs_f64(span));
    }

    fn step(&mut self, place: usize, fleet: &FleetName) {
        let world = Arc::clone(&self.world);
        world.state().steps += 1;
        let Some(process) = &mut self.processes[place].alive else { return };
        let ended = process.step(&world, fleet);
        world.judge_journal();
        let Some(ended) = ended else { return };
        let name = match &ended {
            Ok(Ticked::Done(plan)) => format!("{}: {}", plan.action, plan.reason),
            Ok(Ticked::NotHeld) => "not held".to_owned(),
            Err(error) => error.to_string(),
        };
        world.note(process.name.as_str(), &format!("tick of {fleet} ends: {name}"));
    }

    /// Nobody has a step to take: time passes until somebody has.
    fn wait(&mut self) {
        let now = self.world.now();
        let wakes = self.processes.iter().map(|seat| match &seat.alive {
            Some(process) => process.next_at().unwrap_or(now),
            None => seat.restart_at,
        });
        let next = wakes.min().unwrap_or(now);
        let span = since(next, now).max(Duration::from_millis(1)).min(Duration::from_secs(5));
        self.world.time.pass(span);
    }

    fn restart_the_dead(&mut self) {
        let now = self.world.now();
        for place in 0..self.processes.len() {
            if self.processes[place].alive.is_some() || self.processes[place].restart_at > now {
                continue;
            }
            self.processes[place].generation += 1;
            let name = format!("r{place}-{}", self.processes[place].generation);
            self.world.note(&name, "starts");
            let seed = self.rng.random();
            self.processes[place].alive = Some(Process::start(&self.world, &name, seed, &self.fleets));
        }
    }

    /// A process dies between two steps, and keeps nothing.
    pub(crate) fn crash(&mut self) {
        let place = self.rng.random_range(0..self.processes.len());
        let span = Duration::from_secs_f64(self.rng.random_range(0.2..25.0));
        self.kill(place, span);
    }

    /// This process dies, and another one takes its place after a while.
    pub(crate) fn kill(&mut self, place: usize, span: Duration) {
        let seat = &mut self.processes[place];
        if let Some(process) = seat.alive.take() {
            self.world.note(process.name.as_str(), "is killed");
            seat.restart_at = after(self.world.now(), span);
        }
    }

    /// A process stops between two steps, and goes on later as if nothing had happened.
    pub(crate) fn freeze(&mut self) {
        let place = self.rng.random_range(0..self.processes.len());
        let span = LEASE.mul_f64(self.rng.random_range(0.2..4.0));
        let until = after(self.world.now(), span);
        if let Some(process) = &mut self.processes[place].alive {
            process.frozen_until = Some(until);
            self.world.note(process.name.as_str(), &format!("is frozen for {span:?}"));
        }
    }

    pub(crate) fn change_bounds(&mut self, fleet: &FleetName, min: u32, max: u32) {
        let Some(config) = self.fleets.get(fleet) else { return };
        let mut changed = (**config).clone();
        (changed.size.min, changed.size.max) = (min, max);
        self.put_in_force(&Arc::new(changed));
    }

    pub(crate) fn drop_the_second_group(&mut self) {
        for config in self.fleets.values().cloned().collect::<Vec<_>>() {
            let mut changed = (*config).clone();
            changed.balancer.target_groups.retain(|group| group.as_str() != fleets::SECOND_GROUP);
            if changed != *config {
                self.put_in_force(&Arc::new(changed));
            }
        }
    }

    /// Every process reads the changed file between two ticks; one that is in the middle of one is killed instead, which
    /// is the rudest way to read a file.
    fn put_in_force(&mut self, config: &Arc<FleetConfig>) {
        let (min, max, now) = (config.size.min, config.size.max, self.world.now());
        self.world.note("files", &format!("{}: min {min}, max {max}", config.name));
        self.fleets.insert(config.name.clone(), Arc::clone(config));
        {
            let mut state = self.world.state();
            state.fleets.insert(config.name.clone(), Arc::clone(config));
            state.book.fleet(&config.name).bounds.push((now, min, max));
        }
        let world = Arc::clone(&self.world);
        for seat in &mut self.processes {
            let kept = seat.alive.as_mut().is_none_or(|process| process.reconfigure(&world, config));
            if !kept {
                seat.alive = None;
                seat.restart_at = now;
            }
        }
    }

    /// The trouble ends: everything answers, nobody is frozen, the load stays as it is.
    fn calm_down(&mut self) {
        if !self.goes_on() {
            return;
        }
        self.world.note("chaos", "ends");
        self.relieve(true);
        drop(self.world.cloud.clear_faults());
        self.end_the_unresponsive();
        let load = {
            let mut state = self.world.state();
            state.database.down_until = None;
            state.database.reply_lost = 0.0;
            state.network.late = 0.0;
            state.metrics.noise = 0.0;
            state.metrics.silent = 0.0;
            state.metrics.liar = false;
            state.metrics.load
        };
        let most = self.fleets.values().map(|fleet| fleet.size.max).min().unwrap_or(2);
        self.world.state().metrics.load = load.min(f64::from(most) * 0.6);
        let now = self.world.now();
        for seat in &mut self.processes {
            if let Some(process) = &mut seat.alive {
                process.frozen_until = None;
                process.poke(now);
            }
        }
        for fleet in self.fleets.keys().cloned().collect::<Vec<_>>() {
            self.act(&fleet, OperatorActionKind::Resume);
        }
    }

    /// A fleet with too many sick hosts is halted on purpose, until a person has looked. The person has: what does not
    /// answer is ended by hand.
    fn end_the_unresponsive(&self) {
        let silent: Vec<_> = self.world.cloud.with_model(|model| {
            let silent =
                model.instances().filter(|one| !one.is_dead() && one.software == Software::Unresponsive);
            silent.map(|one| one.id.clone()).collect()
        });
        for instance in silent {
            drop(self.world.cloud.set_fault(Fault::KillInstance { instance, how: Death::Terminated }));
        }
    }

    /// I10: once the trouble is over, every fleet comes to rest within a bound, and stays there.
    fn come_to_rest(&mut self) {
        let began = self.world.now();
        let changes_before = self.changes();
        let mut quiet_since: Option<Timestamp> = None;
        let mut changes = changes_before;
        let mut looked = began;
        while self.goes_on() {
            self.advance(false);
            let now = self.world.now();
            if since(now, looked) < Duration::from_secs(5) {
                continue;
            }
            looked = now;
            let unrest = self.unrest();
            if unrest.is_some() || self.changes() != changes {
                changes = self.changes();
                quiet_since = None;
            } else if since(now, *quiet_since.get_or_insert(now)) >= QUIET {
                return;
            }
            if since(now, began) > REST_WITHIN {
                let why = unrest.unwrap_or_else(|| "the size keeps changing".to_owned());
                return self.world.fail("I10", format!("no rest within {REST_WITHIN:?}: {why}"));
            }
            if self.changes() - changes_before > CHANGES_MOST {
                return self.world.fail("I10", "the size goes up and down under a constant load");
            }
        }
        if self.steps() >= STEPS_MOST {
            self.world.fail("I10", format!("no rest after {STEPS_MOST} steps"));
        }
    }

    fn changes(&self) -> u64 {
        self.world.state().book.fleets.values().map(|fleet| fleet.changes).sum()
    }

    /// What is not at rest, if anything.
    fn unrest(&self) -> Option<String> {
        self.fleets.iter().find_map(|(name, _)| self.unrest_of(name))
    }

    pub(crate) fn unrest_of(&self, name: &FleetName) -> Option<String> {
        let span = Duration::from_mins(1);
        let stored = at_once(self.world.store.fleet_load(name, span, span))?.ok()?;
        let mut rows: Vec<_> = stored.hosts.iter().map(|host| host.id.clone()).collect();
        if let Some(host) = stored.hosts.iter().find(|host| host.state.name() != "healthy") {
            return Some(format!("{} is {}", host.id, host.state.name()));
        }
        if let Some(launch) = stored.launches.first() {
            return Some(format!("launch {} is open", launch.id));
        }
        if stored.memory.desired.map(|size| size as usize) != Some(rows.len()) {
            return Some(format!("{} hosts, and {:?} are wanted", rows.len(), stored.memory.desired));
        }
        let mut alive: Vec<_> = self.world.cloud.with_model(|model| {
            let ours = model.instances().filter(|one| {
                let tag = one.tags.get(fleet_scaler::domain::tags::FLEET);
                !one.is_dead() && tag.is_some_and(|fleet| fleet == name.as_str())
            });
            ours.map(|one| one.id.clone()).collect()
        });
        rows.sort();
        alive.sort();
        (rows != alive).then(|| format!("the rows know {rows:?}, and alive are {alive:?}"))
    }
}
