//! How numbers, spans and times are written in the sentences that people read.

use std::fmt;
use std::time::Duration;

use crate::domain::time::Timestamp;

/// A number with as many digits as tell it apart from its neighbours on a dashboard: `0.60`, `0.7501`, `12`, `1840`.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "both parts are whole, and below a million"
)]
pub fn number(value: f64) -> String {
    if value.fract().abs() < f64::EPSILON && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    let (decimals, parts) = match value.abs() {
        size if size < 0.001 => (6, 1e6),
        size if size < 10.0 => (4, 1e4),
        size if size < 100.0 => (3, 1e3),
        size if size < 10_000.0 => (2, 1e2),
        _ => return format!("{value:.0}"),
    };
    // As whole parts: every decision writes a dozen of these, and the exact decimals of a float cost a microsecond.
    let scaled = (value.abs() * parts).round();
    let (whole, mut rest, mut digits) = ((scaled / parts).trunc(), (scaled % parts) as u32, decimals);
    while digits > 2 && rest.is_multiple_of(10) {
        rest /= 10;
        digits -= 1;
    }
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}.{rest:0digits$}", whole as u32)
}

/// A share as a percentage: `10 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{} %", number((share * 10_000.0).round() / 100.0))
}

/// A span in whole seconds, as configuration files write it: `45s`, `5m`, `1h30m`. A started second counts.
pub(super) fn span(span: Duration) -> String {
    let total = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
    let part = |count: u64, unit: char| if count == 0 { String::new() } else { format!("{count}{unit}") };
    let text = format!("{}{}{}", part(hours, 'h'), part(minutes, 'm'), part(seconds, 's'));
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A point in time, to the second, in UTC.
pub(super) fn clock(at: Timestamp) -> impl fmt::Display {
    at.format("%H:%M:%SZ")
}

/// `1 host`, `3 hosts`.
pub(super) fn hosts(count: u32) -> String {
    if count == 1 { "1 host".to_owned() } else { format!("{count} hosts") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_digits_that_tell_it_apart() {
        let written = [
            (0.0, "0"),
            (-0.0, "-0"),
            (12.0, "12"),
            (1_840.0, "1840"),
            (0.6, "0.60"),
            (0.75, "0.75"),
            (0.7501, "0.7501"),
            (0.75006, "0.7501"),
            (-0.7501, "-0.7501"),
            (0.000_25, "0.00025"),
            (0.000_000_1, "0.00"),
            (9.999_96, "10.00"),
            (99.999_6, "100.00"),
            (12.3456, "12.346"),
            (9_999.996, "10000.00"),
            (123.456, "123.46"),
            (1_000.05, "1000.05"),
            (12_345.6, "12346"),
            (1e300, &format!("{:.0}", 1e300)),
        ];
        for (value, text) in written {
            assert_eq!(number(value), text, "{value}");
        }
        assert_eq!(number(f64::NAN), "NaN");
    }
}
