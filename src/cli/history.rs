//! `history`: what was decided, why, and what came of it; newest first.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::{self, Report};
use crate::cli::wiring;
use crate::decide::plan::{Action, Effect, Granted, Verdict};
use crate::decide::snapshot::CloudView;
use crate::store::DecisionFilter;
use crate::view::decision::{Decision, parse_action};
use crate::view::words::{Since, moment, parse_since};

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
    let report = History { decisions: rows.into_iter().map(Decision::from).collect(), verbose: args.verbose };
    output::print(context.format, &report)?;
    memory.close().await;
    Ok(())
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct History {
    decisions: Vec<Decision>,
    #[serde(skip)]
    verbose: bool,
}

impl Report for History {
    fn table(&self) -> String {
        if self.decisions.is_empty() {
            return "No decision matches.".to_owned();
        }
        if self.verbose {
            return self.decisions.iter().map(page).collect::<Vec<_>>().join("\n\n");
        }
        output::table(
            ["AT", "FLEET", "ACTION", "SIZE", "OUTCOME", "TIMES", "WHY"],
            self.decisions.iter().map(row),
        )
    }
}

fn size(decision: &Decision) -> String {
    if decision.size_before == decision.size_wanted {
        decision.size_wanted.to_string()
    } else {
        format!("{} -> {}", decision.size_before, decision.size_wanted)
    }
}

fn row(decision: &Decision) -> [String; 7] {
    [
        moment(decision.at),
        decision.fleet.to_string(),
        decision.action.to_string(),
        size(decision),
        decision.outcome.clone(),
        decision.count.to_string(),
        decision.reason.clone(),
    ]
}

fn page(decision: &Decision) -> String {
    let mut page = format!(
        "{}  {}  {}  {}  ({})\n  {}",
        moment(decision.at),
        decision.fleet,
        decision.action,
        size(decision),
        decision.outcome,
        decision.reason
    );
    if decision.count > 1 {
        let until = moment(decision.last_at);
        let _ = write!(page, "\n  the same answer {} times, until {until}", decision.count);
    }
    let inputs = &decision.inputs;
    let _ = write!(
        page,
        "\n  decision {} by {} at epoch {}; {} of {} hosts heard",
        decision.decision_id, decision.replica, decision.epoch, inputs.hosts_heard, inputs.hosts_asked
    );
    for line in details(decision) {
        page.push_str("\n    ");
        page.push_str(&line);
    }
    page
}

fn details(decision: &Decision) -> Vec<String> {
    let mut lines = Vec::new();
    if let CloudView::Unknown(why) = &decision.cloud {
        lines.push(format!("the cloud could not be seen: {why}"));
    }
    lines.extend(decision.recommendations.iter().map(|recommendation| {
        let size = recommendation.size.map_or_else(|| "no opinion".to_owned(), |size| size.to_string());
        format!("{}: {size}: {}", recommendation.source, recommendation.because)
    }));
    lines.extend(decision.verdicts.iter().filter(|verdict| verdict.effect != Effect::Pass).map(verdict_line));
    lines.extend(
        decision
            .launches
            .iter()
            .map(|launch| format!("launch {} of {} in {}", launch.count, launch.pool, launch.subnet)),
    );
    lines.extend(decision.drains.iter().map(|drain| format!("drain {} ({})", drain.host, drain.reason)));
    lines.extend(decision.cancelled_drains.iter().map(|host| format!("keep {host} after all")));
    lines.extend(decision.answered.iter().map(|answer| {
        let word = match answer.granted {
            Granted::Yes => "granted",
            Granted::No => "refused",
        };
        format!("request {} {word}: {}", answer.request, answer.because)
    }));
    lines.extend(decision.inputs.faults.iter().map(|fault| format!("fault: {fault}")));
    lines
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
