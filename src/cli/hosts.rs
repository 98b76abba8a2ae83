//! `hosts`: every host of a fleet, and what each waits for.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::{self, Report};
use crate::cli::wiring;
use crate::domain::time::Timestamp;
use crate::view::host::{HostRow, OBSERVATION_AGE, Seen, order};
use crate::view::words::{left, span};

/// `hosts FLEET`.
#[derive(Debug, Args)]
pub(crate) struct HostsArgs {
    /// The fleet
    fleet: String,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: &HostsArgs) -> anyhow::Result<()> {
    let configuration = context.configuration()?;
    let memory = wiring::open(&configuration).await?;
    let store = memory.store();
    let fleet = context.fleet_ever(&configuration, store, &args.fleet).await?;
    let config = configuration.fleets.get(&fleet);
    let now = store.now().await?;
    let mut hosts = store.hosts_recent(&fleet).await?;
    hosts.sort_by_key(order);
    let stored = store.fleet_load(&fleet, OBSERVATION_AGE, OBSERVATION_AGE).await?;
    let seen = Seen(stored.window.last());
    let hosts = hosts.into_iter().map(|host| HostRow::of(host, config, &seen, now)).collect();
    output::print(context.format, &Hosts { hosts, now })?;
    memory.close().await;
    Ok(())
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Hosts {
    hosts: Vec<HostRow>,
    #[serde(skip)]
    now: Timestamp,
}

impl Report for Hosts {
    fn table(&self) -> String {
        if self.hosts.is_empty() {
            return "No host: none lives, and none ended within the last hour.".to_owned();
        }
        output::table(
            ["INSTANCE", "STATE", "AGE", "ZONE", "TYPE", "ADDRESS", "WAITS FOR"],
            self.hosts.iter().map(|host| {
                [
                    host.instance_id.to_string(),
                    host.state.to_owned(),
                    span(Duration::from_secs(host.age_seconds)),
                    host.zone.to_string(),
                    host.instance_type.to_string(),
                    host.address.map_or_else(|| "-".to_owned(), |address| address.to_string()),
                    waits_for(host, self.now),
                ]
            }),
        )
    }
}

/// What it waits for, and for how long yet.
fn waits_for(host: &HostRow, now: Timestamp) -> String {
    let Some(deadline) = host.deadline else { return host.waits_for.clone() };
    match left(now, deadline.at) {
        Some(left) => format!("{}; {} in {}", host.waits_for, deadline.then, span(left)),
        None => format!("{}; {} at the next evaluation", host.waits_for, deadline.then),
    }
}
