//! Time, as a parameter.
//!
//! Nothing in the crate asks the operating system what time it is, except the one implementation here. Leases, cooldowns
//! and deadlines do not even ask this one: they run on the database's clock, so that replicas agree.

use std::time::Duration;

use crate::domain::time::{Timestamp, to_micros};

/// Tells the time and waits.
///
/// Contract: `now` never goes backwards within one process by more than the host's clock is stepped; `sleep` returns at
/// or after the span has passed, and may be dropped at any moment.
#[async_trait::async_trait]
pub trait Clock: Send + Sync {
    /// The time now, to the microsecond.
    fn now(&self) -> Timestamp;
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

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}
