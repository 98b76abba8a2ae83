//! `set-size`: one manual decision, within the fleet's bounds.

use std::time::Duration;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::operator::{self, Wait, Who};
use crate::cli::wiring;
use crate::store::OperatorActionKind;
use crate::view::request::{ever_allowed, size_allowed};
use crate::view::words::span;

/// `set-size FLEET N`.
#[derive(Debug, Args)]
pub(crate) struct SetSizeArgs {
    /// The fleet
    fleet: String,
    /// The size wanted, in hosts
    #[arg(value_name = "N")]
    size: u32,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    wait: Wait,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: &SetSizeArgs) -> anyhow::Result<()> {
    let configuration = context.configuration()?;
    let config = context.fleet(&configuration, &args.fleet)?;
    ever_allowed(config, args.size)?;
    let memory = wiring::open(&configuration).await?;
    let store = memory.store();
    let stored = store.fleet_load(&config.name, Duration::ZERO, Duration::ZERO).await?;
    size_allowed(config, &stored, args.size)?;
    let message = format!(
        "{}: size {} is recorded; the next evaluation (every {}) acts on it.",
        config.name,
        args.size,
        span(config.interval)
    );
    let who = (args.who.actor.as_deref(), args.who.reason.as_str());
    let kind = OperatorActionKind::SetSize(args.size);
    let recorded = operator::record(store, &config.name, who, kind, message).await?;
    let result = operator::conclude(context, store, recorded, &args.wait).await;
    memory.close().await;
    result
}
