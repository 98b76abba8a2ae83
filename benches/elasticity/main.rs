//! The elasticity benchmark: the shipped decision beside models of what others ship, on recorded load.
//!
//! `make elasticity TRACES=DIR`. Every trace is replayed at three boot times. Everybody chooses constants on the first
//! third of it, as cheap as keeps the unserved load within a thousandth, and is judged on the rest. The method, and what
//! is known to be hard, is in `docs/benchmarks/elasticity.md`. The last line is the verdict; the exit code says whether
//! the targets hold (1: they do not; 2: there was nothing to judge, or nowhere to draw it).

mod field;
mod pictures;
mod table;
mod trial;
mod verdict;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use fleet_scaler::backtest::Second;
use fleet_scaler::backtest::plant::{STEP, scaled};
use fleet_scaler::backtest::trace::Trace;

use crate::trial::Trial;
use crate::verdict::{Judged, Verdict};

/// The benchmark's own copy.
const TRACES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/elasticity/traces");

/// Names a folder that pictures of the results are drawn into.
const CHARTS: &str = "CHARTS";

/// Half of all launches take longer than this.
const BOOTS: [Second; 3] = [30, 60, 180];

/// Of a longer trace the last so many days are replayed: a week has every weekday, and the whole takes minutes.
const DAYS: u32 = 7;

/// A shorter one has no third to choose constants on.
const LEAST_STEPS: usize = 120;

const SEED: u64 = 20_261_127;

fn main() -> ExitCode {
    // Cargo adds `--bench` to what it was given.
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-') && !argument.is_empty());
    let loads = match read(Path::new(folder.as_deref().unwrap_or(TRACES))) {
        Ok(loads) => loads,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    let trials = trials(&loads);
    let judged = run(&trials);
    println!(
        "\nExcess cost (cost ÷ ideal − 1), constants chosen on the first third, judged on the rest; `!`: more than 0.1 % unserved"
    );
    println!("{}", table::trials(&judged));
    println!("{}", table::overall(&judged, |outcome| &outcome.chosen));
    println!(
        "\nThe constants chosen: the target, and ours' shortfall, scale_in.window and cooldown.scale_in"
    );
    println!("{}", table::choices(&judged));
    println!("\nNothing tuned: our defaults beside the documented defaults of the others");
    println!("{}", table::documented(&judged));
    println!("{}", table::overall(&judged, |outcome| &outcome.documented));
    println!(
        "\nEverybody at the target 0.6; ours with steps and budget that fit the fleet, else with its defaults"
    );
    println!("{}", table::overall(&judged, |outcome| &outcome.fixed));
    println!("\nWhere ours loses:");
    let lost = table::lost(&judged);
    for line in &lost {
        println!("  {line}");
    }
    if lost.is_empty() {
        println!("  nowhere");
    }
    if let Some(folder) = std::env::var_os(CHARTS)
        && let Err(problem) = pictures::draw(Path::new(&folder), &trials, &judged)
    {
        eprintln!("{}: {problem}", folder.display());
        return ExitCode::from(2);
    }
    let verdict = Verdict::of(&judged);
    println!("\n{verdict}");
    if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A trace's name and its load, scaled to the plant.
type Load = (String, Vec<f64>);

fn read(folder: &Path) -> Result<Vec<Load>, String> {
    let traces = Trace::read_folder(folder, None).map_err(|error| error.to_string())?;
    traces.into_iter().map(|trace| load(folder, trace)).collect()
}

fn load(folder: &Path, trace: Trace) -> Result<Load, String> {
    let most = (DAYS * 24 * 3600 / trace.step) as usize;
    let from = trace.load.len().saturating_sub(most);
    let load = scaled(&trace.load[from..], trace.step);
    if load.len() < LEAST_STEPS {
        let (has, least) = (load.len() * STEP as usize / 60, LEAST_STEPS * STEP as usize / 60);
        return Err(format!(
            "{}: {}: it has {has} minutes of load; a trace to be judged by takes {least} minutes and more",
            folder.display(),
            trace.name
        ));
    }
    if load.iter().all(|value| *value <= 0.0) {
        return Err(format!(
            "{}: {}: there is no load in its last {DAYS} days; take another part of it",
            folder.display(),
            trace.name
        ));
    }
    Ok((trace.name, load))
}

/// Each trace at each boot time.
fn trials(loads: &[Load]) -> Vec<Trial<'_>> {
    loads
        .iter()
        .enumerate()
        .flat_map(|(place, (trace, load))| {
            BOOTS.map(|boot| Trial { trace, load, boot, seed: SEED + place as u64 })
        })
        .collect()
}

/// Runs every trial, as many at a time as there are processors.
fn run(trials: &[Trial<'_>]) -> Vec<Judged> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(trials.len());
    eprintln!("{} traces × {} boot times on {workers} threads", trials.len() / BOOTS.len(), BOOTS.len());
    let (next, done, start) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
    let judged: Mutex<Vec<(usize, Judged)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((place, trial)) = pick(trials, &next) {
                    let outcomes = trial.run();
                    let count = done.fetch_add(1, Ordering::Relaxed) + 1;
                    let passed = start.elapsed().as_secs();
                    eprintln!("[{count}/{}] {} at {} s ({passed} s)", trials.len(), trial.trace, trial.boot);
                    let found = Judged { trace: trial.trace.to_owned(), boot: trial.boot, outcomes };
                    if let Ok(mut judged) = judged.lock() {
                        judged.push((place, found));
                    }
                }
            });
        }
    });
    let mut judged = judged.into_inner().unwrap_or_default();
    judged.sort_by_key(|(place, _)| *place);
    judged.into_iter().map(|(_, judged)| judged).collect()
}

/// The next trial that nobody has taken.
fn pick<'t, T>(trials: &'t [T], next: &AtomicUsize) -> Option<(usize, &'t T)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    trials.get(place).map(|trial| (place, trial))
}
