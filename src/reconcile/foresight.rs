//! Keeps a fleet's forecasts fresh, where its policy has a use for them.
//!
//! They are worked out from rows, so that nothing is lost with the process: whoever takes the fleet over makes them anew.
//! They are reckoned beside the tick, a fleet at a time, and no decision waits for them: until they are there, and where
//! they cannot be made, which is a fault that is told, the loop scales by the load that is there, as it does without.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::config::fleet::FleetConfig;
use crate::decide::forecast::history::LoadHistory;
use crate::decide::forecast::{self, Forecasts};
use crate::decide::signal::SignalName;
use crate::domain::time::{Timestamp, after};
use crate::store::{Fence, Store, StoreError};

/// How long after one that failed they are tried again.
const RETRY: Duration = Duration::from_mins(5);
/// Parts of a load's history that are worked out in one look; what is left waits for the next.
const FOLDS_MOST: u32 = 8;
/// Fleets whose forecasts are reckoned at a time, of all that this process holds: each takes a processor for some tenths of
/// a second. Who finds no room tries again at its next tick.
static ROOM: Semaphore = Semaphore::const_new(1);

/// What is known of the load of each signal.
type Histories = BTreeMap<SignalName, LoadHistory>;

/// One fleet's forecasts, as far as this process has made them.
#[derive(Debug, Default)]
pub struct Foresight {
    forecasts: Arc<Forecasts>,
    coming: Coming,
    /// What went wrong, and when.
    failed: Option<(Timestamp, String)>,
}

/// How far the next forecasts are.
#[derive(Debug, Default)]
enum Coming {
    /// Nobody has begun with them.
    #[default]
    NotBegun,
    /// What they are made from was read, and there was no room yet.
    Read(Histories),
    /// They are being reckoned.
    Reckoned(JoinHandle<Forecasts>),
}

impl Foresight {
    /// The forecasts for a decision at `now`, and what kept them from being made. Where it is time for new ones these are
    /// begun, and serve a later decision: none waits for them.
    pub async fn look(
        &mut self,
        store: &dyn Store,
        config: &FleetConfig,
        fence: &Fence,
        (now, boot_time): (Timestamp, Option<Duration>),
    ) -> (Arc<Forecasts>, Option<String>) {
        let lead = forecast::lead(boot_time, config.interval);
        match std::mem::take(&mut self.coming) {
            Coming::Reckoned(reckoned) if reckoned.is_finished() => match reckoned.await {
                Ok(forecasts) => (self.forecasts, self.failed) = (Arc::new(forecasts), None),
                Err(error) => self.fail(now, &error),
            },
            Coming::Reckoned(reckoned) => self.coming = Coming::Reckoned(reckoned),
            Coming::Read(histories) => self.reckon(histories, now, lead),
            Coming::NotBegun if self.is_time(now) => match read(store, config, fence).await {
                Ok(histories) => self.reckon(histories, now, lead),
                Err(error) => self.fail(now, &error),
            },
            Coming::NotBegun => {}
        }
        (Arc::clone(&self.forecasts), self.failed.as_ref().map(|(_, why)| why.clone()))
    }

    fn is_time(&self, now: Timestamp) -> bool {
        let waits = self.failed.as_ref().is_some_and(|(at, _)| now < after(*at, RETRY));
        self.forecasts.are_due(now) && !waits
    }

    fn fail(&mut self, now: Timestamp, why: &dyn std::error::Error) {
        self.failed = Some((now, format!("forecast: {why}")));
    }

    fn reckon(&mut self, histories: Histories, now: Timestamp, lead: Duration) {
        let known = Arc::clone(&self.forecasts);
        if histories.values().all(LoadHistory::is_short) {
            (self.forecasts, self.failed) = (Arc::new(known.renewed(now, &histories, lead)), None);
            return;
        }
        self.coming = match ROOM.try_acquire() {
            Err(_) => Coming::Read(histories),
            Ok(room) => Coming::Reckoned(tokio::task::spawn_blocking(move || {
                let forecasts = known.renewed(now, &histories, lead);
                drop(room);
                forecasts
            })),
        };
    }
}

/// Works out what was observed since the last time, and gives all that is known.
async fn read(store: &dyn Store, config: &FleetConfig, fence: &Fence) -> Result<Histories, StoreError> {
    let signals = config.policy(Vec::new()).forecast_signals();
    for signal in &signals {
        let mut from = None;
        for _ in 0..FOLDS_MOST {
            from = store.loads_fold(fence, signal, from).await?;
            if from.is_none() {
                break;
            }
        }
    }
    histories(store, config, &signals).await
}

/// The forecasts from what is known already, at once and with nothing written: for a preview.
pub async fn as_it_stands(
    store: &dyn Store,
    config: &FleetConfig,
    (now, boot_time): (Timestamp, Option<Duration>),
) -> Result<Forecasts, String> {
    let signals = config.policy(Vec::new()).forecast_signals();
    let lead = forecast::lead(boot_time, config.interval);
    let histories = histories(store, config, &signals).await.map_err(|error| error.to_string())?;
    if histories.values().all(LoadHistory::is_short) {
        return Ok(Forecasts::default().renewed(now, &histories, lead));
    }
    let reckoned = tokio::task::spawn_blocking(move || Forecasts::default().renewed(now, &histories, lead));
    reckoned.await.map_err(|error| error.to_string())
}

/// What is known of the load of each of these signals.
async fn histories(
    store: &dyn Store,
    config: &FleetConfig,
    signals: &BTreeSet<SignalName>,
) -> Result<Histories, StoreError> {
    let mut histories = BTreeMap::new();
    for signal in signals {
        if let Some(history) = LoadHistory::of(store.loads(&config.name, signal).await?) {
            histories.insert(signal.clone(), history);
        }
    }
    Ok(histories)
}
