//! Spans and moments as people write and read them.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::domain::time::{Timestamp, before};

/// A span in its two largest units: `45s`, `5m12s`, `2h3m`, `4d1h`.
#[must_use]
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (large, large_unit, small, small_unit) = match seconds {
        0..60 => return format!("{seconds}s"),
        60..3_600 => (seconds / 60, 'm', seconds % 60, 's'),
        3_600..86_400 => (seconds / 3_600, 'h', seconds % 3_600 / 60, 'm'),
        _ => (seconds / 86_400, 'd', seconds % 86_400 / 3_600, 'h'),
    };
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

/// How long it still is from `now` to `then`; `None`: it is over.
#[must_use]
pub fn left(now: Timestamp, then: Timestamp) -> Option<Duration> {
    (then - now).to_std().ok().filter(|left| !left.is_zero())
}

/// A moment, to the second: `2026-11-22 02:30:05Z`.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// How long ago that was, in its largest unit: `3m ago`. What is still to come by another clock was just now.
#[must_use]
pub fn ago(now: Timestamp, at: Timestamp) -> String {
    let seconds = crate::domain::time::since(now, at).as_secs();
    let (number, unit) = match seconds {
        0..60 => (seconds, 's'),
        60..3_600 => (seconds / 60, 'm'),
        3_600..172_800 => (seconds / 3_600, 'h'),
        _ => (seconds / 86_400, 'd'),
    };
    format!("{number}{unit} ago")
}

/// "1 host", "3 hosts".
#[must_use]
pub fn count(number: usize, one: &str) -> String {
    many(number, one, &format!("{one}s"))
}

/// "1 query", "3 queries".
#[must_use]
pub fn many(number: usize, one: &str, more: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {more}") }
}

/// Bytes as hexadecimal digits, in lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A span as people write it: `90s`, `2h`, `1h30m`; more than nothing and at most a year.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    const YEAR: Duration = Duration::from_hours(365 * 24);
    let span = humantime::parse_duration(text.trim())
        .map_err(|error| format!("{error}; write a span such as 90s, 30m, 2h or 1h30m"))?;
    if span.is_zero() || span > YEAR {
        return Err("a span is longer than nothing and at most a year, such as 90s, 30m or 2h".to_owned());
    }
    Ok(span)
}

/// A moment as people write it: so long ago, or the moment itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(Timestamp),
}

impl Since {
    /// The moment that is meant.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(span) => before(now, span),
            Self::At(at) => at,
        }
    }
}

/// Reads `2h` (so long ago) or `2026-11-22T02:30:00Z` (then).
pub fn parse_since(text: &str) -> Result<Since, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text.trim()) {
        return Ok(Since::At(at.with_timezone(&Utc)));
    }
    parse_span(text).map(Since::Ago).map_err(|_| {
        "write how long ago (90s, 30m, 2h, 7days) or a moment in RFC 3339 (2026-11-22T02:30:00Z)".to_owned()
    })
}

/// A reason: something, on one line, short enough to be read.
pub fn parse_reason(text: &str) -> Result<String, String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return Err("say in a few words why; whoever reads the history will want to know".to_owned());
    }
    if text.chars().count() > 500 {
        return Err(
            "a reason has at most 500 characters; put the long story elsewhere and name it".to_owned()
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_their_two_largest_units() {
        let of = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(
            [of(0), of(59), of(60), of(312), of(7_380), of(90_000)],
            ["0s", "59s", "1m", "5m12s", "2h3m", "1d1h"]
        );
    }

    #[test]
    fn what_is_past_is_told_in_its_largest_unit() {
        let at = DateTime::UNIX_EPOCH;
        let of = |seconds| ago(crate::domain::time::after(at, Duration::from_secs(seconds)), at);
        assert_eq!(
            [of(0), of(59), of(60), of(3_599), of(7_380), of(100_000), of(172_800)],
            ["0s ago", "59s ago", "1m ago", "59m ago", "2h ago", "27h ago", "2d ago"]
        );
        assert_eq!(ago(at, crate::domain::time::after(at, Duration::from_secs(5))), "0s ago");
    }

    #[test]
    fn since_is_a_span_or_a_moment() {
        assert_eq!(parse_since("2h").unwrap(), Since::Ago(Duration::from_hours(2)));
        let at = parse_since("2026-11-22T03:30:00+01:00").unwrap();
        assert_eq!(moment(at.at(DateTime::UNIX_EPOCH)), "2026-11-22 02:30:00Z");
        assert!(parse_since("yesterday").unwrap_err().contains("RFC 3339"));
        assert!(parse_since("0s").is_err());
    }

    #[test]
    fn a_reason_is_one_line_and_not_empty() {
        assert_eq!(parse_reason("  deploy \n of  v7 ").unwrap(), "deploy of v7");
        assert!(parse_reason(" \t ").is_err());
        assert!(parse_reason(&"x".repeat(501)).is_err());
    }
}
