//! Targets: the size at which a signal would have the value that is wanted.

use std::cmp::Ordering;

use crate::decide::census::Census;
use crate::decide::condition::Facet;
use crate::decide::opinion::{Because, Opinion, Source, Wish};
use crate::decide::policy::{Target, to_size};
use crate::decide::signal::split_host_signal;
use crate::decide::trail::{self, Learned};

/// Computed sizes are off by a little more than nothing; without this, `4 × 0.6 / 0.6` asks for five hosts.
pub(super) const NOISE: f64 = 1e-9;

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
    let desired = census.desired;
    if count == 0 {
        return (Wish::Size(desired), Because::NoHosts);
    }
    let learned = Learned::of(target, census);
    // Out must be justified with silent hosts at rest, in with silent hosts at full load.
    let judged = |value| Side::of(target, &learned, (value, count), desired);
    let (low, high) = (judged(if_idle), judged(if_busy));
    let signal = target.signal.clone();
    let outside = |size| Because::Outside {
        signal: signal.clone(),
        value: heard,
        target: target.value,
        hosts: count,
        headroom: learned.headroom,
        size,
    };
    match (low.way, high.way) {
        (Ordering::Greater, _) => {
            let size = judged(heard).size.max(low.size);
            (Wish::Size(size), outside(size))
        }
        (_, Ordering::Less) => (Wish::Size(high.size), outside(high.size)),
        (Ordering::Equal, Ordering::Equal) if heard > learned.limit => {
            let because = Because::OnItsWay { signal, value: heard, target: target.value, size: desired };
            (Wish::Size(desired), because)
        }
        (Ordering::Equal, Ordering::Equal) => {
            let (value, limit) = (heard, learned.limit);
            (Wish::Size(desired), Because::Enough { signal, value, limit, headroom: learned.headroom })
        }
        (Ordering::Less | Ordering::Equal, _) => {
            (Wish::Size(desired), Because::Torn { signal, if_idle, if_busy, target: target.value })
        }
    }
}

/// The load behind a target's signal, and how many hosts it takes, head-room included.
#[derive(Clone, Copy)]
pub(super) struct Need {
    pub(super) load: f64,
    pub(super) hosts: f64,
}

/// What the load takes; `None`: the signal has no value, or there is no host that it could be spread over.
pub(super) fn need(target: &Target, census: &Census<'_>, facet: Facet) -> Option<Need> {
    let value = census.snapshot.current.value(&target.signal, facet)?;
    let count = hosts_under(target, census);
    (count > 0).then(|| Need::of(target, &Learned::of(target, census), (value, count)))
}

impl Need {
    fn of(target: &Target, learned: &Learned, (value, hosts): (f64, u32)) -> Self {
        let load = learned.level(trail::load(target, value, hosts));
        Self { load, hosts: load * (1.0 + learned.headroom) / learned.limit }
    }
}

/// One possible value against the target.
#[derive(Clone, Copy)]
struct Side {
    way: Ordering,
    size: u32,
}

impl Side {
    /// More hosts are needed when those that are wanted could not carry the load and its head-room below the limit;
    /// fewer when a good part of them would be too many. Above the limit there is never a reason for fewer hosts, even
    /// where those that are still booting make the sum come out so.
    fn of(target: &Target, learned: &Learned, (value, hosts): (f64, u32), desired: u32) -> Self {
        let need = Need::of(target, learned, (value, hosts)).hosts;
        let size = to_size((need * (1.0 + learned.margin) - NOISE).ceil());
        let wanted = f64::from(desired);
        let way = if need > wanted + NOISE {
            Ordering::Greater
        } else if value <= learned.limit
            && size < desired
            && f64::from(size) <= wanted * (1.0 - learned.slack) + NOISE
        {
            Ordering::Less
        } else {
            Ordering::Equal
        };
        Self { way, size }
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
