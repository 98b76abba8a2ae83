//! A decision as it is shown: in brief in lists, and in full with the calls that followed from it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::decide::plan::{
    Action, Answer, CandidatePlan, Effect, Guard, PlannedDrain, PlannedLaunch, ReasonCode, Recommendation,
    Verdict,
};
use crate::decide::signal::Observation;
use crate::decide::snapshot::CloudView;
use crate::domain::ids::{
    CallId, DecisionId, Epoch, FleetName, InstanceId, LaunchId, ReplicaId, TargetGroupArn, Zone,
};
use crate::domain::operation::Operation;
use crate::domain::time::since;
use crate::store::DecisionRow;
use crate::store::history::{CallRecord, DecisionHead};

/// Reads the name of an action; dashes are taken for underscores.
pub fn parse_action(text: &str) -> Result<Action, String> {
    let wanted = text.replace('-', "_");
    Action::ALL.into_iter().find(|action| action.as_str() == wanted).ok_or_else(|| {
        let known = Action::ALL.map(Action::as_str).join(", ");
        format!("there is no such action; one of {known}")
    })
}

/// A decision in brief.
#[derive(Debug, Serialize, ToSchema)]
pub struct DecisionSummary {
    /// Its id.
    pub decision_id: DecisionId,
    /// When it was first made.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub at: DateTime<Utc>,
    /// When it was last made again, unchanged.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub last_at: DateTime<Utc>,
    /// How often it was made: quiet decisions that repeat themselves are one.
    pub count: i64,
    /// The fleet.
    pub fleet: FleetName,
    /// The process that made it.
    pub replica: ReplicaId,
    /// The number of the lease it was made under.
    pub epoch: Epoch,
    /// In which direction, and on whose account.
    pub action: Action,
    /// Hosts that served or were on their way, before it.
    pub size_before: u32,
    /// The size wanted from then on.
    pub size_wanted: u32,
    /// How it went: `quiet` (nothing to do), `in_progress`, `done`, `partial`, `failed`, `dry_run`, or `held` (a change
    /// is wanted, and nothing could be started).
    pub outcome: String,
    /// What kind of reason it has.
    pub code: ReasonCode,
    /// Why, in one sentence.
    pub reason: String,
    /// Guards that refused something, in their order.
    pub refused_by: Vec<Guard>,
}

impl From<&DecisionRow> for DecisionSummary {
    fn from(row: &DecisionRow) -> Self {
        Self {
            decision_id: row.id,
            at: row.at,
            last_at: row.last_at,
            count: row.count,
            fleet: row.fleet.clone(),
            replica: row.replica.clone(),
            epoch: row.epoch,
            action: row.plan.action,
            size_before: row.plan.size_before,
            size_wanted: row.plan.size_wanted,
            outcome: row.outcome.clone(),
            code: row.plan.code,
            reason: row.plan.reason.clone(),
            refused_by: refusing(&row.plan.verdicts),
        }
    }
}

fn refusing(verdicts: &[Verdict]) -> Vec<Guard> {
    verdicts.iter().filter(|said| said.effect == Effect::Refuse).map(|said| said.guard).collect()
}

impl From<&DecisionHead> for DecisionSummary {
    fn from(head: &DecisionHead) -> Self {
        Self {
            decision_id: head.id,
            at: head.at,
            last_at: head.last_at,
            count: head.count,
            fleet: head.fleet.clone(),
            replica: head.replica.clone(),
            epoch: head.epoch,
            action: head.action,
            size_before: head.size_before,
            size_wanted: head.size_wanted,
            outcome: head.outcome.clone(),
            code: head.code,
            reason: head.reason.clone(),
            refused_by: head.refused_by.clone(),
        }
    }
}

/// A decision in full, under the names that the audit view gives its columns.
#[derive(Debug, Serialize, ToSchema)]
pub struct Decision {
    /// Its id.
    pub decision_id: DecisionId,
    /// When it was first made.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub at: DateTime<Utc>,
    /// When it was last made again, unchanged.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub last_at: DateTime<Utc>,
    /// How often it was made: quiet decisions that repeat themselves are one.
    pub count: i64,
    /// The fleet.
    pub fleet: FleetName,
    /// The process that made it.
    pub replica: ReplicaId,
    /// The number of the lease it was made under.
    pub epoch: Epoch,
    /// In which direction, and on whose account.
    pub action: Action,
    /// Hosts that served or were on their way, before it.
    pub size_before: u32,
    /// The size wanted from then on.
    pub size_wanted: u32,
    /// What kind of reason it has.
    pub code: ReasonCode,
    /// Why, in one sentence.
    pub reason: String,
    /// How it went: `quiet` (nothing to do), `in_progress`, `done`, `partial`, `failed`, `dry_run`, or `held` (a change
    /// is wanted, and nothing could be started).
    pub outcome: String,
    /// What it was made from. Of a decision that was repeated: at the first time.
    pub inputs: Observation,
    /// What each rule, target and request would have liked, in a fixed order.
    pub recommendations: Vec<Recommendation>,
    /// What each guard said, in their order.
    pub verdicts: Vec<Verdict>,
    /// What was to be bought, by place.
    pub launches: Vec<PlannedLaunch>,
    /// Which hosts were to go, and why.
    pub drains: Vec<PlannedDrain>,
    /// Hosts whose drain was taken back.
    pub cancelled_drains: Vec<InstanceId>,
    /// Rules whose action is part of the outcome.
    pub rules_fired: Vec<String>,
    /// Guards that refused something, in their order.
    pub refused_by: Vec<Guard>,
    /// Requests that it answered.
    pub answered: Vec<Answer>,
    /// Whether the cloud could be seen.
    pub cloud: CloudView,
    /// What candidates would have done in its place. None of it was done.
    pub candidates: Vec<CandidatePlan>,
}

impl From<DecisionRow> for Decision {
    fn from(row: DecisionRow) -> Self {
        let plan = row.plan;
        Self {
            decision_id: row.id,
            at: row.at,
            last_at: row.last_at,
            count: row.count,
            fleet: row.fleet,
            replica: row.replica,
            epoch: row.epoch,
            action: plan.action,
            size_before: plan.size_before,
            size_wanted: plan.size_wanted,
            code: plan.code,
            reason: plan.reason,
            outcome: row.outcome,
            inputs: plan.observation,
            recommendations: plan.recommendations,
            refused_by: refusing(&plan.verdicts),
            verdicts: plan.verdicts,
            launches: plan.launches,
            drains: plan.drains,
            cancelled_drains: plan.cancelled_drains,
            rules_fired: plan.rules_fired,
            answered: plan.answered,
            cloud: plan.cloud,
            candidates: plan.candidates,
        }
    }
}

/// A decision in full, with what followed.
#[derive(Debug, Serialize, ToSchema)]
pub struct DecisionDetail {
    /// The decision.
    #[serde(flatten)]
    pub decision: Decision,
    /// The mutating calls to the cloud that followed from it, oldest first, at most 1,000.
    pub calls: Vec<Call>,
}

/// A mutating call to the cloud. It was written down before it was sent.
#[derive(Debug, Serialize, ToSchema)]
pub struct Call {
    /// Its id.
    pub call_id: CallId,
    /// When it was written down, just before it was sent.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub at: DateTime<Utc>,
    /// Which operation, by the name that AWS gives it.
    pub op: Operation,
    /// The launch it is for.
    pub launch_id: Option<LaunchId>,
    /// 1 for the first call with this token or of this step, 2 for its first repetition.
    pub attempt: u32,
    /// The instances it names, or, of RunInstances, gave.
    pub instance_ids: Vec<InstanceId>,
    /// The target group it names.
    pub target_group: Option<TargetGroupArn>,
    /// The availability zone it asked in.
    pub zone: Option<Zone>,
    /// `ok`, `refused`, `throttled`, `unknown` (nobody can say whether it did its work), or `pending`: no answer yet.
    pub outcome: String,
    /// The cloud's own code.
    pub error_code: Option<String>,
    /// The cloud's own words.
    pub error_message: Option<String>,
    /// The cloud's id of the request; quote it to AWS support.
    pub request_id: Option<String>,
    /// Seconds until its outcome was written down; null: no answer yet.
    pub answered_after_seconds: Option<f64>,
}

impl From<CallRecord> for Call {
    fn from(call: CallRecord) -> Self {
        Self {
            call_id: call.id,
            at: call.at,
            op: call.op,
            launch_id: call.launch,
            attempt: call.ordinal,
            instance_ids: call.instances,
            target_group: call.target_group,
            zone: call.zone,
            outcome: call.outcome,
            error_code: call.error_code,
            error_message: call.error_message,
            request_id: call.request_id,
            answered_after_seconds: call.answered_at.map(|end| since(end, call.at).as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_taken_with_either_dash() {
        assert_eq!(parse_action("scale-in").unwrap(), Action::ScaleIn);
        assert_eq!(parse_action("scale_in").unwrap(), Action::ScaleIn);
        assert!(parse_action("explode").unwrap_err().contains("repair"));
    }
}
