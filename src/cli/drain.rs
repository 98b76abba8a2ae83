//! `drain`: take one host out by the ordinary path.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Refused;
use crate::cli::operator::{self, Wait, Way, Who};
use crate::cli::wiring;
use crate::cli::words::{moment, span};
use crate::config::Configuration;
use crate::config::fleet::FleetConfig;
use crate::domain::host::{Host, HostState};
use crate::domain::ids::InstanceId;
use crate::store::{OperatorActionKind, Store, StoredFleet};

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
    may_go(&host)?;
    let stored = store.fleet_load(&host.fleet, Duration::ZERO, Duration::ZERO).await?;
    operator::unhindered(config, &stored, Way::Smaller)?;
    floor_kept(config, &host, &stored)?;
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

/// A host that is leaving, or gone, cannot be sent away again.
fn may_go(host: &Host) -> Result<(), Refused> {
    let already = match &host.state {
        HostState::Draining { drain }
        | HostState::Deregistered { drain, .. }
        | HostState::Terminating { drain, .. } => {
            format!("is {} since {} ({})", host.state.name(), moment(drain.started_at), drain.reason)
        }
        HostState::Terminated { since, .. } | HostState::Lost { since } => {
            format!("is gone ({}) since {}", host.state.name(), moment(*since))
        }
        HostState::Pending { .. }
        | HostState::Running { .. }
        | HostState::Registered { .. }
        | HostState::Healthy { .. }
        | HostState::Unhealthy { .. } => return Ok(()),
    };
    Err(Refused(format!("{}: {} {already}. Nothing was recorded", host.fleet, host.id)))
}

/// No drain that a person chooses starts while the hosts that would still serve are fewer than `min`.
fn floor_kept(config: &FleetConfig, host: &Host, stored: &StoredFleet) -> Result<(), Refused> {
    let min = config.size.min;
    let healthy = |host: &Host| matches!(host.state, HostState::Healthy { .. });
    let serving = stored.hosts.iter().filter(|host| healthy(host)).count();
    if !healthy(host) || serving > min as usize {
        return Ok(());
    }
    Err(Refused(format!(
        "{}: {} serves, and so do {serving} hosts in all, while min is {min}. Set a larger size first, or wait until \
         more hosts are healthy. Nothing was recorded",
        config.name, host.id
    )))
}
