//! `history`: what was decided, why, and what came of it; newest first.

mod page;

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use crate::cli::context::Context;
use crate::cli::output::room::Room;
use crate::cli::output::table::{Column, Table, number};
use crate::cli::output::text::{PLAIN, Text};
use crate::cli::output::{Report, meaning};
use crate::cli::watch::{self, WatchArgs};
use crate::config::Configuration;
use crate::decide::plan::Action;
use crate::domain::ids::DecisionId;
use crate::domain::time::Timestamp;
use crate::store::history::{CallRecord, History as _};
use crate::store::postgres::PostgresStore;
use crate::store::{DecisionFilter, DecisionRow, Store as _};
use crate::view::decision::{Call, Decision, parse_action};
use crate::view::words::{Since, ago, moment, parse_since};

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
    /// Each in full: inputs, rule windows, recommendations, guards, and the calls that followed
    #[arg(long)]
    verbose: bool,
    /// One decision in full, by its id
    #[arg(long, value_name = "ID", conflicts_with_all = ["since", "action", "limit"])]
    decision: Option<Uuid>,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: &HistoryArgs) -> anyhow::Result<()> {
    let look = async |configuration: &Configuration, store: &PostgresStore| {
        look(context, configuration, store, args).await
    };
    watch::show(context, &args.watch, look).await
}

async fn look(
    context: &Context,
    configuration: &Configuration,
    store: &PostgresStore,
    args: &HistoryArgs,
) -> anyhow::Result<Listing> {
    let fleet = context.fleet_ever_if_named(configuration, store, args.fleet.as_deref()).await?;
    let now = store.now().await?;
    let one_fleet = fleet.is_some();
    let entries = if let Some(id) = args.decision {
        let found = store.decision(DecisionId(id)).await?;
        let found = found.filter(|(row, _)| fleet.as_ref().is_none_or(|fleet| row.fleet == *fleet));
        vec![Entry::full(found.ok_or_else(|| no_such_decision(id, args.fleet.as_deref()))?)]
    } else {
        let since = args.since.map(|since| since.at(now));
        let filter = DecisionFilter { fleet, since, action: args.action, limit: args.limit };
        let rows = store.decisions(&filter).await?;
        if args.verbose { in_full(store, rows).await? } else { rows.into_iter().map(Entry::brief).collect() }
    };
    Ok(Listing { entries, now, one_fleet })
}

fn no_such_decision(id: Uuid, fleet: Option<&str>) -> anyhow::Error {
    let of = fleet.map(|fleet| format!(" of {fleet}")).unwrap_or_default();
    anyhow!(
        "there is no decision {id}{of}; `fleet-scaler history --verbose` shows the ids of those there are"
    )
}

/// Each with the calls that followed. A decision that changed nothing led to none, and is not asked about.
async fn in_full(store: &PostgresStore, rows: Vec<DecisionRow>) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        let plan = &row.plan;
        let quiet = plan.launches.is_empty() && plan.drains.is_empty() && plan.cancelled_drains.is_empty();
        let found = if quiet { None } else { store.decision(row.id).await? };
        let calls = found.map(|(_, calls)| calls).unwrap_or_default();
        entries.push(Entry::full((row, calls)));
    }
    Ok(entries)
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Listing {
    entries: Vec<Entry>,
    #[serde(skip)]
    now: Timestamp,
    #[serde(skip)]
    one_fleet: bool,
}

/// One decision; in full with the calls.
#[derive(Debug, Serialize)]
struct Entry {
    #[serde(flatten)]
    decision: Decision,
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<Vec<Call>>,
}

impl Entry {
    fn brief(row: DecisionRow) -> Self {
        Self { decision: Decision::from(row), calls: None }
    }

    fn full((row, calls): (DecisionRow, Vec<CallRecord>)) -> Self {
        let calls = calls.into_iter().map(Call::from).collect();
        Self { decision: Decision::from(row), calls: Some(calls) }
    }
}

impl Report for Listing {
    fn table(&self, room: Room) -> String {
        if self.entries.is_empty() {
            return "No decision matches.".to_owned();
        }
        if self.entries.iter().any(|entry| entry.calls.is_some()) {
            let pages = self.entries.iter().map(|entry| page::page(entry, self.now, room));
            return pages.collect::<Vec<_>>().join("\n\n");
        }
        let fleet = Column::new("FLEET");
        let columns = [
            Column::new("AT").spare(2),
            Column::numbers("AGO"),
            if self.one_fleet { fleet.spare(1) } else { fleet },
            Column::new("ACTION"),
            Column::new("SIZE"),
            Column::new("OUTCOME"),
            Column::numbers("TIMES").spare(3),
            Column::new("WHY"),
        ];
        let rows = self.entries.iter().map(|entry| row(&entry.decision, self.now));
        Table::new(columns, rows).paint(room)
    }
}

fn size(decision: &Decision) -> String {
    if decision.size_before == decision.size_wanted {
        decision.size_wanted.to_string()
    } else {
        format!("{} → {}", decision.size_before, decision.size_wanted)
    }
}

fn row(decision: &Decision, now: Timestamp) -> [Text; 8] {
    let age = ago(now, decision.at);
    [
        moment(decision.at).into(),
        Text::styled(PLAIN, age.trim_end_matches(" ago")),
        decision.fleet.as_str().into(),
        meaning::action(decision.action),
        size(decision).into(),
        meaning::outcome(&decision.outcome),
        number(decision.count),
        decision.reason.as_str().into(),
    ]
}
