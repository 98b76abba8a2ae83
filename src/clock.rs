//! Time, as a parameter.
//!
//! Nothing in the crate asks the operating system what time it is, except the one implementation here. Leases, cooldowns
//! and deadlines do not even ask this one: they run on the database's clock, so that replicas agree.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::domain::time::{Timestamp, to_micros};

/// Tells the time and waits.
///
/// Contract: `now` is the host's clock and jumps when that is stepped; `sleep` returns at
/// or after the span has passed, and may be dropped at any moment.
#[async_trait::async_trait]
pub trait Clock: Send + Sync {
    /// The time now, to the microsecond.
    fn now(&self) -> Timestamp;
    /// Time that has passed since some moment in this process's life. It never goes backwards and does not jump: every
    /// span is measured by it, and never by two readings of `now`.
    fn elapsed(&self) -> Duration;
    /// Waits.
    async fn sleep(&self, span: Duration);
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait::async_trait]
impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the host's clock is read")]
    fn now(&self) -> Timestamp {
        to_micros(chrono::Utc::now())
    }

    fn elapsed(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}
