//! The head count: what stands, what is on its way, what failed, and the size that was wanted so far.

use crate::decide::bounds::Bounds;
use crate::decide::policy::{Mode, Policy};
use crate::decide::snapshot::{HostView, Sighting, Snapshot};
use crate::domain::host::{DrainReason, Host, HostState};
use crate::domain::time::{Timestamp, after, since};

/// One snapshot, counted. Every later step asks here, so that all of them mean the same by the same word.
pub(super) struct Census<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
    /// The bounds of the fleet's size now.
    pub(super) bounds: Bounds,
    /// The size wanted so far, within today's bounds.
    pub(super) desired: u32,
    /// Hosts that serve.
    pub(super) healthy: u32,
    /// Hosts on their way into service.
    pub(super) booting: u32,
    /// Hosts that serve, will serve, or may serve again.
    pub(super) live: u32,
    /// Hosts that open launches may still buy.
    pub(super) reserved: u32,
    /// Instances of ours without a row.
    pub(super) orphans: u32,
    /// Every machine that exists as far as anybody knows, those on their way out too: what the ceiling counts.
    pub(super) standing: u32,
    /// Hosts that failed and that may be named as victims, by id.
    pub(super) failed: Vec<(&'a HostView, DrainReason)>,
    /// Hosts that are unhealthy past their grace, or of which nothing is known.
    pub(super) troubled: u32,
    /// What `troubled` is a share of.
    pub(super) population: u32,
}

impl<'a> Census<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        let policy = snapshot.policy.as_ref();
        let hosts = &snapshot.hosts;
        let count = |keep: &dyn Fn(&HostView) -> bool| amount(hosts.iter().filter(|view| keep(view)).count());
        let live = count(&|view| view.host.state.is_capacity());
        let reserved = snapshot.launches.iter().fold(0_u32, |sum, open| sum.saturating_add(open.missing));
        let failed = hosts
            .iter()
            .filter(|view| view.seen == Sighting::Present)
            .filter_map(|view| Some((view, failure(&view.host, policy, snapshot.now)?)))
            // Where the balancer checks nobody, not being healthy says nothing about the host.
            .filter(|(view, reason)| {
                *reason != DrainReason::BootTimeout || !snapshot.unserved.lately.contains(&view.host.zone)
            })
            .collect();
        let mut census = Self {
            snapshot,
            policy,
            now: snapshot.now,
            bounds: policy.bounds(snapshot.now),
            desired: 0,
            healthy: count(&|view| is_healthy(view)),
            booting: count(&|view| view.host.state.is_booting()),
            live,
            reserved,
            orphans: snapshot.orphans,
            standing: count(&|view| !view.host.state.is_final()).saturating_add(snapshot.orphans),
            failed,
            troubled: count(&|view| is_troubled(view, policy, snapshot.now)),
            population: count(&|view| view.host.state.is_capacity() || left_unhealthy(view)),
        };
        census.desired = census.size_so_far();
        census
    }

    /// Hosts that serve or are on their way, and hosts reserved by open intents.
    pub(super) fn capacity(&self) -> u32 {
        self.live.saturating_add(self.orphans).saturating_add(self.reserved)
    }

    /// The size last wanted. At the first look the fleet is taken as it stands, and in dry-run always: nothing of what
    /// was wanted there was ever done, and one wish after the other would add up to a fleet that never was. Instances that no row knows are what a
    /// restored database forgot: the load that they carry is real, so the size wanted rises to take them in rather
    /// than calling them too many; rules and targets bring it down again if they are not needed.
    fn size_so_far(&self) -> u32 {
        let bounds = &self.bounds;
        let Some(wanted) = self.snapshot.memory.desired.filter(|_| self.policy.mode == Mode::Live) else {
            return bounds.clamp(self.capacity());
        };
        let found = if self.orphans > 0 { self.live.saturating_add(self.orphans) } else { 0 };
        bounds.clamp(wanted.max(found))
    }
}

/// Whether a host serves.
pub(super) fn is_healthy(view: &HostView) -> bool {
    matches!(view.host.state, HostState::Healthy { .. })
}

fn left_unhealthy(view: &HostView) -> bool {
    view.host.state.drain().is_some_and(|drain| drain.reason == DrainReason::Unhealthy)
}

fn is_troubled(view: &HostView, policy: &Policy, now: Timestamp) -> bool {
    let state = &view.host.state;
    let unknown = state.is_capacity() && view.seen == Sighting::Unknown;
    // Hosts already sent away for it still count, or a slow outage would walk through the fleet under the halt.
    unknown || left_unhealthy(view) || failure(&view.host, policy, now) == Some(DrainReason::Unhealthy)
}

/// Whether a host failed, and how.
fn failure(host: &Host, policy: &Policy, now: Timestamp) -> Option<DrainReason> {
    match &host.state {
        HostState::Pending { since: start }
        | HostState::Running { since: start }
        | HostState::Registered { since: start }
            if host.healthy_at.is_none() =>
        {
            let deadline = after(host.launched_at, policy.boot_timeout);
            // A host that came into this state after its deadline was adopted late: it gets a deadline of its own.
            let deadline = if *start > deadline { after(*start, policy.boot_timeout) } else { deadline };
            (now > deadline).then_some(DrainReason::BootTimeout)
        }
        HostState::Unhealthy { since: start } => {
            (since(now, *start) > policy.health_grace).then_some(DrainReason::Unhealthy)
        }
        HostState::Pending { .. }
        | HostState::Running { .. }
        | HostState::Registered { .. }
        | HostState::Healthy { .. }
        | HostState::Draining { .. }
        | HostState::Deregistered { .. }
        | HostState::Terminating { .. }
        | HostState::Terminated { .. }
        | HostState::Lost { .. } => None,
    }
}

/// A number of things as a size.
pub(super) fn amount(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
