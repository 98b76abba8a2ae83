//! What a fleet waits for: everything that stands between it and its next change, in the words of whoever would ask.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::fleet::FleetConfig;
use crate::decide::plan::{Action, Guard};
use crate::decide::policy::Mode;
use crate::decide::signal::Observation;
use crate::domain::time::{after, before};
use crate::view::decision::DecisionSummary;
use crate::view::fleet::{Breaker, Cooldowns, LeaseRow, PauseRow};
use crate::view::words::{moment, span};

/// What a fleet waits for, and when it is looked at again.
#[derive(Debug, Serialize, ToSchema)]
pub struct Next {
    /// When the next evaluation is due; null: nobody holds the fleet, so nobody can say.
    #[serde(serialize_with = "crate::domain::time::json::optional")]
    pub evaluation_at: Option<DateTime<Utc>>,
    /// What stands between the fleet and its next change, in words; empty: nothing does.
    pub waits_for: Vec<String>,
    /// Those of them with which a guard refused at the last evaluation, and that no other field tells.
    #[serde(skip)]
    pub refusals: Vec<String>,
}

/// What a fleet may be waiting for.
pub(super) struct Waits<'a> {
    pub(super) config: Option<&'a FleetConfig>,
    pub(super) hosts: &'a BTreeMap<&'static str, u32>,
    pub(super) cooldowns: &'a Cooldowns,
    pub(super) pauses: &'a [PauseRow],
    pub(super) breaker: &'a Breaker,
    pub(super) pools_cooling: usize,
    pub(super) requests: usize,
    pub(super) lease: Option<&'a LeaseRow>,
    pub(super) last: Option<&'a DecisionSummary>,
    /// What was observed lately, oldest first, where that is known in full.
    pub(super) window: &'a [Observation],
    /// The size last wanted.
    pub(super) wanted: Option<u32>,
}

impl Waits<'_> {
    /// In the order in which one would ask. Moments are absolute: a sentence stays the same until something happens.
    pub(super) fn next(&self) -> Next {
        let mut waits_for = Vec::new();
        let held = self.lease.is_some_and(|lease| lease.held);
        match self.config {
            None => waits_for.push("its configuration: no file names it, so nobody acts for it".to_owned()),
            Some(_) if !held => waits_for.push("a replica of the service: nobody holds it".to_owned()),
            Some(config) if config.mode == Mode::DryRun => {
                waits_for.push("its mode: in dry-run it is only said what would be done".to_owned());
            }
            Some(_) => {}
        }
        waits_for.extend(self.pauses.iter().map(PauseRow::wait));
        if let (true, Some(at)) = (self.breaker.open, self.breaker.resets_at) {
            waits_for.push(format!("the breaker: launches kept failing; one is tried at {}", moment(at)));
        }
        waits_for.extend(self.host_waits());
        waits_for.extend(self.cooldown_waits());
        let refusals = if held { self.refusals() } else { Vec::new() };
        waits_for.extend(refusals.iter().cloned());
        let counted = [
            (self.pools_cooling, "pool that cools", "pools that cool"),
            (self.requests, "request", "requests"),
        ];
        waits_for.extend(
            counted
                .into_iter()
                .filter(|(count, ..)| *count > 0)
                .map(|(count, one, more)| crate::view::words::many(count, one, more)),
        );
        let interval = self.config.filter(|_| held).map(|config| config.interval);
        let last_at = self.last.map(|last| last.last_at);
        Next {
            evaluation_at: last_at.zip(interval).map(|(at, interval)| after(at, interval)),
            waits_for,
            refusals,
        }
    }

    fn host_waits(&self) -> impl Iterator<Item = String> {
        let count = |states: &[&str]| states.iter().filter_map(|state| self.hosts.get(state)).sum::<u32>();
        let booting = count(&["pending", "running", "registered"]);
        let unhealthy = count(&["unhealthy"]);
        let leaving = count(&["draining", "deregistered", "terminating"]);
        let hosts = |count: u32| crate::view::words::count(count as usize, "host");
        [
            (booting, format!("{} on the way into service", hosts(booting))),
            (unhealthy, format!("{} to become healthy again", hosts(unhealthy))),
            (leaving, format!("{} on the way out", hosts(leaving))),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(_, sentence)| sentence)
    }

    /// What guards refused at the last evaluation, where it is told nowhere else: pauses, hosts on their way, cooldowns
    /// and the breaker speak for themselves.
    fn refusals(&self) -> Vec<String> {
        let Some((config, last)) = self.config.zip(self.last.filter(|last| last.action == Action::Hold))
        else {
            return Vec::new();
        };
        let sentence = |guard: &Guard| match guard {
            Guard::Window => Some(self.window_wait(config)),
            Guard::MissingData => Some("what is not known: a signal, silent hosts, or the cloud".to_owned()),
            Guard::Projection => {
                Some("a lighter load: the hosts that would stay could not carry it".to_owned())
            }
            Guard::UnhealthyHalt => {
                Some("healthy hosts: with so many unhealthy nothing is terminated".to_owned())
            }
            Guard::Budget => Some("the budget of terminations: it is spent".to_owned()),
            Guard::Pause
            | Guard::DryRun
            | Guard::Bounds
            | Guard::InFlight
            | Guard::Cooldown
            | Guard::Step
            | Guard::Breaker => None,
        };
        last.refused_by.iter().filter_map(sentence).collect()
    }

    /// A run of holds is kept with the sentence of its first, and the peak that holds scale-in back moves on meanwhile. So
    /// it is looked for anew where the observations are at hand; where they are not, only what is always true is said.
    fn window_wait(&self, config: &FleetConfig) -> String {
        let length = config.scale_in.window;
        let always =
            format!("the scale-in window: fewer hosts have to be enough for {} on end", span(length));
        let Some((newest, earlier)) = self.window.split_last() else { return always };
        let from = before(newest.at, length);
        let sizes = earlier.iter().filter(|seen| seen.at >= from);
        let peak = sizes.filter_map(|seen| Some((seen.recommended?, seen.at))).max();
        match peak.filter(|(size, _)| self.wanted.is_some_and(|wanted| *size >= wanted)) {
            None => always,
            Some((size, at)) => format!(
                "{always}; {size} were recommended at {}, so not before {}",
                moment(at),
                moment(after(at, length))
            ),
        }
    }

    fn cooldown_waits(&self) -> impl Iterator<Item = String> {
        [("scale-out", self.cooldowns.scale_out_until), ("scale-in", self.cooldowns.scale_in_until)]
            .into_iter()
            .filter_map(|(what, until)| Some(format!("the cooldown of {what}, until {}", moment(until?))))
    }
}

impl PauseRow {
    fn wait(&self) -> String {
        let until = match self.until {
            None => "until resumed".to_owned(),
            Some(until) => format!("until {}", moment(until)),
        };
        format!("{}: scale-{} is paused {until}: {}", self.actor, self.direction, self.reason)
    }
}
