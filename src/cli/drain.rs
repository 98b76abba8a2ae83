//! `drain`: take one host out by the ordinary path.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Refused;
use crate::cli::operator::{self, Wait, Who};
use crate::cli::wiring;
use crate::config::Configuration;
use crate::domain::host::Host;
use crate::domain::ids::InstanceId;
use crate::store::{OperatorActionKind, Store};
use crate::view::request::drain_allowed;
use crate::view::words::span;

/// `drain INSTANCE`.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// The instance, `i-…`
    instance: String,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    wait: Wait,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: &DrainArgs) -> anyhow::Result<()> {
    let configuration = context.configuration()?;
    let memory = wiring::open(&configuration).await?;
    let store = memory.store();
    let host = find(store, &configuration, &args.instance).await?;
    let config = configuration.fleets.get(&host.fleet).ok_or_else(|| {
        Refused(format!(
            "{} belongs to fleet {}, which no file configures: it is paused. Bring fleets/{}.toml back first",
            host.id, host.fleet, host.fleet
        ))
    })?;
    let stored = store.fleet_load(&host.fleet, Duration::ZERO, Duration::ZERO).await?;
    drain_allowed(config, &stored, &host)?;
    let message = format!(
        "{}: the drain of {} is recorded; the next evaluation (every {}) starts it.",
        host.fleet,
        host.id,
        span(config.interval)
    );
    let who = (args.who.actor.as_deref(), args.who.reason.as_str());
    let kind = OperatorActionKind::Drain(host.id.clone());
    let recorded = operator::record(store, &host.fleet, who, kind, message).await?;
    let result = operator::conclude(context, store, recorded, &args.wait).await;
    memory.close().await;
    result
}

async fn find(store: &dyn Store, configuration: &Configuration, id: &str) -> anyhow::Result<Host> {
    if let Some(host) = store.host_find(&InstanceId::new(id)).await? {
        return Ok(host);
    }
    let fleets: Vec<String> = configuration.fleets.keys().map(ToString::to_string).collect();
    Err(anyhow!(
        "no host {id} is known here: `fleet-scaler hosts FLEET` lists those of a fleet ({})",
        fleets.join(", ")
    ))
}
