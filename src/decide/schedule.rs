//! Schedules: for a part of the day, the week or the year the bounds of a fleet's size are others.
//!
//! A schedule is a state and not an event. Whether it is in force is worked out from `now` alone: it is, if it has started
//! and has not ended since. Nothing is remembered, so a restart in the middle, another replica's taking over, or an outage
//! at the very minute of the start loses nothing.

pub mod cron;
mod zone;

use chrono::DateTime;
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize};

use crate::decide::schedule::cron::Cron;
use crate::decide::schedule::zone::Point;
use crate::domain::time::Timestamp;

/// Starts that are looked at for one that lasts: a start that lies with its end in a skipped hour lasts no time.
const STARTS_TRIED: usize = 10;
/// Ends that are looked at for one that is no start as well.
const ENDS_TRIED: usize = 20;

/// Other bounds for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name; unique in the fleet.
    pub name: String,
    /// When it comes into force.
    pub start: Cron,
    /// When that ends. Where an end falls on the same minute as a start, it starts.
    pub end: Cron,
    /// Whose wall clock both are read from.
    #[serde(serialize_with = "zone_name", deserialize_with = "zone_named")]
    pub zone: Tz,
    /// What it changes.
    pub size: ScheduledSize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn zone_name<S: serde::Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.name())
}

fn zone_named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// What a schedule changes while it lasts, in hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduledSize {
    /// Never fewer; never more than at other times.
    Min(u32),
    /// Never more; never fewer than at other times.
    Max(u32),
    /// Never fewer, and never more.
    Both {
        /// Never fewer.
        min: u32,
        /// Never more.
        max: u32,
    },
}

impl ScheduledSize {
    /// The floor, if it has one.
    #[must_use]
    pub fn min(self) -> Option<u32> {
        match self {
            Self::Min(min) | Self::Both { min, .. } => Some(min),
            Self::Max(_) => None,
        }
    }

    /// The ceiling, if it has one.
    #[must_use]
    pub fn max(self) -> Option<u32> {
        match self {
            Self::Max(max) | Self::Both { max, .. } => Some(max),
            Self::Min(_) => None,
        }
    }
}

/// Whether a schedule is in force, and what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    InForce {
        /// Since then.
        since: Timestamp,
        /// Until then; `None`: no end is in sight.
        until: Option<Timestamp>,
        /// When it starts anew after that.
        next: Option<Timestamp>,
    },
    /// It is not.
    Waiting {
        /// When it starts; `None`: never again.
        next: Option<Timestamp>,
    },
}

impl Schedule {
    /// How it stands at `now`.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        match self.in_force(now) {
            Some(start) => {
                let until = self.end_after(now);
                let next = until.and_then(|until| self.start_after(until));
                Standing::InForce { since: start.moment, until, next }
            }
            None => Standing::Waiting { next: self.start_after(now) },
        }
    }

    /// The start that it is in force by: the last one, if no end came after it.
    fn in_force(&self, now: Timestamp) -> Option<Point> {
        let started = zone::last(&self.start, self.zone, now)?;
        let ended = zone::last(&self.end, self.zone, now);
        ended.is_none_or(|ended| started >= ended).then_some(started)
    }

    fn end_after(&self, now: Timestamp) -> Option<Timestamp> {
        let mut from = now;
        for _ in 0..ENDS_TRIED {
            from = zone::next(&self.end, self.zone, from)?.moment;
            if self.in_force(from).is_none() {
                return Some(from);
            }
        }
        None
    }

    fn start_after(&self, now: Timestamp) -> Option<Timestamp> {
        let mut from = now;
        for _ in 0..STARTS_TRIED {
            from = zone::next(&self.start, self.zone, from)?.moment;
            if self.in_force(from).is_some() {
                return Some(from);
            }
        }
        None
    }

    /// A moment as its own wall clock shows it, without the day where that is today's: `19:00 Europe/Berlin`.
    #[must_use]
    pub fn clock(&self, at: Timestamp, now: Timestamp) -> String {
        let (then, today) = (zone::local(self.zone, at), zone::local(self.zone, now));
        let day = if then.date_naive() == today.date_naive() { "" } else { "%a %Y-%m-%d " };
        format!("{} {}", then.format(&format!("{day}%H:%M")), self.zone.name())
    }

    /// The moment of its next starts, at most so many, after `now`.
    #[must_use]
    pub fn starts(&self, now: Timestamp, most: usize) -> Vec<DateTime<Tz>> {
        let mut starts = Vec::new();
        let mut from = now;
        while starts.len() < most
            && let Some(point) = zone::next(&self.start, self.zone, from)
        {
            from = point.moment;
            starts.push(zone::local(self.zone, from));
        }
        starts
    }
}
