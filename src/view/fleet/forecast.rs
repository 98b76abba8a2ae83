//! What is expected of a fleet's load, as the newest decision saw it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::decide::plan::Plan;

/// How decisions name a forecast among what was recommended.
const SOURCE: &str = "forecast ";

/// What one target's forecast said.
#[derive(Debug, Serialize, ToSchema)]
pub struct ForecastStatus {
    /// The target.
    pub target: String,
    /// The size that it would like for the load that is expected; null: it says nothing, or is not followed.
    pub size: Option<u32>,
    /// Why, or why it is not followed.
    pub because: String,
}

impl ForecastStatus {
    /// Of every target that has one, in the order of the file.
    pub(super) fn all(plan: &Plan) -> Vec<Self> {
        let of_targets = plan.recommendations.iter().filter_map(|one| {
            let target = one.source.strip_prefix(SOURCE)?.to_owned();
            Some(Self { target, size: one.size, because: one.because.clone() })
        });
        of_targets.collect()
    }

    /// In one line.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{}: {}", self.target, self.because)
    }
}
