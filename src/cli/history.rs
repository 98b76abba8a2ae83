//! `history`: what was decided, why, and what came of it; newest first.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::{self, Report};
use crate::cli::wiring;
use crate::cli::words::{Since, moment, parse_since};
use crate::decide::plan::{
    Action, Answer, Effect, Granted, PlannedDrain, PlannedLaunch, ReasonCode, Recommendation, Verdict,
};
use crate::decide::signal::Observation;
use crate::decide::snapshot::CloudView;
use crate::domain::ids::{DecisionId, Epoch, FleetName, InstanceId, ReplicaId};
use crate::domain::time::Timestamp;
use crate::store::{DecisionFilter, DecisionRow};

/// `history [FLEET]`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The fleet; without it, every fleet
    fleet: Option<String>,
    /// Not older than this: how long ago (2h) or a moment (2026-11-22T02:30:00Z)
    #[arg(long, value_name = "WHEN", value_parser = parse_since)]
    since: Option<Since>,
    /// Only decisions with this action: hold, scale_out, scale_in, repair, replace or manual
    #[arg(long, value_name = "ACTION", value_parser = parse_action)]
    action: Option<Action>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Also every recommendation, every guard that spoke, and every host named
    #[arg(long)]
    verbose: bool,
}

fn parse_action(text: &str) -> Result<Action, String> {
    let wanted = text.replace('-', "_");
    Action::ALL.into_iter().find(|action| action.as_str() == wanted).ok_or_else(|| {
        let known = Action::ALL.map(Action::as_str).join(", ");
        format!("there is no such action; one of {known}")
    })
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: &HistoryArgs) -> anyhow::Result<()> {
    let configuration = context.configuration()?;
    let memory = wiring::open(&configuration).await?;
    let store = memory.store();
    let fleet = match &args.fleet {
        Some(name) => Some(context.fleet_ever(&configuration, store, name).await?),
        None => None,
    };
    let since = match args.since {
        Some(since) => Some(since.at(store.now().await?)),
        None => None,
    };
    let filter = DecisionFilter { fleet, since, action: args.action, limit: args.limit };
    let rows = store.decisions(&filter).await?;
    let report = History { decisions: rows.into_iter().map(Entry::from).collect(), verbose: args.verbose };
    output::print(context.format, &report)?;
    memory.close().await;
    Ok(())
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct History {
    decisions: Vec<Entry>,
    #[serde(skip)]
    verbose: bool,
}

/// One decision, under the names that the audit view gives its columns.
#[derive(Debug, Serialize)]
struct Entry {
    decision_id: DecisionId,
    at: Timestamp,
    last_at: Timestamp,
    count: i64,
    fleet: FleetName,
    replica: ReplicaId,
    epoch: Epoch,
    action: Action,
    size_before: u32,
    size_wanted: u32,
    code: ReasonCode,
    reason: String,
    outcome: String,
    inputs: Observation,
    recommendations: Vec<Recommendation>,
    verdicts: Vec<Verdict>,
    launches: Vec<PlannedLaunch>,
    drains: Vec<PlannedDrain>,
    cancelled_drains: Vec<InstanceId>,
    rules_fired: Vec<String>,
    answered: Vec<Answer>,
    cloud: CloudView,
}

impl From<DecisionRow> for Entry {
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
            verdicts: plan.verdicts,
            launches: plan.launches,
            drains: plan.drains,
            cancelled_drains: plan.cancelled_drains,
            rules_fired: plan.rules_fired,
            answered: plan.answered,
            cloud: plan.cloud,
        }
    }
}

impl Report for History {
    fn table(&self) -> String {
        if self.decisions.is_empty() {
            return "No decision matches.".to_owned();
        }
        if self.verbose {
            return self.decisions.iter().map(Entry::page).collect::<Vec<_>>().join("\n\n");
        }
        output::table(
            ["AT", "FLEET", "ACTION", "SIZE", "OUTCOME", "TIMES", "WHY"],
            self.decisions.iter().map(Entry::row),
        )
    }
}

impl Entry {
    fn size(&self) -> String {
        if self.size_before == self.size_wanted {
            self.size_wanted.to_string()
        } else {
            format!("{} -> {}", self.size_before, self.size_wanted)
        }
    }

    fn row(&self) -> [String; 7] {
        [
            moment(self.at),
            self.fleet.to_string(),
            self.action.to_string(),
            self.size(),
            self.outcome.clone(),
            self.count.to_string(),
            self.reason.clone(),
        ]
    }

    fn page(&self) -> String {
        let mut page = format!(
            "{}  {}  {}  {}  ({})\n  {}",
            moment(self.at),
            self.fleet,
            self.action,
            self.size(),
            self.outcome,
            self.reason
        );
        if self.count > 1 {
            let _ = write!(page, "\n  the same answer {} times, until {}", self.count, moment(self.last_at));
        }
        let _ = write!(
            page,
            "\n  decision {} by {} at epoch {}; {} of {} hosts heard",
            self.decision_id, self.replica, self.epoch, self.inputs.hosts_heard, self.inputs.hosts_asked
        );
        for line in self.details() {
            page.push_str("\n    ");
            page.push_str(&line);
        }
        page
    }

    fn details(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let CloudView::Unknown(why) = &self.cloud {
            lines.push(format!("the cloud could not be seen: {why}"));
        }
        lines.extend(self.recommendations.iter().map(|recommendation| {
            let size = recommendation.size.map_or_else(|| "no opinion".to_owned(), |size| size.to_string());
            format!("{}: {size}: {}", recommendation.source, recommendation.because)
        }));
        lines.extend(self.verdicts.iter().filter(|verdict| verdict.effect != Effect::Pass).map(verdict_line));
        lines.extend(
            self.launches
                .iter()
                .map(|launch| format!("launch {} of {} in {}", launch.count, launch.pool, launch.subnet)),
        );
        lines.extend(self.drains.iter().map(|drain| format!("drain {} ({})", drain.host, drain.reason)));
        lines.extend(self.cancelled_drains.iter().map(|host| format!("keep {host} after all")));
        lines.extend(self.answered.iter().map(|answer| {
            let word = match answer.granted {
                Granted::Yes => "granted",
                Granted::No => "refused",
            };
            format!("request {} {word}: {}", answer.request, answer.because)
        }));
        lines.extend(self.inputs.faults.iter().map(|fault| format!("fault: {fault}")));
        lines
    }
}

fn verdict_line(verdict: &Verdict) -> String {
    let guard = serde_json::to_value(verdict.guard)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default();
    match verdict.effect {
        Effect::Clamp { from, to } => format!("guard {guard}: {from} -> {to}: {}", verdict.because),
        Effect::Refuse => format!("guard {guard}: refused: {}", verdict.because),
        Effect::Pass => format!("guard {guard}: passed: {}", verdict.because),
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
