//! How a fleet stands, in words.

use std::fmt::Write as _;
use std::time::Duration;

use crate::decide::policy::Mode;
use crate::decide::snapshot::{Ask, OperatorRequest, PoolHealth};
use crate::domain::host::HostState;
use crate::domain::time::Timestamp;
use crate::view::fleet::{Breaker, Budget, Cooldowns, FleetStatus, LeaseRow, OpenLaunch, PauseRow};
use crate::view::words::{count, left, moment, span};

impl FleetStatus {
    /// One line of the overview.
    pub(crate) fn row(&self) -> [String; 8] {
        let leaving = ["draining", "deregistered", "terminating"].map(|state| self.hosts[state]);
        [
            self.fleet.to_string(),
            mode_word(self.mode).to_owned(),
            number(self.size.wanted),
            self.size.live.to_string(),
            self.hosts["healthy"].to_string(),
            self.bounds(),
            leaving.iter().sum::<u32>().to_string(),
            self.notes().join("; "),
        ]
    }

    /// Everything, a line a matter.
    pub(crate) fn page(&self) -> String {
        let mut page = format!("{}  ({}, {})", self.fleet, mode_word(self.mode), moment(self.at));
        for (label, lines) in [
            ("size", vec![self.size_line()]),
            ("hosts", vec![self.hosts_line()]),
            ("cooldown", vec![self.cooldowns.line()]),
            ("paused", self.pause_lines()),
            ("breaker", vec![self.breaker.line(self.at)]),
            ("pools", self.pool_lines()),
            ("launches", self.launch_lines()),
            ("requests", self.request_lines()),
            ("budget", self.termination_budget.iter().map(Budget::line).collect()),
            ("lease", vec![self.lease_line()]),
            ("last", vec![self.last_line()]),
        ] {
            for (index, line) in lines.iter().enumerate() {
                let label = if index == 0 { label } else { "" };
                let _ = write!(page, "\n  {label:<9} {line}");
            }
        }
        page
    }

    fn bounds(&self) -> String {
        match (self.size.min, self.size.max) {
            (Some(min), Some(max)) => format!("{min}-{max}"),
            _ => "none".to_owned(),
        }
    }

    fn size_line(&self) -> String {
        let wanted = match self.size.wanted {
            Some(wanted) => format!("{wanted} wanted"),
            None => "nothing decided yet".to_owned(),
        };
        let reserved = match self.size.reserved {
            0 => String::new(),
            reserved => format!(" + {reserved} being bought"),
        };
        format!("{wanted}, {} live{reserved}, bounds {}", self.size.live, self.bounds())
    }

    fn hosts_line(&self) -> String {
        let lines: Vec<String> = HostState::NAMES
            .iter()
            .filter_map(|name| self.hosts.get(name).filter(|count| **count > 0).map(|count| (name, count)))
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        if lines.is_empty() { "none".to_owned() } else { lines.join(", ") }
    }

    fn pause_lines(&self) -> Vec<String> {
        if self.pauses.is_empty() {
            return vec!["no".to_owned()];
        }
        self.pauses.iter().map(|pause| pause.line(self.at)).collect()
    }

    fn pool_lines(&self) -> Vec<String> {
        if self.pools_cooling.is_empty() {
            return vec!["none cooling".to_owned()];
        }
        let one = |pool: &PoolHealth| {
            let left = left(self.at, pool.cooling_until).unwrap_or_default();
            let refusals = count(pool.failures as usize, "refusal");
            format!("{} cools for {} more after {refusals}", pool.pool, span(left))
        };
        self.pools_cooling.iter().map(one).collect()
    }

    fn launch_lines(&self) -> Vec<String> {
        let one = |launch: &OpenLaunch| {
            let age = span(left(launch.since, self.at).unwrap_or_default());
            let attempts = count(launch.attempts as usize, "attempt");
            let missing = count(launch.missing as usize, "host");
            format!("{} lacks {missing}, {attempts}, {age} old", launch.launch_id)
        };
        self.open_launches.iter().map(one).collect()
    }

    fn request_lines(&self) -> Vec<String> {
        let one = |request: &OperatorRequest| {
            format!("{} by {}: {}", ask_word(request), request.actor, request.reason)
        };
        self.requests.iter().map(one).collect()
    }

    fn lease_line(&self) -> String {
        match &self.lease {
            None => "nobody has held this fleet yet: is the service running?".to_owned(),
            Some(LeaseRow { lease, held: true }) => format!(
                "{} at epoch {}, for {} more",
                lease.holder,
                lease.epoch,
                span(left(self.at, lease.expires_at).unwrap_or_default())
            ),
            Some(LeaseRow { lease, held: false }) => format!(
                "nobody; {} at epoch {} until {}: is the service running?",
                lease.holder,
                lease.epoch,
                moment(lease.expires_at)
            ),
        }
    }

    fn last_line(&self) -> String {
        match &self.last_decision {
            None => "no decision yet".to_owned(),
            Some(last) => {
                let age = span(left(last.last_at, self.at).unwrap_or_default());
                format!("{} {age} ago ({}): {}", last.action, last.outcome, last.reason)
            }
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.pauses.iter().map(|pause| pause.line(self.at)).collect();
        if self.breaker.open {
            notes.push(format!("breaker {}", self.breaker.line(self.at)));
        }
        if !self.pools_cooling.is_empty() {
            notes.push(format!("{} cooling", count(self.pools_cooling.len(), "pool")));
        }
        if self.lease.as_ref().is_none_or(|lease| !lease.held) {
            notes.push("no replica holds it".to_owned());
        }
        notes
    }
}

impl Cooldowns {
    fn line(&self) -> String {
        let word = |seconds| match seconds {
            0 => "free".to_owned(),
            seconds => format!("{} left", span(Duration::from_secs(seconds))),
        };
        format!("scale-out {}, scale-in {}", word(self.scale_out_seconds), word(self.scale_in_seconds))
    }
}

impl PauseRow {
    fn line(&self, now: Timestamp) -> String {
        let until = match self.until {
            None => "until resumed".to_owned(),
            Some(until) => format!("for {} more", span(left(now, until).unwrap_or_default())),
        };
        format!("scale-{} {until}, by {}: {}", self.direction, self.actor, self.reason)
    }
}

impl Breaker {
    fn line(&self, now: Timestamp) -> String {
        let failures = count(self.launch_failures as usize, "launch failure");
        match self.resets_at.and_then(|at| left(now, at)) {
            Some(left) if self.open => {
                format!("open after {failures} in a row; one launch is tried in {}", span(left))
            }
            _ if self.launch_failures == 0 => "closed".to_owned(),
            _ => format!("closed, {failures} in a row"),
        }
    }
}

impl Budget {
    fn line(&self) -> String {
        let per = span(Duration::from_secs(self.per_seconds));
        format!("{} of {} terminations used in the last {per}", self.used, self.count)
    }
}

fn ask_word(request: &OperatorRequest) -> String {
    match &request.ask {
        Ask::SetSize(size) => format!("set size {size}"),
        Ask::Drain(host) => format!("drain {host}"),
    }
}

fn mode_word(mode: Option<Mode>) -> &'static str {
    match mode {
        Some(Mode::Live) => "live",
        Some(Mode::DryRun) => "dry-run",
        None => "not configured",
    }
}

fn number(value: Option<u32>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::decide::snapshot::{FleetMemory, Pause};
    use crate::domain::ids::{Epoch, FleetName, Pool, ReplicaId, Zone};
    use crate::store::{Lease, StoredFleet};

    fn at(seconds: i64) -> Timestamp {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn stored() -> StoredFleet {
        StoredFleet {
            now: at(1_000),
            lease: Some(Lease { holder: ReplicaId::new("one"), epoch: Epoch(3), expires_at: at(990) }),
            memory: FleetMemory {
                desired: Some(4),
                launch_failures: 2,
                pause_in: Some(Pause { until: Some(at(1_090)), actor: "ada".into(), reason: "v7".into() }),
                pause_out: Some(Pause { until: Some(at(999)), actor: "ada".into(), reason: "over".into() }),
                ..FleetMemory::default()
            },
            hosts: Vec::new(),
            letting_go: Vec::new(),
            ended: Vec::new(),
            launches: Vec::new(),
            window: Vec::new(),
            pools: vec![PoolHealth {
                pool: Pool { zone: Zone::new("eu-west-1b"), instance_type: None },
                failures: 1,
                cooling_until: at(1_180),
                allowance: 1,
            }],
            requests: Vec::new(),
            drains_in_budget: Vec::new(),
        }
    }

    #[test]
    fn a_page_says_what_holds_the_fleet_back() {
        let status = FleetStatus::of(&FleetName::new("web"), None, stored(), None);
        assert_eq!(
            status.page(),
            "web  (not configured, 1970-01-01 00:16:40Z)\n\
             \u{20} size      4 wanted, 0 live, bounds none\n\
             \u{20} hosts     none\n\
             \u{20} cooldown  scale-out free, scale-in free\n\
             \u{20} paused    scale-in for 1m30s more, by ada: v7\n\
             \u{20} breaker   closed, 2 launch failures in a row\n\
             \u{20} pools     eu-west-1b cools for 3m more after 1 refusal\n\
             \u{20} lease     nobody; one at epoch 3 until 1970-01-01 00:16:30Z: is the service running?\n\
             \u{20} last      no decision yet"
        );
    }
}
