//! One observe and decide with nothing changed: what `plan` prints.

use crate::config::fleet::FleetConfig;
use crate::decide::{Plan, Snapshot};
use crate::domain::failure::CloudError;
use crate::domain::ids::OwnerName;
use crate::reconcile::Parts;
use crate::store::StoreError;

/// Why nothing could be previewed.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The cloud did not tell what the fleet's configuration refers to.
    #[error("the cloud was asked and said: {0}")]
    Cloud(#[from] CloudError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Observes one fleet as its loop would and decides. Writes nothing, sends no mutating call, takes no lease.
pub async fn preview(
    _parts: &Parts,
    _owner: &OwnerName,
    _fleet: &FleetConfig,
) -> Result<(Snapshot, Plan), PreviewError> {
    Err(PreviewError::Store(StoreError::Schema("not built yet".to_owned())))
}
