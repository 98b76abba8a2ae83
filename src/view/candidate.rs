//! How a policy that is tried beside the one in force would have done, as it is shown.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::ids::DecisionId;
use crate::store::history::CandidateTally;

/// How often a candidate wanted another size than was decided. Both were asked with the same observation, each time.
#[derive(Debug, Serialize, ToSchema)]
pub struct CandidateRow {
    /// Its name.
    pub name: String,
    /// When the oldest of the decisions that are counted was first made.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub since: DateTime<Utc>,
    /// How often it was asked.
    pub evaluations: i64,
    /// How often it wanted more hosts than were wanted.
    pub larger: i64,
    /// How often it wanted fewer.
    pub smaller: i64,
    /// Hosts that it wanted more than were wanted, on average over all evaluations; negative: fewer.
    pub hosts_more: f64,
    /// When it last differed; null: it never did.
    #[serde(serialize_with = "crate::domain::time::json::optional")]
    pub differed_at: Option<DateTime<Utc>>,
    /// The decision from which it last differed; null: it never did.
    pub differed_decision_id: Option<DecisionId>,
}

impl From<CandidateTally> for CandidateRow {
    fn from(tally: CandidateTally) -> Self {
        let (decision, at) = tally.differed.unzip();
        Self {
            name: tally.name,
            since: tally.since,
            evaluations: tally.evaluations,
            larger: tally.larger,
            smaller: tally.smaller,
            hosts_more: tally.hosts_more,
            differed_at: at,
            differed_decision_id: decision,
        }
    }
}
