//! Several scalers on the same day: side by side on all processors, each bounded as the fleet is.
//!
//! Each run depends on its scaler and the plant alone, so the number of processors changes how long it takes and nothing
//! of what comes out.

use std::num::NonZeroUsize;

use crate::backtest::plant::Plant;
use crate::backtest::{Run, Scaler, Second, Sight};

/// A scaler that may be run beside others.
pub type Boxed = Box<dyn Scaler + Send>;

/// What is the same for all that take part.
#[derive(Clone, Copy)]
pub struct Contest<'a> {
    /// The day.
    pub plant: &'a Plant,
    /// Never fewer hosts.
    pub min: u32,
    /// Never more.
    pub max: u32,
    /// Runs at a time.
    pub workers: NonZeroUsize,
    /// Told, now and then and by several runs at once, of so many more seconds of the day that were replayed.
    pub watch: &'a (dyn Fn(Second) + Sync),
}

impl Contest<'_> {
    /// Runs them; what came of each, in their order.
    #[must_use]
    pub fn run(&self, scalers: Vec<Boxed>) -> Vec<Run> {
        let mut hands: Vec<Vec<(usize, Boxed)>> = (0..self.workers.get()).map(|_| Vec::new()).collect();
        for (place, scaler) in scalers.into_iter().enumerate() {
            hands[place % self.workers].push((place, scaler));
        }
        let mut runs: Vec<(usize, Run)> = std::thread::scope(|scope| {
            let work = |hand: Vec<(usize, Boxed)>| {
                hand.into_iter().map(|(place, scaler)| (place, self.run_one(scaler))).collect::<Vec<_>>()
            };
            let workers: Vec<_> = hands.into_iter().map(|hand| scope.spawn(move || work(hand))).collect();
            let joined = workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            joined.flatten().collect()
        });
        runs.sort_by_key(|(place, _)| *place);
        runs.into_iter().map(|(_, run)| run).collect()
    }

    fn run_one(&self, scaler: Boxed) -> Run {
        let mut watched =
            Watched { scaler, min: self.min.max(1), max: self.max.max(1), last: 0, watch: self.watch };
        self.plant.run(&mut watched)
    }
}

/// A scaler within a fleet's bounds, which tells how far it is.
struct Watched<'a> {
    scaler: Boxed,
    min: u32,
    max: u32,
    last: Second,
    watch: &'a (dyn Fn(Second) + Sync),
}

impl Scaler for Watched<'_> {
    fn name(&self) -> &str {
        self.scaler.name()
    }

    fn interval(&self) -> Second {
        self.scaler.interval()
    }

    fn size(&mut self, sight: &Sight<'_>) -> u32 {
        (self.watch)(sight.now.saturating_sub(self.last));
        self.last = sight.now;
        self.scaler.size(sight).max(self.min).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::backtest::rivals::Rival;

    fn contest<'a>(plant: &'a Plant, workers: usize, watch: &'a (dyn Fn(Second) + Sync)) -> Contest<'a> {
        Contest { plant, min: 2, max: 9, workers: NonZeroUsize::new(workers).unwrap(), watch }
    }

    fn all() -> Vec<Boxed> {
        Rival::ALL.map(Rival::documented_default).into()
    }

    fn day() -> Plant {
        let load = (0..480).map(|step| 3.0 + 2.5 * (f64::from(step) / 40.0).sin()).collect();
        Plant::new(load, 60, 7)
    }

    #[test]
    fn the_number_of_workers_changes_nothing() {
        let plant = day();
        let alone = contest(&plant, 1, &|_| ()).run(all());
        assert_eq!(alone.len(), 8);
        assert_eq!(contest(&plant, 3, &|_| ()).run(all()), alone);
        assert_eq!(contest(&plant, 20, &|_| ()).run(all()), alone);
        assert!(alone.iter().any(|run| *run != alone[0]), "they are not all the same rule");
    }

    #[test]
    fn everybody_stays_within_the_fleets_bounds() {
        let plant = day();
        for run in contest(&plant, 2, &|_| ()).run(all()) {
            // What the fleet is found with at the start is nobody's choice.
            assert!(
                run.serving.iter().skip(60).all(|serving| (1..=9).contains(serving)),
                "{:?}",
                run.serving
            );
            assert!(run.serving.iter().max() > Some(&2));
        }
    }

    #[test]
    fn the_watcher_is_told_of_every_second() {
        let (plant, seconds) = (day(), AtomicU64::new(0));
        let watch = |more: Second| {
            seconds.fetch_add(u64::from(more), Ordering::Relaxed);
        };
        let _ = contest(&plant, 2, &watch)
            .run(vec![Rival::Hpa.documented_default(), Rival::Gce.documented_default()]);
        assert_eq!(seconds.into_inner(), 2 * 479 * 15, "but for the last step, after which nobody looks");
    }
}
