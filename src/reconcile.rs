//! The loop: observe, decide, act.

pub mod driver;
pub mod health;
pub mod preview;

use std::sync::Arc;

use crate::clock::Clock;
use crate::domain::ids::ReplicaId;
use crate::entropy::Entropy;
use crate::provider::CloudProvider;
use crate::signals::SignalSource;
use crate::store::Store;

/// What the loop is made of: the contracts, whoever implements them.
#[derive(Clone)]
pub struct Parts {
    /// This process.
    pub replica: ReplicaId,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The cloud.
    pub cloud: Arc<dyn CloudProvider>,
    /// Measured numbers.
    pub signals: Arc<dyn SignalSource>,
    /// Memory.
    pub store: Arc<dyn Store>,
}
