//! `set-size`: one manual decision, within the fleet's bounds.

use std::cmp::Ordering;
use std::time::Duration;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Refused;
use crate::cli::operator::{self, Wait, Way, Who};
use crate::cli::wiring;
use crate::cli::words::span;
use crate::config::fleet::FleetConfig;
use crate::store::OperatorActionKind;

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
    within_bounds(config, args.size)?;
    let memory = wiring::open(&configuration).await?;
    let store = memory.store();
    let stored = store.fleet_load(&config.name, Duration::ZERO, Duration::ZERO).await?;
    if let Some(way) = way(stored.memory.desired, args.size) {
        operator::unhindered(config, &stored, way)?;
    }
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

/// Which way the fleet would go; `None`: it stays, or nothing was ever decided.
fn way(desired: Option<u32>, size: u32) -> Option<Way> {
    match desired?.cmp(&size) {
        Ordering::Less => Some(Way::Larger),
        Ordering::Greater => Some(Way::Smaller),
        Ordering::Equal => None,
    }
}

fn within_bounds(config: &FleetConfig, size: u32) -> Result<(), Refused> {
    let (min, max) = (config.size.min, config.size.max);
    if (min..=max).contains(&size) {
        return Ok(());
    }
    let (relation, bound) = if size < min { ("below min", min) } else { ("above max", max) };
    Err(Refused(format!(
        "{}: size {size} is {relation} = {bound}; the configuration allows {min} to {max}. Nothing was recorded",
        config.name
    )))
}
