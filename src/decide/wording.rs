//! How numbers, spans and times are written in the sentences that people read.

use std::fmt;
use std::time::Duration;

use crate::domain::time::Timestamp;

/// A number with as many digits as tell it apart from its neighbours on a dashboard: `0.60`, `0.7501`, `12`, `1840`.
#[must_use]
pub fn number(value: f64) -> String {
    if value.fract().abs() < f64::EPSILON && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    let decimals = match value.abs() {
        size if size < 0.001 => 6,
        size if size < 10.0 => 4,
        size if size < 100.0 => 3,
        size if size < 10_000.0 => 2,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let Some(point) = text.find('.') else {
        return text;
    };
    let keep = text.trim_end_matches('0').len().max(point + 3).min(text.len());
    text[..keep].to_owned()
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
