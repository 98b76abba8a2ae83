//! How many requests per second arrive, as an operator says it: a formula, a list of points, or a trace file.
//!
//! Reading a file happens here, once; what the model gets is a [`Curve`], which is a pure function of time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use serde::{Deserialize, Serialize};

use crate::provider::simulated::model::load::{AtEnd, Curve, Points};
use crate::provider::simulated::options::duration;

/// The match day that the project ships, so that a demo needs no path.
const WORLD_CUP: &str = include_str!("../../../../demo/worldcup98.csv");
/// A trace file may be so large; a longer one is certainly the wrong file.
const MAX_TRACE_BYTES: u64 = 16 * 1024 * 1024;
/// The shipped trace counts requests a minute.
const PER_MINUTE: f64 = 1.0 / 60.0;

/// A load, as it is written down. The time in it runs from the moment it is put in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "curve", rename_all = "snake_case", deny_unknown_fields)]
pub enum LoadOptions {
    /// Always the same.
    Constant {
        /// Requests per second.
        rps: f64,
    },
    /// One value, then another.
    Step {
        /// Requests per second before.
        before: f64,
        /// Requests per second after.
        after: f64,
        /// When it changes.
        #[serde(with = "duration")]
        at: Duration,
    },
    /// Up and down around a mean, never below zero. It starts at the mean, rising.
    Sine {
        /// Requests per second in the middle.
        mean: f64,
        /// How far it goes up and down.
        amplitude: f64,
        /// How long one up and down takes.
        #[serde(with = "duration")]
        period: Duration,
    },
    /// Points, straight lines between them.
    Points {
        /// Seconds since the start, and requests per second.
        points: Vec<(f64, f64)>,
        /// So many times faster than written.
        #[serde(default = "one")]
        speed: f64,
        /// What follows the last point.
        #[serde(default)]
        at_end: AtEnd,
    },
    /// A CSV file: in each line a time (seconds, `YYYY-MM-DD hh:mm:ss`, or RFC 3339) and a number.
    Trace {
        /// Which file.
        file: PathBuf,
        /// So many times faster than recorded.
        #[serde(default = "one")]
        speed: f64,
        /// Requests per second are the file's numbers times this.
        #[serde(default = "one")]
        scale: f64,
        /// What follows the last line.
        #[serde(default)]
        at_end: AtEnd,
    },
    /// The shipped afternoon of the 1998 World Cup.
    WorldCup {
        /// So many times faster than it was.
        #[serde(default = "one")]
        speed: f64,
        /// So many times the requests that there were.
        #[serde(default = "one")]
        scale: f64,
        /// What follows the evening.
        #[serde(default)]
        at_end: AtEnd,
    },
}

fn one() -> f64 {
    1.0
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self::Constant { rps: 150.0 }
    }
}

/// A load that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("the trace {file} cannot be read")]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is too large to be a trace.
    #[error("the trace {file} is larger than {MAX_TRACE_BYTES} bytes: is it the right file?")]
    TooLarge {
        /// Which file.
        file: PathBuf,
    },
    /// A line of the file is not a time and a number.
    #[error("line {line} of the trace must be a time and a number, such as `60,12.5`: {text:?}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What is there.
        text: String,
    },
    /// The numbers make no load.
    #[error("{0}")]
    Meaning(String),
}

impl LoadOptions {
    /// What the model needs of it. Reads the file, where there is one.
    pub fn resolve(&self) -> Result<Curve, LoadError> {
        let curve = match self {
            Self::Constant { rps } => Curve::Constant { rps: *rps },
            Self::Step { before, after, at } => Curve::Step { before: *before, after: *after, at: *at },
            Self::Sine { mean, amplitude, period } => {
                Curve::Sine { mean: *mean, amplitude: *amplitude, period: *period }
            }
            Self::Points { points, speed, at_end } => points_curve(points.clone(), *speed, 1.0, *at_end)?,
            Self::Trace { file, speed, scale, at_end } => {
                points_curve(parse_trace(&read_trace(file)?)?, *speed, *scale, *at_end)?
            }
            Self::WorldCup { speed, scale, at_end } => {
                points_curve(parse_trace(WORLD_CUP)?, *speed, *scale * PER_MINUTE, *at_end)?
            }
        };
        if curve.is_sound() {
            return Ok(curve);
        }
        let text = "a load must be made of finite numbers, not below 0, and a period longer than 0";
        Err(LoadError::Meaning(text.to_owned()))
    }
}

fn points_curve(points: Vec<(f64, f64)>, speed: f64, scale: f64, at_end: AtEnd) -> Result<Curve, LoadError> {
    if !(speed.is_finite() && speed > 0.0) {
        return Err(LoadError::Meaning(format!("speed must be above 0, and is {speed}")));
    }
    let scaled = points.into_iter().map(|(at, value)| (at / speed, value * scale)).collect();
    Points::new(scaled, at_end).map(Curve::Points).ok_or_else(|| {
        let text = "a load of points needs at least one, and each later than the one before it";
        LoadError::Meaning(text.to_owned())
    })
}

fn read_trace(file: &Path) -> Result<String, LoadError> {
    let failed = |source| LoadError::Read { file: file.to_owned(), source };
    if std::fs::metadata(file).map_err(failed)?.len() > MAX_TRACE_BYTES {
        return Err(LoadError::TooLarge { file: file.to_owned() });
    }
    std::fs::read_to_string(file).map_err(failed)
}

/// Reads the lines of a trace; times count from the first one. A first line that does not parse is a heading.
fn parse_trace(text: &str) -> Result<Vec<(f64, f64)>, LoadError> {
    let mut points = Vec::new();
    let mut first = None;
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match parse_line(line) {
            Some((at, value)) => points.push((at - *first.get_or_insert(at), value)),
            None if index == 0 => {}
            None => return Err(LoadError::Line { line: index + 1, text: line.chars().take(80).collect() }),
        }
    }
    Ok(points)
}

fn parse_line(line: &str) -> Option<(f64, f64)> {
    let (at, value) = line.split_once(',')?;
    let value = value.split(',').next()?.trim().parse().ok()?;
    let at = at.trim();
    let seconds = if let Ok(number) = at.parse() {
        number
    } else if let Ok(local) = NaiveDateTime::parse_from_str(at, "%Y-%m-%d %H:%M:%S") {
        local.and_utc().timestamp() as f64
    } else {
        DateTime::parse_from_rfc3339(at).ok()?.timestamp() as f64
    };
    Some((seconds, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_afternoon_has_a_sharp_peak_and_a_quiet_end() {
        let load = LoadOptions::WorldCup { speed: 60.0, scale: 1.0, at_end: AtEnd::Hold };
        let curve = load.resolve().unwrap();
        let at = |minutes: u64| curve.rps(Duration::from_secs(minutes));
        let peak = (0..540).map(at).fold(0.0, f64::max);
        assert!((peak - 128_565.0 / 60.0).abs() < 1.0, "{peak}");
        assert!(at(0) < peak / 3.0 && at(539) < peak / 3.0, "{} {}", at(0), at(539));
    }

    #[test]
    fn traces_are_read_in_every_form_of_time() {
        let same = vec![(0.0, 1.0), (60.0, 2.5)];
        for text in [
            "second,rps\n0,1\n60,2.5\n",
            "100,1\n160,2.5",
            "at,n\n1998-06-10 13:00:00,1\n1998-06-10 13:01:00,2.5\n",
            "1998-06-10T13:00:00Z,1,x\n1998-06-10T15:01:00+02:00,2.5,y\n",
        ] {
            assert_eq!(parse_trace(text).unwrap(), same, "{text}");
        }
        let error = parse_trace("at,n\n0,1\nnoon,2\n").unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("noon,2"), "{error}");
    }

    #[test]
    fn loads_that_cannot_be_are_refused() {
        for load in [
            LoadOptions::Constant { rps: f64::NAN },
            LoadOptions::Constant { rps: -1.0 },
            LoadOptions::Sine { mean: 1.0, amplitude: 1.0, period: Duration::ZERO },
            LoadOptions::Points { points: vec![], speed: 1.0, at_end: AtEnd::Hold },
            LoadOptions::Points { points: vec![(5.0, 1.0), (5.0, 2.0)], speed: 1.0, at_end: AtEnd::Hold },
            LoadOptions::Points { points: vec![(0.0, 1.0)], speed: 0.0, at_end: AtEnd::Hold },
            LoadOptions::Trace { file: "no/such/file".into(), speed: 1.0, scale: 1.0, at_end: AtEnd::Hold },
        ] {
            assert!(load.resolve().is_err(), "{load:?}");
        }
    }
}
