//! What daylight saving does to a point on a wall clock: each has exactly one moment.
//!
//! A point that the clock skips has the first moment after the skip. A point that the clock shows twice has the moment at
//! which it shows it first. So a point later on the clock never has an earlier moment, and "the last point whose moment
//! is not after now" has one answer, which is found in a bounded number of steps.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone as _};
use chrono_tz::Tz;

use crate::decide::schedule::cron::Cron;
use crate::domain::time::Timestamp;

/// Minutes that a clock skips or repeats at most: when Samoa changed sides of the date line it skipped a day.
const CHANGE_MAX: i64 = 26 * 60;

/// A point on the clock, with its moment. Ordered by the moment; of points in one skip, by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    pub(super) moment: Timestamp,
    pub(super) local: NaiveDateTime,
}

impl Point {
    fn of(zone: Tz, local: NaiveDateTime) -> Option<Self> {
        Some(Self { moment: moment(zone, local)?, local })
    }
}

/// The moment of a point on the clock.
pub(super) fn moment(zone: Tz, local: NaiveDateTime) -> Option<Timestamp> {
    let first = |local: &NaiveDateTime| match zone.from_local_datetime(local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.to_utc()),
        LocalResult::None => None,
    };
    // Clocks change on whole minutes, so the first point that exists again is the first moment after a skip.
    (0..=CHANGE_MAX).find_map(|minutes| first(&local.checked_add_signed(TimeDelta::minutes(minutes))?))
}

/// What a wall clock shows.
pub(super) fn local(zone: Tz, now: Timestamp) -> DateTime<Tz> {
    now.with_timezone(&zone)
}

/// The last point of an expression whose moment is not after `now`.
pub(super) fn last(cron: &Cron, zone: Tz, now: Timestamp) -> Option<Point> {
    let shown = local(zone, now).naive_local();
    // While the clock shows an hour for the second time, the rest of that hour has had its moment already.
    let mut from = match zone.from_local_datetime(&shown) {
        LocalResult::Ambiguous(first, second) if now >= second.to_utc() => {
            shown.checked_add_signed(second.to_utc() - first.to_utc())?
        }
        LocalResult::Single(_) | LocalResult::Ambiguous(..) | LocalResult::None => shown,
    };
    for _ in 0..=CHANGE_MAX {
        let point = Point::of(zone, cron.last_until(from)?)?;
        if point.moment <= now {
            return Some(point);
        }
        from = point.local.checked_sub_signed(TimeDelta::minutes(1))?;
    }
    None
}

/// The first point of an expression whose moment is after `now`.
pub(super) fn next(cron: &Cron, zone: Tz, now: Timestamp) -> Option<Point> {
    let mut from = local(zone, now).naive_local();
    for _ in 0..=CHANGE_MAX {
        let point = Point::of(zone, cron.first_after(from)?)?;
        if point.moment > now {
            return Some(point);
        }
        from = point.local;
    }
    None
}
