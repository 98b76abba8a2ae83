//! Decisions: what was judged, and in the same transaction everything that follows from it.

use chrono::TimeDelta;

use crate::decide::inputs::Inputs;
use crate::decide::plan::Plan;
use crate::decide::policy::Mode;
use crate::domain::host::{Host, HostState, Step};
use crate::domain::ids::{DecisionId, FleetName};
use crate::domain::time::{Timestamp, before};
use crate::store::history::INPUTS_KEPT;
use crate::store::memory::event::Event;
use crate::store::memory::rows::{Decided, FleetRow, Run};
use crate::store::memory::transaction::Tx;
use crate::store::memory::{fleet, host, launch};
use crate::store::shared::{self, Standing, WINDOW_MAX, bounded, bounded_span, int};
use crate::store::{DecisionCommit, Fence, StoreError};

/// A run of the same quiet decision is no longer than this, so that the inputs in a row are never older.
const RUN_SPAN: TimeDelta = TimeDelta::minutes(15);

pub(super) fn commit(
    tx: &mut Tx<'_>,
    fence: &Fence,
    commit: &DecisionCommit,
) -> Result<Timestamp, StoreError> {
    tx.check(fence)?;
    if let Some(at) = committed_before(tx, fence, commit.id) {
        return Ok(at);
    }
    let now = tx.now;
    let signature = shared::signature(commit);
    if shared::is_quiet(commit) && repeat(tx, fence, commit.id, &signature) {
        observe(tx, fence, &commit.plan);
        return Ok(now);
    }
    check_ceiling(tx, fence, commit)?;
    check_recalls(tx, fence, commit)?;
    check_departures(tx, fence, commit)?;
    ensure_new(tx, commit)?;
    let first_drain = tx.next_drain();
    for change in &commit.hosts {
        host::advance(tx, fence, change, Some(commit.id))?;
    }
    for intent in &commit.launches {
        if intent.decision != commit.id {
            return Err(StoreError::Refused(format!(
                "launch {} is of decision {}",
                intent.id, intent.decision
            )));
        }
        launch::insert(tx, fence, intent)?;
    }
    ensure_asked(tx, &commit.plan)?;
    let inputs = shared::inputs(commit)?;
    // From here on nothing is refused.
    let drains = (first_drain..tx.next_drain()).collect();
    insert(tx, fence, commit, (signature, inputs), drains);
    answer(tx, fence, commit);
    observe(tx, fence, &commit.plan);
    if commit.mode == Mode::Live {
        remember(tx, fence, &commit.plan);
    }
    prune(tx, fence);
    Ok(now)
}

/// When this very commit was made, if it was.
fn committed_before(tx: &Tx<'_>, fence: &Fence, id: DecisionId) -> Option<Timestamp> {
    if let Some((_, at)) = tx.rows.decided.get(&id).filter(|(fleet, _)| *fleet == fence.fleet) {
        return Some(*at);
    }
    let last = tx.rows.fleets.get(&fence.fleet)?.decisions.back()?;
    last.run.filter(|run| run.last_id == id).map(|run| run.last_at)
}

/// Counts a quiet answer with the fleet's last decision, where that was the same; `false`: it was not.
fn repeat(tx: &mut Tx<'_>, fence: &Fence, id: DecisionId, signature: &str) -> bool {
    let now = tx.now;
    let last = tx.rows.fleets.get_mut(&fence.fleet).and_then(|row| row.decisions.back_mut());
    let Some(last) = last
        .filter(|last| last.signature == signature && last.epoch == fence.epoch && last.at > now - RUN_SPAN)
    else {
        return false;
    };
    last.run = Some(match last.run {
        Some(run) => Run { count: run.count + 1, last_at: run.last_at.max(now), last_id: id },
        None => Run { count: 2, last_at: now, last_id: id },
    });
    true
}

fn check_ceiling(tx: &Tx<'_>, fence: &Fence, commit: &DecisionCommit) -> Result<(), StoreError> {
    if shared::bought(commit) == 0 {
        return Ok(());
    }
    let hosts = tx.rows.alive(&fence.fleet);
    let live = hosts.filter(|host| !matches!(host.state, HostState::Terminating { .. })).count();
    let reserved = tx.rows.open_launches(&fence.fleet).map(|launch| i64::from(launch.missing())).sum();
    shared::ceiling(&fence.fleet, commit, i64::try_from(live).unwrap_or(i64::MAX), reserved)
}

/// A drain is taken back only as long as nobody was asked to let the host go.
fn check_recalls(tx: &Tx<'_>, fence: &Fence, commit: &DecisionCommit) -> Result<(), StoreError> {
    let recalled = commit.hosts.iter().filter(|change| change.step == Some(Step::CancelDrain));
    let is_let_go = |id| tx.host(id).is_some_and(|row| fleet::is_let_go(tx.rows, &fence.fleet, row));
    match recalled.map(|change| &change.after.id).find(|id| is_let_go(id)) {
        None => Ok(()),
        Some(id) => Err(StoreError::Conflict(format!("host {id} is being deregistered; its drain goes on"))),
    }
}

/// Who goes may go, and the floor and the budget have room for it.
fn check_departures(tx: &Tx<'_>, fence: &Fence, commit: &DecisionCommit) -> Result<(), StoreError> {
    let leavers = shared::leavers(commit);
    if leavers.is_empty() {
        return Ok(());
    }
    let is_healthy = |host: &Host| matches!(host.state, HostState::Healthy { .. });
    let rows = leavers.iter().filter_map(|leaver| tx.host_of(&fence.fleet, leaver.id));
    let of = |keep: &dyn Fn(&Host) -> bool| {
        rows.clone().map(|row| &row.host).filter(|host| keep(host)).map(|host| host.id.clone()).collect()
    };
    let spent =
        fleet::spent(tx.rows.fleets.get(&fence.fleet), before(tx.now, bounded_span(commit.budget.per)));
    let standing = Standing {
        healthy: tx.rows.alive(&fence.fleet).filter(|host| is_healthy(host)).count(),
        serving: &of(&is_healthy),
        leaving: &of(&|host| host.state.drain().is_some()),
        spent: spent.len(),
    };
    shared::departures(&fence.fleet, commit, &leavers, &standing)
}

fn ensure_new(tx: &Tx<'_>, commit: &DecisionCommit) -> Result<(), StoreError> {
    int(commit.plan.size_before)?;
    int(commit.plan.size_wanted)?;
    match tx.rows.decided.get(&commit.id) {
        None => Ok(()),
        Some((fleet, _)) => Err(StoreError::Refused(format!("decision {} is of fleet {fleet}", commit.id))),
    }
}

fn ensure_asked(tx: &Tx<'_>, plan: &Plan) -> Result<(), StoreError> {
    match plan.answered.iter().find(|answer| !tx.rows.actions.contains_key(&answer.request)) {
        None => Ok(()),
        Some(answer) => Err(StoreError::Refused(format!("nobody made request {}", answer.request))),
    }
}

fn insert(
    tx: &mut Tx<'_>,
    fence: &Fence,
    commit: &DecisionCommit,
    (signature, inputs): (String, Inputs),
    drains: Vec<u64>,
) {
    let mut plan = commit.plan.clone();
    plan.observation = plan.observation.finite();
    let decided = Decided {
        id: commit.id,
        at: tx.now,
        replica: fence.replica.clone(),
        epoch: fence.epoch,
        mode: commit.mode,
        plan,
        signature,
        inputs: Some(inputs),
        run: None,
        launches: commit.launches.iter().map(|launch| launch.id).collect(),
        drains,
    };
    tx.rows.decided.insert(commit.id, (fence.fleet.clone(), tx.now));
    if let Some(row) = tx.rows.fleets.get_mut(&fence.fleet) {
        row.decisions.push_back(decided);
    }
    tx.event(Some(&fence.fleet), Event::Decision(commit.id));
}

/// The first answer to a request stands.
fn answer(tx: &mut Tx<'_>, fence: &Fence, commit: &DecisionCommit) {
    for answer in &commit.plan.answered {
        let now = tx.now;
        let Some(row) = tx.rows.actions.get_mut(&answer.request).filter(|row| row.answer.is_none()) else {
            continue;
        };
        let mut answer = answer.clone();
        answer.because = bounded(&answer.because);
        let (key, fleet) = ((row.at, answer.request), row.action.fleet.clone());
        let request = answer.request;
        row.answer = Some((commit.id, now, answer));
        if let Some(fleet) = tx.rows.fleets.get_mut(&fleet) {
            fleet.unanswered.remove(&key);
        }
        tx.event(Some(&fence.fleet), Event::OperatorAnswered(request));
    }
}

/// Appends to the window.
fn observe(tx: &mut Tx<'_>, fence: &Fence, plan: &Plan) {
    if let Some(row) = tx.rows.fleets.get_mut(&fence.fleet) {
        let at = plan.observation.at;
        row.window.entry(at).or_insert_with(|| plan.observation.clone().finite());
    }
}

/// Sets the size wanted, and starts the cooldowns where the size changed for the load's or a person's sake.
fn remember(tx: &mut Tx<'_>, fence: &Fence, plan: &Plan) {
    let now = tx.now;
    let Some(FleetRow { memory, .. }) = tx.rows.fleets.get_mut(&fence.fleet) else { return };
    let had = memory.desired.unwrap_or(plan.size_before);
    if shared::cools(plan.action) && plan.size_wanted != had {
        memory.last_change = Some(now);
        if plan.size_wanted > had {
            memory.last_scale_out = Some(now);
        }
    }
    memory.desired = Some(plan.size_wanted);
    memory.rules_fired.extend(plan.rules_fired.iter().map(|rule| (rule.clone(), now)));
}

/// Keeps what is old bounded: inputs and the observations that they point at go after two days, but for the newest
/// observations, which a window may need however slow the fleet is.
fn prune(tx: &mut Tx<'_>, fence: &Fence) {
    let old = before(tx.now, INPUTS_KEPT);
    let Some(row) = tx.rows.fleets.get_mut(&fence.fleet) else { return };
    let edge = row.decisions.partition_point(|one| one.at < old);
    for one in row.decisions.range_mut(..edge).rev() {
        if one.inputs.take().is_none() {
            break;
        }
    }
    let Some(edge) = row.window.keys().rev().nth(WINDOW_MAX as usize).copied() else { return };
    row.window = row.window.split_off(&edge.min(old));
}

/// Drops the oldest decisions of a fleet beyond a bound; the newest stays, for the next quiet one to be counted with.
pub(super) fn forget(tx: &mut Tx<'_>, fleet: &FleetName, bound: usize) {
    if let Some(row) = tx.rows.fleets.get_mut(fleet) {
        let surplus = row.decisions.len().saturating_sub(bound.max(1));
        row.decisions.drain(..surplus);
    }
}
