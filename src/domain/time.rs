//! Points in time, kept to the microsecond.
//!
//! Postgres stores microseconds. A timestamp with nanoseconds would change on its way through the database, and a
//! replayed request with it, so every timestamp that enters the program is cut to what survives the round trip.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

/// A point in time, in UTC.
pub type Timestamp = DateTime<Utc>;

/// Cuts a timestamp to the precision that the database keeps.
#[must_use]
pub fn to_micros(at: Timestamp) -> Timestamp {
    at.trunc_subsecs(6)
}

/// `at + span`, stopping at the end of representable time instead of overflowing.
#[must_use]
pub fn after(at: Timestamp, span: Duration) -> Timestamp {
    TimeDelta::from_std(span).ok().and_then(|span| at.checked_add_signed(span)).unwrap_or(Timestamp::MAX_UTC)
}

/// `at - span`, stopping at the beginning of representable time.
#[must_use]
pub fn before(at: Timestamp, span: Duration) -> Timestamp {
    TimeDelta::from_std(span).ok().and_then(|span| at.checked_sub_signed(span)).unwrap_or(Timestamp::MIN_UTC)
}

/// How long after `earlier` `later` is; zero where it is not later.
#[must_use]
pub fn since(later: Timestamp, earlier: Timestamp) -> Duration {
    (later - earlier).to_std().unwrap_or_default()
}
