//! What every store judges alike. A rule that is written twice is two rules before long, so what needs no database to be
//! said stands here, and both stores ask it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::decide::inputs::Inputs;
use crate::decide::plan::Action;
use crate::decide::policy::Mode;
use crate::domain::failure::{CloudError, FailureClass};
use crate::domain::host::{DrainReason, HostState};
use crate::domain::ids::{FleetName, InstanceId};
use crate::store::{DecisionCommit, HostChange, StoreError};

/// Observations that a fleet keeps at least, and a load gives at most: a window may look at 1000 ticks, and each of them
/// is a kilobyte or so.
pub(super) const WINDOW_MAX: u32 = 5_000;
/// Rows of a kind that one commit takes away at most: after a long rest the old ones go little by little.
pub(super) const PRUNED_MAX: u32 = 1_000;
const SPAN_MAX: Duration = Duration::from_secs(3_200_000_000);
/// Rows that a listing of decisions gives where nobody says how many.
const LIST_DEFAULT: u32 = 100;
/// Rows that a listing of decisions gives at most.
const LIST_MAX: u32 = 10_000;

/// How many rows a listing of decisions gives.
pub(super) fn list_limit(asked: u32) -> u32 {
    if asked == 0 { LIST_DEFAULT } else { asked.min(LIST_MAX) }
}

/// A count as rows keep it: a column holds 31 bits, and nobody means more.
pub(super) fn int(count: u32) -> Result<i32, StoreError> {
    i32::try_from(count).map_err(|_| StoreError::Refused(format!("{count} is more than a count can be")))
}

/// A span as a database's calendar can add it: nobody means more than a century.
pub(super) fn bounded_span(span: Duration) -> Duration {
    span.min(SPAN_MAX)
}

/// At most so many characters of what somebody else wrote, and none that Postgres cannot store.
pub(super) fn bounded(text: &str) -> String {
    text.chars().filter(|&character| character != '\0').take(2_000).collect()
}

/// What a decision was made from, as it is kept.
pub(super) fn inputs(commit: &DecisionCommit) -> Result<Inputs, StoreError> {
    let refused =
        |error| StoreError::Refused(format!("the inputs of decision {} are no JSON: {error}", commit.id));
    commit.basis.inputs().map_err(refused)
}

/// Whether it says only that nothing is done. A dry run never does anything, and would otherwise repeat itself in a row
/// of its own at every tick.
pub(super) fn is_quiet(commit: &DecisionCommit) -> bool {
    let plan = &commit.plan;
    (plan.action == Action::Hold || commit.mode == Mode::DryRun)
        && commit.launches.is_empty()
        && commit.hosts.is_empty()
        && plan.answered.is_empty()
        && (plan.rules_fired.is_empty() || commit.mode == Mode::DryRun)
}

/// What makes two quiet decisions the same.
pub(super) fn signature(commit: &DecisionCommit) -> String {
    format!("{:?} {}", commit.mode, commit.plan.signature())
}

/// Whether a change of size starts the cooldowns: one for the load's or a person's sake does.
pub(super) fn cools(action: Action) -> bool {
    match action {
        Action::ScaleOut | Action::ScaleIn | Action::Manual => true,
        Action::Hold | Action::Repair | Action::Replace => false,
    }
}

/// Hosts that a commit would buy.
pub(super) fn bought(commit: &DecisionCommit) -> i64 {
    commit.launches.iter().map(|launch| i64::from(launch.count)).sum()
}

/// The ceiling is one on machines: a host that drains still runs and still counts, until its termination was sent.
pub(super) fn ceiling(
    fleet: &FleetName,
    commit: &DecisionCommit,
    live: i64,
    reserved: i64,
) -> Result<(), StoreError> {
    let new = bought(commit);
    let (orphans, max) = (i64::from(commit.orphans), i64::from(commit.max));
    if new == 0 || live + reserved + orphans + new <= max {
        return Ok(());
    }
    Err(StoreError::Conflict(format!(
        "fleet {fleet} may not launch {new}: {live} live, {reserved} reserved and {orphans} unowned leave no room for \
         them under its max of {max}"
    )))
}

/// A host that a decision sends away.
pub(super) struct Leaver<'a> {
    pub(super) id: &'a InstanceId,
    reason: DrainReason,
}

/// The hosts that a decision sends away, in its order.
pub(super) fn leavers(commit: &DecisionCommit) -> Vec<Leaver<'_>> {
    let leaver = |change: &'_ HostChange| match &change.after.state {
        HostState::Draining { drain } => Some(drain.reason),
        _ => None,
    };
    let begun = commit.hosts.iter().filter_map(|change| Some((change, leaver(change)?)));
    begun.map(|(change, reason)| Leaver { id: &change.after.id, reason }).collect()
}

/// What the rows say when hosts are sent away.
pub(super) struct Standing<'a> {
    /// Hosts that serve.
    pub(super) healthy: usize,
    /// Of the hosts that are sent away, those that serve.
    pub(super) serving: &'a BTreeSet<InstanceId>,
    /// Of the hosts that are sent away, those that are on their way out already.
    pub(super) leaving: &'a BTreeSet<InstanceId>,
    /// Hosts that were chosen to go within the budget's span.
    pub(super) spent: usize,
}

/// Whether these hosts may be sent away as things stand: the same judgment as the decision's, of the rows that the
/// transaction sees. A host that serves nobody is not kept by the floor, and neither is one that failed.
pub(super) fn departures(
    fleet: &FleetName,
    commit: &DecisionCommit,
    leavers: &[Leaver<'_>],
    standing: &Standing<'_>,
) -> Result<(), StoreError> {
    if let Some(leaver) = leavers.iter().find(|leaver| standing.leaving.contains(leaver.id)) {
        return Err(StoreError::Conflict(format!("host {} is on its way out already", leaver.id)));
    }
    let (count, spent) = (commit.budget.count as usize, standing.spent);
    if !leavers.is_empty() && spent + leavers.len() > count {
        return Err(StoreError::Conflict(format!(
            "fleet {fleet} may not send {} away: {spent} of {count} terminations within {} s are spent",
            leavers.len(),
            commit.budget.per.as_secs()
        )));
    }
    let mut healthy = standing.healthy;
    for leaver in leavers.iter().filter(|leaver| standing.serving.contains(leaver.id)) {
        if is_choice(leaver.reason) && healthy <= commit.min as usize {
            return Err(StoreError::Conflict(format!(
                "host {} of fleet {fleet} may not go ({}): only {healthy} serve, and its min is {}",
                leaver.id, leaver.reason, commit.min
            )));
        }
        healthy = healthy.saturating_sub(1);
    }
    Ok(())
}

/// Whether a host that goes for this reason could as well stay.
fn is_choice(reason: DrainReason) -> bool {
    match reason {
        DrainReason::ScaleIn | DrainReason::Operator | DrainReason::AboveMax => true,
        DrainReason::BootTimeout | DrainReason::Unhealthy => false,
    }
}

/// What a call came to, where outcomes are counted.
pub(super) fn outcome_of(failure: Option<&CloudError>) -> &'static str {
    match failure.map(|error| error.class) {
        None => "ok",
        Some(FailureClass::Throttled) => "throttled",
        Some(FailureClass::Unknown) => "unknown",
        Some(
            FailureClass::Capacity
            | FailureClass::Quota
            | FailureClass::Denied
            | FailureClass::Invalid
            | FailureClass::NotFound
            | FailureClass::TokenMismatch
            | FailureClass::TokenSpent
            | FailureClass::Protected,
        ) => "refused",
    }
}
