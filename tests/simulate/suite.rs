//! What can be asked of the simulator, and how it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fleet_scaler::store::history::History;
use fleet_scaler::store::memory::MemoryStore;

use crate::bugs::Bug;
use crate::chaos::Trouble;
use crate::clock::{HostClock, Time};
use crate::matrix::{self, Cell};
use crate::on_postgres::Postgres;
use crate::run::{Outcome, run};
use crate::tally::Tally;
use crate::world::Violation;

/// Seeds of a run that belongs to the tests.
const SEEDS_OF_TESTS: u64 = 10_000;
/// Days that broke a promise once, of more seeds than the tests live through, and each in a way of its own.
const KEPT: [u64; 10] = [18_541, 32_063, 33_828, 57_022, 66_699, 70_048, 98_729, 117_314, 189_308, 193_212];
/// A planted bug must be found within so many.
const SEEDS_OF_A_BUG: u64 = 2_000;
/// Seeds that are lived through over a real Postgres, too.
const SEEDS_OVER_POSTGRES: u64 = 200;
/// Seeds that are lived through twice.
const SEEDS_TWICE: u64 = 25;
/// Violations that are shown.
const SHOWN: usize = 3;
/// Violations that are named.
const NAMED: usize = 100;
/// How often progress is said.
const PROGRESS: Duration = Duration::from_secs(10);

/// What to do.
pub(crate) enum Asked {
    /// What belongs to the tests, with so many seeds.
    Tests(u64),
    /// One seed, aloud.
    One(u64, Option<Bug>),
    /// The seeds from 0, with a planted bug or without.
    Many(u64, Option<Bug>),
    /// Which bugs there are.
    Bugs,
    /// The crash matrix.
    Matrix,
    /// One cell of it, aloud.
    Cell(Cell),
    /// The seeds from 0 over a real Postgres.
    Postgres(u64),
    /// Nothing: some other test was asked for by name.
    Nothing,
}

/// Reads the command line. Options of the ordinary test harness mean nothing here.
pub(crate) fn asked(arguments: &[String]) -> Result<Asked, String> {
    let value = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        Some(arguments.get(place + 1).cloned().unwrap_or_default())
    };
    let number = |name: &str| match value(name) {
        None => Ok(None),
        Some(text) => {
            text.parse::<u64>().map(Some).map_err(|_| format!("{name} takes a whole number, not {text:?}"))
        }
    };
    let bug = match value("--bug").as_deref() {
        None => None,
        Some("list") => return Ok(Asked::Bugs),
        Some(name) => {
            let known = || Bug::ALL.iter().map(|bug| bug.name()).collect::<Vec<_>>().join(", ");
            Some(
                Bug::named(name)
                    .ok_or_else(|| format!("there is no bug {name:?}; there are: {}", known()))?,
            )
        }
    };
    if let Some(seeds) = number("--postgres")? {
        return Ok(Asked::Postgres(seeds));
    }
    match value("--cell").as_deref() {
        None => {}
        Some("all") => return Ok(Asked::Matrix),
        Some(text) => return text.parse().map(Asked::Cell),
    }
    match (number("--seed")?, number("--seeds")?) {
        (Some(seed), _) => Ok(Asked::One(seed, bug)),
        (None, Some(seeds)) => Ok(Asked::Many(seeds, bug)),
        (None, None) if bug.is_some() => Ok(Asked::Many(SEEDS_OF_A_BUG, bug)),
        (None, None) if arguments.iter().any(|argument| !argument.starts_with('-')) => Ok(Asked::Nothing),
        (None, None) => Ok(Asked::Tests(SEEDS_OF_TESTS)),
    }
}

/// Does it.
pub(crate) fn answer(asked: &Asked) -> ExitCode {
    let held = match asked {
        Asked::Tests(seeds) => tests(*seeds),
        Asked::One(seed, bug) => one(*seed, *bug),
        Asked::Many(seeds, bug) => many(*seeds, *bug),
        Asked::Bugs => {
            for bug in Bug::ALL {
                println!("{:<34} {}", bug.name(), bug.what());
            }
            true
        }
        Asked::Postgres(seeds) => postgres(*seeds).is_empty(),
        Asked::Matrix => matrix().is_empty(),
        Asked::Cell(cell) => matrix::one(*cell, &memory),
        Asked::Nothing => true,
    };
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn memory(time: Arc<Time>) -> Arc<dyn History> {
    Arc::new(MemoryStore::new(Arc::new(HostClock::new(time))))
}

fn one(seed: u64, bug: Option<Bug>) -> bool {
    let outcome = run(seed, bug, &memory, true);
    let said = match &outcome.violation {
        None => "ok".to_owned(),
        Some(violation) => format!("violated {}", violation.invariant),
    };
    if let Some(violation) = &outcome.violation {
        println!("{}: {}", violation.invariant, violation.what);
    }
    println!("seed {seed}: {said}, {} steps, trace {:016x}", outcome.steps, outcome.hash);
    outcome.violation.is_none()
}

/// What came of many seeds.
#[derive(Default)]
struct Sum {
    seeds: u64,
    steps: u64,
    fewest: Option<u64>,
    /// The first that violate something, whole.
    violated: Vec<Outcome>,
    /// More of them, by seed.
    more: BTreeMap<u64, Violation>,
    violations: u64,
    tally: Tally,
}

impl Sum {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.steps += outcome.steps;
        self.fewest = Some(self.fewest.map_or(outcome.steps, |fewest| fewest.min(outcome.steps)));
        self.tally.add(&outcome.tally);
        if let Some(violation) = &outcome.violation {
            self.violations += 1;
            self.more.insert(outcome.seed, violation.clone());
            if self.more.len() > NAMED {
                self.more.pop_last();
            }
            self.violated.push(outcome);
            self.violated.sort_by_key(|one| one.seed);
            self.violated.truncate(SHOWN);
        }
    }
}

/// Works through the numbers below `count` on every core, and says now and then how far it is. Ends early once the work
/// gives `false`.
pub(crate) fn on_every_core(count: u64, what: &str, work: impl Fn(u64) -> bool + Sync) {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let started = Instant::now();
    let said = Mutex::new(started);
    let turn = || {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            if !work(number) {
                stop.store(true, Ordering::Relaxed);
            }
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.elapsed() >= PROGRESS {
                *said = Instant::now();
                println!("… {number} of {count} {what}, {} s", started.elapsed().as_secs());
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(turn);
        }
    });
}

/// Lives through the seeds from 0. With a planted bug, until it is found.
fn live_through(seeds: u64, bug: Option<Bug>) -> Sum {
    let sum = Mutex::new(Sum::default());
    on_every_core(seeds, "seeds", |seed| {
        let outcome = run(seed, bug, &memory, false);
        let goes_on = bug.is_none() || outcome.violation.is_none();
        sum.lock().unwrap_or_else(PoisonError::into_inner).add(outcome);
        goes_on
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn show(outcome: &Outcome) {
    let Some(violation) = &outcome.violation else { return };
    println!("\nseed {} violates {}, after:", outcome.seed, violation.invariant);
    for line in &outcome.last {
        println!("  {line}");
    }
    println!("  {}: {}", violation.invariant, violation.what);
    println!("  once more: make simulate SEED={}", outcome.seed);
}

fn many(seeds: u64, bug: Option<Bug>) -> bool {
    let sum = live_through(seeds, bug);
    sum.violated.iter().for_each(show);
    if bug.is_none() {
        for (seed, violation) in &sum.more {
            println!("seed {seed} violates {}: {:.160}", violation.invariant, violation.what);
        }
    }
    if let (Some(bug), Some(found)) = (bug, sum.violated.first()) {
        let invariant = found.violation.as_ref().map_or("-", |violation| violation.invariant);
        println!("\nbug {}: found by seed {} as {invariant}", bug.name(), found.seed);
    }
    if bug.is_none() {
        figures(&sum);
    }
    println!("{} seeds, {} steps, {} violations", sum.seeds, sum.steps, sum.violations);
    sum.violations == 0
}

fn figures(sum: &Sum) {
    for (kind, title) in [
        ("trouble", "troubles made"),
        ("answer", "what the cloud answered"),
        ("host", "states that hosts came into"),
        ("launch", "what became of attempts and intents"),
        ("termination", "how hosts stood when they were ended"),
        ("decision", "decisions"),
        ("write", "writes that were accepted"),
        ("fault", "replies and calls on the way"),
        ("reached", "also reached"),
    ] {
        println!("\n{title}:");
        for (name, count) in sum.tally.kind(kind) {
            println!("  {count:>10}  {name}");
        }
    }
    println!("\nfewest steps of a seed: {}", sum.fewest.unwrap_or(0));
}

/// What every run must have met.
fn never_reached(tally: &Tally) -> Vec<String> {
    let mut wanted: BTreeSet<(&'static str, String)> =
        Trouble::ALL.iter().map(|trouble| ("trouble", trouble.name().to_owned())).collect();
    let states = fleet_scaler::domain::host::HostState::NAMES.iter().filter(|name| **name != "pending");
    wanted.extend(states.map(|name| ("host", (*name).to_owned())));
    wanted.insert(("host", "adopted".to_owned()));
    for name in [
        "launched",
        "refused",
        "spent",
        "deferred: Unknown",
        "deferred: Throttled",
        "deferred: Quota",
        "abandoned: not_wanted",
        "abandoned: no_pool",
    ] {
        wanted.insert(("launch", name.to_owned()));
    }
    for name in ["Drained", "StillDraining", "GroupDeleted", "NeverRegistered"] {
        wanted.insert(("termination", name.to_owned()));
    }
    for action in fleet_scaler::decide::plan::Action::ALL {
        wanted.insert(("decision", action.as_str().to_owned()));
    }
    for name in ["commit reply lost", "call arrives late"] {
        wanted.insert(("fault", name.to_owned()));
    }
    for name in ["abandoned calls settled", "orphan seen", "drain chosen", "decision made again"] {
        wanted.insert(("reached", name.to_owned()));
    }
    let missing = wanted.into_iter().filter(|(kind, name)| tally.of(kind, name) == 0);
    missing.map(|(kind, name)| format!("{kind} {name:?}")).collect()
}

/// Lives the first seeds through over memory and over a real Postgres. Gives what went wrong, or differently.
fn postgres(seeds: u64) -> Vec<String> {
    println!("\n{seeds} seeds over Postgres:");
    let (database, steps) = (Postgres::start(), AtomicU64::new(0));
    let wrong = Mutex::new(BTreeMap::new());
    on_every_core(seeds, "seeds over Postgres", |seed| {
        let real = run(seed, None, &|time| database.store(time), false);
        steps.fetch_add(real.steps, Ordering::Relaxed);
        let why = match &real.violation {
            Some(violation) => Some(format!("violates {}: {}", violation.invariant, violation.what)),
            None if real.hash != run(seed, None, &memory, false).hash => {
                Some("is another day than over memory".to_owned())
            }
            None => None,
        };
        if let Some(why) = why {
            let why = format!("seed {seed} over Postgres {why}");
            wrong.lock().unwrap_or_else(PoisonError::into_inner).insert(seed, why);
        }
        true
    });
    let wrong: Vec<String> =
        wrong.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect();
    let steps = steps.into_inner();
    println!("{seeds} seeds over Postgres, {steps} steps, {} violations or differences", wrong.len());
    for why in wrong.iter().take(SHOWN) {
        println!("  {why}");
    }
    wrong
}

fn matrix() -> Vec<String> {
    println!("\ncrash matrix:");
    let failed = matrix::run(&memory);
    for why in &failed {
        println!("  {why}");
    }
    failed
}

/// Many seeds, the same seed twice, every planted bug, the crash matrix.
fn tests(seeds: u64) -> bool {
    let mut failed = Vec::new();
    println!("simulator: {seeds} seeds");
    let sum = live_through(seeds, None);
    sum.violated.iter().for_each(show);
    figures(&sum);
    if sum.violations > 0 {
        failed.push(format!("{} seeds violate an invariant", sum.violations));
    }
    for seed in KEPT {
        let outcome = run(seed, None, &memory, false);
        if outcome.violation.is_some() {
            show(&outcome);
            failed.push(format!("seed {seed}, which is kept, violates an invariant again"));
        }
    }
    let never = never_reached(&sum.tally);
    if !never.is_empty() {
        failed.push(format!("never reached: {}", never.join(", ")));
    }
    for seed in 0..SEEDS_TWICE {
        let (first, second) = (run(seed, None, &memory, false), run(seed, None, &memory, false));
        if first.hash != second.hash {
            failed.push(format!("seed {seed} is not the same day twice"));
        }
    }
    println!("\nplanted bugs:");
    for bug in Bug::ALL {
        let found = live_through(SEEDS_OF_A_BUG, Some(*bug));
        match found.violated.first() {
            Some(by) => {
                let invariant = by.violation.as_ref().map_or("-", |violation| violation.invariant);
                println!("  {:<34} found by seed {} as {invariant}", bug.name(), by.seed);
            }
            None => failed.push(format!("the bug {} is not found by {SEEDS_OF_A_BUG} seeds", bug.name())),
        }
    }
    failed.extend(matrix());
    failed.extend(postgres(SEEDS_OVER_POSTGRES));
    println!("{} seeds, {} steps, {} violations", sum.seeds, sum.steps, sum.violations);
    let checks = 5 + Bug::ALL.len();
    for why in &failed {
        println!("FAILED: {why}");
    }
    println!("{} passed, {} failed", checks - failed.len().min(checks), failed.len());
    failed.is_empty()
}
