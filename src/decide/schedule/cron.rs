//! Cron expressions, as points on a wall clock without a zone.
//!
//! A crate reads them and walks the calendar. It is only ever asked about a clock that is never put forward or back: what
//! daylight saving does to such a clock is one rule, and it stands in a file of its own (`zone.rs`).
//! Here also stands what is wrong with an expression, field by field: the crate says that something is wrong, and reads
//! some slips without a word (a weekday's name where the hour belongs becomes a number).

use std::fmt;
use std::sync::Arc;

use chrono::{NaiveDate, NaiveDateTime};
use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A checked cron expression of five fields.
#[derive(Clone, Debug)]
pub struct Cron {
    text: String,
    pattern: Arc<croner::Cron>,
}

/// One of the five fields.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
    /// What else a part may be.
    marks: &'static [&'static str],
    example: &'static str,
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        least: 0,
        most: 59,
        names: &[],
        marks: &[],
        example: "0 to 59, such as 0, 0,30 or */15",
    },
    Field {
        name: "hour",
        least: 0,
        most: 23,
        names: &[],
        marks: &[],
        example: "0 to 23, such as 8, 8,20 or 8-18",
    },
    Field {
        name: "day of the month",
        least: 1,
        most: 31,
        names: &[],
        marks: &["L"],
        example: "1 to 31, such as *, 1, 1-7, or L for the last day",
    },
    Field {
        name: "month",
        least: 1,
        most: 12,
        names: &MONTHS,
        marks: &[],
        example: "1 to 12 or JAN to DEC, such as *, 12 or NOV,DEC",
    },
    Field {
        name: "day of the week",
        least: 0,
        most: 7,
        names: &DAYS,
        marks: &[],
        example: "SUN to SAT or 0 to 7, such as *, MON-FRI, SAT,SUN or MON#1",
    },
];

/// The longest expression that is read.
const LONGEST: usize = 256;

impl Cron {
    /// Reads an expression, or says which field is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let example = "minute, hour, day of the month, month, day of the week, such as \"0 8 * * MON-FRI\"";
        if text.len() > LONGEST {
            return Err(format!("is longer than {LONGEST} bytes: write five fields: {example}"));
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() != FIELDS.len() {
            let (count, s) = (fields.len(), if fields.len() == 1 { "" } else { "s" });
            return Err(format!("{text:?} has {count} field{s}: write five: {example}"));
        }
        for (field, written) in FIELDS.iter().zip(&fields) {
            field.check(written)?;
        }
        let text = fields.join(" ");
        let pattern = read(&text).ok_or_else(|| format!("{text:?} is not understood: write {example}"))?;
        if !ever_comes(&text) {
            return Err(format!(
                "{text:?} never comes: no month that it names has such a day; write {example}"
            ));
        }
        Ok(Self { text, pattern: Arc::new(pattern) })
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The latest point that is not after `local`. Both searches end: the crate gives up after some thousand years.
    pub(super) fn last_until(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        self.pattern.find_previous_occurrence(&local, true).ok()
    }

    /// The earliest point after `local`.
    pub(super) fn first_after(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        self.pattern.find_next_occurrence(&local, false).ok()
    }
}

/// Whether an expression names any day that there is. Leap years and days of the week come round every 28 years, as long as
/// no leap year is left out; and the search is as short as the years are few.
fn ever_comes(text: &str) -> bool {
    let years = format!("0 {text} 2000-2027");
    let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Required).build();
    let beginning = NaiveDate::from_ymd_opt(2000, 1, 1).map(|day| day.and_time(chrono::NaiveTime::MIN));
    let pattern = parser.parse(&years).ok();
    beginning.zip(pattern).is_some_and(|(from, pattern)| pattern.find_next_occurrence(&from, true).is_ok())
}

fn read(text: &str) -> Option<croner::Cron> {
    CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build().parse(text).ok()
}

impl Field {
    fn check(&self, written: &str) -> Result<(), String> {
        let fits = written.split(',').all(|part| self.is_part(part)) && self.is_read(written);
        if fits {
            return Ok(());
        }
        Err(format!("its {} {written:?} is not understood: write {}", self.name, self.example))
    }

    /// `*`, a value, a range, either of them with a step, or what only this field knows.
    fn is_part(&self, part: &str) -> bool {
        let (base, step) = part.split_once('/').map_or((part, None), |(base, step)| (base, Some(step)));
        if !step.is_none_or(|step| self.is_step(step)) {
            return false;
        }
        match base.split_once('-') {
            Some((from, to)) => self.is_value(from) && self.is_value(to),
            None if base == "*" => true,
            // A step from one value alone is read by some crons and refused by others.
            None => step.is_none() && (self.is_value(base) || self.is_special(base)),
        }
    }

    fn is_step(&self, step: &str) -> bool {
        number(step).is_some_and(|step| (1..=self.most).contains(&step))
    }

    fn is_value(&self, text: &str) -> bool {
        let upper = text.to_ascii_uppercase();
        self.names.contains(&upper.as_str())
            || number(text).is_some_and(|value| (self.least..=self.most).contains(&value))
    }

    /// The last day of a month, and the second Friday of one.
    fn is_special(&self, text: &str) -> bool {
        let upper = text.to_ascii_uppercase();
        let nth = || {
            let (day, nth) = upper.split_once('#')?;
            Some(self.is_value(day) && number(nth).is_some_and(|nth| (1..=5).contains(&nth)))
        };
        self.marks.contains(&upper.as_str()) || (self.most == 7 && nth().unwrap_or(false))
    }

    /// Whether the crate reads it, too, with nothing else in its way.
    fn is_read(&self, written: &str) -> bool {
        let text: Vec<&str> =
            FIELDS.iter().map(|field| if field.name == self.name { written } else { "*" }).collect();
        read(&text.join(" ")).is_some()
    }
}

fn number(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Cron {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
