//! `status`: how a fleet stands, on one screen.

mod page;

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::{self, Report};
use crate::cli::wiring;
use crate::config::fleet::FleetConfig;
use crate::domain::ids::FleetName;
use crate::store::{DecisionFilter, Store};
use crate::view::fleet::FleetStatus;

/// How far back observations are looked for: those before say nothing about now.
const HORIZON: Duration = Duration::from_mins(10);

/// `status [FLEET]`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The fleet; without it, every fleet
    fleet: Option<String>,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: &StatusArgs) -> anyhow::Result<()> {
    let configuration = context.configuration()?;
    let memory = wiring::open(&configuration).await?;
    let store = memory.store();
    let names = match &args.fleet {
        Some(name) => vec![context.fleet_ever(&configuration, store, name).await?],
        None => configuration.fleets.keys().cloned().collect(),
    };
    let mut fleets = Vec::with_capacity(names.len());
    for name in names {
        fleets.push(look(store, &name, configuration.fleets.get(&name)).await?);
    }
    let report = Statuses { detailed: fleets.len() == 1, fleets };
    output::print(context.format, &report)?;
    memory.close().await;
    Ok(())
}

async fn look(
    store: &dyn Store,
    name: &FleetName,
    config: Option<&FleetConfig>,
) -> anyhow::Result<FleetStatus> {
    let budget_span = config.map_or(HORIZON, |config| config.safety.budget_per);
    let stored = store.fleet_load(name, HORIZON, budget_span).await?;
    let filter = DecisionFilter { fleet: Some(name.clone()), limit: 1, ..DecisionFilter::default() };
    let last = store.decisions(&filter).await?.into_iter().next();
    Ok(FleetStatus::of(name, config, stored, last.as_ref()))
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Statuses {
    fleets: Vec<FleetStatus>,
    #[serde(skip)]
    detailed: bool,
}

impl Report for Statuses {
    fn table(&self) -> String {
        if self.fleets.is_empty() {
            return "No fleet is configured: add a file under fleets/ in the configuration folder."
                .to_owned();
        }
        if self.detailed {
            return self.fleets.iter().map(FleetStatus::page).collect::<Vec<_>>().join("\n\n");
        }
        output::table(
            ["FLEET", "MODE", "WANTED", "LIVE", "HEALTHY", "MIN-MAX", "LEAVING", "NOTE"],
            self.fleets.iter().map(FleetStatus::row),
        )
    }
}
