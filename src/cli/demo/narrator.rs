//! Tells what happens, one line an event, and keeps the evidence.
//!
//! It sees only what the tables say, look by look, and tells the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anstyle::Style;
use anyhow::bail;

use crate::cli::output;
use crate::cli::output::text::{BAD, DIM, DOUBTFUL, GOOD, MOVING, Text};
use crate::decide::plan::Action;
use crate::decide::snapshot::PoolHealth;
use crate::domain::host::{Drain, DrainReason, Host, HostState};
use crate::domain::ids::{DecisionId, InstanceId, Pool, Zone};
use crate::domain::time::since;
use crate::store::DecisionRow;
use crate::view::words::{count, span};

/// Nobody waits longer for a line.
const PULSE: Duration = Duration::from_secs(6);

/// One look at the tables.
pub(super) struct Seen {
    /// Every host, the ended ones too.
    pub(super) hosts: Vec<Host>,
    /// The last decisions, the oldest first.
    pub(super) decisions: Vec<DecisionRow>,
    /// Pools that refused.
    pub(super) cooling: Vec<PoolHealth>,
    /// Requests per second now.
    pub(super) rps: f64,
}

/// What was told already.
#[derive(Default)]
pub(super) struct Narrator {
    hosts: BTreeMap<InstanceId, Host>,
    decisions: BTreeSet<DecisionId>,
    cooling: BTreeSet<Pool>,
    told_at: Duration,
    /// What was seen.
    pub(super) evidence: Evidence,
}

/// What the demo has to have shown.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    launched: BTreeMap<Zone, u32>,
    healthy: u32,
    drained: u32,
    out_of_order: Vec<InstanceId>,
    terminated: u32,
    largest: usize,
}

impl Narrator {
    /// What is new since the last look.
    pub(super) fn news(&mut self, elapsed: Duration, seen: &Seen) -> Vec<String> {
        let mut news = Vec::new();
        self.decisions_in(seen, &mut news);
        self.refusals_in(seen, &mut news);
        for host in &seen.hosts {
            self.host_in(host, seen, &mut news);
        }
        self.hosts.extend(seen.hosts.iter().map(|host| (host.id.clone(), host.clone())));
        self.evidence.largest = self.evidence.largest.max(serving(&seen.hosts));
        if news.is_empty() && elapsed.saturating_sub(self.told_at) >= PULSE && !seen.decisions.is_empty() {
            news.push(("load", pulse(seen)));
        }
        news.into_iter().map(|(what, text)| self.remark(elapsed, what, &text)).collect()
    }

    /// A line while there is nothing to see yet.
    pub(super) fn waiting(&mut self, elapsed: Duration) -> Option<String> {
        (elapsed.saturating_sub(self.told_at) >= PULSE)
            .then(|| self.remark(elapsed, "waiting", "the service has not decided anything yet"))
    }

    /// One line.
    pub(super) fn remark(&mut self, elapsed: Duration, what: &str, text: &str) -> String {
        self.told_at = elapsed;
        let seconds = elapsed.as_secs();
        let what = output::shown(&Text::styled(style(what), format!("{what:<11}")).paint());
        format!("{:>2}:{:02}  {what}{text}", seconds / 60, seconds % 60)
    }

    fn decisions_in(&mut self, seen: &Seen, news: &mut Vec<(&'static str, String)>) {
        for row in &seen.decisions {
            if self.decisions.insert(row.id) && row.plan.action != Action::Hold {
                news.push(("decision", row.plan.reason.clone()));
            }
        }
    }

    fn refusals_in(&mut self, seen: &Seen, news: &mut Vec<(&'static str, String)>) {
        let cooling: BTreeSet<Pool> = seen.cooling.iter().map(|health| health.pool.clone()).collect();
        for pool in cooling.difference(&self.cooling) {
            news.push((
                "refused",
                format!("{pool} had no capacity: it is left to cool, the next zone is asked"),
            ));
        }
        self.cooling = cooling;
    }

    fn host_in(&mut self, host: &Host, seen: &Seen, news: &mut Vec<(&'static str, String)>) {
        let before = self.hosts.get(&host.id).cloned();
        if before.is_none() {
            *self.evidence.launched.entry(host.zone.clone()).or_default() += 1;
            news.push(("launched", format!("{} in {} ({})", host.id, host.zone, host.instance_type)));
        }
        if let (Some(healthy_at), None) =
            (host.healthy_at, before.as_ref().and_then(|before| before.healthy_at))
        {
            self.evidence.healthy += 1;
            let took = span(since(healthy_at, host.launched_at));
            let serve = count(serving(&seen.hosts), "host");
            news.push(("healthy", format!("{} after {took}; {serve} in service", host.id)));
        }
        if let (Some(drain), None) =
            (host.state.drain(), before.as_ref().and_then(|before| before.state.drain()))
        {
            news.push(("draining", self.drain_of(host, drain, seen)));
        }
        let was_final = before.is_some_and(|before| before.state.is_final());
        match &host.state {
            HostState::Terminated { reason, .. } if !was_final => {
                self.evidence.terminated += 1;
                let stay = count(serving(&seen.hosts), "host");
                news.push(("terminated", format!("{} ({reason}); {stay} in service", host.id)));
            }
            HostState::Lost { .. } if !was_final => {
                news.push(("lost", format!("{} died without our doing", host.id)));
            }
            _ => {}
        }
    }

    fn drain_of(&mut self, host: &Host, drain: &Drain, seen: &Seen) -> String {
        let age = span(since(drain.started_at, host.launched_at));
        if drain.reason != DrainReason::ScaleIn {
            return format!("{} ({}), {age} old", host.id, drain.reason);
        }
        self.evidence.drained += 1;
        // Whoever became healthy after the choice could not be chosen.
        let older = seen.hosts.iter().find(|other| {
            let served = matches!(&other.state, HostState::Healthy { since } if *since < drain.started_at);
            served && (other.launched_at, &other.id) < (host.launched_at, &host.id)
        });
        match older {
            None => format!("{}, {age} old: the oldest goes first; its connections finish", host.id),
            Some(older) => {
                self.evidence.out_of_order.push(host.id.clone());
                format!("{}, {age} old, although {} is older", host.id, older.id)
            }
        }
    }
}

impl Evidence {
    /// One line in sum; an error where something was not seen that must be.
    pub(super) fn conclude(&self) -> anyhow::Result<()> {
        let launched: u32 = self.launched.values().sum();
        output::line(&format!(
            "\nIn sum: {launched} hosts launched over {} zones, {} became healthy, {} at the most; {} drained oldest \
             first, {} terminated.",
            self.launched.len(),
            self.healthy,
            self.largest,
            self.drained,
            self.terminated
        ))?;
        let missing = self.missing();
        if missing.is_empty() {
            return Ok(());
        }
        bail!("the demo did not show what it promises: {}", missing.join("; "))
    }

    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.launched.len() < 3 {
            missing.push(format!("hosts in three zones (they were in {})", self.launched.len()));
        }
        if self.healthy == 0 {
            missing.push("a host that became healthy".to_owned());
        }
        if self.drained == 0 {
            missing.push("a host drained because the load fell".to_owned());
        }
        if !self.out_of_order.is_empty() {
            missing.push(format!("drains oldest first ({} were not)", self.out_of_order.len()));
        }
        if self.terminated == 0 {
            missing.push("a host terminated".to_owned());
        }
        missing
    }
}

fn serving(hosts: &[Host]) -> usize {
    hosts.iter().filter(|host| matches!(host.state, HostState::Healthy { .. })).count()
}

fn pulse(seen: &Seen) -> String {
    let wanted = seen.decisions.last().map_or(0, |row| row.plan.size_wanted);
    let in_service = serving(&seen.hosts);
    let each = seen.rps / f64::from(u32::try_from(in_service.max(1)).unwrap_or(u32::MAX));
    format!(
        "{:.0} requests/s, {each:.0} a host; {} in service, {wanted} wanted",
        seen.rps,
        count(in_service, "host")
    )
}

/// The word of a line has a colour of its own.
fn style(what: &str) -> Style {
    match what {
        "healthy" => GOOD,
        "refused" | "lost" | "cloud" => BAD,
        "draining" | "terminated" => DOUBTFUL,
        "launched" | "decision" => MOVING,
        _ => DIM,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::host::Step;
    use crate::domain::ids::{FleetName, InstanceType};
    use crate::domain::time::Timestamp;

    fn at(seconds: i64) -> Timestamp {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// A host that was launched, and healthy five seconds later.
    fn healthy(id: &str, zone: &str, launched: i64) -> Host {
        let host = Host {
            id: InstanceId::new(id),
            fleet: FleetName::new("web"),
            launch: None,
            zone: Zone::new(zone),
            subnet: None,
            instance_type: InstanceType::new("m7g.large"),
            address: None,
            launched_at: at(launched),
            healthy_at: None,
            state: HostState::Running { since: at(launched) },
            version: 0,
        };
        host.advance(&Step::BecomeHealthy, at(launched + 5)).unwrap()
    }

    fn draining(host: &Host, now: i64) -> Host {
        let drain = Drain { reason: DrainReason::ScaleIn, started_at: at(now), groups: Vec::new() };
        host.clone().advance(&Step::BeginDrain { drain }, at(now)).unwrap()
    }

    fn gone(host: Host, now: i64) -> Host {
        let deregistered = host.advance(&Step::Deregister { deadline: at(now) }, at(now)).unwrap();
        let terminating = deregistered.advance(&Step::Terminate, at(now)).unwrap();
        terminating.advance(&Step::ConfirmTerminated, at(now)).unwrap()
    }

    fn seen(hosts: Vec<Host>) -> Seen {
        Seen { hosts, decisions: Vec::new(), cooling: Vec::new(), rps: 100.0 }
    }

    #[test]
    fn a_life_is_told_once_a_step_and_counted() {
        let mut narrator = Narrator::default();
        let (old, young) = (healthy("i-1", "a", 0), healthy("i-2", "b", 10));
        let first = narrator.news(Duration::from_secs(1), &seen(vec![old.clone(), young.clone()]));
        assert_eq!(first.len(), 4, "{first:?}");
        assert!(first[1].contains("healthy    i-1 after 5s; 2 hosts in service"), "{first:?}");
        assert!(narrator.news(Duration::from_secs(2), &seen(vec![old.clone(), young.clone()])).is_empty());
        let leaving = draining(&old, 60);
        let told = narrator.news(Duration::from_secs(3), &seen(vec![leaving.clone(), young.clone()]));
        assert!(told[0].contains("the oldest goes first"), "{told:?}");
        let told = narrator.news(Duration::from_secs(4), &seen(vec![gone(leaving, 61), young]));
        assert!(told[0].contains("terminated i-1 (scale_in); 1 host in service"), "{told:?}");
        assert_eq!(narrator.evidence.missing(), ["hosts in three zones (they were in 2)"]);
    }

    #[test]
    fn a_younger_host_that_goes_first_is_held_against_it() {
        let mut narrator = Narrator::default();
        let (old, young) = (healthy("i-1", "a", 0), healthy("i-2", "b", 10));
        let told = narrator.news(Duration::ZERO, &seen(vec![old, draining(&young, 60)]));
        assert!(told.iter().any(|line| line.contains("although i-1 is older")), "{told:?}");
        let missing = narrator.evidence.missing();
        assert!(missing.contains(&"drains oldest first (1 were not)".to_owned()), "{missing:?}");
    }

    #[test]
    fn nothing_seen_is_nothing_shown() {
        assert_eq!(Evidence::default().missing().len(), 4);
    }
}
