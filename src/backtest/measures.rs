//! What a run is worth, in the numbers that the literature compares scalers by, and in those that a bill is made of.
//!
//! With d the hosts that were needed, s those that served, Δt a step and T the length of the run:
//!
//! | measure | formula | after |
//! |---|---|---|
//! | accuracy θ_U, θ_O, % | 100/T · Σ max(d−s, 0)/d · Δt, and d and s swapped above the line | Imdoukh 2019, after the SPEC Research Group (Bauer) |
//! | time share τ_U, τ_O, % | 100/T · Σ \[d > s\] · Δt, and swapped | Ilyushkin et al., ICPE 2017 |
//! | instability k, k′, % | 100/(T−1) · Σ min(1, max(0, sgn Δs − sgn Δd)), T in steps, and swapped | Ilyushkin et al. |
//! | jitter, hosts a minute | (Σ\|Δs\| − Σ\|Δd\|)/T | BUNGEE (Herbst) |
//! | elastic speed-up η | \[∏ (base + 0.05)/(this + 0.05)\]^¼ over θ_U, θ_O, τ_U, τ_O | SPEC Research Group |
//! | cost ÷ ideal | Σ paid / Σ d | |
//!
//! θ is the normalised accuracy whose both sides are divided by d; where nothing was needed, by one. BUNGEE's own is not
//! normalised, and Ilyushkin's divides the over-provisioning by s: numbers of different papers are comparable only
//! where the variant is. 0.05 (percentage points) is added to every term of η, or one that is perfect would be divided by.

use serde::Serialize;

use crate::backtest::{Run, Second};

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
/// Percentage points that are added to every term of η.
const FLOOR: f64 = 0.05;

/// What a run is worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measures {
    /// Load that nobody could serve, of all load, 0–1.
    pub unserved_share: f64,
    /// How long fewer hosts served than were needed.
    pub under_provisioned_seconds: u64,
    /// θ_U: how many of the needed hosts lacked on average, percent of those needed.
    pub accuracy_under: f64,
    /// θ_O: how many hosts too many served on average, percent of those needed.
    pub accuracy_over: f64,
    /// τ_U: time with too few hosts, percent.
    pub time_under: f64,
    /// τ_O: time with too many hosts, percent.
    pub time_over: f64,
    /// k: steps in which the hosts that served rose against what was needed, percent.
    pub instability_up: f64,
    /// k′: steps in which they fell against it, percent.
    pub instability_down: f64,
    /// How much more the hosts that served moved than what was needed did, hosts a minute.
    pub jitter: f64,
    /// How often the size wanted changed, an hour.
    pub moves_per_hour: f64,
    /// Hosts paid for, hours.
    pub host_hours: f64,
    /// Hosts that were needed, hours: what a scaler that knows the future and needs no time to boot pays.
    pub ideal_host_hours: f64,
    /// What was paid ÷ what was needed.
    pub cost_ratio: f64,
}

impl Measures {
    /// Of a run. One without a single step is worth nothing in every respect.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        let steps = run.needed.len();
        let hours = steps as f64 * f64::from(run.step) / HOUR;
        let (host_hours, ideal_host_hours) = (in_hours(&run.paid, run.step), in_hours(&run.needed, run.step));
        let under = |(needed, serving): (f64, f64)| (needed - serving).max(0.0) / needed.max(1.0);
        let over = |(needed, serving): (f64, f64)| (serving - needed).max(0.0) / needed.max(1.0);
        let lacking = pairs(run).filter(|(needed, serving)| needed > serving).count();
        let too_many = pairs(run).filter(|(needed, serving)| serving > needed).count();
        let (instability_up, instability_down) = instability(run);
        Self {
            unserved_share: ratio(run.unserved.iter().sum(), run.load.iter().sum()),
            under_provisioned_seconds: lacking as u64 * u64::from(run.step),
            accuracy_under: percent(pairs(run).map(under).sum(), steps),
            accuracy_over: percent(pairs(run).map(over).sum(), steps),
            time_under: percent(lacking as f64, steps),
            time_over: percent(too_many as f64, steps),
            instability_up,
            instability_down,
            jitter: ratio(way(&run.serving) - way(&run.needed), hours * HOUR / MINUTE),
            moves_per_hour: ratio(f64::from(run.moves), hours),
            host_hours,
            ideal_host_hours,
            cost_ratio: ratio(host_hours, ideal_host_hours),
        }
    }

    /// What was paid beyond what was needed, in shares of that: 0.4 is 40 % more.
    #[must_use]
    pub fn excess_cost(&self) -> f64 {
        self.cost_ratio - 1.0
    }

    /// η: how much more elastic this is than a baseline; 1 is as elastic, 2 twice so.
    #[must_use]
    pub fn speed_up_over(&self, baseline: &Self) -> f64 {
        let terms = |measures: &Self| {
            [measures.accuracy_under, measures.accuracy_over, measures.time_under, measures.time_over]
        };
        let gains =
            terms(baseline).into_iter().zip(terms(self)).map(|(base, own)| (base + FLOOR) / (own + FLOOR));
        geometric_mean(gains).unwrap_or(1.0)
    }
}

/// The geometric mean; `None` of nothing.
#[must_use]
pub fn geometric_mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, count) =
        values.into_iter().fold((0.0, 0_u32), |(sum, count), value: f64| (sum + value.ln(), count + 1));
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

/// What was needed and what served, step by step.
fn pairs(run: &Run) -> impl Iterator<Item = (f64, f64)> {
    run.needed.iter().zip(&run.serving).map(|(needed, serving)| (f64::from(*needed), f64::from(*serving)))
}

/// How much more often supply rose, or fell, than what was needed did.
fn instability(run: &Run) -> (f64, f64) {
    let moves = || run.needed.windows(2).zip(run.serving.windows(2));
    let signs = || moves().map(|(needed, serving)| (sign(needed), sign(serving)));
    let above = signs().filter(|(needed, serving)| serving > needed).count();
    let below = signs().filter(|(needed, serving)| serving < needed).count();
    let changes = run.needed.len().saturating_sub(1);
    (percent(above as f64, changes), percent(below as f64, changes))
}

fn sign(change: &[u32]) -> i64 {
    (i64::from(change[1]) - i64::from(change[0])).signum()
}

/// The way that a series went, up and down.
fn way(series: &[u32]) -> f64 {
    series.windows(2).map(|change| f64::from(change[0].abs_diff(change[1]))).sum()
}

fn in_hours(hosts: &[u32], step: Second) -> f64 {
    hosts.iter().map(|hosts| f64::from(*hosts)).sum::<f64>() * f64::from(step) / HOUR
}

fn percent(part: f64, whole: usize) -> f64 {
    100.0 * ratio(part, whole as f64)
}

/// A ratio; of nothing it is 0.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-9, "{found}, where {wanted} was worked out");
    }

    /// Four steps of half a minute: one too few, enough, two too many, one too many.
    fn run() -> Run {
        Run {
            step: 30,
            load: vec![1.6, 3.2, 0.8, 1.6],
            needed: vec![2, 4, 1, 2],
            serving: vec![1, 4, 3, 3],
            paid: vec![3, 4, 4, 3],
            unserved: vec![0.6, 0.0, 0.0, 0.0],
            moves: 2,
        }
    }

    #[test]
    fn accuracy_and_time_shares_by_hand() {
        let measures = Measures::of(&run());
        close(measures.accuracy_under, 100.0 * 0.5 / 4.0);
        close(measures.accuracy_over, 100.0 * (2.0 + 0.5) / 4.0);
        close(measures.time_under, 25.0);
        close(measures.time_over, 50.0);
        assert_eq!(measures.under_provisioned_seconds, 30);
        close(measures.unserved_share, 0.6 / 7.2);
    }

    #[test]
    fn stability_by_hand() {
        let measures = Measures::of(&run());
        // What is needed goes +2, −3, +1; what serves +3, −1, 0.
        close(measures.instability_up, 0.0);
        close(measures.instability_down, 100.0 / 3.0);
        close(measures.jitter, (4.0 - 6.0) / 2.0);
        close(measures.moves_per_hour, 60.0);
    }

    #[test]
    fn cost_by_hand() {
        let measures = Measures::of(&run());
        close(measures.host_hours, 14.0 / 120.0);
        close(measures.ideal_host_hours, 9.0 / 120.0);
        close(measures.cost_ratio, 14.0 / 9.0);
        close(measures.excess_cost(), 5.0 / 9.0);
    }

    #[test]
    fn instability_counts_a_step_once_however_far_apart_the_signs_are() {
        let run = Run { needed: vec![2, 1, 1], serving: vec![1, 2, 3], step: 60, ..Run::default() };
        close(Measures::of(&run).instability_up, 100.0);
        close(Measures::of(&run).instability_down, 0.0);
    }

    #[test]
    fn the_speed_up_is_the_geometric_mean_of_four_gains() {
        let measures = Measures::of(&run());
        close(measures.speed_up_over(&measures), 1.0);
        let base = Measures {
            accuracy_under: 2.0 * (measures.accuracy_under + 0.05) - 0.05,
            accuracy_over: 8.0 * (measures.accuracy_over + 0.05) - 0.05,
            ..measures
        };
        close(measures.speed_up_over(&base), 2.0);
        let perfect = Measures { accuracy_under: 0.0, time_under: 0.0, ..measures };
        assert!(perfect.speed_up_over(&measures).is_finite());
    }

    #[test]
    fn an_imdoukh_table_gives_its_speed_up() {
        let row = |theta_u, theta_o, tau_u, tau_o| Measures {
            accuracy_under: theta_u,
            accuracy_over: theta_o,
            time_under: tau_u,
            time_over: tau_o,
            ..Measures::of(&Run::default())
        };
        let none = row(3.29, 3.06, 57.95, 57.05);
        let lstm = row(0.48, 4.28, 15.85, 89.1);
        let published = 1.84;
        let found = lstm.speed_up_over(&none);
        assert!(
            (found - published).abs() < 0.06,
            "{found}: the floor of 0.05 is not in the paper's {published}"
        );
    }

    #[test]
    fn nothing_is_worth_nothing() {
        let measures = Measures::of(&Run { step: 30, ..Run::default() });
        let zero = [measures.unserved_share, measures.accuracy_over, measures.jitter, measures.cost_ratio];
        assert!(zero.iter().all(|value| value.abs() < 1e-12), "{measures:?}");
        assert_eq!(geometric_mean([]), None);
        close(geometric_mean([1.0, 4.0]).unwrap(), 2.0);
    }

    #[test]
    fn where_nothing_is_needed_a_host_is_one_too_many() {
        let run = Run { needed: vec![0, 0], serving: vec![1, 2], step: 60, ..Run::default() };
        close(Measures::of(&run).accuracy_over, 150.0);
    }
}
