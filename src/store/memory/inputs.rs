//! What decisions were made from, as it is read when one is made again.

use crate::decide::inputs::Inputs;
use crate::decide::signal::Observation;
use crate::store::StoreError;
use crate::store::history::{ObservedQuery, Recorded, RecordedQuery};
use crate::store::memory::rows::{Decided, Rows};
use crate::store::shared::{WINDOW_MAX, list_limit};

/// Decisions with what they were made from, oldest first. Nobody can get at what is kept here, so the seal is put on when
/// it is asked for.
pub(super) fn recorded(rows: &Rows, query: &RecordedQuery) -> Result<Vec<Recorded>, StoreError> {
    let Some(row) = rows.fleets.get(&query.fleet) else { return Ok(Vec::new()) };
    let wanted = |one: &&Decided| {
        one.at >= query.since
            && one.at < query.until
            && query.after.is_none_or(|after| (one.at, one.id) > after)
    };
    let mut found: Vec<&Decided> = row.decisions.iter().filter(wanted).collect();
    found.sort_by_key(|one| (one.at, one.id));
    found.truncate(list_limit(query.limit) as usize);
    let recorded = |one: &Decided| {
        let plan = serde_json::to_value(&one.plan).map_err(|error| {
            StoreError::Refused(format!("the plan of decision {} is no JSON: {error}", one.id))
        })?;
        let (count, seal) = (one.run.map_or(1, |run| run.count), one.inputs.as_ref().map(Inputs::seal));
        Ok(Recorded { id: one.id, at: one.at, count, plan, seal, inputs: one.inputs.clone() })
    };
    found.into_iter().map(recorded).collect()
}

/// Observations of a time, oldest first.
pub(super) fn observed(rows: &Rows, query: &ObservedQuery) -> Vec<Observation> {
    let Some(row) = rows.fleets.get(&query.fleet).filter(|_| query.first <= query.last) else {
        return Vec::new();
    };
    row.window
        .range(query.first..=query.last)
        .take(WINDOW_MAX as usize)
        .map(|(_, seen)| seen.clone())
        .collect()
}
