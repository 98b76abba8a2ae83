//! A host as it is shown: where it is in its life, and what it waits for.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::fleet::FleetConfig;
use crate::decide::signal::Observation;
use crate::domain::host::{Drain, Host, HostState};
use crate::domain::ids::{InstanceId, InstanceType, LaunchId, Zone};
use crate::domain::time::{Timestamp, after, since};
use crate::view::words::{count, moment};

/// An observation that is older says nothing about now.
pub const OBSERVATION_AGE: Duration = Duration::from_mins(10);

/// What the loop saw last.
pub struct Seen<'a>(pub Option<&'a Observation>);

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

/// One host.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostRow {
    /// The cloud's id of it.
    pub instance_id: InstanceId,
    /// Where it is in its life: pending, running, registered, healthy, unhealthy, draining, deregistered, terminating,
    /// terminated or lost.
    pub state: &'static str,
    /// Since when.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub since: DateTime<Utc>,
    /// Seconds since the cloud launched it.
    pub age_seconds: u64,
    /// Its availability zone.
    pub zone: Zone,
    /// What it is.
    pub instance_type: InstanceType,
    /// Its private address; null until the cloud says.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// The launch that bought it; null: adopted, and no row knows its launch tag.
    pub launch_id: Option<LaunchId>,
    /// When the cloud launched it.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub launched_at: DateTime<Utc>,
    /// When it was healthy for the first time; null: never yet.
    #[serde(serialize_with = "crate::domain::time::json::optional")]
    pub healthy_at: Option<DateTime<Utc>>,
    /// What has to happen before it changes its state, in words.
    pub waits_for: String,
    /// When that is waited for no longer; null: there is no such time.
    pub deadline: Option<Deadline>,
}

/// When something is waited for no longer, and what is done then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Deadline {
    /// When.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    pub at: DateTime<Utc>,
    /// What becomes of the host then: `given up`, `taken out` or `terminated at the latest`.
    pub then: &'static str,
}

impl HostRow {
    /// Works it out.
    #[must_use]
    pub fn of(host: Host, config: Option<&FleetConfig>, seen: &Seen<'_>, now: Timestamp) -> Self {
        let held = seen.held(&host);
        Self {
            deadline: deadline(&host, config).filter(|_| held.is_none()),
            waits_for: held.unwrap_or_else(|| waits_for(&host, config)),
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

/// Where a host stands in the list of a fleet's hosts: those that live by age, then those that are gone.
#[must_use]
pub fn order(host: &Host) -> (bool, Timestamp, InstanceId) {
    (host.state.is_final(), host.launched_at, host.id.clone())
}

/// What has to happen before this host changes its state, in words.
fn waits_for(host: &Host, config: Option<&FleetConfig>) -> String {
    let groups = config.map_or(0, |config| config.balancer.target_groups.len());
    match &host.state {
        HostState::Pending { .. } => "the cloud to call it running".to_owned(),
        HostState::Running { .. } if groups == 0 => "to be taken into service".to_owned(),
        HostState::Running { .. } => format!("registration in {}", count(groups, "target group")),
        HostState::Registered { .. } => format!("its health checks in {}", count(groups, "target group")),
        HostState::Healthy { .. } => "nothing: it serves".to_owned(),
        HostState::Unhealthy { .. } => "its health checks to pass again".to_owned(),
        HostState::Draining { drain } => format!("deregistration {}", from_groups(drain)),
        HostState::Deregistered { drain, .. } => format!("its connections to drain ({})", drain.reason),
        HostState::Terminating { drain, .. } => format!("the cloud to end it ({})", drain.reason),
        HostState::Terminated { since, reason } => {
            format!("nothing: terminated at {} ({reason})", moment(*since))
        }
        HostState::Lost { since } => {
            format!("nothing: lost without our doing, noticed at {}", moment(*since))
        }
    }
}

/// When that is waited for no longer.
fn deadline(host: &Host, config: Option<&FleetConfig>) -> Option<Deadline> {
    match &host.state {
        HostState::Pending { .. } | HostState::Running { .. } | HostState::Registered { .. } => {
            let at = after(host.launched_at, config?.launch.boot_timeout);
            Some(Deadline { at, then: "given up" })
        }
        HostState::Unhealthy { since } => {
            let at = after(*since, config?.balancer.health_grace);
            Some(Deadline { at, then: "taken out" })
        }
        HostState::Deregistered { deadline, .. } => {
            Some(Deadline { at: *deadline, then: "terminated at the latest" })
        }
        HostState::Healthy { .. }
        | HostState::Draining { .. }
        | HostState::Terminating { .. }
        | HostState::Terminated { .. }
        | HostState::Lost { .. } => None,
    }
}

fn from_groups(drain: &Drain) -> String {
    match drain.groups.len() {
        0 => format!("(from no group, {})", drain.reason),
        groups => format!("from {} ({})", count(groups, "target group"), drain.reason),
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
        let mut said = vec![waits_for(&host, None)];
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
            said.push(waits_for(&host, None));
        }
        assert_eq!(
            said,
            [
                "the cloud to call it running",
                "to be taken into service",
                "nothing: it serves",
                "its health checks to pass again",
                "deregistration from 2 target groups (scale_in)",
                "its connections to drain (scale_in)",
                "the cloud to end it (scale_in)",
                "nothing: terminated at 1970-01-01 00:00:05Z (scale_in)",
            ]
        );
    }
}
