//! An event as it is shown.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::ids::FleetName;
use crate::store::history::EventRecord;

/// One step of a host, a launch, a call, a lease or a person.
#[derive(Debug, Serialize, ToSchema)]
pub struct Event {
    /// The fleet; null: the service itself.
    pub fleet: Option<FleetName>,
    /// Its place among the fleet's events, from 1, without gaps.
    pub seq: i64,
    /// When.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub at: DateTime<Utc>,
    /// What: `host`, `launch_opened`, `decision`, `cloud_call`, `operator_action`, …
    pub kind: String,
    /// To what: an instance, a launch, an attempt, a pool, or the id of a decision, a call or an action.
    pub subject: String,
    /// The state after it, or the digest of the row that it stands for.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

impl From<EventRecord> for Event {
    fn from(record: EventRecord) -> Self {
        Self {
            fleet: record.fleet,
            seq: record.seq,
            at: record.at,
            kind: record.kind,
            subject: record.subject,
            data: record.data,
        }
    }
}
