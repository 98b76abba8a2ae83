//! A day that the service lived through: the load as it observed it, and what it did.
//!
//! Every tick leaves an observation, and with the mean CPU of the hosts and their number it tells the load in hosts that
//! are wholly busy. So the policy can be replayed on the fleet's own day, and what it really did stands beside it: where
//! the two differ much, the plant is not like this fleet, and its other answers are worth less. CPU that reads 100 %
//! hides how much more was wanted; the load is at least what is replayed.
//!
//! The single decisions are not made again here but by `--again`, which asks another question: not whether the policy is
//! good, but whether the record is true.

use std::time::Duration;

use crate::backtest::measures::Measures;
use crate::backtest::plant::{SERVICE_LEVEL, needed};
use crate::backtest::shipped::SIGNAL;
use crate::backtest::trace::Trace;
use crate::backtest::{Run, Second};
use crate::cli::backtest::replay::{Kind, Outcome};
use crate::decide::condition::Facet;
use crate::decide::signal::Observation;
use crate::domain::ids::FleetName;
use crate::domain::time::{Timestamp, since};
use crate::signals::range::Span;
use crate::store::history::{History, Sample, SeriesQuery};
use crate::view::words::{moment, span};

/// Values that are asked for at most: two weeks of minutes.
const POINTS_MAX: u32 = 20_160;

/// What a fleet did.
pub(super) struct Lived {
    step: Second,
    points: Vec<Point>,
}

/// One moment of it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    /// In hosts that are wholly busy.
    load: f64,
    serving: u32,
    pending: u32,
    wanted: Option<u32>,
}

/// Reads what was observed of a fleet: its load, what it did, and what is to be said of that.
pub(super) async fn read(
    history: &dyn History,
    fleet: &FleetName,
    from: Timestamp,
    until: Timestamp,
    whole: Span,
) -> anyhow::Result<(Trace, Lived, Vec<String>)> {
    let points =
        u32::try_from(whole.until.saturating_sub(whole.from) / u64::from(whole.step)).unwrap_or(u32::MAX);
    anyhow::ensure!(
        (1..=POINTS_MAX).contains(&points),
        "{points} values are not from 1 to {POINTS_MAX}: ask for another span or another --step"
    );
    let query = SeriesQuery { fleet: fleet.clone(), since: from, until, points };
    let samples = history.samples(&query).await?;
    let mut slots = vec![None; points as usize];
    for sample in &samples {
        let place = since(sample.observation.at, from).as_secs() / u64::from(whole.step);
        if let Some(slot) = usize::try_from(place).ok().and_then(|place| slots.get_mut(place)) {
            *slot = Point::of(sample);
        }
    }
    let (points, filled) = fill(&slots, whole.fill / whole.step).map_err(|place| {
        let at = from + Duration::from_secs(place as u64 * u64::from(whole.step));
        let most = span(Duration::from_secs(u64::from(whole.fill)));
        anyhow::anyhow!(
            "from {} on nothing is recorded of {fleet}'s CPU for more than {most}, which is the longest hole that is \
             filled; ask for a later --since, or a longer --fill",
            moment(at)
        )
    })?;
    let mut notes = vec![
        format!(
            "the load is the CPU that {fleet} was observed at from {} to {}",
            moment(from),
            moment(until)
        ),
        "recorded is what it did, without hosts that drained; CPU at 100 % hides what more was wanted"
            .to_owned(),
    ];
    if filled > 0 {
        notes.push(format!("{filled} of {} values are holes that hold the value before them", points.len()));
    }
    let load = points.iter().map(|point| point.load).collect();
    let trace = Trace::new("its own record".to_owned(), whole.step, load)
        .map_err(|problem| anyhow::anyhow!("what is recorded of {fleet} is no load: {problem}"))?;
    Ok((trace, Lived { step: whole.step, points }, notes))
}

impl Point {
    /// Of what was observed; `None`: there was no CPU in it.
    fn of(sample: &Sample) -> Option<Self> {
        let value = |name: &str| Observation::value(&sample.observation, name, Facet::Heard);
        let serving = value("hosts.in_service")?;
        Some(Self {
            load: value(SIGNAL)? * serving,
            serving: hosts(serving),
            pending: hosts(value("hosts.pending").unwrap_or(0.0)),
            wanted: sample.wanted,
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of hosts that was stored as a float; `as` saturates"
)]
fn hosts(count: f64) -> u32 {
    count.round() as u32
}

/// Short holes hold the value before them, and a late start is cut off; the place of a hole that is too long. Beside the
/// values how many of them are made up.
fn fill(slots: &[Option<Point>], most: u32) -> Result<(Vec<Point>, usize), usize> {
    let Some((first, mut last)) =
        slots.iter().enumerate().find_map(|(place, slot)| slot.map(|point| (place, point)))
    else {
        return Err(0);
    };
    let (mut points, mut filled, mut hole) = (Vec::with_capacity(slots.len()), 0, 0);
    for (place, slot) in slots.iter().enumerate().skip(first) {
        if let Some(point) = slot {
            (last, hole) = (*point, 0);
        } else {
            (hole, filled) = (hole + 1, filled + 1);
        }
        if hole > most {
            return Err(place + 1 - hole as usize);
        }
        points.push(last);
    }
    Ok((points, filled))
}

impl Lived {
    /// What the fleet did, but for the part that constants were found on.
    pub(super) fn outcome(&self, tuned_on: Duration) -> Outcome {
        let skipped = usize::try_from(tuned_on.as_secs() / u64::from(self.step)).unwrap_or(usize::MAX);
        let points = self.points.get(skipped..).unwrap_or_default();
        let run = Run {
            step: self.step,
            load: points.iter().map(|point| point.load).collect(),
            needed: points.iter().map(|point| needed(point.load)).collect(),
            serving: points.iter().map(|point| point.serving).collect(),
            paid: points.iter().map(|point| point.serving + point.pending).collect(),
            unserved: points.iter().map(Point::unserved).collect(),
            moves: moves(points),
        };
        Outcome {
            name: "recorded".to_owned(),
            kind: Kind::Recorded,
            settings: "as it was".to_owned(),
            measures: Measures::of(&run),
            run,
        }
    }
}

impl Point {
    fn unserved(&self) -> f64 {
        (self.load - f64::from(self.serving) * SERVICE_LEVEL).max(0.0)
    }
}

/// How often the size wanted changed.
fn moves(points: &[Point]) -> u32 {
    let changed = points.windows(2).filter(|pair| pair[0].wanted != pair[1].wanted).count();
    u32::try_from(changed).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(load: f64, wanted: u32) -> Point {
        Point { load, serving: 2, pending: 1, wanted: Some(wanted) }
    }

    #[test]
    fn holes_are_filled_up_to_a_length_and_told_beyond_it() {
        let (one, two) = (point(1.0, 2), point(2.0, 2));
        let slots = [None, Some(one), None, None, Some(two)];
        assert_eq!(fill(&slots, 2), Ok((vec![one, one, one, two], 2)));
        assert_eq!(fill(&slots, 1), Err(2));
        assert_eq!(fill(&[None, None], 9), Err(0));
    }

    #[test]
    fn what_was_lived_is_measured_as_a_replay_is() {
        let points = vec![point(1.0, 2), point(2.0, 3), point(2.0, 3), point(1.0, 2)];
        let lived = Lived { step: 60, points };
        let whole = lived.outcome(Duration::ZERO);
        assert_eq!((whole.run.needed, whole.run.paid, whole.run.moves), (vec![2, 3, 3, 2], vec![3; 4], 2));
        assert!((whole.measures.unserved_share - 0.8 / 6.0).abs() < 1e-9, "0.4 twice, of 6");
        let rest = lived.outcome(Duration::from_mins(2));
        assert_eq!(rest.run.needed, [3, 2]);
        assert!(lived.outcome(Duration::from_hours(1)).run.load.is_empty());
    }
}
