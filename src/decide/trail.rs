//! What a target learns of its signal from tick to tick: how much head-room the load has needed so far.
//!
//! Hosts come one boot after the load that they are for. How far the load runs ahead in that time differs from fleet to
//! fleet and cannot be configured well, but it can be watched: whenever the signal is above its limit, the load came
//! before its hosts, and by how much is known. The head-room rises with every such shortfall and sinks a little with
//! every tick without one, at a ratio that leaves it at rest where the configured share of the load falls short. This is
//! the online form of a quantile: it holds for whatever load there is, with no model of it.
//!
//! A [`Trail`] is carried in the observations, so it survives restarts and changes of replica with them, and the next
//! decision stays a function of its snapshot alone. After an outage that is longer than a policy looks back, it begins
//! anew. Everything here is decided with what the trail knew *before* this
//! tick; what this tick teaches counts from the next one on. So more load never means fewer hosts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decide::census::Census;
use crate::decide::condition::Facet;
use crate::decide::forecast::lead;
use crate::decide::policy::{Mode, Target};
use crate::decide::signal::{Observation, split_host_signal};
use crate::domain::time::{before, since};

/// What one target had learned by one tick.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Trail {
    /// The load, smoothed: the signal's value times the hosts that it is spread over.
    pub level: f64,
    /// How much more than the load the fleet is kept able to carry, as a share; below 0 where the deadband alone is
    /// more than enough.
    pub headroom: f64,
    /// How far the load strays on average within the time that a host takes to come, as a share.
    pub unrest: f64,
}

/// A time over which the load is smoothed: the noise of single reports averages out, and a rise is seen at once.
const SMOOTHING: f64 = 16.0;
/// A time over which unrest is averaged, and a share of the load that is taken for it at first.
const UNREST_OVER: f64 = 5_000.0;
const UNREST_FIRST: f64 = 0.1;
const UNREST_LEAST: f64 = 0.03;
const UNREST_MOST: f64 = 0.3;
/// By how much a second without any shortfall lowers the head-room, in units of unrest.
const SINK: f64 = 1e-4;
/// A shortfall raises it at most so many times as much as calm lowers it.
const RISE_MOST: f64 = 400.0;
/// Where head-room ends: three times the load is kept ready at the most.
const HEADROOM: (f64, f64) = (-0.2, 2.0);
/// More than this has passed since the last tick: the service was away, and what it missed teaches nothing.
const LONGEST_TICK: f64 = 300.0;
/// How long a host takes to come where nobody has measured it.
pub(super) const BOOT_TIME: Duration = Duration::from_secs(90);
/// Above this utilisation a processor hides how much more is asked of it.
const HIDING: f64 = 0.9;

/// What a target goes by at this tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Learned {
    /// The smoothed load so far, and the weight of this tick's.
    level: Option<(f64, f64)>,
    /// Nothing is added as long as the signal, head-room included, stays below this.
    pub(super) limit: f64,
    pub(super) headroom: f64,
    /// What a change outwards adds beyond need, so that the next one is not due at once.
    pub(super) margin: f64,
    /// Share of hosts that must have become too many before any goes.
    pub(super) slack: f64,
}

impl Learned {
    /// With no trail the formula is the plain one: proportional, with the tolerance to both sides.
    pub(super) fn of(target: &Target, census: &Census<'_>) -> Self {
        let limit = target.value * (1.0 + target.tolerance);
        let Some((seen, trail)) = last(target, census) else {
            let (margin, slack) = (target.tolerance, target.tolerance);
            return Self { level: None, limit, headroom: 0.0, margin, slack };
        };
        let passed = since(census.now, seen.at).as_secs_f64();
        Self {
            level: Some((trail.level, 1.0 - (-passed / SMOOTHING).exp())),
            limit,
            headroom: trail.headroom,
            margin: (0.01 + 0.3 * trail.unrest).min(target.tolerance.max(0.01)),
            slack: 0.02 + 0.5 * trail.unrest,
        }
    }

    /// The load as this tick smooths it.
    pub(super) fn level(&self, load: f64) -> f64 {
        self.level.map_or(load, |(level, weight)| level + weight * (load - level))
    }
}

/// The load behind a value of the signal, in units of the signal times hosts. A processor that is almost wholly busy
/// hides how much more is asked of it: up to twice as much is taken for it then, more the closer it is to the end.
pub(super) fn load(target: &Target, value: f64, hosts: u32) -> f64 {
    let is_cpu = split_host_signal(&target.signal).is_some_and(|(signal, _)| signal == "cpu");
    let from = HIDING.max(target.value * (1.0 + target.tolerance));
    let hidden = if is_cpu && from < 1.0 { ((value - from) / (1.0 - from)).clamp(0.0, 1.0) } else { 0.0 };
    f64::from(hosts) * value * (1.0 + hidden)
}

/// What the target knows after this tick. Without a value it knows what it knew.
pub(super) fn next(target: &Target, census: &Census<'_>, hosts: u32) -> Option<Trail> {
    let before_this = last(target, census);
    let value = census.snapshot.current.value(&target.signal, Facet::Heard).filter(|_| hosts > 0);
    let Some(value) = value else { return before_this.map(|(_, trail)| trail) };
    let learned = Learned::of(target, census);
    let carried = load(target, value, hosts);
    let Some((seen, trail)) = before_this else {
        return Some(Trail { level: carried, headroom: target.tolerance, unrest: UNREST_FIRST });
    };
    let passed = since(census.now, seen.at).as_secs_f64().min(LONGEST_TICK);
    let then = earlier(target, census).unwrap_or(trail.level).max(0.3 * learned.limit);
    let strayed = (f64::from(hosts) * value / then - 1.0).abs().min(3.0);
    let level = learned.level(carried);
    // The mean of two ticks: less noise that would be taken for a shortfall, and none that is one gets lost.
    let previous = seen.value(&target.signal, Facet::Heard).unwrap_or(value);
    let steady = f64::midpoint(value, previous).max(f64::MIN_POSITIVE);
    let short = (1.0 - learned.limit / steady).max(0.0);
    let short = if short > 0.0 && !teaches(census) { 0.0 } else { short };
    let pull = (short / target.shortfall.max(1e-6)).min(RISE_MOST) - 1.0;
    let headroom = trail.headroom + SINK * passed * trail.unrest.clamp(UNREST_LEAST, UNREST_MOST) * pull;
    Some(Trail {
        level,
        headroom: headroom.clamp(HEADROOM.0, HEADROOM.1),
        unrest: trail.unrest + (passed / UNREST_OVER).min(1.0) * (strayed - trail.unrest),
    })
}

/// Whether a shortfall says anything about head-room: not where the fleet was kept from its size by something else.
fn teaches(census: &Census<'_>) -> bool {
    let kept_small = census.desired >= census.policy.size.max || census.capacity() < census.desired;
    census.policy.mode == Mode::Live && !kept_small
}

/// The newest trail.
fn last<'a>(target: &Target, census: &Census<'a>) -> Option<(&'a Observation, Trail)> {
    let mut earlier = census.snapshot.window.iter().rev().filter(|seen| seen.at < census.now);
    earlier.find_map(|seen| Some((seen, *seen.trails.get(&target.name)?)))
}

/// The load when a host that comes now was asked for, or as long ago as is remembered.
fn earlier(target: &Target, census: &Census<'_>) -> Option<f64> {
    let from = before(census.now, lead(census.snapshot.boot_time, census.policy.interval));
    let trails =
        census.snapshot.window.iter().filter_map(|seen| Some((seen.at, seen.trails.get(&target.name)?)));
    let mut found = None;
    for (at, trail) in trails {
        if found.is_some() && at > from {
            break;
        }
        found = Some(trail.level);
    }
    found
}
