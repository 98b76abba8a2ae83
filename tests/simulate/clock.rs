//! Virtual time: it passes only when the simulator says so.
//!
//! There is one true time, which the store and the cloud go by. Each process has a clock of its own over it, which may be
//! stepped by hand: nothing that must be right may depend on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;

use fleet_scaler::clock::Clock;
use fleet_scaler::domain::time::Timestamp;

/// When every simulated day begins, in microseconds since the epoch: 2026-01-05 00:00 UTC, a Monday.
const BEGINNING: i64 = 1_767_571_200_000_000;

/// The true time.
#[derive(Debug, Default)]
pub(crate) struct Time(AtomicU64);

impl Time {
    /// What has passed since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        self.shifted(0)
    }

    fn shifted(&self, micros: i64) -> Timestamp {
        let passed = i64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        Timestamp::from_timestamp_micros(BEGINNING + passed + micros).unwrap_or_default()
    }

    /// Lets it pass.
    pub(crate) fn pass(&self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_add(micros, Ordering::Relaxed);
    }
}

/// A clock over the true time, right unless it was stepped.
#[derive(Debug)]
pub(crate) struct HostClock {
    time: Arc<Time>,
    ahead: AtomicI64,
}

impl HostClock {
    pub(crate) fn new(time: Arc<Time>) -> Self {
        Self { time, ahead: AtomicI64::new(0) }
    }

    /// Steps it, so that it is so far ahead of the true time (or behind).
    pub(crate) fn step_to(&self, ahead: i64) {
        self.ahead.store(ahead, Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        self.time.shifted(self.ahead.load(Ordering::Relaxed))
    }

    fn elapsed(&self) -> Duration {
        self.time.elapsed()
    }

    async fn sleep(&self, span: Duration) {
        let until = self.time.elapsed() + span;
        std::future::poll_fn(|_| if self.time.elapsed() >= until { Poll::Ready(()) } else { Poll::Pending })
            .await;
    }
}

/// Gives the simulator a turn: between any two steps a process may be killed, frozen or overtaken.
pub(crate) async fn turn() {
    let mut given = false;
    std::future::poll_fn(
        |_| {
            if std::mem::replace(&mut given, true) { Poll::Ready(()) } else { Poll::Pending }
        },
    )
    .await;
}
