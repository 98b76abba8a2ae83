//! AWS's token buckets, counted on our side.
//!
//! EC2 and ELBv2 throttle per account and region with buckets: each call takes a token, and for some calls each
//! instance takes one from a second bucket as well. Running into them costs more than the refused call: it starves
//! whoever shares the account. So the same buckets stand here, a little ahead of the real ones.
//!
//! Ours cannot know what others in the account spend. Where the cloud says *throttled* all the same, the rate is halved,
//! and it recovers slowly (additive increase, multiplicative decrease), so that two deployments in one account come to
//! share what there is.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Gate, Semaphore};

use crate::clock::Clock;
use crate::domain::time::{Timestamp, since};

/// Calls of one lane that may wait at once; the next is refused on the spot.
const QUEUE_MAX: usize = 1_024;
/// The pace never falls below this share of the full rate: a lane that stands still would never learn that it may go.
const PACE_MIN: f64 = 1.0 / 16.0;
/// What the pace gains in a second: from the lowest to the full rate in a minute and a half.
const PACE_GAIN: f64 = 0.01;
/// The shortest wait, so that rounding never turns a wait into a spin.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// What one call takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    /// Requests on the wire.
    pub(super) requests: f64,
    /// Instances it names, where the lane counts them.
    pub(super) resources: f64,
}

/// Why a call was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its turn would not have come in time.
    TooLate,
    /// Too many wait already.
    QueueFull,
}

/// A bucket's size and refill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Tokens of a full bucket.
    pub(super) burst: f64,
    /// Tokens a second.
    pub(super) per_second: f64,
}

/// Calls that AWS counts together, in the order in which they came.
pub(super) struct Lane {
    /// Who holds it is next. Tokio's mutex is fair: first come, first served.
    gate: Gate<()>,
    places: Semaphore,
    state: Mutex<State>,
}

impl Lane {
    /// A lane with full buckets.
    pub(super) fn new(requests: Rate, resources: Option<Rate>, now: Timestamp) -> Self {
        Self {
            gate: Gate::new(()),
            places: Semaphore::new(QUEUE_MAX),
            state: Mutex::new(State {
                requests: Bucket::full(requests),
                resources: resources.map(Bucket::full),
                pace: 1.0,
                as_of: now,
                slowed_at: None,
            }),
        }
    }

    /// Waits for this call's turn and takes its tokens, or says that the turn will not come within `patience`.
    pub(super) async fn admit(
        &self,
        clock: &dyn Clock,
        cost: Cost,
        patience: Duration,
    ) -> Result<(), Refused> {
        let _place = self.places.try_acquire().map_err(|_| Refused::QueueFull)?;
        let came_at = clock.now();
        let _turn = tokio::select! {
            biased;
            turn = self.gate.lock() => turn,
            () = clock.sleep(patience) => return Err(Refused::TooLate),
        };
        let mut left = patience.saturating_sub(since(clock.now(), came_at));
        // Ends: every turn of the loop spends at least `WAIT_MIN` of what is left.
        while let Err(wait) = self.take(clock.now(), cost) {
            let wait = wait.max(WAIT_MIN);
            if wait > left {
                return Err(Refused::TooLate);
            }
            left -= wait;
            clock.sleep(wait).await;
        }
        Ok(())
    }

    /// Its own function, so that the lock is let go before anyone sleeps.
    fn take(&self, now: Timestamp, cost: Cost) -> Result<(), Duration> {
        self.state().take(now, cost)
    }

    /// The cloud throttled a call that was sent at `sent_at`.
    pub(super) fn throttled(&self, sent_at: Timestamp, now: Timestamp) {
        self.state().slow_down(sent_at, now);
    }

    /// The share of the full rate that holds now.
    #[cfg(test)]
    pub(super) fn pace(&self, now: Timestamp) -> f64 {
        let mut state = self.state();
        state.refill(now);
        state.pace
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct State {
    requests: Bucket,
    resources: Option<Bucket>,
    /// The share of the full rate that holds, in `PACE_MIN..=1`.
    pace: f64,
    as_of: Timestamp,
    slowed_at: Option<Timestamp>,
}

impl State {
    /// Takes from both buckets or from none; `Err` is how long until both have enough.
    fn take(&mut self, now: Timestamp, cost: Cost) -> Result<(), Duration> {
        self.refill(now);
        let mut wait = self.requests.lacks(cost.requests, self.pace);
        if let Some(resources) = &self.resources {
            wait = wait.max(resources.lacks(cost.resources, self.pace));
        }
        if wait > Duration::ZERO {
            return Err(wait);
        }
        self.requests.take(cost.requests);
        if let Some(resources) = &mut self.resources {
            resources.take(cost.resources);
        }
        Ok(())
    }

    fn refill(&mut self, now: Timestamp) {
        // A clock that was set back must not starve the lane until it has caught up: `since` is zero then, and counting
        // goes on from the new time.
        let seconds = since(now, self.as_of).as_secs_f64();
        self.as_of = now;
        self.requests.refill(seconds * self.pace);
        if let Some(resources) = &mut self.resources {
            resources.refill(seconds * self.pace);
        }
        self.pace = (self.pace + PACE_GAIN * seconds).min(1.0);
    }

    fn slow_down(&mut self, sent_at: Timestamp, now: Timestamp) {
        if self.slowed_at.is_some_and(|slowed_at| sent_at <= slowed_at) {
            // It was sent before the last halving took effect: many calls in flight are one piece of news.
            return;
        }
        self.refill(now);
        self.pace = (self.pace / 2.0).max(PACE_MIN);
        self.slowed_at = Some(now);
        self.requests.tokens = 0.0;
        if let Some(resources) = &mut self.resources {
            // Which of the two ran dry the cloud does not say, and this one takes minutes to fill.
            resources.tokens /= 2.0;
        }
    }
}

struct Bucket {
    rate: Rate,
    tokens: f64,
}

impl Bucket {
    fn full(rate: Rate) -> Self {
        Self { rate, tokens: rate.burst }
    }

    fn refill(&mut self, paced_seconds: f64) {
        self.tokens = (self.tokens + self.rate.per_second * paced_seconds).min(self.rate.burst);
    }

    /// How long until there is enough. What is larger than the bucket waits for a full one: it must pass some time.
    fn lacks(&self, cost: f64, pace: f64) -> Duration {
        let missing = cost.min(self.rate.burst) - self.tokens;
        if missing <= 0.0 {
            return Duration::ZERO;
        }
        // Rounded up to the clock's precision, or the wait would end a moment too early.
        let micros = (missing / (self.rate.per_second * pace) * 1e6).ceil();
        Duration::try_from_secs_f64((micros + 1.0) / 1e6).unwrap_or(Duration::MAX)
    }

    fn take(&mut self, cost: f64) {
        self.tokens -= cost.min(self.rate.burst);
    }
}
