//! `hosts`: every host of a fleet, and what each waits for.

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::{self, Report};
use crate::cli::wiring;
use crate::cli::words::{count, left, moment, span};
use crate::config::fleet::FleetConfig;
use crate::decide::signal::Observation;
use crate::domain::host::{Drain, Host, HostState};
use crate::domain::ids::{InstanceId, InstanceType, LaunchId, Zone};
use crate::domain::time::{Timestamp, after, since};

/// An observation that is older says nothing about now.
const OBSERVATION_AGE: Duration = Duration::from_mins(10);

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
    let stored = store.fleet_load(&fleet, OBSERVATION_AGE, OBSERVATION_AGE).await?;
    let seen = Seen(stored.window.last());
    let report =
        Hosts { hosts: hosts.into_iter().map(|host| HostRow::of(host, config, &seen, now)).collect() };
    output::print(context.format, &report)?;
    memory.close().await;
    Ok(())
}

/// What the loop saw last.
struct Seen<'a>(Option<&'a Observation>);

impl Seen<'_> {
    /// Why the loop does not move this host on, where what it saw keeps it from that.
    fn held(&self, host: &Host) -> Option<String> {
        let seen = self.0.filter(|_| !host.state.is_final())?;
        if seen.quarantined.contains(&host.id) {
            let text =
                format!("its tags: they do not say that it is {}'s; nothing is done to it", host.fleet);
            return Some(text);
        }
        let waits = matches!(host.state, HostState::Registered { .. }) && seen.unserved.contains(&host.zone);
        waits.then(|| format!("the balancer to serve {} (Target.NotInUse)", host.zone))
    }
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
    fn of(host: Host, config: Option<&FleetConfig>, seen: &Seen<'_>, now: Timestamp) -> Self {
        Self {
            waits_for: seen.held(&host).unwrap_or_else(|| waits_for(&host, config, now)),
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
                    span(Duration::from_secs(host.age_seconds)),
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

    fn host() -> Host {
        Host {
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
        }
    }

    fn observation(quarantined: &[&str]) -> Observation {
        serde_json::from_value(serde_json::json!({
            "at": at(0), "values": {}, "hosts_heard": 0, "hosts_asked": 0, "recommended": null, "faults": [],
            "quarantined": quarantined,
        }))
        .unwrap()
    }

    #[test]
    fn a_host_in_quarantine_says_so_as_long_as_it_lives() {
        let live = host();
        let (strange, usual) = (observation(&["i-1"]), observation(&["i-2"]));
        let said = Seen(Some(&strange)).held(&live).unwrap();
        assert!(said.contains("do not say that it is web's"), "{said}");
        assert_eq!((Seen(Some(&usual)).held(&live), Seen(None).held(&live)), (None, None));
        let lost = live.advance(&Step::Lose, at(1)).unwrap();
        assert_eq!(Seen(Some(&strange)).held(&lost), None);
    }

    #[test]
    fn a_host_in_a_zone_without_traffic_waits_for_the_balancer() {
        let seen = Observation { unserved: vec![Zone::new("a")], ..observation(&[]) };
        let mut host = host();
        assert_eq!(Seen(Some(&seen)).held(&host), None, "it is not even running");
        for step in [Step::Run, Step::Register] {
            host = host.advance(&step, at(1)).unwrap();
        }
        assert!(Seen(Some(&seen)).held(&host).unwrap().contains("serve a (Target.NotInUse)"));
        host.zone = Zone::new("b");
        assert_eq!(Seen(Some(&seen)).held(&host), None);
    }

    #[test]
    fn each_state_says_what_has_to_happen() {
        let host = host();
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
