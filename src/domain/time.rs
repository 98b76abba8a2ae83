//! Points in time, kept to the microsecond.
//!
//! Postgres stores microseconds. A timestamp with nanoseconds would change on its way through the database, and a
//! replayed request with it, so every timestamp that enters the program, or is reckoned in it, is cut to what survives
//! the round trip. In JSON each has exactly six digits after the second: texts of one length sort as the times do.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

/// A point in time, in UTC.
pub type Timestamp = DateTime<Utc>;

/// Cuts a timestamp to the precision that the database keeps.
#[must_use]
pub fn to_micros(at: Timestamp) -> Timestamp {
    at.trunc_subsecs(6)
}

/// `at + span`, to the microsecond, stopping at the end of representable time instead of overflowing.
#[must_use]
pub fn after(at: Timestamp, span: Duration) -> Timestamp {
    let then = TimeDelta::from_std(span).ok().and_then(|span| at.checked_add_signed(span));
    to_micros(then.unwrap_or(Timestamp::MAX_UTC))
}

/// `at - span`, to the microsecond, stopping at the beginning of representable time.
#[must_use]
pub fn before(at: Timestamp, span: Duration) -> Timestamp {
    let then = TimeDelta::from_std(span).ok().and_then(|span| at.checked_sub_signed(span));
    to_micros(then.unwrap_or(Timestamp::MIN_UTC))
}

/// How long after `earlier` `later` is; zero where it is not later.
#[must_use]
pub fn since(later: Timestamp, earlier: Timestamp) -> Duration {
    (later - earlier).to_std().unwrap_or_default()
}

/// Timestamps in JSON: RFC 3339 in UTC with six digits after the second. For `#[serde(with = "…")]`; what is read is cut
/// to the microsecond.
pub mod json {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Timestamp, to_micros};

    /// As it leaves.
    #[must_use]
    pub fn text(at: Timestamp) -> String {
        at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
    }

    /// One, written.
    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(*at))
    }

    /// One, read.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(deserializer).map(to_micros)
    }

    /// One that may be missing, written.
    pub fn optional<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(text).serialize(serializer)
    }

    /// Several, written.
    pub fn list<S: Serializer>(times: &[Timestamp], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(times.iter().map(|at| text(*at)))
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[test]
    fn what_is_reckoned_is_cut_to_microseconds() {
        let at = Timestamp::UNIX_EPOCH;
        let (later, earlier) =
            (after(at, Duration::from_nanos(1_999)), before(at, Duration::from_nanos(1_001)));
        assert_eq!(later.timestamp_nanos_opt(), Some(1_000));
        assert_eq!(earlier.timestamp_nanos_opt(), Some(-2_000));
        assert_eq!(after(at, Duration::MAX), to_micros(Timestamp::MAX_UTC));
        assert!(before(at, Duration::MAX) <= Timestamp::MIN_UTC);
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Told {
        #[serde(with = "json")]
        at: Timestamp,
        #[serde(serialize_with = "json::optional")]
        until: Option<Timestamp>,
        #[serde(serialize_with = "json::list")]
        times: Vec<Timestamp>,
    }

    #[test]
    fn every_time_in_json_has_six_digits() {
        let at = Timestamp::UNIX_EPOCH;
        let told = Told { at, until: Some(after(at, Duration::from_millis(820))), times: vec![at] };
        let text = r#"{"at":"1970-01-01T00:00:00.000000Z","until":"1970-01-01T00:00:00.820000Z","times":["1970-01-01T00:00:00.000000Z"]}"#;
        assert_eq!(serde_json::to_string(&told).unwrap(), text);
        assert_eq!(serde_json::from_str::<Told>(text).unwrap(), told);
        let nanos = text.replacen("00.000000Z", "00.000000999+00:00", 1);
        assert_eq!(serde_json::from_str::<Told>(&nanos).unwrap(), told);
    }
}
