//! `hosts`: every host of a fleet, and what each waits for.

use std::net::IpAddr;

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::{self, Report};
use crate::cli::wiring;
use crate::cli::words::{count, left, moment, span};
use crate::config::fleet::FleetConfig;
use crate::domain::host::{Drain, Host, HostState};
use crate::domain::ids::{InstanceId, InstanceType, LaunchId, Zone};
use crate::domain::time::{Timestamp, after, since};

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
    hosts.sort_by(|a, b| {
        let key = |host: &Host| (host.state.is_final(), host.launched_at, host.id.clone());
        key(a).cmp(&key(b))
    });
    let report = Hosts { hosts: hosts.into_iter().map(|host| HostRow::of(host, config, now)).collect() };
    output::print(context.format, &report)?;
    memory.close().await;
    Ok(())
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Hosts {
    hosts: Vec<HostRow>,
}

#[derive(Debug, Serialize)]
struct HostRow {
    instance_id: InstanceId,
    state: &'static str,
    since: Timestamp,
    age_seconds: u64,
    zone: Zone,
    instance_type: InstanceType,
    address: Option<IpAddr>,
    launch_id: Option<LaunchId>,
    launched_at: Timestamp,
    healthy_at: Option<Timestamp>,
    waits_for: String,
}

impl HostRow {
    fn of(host: Host, config: Option<&FleetConfig>, now: Timestamp) -> Self {
        Self {
            waits_for: waits_for(&host, config, now),
            state: host.state.name(),
            since: host.state.since(),
            age_seconds: since(now, host.launched_at).as_secs(),
            instance_id: host.id,
            zone: host.zone,
            instance_type: host.instance_type,
            address: host.address,
            launch_id: host.launch,
            launched_at: host.launched_at,
            healthy_at: host.healthy_at,
        }
    }
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
                    span(std::time::Duration::from_secs(host.age_seconds)),
                    host.zone.to_string(),
                    host.instance_type.to_string(),
                    host.address.map_or_else(|| "-".to_owned(), |address| address.to_string()),
                    host.waits_for.clone(),
                ]
            }),
        )
    }
}

/// What has to happen before this host changes its state, in words.
fn waits_for(host: &Host, config: Option<&FleetConfig>, now: Timestamp) -> String {
    let boot = config.map(|config| after(host.launched_at, config.launch.boot_timeout));
    let boot = boot.map(|at| deadline(now, at, "given up")).unwrap_or_default();
    let groups = config.map_or(0, |config| config.balancer.target_groups.len());
    match &host.state {
        HostState::Pending { .. } => format!("the cloud to call it running{boot}"),
        HostState::Running { .. } if groups == 0 => format!("to be taken into service{boot}"),
        HostState::Running { .. } => {
            format!("registration in {}{boot}", count(groups, "target group"))
        }
        HostState::Registered { .. } => {
            format!("its health checks in {}{boot}", count(groups, "target group"))
        }
        HostState::Healthy { .. } => "nothing: it serves".to_owned(),
        HostState::Unhealthy { since } => {
            let grace = config.map(|config| after(*since, config.balancer.health_grace));
            let grace = grace.map(|at| deadline(now, at, "taken out")).unwrap_or_default();
            format!("its health checks to pass again{grace}")
        }
        HostState::Draining { drain } => format!("deregistration {}", from_groups(drain)),
        HostState::Deregistered { drain, deadline: at, .. } => {
            format!(
                "its connections to drain{} ({})",
                deadline(now, *at, "terminated at the latest"),
                drain.reason
            )
        }
        HostState::Terminating { drain, .. } => format!("the cloud to end it ({})", drain.reason),
        HostState::Terminated { since, reason } => {
            format!("nothing: terminated at {} ({reason})", moment(*since))
        }
        HostState::Lost { since } => {
            format!("nothing: lost without our doing, noticed at {}", moment(*since))
        }
    }
}

fn from_groups(drain: &Drain) -> String {
    match drain.groups.len() {
        0 => format!("(from no group, {})", drain.reason),
        groups => format!("from {} ({})", count(groups, "target group"), drain.reason),
    }
}

fn deadline(now: Timestamp, at: Timestamp, what: &str) -> String {
    match left(now, at) {
        Some(left) => format!("; {what} in {}", span(left)),
        None => format!("; {what} at the next evaluation"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::host::{DrainReason, Step};
    use crate::domain::ids::{FleetName, TargetGroupArn};

    fn at(seconds: i64) -> Timestamp {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn each_state_says_what_has_to_happen() {
        let host = Host {
            id: InstanceId::new("i-1"),
            fleet: FleetName::new("web"),
            launch: None,
            zone: Zone::new("a"),
            subnet: None,
            instance_type: InstanceType::new("m7g.large"),
            address: None,
            launched_at: at(0),
            healthy_at: None,
            state: HostState::Pending { since: at(0) },
            version: 0,
        };
        let drain = Drain {
            reason: DrainReason::ScaleIn,
            started_at: at(3),
            groups: vec![TargetGroupArn::new("one"), TargetGroupArn::new("two")],
        };
        let mut said = vec![waits_for(&host, None, at(10))];
        let steps = [
            Step::Run,
            Step::BecomeHealthy,
            Step::BecomeUnhealthy,
            Step::BeginDrain { drain },
            Step::Deregister { deadline: at(100) },
            Step::Terminate,
            Step::ConfirmTerminated,
        ];
        let mut host = host;
        for step in steps {
            host = host.advance(&step, at(5)).unwrap();
            said.push(waits_for(&host, None, at(10)));
        }
        assert_eq!(
            said,
            [
                "the cloud to call it running",
                "to be taken into service",
                "nothing: it serves",
                "its health checks to pass again",
                "deregistration from 2 target groups (scale_in)",
                "its connections to drain; terminated at the latest in 1m30s (scale_in)",
                "the cloud to end it (scale_in)",
                "nothing: terminated at 1970-01-01 00:00:05Z (scale_in)",
            ]
        );
    }
}
