//! `schema`: the JSON Schemas of the configuration's files.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::output;
use crate::config::schema;

/// `schema [service|fleet]`.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Which file's; without it, both under the keys `service` and `fleet`
    #[arg(value_enum)]
    file: Option<File>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum File {
    /// fleet-scaler.toml
    Service,
    /// fleets/NAME.toml
    Fleet,
}

/// Runs it.
pub(crate) fn run(args: &SchemaArgs) -> anyhow::Result<()> {
    let document: Value = match args.file {
        Some(File::Service) => json!(schema::service_schema()),
        Some(File::Fleet) => json!(schema::fleet_schema()),
        None => json!({ "service": schema::service_schema(), "fleet": schema::fleet_schema() }),
    };
    output::line(&serde_json::to_string_pretty(&document)?)
}
