//! `migrate`: bring the schema up to date.

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::room::Room;
use crate::cli::output::{self, Report};
use crate::cli::wiring;
use crate::view::words::count;

/// Runs it.
pub(crate) async fn run(context: &Context) -> anyhow::Result<()> {
    let configuration = context.configuration()?;
    let database = wiring::database(&configuration).await?;
    let result = wiring::migrate(&database).await;
    database.close().await;
    output::print(context.format, &Migrated { applied: result? })
}

#[derive(Debug, Serialize)]
struct Migrated {
    /// The versions that this run applied; none: nothing was to be done.
    applied: Vec<i64>,
}

impl Report for Migrated {
    fn table(&self, _room: Room) -> String {
        match self.applied.len() {
            0 => "The schema was up to date already.".to_owned(),
            applied => format!("The schema is up to date: {} applied.", count(applied, "migration")),
        }
    }
}
