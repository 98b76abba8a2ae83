//! One trace at one boot time: everybody chooses constants on its first third, and is judged on the rest.

use fleet_scaler::backtest::measures::Measures;
use fleet_scaler::backtest::plant::Plant;
use fleet_scaler::backtest::{Run, Scaler, Second};

use crate::field::{Constants, Contestant};

/// Most of the load that may fall short of the service level, 0–1.
pub(crate) const UNSERVED_MOST: f64 = 0.001;

/// The target at which the elastic speed-up is taken.
pub(crate) const FIXED_TARGET: f64 = 0.6;

/// A load at one boot time.
pub(crate) struct Trial<'a> {
    pub(crate) trace: &'a str,
    pub(crate) load: &'a [f64],
    pub(crate) boot: Second,
    pub(crate) seed: u64,
}

/// What became of one contestant in one trial; all measures are of the last two thirds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) contestant: Contestant,
    pub(crate) constants: Constants,
    /// With the constants of its choice.
    pub(crate) chosen: Measures,
    /// At [`FIXED_TARGET`].
    pub(crate) fixed: Measures,
    /// As documented.
    pub(crate) documented: Measures,
}

impl Outcome {
    pub(crate) fn is_feasible(&self) -> bool {
        is_feasible(&self.chosen)
    }
}

pub(crate) fn is_feasible(measures: &Measures) -> bool {
    measures.unserved_share <= UNSERVED_MOST
}

impl Trial<'_> {
    fn third(&self) -> usize {
        self.load.len() / 3
    }

    /// Runs everybody.
    pub(crate) fn run(&self) -> Vec<Outcome> {
        Contestant::all().into_iter().map(|contestant| self.judge(contestant)).collect()
    }

    fn judge(&self, contestant: Contestant) -> Outcome {
        let constants = self.choose(contestant);
        Outcome {
            contestant,
            constants,
            chosen: self.score(|| contestant.with(constants)),
            fixed: self.score(|| contestant.at(FIXED_TARGET)),
            documented: self.score(|| contestant.as_documented()),
        }
    }

    /// The cheapest constants that are feasible on the first third; if none is, those that leave the least unserved.
    fn choose(&self, contestant: Contestant) -> Constants {
        let plant = Plant::new(self.load[..self.third()].to_vec(), self.boot, self.seed);
        let mut best: Option<(f64, f64, Constants)> = None;
        for constants in contestant.choices() {
            let measures = Measures::of(&plant.run(contestant.with(constants).as_mut()));
            let beyond = (measures.unserved_share - UNSERVED_MOST).max(0.0);
            let found = (beyond, measures.excess_cost(), constants);
            if best.is_none_or(|best| (found.0, found.1) < (best.0, best.1)) {
                best = Some(found);
            }
        }
        best.map_or_else(|| Constants::of(FIXED_TARGET), |best| best.2)
    }

    fn score(&self, scaler: impl Fn() -> Box<dyn Scaler>) -> Measures {
        Measures::of(&self.judged_part(scaler))
    }

    /// The whole load is run, so that a scaler that remembers comes warm to the part that counts.
    pub(crate) fn judged_part(&self, scaler: impl Fn() -> Box<dyn Scaler>) -> Run {
        let third = self.third();
        let first = Plant::new(self.load[..third].to_vec(), self.boot, self.seed);
        let moves = first.run(scaler().as_mut()).moves;
        let run = Plant::new(self.load.to_vec(), self.boot, self.seed).run(scaler().as_mut());
        Run {
            step: run.step,
            load: run.load[third..].to_vec(),
            needed: run.needed[third..].to_vec(),
            serving: run.serving[third..].to_vec(),
            paid: run.paid[third..].to_vec(),
            unserved: run.unserved[third..].to_vec(),
            moves: run.moves - moves,
        }
    }
}
