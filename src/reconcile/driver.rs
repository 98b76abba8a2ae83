//! The only place that spawns: one task a fleet, and the one that watches the configuration.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::Configuration;
use crate::reconcile::Parts;
use crate::reconcile::health::Health;

/// Runs every fleet of the configuration until `stop`, then parks what is in flight and gives the leases back.
/// Returns within the configuration's `shutdown_grace`. `dir` is watched for changes; SIGHUP is `reload`.
pub async fn run(
    _parts: Parts,
    _configuration: Configuration,
    _dir: PathBuf,
    _health: Arc<Health>,
    _reload: Arc<tokio::sync::Notify>,
    _stop: CancellationToken,
) {
}
