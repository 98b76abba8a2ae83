//! How often one client may ask: a token bucket each for questions and for changes.
//!
//! The limits are far above what a dashboard or a pipeline does, and far below what would starve the loop of database
//! connections. There are a bounded number of buckets: a full one says nothing that an absent one does not, so those go
//! first, and whoever comes when none can go shares one with all others like it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;

use crate::http::problem::Problem;

/// Questions a second, in the long run, and at once.
const READS: Rate = Rate { per_second: 100.0, burst: 400.0 };
/// Changes a second, in the long run, and at once.
const WRITES: Rate = Rate { per_second: 10.0, burst: 60.0 };
/// Clients that are told apart.
const CLIENTS_MAX: usize = 1_024;
/// The name of everybody else.
const OTHERS: &str = "";

#[derive(Clone, Copy, Debug)]
struct Rate {
    per_second: f64,
    burst: f64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: f64,
    at: Duration,
}

/// The buckets, by client and by whether it changes anything.
#[derive(Debug, Default)]
pub(super) struct Limiter(Mutex<BTreeMap<(String, bool), Bucket>>);

impl Limiter {
    /// Takes one request out of a client's bucket. `now` never goes backwards.
    pub(super) fn take(&self, client: &str, changes: bool, now: Duration) -> Result<(), Problem> {
        let rate = if changes { WRITES } else { READS };
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (client.to_owned(), changes);
        if !buckets.contains_key(&key) && buckets.len() >= CLIENTS_MAX {
            buckets.retain(|(_, changes), bucket| {
                let rate = if *changes { WRITES } else { READS };
                bucket.filled(rate, now) < rate.burst
            });
            if buckets.len() >= CLIENTS_MAX {
                OTHERS.clone_into(&mut key.0);
            }
        }
        let bucket = buckets.entry(key).or_insert(Bucket { level: rate.burst, at: now });
        *bucket = Bucket { level: bucket.filled(rate, now), at: now };
        if bucket.level >= 1.0 {
            bucket.level -= 1.0;
            return Ok(());
        }
        let what = if changes { "changes" } else { "questions" };
        let detail = format!("at most {} {what} a second, and {} at once", rate.per_second, rate.burst);
        Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests", "rate", detail).retry_after(1))
    }
}

impl Bucket {
    fn filled(self, rate: Rate, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        (self.level + passed * rate.per_second).min(rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    fn granted(limiter: &Limiter, client: &str, changes: bool, now: Duration) -> usize {
        (0..1_000).take_while(|_| limiter.take(client, changes, now).is_ok()).count()
    }

    #[test]
    fn a_burst_is_granted_and_then_a_steady_rate() {
        let limiter = Limiter::default();
        assert_eq!(granted(&limiter, "ada", false, START), 400);
        assert_eq!(granted(&limiter, "ada", false, START + Duration::from_millis(500)), 50);
        assert_eq!(granted(&limiter, "ada", true, START), 60, "changes have a bucket of their own");
        assert_eq!(granted(&limiter, "bob", false, START), 400, "and so has everybody");
        assert_eq!(
            granted(&limiter, "ada", false, START + Duration::from_hours(1)),
            400,
            "it never overflows"
        );
    }

    #[test]
    fn buckets_are_bounded_and_strangers_share_one() {
        let limiter = Limiter::default();
        for client in 0..CLIENTS_MAX {
            limiter.take(&client.to_string(), true, START).unwrap();
        }
        assert_eq!(granted(&limiter, "late", true, START) + granted(&limiter, "later", true, START), 60);
        assert!(limiter.0.lock().unwrap().len() <= CLIENTS_MAX + 1);
        // Once the first ones are full again they give way.
        let later = START + Duration::from_mins(1);
        assert_eq!(granted(&limiter, "new", true, later), 60);
        assert!(limiter.0.lock().unwrap().len() <= 3);
    }
}
