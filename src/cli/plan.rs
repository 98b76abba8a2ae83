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
use crate::view::fleet::schedule::ScheduleStatus;

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
    let schedules = ScheduleStatus::all(Some(config), snapshot.now);
    let fleet = config.name.clone();
    output::print(context.format, &Preview { fleet, at: snapshot.now, plan, schedules, page })?;
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
    /// Those in force, and then those to come, the next one first.
    schedules: Vec<ScheduleStatus>,
    #[serde(skip)]
    page: String,
}

impl Report for Preview {
    fn table(&self, _room: Room) -> String {
        let mut page = self.page.trim_end().to_owned();
        if !self.schedules.is_empty() {
            page.push_str("\n  schedules");
        }
        for schedule in &self.schedules {
            page.push_str("\n    ");
            page.push_str(&schedule.line());
        }
        page
    }
}
