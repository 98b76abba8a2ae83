//! `status`: how a fleet stands, on one screen.

mod page;

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::Report;
use crate::cli::output::room::Room;
use crate::cli::output::table::Table;
use crate::cli::watch::{self, WatchArgs};
use crate::config::Configuration;
use crate::config::fleet::FleetConfig;
use crate::domain::boot;
use crate::domain::ids::FleetName;
use crate::store::postgres::PostgresStore;
use crate::store::{DecisionFilter, Store};
use crate::view::fleet::{FleetStatus, horizon};

/// `status [FLEET]`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The fleet; without it, every fleet
    fleet: Option<String>,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: &StatusArgs) -> anyhow::Result<()> {
    let look = async |configuration: &Configuration, store: &PostgresStore| {
        statuses(context, configuration, store, args.fleet.as_deref()).await
    };
    watch::show(context, &args.watch, look).await
}

async fn statuses(
    context: &Context,
    configuration: &Configuration,
    store: &dyn Store,
    fleet: Option<&str>,
) -> anyhow::Result<Statuses> {
    let names = match fleet {
        Some(name) => vec![context.fleet_ever(configuration, store, name).await?],
        None => configuration.fleets.keys().cloned().collect(),
    };
    let mut fleets = Vec::with_capacity(names.len());
    for name in names {
        fleets.push(look(store, &name, configuration.fleets.get(&name)).await?);
    }
    Ok(Statuses { detailed: fleets.len() == 1, fleets })
}

async fn look(
    store: &dyn Store,
    name: &FleetName,
    config: Option<&FleetConfig>,
) -> anyhow::Result<FleetStatus> {
    let horizon = horizon(config);
    let budget_span = config.map_or(horizon, |config| config.safety.budget_per);
    let stored = store.fleet_load(name, horizon, budget_span).await?;
    let filter = DecisionFilter { fleet: Some(name.clone()), limit: 1, ..DecisionFilter::default() };
    let last = store.decisions(&filter).await?.into_iter().next();
    let boots = store.boots(name, boot::LOOK_BACK, boot::MOST).await?;
    Ok(FleetStatus::of(name, config, stored, last.as_ref(), &boots))
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Statuses {
    fleets: Vec<FleetStatus>,
    #[serde(skip)]
    detailed: bool,
}

impl Report for Statuses {
    fn table(&self, room: Room) -> String {
        if self.fleets.is_empty() {
            return "No fleet is configured: add a file under fleets/ in the configuration folder."
                .to_owned();
        }
        if self.detailed {
            return self.fleets.iter().map(|fleet| fleet.page(room)).collect::<Vec<_>>().join("\n\n");
        }
        Table::new(page::COLUMNS, self.fleets.iter().map(FleetStatus::row)).paint(room)
    }
}
