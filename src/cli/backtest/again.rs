//! `--again`: the decisions of a recorded day, made once more from what they were made from.
//!
//! It answers for the record: that each plan in it is what the shipped function makes of the inputs that are kept with it,
//! and that these are the ones that were put there. What cannot be made again is counted by its cause and never passed
//! over: a day of which half is gone must not look like a day that holds.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use crate::backtest::again::{self, Difference};
use crate::cli::backtest::progress::Progress;
use crate::cli::exit::{FAILED, Silent};
use crate::cli::output::room::Room;
use crate::cli::output::table::{Column, Table, number};
use crate::cli::output::text::{BAD, GOOD, Text};
use crate::cli::output::{self, Format};
use crate::decide::inputs::{FORMAT, PROGRAM, Unreadable};
use crate::decide::signal::Observation;
use crate::domain::ids::{DecisionId, FleetName};
use crate::domain::time::{Timestamp, before, json, since};
use crate::store::StoreError;
use crate::store::history::{History, INPUTS_KEPT, ObservedQuery, Recorded, RecordedQuery};
use crate::view::words::{count, moment};

/// Decisions that are read at once.
const PAGE: u32 = 100;
/// Differences that are told one by one; beyond them they are only counted.
const TOLD_MAX: usize = 1_000;
/// Inputs of decisions that are younger than they are kept, by this much, must be there.
const MARGIN: Duration = Duration::from_hours(1);

/// The whole result.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    fleet: FleetName,
    #[serde(with = "json")]
    since: Timestamp,
    #[serde(with = "json")]
    until: Timestamp,
    /// The version of this program, which made them again, and the format that it reads.
    program: &'static str,
    format: i32,
    /// Decisions in the record.
    decisions: u64,
    /// Times that one of them was made once more with the same answer, of which nothing but the number is kept.
    repetitions: u64,
    /// Decisions that were made again.
    again: u64,
    equal: u64,
    different: u64,
    impossible: u64,
    /// Of those that could not be made again, how many for which cause.
    causes: BTreeMap<&'static str, u64>,
    /// At most a thousand of them.
    differences: Vec<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    decision: DecisionId,
    #[serde(with = "json")]
    at: Timestamp,
    field: String,
    recorded: String,
    again: String,
}

/// What came of one decision.
enum Outcome {
    Equal,
    Different(Difference),
    Impossible(&'static str),
}

/// Makes a fleet's decisions again.
pub(super) async fn run(
    history: &dyn History,
    fleet: &FleetName,
    (from, until): (Timestamp, Timestamp),
    now: Timestamp,
) -> anyhow::Result<Report> {
    let mut report = Report::new(fleet.clone(), from, until);
    let mut memory = Memory::new(history, fleet);
    let progress = Progress::start("making decisions again", since(until, from).as_secs());
    let mut query = RecordedQuery { fleet: fleet.clone(), since: from, until, after: None, limit: PAGE };
    let mut reached = from;
    // Every page begins after the one before, and none lies beyond `until`.
    loop {
        let page = history.recorded(&query).await?;
        let Some(last) = page.last() else { break };
        query.after = Some((last.at, last.id));
        for decision in &page {
            let outcome = once_more(&mut memory, decision, now).await?;
            report.add(decision, outcome);
            progress.add(since(decision.at, reached).as_secs());
            reached = reached.max(decision.at);
        }
    }
    Ok(report)
}

/// Prints the result; an error where it is not that every decision that could be made again is the same.
pub(super) fn conclude(format: Format, report: &Report) -> anyhow::Result<()> {
    output::print(format, report)?;
    if report.different > 0 {
        return Err(Silent(FAILED).into());
    }
    anyhow::ensure!(
        report.decisions > 0,
        "no decision of {} is recorded from {} to {}",
        report.fleet,
        moment(report.since),
        moment(report.until)
    );
    anyhow::ensure!(report.again > 0, "no decision of {} could be made again", report.fleet);
    Ok(())
}

async fn once_more(
    memory: &mut Memory<'_>,
    decision: &Recorded,
    now: Timestamp,
) -> Result<Outcome, StoreError> {
    let Some(inputs) = &decision.inputs else { return Ok(without_inputs(decision, now)) };
    let opened = match again::open(inputs, decision.seal.as_deref()) {
        Ok(Ok(opened)) => opened,
        Ok(Err(unreadable)) => return Ok(Outcome::Impossible(cause(&unreadable))),
        Err(difference) => return Ok(Outcome::Different(difference)),
    };
    let window = match opened.looked_back() {
        Some((first, last)) => memory.between(first, last).await?,
        None => Vec::new(),
    };
    Ok(match again::judge(opened, window, &decision.plan) {
        Ok(None) => Outcome::Equal,
        Ok(Some(difference)) => Outcome::Different(difference),
        Err(unreadable) => Outcome::Impossible(cause(&unreadable)),
    })
}

/// What was kept goes when it is old. Where it is gone before, somebody took it.
fn without_inputs(decision: &Recorded, now: Timestamp) -> Outcome {
    match decision.seal {
        None => Outcome::Impossible("never-kept"),
        Some(_) if decision.at > before(now, INPUTS_KEPT.saturating_sub(MARGIN)) => {
            Outcome::Different(Difference::of_inputs("kept", "gone"))
        }
        Some(_) => Outcome::Impossible("pruned"),
    }
}

fn cause(unreadable: &Unreadable) -> &'static str {
    match unreadable {
        Unreadable::Format(_) => "other-format",
        Unreadable::Program(_) => "other-version",
        Unreadable::Broken(_) => "broken",
        Unreadable::Window { .. } => "observations-missing",
    }
}

/// What a cause means, to people.
fn meaning(cause: &str) -> &'static str {
    match cause {
        "never-kept" => "made before inputs were kept",
        "pruned" => "older than inputs are kept",
        "other-format" => "kept in a format that this program does not read",
        "other-version" => "made by another version of the program, which may have judged otherwise",
        "observations-missing" => "the observations that it looked back on are not all there, or others are",
        _ => "cannot be read",
    }
}

/// The observations that decisions look back on. From one decision to the next most of them are the same.
struct Memory<'a> {
    history: &'a dyn History,
    fleet: &'a FleetName,
    /// From when to when everything is here.
    held: Option<(Timestamp, Timestamp)>,
    observations: VecDeque<Observation>,
}

impl<'a> Memory<'a> {
    fn new(history: &'a dyn History, fleet: &'a FleetName) -> Self {
        Self { history, fleet, held: None, observations: VecDeque::new() }
    }

    /// Those from `first` to `last`, both of them included.
    async fn between(&mut self, first: Timestamp, last: Timestamp) -> Result<Vec<Observation>, StoreError> {
        let held = self.held.filter(|(from, until)| *from <= first && first <= *until);
        let wanted_from = held.map_or(first, |(_, until)| until);
        if held.is_none() {
            self.observations.clear();
        }
        if held.is_none_or(|(_, until)| until < last) {
            let query = ObservedQuery { fleet: self.fleet.clone(), first: wanted_from, last };
            let more = self.history.observed(&query).await?;
            let newest = self.observations.back().map(|seen| seen.at);
            self.observations
                .extend(more.into_iter().filter(|seen| newest.is_none_or(|newest| seen.at > newest)));
        }
        while self.observations.front().is_some_and(|seen| seen.at < first) {
            self.observations.pop_front();
        }
        self.held = Some((first, held.map_or(last, |(_, until)| until.max(last))));
        Ok(self.observations.iter().take_while(|seen| seen.at <= last).cloned().collect())
    }
}

impl Report {
    fn new(fleet: FleetName, since: Timestamp, until: Timestamp) -> Self {
        Self {
            fleet,
            since,
            until,
            program: PROGRAM,
            format: FORMAT,
            decisions: 0,
            repetitions: 0,
            again: 0,
            equal: 0,
            different: 0,
            impossible: 0,
            causes: BTreeMap::new(),
            differences: Vec::new(),
        }
    }

    fn add(&mut self, decision: &Recorded, outcome: Outcome) {
        self.decisions += 1;
        self.repetitions += u64::try_from(decision.count.saturating_sub(1)).unwrap_or(0);
        match outcome {
            Outcome::Equal => (self.again, self.equal) = (self.again + 1, self.equal + 1),
            Outcome::Different(Difference { field, recorded, again }) => {
                self.again += u64::from(field != "inputs");
                self.different += 1;
                if self.differences.len() < TOLD_MAX {
                    let found = Found { decision: decision.id, at: decision.at, field, recorded, again };
                    self.differences.push(found);
                }
            }
            Outcome::Impossible(cause) => {
                self.impossible += 1;
                *self.causes.entry(cause).or_default() += 1;
            }
        }
    }

    fn sentence(&self) -> String {
        format!(
            "{}, {} to {}: {}, made again by version {} (inputs in format {})",
            self.fleet,
            moment(self.since),
            moment(self.until),
            count(usize::try_from(self.decisions).unwrap_or(usize::MAX), "decision"),
            self.program,
            self.format
        )
    }

    fn sums(&self, room: Room) -> String {
        let verdict = |sum: u64, style| {
            if sum > 0 { Text::styled(style, sum.to_string()) } else { number(0) }
        };
        let rows = [
            ["in the record".into(), number(self.decisions)],
            ["made again".into(), number(self.again)],
            ["equal".into(), verdict(self.equal, GOOD)],
            ["different".into(), verdict(self.different, BAD)],
            ["not possible".into(), number(self.impossible)],
        ];
        Table::new([Column::new("DECISIONS"), Column::numbers("NUMBER")], rows).paint(room)
    }

    fn why_not(&self, room: Room) -> Option<String> {
        let rows =
            self.causes.iter().map(|(cause, sum)| [(*cause).into(), number(*sum), meaning(cause).into()]);
        let columns = [Column::new("NOT POSSIBLE"), Column::numbers("NUMBER"), Column::new("WHY")];
        (!self.causes.is_empty()).then(|| Table::new(columns, rows).paint(room))
    }

    fn found(&self, room: Room) -> Option<String> {
        let rows = self.differences.iter().map(|found| {
            let texts = [&found.field, &found.recorded, &found.again].map(|text| Text::from(text.clone()));
            let [field, recorded, again] = texts;
            [found.decision.to_string().into(), moment(found.at).into(), field, recorded, again]
        });
        let columns = ["DIFFERENT", "AT", "FIRST FIELD", "RECORDED", "AGAIN"].map(Column::new);
        (!self.differences.is_empty()).then(|| Table::new(columns, rows).paint(room))
    }

    fn untold(&self) -> Option<String> {
        let different = usize::try_from(self.different).unwrap_or(usize::MAX);
        let untold = different.saturating_sub(self.differences.len());
        (untold > 0).then(|| format!("({untold} more that differ are not listed)"))
    }

    fn note(&self) -> Option<String> {
        let times = self.repetitions;
        (times > 0).then(|| {
            format!("Note: {times} more times one of them was made with the same answer; of these the number is kept.")
        })
    }
}

impl output::Report for Report {
    fn table(&self, room: Room) -> String {
        let parts = [
            Some(self.sentence()),
            Some(self.sums(room)),
            self.why_not(room),
            self.found(room),
            self.untold(),
            self.note(),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
    }
}
