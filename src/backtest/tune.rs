//! Finding a policy's constants on one part of a day, so that it can be judged on another.
//!
//! Two policies can only be compared where each has the constants that suit it, and no number may be chosen on what it is
//! judged by. The search is plain: one constant at a time, the best value of a short list, the target once more at the
//! end. What is best: of those that leave at most one part in a thousand of the load unserved, the cheapest; if there is
//! none, the one that leaves least.

use std::time::Duration;

use crate::backtest::contest::{Boxed, Contest};
use crate::backtest::measures::Measures;
use crate::backtest::rivals::Rival;
use crate::backtest::shipped::Shipped;
use crate::decide::policy::{Policy, Target};

/// Load that may go unserved, 0–1.
pub const UNSERVED_MAX: f64 = 0.001;
/// Targets that are tried.
pub const TARGETS: [f64; 10] = [0.35, 0.40, 0.45, 0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80];
/// Windows of scale-in that are tried, in seconds.
const WINDOWS: [u64; 5] = [60, 150, 300, 600, 1200];
/// Cooldowns of scale-in that are tried, in seconds.
const COOLDOWNS: [u64; 5] = [0, 30, 60, 150, 300];

/// Shortfalls that are tried, in shares of the load.
const SHORTFALLS: [f64; 5] = [0.0001, 0.000_5, 0.001, 0.002, 0.01];

/// One try's list of policies, made from the best so far.
type Round = fn(&Policy) -> Vec<Policy>;

const ROUNDS: [Round; 5] = [targets, shortfalls, windows, cooldowns, targets];

/// Runs that finding a policy's constants takes at most.
pub const POLICY_RUNS: usize =
    2 * TARGETS.len() + SHORTFALLS.len() + WINDOWS.len() + COOLDOWNS.len() + ROUNDS.len();
/// Runs that finding a rival's takes.
pub const RIVAL_RUNS: usize = TARGETS.len();

/// The policy with the constants that do best on this day.
#[must_use]
pub fn policy(contest: &Contest<'_>, start: Policy) -> Policy {
    ROUNDS.into_iter().fold(start, |best, round| {
        let mut tried = vec![best.clone()];
        tried.extend(round(&best).into_iter().filter(|policy| *policy != best));
        let scalers = tried.iter().map(|policy| Box::new(Shipped::new("tried", policy.clone())) as Boxed);
        let chosen = best_of(contest, scalers.collect());
        tried.swap_remove(chosen)
    })
}

/// The target at which a rival does best on this day.
#[must_use]
pub fn rival(contest: &Contest<'_>, rival: Rival) -> f64 {
    TARGETS[best_of(contest, TARGETS.map(|target| rival.with_target(target)).into())]
}

/// Which of them did best; of equals, the first.
fn best_of(contest: &Contest<'_>, scalers: Vec<Boxed>) -> usize {
    let runs = contest.run(scalers);
    let ranks = runs.iter().map(|run| rank(&Measures::of(run))).enumerate();
    ranks
        .min_by(|(_, one), (_, other)| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)))
        .map_or(0, |(at, _)| at)
}

/// Smaller is better: whether too much went unserved; then what it cost, or how much went unserved.
fn rank(measures: &Measures) -> (bool, f64) {
    if measures.unserved_share <= UNSERVED_MAX {
        (false, measures.excess_cost())
    } else {
        (true, measures.unserved_share)
    }
}

fn targets(best: &Policy) -> Vec<Policy> {
    with_targets(best, &TARGETS, |target, value| target.value = value)
}

fn shortfalls(best: &Policy) -> Vec<Policy> {
    with_targets(best, &SHORTFALLS, |target, share| target.shortfall = share)
}

/// A policy for each number, with that in all of its targets; none where it has no target.
fn with_targets(best: &Policy, numbers: &[f64], set: fn(&mut Target, f64)) -> Vec<Policy> {
    let with = |number: &f64| {
        let mut policy = best.clone();
        policy.targets.iter_mut().for_each(|target| set(target, *number));
        policy
    };
    if best.targets.is_empty() { Vec::new() } else { numbers.iter().map(with).collect() }
}

fn windows(best: &Policy) -> Vec<Policy> {
    let with = |seconds| {
        let mut policy = best.clone();
        policy.scale_in.window = Duration::from_secs(seconds).max(policy.interval);
        policy
    };
    WINDOWS.map(with).into()
}

fn cooldowns(best: &Policy) -> Vec<Policy> {
    let with = |seconds| {
        let mut policy = best.clone();
        policy.cooldown.scale_in = Duration::from_secs(seconds);
        policy
    };
    COOLDOWNS.map(with).into()
}

/// The constants that are searched, as they stand, in words.
#[must_use]
pub fn constants(policy: &Policy) -> String {
    let mut words: Vec<String> = policy
        .targets
        .iter()
        .map(|target| format!("{} = {:.2} (shortfall {})", target.name, target.value, target.shortfall))
        .collect();
    let span = |span: Duration| humantime::format_duration(span).to_string().replace(' ', "");
    words.push(format!("scale_in.window = {}", span(policy.scale_in.window)));
    words.push(format!("cooldown.scale_in = {}", span(policy.cooldown.scale_in)));
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::backtest::Run;
    use crate::backtest::plant::Plant;

    fn measures(unserved: f64, needed: u32, paid: u32) -> Measures {
        Measures::of(&Run {
            step: 15,
            load: vec![1.0],
            needed: vec![needed],
            serving: vec![needed],
            paid: vec![paid],
            unserved: vec![unserved],
            moves: 0,
        })
    }

    #[test]
    fn what_serves_enough_is_ranked_by_cost_and_the_rest_by_what_it_leaves() {
        let (dear, cheap) = (rank(&measures(0.0, 10, 20)), rank(&measures(0.001, 10, 12)));
        let (bad, worse) = (rank(&measures(0.002, 10, 10)), rank(&measures(0.5, 10, 1)));
        assert!(cheap < dear && dear < bad && bad < worse);
    }

    #[test]
    fn a_rival_on_a_calm_day_is_run_as_hot_as_it_may() {
        let plant = Plant::new(vec![40.0; 480], 60, 1);
        let contest = Contest { plant: &plant, min: 1, max: 200, workers: NonZeroUsize::MIN, watch: &|_| () };
        let found = rival(&contest, Rival::Gce);
        assert!(found >= 0.7, "{found}: nothing ever changes, so little slack is needed");
    }
}
