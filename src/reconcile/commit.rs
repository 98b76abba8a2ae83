//! A plan, written down as intents before anything is asked of the cloud.
//!
//! Nothing is left to choose afterwards: zone, subnet, type, template version, tags, count and token are in the rows that
//! this transaction commits, so whoever executes them, now or after a crash, sends the same bytes.

use std::sync::Arc;

use crate::decide::inputs::Basis;
use crate::decide::plan::PlannedLaunch;
use crate::decide::policy::Mode;
use crate::decide::{Plan, Snapshot};
use crate::domain::host::{Drain, Host, Step};
use crate::domain::ids::{AttemptId, DecisionId, InstanceId, LaunchId};
use crate::domain::launch::{Attempt, Launch, LaunchState, LaunchTemplate};
use crate::domain::tags;
use crate::reconcile::desk::Desk;
use crate::reconcile::scene::Scene;
use crate::reconcile::{references, telemetry};
use crate::store::{DecisionCommit, DrainBudget, HostChange, StoreError};

/// Whether a decision is in the rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Committed {
    /// It is.
    Yes {
        /// Under which id.
        decision: DecisionId,
        /// Every host that is not final, as of now.
        hosts: Vec<Host>,
        /// Every open intent, as of now.
        launches: Vec<Launch>,
        /// The size wanted from now on.
        desired: u32,
    },
    /// Something it was judged by has changed meanwhile; the next tick judges anew.
    No {
        /// What.
        why: String,
    },
}

/// Commits a plan.
pub async fn commit(
    desk: &Desk<'_>,
    scene: &Scene,
    snapshot: &Arc<Snapshot>,
    plan: &Plan,
) -> Result<Committed, StoreError> {
    let id = DecisionId(desk.parts.entropy.uuid());
    let mut plan = plan.clone();
    let mut basis = Basis { snapshot: Arc::clone(snapshot), withheld: None };
    let (launches, drains) = match desk.fleet.mode {
        Mode::DryRun => (Vec::new(), Vec::new()),
        Mode::Live => {
            let launches = intents(desk, id, &plan).await.unwrap_or_else(|why| {
                plan.withhold_launches(&why);
                basis.withheld = Some(why);
                Vec::new()
            });
            (launches, host_changes(desk, scene, snapshot, &plan))
        }
    };
    // The bounds that it was judged by: a schedule may have ended a moment later.
    let bounds = snapshot.policy.bounds(snapshot.now);
    let commit = DecisionCommit {
        id,
        mode: desk.fleet.mode,
        launches: launches.clone(),
        hosts: drains.clone(),
        max: bounds.max,
        orphans: scene.orphans,
        min: bounds.min,
        budget: DrainBudget { count: desk.policy.safety.budget_count, per: desk.policy.safety.budget_per },
        plan,
        basis,
    };
    match desk.parts.store.decision_commit(desk.fence, &commit).await {
        Ok(_) => Ok(Committed::Yes {
            decision: id,
            hosts: with_changes(&scene.stored.hosts, drains, id),
            launches: scene.stored.launches.iter().cloned().chain(launches).collect(),
            desired: commit.plan.size_wanted,
        }),
        Err(StoreError::Conflict(why)) => {
            tracing::warn!(fleet = %desk.fleet.name, why, "the decision was not committed; the next tick judges anew");
            Ok(Committed::No { why })
        }
        Err(error) => Err(error),
    }
}

/// The plan's launches as intents, each with its first attempt. Without a template version there is nothing to freeze:
/// the launches wait for a later tick, and the observation says why.
async fn intents(desk: &Desk<'_>, decision: DecisionId, plan: &Plan) -> Result<Vec<Launch>, String> {
    if plan.launches.is_empty() {
        return Ok(Vec::new());
    }
    let version = references::template_version(&*desk.parts.cloud, desk.fleet).await;
    let version = version.map_err(|error| format!("launch template: {error}; nothing could be launched"))?;
    Ok(plan.launches.iter().map(|planned| intent(desk, decision, planned, version)).collect())
}

fn intent(desk: &Desk<'_>, decision: DecisionId, planned: &PlannedLaunch, version: u64) -> Launch {
    let id = LaunchId(desk.parts.entropy.uuid());
    let settings = &desk.fleet.launch;
    let created_at = desk.now();
    let template = LaunchTemplate {
        template: settings.template.clone(),
        version,
        market: settings.market,
        tags: tags::of_launch(desk.owner, &desk.fleet.name, id, created_at, &settings.tags),
    };
    let state = LaunchState::Open { attempt: None };
    let fleet = desk.fleet.name.clone();
    let mut launch = Launch {
        id,
        fleet,
        decision,
        count: planned.count,
        template,
        launched: 0,
        attempts: 0,
        state,
        created_at,
    };
    let attempt_id = AttemptId(desk.parts.entropy.uuid());
    let (pool, subnet) = (planned.pool.clone(), planned.subnet.clone());
    let attempt = Attempt::open(&launch, attempt_id, pool, subnet, planned.count, created_at);
    launch.attempts = 1;
    launch.state = LaunchState::Open { attempt: Some(Box::new(attempt)) };
    launch
}

/// The plan's drains, begun and taken back, as changes of state at the versions they were judged at.
fn host_changes(desk: &Desk<'_>, scene: &Scene, snapshot: &Snapshot, plan: &Plan) -> Vec<HostChange> {
    let at = desk.now();
    let find = |id: &InstanceId| snapshot.hosts.iter().map(|view| &view.host).find(|host| host.id == *id);
    let begun = plan.drains.iter().filter_map(|planned| {
        let groups = scene.groups.to_leave(&desk.fleet.balancer.target_groups, &planned.host);
        let drain = Drain { reason: planned.reason, started_at: at, groups };
        find(&planned.host).map(|host| (host, Step::BeginDrain { drain }))
    });
    let cancelled =
        plan.cancelled_drains.iter().filter_map(|id| find(id).map(|host| (host, Step::CancelDrain)));
    begun
        .chain(cancelled)
        .filter_map(|(host, step)| match host.clone().advance(&step, at) {
            Ok(after) => Some(HostChange { after, step: Some(step) }),
            Err(illegal) => {
                tracing::error!(fleet = %host.fleet, host = %host.id, %illegal, "the plan asks for a step that cannot be taken");
                None
            }
        })
        .collect()
}

fn with_changes(hosts: &[Host], changes: Vec<HostChange>, decision: DecisionId) -> Vec<Host> {
    let mut hosts = hosts.to_vec();
    for change in changes {
        if let Some(host) = hosts.iter_mut().find(|host| host.id == change.after.id) {
            telemetry::host_advanced(host, &change.after, Some(decision));
            *host = change.after;
        }
    }
    hosts
}
