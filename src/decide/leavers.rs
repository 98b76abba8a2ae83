//! Which hosts go: named ones, never "so many". Every reason spends from one budget and is stopped by the same halts.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::census::{Census, amount, is_healthy};
use crate::decide::ground::Ground;
use crate::decide::ledger::Ledger;
use crate::decide::plan::{Guard, PlannedDrain};
use crate::decide::policy::VictimOrder;
use crate::decide::snapshot::{HostView, Protection, Sighting};
use crate::decide::stops::Stops;
use crate::domain::host::{DrainReason, HostState};
use crate::domain::ids::{InstanceId, Zone};

/// The hosts chosen so far, and what that leaves.
pub(super) struct Leavers<'a> {
    census: &'a Census<'a>,
    stops: &'a Stops,
    chosen: BTreeSet<&'a InstanceId>,
    /// In the order in which they were chosen.
    pub(super) drains: Vec<PlannedDrain>,
    /// Hosts that serve and were not chosen.
    pub(super) healthy: u32,
    /// Terminations that may still be started.
    pub(super) budget: u32,
    /// Why a host that should go stays for now.
    pub(super) kept: Option<Ground>,
}

impl<'a> Leavers<'a> {
    pub(super) fn none(census: &'a Census<'a>, stops: &'a Stops) -> Self {
        let (healthy, budget) = (census.healthy, stops.budget_left);
        Self { census, stops, chosen: BTreeSet::new(), drains: Vec::new(), healthy, budget, kept: None }
    }

    /// Hosts that count towards the size and were not chosen.
    pub(super) fn staying(&self) -> u32 {
        self.census.live.saturating_sub(amount(self.drains.len()))
    }

    pub(super) fn is_chosen(&self, view: &HostView) -> bool {
        self.chosen.contains(&view.host.id)
    }

    /// Chooses one host. Whoever calls has asked everything that stands in the way of its reason.
    pub(super) fn choose(&mut self, view: &'a HostView, reason: DrainReason) {
        self.chosen.insert(&view.host.id);
        self.healthy = self.healthy.saturating_sub(u32::from(is_healthy(view)));
        self.budget = self.budget.saturating_sub(1);
        let (host, version) = (view.host.id.clone(), view.host.version);
        self.drains.push(PlannedDrain { host, version, reason });
    }

    /// Chooses the hosts that failed. They serve nobody, so the floor does not keep them; halts and the budget do, and
    /// a host that may not go yet still counts, so that what is wrong with all of them does not buy a second fleet.
    pub(super) fn take_failed(&mut self, ledger: &mut Ledger) {
        let failed = self.census.failed.iter().filter(|(view, _)| view.protection == Protection::None);
        for (view, reason) in failed {
            if self.is_chosen(view) {
                continue;
            }
            if !self.is_open(ledger) {
                return;
            }
            self.choose(view, *reason);
        }
    }

    /// Chooses hosts until `size` stay, as far as one decision may go.
    pub(super) fn take_excess(&mut self, size: u32, ledger: &mut Ledger) {
        let excess = self.staying().saturating_sub(size);
        if excess == 0 {
            return;
        }
        if !self.is_open(ledger) {
            return;
        }
        let most = self.census.policy.size.step_in_max;
        let step = excess.min(most);
        if step < excess {
            ledger.clamp(Guard::Step, (size, self.staying() - step), Ground::StepMost { most });
        }
        let victims = self.victims(step, size);
        if amount(victims.len()) < step {
            let able = amount(victims.len());
            let ground = Ground::FewVictims { wanted: step, able };
            self.kept = Some(ground.clone());
            ledger.clamp(Guard::Bounds, (size, self.staying() - able), ground);
        }
        let max = self.census.bounds.max;
        for view in victims {
            if !self.is_open(ledger) {
                return;
            }
            let above = self.staying() > max;
            self.choose(view, if above { DrainReason::AboveMax } else { DrainReason::ScaleIn });
        }
    }

    /// Whether another host may be sent away at all; if not, the guard that forbids it says so.
    fn is_open(&mut self, ledger: &mut Ledger) -> bool {
        let stop = self.stops.draining().map(|(guard, ground)| (guard, ground.clone()));
        let spent = (self.budget == 0).then(|| (Guard::Budget, self.spent()));
        let Some((guard, ground)) = stop.or(spent) else {
            return true;
        };
        ledger.refuse(guard, ground.clone());
        self.kept = Some(ground);
        false
    }

    /// The next victims, in the fleet's order: running as far as is known, not protected, and of those that serve only
    /// as many as leave `size` (and `min`) in service.
    pub(super) fn victims(&self, count: u32, size: u32) -> Vec<&'a HostView> {
        let floor = size.max(self.census.bounds.min);
        let mut spare = self.healthy.saturating_sub(floor);
        let mut queue = self.queue();
        let mut victims = Vec::new();
        while amount(victims.len()) < count {
            let Some(next) = queue.next(|view| !is_healthy(view) || spare > 0) else {
                break;
            };
            spare -= u32::from(is_healthy(next));
            victims.push(next);
        }
        victims
    }

    fn queue(&self) -> Queue<'a> {
        let hosts = self.census.snapshot.hosts.iter();
        let staying: Vec<&HostView> =
            hosts.filter(|view| view.host.state.is_capacity() && !self.is_chosen(view)).collect();
        let mut fullness = BTreeMap::new();
        for view in &staying {
            *fullness.entry(&view.host.zone).or_insert(0) += 1;
        }
        let mut able: Vec<&HostView> = staying.into_iter().filter(|view| may_go(view)).collect();
        able.sort_by(|a, b| {
            a.host.launched_at.cmp(&b.host.launched_at).then_with(|| a.host.id.cmp(&b.host.id))
        });
        let order = self.census.policy.scale_in.order;
        if order == VictimOrder::Newest {
            able.reverse();
        }
        Queue { order, able, fullness }
    }

    /// What the budget says when it is spent, the hosts of this decision counted in.
    pub(super) fn spent(&self) -> Ground {
        match &self.stops.budget {
            Ground::BudgetLeft { count, per, .. } => {
                Ground::BudgetSpent { spent: *count, count: *count, per: *per, free_at: None }
            }
            other => other.clone(),
        }
    }
}

/// Whether a host may be named as a victim: EC2 calls it running, this tick saw it, and nobody protects it.
fn may_go(view: &HostView) -> bool {
    let running = matches!(
        view.host.state,
        HostState::Running { .. }
            | HostState::Registered { .. }
            | HostState::Healthy { .. }
            | HostState::Unhealthy { .. }
    );
    running && view.seen == Sighting::Present && view.protection == Protection::None
}

/// Hosts in the order in which they go.
struct Queue<'a> {
    order: VictimOrder,
    able: Vec<&'a HostView>,
    /// Hosts that stay, by zone.
    fullness: BTreeMap<&'a Zone, u32>,
}

impl<'a> Queue<'a> {
    fn next(&mut self, fits: impl Fn(&HostView) -> bool) -> Option<&'a HostView> {
        let candidates = self.able.iter().enumerate().filter(|(_, view)| fits(view));
        let position = match self.order {
            VictimOrder::Oldest | VictimOrder::Newest => candidates.map(|(position, _)| position).next(),
            VictimOrder::ZoneBalance => candidates
                .max_by_key(|(position, view)| {
                    (self.fullness.get(&view.host.zone).copied().unwrap_or(0), std::cmp::Reverse(*position))
                })
                .map(|(position, _)| position),
        }?;
        let view = self.able.remove(position);
        if let Some(count) = self.fullness.get_mut(&view.host.zone) {
            *count -= 1;
        }
        Some(view)
    }
}
