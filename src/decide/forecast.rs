//! What load is expected, and what a fleet makes of it: an opinion of its own, beside the target's.
//!
//! A target answers the load that is there, and its hosts come one boot later. Where the same hours come back every day
//! or every week, a forecast can have them there in time. It is the most dangerous opinion of all, since it spends money
//! on what has not happened, so it is held on four reins:
//!
//! - **It raises and never lowers.** Only its growth is used: how much more than now is expected within the time that a
//!   host takes to come. That is multiplied with the load that is really there, so a forecast of the wrong height does
//!   nothing, and one that expects less than now is silent.
//! - **It is bounded by the operator.** At most `hosts_max` more hosts than the present load asks for: what a wrong
//!   forecast can cost is known before it is switched on.
//! - **It is tried before it is believed.** Each is made with a [`Trial`] on the fleet's own last days: what would have
//!   been needed with it and without it. Until it saves something there, it is recorded and not followed.
//! - **It ends.** A forecast is for the next hours; after that it says nothing.
//!
//! Season and trend are a library's (`season`); [`history`] is what they are made from.

pub mod history;
mod kept;
mod season;
mod trial;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decide::census::Census;
use crate::decide::condition::Facet;
use crate::decide::forecast::history::{BUCKET, LoadHistory};
use crate::decide::opinion::{Because, Opinion, Source, Wish};
use crate::decide::policy::{Target, to_size};
use crate::decide::targets::{self, NOISE};
use crate::decide::trail::BOOT_TIME;
use crate::domain::time::{Timestamp, after, before, since};
pub use kept::Forecasts;
pub use trial::{Trial, Trust};

/// How far it reaches beyond the last load that was known to it: its life, the longest lead, and an hour, of which a bucket
/// that was not over when it was made takes a part.
const REACH: Duration = Duration::from_hours(8);
/// A host that takes longer than this to come is planned for as if it came by then.
const LEAD_MOST: Duration = Duration::from_hours(4);

/// What load is expected of one signal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Whether forecasts of this signal may be followed.
    pub trust: Trust,
    /// The expected load, a [`BUCKET`] apart, oldest first; empty where nothing could be expected.
    pub points: Vec<Expected>,
}

/// What is expected at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// When.
    #[serde(with = "crate::domain::time::json")]
    pub at: Timestamp,
    /// The load: the signal times the hosts that it is spread over.
    pub load: f64,
    /// It is above this with a probability of 97.5 %…
    pub low: f64,
    /// …and below this.
    pub high: f64,
}

/// By how much the load is expected to grow at the most, and by when.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Growth {
    /// Of the load now; 1 and more.
    factor: f64,
    /// The same at the ends of the interval.
    low: f64,
    high: f64,
    by: Timestamp,
}

impl Forecast {
    /// From what is known of a load, for hosts that take `lead` to come; `trial`: what earlier ones came to, where
    /// that need not be asked again yet.
    #[must_use]
    pub fn of(history: &LoadHistory, lead: Duration, trial: Option<Trust>) -> Self {
        let steps = usize::try_from(REACH.as_secs() / BUCKET.as_secs()).unwrap_or(0);
        let (trust, expected) = match trial.unwrap_or_else(|| Trust::of(history, lead)) {
            trust @ (Trust::TooShort { .. } | Trust::Failed { .. }) => (trust, Vec::new()),
            trust @ Trust::Tried(_) => match season::expect(history.last_weeks(), steps) {
                Ok(expected) => (trust, expected),
                Err(why) => (Trust::Failed { why }, Vec::new()),
            },
        };
        // Each stands for the middle of its bucket, the first for that of the last one that is known.
        let first = before(history.end(), BUCKET.mul_f64(0.5));
        let points = (0..).zip(expected).map(|(step, (load, low, high))| Expected {
            at: after(first, BUCKET * step),
            load,
            low,
            high,
        });
        Self { trust, points: points.collect() }
    }

    /// With only those points that a decision at `now` looks at: it is kept with every decision.
    #[must_use]
    pub fn near(&self, now: Timestamp, lead: Duration) -> Self {
        let (from, till) = (before(now, BUCKET), after(now, lead.min(LEAD_MOST) + BUCKET));
        let near = self.points.iter().filter(|point| from <= point.at && point.at <= till);
        Self { points: near.copied().collect(), ..self.clone() }
    }

    /// The expected load at a moment between two points.
    fn at(&self, at: Timestamp) -> Option<Expected> {
        let next = self.points.iter().position(|point| point.at >= at)?;
        let after_it = self.points[next];
        let Some(before_it) = next.checked_sub(1).map(|last| self.points[last]) else {
            return (after_it.at == at).then_some(after_it);
        };
        let share = since(at, before_it.at).as_secs_f64() / since(after_it.at, before_it.at).as_secs_f64();
        let mix = |from: f64, to: f64| from + share * (to - from);
        Some(Expected {
            at,
            load: mix(before_it.load, after_it.load),
            low: mix(before_it.low, after_it.low),
            high: mix(before_it.high, after_it.high),
        })
    }

    /// The most that is expected until a host that is asked for now has come; `None`: the forecast does not reach so far.
    fn growth(&self, now: Timestamp, lead: Duration) -> Option<Growth> {
        let till = after(now, lead.min(LEAD_MOST));
        let (present, last) = (self.at(now)?, self.at(till)?);
        let within = self.points.iter().filter(|point| now < point.at && point.at < till).copied();
        let highest = within.chain([last]).max_by(|one, other| one.load.total_cmp(&other.load))?;
        let times = |load| times(load, present.load, highest.load);
        Some(Growth {
            factor: times(highest.load).max(1.0),
            low: times(highest.low),
            high: times(highest.high),
            by: highest.at,
        })
    }
}

/// How many times as much a load is as the present one. Of next to nothing anything is a multiple: the present one is taken
/// for no less than a twentieth of the highest that is expected.
fn times(load: f64, present: f64, highest: f64) -> f64 {
    load / present.max(highest / 20.0).max(f64::MIN_POSITIVE)
}

/// How far ahead a decision looks: until a host that it asks for serves and is seen to.
#[must_use]
pub fn lead(boot_time: Option<Duration>, interval: Duration) -> Duration {
    boot_time.unwrap_or(BOOT_TIME) + interval * 2
}

/// What the forecast of a target's signal would like; `None`: the target has no use for one.
pub(super) fn opinion(target: &Target, census: &Census<'_>) -> Option<Opinion> {
    let hosts_max = target.forecast?.hosts_max;
    let (wish, because) = judge(target, hosts_max, census);
    Some(Opinion { source: Source::Forecast(target.name.clone()), wish, because, waits: None })
}

fn judge(target: &Target, hosts_max: u32, census: &Census<'_>) -> (Wish, Because) {
    let Some(forecast) = census.snapshot.forecasts.get(&target.signal) else {
        return (Wish::None, Because::NoForecast);
    };
    if !forecast.trust.is_earned() {
        return (Wish::None, Because::NotTrusted(forecast.trust.clone()));
    }
    let ahead = lead(census.snapshot.boot_time, census.policy.interval);
    let Some(growth) = forecast.growth(census.now, ahead) else { return (Wish::None, Because::NoForecast) };
    // More hosts must be justified with the silent ones at rest, as everywhere.
    let Some(need) = targets::need(target, census, Facet::IfIdle) else {
        return (Wish::None, Because::NoValue { signals: vec![target.signal.clone()] });
    };
    if growth.factor <= 1.0 {
        let by = after(census.now, ahead.min(LEAD_MOST));
        return (Wish::None, Because::NoRise { signal: target.signal.clone(), by });
    }
    let present = to_size((need.hosts - NOISE).ceil());
    let expected = to_size((need.hosts * growth.factor - NOISE).ceil());
    let size = expected.min(present.saturating_add(hosts_max));
    let because = Because::Expected {
        signal: target.signal.clone(),
        load: need.load,
        expected: [growth.low, growth.factor, growth.high].map(|times| need.load * times),
        by: growth.by,
        bound: (size < expected).then_some(hosts_max),
        size,
    };
    (Wish::Size(size), because)
}
