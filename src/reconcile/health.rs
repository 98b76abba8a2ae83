//! Whether the service is fit to act, and if not, what is missing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::ids::FleetName;

/// A held fleet whose last good tick is older than so many intervals, and than [`TICK_AGE_MIN`], is not being looked after.
const TICKS_MISSED_MAX: u32 = 5;
/// See [`TICKS_MISSED_MAX`].
const TICK_AGE_MIN: Duration = Duration::from_secs(30);

/// Shared between the loop, which writes it, and `/readyz`, which reads it.
pub struct Health {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None`: not asked yet.
    database: Option<Result<(), String>>,
    fleets: BTreeMap<FleetName, FleetHealth>,
}

#[derive(Debug)]
struct FleetHealth {
    interval: Duration,
    /// Our own time passed then.
    last_tick: Duration,
    error: Option<String>,
    /// Whether a tick has ended well since this process looks after the fleet.
    ever: bool,
}

impl Health {
    /// Nothing is known yet, so nothing is ready.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// What is missing, one line for a person each; empty: ready.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let now = self.clock.elapsed();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match &state.database {
            None => Some("database: not reached yet".to_owned()),
            Some(Err(why)) => Some(format!("database: {why}")),
            Some(Ok(())) => None,
        };
        let fleets = state.fleets.iter().filter_map(|(name, fleet)| {
            let age = now.saturating_sub(fleet.last_tick);
            let late = age > TICK_AGE_MIN.max(fleet.interval * TICKS_MISSED_MAX);
            let why = fleet.error.as_deref().unwrap_or("the loop does not come round");
            if !fleet.ever {
                return Some(format!("fleet {name}: no tick has ended well yet: {why}"));
            }
            late.then(|| format!("fleet {name}: no good tick for {} s: {why}", age.as_secs()))
        });
        database.into_iter().chain(fleets).collect()
    }

    /// What the database said when it was asked last.
    pub fn database(&self, answer: Result<(), String>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).database = Some(answer);
    }

    /// A fleet that this process is about to look after: not ready until a tick of it has ended well.
    pub fn expect(&self, fleet: &FleetName, interval: Duration) {
        let last_tick = self.clock.elapsed();
        let entry = FleetHealth { interval, last_tick, error: None, ever: false };
        self.state.lock().unwrap_or_else(PoisonError::into_inner).fleets.insert(fleet.clone(), entry);
    }

    /// A fleet's loop has come round, well or not.
    pub fn ticked(&self, fleet: &FleetName, interval: Duration, outcome: Result<(), String>) {
        let now = self.clock.elapsed();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = state.fleets.entry(fleet.clone()).or_insert(FleetHealth {
            interval,
            last_tick: now,
            error: None,
            ever: false,
        });
        entry.interval = interval;
        match outcome {
            Ok(()) => (entry.last_tick, entry.error, entry.ever) = (now, None, true),
            Err(why) => entry.error = Some(why),
        }
    }

    /// A fleet that this process does not look after any more.
    pub fn forget(&self, fleet: &FleetName) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).fleets.remove(fleet);
    }
}
