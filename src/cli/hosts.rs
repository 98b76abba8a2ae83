//! `hosts`: every host of a fleet, and what each waits for.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::room::Room;
use crate::cli::output::table::{Column, Table, number};
use crate::cli::output::{Report, meaning};
use crate::cli::watch::{self, WatchArgs};
use crate::config::Configuration;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::store::postgres::PostgresStore;
use crate::view::host::{HostRow, OBSERVATION_AGE, Seen, order};
use crate::view::words::{left, span};

/// `hosts FLEET`.
#[derive(Debug, Args)]
pub(crate) struct HostsArgs {
    /// The fleet
    fleet: String,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: &HostsArgs) -> anyhow::Result<()> {
    let look = async |configuration: &Configuration, store: &PostgresStore| {
        look(context, configuration, store, &args.fleet).await
    };
    watch::show(context, &args.watch, look).await
}

async fn look(
    context: &Context,
    configuration: &Configuration,
    store: &dyn Store,
    fleet: &str,
) -> anyhow::Result<Hosts> {
    let fleet = context.fleet_ever(configuration, store, fleet).await?;
    let config = configuration.fleets.get(&fleet);
    let now = store.now().await?;
    let mut hosts = store.hosts_recent(&fleet).await?;
    hosts.sort_by_key(order);
    let stored = store.fleet_load(&fleet, OBSERVATION_AGE, OBSERVATION_AGE).await?;
    let seen = Seen(stored.window.last());
    let hosts = hosts.into_iter().map(|host| HostRow::of(host, config, &seen, now)).collect();
    Ok(Hosts { hosts, now })
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Hosts {
    hosts: Vec<HostRow>,
    #[serde(skip)]
    now: Timestamp,
}

impl Report for Hosts {
    fn table(&self, room: Room) -> String {
        if self.hosts.is_empty() {
            return "No host: none lives, and none ended within the last hour.".to_owned();
        }
        let columns = [
            Column::new("INSTANCE"),
            Column::new("STATE"),
            Column::numbers("AGE"),
            Column::new("ZONE").spare(3),
            Column::new("TYPE").spare(1),
            Column::new("ADDRESS").spare(2),
            Column::new("WAITS FOR"),
        ];
        let rows = self.hosts.iter().map(|host| {
            [
                host.instance_id.to_string().into(),
                meaning::state(host.state),
                number(span(Duration::from_secs(host.age_seconds))),
                host.zone.to_string().into(),
                host.instance_type.to_string().into(),
                host.address.map_or_else(|| "-".to_owned(), |address| address.to_string()).into(),
                waits_for(host, self.now).into(),
            ]
        });
        Table::new(columns, rows).paint(room)
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
