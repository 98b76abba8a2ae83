//! Targets: the size at which a signal would have the value that is wanted.

use std::cmp::Ordering;

use crate::decide::census::Census;
use crate::decide::condition::Facet;
use crate::decide::opinion::{Because, Opinion, Source, Wish};
use crate::decide::policy::{Target, to_size};
use crate::decide::signal::split_host_signal;

/// Computed sizes are off by a little more than nothing; without this, `4 × 0.6 / 0.6` asks for five hosts.
const NOISE: f64 = 1e-9;

/// What one target would like now.
pub(super) fn opinion(target: &Target, census: &Census<'_>) -> Opinion {
    let (wish, because) = judge(target, census);
    Opinion { source: Source::Target(target.name.clone()), wish, because, waits: None }
}

fn judge(target: &Target, census: &Census<'_>) -> (Wish, Because) {
    let current = &census.snapshot.current;
    let value = |facet| current.value(&target.signal, facet);
    let (Some(heard), Some(if_idle), Some(if_busy)) =
        (value(Facet::Heard), value(Facet::IfIdle), value(Facet::IfBusy))
    else {
        return (Wish::Unknown, Because::NoValue { signals: vec![target.signal.clone()] });
    };
    let count = hosts_under(target, census);
    if count == 0 {
        return (Wish::Size(census.desired), Because::NoHosts);
    }
    // Out must be justified with silent hosts at rest, in with silent hosts at full load.
    let (low, high) = (Side::of(target, if_idle, count), Side::of(target, if_busy, count));
    let signal = target.signal.clone();
    match (low.way, high.way) {
        (Ordering::Greater, Ordering::Greater) => above(target, low, heard, count, census.desired),
        (Ordering::Less, Ordering::Less) => {
            let because = Because::Outside {
                signal,
                value: heard,
                target: target.value,
                hosts: count,
                size: high.size,
            };
            (Wish::Size(high.size.min(census.desired)), because)
        }
        (Ordering::Equal, Ordering::Equal) => {
            let (value, tolerance) = (heard, target.tolerance);
            (Wish::Size(census.desired), Because::Inside { signal, value, target: target.value, tolerance })
        }
        (Ordering::Less | Ordering::Equal | Ordering::Greater, _) => {
            (Wish::Size(census.desired), Because::Torn { signal, if_idle, if_busy, target: target.value })
        }
    }
}

/// Above the target: never a reason for fewer hosts, even where those that are still booting make the sum come out so.
fn above(target: &Target, low: Side, value: f64, over: u32, desired: u32) -> (Wish, Because) {
    let (signal, target, size) = (target.signal.clone(), target.value, low.size);
    if size > desired {
        (Wish::Size(size), Because::Outside { signal, value, target, hosts: over, size })
    } else {
        (Wish::Size(desired), Because::OnItsWay { signal, value, target, size: desired })
    }
}

/// One possible value against the target.
#[derive(Clone, Copy)]
struct Side {
    way: Ordering,
    size: u32,
}

impl Side {
    fn of(target: &Target, value: f64, over: u32) -> Self {
        let ratio = value / target.value;
        let way = if ratio > 1.0 + target.tolerance + NOISE {
            Ordering::Greater
        } else if ratio < 1.0 - target.tolerance - NOISE {
            Ordering::Less
        } else {
            Ordering::Equal
        };
        Self { way, size: to_size((f64::from(over) * ratio - NOISE).ceil()) }
    }
}

/// The hosts that carry the load a signal speaks of: those it was averaged over, or those in service.
pub(super) fn hosts_under(target: &Target, census: &Census<'_>) -> u32 {
    if split_host_signal(&target.signal).is_some() {
        census.snapshot.current.hosts_asked
    } else {
        census.healthy
    }
}
