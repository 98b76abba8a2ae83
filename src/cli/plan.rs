//! `plan`: what the fleet's next evaluation would decide, and why; nothing is changed.

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::room::Room;
use crate::cli::output::{self, Report};
use crate::cli::wiring;
use crate::decide::{Plan, explain};
use crate::domain::ids::FleetName;
use crate::domain::time::Timestamp;
use crate::reconcile::preview;

/// `plan FLEET`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The fleet
    fleet: String,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: &PlanArgs) -> anyhow::Result<()> {
    let configuration = context.configuration()?;
    let config = context.fleet(&configuration, &args.fleet)?;
    let memory = wiring::open(&configuration).await?;
    let cloud = wiring::cloud(&configuration).await?;
    let parts = wiring::parts(cloud.provider.clone(), memory.store.clone())?;
    let (snapshot, plan) = preview::preview(&parts, &configuration.service.owner, config).await?;
    let page = explain::render(config.name.as_str(), &plan);
    output::print(context.format, &Preview { fleet: config.name.clone(), at: snapshot.now, plan, page })?;
    memory.close().await;
    Ok(())
}

#[derive(Debug, Serialize)]
struct Preview {
    fleet: FleetName,
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    at: Timestamp,
    #[serde(flatten)]
    plan: Plan,
    #[serde(skip)]
    page: String,
}

impl Report for Preview {
    fn table(&self, _room: Room) -> String {
        self.page.trim_end().to_owned()
    }
}
