//! What a target learns of its signal from tick to tick: how much head-room the load has needed so far.
//!
//! Hosts come one boot after the load that they are for. How far the load runs ahead in that time differs from fleet to
//! fleet and cannot be configured well, but it can be watched: whenever the signal is above its limit, the load came
//! before its hosts, and by how much is known. The head-room rises with every such shortfall and sinks a little with
//! every tick without one, at a ratio that leaves it at rest where the configured share of the load falls short. This is
//! the online form of a quantile: it holds for whatever load there is, with no model of it.
//!
//! Some loads go on as they went, and some turn back; for the first, head-room is needed while they rise and not while
//! they fall. How much the head-room should *lean* with the last minute's way is learned as it is itself: whenever the
//! load came out higher than is usual, and it had been rising when hosts for it could still be asked for, the lean
//! grows.
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
use crate::domain::time::{Timestamp, before, since};

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
    /// How many times its change over the last minute the load is taken to go on.
    #[serde(default)]
    pub lean: f64,
}

/// A time over which the load is smoothed: the noise of single reports averages out, and a rise is seen at once.
const SMOOTHING: f64 = 16.0;
/// A time over which unrest is averaged, and a share of the load that is taken for it at first.
const UNREST_OVER: f64 = 5_000.0;
const UNREST_FIRST: f64 = 0.1;
const UNREST_LEAST: f64 = 0.03;
const UNREST_MOST: f64 = 0.3;
/// By how much a second without any shortfall lowers the head-room, in units of unrest: what was learned is kept for
/// days. Faster is worse wherever the load stays as it is, as a head-room that moves is too high half of the time.
const SINK: f64 = 2e-5;
/// A shortfall raises it at most so many times as much as calm lowers it.
const RISE_MOST: f64 = 4_000.0;
/// Where head-room ends: three times the load is kept ready at the most.
const HEADROOM: (f64, f64) = (-0.2, 2.0);
/// How far back the load's way is looked at.
const MINUTE: Duration = Duration::from_mins(1);
/// A load that strayed upwards by more than so many times its unrest was not foreseen.
const UNFORESEEN: f64 = 1.5;
/// Share of ticks in which that is taken to be the case.
const UNFORESEEN_SHARE: f64 = 0.03;
/// By how much a second changes the lean, in units of the way over unrest; how much a tick may; and where it ends.
const LEARN_LEAN: f64 = 0.01 / 15.0;
const LEAN_STEP_MOST: f64 = 0.2;
const LEAN_MOST: f64 = 8.0;
/// However steeply it falls, so much of the load is still counted.
const LEAST_LEFT: f64 = 0.3;
/// Less than this share of what one host carries is no load to compare with.
const LEAST_SHARE: f64 = 0.3;
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
        // Known before this tick, so that a load which is higher now never makes it smaller.
        let went_on = (1.0 + trail.lean * way(target, census, &trail, seen.at)).max(LEAST_LEFT);
        Self {
            level: Some((trail.level, 1.0 - (-passed / SMOOTHING).exp())),
            limit,
            headroom: ((1.0 + trail.headroom) * went_on - 1.0).min(HEADROOM.1),
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
        let (headroom, unrest) = (target.tolerance, UNREST_FIRST);
        return Some(Trail { level: carried, headroom, unrest, lean: 0.0 });
    };
    let passed = since(census.now, seen.at).as_secs_f64().min(LONGEST_TICK);
    let level = learned.level(carried);
    let (at, then) = earlier(target, census).unwrap_or((seen.at, trail));
    let strayed = (f64::from(hosts) * value / at_least(then.level, learned.limit) - 1.0).abs().min(3.0);
    let restless = trail.unrest.clamp(UNREST_LEAST, UNREST_MOST);
    // The mean of two ticks: less noise that would be taken for a shortfall, and none that is one gets lost.
    let previous = seen.value(&target.signal, Facet::Heard).unwrap_or(value);
    let steady = f64::midpoint(value, previous).max(f64::MIN_POSITIVE);
    let short = (1.0 - learned.limit / steady).max(0.0);
    let short = if short > 0.0 && !teaches(census) { 0.0 } else { short };
    let pull = (short / target.shortfall.max(1e-6)).min(RISE_MOST) - 1.0;
    // In proportion to all that is kept ready: a fleet that is kept at three times its load forgets three times as fast.
    let kept_ready = 1.0 + trail.headroom.max(0.0);
    let headroom = trail.headroom + SINK * passed * restless * kept_ready * pull;
    let way_then = way(target, census, &then, at);
    let foreseen = then.level * (1.0 + UNFORESEEN * restless + trail.lean * way_then);
    Some(Trail {
        level,
        headroom: headroom.clamp(HEADROOM.0, HEADROOM.1),
        unrest: trail.unrest + (passed / UNREST_OVER).min(1.0) * (strayed - trail.unrest),
        lean: leant(trail.lean, way_then, level > foreseen, passed / restless),
    })
}

/// How much the head-room leans after a tick whose load came out higher than was foreseen, or did not, `way` having been
/// its way when hosts for it could still be asked for.
fn leant(lean: f64, way: f64, higher: bool, per_unrest: f64) -> f64 {
    let missed = f64::from(higher) - UNFORESEEN_SHARE;
    let step = LEARN_LEAN * per_unrest * missed * way;
    (lean + step.clamp(-LEAN_STEP_MOST, LEAN_STEP_MOST)).clamp(0.0, LEAN_MOST)
}

/// What loads are divided by: never less than a good part of what one host carries.
fn at_least(load: f64, limit: f64) -> f64 {
    load.max(LEAST_SHARE * limit)
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

/// The trail, and its moment, when a host that comes now was asked for, or as long ago as is remembered.
fn earlier(target: &Target, census: &Census<'_>) -> Option<(Timestamp, Trail)> {
    as_of(target, census, before(census.now, lead(census.snapshot.boot_time, census.policy.interval)))
}

/// By what share of itself the load rose a minute before that moment; below 0 where it fell. Where nothing was heard for
/// longer than that, what it came to in all that time is spread over it.
fn way(target: &Target, census: &Census<'_>, trail: &Trail, at: Timestamp) -> f64 {
    let Some((then, earlier)) = as_of(target, census, before(at, MINUTE)) else { return 0.0 };
    let limit = target.value * (1.0 + target.tolerance);
    let minutes = (since(at, then).as_secs_f64() / MINUTE.as_secs_f64()).max(1.0);
    (trail.level - earlier.level) / at_least(trail.level, limit) / minutes
}

/// The trail at a moment at which the load was heard: the newest that is not younger, or else the oldest that is remembered.
fn as_of(target: &Target, census: &Census<'_>, moment: Timestamp) -> Option<(Timestamp, Trail)> {
    let mut found = None;
    for seen in census.snapshot.window.iter().rev() {
        let heard = seen.value(&target.signal, Facet::Heard).is_some();
        if let Some(trail) = seen.trails.get(&target.name).filter(|_| heard) {
            found = Some((seen.at, *trail));
            if seen.at <= moment {
                break;
            }
        }
    }
    found
}
