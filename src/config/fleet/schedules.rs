//! Reads `[[schedule]]`, and checks its bounds against the fleet's own.

use std::str::FromStr as _;

use chrono_tz::{TZ_VARIANTS, Tz};

use crate::config::fleet::read::{MOST_HOSTS, refuse_duplicate};
use crate::config::fleet::rules::NAME;
use crate::config::nearest::nearest;
use crate::config::reader::numbers::count;
use crate::config::reader::text::{Text, text};
use crate::config::reader::{At, Section, key};
use crate::config::report::excerpt;
use crate::decide::policy::SizePolicy;
use crate::decide::schedule::cron::Cron;
use crate::decide::schedule::{Schedule, ScheduledSize};

/// Most schedules of one fleet.
const MOST_SCHEDULES: usize = 100;

/// `own` is the fleet's `[size]`, where that could be read.
pub(super) fn read(file: &mut Section<'_, '_>, own: Option<&SizePolicy>) -> Vec<Schedule> {
    let mut taken = Vec::new();
    file.each(
        key("schedule", "Other bounds of the size for a part of the day, the week or the year."),
        MOST_SCHEDULES,
        |schedule| read_schedule(schedule, &mut taken, own),
    )
}

fn read_schedule(
    section: &mut Section<'_, '_>,
    taken: &mut Vec<String>,
    own: Option<&SizePolicy>,
) -> Option<Schedule> {
    let name = section.required(
        key("name", "The schedule's name, unique in the fleet.").example("\"office-hours\""),
        &NAME,
    );
    if let Some(name) = &name {
        refuse_duplicate(section, taken, name);
    }
    let start = section.required(
        key("start", "When it comes into force: cron, five fields, on the wall clock of `timezone`.")
            .example("\"0 8 * * MON-FRI\""),
        &cron("0 8 * * MON-FRI"),
    );
    let end = section.required(
        key("end", "When it is over: cron, five fields, on the wall clock of `timezone`.")
            .example("\"0 19 * * MON-FRI\""),
        &cron("0 19 * * MON-FRI"),
    );
    if let (Some(start), Some(end)) = (&start, &end)
        && start.value == end.value
    {
        let message = "is the same as `start`, so it would never be over: write when it ends, such as \"0 19 * * MON-FRI\"";
        section.wrong(end.start, "end", message);
    }
    let zone = section.required(
        key(
            "timezone",
            "Whose wall clock `start` and `end` are read from: a name of the IANA time zone database.",
        )
        .example("\"Europe/Berlin\""),
        &ZONE,
    );
    let size = section
        .table(key("size", "What it changes while it lasts, in hosts: `min`, `max`, or both."), |size| {
            read_size(size, own)
        });
    Some(Schedule { name: name?.value, start: start?.value, end: end?.value, zone: zone?.value, size: size? })
}

const fn cron(example: &'static str) -> Text<Cron> {
    text(example, "^\\s*\\S+(\\s+\\S+){4}\\s*$", Cron::parse)
}

const ZONE: Text<Tz> = text("Europe/Berlin", "^[A-Za-z0-9_+/-]+$", |text| {
    Tz::from_str(text).map_err(|_| {
        let near = near_zone(text).map_or_else(
            || "write one such as \"Europe/Berlin\" or \"UTC\"".to_owned(),
            |near| format!("did you mean {near:?}?"),
        );
        format!("{:?} is no time zone: {near}", excerpt(text))
    })
});

/// The zone that was meant: mistyped, or only its city.
fn near_zone(text: &str) -> Option<&'static str> {
    let names = || TZ_VARIANTS.iter().map(|zone| zone.name());
    let same = |name: &&str| name.eq_ignore_ascii_case(text);
    let city = |name: &'static str| name.rsplit('/').next().unwrap_or(name);
    let spaced = text.replace(' ', "_");
    let mistyped = || nearest(&spaced, names());
    let of_city = || {
        let wanted = nearest(&spaced, names().map(city))?;
        names().find(|name| city(name) == wanted)
    };
    names().find(same).or_else(mistyped).or_else(of_city)
}

fn read_size(section: &mut Section<'_, '_>, own: Option<&SizePolicy>) -> Option<ScheduledSize> {
    let min = section.optional(
        key("min", "Never fewer hosts while it lasts: raises the fleet's floor."),
        &count(0, MOST_HOSTS),
    );
    let max = section.optional(
        key("max", "Never more hosts while it lasts: takes the place of the fleet's ceiling."),
        &count(0, MOST_HOSTS),
    );
    section.at_least_one(&["min", "max"], "write `size = { min = 10 }`, or `max`, or both");
    if let Some(own) = own {
        check_size(section, own, min.as_ref(), max.as_ref());
    }
    match (min.map(|min| min.value), max.map(|max| max.value)) {
        (Some(min), Some(max)) => Some(ScheduledSize::Both { min, max }),
        (Some(min), None) => Some(ScheduledSize::Min(min)),
        (None, Some(max)) => Some(ScheduledSize::Max(max)),
        (None, None) => None,
    }
}

/// What could never take effect, or would leave no size to be, is a slip of the pen.
fn check_size(section: &mut Section<'_, '_>, own: &SizePolicy, min: Option<&At<u32>>, max: Option<&At<u32>>) {
    let (floor, ceiling) = (own.min, own.max);
    match (min, max) {
        (Some(min), _) if min.value < floor => {
            let message = format!(
                "is below `size.min` ({floor}), and a schedule only raises the floor: write {floor} or more, or lower \
                 `size.min` and raise it by a schedule for the other hours"
            );
            section.wrong(min.start, "min", message);
        }
        (Some(min), Some(max)) if min.value > max.value => {
            section.wrong(min.start, "min", format!("is above `max` ({}): write min ≤ max", max.value));
        }
        (Some(min), None) if min.value > ceiling => {
            let message = format!("is above `size.max` ({ceiling}): raise that, or write a `max` beside it");
            section.wrong(min.start, "min", message);
        }
        (None, Some(max)) if max.value < floor => {
            let message = format!(
                "is below `size.min` ({floor}), which always holds: write {floor} or more, or lower `size.min` and raise \
                 it by a schedule for the other hours"
            );
            section.wrong(max.start, "max", message);
        }
        _ => {}
    }
}
