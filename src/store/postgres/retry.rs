//! How long a transaction may take, and how often it may start over.

use std::time::Duration;

use crate::store::StoreError;
use crate::store::postgres::error::is_transient;

const RETRIES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// How often one transaction may still start over.
pub(super) struct Patience {
    left: u32,
    wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { left: RETRIES, wait: FIRST_WAIT }
    }
}

impl Patience {
    /// Whether this error is one to start over for, and there is a try left.
    pub(super) fn is_left_for(&mut self, error: &StoreError) -> bool {
        let again = self.left > 0 && is_transient(error);
        if again {
            self.left -= 1;
        }
        again
    }

    /// Waits a little longer each time; not equally long in two processes, or they would meet again.
    pub(super) async fn wait(&mut self) {
        let spread = Duration::from_millis(u64::from(std::process::id()).wrapping_mul(2_654_435_761) % 16);
        tokio::time::sleep(self.wait + spread).await;
        self.wait *= 2;
    }
}

/// Gives up on work that outlives its deadline. Dropping it drops its transaction, which is then rolled back, by us or by
/// Postgres's own time-outs; whether a commit under way took effect is not known, which is what `Unavailable` means.
pub(super) async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, StoreError>> + Send,
) -> Result<T, StoreError> {
    tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
        Err(StoreError::Unavailable(format!("no answer within {} s", deadline.as_secs()).into()))
    })
}
