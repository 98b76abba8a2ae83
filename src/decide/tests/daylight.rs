//! Schedules on clocks that are put forward and back: each start and each end comes once, and the state at any moment is
//! the one that a walk over all starts and ends comes to.

use std::time::Duration;

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

use crate::decide::schedule::cron::Cron;
use crate::decide::schedule::{Schedule, ScheduledSize, Standing};
use crate::domain::time::Timestamp;

fn schedule(zone: &str, start: &str, end: &str) -> Schedule {
    Schedule {
        name: "open".into(),
        start: Cron::parse(start).unwrap(),
        end: Cron::parse(end).unwrap(),
        zone: zone.parse().unwrap(),
        size: ScheduledSize::Min(8),
    }
}

fn utc(text: &str) -> Timestamp {
    format!("{text}:00Z").parse().unwrap()
}

fn starts(schedule: &Schedule, from: &str, count: usize) -> Vec<String> {
    let moment = |at: &DateTime<Tz>| at.to_utc().format("%m-%d %H:%M").to_string();
    schedule.starts(utc(from), count).iter().map(moment).collect()
}

fn is_in_force(schedule: &Schedule, at: &str) -> bool {
    holds(schedule, utc(at))
}

#[test]
fn a_start_in_the_hour_that_is_skipped_comes_at_the_first_moment_after_it() {
    for (zone, start, from, expected) in [
        ("Europe/Berlin", "30 2 * * *", "2026-03-27T12:00", ["03-28 01:30", "03-29 01:00", "03-30 00:30"]),
        ("America/New_York", "0 2 * * *", "2026-03-06T12:00", ["03-07 07:00", "03-08 07:00", "03-09 06:00"]),
        (
            "Australia/Lord_Howe",
            "15 2 * * *",
            "2026-10-02T12:00",
            ["10-02 15:45", "10-03 15:30", "10-04 15:15"],
        ),
    ] {
        assert_eq!(starts(&schedule(zone, start, "0 9 * * *"), from, 3), expected, "{zone}");
    }
}

#[test]
fn a_start_in_the_hour_that_comes_twice_comes_at_its_first() {
    for (zone, start, from, expected) in [
        ("Europe/Berlin", "30 2 * * *", "2026-10-23T12:00", ["10-24 00:30", "10-25 00:30", "10-26 01:30"]),
        ("America/New_York", "30 1 * * *", "2026-10-30T12:00", ["10-31 05:30", "11-01 05:30", "11-02 06:30"]),
        (
            "Australia/Lord_Howe",
            "45 1 * * *",
            "2026-04-03T12:00",
            ["04-03 14:45", "04-04 14:45", "04-05 15:15"],
        ),
    ] {
        assert_eq!(starts(&schedule(zone, start, "0 9 * * *"), from, 3), expected, "{zone}");
    }
}

#[test]
fn one_that_ended_in_the_repeated_hour_does_not_start_again_in_it() {
    let open = schedule("Europe/Berlin", "10 2 * * *", "40 2 * * *");
    let states = ["00:05", "00:10", "00:39", "00:40", "01:05", "01:10", "01:39", "01:40", "02:10"];
    let held: Vec<bool> = states.iter().map(|at| is_in_force(&open, &format!("2026-10-25T{at}"))).collect();
    assert_eq!(held, [false, true, true, false, false, false, false, false, false]);
    // And one that began in it lasts through both.
    let long = schedule("Europe/Berlin", "10 2 * * *", "0 5 * * *");
    let held: Vec<bool> = states.iter().map(|at| is_in_force(&long, &format!("2026-10-25T{at}"))).collect();
    assert_eq!(held, [false, true, true, true, true, true, true, true, true]);
    assert!(!is_in_force(&long, "2026-10-25T04:00"));
}

#[test]
fn one_that_lies_in_the_skipped_hour_is_skipped_and_not_announced() {
    let open = schedule("Europe/Berlin", "10 2 * * *", "40 2 * * *");
    assert!(!is_in_force(&open, "2026-03-29T01:00"));
    let standing = open.standing(utc("2026-03-29T00:59"));
    assert_eq!(standing, Standing::Waiting { next: Some(utc("2026-03-30T00:10")) });
}

#[test]
fn the_working_day_is_as_long_as_its_clock_says() {
    let open = schedule("Europe/Berlin", "0 8 * * *", "0 19 * * *");
    for (day, start, end) in
        [("2026-03-28", "07:00", "18:00"), ("2026-03-29", "06:00", "17:00"), ("2026-10-25", "07:00", "18:00")]
    {
        let (start, end) = (utc(&format!("{day}T{start}")), utc(&format!("{day}T{end}")));
        let moment = Duration::from_micros(1);
        assert!(matches!(open.standing(start - moment), Standing::Waiting { next } if next == Some(start)));
        for at in [start, end - moment] {
            assert!(
                matches!(open.standing(at), Standing::InForce { since, until, .. } if since == start && until == Some(end))
            );
        }
        assert!(matches!(open.standing(end), Standing::Waiting { .. }));
    }
}

/// When an end and a start fall on the same minute, it starts; and it is not said to end then.
#[test]
fn one_that_begins_when_it_ends_goes_on() {
    let open = schedule("UTC", "0 8 * * *", "0 8 * * MON");
    let standing = open.standing(utc("2026-03-02T08:00"));
    assert!(
        matches!(standing, Standing::InForce { since, until: None, .. } if since == utc("2026-03-02T08:00"))
    );
}

#[test]
fn the_rarest_day_is_found_from_far_away() {
    let leap = schedule("UTC", "0 0 29 2 *", "0 0 1 3 *");
    assert_eq!(
        leap.standing(utc("2097-01-01T00:00")),
        Standing::Waiting { next: Some(utc("2104-02-29T00:00")) }
    );
    assert!(is_in_force(&leap, "2096-02-29T12:00"));
    assert!(!is_in_force(&leap, "2103-12-31T12:00"));
}

#[test]
fn what_comes_once_in_28_years_comes_and_what_has_no_day_is_refused() {
    for text in ["0 0 * 2 SUN#5", "0 0 29 2 *", "0 0 31 1,3 *", "0 0 L 2 *", "0 0 30 2 MON"] {
        assert!(Cron::parse(text).is_ok(), "{text}");
    }
    for text in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *"] {
        assert!(Cron::parse(text).unwrap_err().contains("never comes"), "{text}");
    }
}

const ZONES: [&str; 8] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/Havana",
    "Asia/Beirut",
    "Pacific/Chatham",
    "UTC",
];

/// A time of day on some days of the week, as an expression and as what it means.
#[derive(Clone, Debug)]
struct Daily {
    minute: u32,
    hour: u32,
    days: Vec<u32>,
}

impl Daily {
    fn cron(&self) -> String {
        let days: Vec<String> = self.days.iter().map(u32::to_string).collect();
        format!("{} {} * * {}", self.minute, self.hour, days.join(","))
    }

    /// Every point of the year, found without any walk through a calendar but a day at a time.
    fn points(&self, year: i32) -> Vec<NaiveDateTime> {
        let first = NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
        (0..366)
            .map(|day| first + Days::new(day))
            .filter(|day| day.year() == year && self.days.contains(&day.weekday().num_days_from_sunday()))
            .map(|day| day.and_hms_opt(self.hour, self.minute, 0).unwrap())
            .collect()
    }
}

/// The moment of a point, from the rule and not from the code: its first, or where there is none the end of the skip.
fn moment(zone: Tz, point: NaiveDateTime) -> Timestamp {
    let first = |at: NaiveDateTime| zone.from_local_datetime(&at).earliest().map(|at| at.to_utc());
    let mut later = point;
    loop {
        if let Some(moment) = first(later) {
            return moment;
        }
        later += TimeDelta::seconds(30);
    }
}

prop_compose! {
    fn daily()(minute in 0..60_u32, hour in prop_oneof![0..4_u32, 0..24_u32], days in prop::sample::subsequence((0..7).collect::<Vec<u32>>(), 1..=7)) -> Daily {
        Daily { minute, hour, days }
    }
}

fn holds(open: &Schedule, at: Timestamp) -> bool {
    matches!(open.standing(at), Standing::InForce { .. })
}

/// Whether what is said to come is what comes, to the microsecond.
fn foretells(open: &Schedule, now: Timestamp) -> bool {
    let before = |at: Timestamp| at - TimeDelta::microseconds(1);
    match open.standing(now) {
        Standing::InForce { since, until: None, .. } => since <= now,
        Standing::InForce { since, until: Some(until), next } => {
            let next_is_later = next.is_none_or(|next| until < next && holds(open, next));
            let ends_then = holds(open, before(until)) && !holds(open, until);
            since <= now && now < until && ends_then && next_is_later
        }
        Standing::Waiting { next } => {
            next.is_some_and(|next| now < next && holds(open, next) && !holds(open, before(next)))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_year_has_one_start_for_each_day_that_the_expression_names(
        start in daily(), zone in prop::sample::select(&ZONES[..]), year in 2020..2040_i32,
    ) {
        let open = schedule(zone, &start.cron(), "0 0 1 1 *");
        let zone: Tz = zone.parse().unwrap();
        let points = start.points(year);
        let before = moment(zone, points[0]) - TimeDelta::minutes(1);
        let found: Vec<Timestamp> =
            open.starts(before, points.len()).iter().map(|at| at.with_timezone(&Utc)).collect();
        let expected: Vec<Timestamp> = points.iter().map(|point| moment(zone, *point)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn at_any_moment_it_stands_as_a_walk_over_its_starts_and_ends_says(
        start in daily(), end in daily(), zone in prop::sample::select(&ZONES[..]), at in 0..365 * 86_400_i64,
    ) {
        prop_assume!(start.cron() != end.cron());
        let open = schedule(zone, &start.cron(), &end.cron());
        let zone: Tz = zone.parse().unwrap();
        let events = |daily: &Daily, starts: bool| -> Vec<(Timestamp, NaiveDateTime, bool)> {
            [2025, 2026, 2027].into_iter().flat_map(|year| daily.points(year)).map(|point| (moment(zone, point), point, starts)).collect()
        };
        let mut all = events(&start, true);
        all.extend(events(&end, false));
        all.sort_unstable();
        let random = utc("2026-01-01T00:00") + TimeDelta::seconds(at);
        // Any moment, and those around a change of the clock or of the schedule.
        let near = all.iter().map(|event| event.0).filter(|moment| (*moment - random).abs() < TimeDelta::days(2));
        let moments: Vec<Timestamp> = near.flat_map(|at| [at - TimeDelta::microseconds(1), at]).chain([random]).collect();
        for now in moments {
            let expected = all.iter().rev().find(|event| event.0 <= now).is_some_and(|event| event.2);
            prop_assert_eq!(holds(&open, now), expected, "{}", now);
            prop_assert!(foretells(&open, now), "{:?} at {}", open.standing(now), now);
        }
    }

    #[test]
    fn no_text_breaks_the_reader(text in "[0-9A-Za-z*,/# -]{0,30}") {
        if let Ok(cron) = Cron::parse(&text) {
            let again = Cron::parse(cron.text());
            prop_assert_eq!(again, Ok(cron));
        }
    }
}
