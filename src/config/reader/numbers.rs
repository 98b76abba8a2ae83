//! Numbers, durations, and yes or no.

use std::time::Duration;

use serde_json::{Map, Value, json};
use toml::Spanned;
use toml::de::DeValue;

use crate::config::duration;
use crate::config::reader::kind::{Kind, Site, found};
use crate::config::reader::{REMARK, into_map};

/// A whole number within bounds, both included.
pub(in crate::config) struct Whole {
    least: u64,
    most: u64,
}

/// A whole number from `least` to `most`.
pub(in crate::config) const fn whole(least: u64, most: u64) -> Whole {
    Whole { least, most }
}

/// A number of hosts, or of anything else that is counted in a `u32`.
pub(in crate::config) struct Count(Whole);

/// A whole number from `least` to `most`.
pub(in crate::config) const fn count(least: u32, most: u32) -> Count {
    Count(Whole { least: least as u64, most: most as u64 })
}

impl Kind for Whole {
    type Out = u64;

    fn read(&self, value: &Spanned<DeValue<'_>>, site: &mut Site<'_, '_>) -> Option<u64> {
        let range = format!("a whole number from {} to {}", self.least, self.most);
        let DeValue::Integer(integer) = value.get_ref() else {
            let without_quotes = match value.get_ref() {
                DeValue::String(text) if text.parse::<u64>().is_ok() => ": leave out the quotes",
                _ => "",
            };
            site.wrong(value, format!("must be {range}, not {}{without_quotes}", found(value.get_ref())));
            return None;
        };
        let number = u64::from_str_radix(integer.as_str().trim_start_matches('+'), integer.radix()).ok();
        let fitting = number.filter(|number| (self.least..=self.most).contains(number));
        if fitting.is_none() {
            site.wrong(value, format!("is out of range: write {range}"));
        }
        fitting
    }

    fn shape(&self) -> Map<String, Value> {
        into_map(json!({"type": "integer", "minimum": self.least, "maximum": self.most}))
    }

    fn show(&self, out: &u64) -> Value {
        json!(out)
    }
}

impl Kind for Count {
    type Out = u32;

    fn read(&self, value: &Spanned<DeValue<'_>>, site: &mut Site<'_, '_>) -> Option<u32> {
        self.0.read(value, site).and_then(|number| u32::try_from(number).ok())
    }

    fn shape(&self) -> Map<String, Value> {
        self.0.shape()
    }

    fn show(&self, out: &u32) -> Value {
        json!(out)
    }
}

/// A number above a bound, up to another.
pub(in crate::config) struct Above {
    bound: f64,
    most: f64,
}

/// A number above `bound`, up to `most`.
pub(in crate::config) const fn above(bound: f64, most: f64) -> Above {
    Above { bound, most }
}

impl Kind for Above {
    type Out = f64;

    fn read(&self, value: &Spanned<DeValue<'_>>, site: &mut Site<'_, '_>) -> Option<f64> {
        let Some(number) = number(value.get_ref()) else {
            site.wrong(value, format!("must be a number, not {}", found(value.get_ref())));
            return None;
        };
        let fits = number > self.bound && number <= self.most;
        if !fits {
            site.wrong(
                value,
                format!("is out of range: write a number above {}, up to {}", self.bound, self.most),
            );
        }
        fits.then_some(number)
    }

    fn shape(&self) -> Map<String, Value> {
        into_map(json!({"type": "number", "exclusiveMinimum": self.bound, "maximum": self.most}))
    }

    fn show(&self, out: &f64) -> Value {
        json!(out)
    }
}

/// A share of a whole, from 0 to 1.
pub(in crate::config) struct Fraction;

impl Kind for Fraction {
    type Out = f64;

    fn read(&self, value: &Spanned<DeValue<'_>>, site: &mut Site<'_, '_>) -> Option<f64> {
        match number(value.get_ref()) {
            Some(number) if (0.0..=1.0).contains(&number) => return Some(number),
            Some(number) if number > 1.0 && number <= 100.0 => {
                let share = number / 100.0;
                site.wrong(value, format!("is a fraction from 0 to 1: for {number} percent write {share}"));
            }
            Some(_) => site.wrong(value, "is out of range: write a fraction from 0 to 1, such as 0.75"),
            None => {
                let kind = found(value.get_ref());
                site.wrong(
                    value,
                    format!("must be a fraction from 0 to 1, not {kind}: write 0.75 for 75 percent"),
                );
            }
        }
        None
    }

    fn shape(&self) -> Map<String, Value> {
        into_map(json!({"type": "number", "minimum": 0, "maximum": 1}))
    }

    fn show(&self, out: &f64) -> Value {
        json!(out)
    }
}

/// The finite number that a value is, whole or not.
fn number(value: &DeValue<'_>) -> Option<f64> {
    let number = match value {
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse().ok(),
        DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// `true` or `false`.
pub(in crate::config) struct Flag;

impl Kind for Flag {
    type Out = bool;

    fn read(&self, value: &Spanned<DeValue<'_>>, site: &mut Site<'_, '_>) -> Option<bool> {
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            site.wrong(
                value,
                format!("must be true or false, without quotes, not {}", found(value.get_ref())),
            );
        }
        flag
    }

    fn shape(&self) -> Map<String, Value> {
        into_map(json!({"type": "boolean"}))
    }

    fn show(&self, out: &bool) -> Value {
        json!(out)
    }
}

/// A duration within bounds, both included.
pub(in crate::config) struct Span {
    least: Duration,
    most: Duration,
}

/// A duration from `least` to `most`.
pub(in crate::config) const fn span(least: Duration, most: Duration) -> Span {
    Span { least, most }
}

impl Kind for Span {
    type Out = Duration;

    fn read(&self, value: &Spanned<DeValue<'_>>, site: &mut Site<'_, '_>) -> Option<Duration> {
        let problem = match value.get_ref() {
            DeValue::String(text) => match duration::parse(text) {
                Ok(span) if span >= self.least && span <= self.most => return Some(span),
                Ok(_) => format!("is out of range: write a duration {}", self.range()),
                Err(problem) => problem,
            },
            DeValue::Integer(number) if number.radix() == 10 && !number.as_str().starts_with('-') => {
                format!("has no unit: write \"{}s\" for seconds", number.as_str().trim_start_matches('+'))
            }
            other => format!("must be a duration, not {}: write \"10s\" or \"1h30m\"", found(other)),
        };
        site.wrong(value, problem);
        None
    }

    fn shape(&self) -> Map<String, Value> {
        let remark = format!("A duration {}.", self.range());
        into_map(json!({"type": "string", "pattern": duration::PATTERN, REMARK: remark}))
    }

    fn show(&self, out: &Duration) -> Value {
        json!(duration::show(*out))
    }
}

impl Span {
    fn range(&self) -> String {
        format!("from \"{}\" to \"{}\"", duration::show(self.least), duration::show(self.most))
    }
}
