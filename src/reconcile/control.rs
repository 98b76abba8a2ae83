//! What the outside may know and ask of the loop while it runs: which configuration is in force, and to look at a fleet
//! sooner.
//!
//! A poke carries no data, like a signal: it ends the wait between two ticks, and the tick looks at the rows. Pokes that
//! come while a tick runs are one poke, so nobody can make a fleet tick faster than it can.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use crate::config::Configuration;
use crate::domain::ids::FleetName;

/// Shared between the loop, which fills it, and whoever serves the outside.
pub struct Control {
    in_force: watch::Sender<Arc<Configuration>>,
    bells: Mutex<BTreeMap<FleetName, Arc<Notify>>>,
}

impl Control {
    /// Before the loop runs: this configuration is in force, and no fleet is looked after.
    #[must_use]
    pub fn new(configuration: Configuration) -> Self {
        Self { in_force: watch::Sender::new(Arc::new(configuration)), bells: Mutex::default() }
    }

    /// The configuration in force.
    #[must_use]
    pub fn configuration(&self) -> Arc<Configuration> {
        Arc::clone(&self.in_force.borrow())
    }

    /// Makes the next tick of a fleet come now, if this process looks after the fleet. Whether it acts is the lease's to
    /// say.
    pub fn poke(&self, fleet: &FleetName) {
        if let Some(bell) = self.bells.lock().unwrap_or_else(PoisonError::into_inner).get(fleet) {
            bell.notify_one();
        }
    }

    /// Another configuration is in force.
    pub(super) fn put_in_force(&self, configuration: &Configuration) {
        self.in_force.send_replace(Arc::new(configuration.clone()));
    }

    /// What ends the wait of a fleet's loop.
    pub(super) fn bell(&self, fleet: &FleetName) -> Arc<Notify> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(bells.entry(fleet.clone()).or_default())
    }

    /// A fleet that this process does not look after any more.
    pub(super) fn forget(&self, fleet: &FleetName) {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner).remove(fleet);
    }
}
