//! Season and trend of a load, by `augurs`: the only place that knows the library.
//!
//! The daily and, once two weeks are known, the weekly season are taken out by MSTL (Bandara, Hyndman, Bergmeir 2021);
//! what is left is continued by exponential smoothing with an automatically chosen trend (AutoETS, Hyndman and Khandakar
//! 2008), whose interval is the forecast's. Errors are taken as additive: a load may be 0.

use augurs::ets::AutoETS;
use augurs::mstl::MSTLModel;
use augurs::{Forecast, prelude::*};

use crate::decide::forecast::history::DAY;

const WEEK: usize = 7 * DAY;
/// The probability with which the load lies in the interval.
const LEVEL: f64 = 0.95;
/// Additive errors, an additive trend or none, no season: that was taken out before.
const MODEL: &str = "AZN";

/// A load with the ends of its interval.
pub(super) type Interval = (f64, f64, f64);

/// The last known bucket as the model sees it now, and the next ones; none is negative. The first stands in for the real
/// load, which has its own error in it: what grows from one to the next is the seasons' growth and nothing else.
///
/// # Errors
///
/// If the library cannot fit these loads: why, in its words.
pub(super) fn expect(loads: &[f64], steps: usize) -> Result<Vec<Interval>, String> {
    let periods = if loads.len() >= 2 * WEEK { vec![DAY, WEEK] } else { vec![DAY] };
    let trend = AutoETS::new(1, MODEL).map_err(|error| error.to_string())?.into_trend_model();
    let fitted = MSTLModel::new(periods.clone(), trend).fit(loads).map_err(|error| error.to_string())?;
    let coming = intervals(&fitted.predict(steps, LEVEL).map_err(|error| error.to_string())?);
    // From the next bucket back to the last: as each season went there a period ago.
    let back = periods.iter().zip(fitted.fit().seasonal()).map(|(period, season)| {
        let at = |ago: usize| season.len().checked_sub(ago).map_or(0.0, |place| f64::from(season[place]));
        at(1) - at(*period)
    });
    let back: f64 = back.sum();
    let known = coming.first().map(|(load, low, high)| (load + back, low + back, high + back));
    let expected: Vec<Interval> = known.into_iter().chain(coming.iter().copied()).map(not_negative).collect();
    let is_number = |(load, low, high): &Interval| load.is_finite() && low.is_finite() && high.is_finite();
    if expected.len() == steps + 1 && expected.iter().all(is_number) {
        Ok(expected)
    } else {
        Err("what it expects is no number".to_owned())
    }
}

fn not_negative((load, low, high): Interval) -> Interval {
    (load.max(0.0), low.max(0.0), high.max(0.0))
}

fn intervals(forecast: &Forecast) -> Vec<Interval> {
    let ends = forecast.intervals.as_ref();
    let (low, high) = ends.map_or((&forecast.point, &forecast.point), |ends| (&ends.lower, &ends.upper));
    let loads = forecast.point.iter().zip(low.iter().zip(high));
    loads.map(|(load, (low, high))| (*load, *low, *high)).collect()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn wave(place: usize, period: usize) -> f64 {
        (place as f64 / period as f64 * TAU).sin()
    }

    #[test]
    fn the_shape_of_a_day_is_continued() {
        let load = |place: usize| 50.0 + 20.0 * wave(place, DAY) + (place * 7_919 % 100) as f64 / 50.0;
        let loads: Vec<f64> = (0..6 * DAY).map(load).collect();
        let expected = expect(&loads, DAY).unwrap();
        assert_eq!(expected.len(), DAY + 1);
        for (step, (found, low, high)) in expected.iter().enumerate() {
            let comes = load(6 * DAY - 1 + step);
            assert!((found - comes).abs() < 4.0, "{step}: {found} where {comes} comes");
            assert!(low <= found && found <= high);
        }
    }

    #[test]
    fn the_shape_of_a_week_is_continued_once_two_are_known() {
        let weekend = |place: usize| place / DAY % 7 >= 5;
        let load = |place: usize| if weekend(place) { 10.0 } else { 50.0 + 20.0 * wave(place, DAY) };
        let loads: Vec<f64> = (0..3 * WEEK).map(load).collect();
        let expected = expect(&loads, WEEK).unwrap();
        let far_off =
            (0..WEEK).filter(|step| (expected[step + 1].0 - load(3 * WEEK + step)).abs() > 10.0).count();
        assert!(far_off < WEEK / 20, "{far_off} of {WEEK}");
    }

    #[test]
    fn loads_without_any_shape_are_no_harm() {
        for flat in [0.0, 3.0, 1e12, 1e-12] {
            let expected = expect(&vec![flat; 3 * DAY], 36);
            let expected = expected.unwrap_or_default();
            assert!(
                expected.iter().all(|(load, _, _)| (load - flat).abs() <= flat * 1e-3 + 1e-9),
                "{flat}: {expected:?}"
            );
        }
        let spike: Vec<f64> = (0..3 * DAY).map(|place| if place == 200 { 1e6 } else { 0.0 }).collect();
        assert!(expect(&spike, 36).unwrap_or_default().iter().all(|(load, _, _)| load.is_finite()));
        assert!(expect(&[1.0; 10], 36).is_err());
        assert!(expect(&[], 36).is_err());
    }
}
