//! Decisions as they are listed: newest first, each with how it went, which only its launches and drains can say.

use chrono::TimeDelta;

use crate::decide::plan::Action;
use crate::decide::policy::Mode;
use crate::domain::ids::FleetName;
use crate::domain::launch::LaunchState;
use crate::store::memory::rows::{Decided, DrainOutcome, Rows};
use crate::store::shared::list_limit;
use crate::store::{DecisionFilter, DecisionRow};

/// A run counts as late as its last repetition, and none is longer than this.
const RUN_MAX: TimeDelta = TimeDelta::hours(1);

pub(super) fn list(rows: &Rows, filter: &DecisionFilter) -> Vec<DecisionRow> {
    let fleets =
        rows.fleets.iter().filter(|(name, _)| filter.fleet.as_ref().is_none_or(|only| only == *name));
    let decisions = fleets.flat_map(|(name, row)| row.decisions.iter().map(move |one| (name, one)));
    let mut found: Vec<_> = decisions.filter(|(_, one)| matches(filter, one)).collect();
    // Stable: of those that a standing clock made at the same time, the later one of a fleet stays the newer.
    found.reverse();
    found.sort_by_key(|(_, one)| std::cmp::Reverse(one.at));
    found.truncate(list_limit(filter.limit) as usize);
    found.into_iter().map(|(fleet, one)| row(rows, fleet, one)).collect()
}

fn matches(filter: &DecisionFilter, one: &Decided) -> bool {
    let last_at = one.run.map_or(one.at, |run| run.last_at);
    filter.action.is_none_or(|action| action == one.plan.action)
        && filter.since.is_none_or(|since| one.at >= since - RUN_MAX && last_at >= since)
}

pub(super) fn row(rows: &Rows, fleet: &FleetName, one: &Decided) -> DecisionRow {
    DecisionRow {
        id: one.id,
        at: one.at,
        last_at: one.run.map_or(one.at, |run| run.last_at),
        count: one.run.map_or(1, |run| run.count),
        fleet: fleet.clone(),
        replica: one.replica.clone(),
        epoch: one.epoch,
        plan: one.plan.clone(),
        outcome: outcome(rows, one).to_owned(),
    }
}

/// How one host that a decision meant to buy or send away is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Open,
    Achieved,
    Failed,
}

fn outcome(rows: &Rows, one: &Decided) -> &'static str {
    if one.mode == Mode::DryRun {
        return "dry_run";
    }
    let work = progress(rows, one);
    let plan = &one.plan;
    let starts_nothing =
        plan.launches.is_empty() && plan.drains.is_empty() && plan.cancelled_drains.is_empty();
    if work.contains(&Work::Open) {
        "in_progress"
    } else if !work.is_empty() {
        match (work.contains(&Work::Achieved), work.contains(&Work::Failed)) {
            (true, false) => "done",
            (true, true) => "partial",
            (false, _) => "failed",
        }
    } else if plan.action == Action::Hold {
        "quiet"
    } else if starts_nothing && plan.size_wanted != plan.size_before {
        "held"
    } else {
        "done"
    }
}

fn progress(rows: &Rows, one: &Decided) -> Vec<Work> {
    let mut work = Vec::new();
    for id in &one.launches {
        let bought = rows.bought.get(id).into_iter().flatten().filter_map(|id| rows.hosts.get(id));
        work.extend(bought.map(|row| match &row.host {
            host if host.healthy_at.is_some() => Work::Achieved,
            host if host.state.is_booting() => Work::Open,
            _ => Work::Failed,
        }));
        if let Some(row) = rows.launches.get(id) {
            let launch = &row.launch;
            let is_open = matches!(launch.state, LaunchState::Open { .. });
            let missing = launch.count.saturating_sub(launch.launched) as usize;
            work.extend(std::iter::repeat_n(if is_open { Work::Open } else { Work::Failed }, missing));
        }
    }
    let drains = one.drains.iter().filter_map(|number| rows.drains.get(number));
    work.extend(drains.map(|row| match row.ended {
        None => Work::Open,
        Some((_, DrainOutcome::Cancelled)) => Work::Failed,
        Some((_, DrainOutcome::Terminated | DrainOutcome::Lost)) => Work::Achieved,
    }));
    work
}
