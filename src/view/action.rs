//! What a person did or asked for, as it is shown.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::decide::plan::Granted;
use crate::domain::ids::{DecisionId, FleetName, InstanceId, OperatorActionId};
use crate::domain::time::after;
use crate::store::history::ActionRecord;
use crate::store::{Direction, OperatorActionKind};

/// Something that a person did or asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActionRow {
    /// Its id.
    pub action_id: OperatorActionId,
    /// When it was recorded.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub at: DateTime<Utc>,
    /// On which fleet.
    pub fleet: FleetName,
    /// What: `pause`, `resume`, `set_size`, `drain` or `evaluate`.
    pub action: &'static str,
    /// Who.
    pub actor: String,
    /// Why, in their words.
    pub reason: String,
    /// Of a pause: `out`, `in` or `both`.
    pub direction: Option<&'static str>,
    /// Of a pause: when it ends by itself; null: when somebody resumes.
    #[serde(serialize_with = "crate::domain::time::json::optional")]
    pub until: Option<DateTime<Utc>>,
    /// Of set_size: the size asked for.
    pub size: Option<u32>,
    /// Of drain: the host.
    pub instance_id: Option<InstanceId>,
    /// `done`, `pending` (the next decision answers it), `granted`, or `refused` (by a guard).
    pub outcome: &'static str,
    /// What the decision said to it; null: none has, or it needs none.
    pub answer: Option<ActionAnswer>,
}

/// What a decision said to a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActionAnswer {
    /// The decision.
    pub decision_id: DecisionId,
    /// When.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub at: DateTime<Utc>,
    /// The sentence.
    pub because: String,
}

impl From<ActionRecord> for ActionRow {
    fn from(record: ActionRecord) -> Self {
        let ActionRecord { at, action, answer } = record;
        let kind = action.kind.name();
        let (mut direction, mut until, mut size, mut instance_id) = (None, None, None, None);
        let mut waits = false;
        match action.kind {
            OperatorActionKind::Pause { direction: which, span } => {
                direction = Some(match which {
                    Direction::Out => "out",
                    Direction::In => "in",
                    Direction::Both => "both",
                });
                until = span.map(|span| after(at, span));
            }
            OperatorActionKind::SetSize(wanted) => (size, waits) = (Some(wanted), true),
            OperatorActionKind::Drain(host) => (instance_id, waits) = (Some(host), true),
            OperatorActionKind::Resume | OperatorActionKind::Evaluate => {}
        }
        let outcome = match answer.as_ref().map(|(_, _, answer)| answer.granted) {
            Some(Granted::Yes) => "granted",
            Some(Granted::No) => "refused",
            None if waits => "pending",
            None => "done",
        };
        let answer =
            answer.map(|(decision_id, at, answer)| ActionAnswer { decision_id, at, because: answer.because });
        Self {
            action_id: action.id,
            at,
            fleet: action.fleet,
            action: kind,
            actor: action.actor,
            reason: action.reason,
            direction,
            until,
            size,
            instance_id,
            outcome,
            answer,
        }
    }
}
