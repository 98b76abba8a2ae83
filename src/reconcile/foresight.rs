//! Keeps a fleet's forecasts fresh, where its policy has a use for them.
//!
//! They are worked out from rows, so that nothing is lost with the process: whoever takes the fleet over makes the same
//! ones. A forecast that cannot be made is a fault that is told and nothing more; the loop scales by the load
//! that is there, as it does without one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::fleet::FleetConfig;
use crate::decide::forecast::history::LoadHistory;
use crate::decide::forecast::{self, Forecasts};
use crate::domain::time::{Timestamp, after};
use crate::store::{Fence, Store, StoreError};

/// How long after one that failed they are tried again.
const RETRY: Duration = Duration::from_mins(5);

/// One fleet's forecasts, as far as this process has made them.
#[derive(Debug, Default)]
pub struct Foresight {
    forecasts: Arc<Forecasts>,
    /// What went wrong, and when.
    failed: Option<(Timestamp, String)>,
}

/// Whether what was observed may be worked out first, which is a write.
#[derive(Clone, Copy, Debug)]
pub enum Ground<'a> {
    /// It may, under this fence.
    Renew(&'a Fence),
    /// It is taken as it stands.
    AsItStands,
}

impl Foresight {
    /// The forecasts for a decision at `now`, made anew where it is time, and what kept them from it.
    pub async fn look(
        &mut self,
        store: &dyn Store,
        config: &FleetConfig,
        ground: Ground<'_>,
        (now, boot_time): (Timestamp, Option<Duration>),
    ) -> (Arc<Forecasts>, Option<String>) {
        let waits = self.failed.as_ref().is_some_and(|(at, _)| now < after(*at, RETRY));
        if self.forecasts.are_due(now) && !waits {
            match self.renew(store, config, ground, (now, boot_time)).await {
                Ok(forecasts) => {
                    (self.forecasts, self.failed) = (Arc::new(forecasts), None);
                }
                Err(why) => self.failed = Some((now, format!("forecast: {why}"))),
            }
        }
        (Arc::clone(&self.forecasts), self.failed.as_ref().map(|(_, why)| why.clone()))
    }

    async fn renew(
        &self,
        store: &dyn Store,
        config: &FleetConfig,
        ground: Ground<'_>,
        (now, boot_time): (Timestamp, Option<Duration>),
    ) -> Result<Forecasts, String> {
        let histories = histories(store, config, ground).await.map_err(|error| error.to_string())?;
        let (known, lead) = (Arc::clone(&self.forecasts), forecast::lead(boot_time, config.interval));
        if histories.is_empty() {
            return Ok(known.renewed(now, &histories, lead));
        }
        // Some tenths of a second of reckoning would hold up the other fleets.
        tokio::task::spawn_blocking(move || known.renewed(now, &histories, lead))
            .await
            .map_err(|error| error.to_string())
    }
}

/// What is known of the load of each signal that is to be forecast.
async fn histories(
    store: &dyn Store,
    config: &FleetConfig,
    ground: Ground<'_>,
) -> Result<BTreeMap<String, LoadHistory>, StoreError> {
    let signals = config.policy(Vec::new()).forecast_signals();
    let mut histories = BTreeMap::new();
    if signals.is_empty() {
        return Ok(histories);
    }
    if let Ground::Renew(fence) = ground {
        store.loads_fold(fence, &signals).await?;
    }
    for signal in signals {
        let known = store.loads(&config.name, &signal).await?;
        if let Some(history) = LoadHistory::of(known) {
            histories.insert(signal, history);
        }
    }
    Ok(histories)
}
