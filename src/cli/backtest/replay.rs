//! Running everybody through every trace.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::backtest::contest::{Boxed, Contest};
use crate::backtest::measures::Measures;
use crate::backtest::plant::{self, PEAK_HOSTS, Plant, SERVICE_LEVEL, STEP};
use crate::backtest::rivals::Rival;
use crate::backtest::shipped::Shipped;
use crate::backtest::trace::Trace;
use crate::backtest::{Run, Second, tune};
use crate::cli::backtest::progress::Progress;
use crate::cli::exit::Usage;
use crate::decide::policy::Policy;

/// Hosts at the peak at most; the plant has ten times as many for a scaler that runs away.
pub(super) const PEAK_MAX: u32 = 500;
/// Steps of a replay at most: a year.
const STEPS_MAX: usize = 365 * 24 * 3600 / STEP as usize;

/// The plant scales a load by the value that so much of the time is not exceeded.
const PEAK_SHARE: f64 = 0.999;

/// What all are replayed under.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    pub(super) boot: Duration,
    pub(super) peak: Peak,
    pub(super) seed: u64,
    pub(super) tune: bool,
}

/// How many hosts the load takes at its peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peak {
    /// So many, but for one moment in a thousand.
    Hosts(u32),
    /// The load is in hosts that are wholly busy, and stays so.
    AsRecorded,
}

impl Peak {
    fn hosts(self, trace: &Trace) -> f64 {
        match self {
            Self::Hosts(hosts) => f64::from(hosts),
            Self::AsRecorded => trace.quantile(PEAK_SHARE) / SERVICE_LEVEL,
        }
    }
}

/// What somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// The fleet's policy as configured.
    InForce,
    /// A changed one.
    Candidate,
    /// Somebody else's rule.
    Rival,
    /// What the fleet did at that time.
    Recorded,
}

/// Somebody who is replayed.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    name: String,
    kind: Kind,
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    Policy(Box<Policy>),
    Rival { rival: Rival, target: Option<f64> },
}

impl Subject {
    pub(super) fn policy(name: &str, kind: Kind, policy: Policy) -> Self {
        Self { name: name.to_owned(), kind, rule: Rule::Policy(Box::new(policy)) }
    }

    /// Somebody else's rule; without a target, as documented.
    pub(super) fn rival(rival: Rival, target: Option<f64>) -> Self {
        Self { name: rival.name().to_owned(), kind: Kind::Rival, rule: Rule::Rival { rival, target } }
    }

    /// The utilisation that its first target keeps.
    pub(super) fn target(&self) -> Option<f64> {
        match &self.rule {
            Rule::Policy(policy) => policy.targets.first().map(|target| target.value),
            Rule::Rival { target, .. } => *target,
        }
    }

    fn scaler(&self) -> Boxed {
        match &self.rule {
            Rule::Policy(policy) => Box::new(Shipped::new(&self.name, Policy::clone(policy))),
            Rule::Rival { rival, target: Some(target) } => rival.with_target(*target),
            Rule::Rival { rival, target: None } => rival.documented_default(),
        }
    }

    /// The same with the constants that do best.
    fn tuned(&self, contest: &Contest<'_>) -> Self {
        let rule = match &self.rule {
            Rule::Policy(policy) => Rule::Policy(Box::new(tune::policy(contest, Policy::clone(policy)))),
            Rule::Rival { rival, .. } => {
                Rule::Rival { rival: *rival, target: Some(tune::rival(contest, *rival)) }
            }
        };
        Self { rule, ..self.clone() }
    }

    fn settings(&self) -> String {
        match &self.rule {
            Rule::Policy(policy) => tune::constants(policy),
            Rule::Rival { target: Some(target), .. } => format!("target {target:.2}"),
            Rule::Rival { target: None, .. } => "as documented".to_owned(),
        }
    }

    /// How often finding its constants takes it through the day.
    fn tuning_runs(&self) -> usize {
        match self.rule {
            Rule::Policy(_) => tune::POLICY_RUNS,
            Rule::Rival { .. } => tune::RIVAL_RUNS,
        }
    }
}

/// One trace, and what came of everybody on it.
pub(super) struct Replay {
    pub(super) trace: String,
    /// Seconds between two values of the trace.
    pub(super) trace_step: Second,
    pub(super) hosts_at_peak: f64,
    /// How much of the trace constants were found on.
    pub(super) tuned_on: Duration,
    /// How much was replayed after that.
    pub(super) length: Duration,
    pub(super) outcomes: Vec<Outcome>,
}

/// What came of somebody.
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) settings: String,
    pub(super) run: Run,
    pub(super) measures: Measures,
}

/// Runs everybody through every trace.
pub(super) fn replay(
    traces: &[Trace],
    subjects: &[Subject],
    conditions: &Conditions,
) -> Result<Vec<Replay>, Usage> {
    let days = traces.iter().map(|trace| Day::of(trace, conditions)).collect::<Result<Vec<_>, _>>()?;
    let progress = Progress::start("replay", days.iter().map(|day| day.work(subjects)).sum());
    let watch = |more: Second| progress.add(u64::from(more));
    let workers = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let limits = bounds(subjects);
    Ok(days.iter().map(|day| day.replay(subjects, conditions, limits, workers, &watch)).collect())
}

/// The fleet's bounds hold for the rivals, too.
fn bounds(subjects: &[Subject]) -> (u32, u32) {
    let policies = subjects.iter().filter_map(|subject| match &subject.rule {
        Rule::Policy(policy) => Some(policy.size),
        Rule::Rival { .. } => None,
    });
    // A candidate may have other bounds than the policy in force; each keeps its own by itself.
    policies.fold((u32::MAX, 0), |(min, max), size| (min.min(size.min), max.max(size.max)))
}

/// A trace as it is replayed: what constants are found on, and what is reported on.
struct Day<'a> {
    trace: &'a Trace,
    hosts_at_peak: f64,
    first: Vec<f64>,
    rest: Vec<f64>,
}

impl<'a> Day<'a> {
    fn of(trace: &'a Trace, conditions: &Conditions) -> Result<Self, Usage> {
        let hosts_at_peak = conditions.peak.hosts(trace);
        if hosts_at_peak > f64::from(PEAK_MAX) {
            let hosts = hosts_at_peak.ceil();
            return Err(Usage(format!(
                "{}: the peak takes {hosts} hosts; {PEAK_MAX} are the most",
                trace.name
            )));
        }
        let factor = hosts_at_peak / PEAK_HOSTS;
        let span = trace.load.len() as u64 * u64::from(trace.step);
        let steps = usize::try_from(span / u64::from(STEP)).unwrap_or(usize::MAX);
        if steps > STEPS_MAX {
            return Err(Usage(format!("{}: it is longer than a year; cut it", trace.name)));
        }
        let load: Vec<f64> =
            plant::scaled(&trace.load, trace.step).iter().map(|load| load * factor).collect();
        let (first, rest) = if conditions.tune { load.split_at(third(load.len())) } else { load.split_at(0) };
        if rest.is_empty() {
            return Err(Usage(format!("{}: it is too short to be replayed", trace.name)));
        }
        Ok(Self { trace, hosts_at_peak, first: first.to_vec(), rest: rest.to_vec() })
    }

    fn replay(
        &self,
        subjects: &[Subject],
        conditions: &Conditions,
        (min, max): (u32, u32),
        workers: NonZeroUsize,
        watch: &(dyn Fn(Second) + Sync),
    ) -> Replay {
        let boot = Second::try_from(conditions.boot.as_secs()).unwrap_or(Second::MAX);
        let plant = |load: &[f64]| Plant::new(load.to_vec(), boot, conditions.seed);
        let (first, rest) = (plant(&self.first), plant(&self.rest));
        let contest = |plant| Contest { plant, min, max, workers, watch };
        let subjects: Vec<Subject> = if conditions.tune {
            subjects.iter().map(|subject| subject.tuned(&contest(&first))).collect()
        } else {
            subjects.to_vec()
        };
        let runs = contest(&rest).run(subjects.iter().map(Subject::scaler).collect());
        let outcomes = subjects.iter().zip(runs).map(|(subject, run)| Outcome {
            name: subject.name.clone(),
            kind: subject.kind,
            settings: subject.settings(),
            measures: Measures::of(&run),
            run,
        });
        Replay {
            trace: self.trace.name.clone(),
            trace_step: self.trace.step,
            hosts_at_peak: self.hosts_at_peak,
            tuned_on: length(&self.first),
            length: length(&self.rest),
            outcomes: outcomes.collect(),
        }
    }

    /// Seconds of days that are gone through altogether.
    fn work(&self, subjects: &[Subject]) -> u64 {
        let tuning: usize = subjects.iter().map(Subject::tuning_runs).sum();
        (self.first.len() * tuning + self.rest.len() * subjects.len()) as u64 * u64::from(STEP)
    }
}

fn third(steps: usize) -> usize {
    steps / 3
}

fn length(load: &[f64]) -> Duration {
    Duration::from_secs(load.len() as u64 * u64::from(STEP))
}
