//! What the schedules of a fleet do now, and what they do next.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::fleet::FleetConfig;
use crate::decide::bounds::Bounds;
use crate::decide::schedule::{Schedule, ScheduledSize, Standing};
use crate::domain::time::Timestamp;

/// Starts of each schedule that are looked at for a floor above a ceiling.
const STARTS_COMPARED: usize = 20;

/// One schedule, and how it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScheduleStatus {
    /// Its name.
    pub name: String,
    /// When it starts: cron, on the wall clock of its time zone.
    pub start: String,
    /// When it ends: cron, on the wall clock of its time zone.
    pub end: String,
    /// The time zone, by its IANA name.
    pub timezone: String,
    /// Never fewer while it lasts; null: it does not say.
    pub min: Option<u32>,
    /// Never more while it lasts; null: it does not say.
    pub max: Option<u32>,
    /// Whether it is in force.
    pub in_force: bool,
    /// Since when it is in force; null: it is not.
    #[serde(serialize_with = "crate::domain::time::json::optional")]
    pub since: Option<DateTime<Utc>>,
    /// Until when it is in force; null: it is not, or no end is in sight.
    #[serde(serialize_with = "crate::domain::time::json::optional")]
    pub until: Option<DateTime<Utc>>,
    /// When it starts, or starts anew; null: never again.
    #[serde(serialize_with = "crate::domain::time::json::optional")]
    pub next_start: Option<DateTime<Utc>>,
    /// The same in words, on its own clock: `min 10, until 19:00 Europe/Berlin`.
    pub says: String,
}

impl ScheduleStatus {
    /// How one stands.
    #[must_use]
    pub fn of(schedule: &Schedule, now: Timestamp) -> Self {
        let standing = schedule.standing(now);
        let (since, until, next_start) = match standing {
            Standing::InForce { since, until, next } => (Some(since), until, next),
            Standing::Waiting { next } => (None, None, next),
        };
        Self {
            name: schedule.name.clone(),
            start: schedule.start.to_string(),
            end: schedule.end.to_string(),
            timezone: schedule.zone.name().to_owned(),
            min: schedule.size.min(),
            max: schedule.size.max(),
            in_force: since.is_some(),
            since,
            until,
            next_start,
            says: format!("{}, {}", size_words(schedule.size), when(schedule, standing, now)),
        }
    }

    /// Every schedule of a fleet: those in force, the one that ends first before the others, and then those to come, the
    /// next one first.
    #[must_use]
    pub fn all(config: Option<&FleetConfig>, now: Timestamp) -> Vec<Self> {
        let schedules = config.map_or(&[][..], |config| &config.schedules);
        let mut all: Vec<Self> = schedules.iter().map(|schedule| Self::of(schedule, now)).collect();
        let last = DateTime::<Utc>::MAX_UTC;
        all.sort_by_key(|status| {
            let change = if status.in_force { status.until } else { status.next_start };
            (!status.in_force, change.unwrap_or(last))
        });
        all
    }

    /// `office-hours: min 10, until 19:00 Europe/Berlin`.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{}: {}", self.name, self.says)
    }
}

fn size_words(size: ScheduledSize) -> String {
    match size {
        ScheduledSize::Min(min) => format!("min {min}"),
        ScheduledSize::Max(max) => format!("max {max}"),
        ScheduledSize::Both { min, max } => format!("min {min} and max {max}"),
    }
}

fn when(schedule: &Schedule, standing: Standing, now: Timestamp) -> String {
    match standing {
        Standing::InForce { until: Some(until), .. } => format!("until {}", schedule.clock(until, now)),
        Standing::InForce { until: None, .. } => "with no end in sight".to_owned(),
        Standing::Waiting { next: Some(next) } => format!("next from {}", schedule.clock(next, now)),
        Standing::Waiting { next: None } => "and never again".to_owned(),
    }
}

/// The first moment within the next starts of its schedules at which a floor is above a ceiling, in a sentence.
#[must_use]
pub fn conflict(config: &FleetConfig, now: Timestamp) -> Option<String> {
    let size = |schedule: &Schedule| (schedule.size.min().is_some(), schedule.size.max().is_some());
    let any = |pick: fn((bool, bool)) -> bool| config.schedules.iter().any(|schedule| pick(size(schedule)));
    if config.schedules.len() < 2 || !any(|(min, _)| min) || !any(|(_, max)| max) {
        return None;
    }
    // Two that meet do so from the start of one of them on.
    let starts = config.schedules.iter().flat_map(|schedule| schedule.starts(now, STARTS_COMPARED));
    let moments = std::iter::once(now).chain(starts.map(|start| start.to_utc()));
    let clash = |at: Timestamp| {
        let bounds = config.bounds(at);
        Some((at, bounds.overruled.clone()?, bounds))
    };
    moments.filter_map(clash).min_by_key(|(at, ..)| *at).map(|(at, (lower, max), bounds)| {
        let Bounds { min, floor, .. } = bounds;
        let higher = floor.map_or_else(|| "the fleet".to_owned(), |by| format!("schedule {}", by.name));
        format!(
            "at {} {higher}'s min = {min} is above schedule {}'s max = {max}: the floor wins",
            crate::view::words::moment(at),
            lower.name
        )
    })
}
