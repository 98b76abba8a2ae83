//! Where missing hosts come from: first from drains that can still be taken back, then from the pools that sell.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::census::{Census, amount};
use crate::decide::ground::Ground;
use crate::decide::leavers::Leavers;
use crate::decide::ledger::Ledger;
use crate::decide::plan::{Guard, PlannedLaunch};
use crate::decide::policy::Place;
use crate::decide::snapshot::{Deregistration, HostView, PoolHealth, Sighting};
use crate::decide::stops::{Breaker, Stops};
use crate::decide::wording::clock;
use crate::domain::host::{DrainReason, HostState};
use crate::domain::ids::{InstanceId, InstanceType, Pool, SubnetId, Zone};
use crate::domain::time::Timestamp;

/// Most hosts that one decision buys; a fleet that lacks more gets them in the next.
const MOST_LAUNCHES: u32 = 1000;

/// How the missing hosts are come by.
#[derive(Default)]
pub(super) struct Supply {
    pub(super) launches: Vec<PlannedLaunch>,
    pub(super) cancelled: Vec<InstanceId>,
    /// Hosts that are missing from the size wanted.
    pub(super) missing: u32,
    /// Why some of them are not come by now.
    pub(super) short: Option<Short>,
}

/// Why hosts that are wanted are not bought now.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Short {
    /// A guard does not let them.
    Guard(Ground),
    /// Every pool refused lately.
    Cooling { until: Timestamp },
    /// What has been bought does no more than try the pools again.
    Probing { bought: u32 },
    /// No subnet is known to buy in.
    NoPlace,
    /// The balancer serves none of the fleet's zones.
    Unserved,
}

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Guard(ground) => ground.fmt(f),
            Self::Cooling { until } => {
                write!(f, "every pool cools until {}", clock(*until))
            }
            Self::Probing { bought } => {
                write!(f, "the pools refused lately and are tried with {bought} first")
            }
            Self::Unserved => f.write_str("the balancer serves none of the fleet's zones"),
            Self::NoPlace => f.write_str("no subnet of the fleet could be looked up"),
        }
    }
}

/// Plans how the fleet comes up to `size`.
pub(super) fn plan(
    census: &Census<'_>,
    stops: &Stops,
    size: u32,
    leavers: &Leavers<'_>,
    ledger: &mut Ledger,
) -> Supply {
    let there = leavers.staying().saturating_add(census.orphans).saturating_add(census.reserved);
    let missing = size.saturating_sub(there);
    let mut supply = Supply { missing, ..Supply::default() };
    if missing == 0 {
        return supply;
    }
    if let Some((guard, ground)) = stops.growing() {
        ledger.refuse(guard, ground.clone());
        supply.short = Some(Short::Guard(ground.clone()));
        return supply;
    }
    supply.cancelled = revocable(census, missing);
    let wanted = missing - amount(supply.cancelled.len());
    let allowed = supply.allowed(census, stops, (size, wanted), ledger).min(MOST_LAUNCHES);
    if allowed > 0 {
        supply.buy(census, leavers, allowed);
    }
    supply
}

impl Supply {
    /// Whether nothing is bought and nothing kept.
    pub(super) fn is_empty(&self) -> bool {
        self.launches.is_empty() && self.cancelled.is_empty()
    }

    /// How many may be bought: what the ceiling leaves, and the breaker.
    fn allowed(
        &mut self,
        census: &Census<'_>,
        stops: &Stops,
        (size, wanted): (u32, u32),
        ledger: &mut Ledger,
    ) -> u32 {
        let max = census.bounds.max;
        let (standing, reserved) = (census.standing, census.reserved);
        let room = max.saturating_sub(standing.saturating_add(reserved));
        let mut allowed = wanted;
        if room < allowed {
            let ground = Ground::Ceiling { bounds: census.bounds.clone(), standing, reserved };
            self.short = Some(Short::Guard(ground.clone()));
            ledger.clamp(Guard::Bounds, (size, size - (wanted - room)), ground);
            allowed = room;
        }
        let (most, ground) = match &stops.breaker {
            Breaker::Closed(_) => return allowed,
            Breaker::Open(ground) => (0, ground),
            Breaker::HalfOpen { allowed, ground } => (*allowed, ground),
        };
        if allowed > most {
            self.short = Some(Short::Guard(ground.clone()));
            if most == 0 {
                ledger.refuse(Guard::Breaker, ground.clone());
            } else {
                ledger.clamp(Guard::Breaker, (size, size - (wanted - most)), ground.clone());
            }
        }
        allowed.min(most)
    }

    /// Spreads the hosts over the zones, the emptiest first.
    fn buy(&mut self, census: &Census<'_>, leavers: &Leavers<'_>, count: u32) {
        let mut market = Market::open(census, leavers);
        let bought = (0..count).take_while(|_| market.sell()).count();
        let bought = amount(bought);
        self.launches = market.close();
        if bought < count {
            self.short = Some(match earliest(census) {
                _ if census.policy.places.is_empty() => Short::NoPlace,
                _ if census.policy.places.iter().all(|place| !is_served(census, place)) => Short::Unserved,
                Some(until) if bought == 0 => Short::Cooling { until },
                _ => Short::Probing { bought },
            });
        }
    }
}

/// Hosts chosen to go for want of load, of which nobody was told yet: the last chosen come back first.
fn revocable(census: &Census<'_>, most: u32) -> Vec<InstanceId> {
    let drain_of = |view: &HostView| match &view.host.state {
        HostState::Draining { drain }
            if matches!(drain.reason, DrainReason::ScaleIn | DrainReason::AboveMax)
                && view.seen == Sighting::Present
                && view.deregistration == Deregistration::NotSent =>
        {
            Some(drain.started_at)
        }
        _ => None,
    };
    let mut found: Vec<(Timestamp, &InstanceId)> =
        census.snapshot.hosts.iter().filter_map(|view| Some((drain_of(view)?, &view.host.id))).collect();
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    found.into_iter().take(most as usize).map(|(_, id)| id.clone()).collect()
}

/// Whether the balancer sends traffic to a place's zone, as far as is known.
fn is_served(census: &Census<'_>, place: &Place) -> bool {
    !census.snapshot.unserved.now.contains(&place.zone)
}

/// When the first of the fleet's pools may be asked again.
fn earliest(census: &Census<'_>) -> Option<Timestamp> {
    let places = census.policy.places.iter().filter(|place| is_served(census, place));
    let zones: BTreeSet<&Zone> = places.map(|place| &place.zone).collect();
    let ours = census.snapshot.pools.iter().filter(|health| {
        zones.contains(&health.pool.zone) && kinds(census).contains(&health.pool.instance_type)
    });
    ours.filter(|health| health.is_cooling(census.now)).map(|health| health.cooling_until).min()
}

/// What may be launched, in order of preference.
fn kinds(census: &Census<'_>) -> Vec<Option<InstanceType>> {
    if census.policy.instance_types.is_empty() {
        vec![None]
    } else {
        census.policy.instance_types.iter().cloned().map(Some).collect()
    }
}

/// The zones with what each may still sell.
struct Market<'a> {
    stalls: Vec<Stall<'a>>,
}

/// One zone.
struct Stall<'a> {
    zone: &'a Zone,
    subnet: &'a SubnetId,
    /// Hosts that stay or are bought there.
    hosts: u32,
    /// By preference: the type, what it may still sell, what it sold.
    offers: Vec<(Option<InstanceType>, u32, u32)>,
}

impl<'a> Market<'a> {
    fn open(census: &Census<'a>, leavers: &Leavers<'_>) -> Self {
        let hosts = census.snapshot.hosts.iter();
        let staying: Vec<&HostView> =
            hosts.filter(|view| view.host.state.is_capacity() && !leavers.is_chosen(view)).collect();
        let mut by_zone: BTreeMap<&Zone, Vec<&'a Place>> = BTreeMap::new();
        let mut zones = Vec::new();
        for place in census.policy.places.iter().filter(|place| is_served(census, place)) {
            let places = by_zone.entry(&place.zone).or_default();
            if places.is_empty() {
                zones.push(&place.zone);
            }
            places.push(place);
        }
        let stall = |zone: &'a Zone| {
            let here: Vec<&HostView> =
                staying.iter().copied().filter(|view| view.host.zone == *zone).collect();
            let used = |place: &&&Place| {
                here.iter().filter(|view| view.host.subnet.as_ref() == Some(&place.subnet)).count()
            };
            // `min_by_key` gives the first of equals: the order of the file.
            let place = by_zone.get(zone)?.iter().min_by_key(used)?;
            let offers = kinds(census).into_iter().map(|kind| offer(census, zone, kind)).collect();
            Some(Stall { zone, subnet: &place.subnet, hosts: amount(here.len()), offers })
        };
        Self { stalls: zones.into_iter().filter_map(stall).collect() }
    }

    /// Sells one host in the emptiest zone that has one; `false`: none has.
    fn sell(&mut self) -> bool {
        let open = self.stalls.iter_mut().filter(|stall| stall.offers.iter().any(|offer| offer.1 > 0));
        let Some(stall) = open.min_by_key(|stall| stall.hosts) else { return false };
        let Some(offer) = stall.offers.iter_mut().find(|offer| offer.1 > 0) else { return false };
        offer.1 -= 1;
        offer.2 += 1;
        stall.hosts += 1;
        true
    }

    fn close(self) -> Vec<PlannedLaunch> {
        let launches = self.stalls.into_iter().flat_map(|stall| {
            let (zone, subnet) = (stall.zone.clone(), stall.subnet.clone());
            stall.offers.into_iter().filter(|offer| offer.2 > 0).map(move |(instance_type, _, count)| {
                PlannedLaunch {
                    pool: Pool { zone: zone.clone(), instance_type },
                    subnet: subnet.clone(),
                    count,
                }
            })
        });
        launches.collect()
    }
}

/// What one pool may sell in this decision: nothing while it cools, as much as it is trusted with after that.
fn offer(census: &Census<'_>, zone: &Zone, kind: Option<InstanceType>) -> (Option<InstanceType>, u32, u32) {
    let of_pool = |health: &&PoolHealth| health.pool.zone == *zone && health.pool.instance_type == kind;
    let may_sell = match census.snapshot.pools.iter().find(of_pool) {
        None => u32::MAX,
        Some(health) if health.is_cooling(census.now) => 0,
        Some(health) => health.allowance.max(1),
    };
    (kind, may_sell, 0)
}
