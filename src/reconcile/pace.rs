//! How long to wait before the same thing again: exponential, capped, with jitter.
//!
//! The schedule is the `backoff` crate's, kept behind this file because the crate is no longer maintained. Its own
//! jitter comes from ambient randomness and is switched off; ours comes from [`Entropy`] and only ever lengthens a wait,
//! so that a pool is never asked sooner than its configured cooldown says.

use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff as _;

use crate::decide::snapshot::PoolHealth;
use crate::domain::ids::Pool;
use crate::domain::time::{Timestamp, after};
use crate::entropy::Entropy;

/// Jitter adds up to this share of the wait, and never beyond the cap.
const JITTER: f64 = 0.2;
/// Past so many doublings every schedule here has reached its cap.
const DOUBLINGS_MAX: u32 = 32;
/// A pool whose allowance grows past this is trusted again.
const ALLOWANCE_MAX: u32 = 64;

/// The `n`th wait (from 1) of a schedule that starts at `first` and doubles up to `most`.
#[must_use]
pub fn nth_wait(n: u32, first: Duration, most: Duration, entropy: &dyn Entropy) -> Duration {
    let mut schedule = ExponentialBackoffBuilder::new()
        .with_initial_interval(first)
        .with_multiplier(2.0)
        .with_max_interval(most)
        .with_randomization_factor(0.0)
        .with_max_elapsed_time(None)
        .build();
    let mut wait = first;
    for _ in 0..n.clamp(1, DOUBLINGS_MAX) {
        wait = schedule.next_backoff().unwrap_or(most);
    }
    wait.mul_f64(1.0 + JITTER * entropy.unit()).min(most)
}

/// A pool that has just refused for capacity: it cools, longer with each refusal, and is then probed with one host.
#[must_use]
pub fn pool_refused(
    earlier: Option<&PoolHealth>,
    pool: Pool,
    now: Timestamp,
    cooldown: (Duration, Duration),
    entropy: &dyn Entropy,
) -> PoolHealth {
    let failures = earlier.map_or(0, |health| health.failures).saturating_add(1);
    let wait = nth_wait(failures, cooldown.0, cooldown.1, entropy);
    PoolHealth { pool, failures, cooling_until: after(now, wait), allowance: 1 }
}

/// A pool that has just sold all that was asked: what it may be asked for doubles until it is trusted again (`None`).
#[must_use]
pub fn pool_sold(earlier: &PoolHealth) -> Option<PoolHealth> {
    let allowance = earlier.allowance.saturating_mul(2);
    (allowance <= ALLOWANCE_MAX).then(|| PoolHealth { allowance, ..earlier.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Zone;
    use crate::entropy::ChaChaEntropy;

    #[test]
    fn waits_double_up_to_the_cap_and_are_never_shorter_than_the_schedule() {
        let entropy = ChaChaEntropy::seeded(7);
        let (first, most) = (Duration::from_mins(3), Duration::from_mins(30));
        for (n, base) in [(1, 180), (2, 360), (3, 720), (4, 1440), (5, 1800), (400, 1800)] {
            let wait = nth_wait(n, first, most, &entropy);
            let base = Duration::from_secs(base);
            assert!(
                wait >= base && wait <= base.mul_f64(1.0 + JITTER).min(most),
                "wait {n} was {wait:?}, base {base:?}"
            );
        }
    }

    #[test]
    fn a_pool_is_probed_with_one_host_and_trusted_again_by_doubling() {
        let entropy = ChaChaEntropy::seeded(7);
        let pool = Pool { zone: Zone::new("eu-west-1a"), instance_type: None };
        let now = Timestamp::UNIX_EPOCH;
        let span = (Duration::from_mins(3), Duration::from_mins(30));
        let first = pool_refused(None, pool.clone(), now, span, &entropy);
        assert_eq!((first.failures, first.allowance), (1, 1));
        let second = pool_refused(Some(&first), pool, now, span, &entropy);
        assert!(second.cooling_until >= after(now, Duration::from_mins(6)));
        let mut health = Some(second);
        let mut allowances = Vec::new();
        while let Some(known) = health {
            allowances.push(known.allowance);
            health = pool_sold(&known);
        }
        assert_eq!(allowances, [1, 2, 4, 8, 16, 32, 64]);
    }
}
