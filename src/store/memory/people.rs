//! What people did and what they try: their actions, and how often a candidate wanted another size than was decided.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::decide::plan::CandidatePlan;
use crate::domain::ids::OperatorActionId;
use crate::domain::time::Timestamp;
use crate::store::history::{ActionQuery, ActionRecord, CandidateTally, TallyQuery, VIA};
use crate::store::memory::rows::{ActionRow, Decided, Rows};
use crate::store::shared::list_limit;

/// A run counts as late as its last repetition, and none is longer than this.
const RUN_MAX: TimeDelta = TimeDelta::hours(1);

pub(super) fn action(rows: &Rows, id: OperatorActionId) -> Option<ActionRecord> {
    rows.actions.get(&id).map(record)
}

fn record(row: &ActionRow) -> ActionRecord {
    ActionRecord { at: row.at, action: row.action.clone(), answer: row.answer.clone() }
}

pub(super) fn actions(rows: &Rows, query: &ActionQuery) -> Vec<ActionRecord> {
    let by = |actor: &str, name: &str| {
        actor == name
            || actor.starts_with(&format!("{name}{VIA}"))
            || actor.ends_with(&format!("{VIA}{name}"))
    };
    let wanted = |row: &&ActionRow| {
        query.fleet.as_ref().is_none_or(|only| *only == row.action.fleet)
            && query.actor.as_ref().is_none_or(|only| by(&row.action.actor, only))
            && query.since.is_none_or(|since| row.at >= since)
            && query.until.is_none_or(|until| row.at < until)
            && (query.kinds.is_empty() || query.kinds.iter().any(|kind| kind == row.action.kind.name()))
            && query.after.is_none_or(|after| (row.at, row.action.id) < after)
    };
    let mut found: Vec<_> = rows.actions.values().filter(wanted).collect();
    found.sort_by_key(|row| std::cmp::Reverse((row.at, row.action.id)));
    found.truncate(list_limit(query.limit) as usize);
    found.into_iter().map(record).collect()
}

pub(super) fn tallies(rows: &Rows, query: &TallyQuery) -> Vec<CandidateTally> {
    let Some(fleet) = rows.fleets.get(&query.fleet) else { return Vec::new() };
    let last_at = |one: &Decided| one.run.map_or(one.at, |run| run.last_at);
    let mut tallies = BTreeMap::new();
    let lately = fleet
        .decisions
        .iter()
        .rev()
        .filter(|one| one.at >= query.since - RUN_MAX && last_at(one) >= query.since)
        .take(query.decisions as usize);
    for one in lately {
        for candidate in &one.plan.candidates {
            let tally = tallies.entry(candidate.name.clone()).or_insert_with(|| CandidateTally {
                name: candidate.name.clone(),
                since: one.at,
                evaluations: 0,
                larger: 0,
                smaller: 0,
                hosts_more: 0.0,
                differed: None,
            });
            count(tally, one, candidate, last_at(one));
        }
    }
    tallies.into_values().collect()
}

fn count(tally: &mut CandidateTally, one: &Decided, candidate: &CandidatePlan, last_at: Timestamp) {
    let times = one.run.map_or(1, |run| run.count);
    let more = i64::from(candidate.size_wanted) - i64::from(one.plan.size_wanted);
    tally.since = one.at;
    tally.evaluations += times;
    match more.cmp(&0) {
        std::cmp::Ordering::Greater => tally.larger += times,
        std::cmp::Ordering::Less => tally.smaller += times,
        std::cmp::Ordering::Equal => {}
    }
    if more != 0 && tally.differed.is_none() {
        tally.differed = Some((one.id, last_at));
    }
    // The mean so far, moved by what this one weighs.
    let weight = |count: i64| f64::from(i32::try_from(count).unwrap_or(i32::MAX));
    tally.hosts_more += (weight(more) - tally.hosts_more) * weight(times) / weight(tally.evaluations);
}
