//! What all trials come to: one line, and whether the targets hold.

use std::collections::BTreeSet;
use std::fmt;

use fleet_scaler::backtest::measures::{Measures, geometric_mean};
use fleet_scaler::backtest::rivals::Rival;

use crate::field::Contestant;
use crate::trial::{Outcome, is_feasible};

/// Ratios below are those of the excess cost; nobody is so good that less than this makes a difference.
const LEAST_EXCESS: f64 = 1e-3;

const MOST_AGAINST: [(Rival, f64); 3] =
    [(Rival::Hpa, 0.4), (Rival::Ec2TargetTracking, 0.15), (Rival::Gce, 0.7)];
const MOST_MOVES: f64 = 1.0;
const LEAST_SPEED_UP: f64 = 1.5;

/// One trial's outcomes, ours first.
pub(crate) struct Judged {
    pub(crate) trace: String,
    pub(crate) boot: u32,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Judged {
    pub(crate) fn of(&self, contestant: Contestant) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.contestant == contestant)
    }

    pub(crate) fn ours(&self) -> Option<&Outcome> {
        self.of(Contestant::Ours)
    }

    fn any_rival_is_feasible(&self) -> bool {
        let rivals = self.outcomes.iter().filter(|outcome| outcome.contestant != Contestant::Ours);
        rivals.into_iter().any(Outcome::is_feasible)
    }
}

/// What it all comes to.
pub(crate) struct Verdict {
    excess: [Option<f64>; 3],
    feasible: usize,
    comparable: usize,
    moves: f64,
    speed_up: f64,
}

impl Verdict {
    pub(crate) fn of(judged: &[Judged]) -> Self {
        let names: BTreeSet<&str> = judged
            .iter()
            .filter(|trial| trial.any_rival_is_feasible())
            .map(|trial| trial.trace.as_str())
            .collect();
        let lost: BTreeSet<&str> = losses(judged).iter().map(|trial| trial.trace.as_str()).collect();
        let moves = |contestant| mean(judged, contestant, |outcome| outcome.chosen.moves_per_hour);
        Self {
            excess: MOST_AGAINST.map(|(rival, _)| {
                excess_against(judged, Contestant::Rival(rival), |outcome| &outcome.chosen)
            }),
            feasible: names.len() - lost.len(),
            comparable: names.len(),
            moves: moves(Contestant::Ours) / moves(Contestant::Rival(Rival::Hpa)),
            speed_up: speed_up_over(judged, Contestant::Rival(Rival::Hpa)),
        }
    }

    pub(crate) fn holds(&self) -> bool {
        let cheap = self.excess.iter().zip(MOST_AGAINST);
        cheap.into_iter().all(|(found, (_, most))| found.is_some_and(|found| found <= most))
            && self.feasible == self.comparable
            && self.moves <= MOST_MOVES
            && self.speed_up >= LEAST_SPEED_UP
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "excess cost at <=0.1% unserved:")?;
        for (found, (rival, _)) in self.excess.iter().zip(MOST_AGAINST) {
            match found {
                Some(found) => write!(f, " {found:.2}x {}", rival.name())?,
                None => write!(f, " -x {}", rival.name())?,
            }
        }
        write!(
            f,
            "; feasible {}/{}; moves {:.1}x hpa; speedup {:.1}",
            self.feasible, self.comparable, self.moves, self.speed_up
        )
    }
}

/// Trials in which some rival is feasible and ours is not.
pub(crate) fn losses(judged: &[Judged]) -> Vec<&Judged> {
    let lost =
        |trial: &&Judged| trial.any_rival_is_feasible() && !trial.ours().is_some_and(Outcome::is_feasible);
    judged.iter().filter(lost).collect()
}

/// The geometric mean of our excess cost over another's, of the trials in which both are feasible.
pub(crate) fn excess_against(
    judged: &[Judged],
    other: Contestant,
    of: impl Fn(&Outcome) -> &Measures,
) -> Option<f64> {
    let ratio = |trial: &Judged| {
        let (ours, theirs) = (of(trial.ours()?), of(trial.of(other)?));
        (is_feasible(ours) && is_feasible(theirs)).then(|| excess(ours) / excess(theirs))
    };
    geometric_mean(judged.iter().filter_map(ratio))
}

pub(crate) fn excess(measures: &Measures) -> f64 {
    measures.excess_cost().max(LEAST_EXCESS)
}

/// The geometric mean of the elastic speed-up over another, both at the same target.
fn speed_up_over(judged: &[Judged], other: Contestant) -> f64 {
    let gain = |trial: &Judged| Some(trial.ours()?.fixed.speed_up_over(&trial.of(other)?.fixed));
    geometric_mean(judged.iter().filter_map(gain)).unwrap_or(0.0)
}

pub(crate) fn mean(judged: &[Judged], contestant: Contestant, of: impl Fn(&Outcome) -> f64) -> f64 {
    let values: Vec<f64> = judged.iter().filter_map(|trial| trial.of(contestant)).map(of).collect();
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
