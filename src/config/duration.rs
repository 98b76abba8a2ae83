//! Durations as people write them: `"10s"`, `"1h30m"`, `"500ms"`.
//!
//! The grammar is deliberately narrow. Looser ones read `5M` as five months and `1.5` as anything at all, and a
//! cooldown that is wrong by five orders of magnitude looks fine until the day it matters.

use std::time::Duration;

use crate::config::report::excerpt;

/// The units, largest first, with their length in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// What [`parse`] accepts, as a regular expression for the schema.
pub(super) const PATTERN: &str = "^[0-9]+(ms|s|m|h|d)( ?[0-9]+(ms|s|m|h|d))*$";

/// Reads a duration, or says what would be right.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    if text.is_empty() {
        return Err("is empty: write a duration such as \"10s\"".to_owned());
    }
    let shown = excerpt(text);
    let mut rest = text;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let (count, unit, after) = split_part(&shown, rest)?;
        let part = count.checked_mul(unit).and_then(|part| millis.checked_add(part));
        millis = part.ok_or_else(|| format!("{shown:?} is longer than can be counted: write \"10s\""))?;
        rest = after.strip_prefix(' ').filter(|next| !next.is_empty()).unwrap_or(after);
    }
    Ok(Duration::from_millis(millis))
}

/// Splits the first number and its unit off `rest`, a part of the text that is `shown` in errors.
fn split_part<'t>(shown: &str, rest: &'t str) -> Result<(u64, u64, &'t str), String> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, tail) = rest.split_at(digits);
    if number.is_empty() {
        return Err(format!(
            "{shown:?} is not a duration: write a number and a unit, such as \"10s\" or \"1h30m\""
        ));
    }
    let Ok(count) = number.parse() else {
        return Err(format!("{shown:?} is longer than can be counted: write \"10s\""));
    };
    let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (name, after) = tail.split_at(letters);
    match UNITS.iter().find(|(unit, _)| *unit == name) {
        Some((_, unit)) => Ok((count, *unit, after)),
        None if after.starts_with('.') => Err(format!(
            "{shown:?} has a fraction: write it in a smaller unit, such as \"1h30m\" for an hour and a half"
        )),
        None if name.is_empty() => Err(format!("{shown:?} has no unit: write \"{count}s\" for seconds")),
        None => Err(format!(
            "{shown:?} has the unknown unit {:?}: the units are ms, s, m, h and d, as in \"1h30m\"",
            excerpt(name)
        )),
    }
}

/// Writes a duration in the way that [`parse`] reads: `1h30m`.
pub(super) fn show(span: Duration) -> String {
    let mut millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, unit) in UNITS {
        let count = millis / unit;
        millis %= unit;
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("2d", 172_800_000),
            ("0s", 0),
            ("90s", 90_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest_with_a_remedy() {
        for (text, part) in [
            ("", "is empty"),
            ("10", "write \"10s\""),
            ("s", "write a number and a unit"),
            ("5M", "unknown unit \"M\""),
            ("10 s", "has no unit"),
            ("1.5h", "has a fraction"),
            ("-1s", "is not a duration"),
            ("10s ", "is not a duration"),
            ("99999999999999999999s", "longer than can be counted"),
            ("99999999999999999d", "longer than can be counted"),
            ("1h-5m", "is not a duration"),
            ("１s", "is not a duration"),
        ] {
            let message = parse(text).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(millis in 0_u64..10_000_000_000) {
            let span = Duration::from_millis(millis);
            prop_assert_eq!(parse(&show(span)), Ok(span));
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
