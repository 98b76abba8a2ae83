//! How many fleets this replica should hold, and which it may take or must let go.
//!
//! Every replica reckons alone, from how many live and how the leases stand: its share is the fleets divided by the
//! replicas, rounded up. Below it, it takes what is free; above it, it gives some back between two ticks. Nothing here is
//! a right: a lease is taken or refused in the store. So a wrong count costs fairness and a moment, never a second holder,
//! and a fleet that stays free for a whole lease is taken by whoever sees it, share or not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::ids::{FleetName, ReplicaId};
use crate::store::Muster;

/// A fleet that nobody took is kept for so many leases: whoever should have it evidently cannot, and giving it back at
/// once would leave it without a holder every other moment.
const RESCUED_LEASES_KEPT: u32 = 20;

/// What this process knows of the fleets and of the replicas that share them.
pub struct Roster {
    clock: Arc<dyn Clock>,
    lease: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    fleets: BTreeMap<FleetName, Standing>,
    heard: Option<Heard>,
}

/// The last word of the store, on our own clock.
#[derive(Debug)]
struct Heard {
    at: Duration,
    replicas: usize,
    /// Fleets beyond our share that have not been let go since.
    surplus: usize,
}

/// One fleet, as far as this replica knows. Times are our own time passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Another replica holds it.
    Theirs,
    /// Nobody has held it since then.
    Free { since: Duration },
    /// We hold it or are asking for it, and do not let go of it before then.
    Ours { kept_until: Duration },
}

impl State {
    fn ours(&self) -> usize {
        self.fleets.values().filter(|standing| matches!(standing, Standing::Ours { .. })).count()
    }

    fn share(&self, replicas: usize) -> usize {
        self.fleets.len().div_ceil(replicas.max(1))
    }
}

impl Roster {
    /// Knows no fleet and no replica yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, lease: Duration) -> Self {
        Self { clock, lease, state: Mutex::default() }
    }

    /// A fleet of the configuration.
    pub fn expect(&self, fleet: &FleetName) {
        let since = self.clock.elapsed();
        self.state().fleets.entry(fleet.clone()).or_insert(Standing::Free { since });
    }

    /// A fleet that the configuration has no more.
    pub fn forget(&self, fleet: &FleetName) {
        self.state().fleets.remove(fleet);
    }

    /// Takes in what the store says.
    pub fn hear(&self, muster: &Muster, us: &ReplicaId) {
        let at = self.clock.elapsed();
        let mut state = self.state();
        for (name, standing) in &mut state.fleets {
            let theirs = muster
                .leases
                .get(name)
                .is_some_and(|lease| lease.expires_at > muster.now && lease.holder != *us);
            *standing = match *standing {
                Standing::Ours { kept_until } => Standing::Ours { kept_until },
                _ if theirs => Standing::Theirs,
                Standing::Theirs => Standing::Free { since: at },
                Standing::Free { since } => Standing::Free { since },
            };
        }
        let replicas = muster.replicas.len();
        let surplus = state.ours().saturating_sub(state.share(replicas));
        state.heard = Some(Heard { at, replicas, surplus });
    }

    /// Whether asking for this fleet's lease is our business now.
    #[must_use]
    pub fn offers(&self, fleet: &FleetName) -> bool {
        self.offer(&self.state(), fleet).is_some()
    }

    /// The same, and counts the fleet as ours from now on; [`Roster::settle`] says what came of it.
    #[must_use]
    pub fn claim(&self, fleet: &FleetName) -> bool {
        let mut state = self.state();
        let Some(offer) = self.offer(&state, fleet) else { return false };
        state.fleets.insert(fleet.clone(), offer);
        true
    }

    /// What came of asking, or of keeping.
    pub fn settle(&self, fleet: &FleetName, held: bool) {
        if let Some(standing) = self.state().fleets.get_mut(fleet)
            && !held
            && matches!(standing, Standing::Ours { .. })
        {
            *standing = Standing::Theirs;
        }
    }

    /// Whether to give this fleet of ours to somebody who has fewer. It counts as given when this says so.
    #[must_use]
    pub fn lets_go(&self, fleet: &FleetName) -> bool {
        let now = self.clock.elapsed();
        let mut state = self.state();
        let Some(Standing::Ours { kept_until }) = state.fleets.get(fleet).copied() else { return false };
        let Some(heard) = state.heard.as_mut() else { return false };
        if heard.surplus == 0 || kept_until > now || now.saturating_sub(heard.at) > self.lease {
            return false;
        }
        heard.surplus -= 1;
        state.fleets.insert(fleet.clone(), Standing::Free { since: now });
        true
    }

    /// What the fleet would be to us if we asked for it now; `None`: it is not for us to ask.
    fn offer(&self, state: &State, fleet: &FleetName) -> Option<Standing> {
        let standing = *state.fleets.get(fleet)?;
        let now = self.clock.elapsed();
        let taken = Standing::Ours { kept_until: now };
        let heard = state.heard.as_ref().filter(|heard| now.saturating_sub(heard.at) <= self.lease);
        let Some(heard) = heard else {
            // Nobody told us anything of late, so there is nothing to divide by.
            return Some(taken);
        };
        match standing {
            ours @ Standing::Ours { .. } => Some(ours),
            Standing::Free { .. } if state.ours() < state.share(heard.replicas) => Some(taken),
            Standing::Free { since } if now.saturating_sub(since) > self.lease => {
                Some(Standing::Ours { kept_until: now + self.lease * RESCUED_LEASES_KEPT })
            }
            Standing::Theirs | Standing::Free { .. } => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests;
