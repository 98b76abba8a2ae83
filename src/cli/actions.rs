//! `actions`: who did what, why, and what became of it; newest first.

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::room::Room;
use crate::cli::output::table::{Column, Table};
use crate::cli::output::text::{PLAIN, Text};
use crate::cli::output::{Report, meaning};
use crate::cli::watch::{self, WatchArgs};
use crate::config::Configuration;
use crate::domain::time::Timestamp;
use crate::store::Store as _;
use crate::store::history::{ActionQuery, History as _};
use crate::store::postgres::PostgresStore;
use crate::view::action::ActionRow;
use crate::view::words::{Since, ago, moment, parse_since};

/// `actions [FLEET]`.
#[derive(Debug, Args)]
pub(crate) struct ActionsArgs {
    /// The fleet; without it, every fleet
    fleet: Option<String>,
    /// Only by this person or token: ada finds "ada", "ada via pager-bot" and "… via ada"
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Not older than this: how long ago (2h) or a moment (2026-11-22T02:30:00Z)
    #[arg(long, value_name = "WHEN", value_parser = parse_since)]
    since: Option<Since>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: &ActionsArgs) -> anyhow::Result<()> {
    let look = async |configuration: &Configuration, store: &PostgresStore| {
        look(context, configuration, store, args).await
    };
    watch::show(context, &args.watch, look).await
}

async fn look(
    context: &Context,
    configuration: &Configuration,
    store: &PostgresStore,
    args: &ActionsArgs,
) -> anyhow::Result<Listing> {
    let fleet = context.fleet_ever_if_named(configuration, store, args.fleet.as_deref()).await?;
    let now = store.now().await?;
    let one_fleet = fleet.is_some();
    let query = ActionQuery {
        fleet,
        actor: args.actor.clone(),
        since: args.since.map(|since| since.at(now)),
        limit: args.limit,
        ..ActionQuery::default()
    };
    let records = store.operator_actions(&query).await?;
    Ok(Listing { actions: records.into_iter().map(ActionRow::from).collect(), now, one_fleet })
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Listing {
    actions: Vec<ActionRow>,
    #[serde(skip)]
    now: Timestamp,
    #[serde(skip)]
    one_fleet: bool,
}

impl Report for Listing {
    fn table(&self, room: Room) -> String {
        if self.actions.is_empty() {
            return "No action matches.".to_owned();
        }
        let fleet = Column::new("FLEET");
        let columns = [
            Column::new("AT").spare(2),
            Column::numbers("AGO"),
            Column::new("WHO"),
            if self.one_fleet { fleet.spare(1) } else { fleet },
            Column::new("WHAT"),
            Column::new("OUTCOME"),
            Column::new("WHY"),
            Column::new("ANSWER").spare(3),
        ];
        Table::new(columns, self.actions.iter().map(|action| row(action, self.now))).paint(room)
    }
}

fn row(action: &ActionRow, now: Timestamp) -> [Text; 8] {
    let age = ago(now, action.at);
    let answer = action.answer.as_ref().map_or("", |answer| answer.because.as_str());
    [
        moment(action.at).into(),
        Text::styled(PLAIN, age.trim_end_matches(" ago")),
        action.actor.as_str().into(),
        action.fleet.as_str().into(),
        what(action).into(),
        meaning::outcome(action.outcome),
        action.reason.as_str().into(),
        answer.into(),
    ]
}

/// `pause in until …`, `set_size 6`, `drain i-…`.
fn what(action: &ActionRow) -> String {
    let mut words = vec![action.action.to_owned()];
    words.extend(action.direction.map(str::to_owned));
    words.extend(action.until.map(|until| format!("until {}", moment(until))));
    words.extend(action.size.map(|size| size.to_string()));
    words.extend(action.instance_id.as_ref().map(ToString::to_string));
    words.join(" ")
}
