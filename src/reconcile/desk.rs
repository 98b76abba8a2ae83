//! What one tick works with: the contracts, the right to use them, and what was decided before it began.
//!
//! Every step of a tick takes the desk and what it changes, so that nothing about "which fleet, under which fence, by
//! which clock" is ever looked up twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::config::fleet::FleetConfig;
use crate::decide::policy::Policy;
use crate::decide::snapshot::PoolHealth;
use crate::domain::host::{Host, Step};
use crate::domain::ids::{OwnerName, Pool, Zone};
use crate::domain::time::{Timestamp, after};
use crate::reconcile::calls::Caller;
use crate::reconcile::{Parts, pace, telemetry};
use crate::store::{Fence, HostChange, StoreError};

/// What one tick works with. Times are the database's clock, carried forward by ours.
pub struct Desk<'a> {
    /// The contracts.
    pub parts: &'a Parts,
    /// For every write.
    pub fence: &'a Fence,
    /// The way to mutating calls.
    pub caller: Caller<'a>,
    /// Whose instances these are.
    pub owner: &'a OwnerName,
    /// The fleet's configuration.
    pub fleet: &'a FleetConfig,
    /// Its policy, with places looked up.
    pub policy: Arc<Policy>,
    /// Zones to which the balancer sends no traffic: no attempt is opened there.
    pub unserved: BTreeSet<Zone>,
    /// Whether fresh launch calls may be sent. A refusal for good in the middle of a tick closes it for the rest.
    pub launching: LaunchGate,
    /// The database's clock when the rows were read, and our own time passed at that moment.
    pub(super) clocks: (Timestamp, Duration),
}

/// Whether fresh launch calls may be sent: it may close in the middle of a tick, and does not open again. What may have
/// been done already is asked about all the same.
#[derive(Debug, Default)]
pub struct LaunchGate {
    closed: AtomicBool,
}

impl LaunchGate {
    /// No fresh launch from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether a person paused scale-out, the breaker is open, or the cloud has refused for good in this tick.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

impl Desk<'_> {
    /// The database's clock now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        after(self.clocks.0, self.parts.clock.elapsed().saturating_sub(self.clocks.1))
    }

    /// A pool after one more refusal.
    #[must_use]
    pub fn cooled(&self, earlier: Option<&PoolHealth>, pool: &Pool) -> PoolHealth {
        let launch = &self.fleet.launch;
        let cooldown = (launch.pool_cooldown, launch.pool_cooldown_max);
        pace::pool_refused(earlier, pool.clone(), self.now(), cooldown, &*self.parts.entropy)
    }

    /// Takes one step of a host's life and writes it down. A host that somebody else changed meanwhile, or that cannot
    /// take the step, stays as it is; the next tick looks again.
    pub async fn advance(&self, host: Host, step: Step) -> Result<Host, StoreError> {
        let after = match host.clone().advance(&step, self.now()) {
            Ok(after) => after,
            Err(illegal) => {
                tracing::error!(fleet = %host.fleet, host = %host.id, %illegal, "a step that cannot be taken was asked for");
                return Ok(host);
            }
        };
        let change = HostChange { after, step: Some(step) };
        match self.parts.store.host_advance(self.fence, &change).await {
            Ok(()) => {
                telemetry::host_advanced(&host, &change.after, None);
                Ok(change.after)
            }
            Err(StoreError::Conflict(why)) => {
                tracing::info!(fleet = %host.fleet, host = %host.id, why, "the host changed meanwhile");
                Ok(host)
            }
            Err(error) => Err(error),
        }
    }
}
