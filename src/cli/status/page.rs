//! How a fleet stands, in words.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::output::meaning;
use crate::cli::output::room::Room;
use crate::cli::output::table::{Column, labelled, number, set_in};
use crate::cli::output::text::{BAD, BOLD, DIM, DOUBTFUL, GOOD, PLAIN, Text};
use crate::decide;
use crate::decide::plan::CandidatePlan;
use crate::decide::policy::Mode;
use crate::decide::snapshot::{Ask, OperatorRequest, PoolHealth};
use crate::domain::host::HostState;
use crate::domain::time::Timestamp;
use crate::view::fleet::boot::BootStatus;
use crate::view::fleet::forecast::ForecastStatus;
use crate::view::fleet::observed::SignalStatus;
use crate::view::fleet::rule::RuleStatus;
use crate::view::fleet::schedule::ScheduleStatus;
use crate::view::fleet::{Breaker, Budget, Cooldowns, FleetStatus, LeaseRow, OpenLaunch, PauseRow};
use crate::view::words::{ago, count, left, moment, span};

/// How wide the labels of a page are.
const LABEL: usize = 9;

/// The overview's columns.
pub(crate) const COLUMNS: [Column; 9] = [
    Column::new("FLEET"),
    Column::new("MODE").spare(2),
    Column::numbers("WANTED"),
    Column::numbers("LIVE"),
    Column::numbers("HEALTHY"),
    Column::new("MIN-MAX").spare(4),
    Column::numbers("LEAVING").spare(3),
    Column::numbers("EVALUATED").spare(1),
    Column::new("NOTE"),
];

impl FleetStatus {
    /// One line of the overview.
    pub(crate) fn row(&self) -> [Text; 9] {
        let leaving = ["draining", "deregistered", "terminating"].map(|state| self.hosts[state]);
        let healthy = self.hosts["healthy"];
        let style = if self.size.wanted.is_some_and(|wanted| healthy >= wanted) { GOOD } else { DOUBTFUL };
        let evaluated = self.last_decision.as_ref().map(|last| ago(self.at, last.last_at));
        [
            self.fleet.to_string().into(),
            mode_word(self.mode).into(),
            number(self.size.wanted.map_or_else(|| "-".to_owned(), |wanted| wanted.to_string())),
            number(self.size.live),
            Text::styled(style, healthy.to_string()),
            self.bounds().into(),
            number(leaving.iter().sum::<u32>()),
            evaluated.unwrap_or_else(|| "never".to_owned()).into(),
            Text::styled(DOUBTFUL, self.notes().join("; ")),
        ]
    }

    /// Everything, a line a matter.
    pub(crate) fn page(&self, room: Room) -> String {
        let told = format!("  ({}, {})", mode_word(self.mode), moment(self.at));
        let mut page = Text::styled(BOLD, self.fleet.as_str()).and(PLAIN, told).paint();
        for (label, lines) in [
            ("size", vec![self.size_line().into()]),
            ("schedules", plain(self.schedules.iter().map(ScheduleStatus::line))),
            ("hosts", vec![self.hosts_line()]),
            ("signals", self.signal_lines()),
            ("rules", self.rule_lines()),
            ("forecast", plain(self.forecasts.iter().map(ForecastStatus::line))),
            ("cooldown", vec![self.cooldowns.line().into()]),
            ("held by", self.next.refusals.iter().map(|why| Text::styled(DOUBTFUL, why.as_str())).collect()),
            ("paused", self.pause_lines()),
            ("breaker", vec![self.breaker_line()]),
            ("pools", self.pool_lines()),
            ("boot", plain(self.boot.iter().map(BootStatus::line))),
            ("launches", plain(self.launch_lines())),
            ("requests", plain(self.request_lines())),
            ("budget", plain(self.termination_budget.iter().map(Budget::line))),
            ("lease", vec![self.lease_line()]),
            ("last", vec![self.last_line()]),
            ("tried", plain(self.candidates.iter().map(CandidatePlan::sentence))),
        ] {
            for (index, line) in lines.iter().enumerate() {
                let label = if index == 0 { label } else { "" };
                let line = labelled(label, LABEL, DIM, line, room.indented(2));
                let _ = write!(page, "\n{}", set_in(&line, 2));
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

    fn hosts_line(&self) -> Text {
        let present = HostState::NAMES.iter().filter_map(|name| Some((name, self.hosts.get(name)?)));
        let mut line = Text::default();
        for (name, count) in present.filter(|(_, count)| **count > 0) {
            let comma = if line.width() == 0 { "" } else { ", " };
            line = line.and(PLAIN, format!("{comma}{count} ")).then(meaning::state(name));
        }
        if line.width() == 0 { "none".into() } else { line }
    }

    /// Signals that are compared with something, beside what they are compared with.
    fn signal_lines(&self) -> Vec<Text> {
        let signals = self.observed.iter().flat_map(|observed| &observed.signals);
        signals.filter(|signal| !signal.thresholds.is_empty()).map(signal_line).collect()
    }

    fn rule_lines(&self) -> Vec<Text> {
        self.rules.iter().map(|rule| rule_line(rule, self.at)).collect()
    }

    fn pause_lines(&self) -> Vec<Text> {
        if self.pauses.is_empty() {
            return vec!["no".into()];
        }
        self.pauses.iter().map(|pause| Text::styled(DOUBTFUL, pause.line(self.at))).collect()
    }

    fn breaker_line(&self) -> Text {
        let style = if self.breaker.open { BAD } else { PLAIN };
        Text::styled(style, self.breaker.line(self.at))
    }

    fn pool_lines(&self) -> Vec<Text> {
        if self.pools_cooling.is_empty() {
            return vec!["none cooling".into()];
        }
        let one = |pool: &PoolHealth| {
            let left = left(self.at, pool.cooling_until).unwrap_or_default();
            let refusals = count(pool.failures as usize, "refusal");
            Text::styled(DOUBTFUL, format!("{} cools for {} more after {refusals}", pool.pool, span(left)))
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

    fn lease_line(&self) -> Text {
        match &self.lease {
            None => Text::styled(BAD, "nobody has held this fleet yet: is the service running?"),
            Some(LeaseRow { lease, held: true }) => {
                let left = span(left(self.at, lease.expires_at).unwrap_or_default());
                format!("{} at epoch {}, for {left} more", lease.holder, lease.epoch).into()
            }
            Some(LeaseRow { lease, held: false }) => {
                let until = moment(lease.expires_at);
                let last = format!("nobody; {} at epoch {} until {until}", lease.holder, lease.epoch);
                Text::styled(BAD, format!("{last}: is the service running?"))
            }
        }
    }

    fn last_line(&self) -> Text {
        match &self.last_decision {
            None => "no decision yet".into(),
            Some(last) => Text::from(format!("{} {} (", last.action, ago(self.at, last.last_at)))
                .then(meaning::outcome(&last.outcome))
                .and(PLAIN, format!("): {}", last.reason)),
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.pauses.iter().map(|pause| pause.line(self.at)).collect();
        let in_force = self.schedules.iter().filter(|schedule| schedule.in_force);
        notes.extend(in_force.map(|schedule| format!("schedule {}", schedule.line())));
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

fn plain(lines: impl IntoIterator<Item = String>) -> Vec<Text> {
    lines.into_iter().map(Text::from).collect()
}

fn signal_line(signal: &SignalStatus) -> Text {
    let value = signal.value.map_or_else(|| "unknown".to_owned(), decide::number);
    let compared = signal.thresholds.iter().map(|threshold| {
        let (value, source) = (decide::number(threshold.value), &threshold.source);
        let tolerance = threshold.tolerance.map(decide::percent);
        tolerance.map_or_else(
            || format!("{} {value} in {source}", threshold.comparison),
            |tolerance| format!("{value} ± {tolerance} wanted by {source}"),
        )
    });
    let style = if signal.value.is_some() { BOLD } else { BAD };
    let compared = compared.collect::<Vec<_>>().join(", ");
    Text::from(format!("{} ", signal.name)).and(style, value).and(PLAIN, format!(" ({compared})"))
}

fn rule_line(rule: &RuleStatus, now: Timestamp) -> Text {
    let held = format!("{} {} of {}, {} needed", rule.name, rule.hits, rule.of, rule.hits_needed);
    let letters: String = rule.window.iter().map(|sample| letter(sample.holds)).collect();
    let letters = if letters.is_empty() { String::new() } else { format!(" [{letters}]") };
    let fired = rule.fired_at.map_or_else(String::new, |at| format!("; it fired {}", ago(now, at)));
    let style = if rule.hits >= rule.hits_needed { BOLD } else { PLAIN };
    Text::styled(style, format!("{held}{letters}")).and(PLAIN, format!(" ({}){fired}", rule.when))
}

/// As decisions record it.
fn letter(holds: Option<bool>) -> char {
    match holds {
        Some(true) => 'H',
        Some(false) => 'F',
        None => 'U',
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::cli::output::table::Table;
    use crate::decide::schedule::cron::Cron;
    use crate::decide::schedule::{Schedule, ScheduledSize};
    use crate::decide::snapshot::{FleetMemory, Pause};
    use crate::domain::ids::{Epoch, FleetName, Pool, ReplicaId, Zone};
    use crate::store::{Lease, StoredFleet};
    use crate::view::fleet::boot::ZoneBoots;

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

    fn plain_page(status: &FleetStatus) -> String {
        anstream::adapter::strip_str(&status.page(Room::default())).to_string()
    }

    #[test]
    fn a_page_says_which_schedules_are_in_force_and_what_comes_next() {
        let mut status = FleetStatus::of(&FleetName::new("web"), None, stored(), None, &[]);
        let schedule = |name: &str, start, end, size| Schedule {
            name: name.to_owned(),
            start: Cron::parse(start).unwrap(),
            end: Cron::parse(end).unwrap(),
            zone: "Europe/Berlin".parse().unwrap(),
            size,
        };
        // New Year's Day of 1970 was a Thursday; it is a quarter past one in Berlin.
        let schedules = [
            schedule("sale", "0 0 24 12 *", "0 0 27 12 *", ScheduledSize::Both { min: 9, max: 40 }),
            schedule("days", "0 8 * * MON-FRI", "0 19 * * MON-FRI", ScheduledSize::Min(9)),
            schedule("night", "0 22 * * *", "0 6 * * *", ScheduledSize::Max(4)),
        ];
        let statuses = schedules.iter().map(|schedule| ScheduleStatus::of(schedule, status.at));
        status.schedules = statuses.collect();
        let zone = |zone: &str, p95_seconds, hosts| ZoneBoots { zone: Zone::new(zone), p95_seconds, hosts };
        let zones = vec![zone("eu-west-1a", 44.2, 12), zone("eu-west-1b", 62.0, 38)];
        status.boot = Some(BootStatus { p50_seconds: 40.1, p95_seconds: 61.5, hosts: 50, zones });
        let page = plain_page(&status);
        let boot = "boot      62 s p95 of 50, 41 s p50; eu-west-1a 45 s of 12, eu-west-1b 62 s of 38";
        assert!(page.contains(boot), "{page}");
        let lines: Vec<&str> = page.lines().skip(2).take(3).collect();
        assert_eq!(
            lines,
            [
                "  schedules sale: min 9 and max 40, next from Thu 1970-12-24 00:00 Europe/Berlin",
                "            days: min 9, next from 08:00 Europe/Berlin",
                "            night: max 4, until 06:00 Europe/Berlin",
            ]
        );
        let notes = status.notes();
        assert!(notes.iter().any(|note| note.starts_with("schedule night: max 4, until 06:00")), "{notes:?}");
    }

    #[test]
    fn a_page_says_what_holds_the_fleet_back() {
        let status = FleetStatus::of(&FleetName::new("web"), None, stored(), None, &[]);
        let page = plain_page(&status);
        assert_eq!(
            page,
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

    #[test]
    fn an_overview_keeps_what_matters_where_room_is_short() {
        let fleets = ["web", "checkout"].map(|name| {
            let fleet = FleetStatus::of(&FleetName::new(name), None, stored(), None, &[]);
            fleet.row()
        });
        let at = |width| {
            let table = Table::new(COLUMNS, fleets.clone()).paint(Room { width: Some(width), height: None });
            anstream::adapter::strip_str(&table).to_string()
        };
        assert_eq!(
            at(60),
            "FLEET     WANTED  LIVE  HEALTHY\n\
             \u{20} NOTE\n\
             web            4     0        0\n\
             \u{20} scale-in for 1m30s more, by ada: v7; 1 pool cooling; no\n\
             \u{20} replica holds it\n\
             checkout       4     0        0\n\
             \u{20} scale-in for 1m30s more, by ada: v7; 1 pool cooling; no\n\
             \u{20} replica holds it\n\
             (no room for EVALUATED, MODE, LEAVING, MIN-MAX)"
        );
        let wide = at(110);
        assert!(
            wide.starts_with(
                "FLEET     MODE            WANTED  LIVE  HEALTHY  MIN-MAX  LEAVING  EVALUATED  NOTE\n"
            ),
            "{wide}"
        );
    }
}
