//! One step for each host on its way in or out: registered, deregistered, terminated.
//!
//! Hosts move in batches, since the cloud counts calls; a batch that fails because of one bad id is repeated one by one, so
//! that one host never holds up the others. The way out is one way: deregister everywhere, wait until every group has
//! let go or the deadline, terminate. See `docs/drain.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::failure::{CloudError, FailureClass};
use crate::domain::host::{Host, HostState, Step};
use crate::domain::ids::{InstanceId, OwnerName, TargetGroupArn};
use crate::domain::time::{Timestamp, after};
use crate::provider::{Receipt, TargetId};
use crate::reconcile::calls::About;
use crate::reconcile::desk::Desk;
use crate::reconcile::observe::{Body, Groups, World};
use crate::reconcile::pace;
use crate::reconcile::references::References;
use crate::store::{Operation, StoreError};

/// Hosts in one call at most. ELBv2 and EC2 take more; a smaller batch loses less to one bad id.
const BATCH: usize = 50;
/// First and longest wait before a host that refused termination is asked again.
const STUBBORN_WAIT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(15));
/// A host that still runs so long after its termination was asked for is asked again.
const TERMINATE_AGAIN: Duration = Duration::from_mins(2);

/// So long after its deadline a host waits for groups that cannot be heard. One of them may have been given it again.
const UNHEARD_SPAN: Duration = Duration::from_mins(10);

/// Hosts that refused termination: how often, and not again before when. In memory only: after a restart each is asked
/// once more, alone.
pub type Stubborn = BTreeMap<InstanceId, (u32, Timestamp)>;

/// Registers hosts with every group of the fleet that does not list them: running ones with all, and those further on
/// with whichever was added to the configuration, or let them go without our doing. A host that some group did not take
/// stays as it is, and is offered again next tick.
pub async fn register_hosts(
    desk: &Desk<'_>,
    hosts: Vec<Host>,
    groups: &Groups,
) -> Result<Vec<Host>, StoreError> {
    let mut refused: BTreeSet<InstanceId> = BTreeSet::new();
    for group in &desk.fleet.balancer.target_groups {
        let wanted: Vec<_> = hosts.iter().filter(|host| needs(host, group, groups)).cloned().collect();
        for batch in wanted.chunks(BATCH) {
            let taken = register_in_one(desk, group, batch.to_vec()).await?;
            refused.extend(batch.iter().filter(|host| !taken.contains(host)).map(|host| host.id.clone()));
        }
    }
    let mut kept = Vec::with_capacity(hosts.len());
    for host in hosts {
        let arrived = matches!(host.state, HostState::Running { .. }) && !refused.contains(&host.id);
        kept.push(if arrived {
            let registered = desk.advance(host, Step::Register).await?;
            settle_without_balancer(desk, registered).await?
        } else {
            host
        });
    }
    Ok(kept)
}

/// Whether a host is to be registered with a group. A group that could not be heard is asked only for hosts that it
/// certainly never had.
fn needs(host: &Host, group: &TargetGroupArn, groups: &Groups) -> bool {
    match host.state {
        HostState::Running { .. } => true,
        HostState::Registered { .. } | HostState::Healthy { .. } | HostState::Unhealthy { .. } => {
            groups.of(group, &host.id).is_some_and(<[_]>::is_empty)
        }
        HostState::Pending { .. }
        | HostState::Draining { .. }
        | HostState::Deregistered { .. }
        | HostState::Terminating { .. }
        | HostState::Terminated { .. }
        | HostState::Lost { .. } => false,
    }
}

/// Where there is no balancer, a running host is in service: nothing else will ever say so.
async fn settle_without_balancer(desk: &Desk<'_>, host: Host) -> Result<Host, StoreError> {
    if desk.fleet.balancer.target_groups.is_empty() && matches!(host.state, HostState::Registered { .. }) {
        return desk.advance(host, Step::BecomeHealthy).await;
    }
    Ok(host)
}

async fn register_in_one(
    desk: &Desk<'_>,
    group: &TargetGroupArn,
    hosts: Vec<Host>,
) -> Result<Vec<Host>, StoreError> {
    let mut taken = Vec::with_capacity(hosts.len());
    let mut queue = vec![hosts];
    while let Some(batch) = queue.pop() {
        if batch.is_empty() {
            continue;
        }
        let ids: Vec<_> = batch.iter().map(|host| host.id.clone()).collect();
        let about = About { target_group: Some(group.clone()), instances: ids.clone(), ..About::default() };
        let answer = desk
            .caller
            .make(Operation::RegisterTargets, about, desk.parts.cloud.register(group, &ids))
            .await?;
        match answer {
            Ok(_) => taken.extend(batch),
            Err(error) if batch.len() > 1 && one_may_spoil_it(&error) => {
                queue.extend(batch.into_iter().map(|host| vec![host]));
            }
            Err(_) => {}
        }
    }
    Ok(taken)
}

/// Whether a batch may have failed for the sake of one of its members.
fn one_may_spoil_it(error: &CloudError) -> bool {
    match error.class {
        FailureClass::Invalid | FailureClass::NotFound | FailureClass::Protected | FailureClass::Denied => {
            true
        }
        FailureClass::Capacity
        | FailureClass::Quota
        | FailureClass::Throttled
        | FailureClass::TokenMismatch
        | FailureClass::TokenSpent
        | FailureClass::Unknown => false,
    }
}

/// Asks every group to let go of the hosts that begin their way out, and of those that it holds again after all: a
/// registration that was under way may arrive late, and people register by hand. Such a host serves, so its deadline
/// begins anew. A group that is gone cannot be asked; the host then waits for its deadline.
pub async fn deregister_hosts(
    desk: &Desk<'_>,
    hosts: Vec<Host>,
    groups: &Groups,
    references: &References,
) -> Result<Vec<Host>, StoreError> {
    let mut wanted: BTreeMap<TargetGroupArn, Vec<InstanceId>> = BTreeMap::new();
    for host in &hosts {
        for group in to_tell(host, groups, desk.clocks.0) {
            wanted.entry(group.clone()).or_default().push(host.id.clone());
        }
    }
    let told: BTreeSet<InstanceId> = wanted.values().flatten().cloned().collect();
    let mut refused = BTreeSet::new();
    for (group, ids) in wanted {
        for batch in ids.chunks(BATCH) {
            refused.extend(deregister_in_one(desk, &group, batch, groups, references).await?);
        }
    }
    let mut kept = Vec::with_capacity(hosts.len());
    for host in hosts {
        // The row of one whose termination was asked for says so already, whatever its groups are told.
        let goes_on = !matches!(host.state, HostState::Terminating { .. });
        let done = goes_on && (matches!(host.state, HostState::Draining { .. }) || told.contains(&host.id));
        let host = match host.state.drain() {
            Some(drain) if done && !refused.contains(&host.id) => {
                let timeout = references.drain_timeout(desk.fleet, &drain.groups);
                let deadline = after(desk.now(), timeout);
                desk.advance(host, Step::Deregister { deadline }).await?
            }
            Some(_) | None => host,
        };
        kept.push(host);
    }
    Ok(kept)
}

/// The groups that are to be asked to let go of a host.
fn to_tell<'a>(host: &'a Host, groups: &Groups, looked_at: Timestamp) -> Vec<&'a TargetGroupArn> {
    match &host.state {
        HostState::Draining { drain } => drain.groups.iter().collect(),
        HostState::Deregistered { drain, since, .. } | HostState::Terminating { drain, since }
            if *since < looked_at =>
        {
            drain.groups.iter().filter(|group| groups.holds(group, &host.id)).collect()
        }
        _ => Vec::new(),
    }
}

/// Gives back the hosts that the group would not let go of.
async fn deregister_in_one(
    desk: &Desk<'_>,
    group: &TargetGroupArn,
    hosts: &[InstanceId],
    groups: &Groups,
    references: &References,
) -> Result<Vec<InstanceId>, StoreError> {
    let mut refused = Vec::new();
    let mut queue = vec![hosts.to_vec()];
    while let Some(batch) = queue.pop() {
        let targets: Vec<_> =
            batch.iter().flat_map(|host| targets_of(group, host, groups, references)).collect();
        let about = About { target_group: Some(group.clone()), instances: batch.clone(), ..About::default() };
        let send = desk.parts.cloud.deregister(group, &targets);
        match desk.caller.make::<Receipt>(Operation::DeregisterTargets, about, send).await? {
            Ok(_) => {}
            // Only if it was not there when its targets were asked for either: one answer alone may be wrong.
            Err(error) if error.class == FailureClass::NotFound && groups.is_gone(group) => {
                let fleet = &desk.fleet.name;
                tracing::info!(%fleet, %group, "the target group is gone; its hosts wait for their deadline");
            }
            Err(error) if batch.len() > 1 && one_may_spoil_it(&error) => {
                queue.extend(batch.into_iter().map(|host| vec![host]));
            }
            Err(_) => refused.extend(batch),
        }
    }
    Ok(refused)
}

/// The exact targets that a host is registered as in one group: each port it is seen at, or the group's own port where
/// it is not seen. ELBv2 accepts the deregistration of a target that is not registered.
fn targets_of(
    group: &TargetGroupArn,
    host: &InstanceId,
    groups: &Groups,
    references: &References,
) -> Vec<TargetId> {
    match groups.of(group, host) {
        Some(seen) if !seen.is_empty() => seen.iter().map(|health| health.target.clone()).collect(),
        Some(_) | None => vec![TargetId { host: host.clone(), port: references.port(group) }],
    }
}

/// Whether a host's way out has come to its last step. `groups` were asked at `looked_at` or later: what they said before
/// they were told to let go is about something else. A target in a zone that the balancer does not use, say, is `unused`
/// all the time, and begins to drain only when it is deregistered.
#[must_use]
pub fn is_due(host: &Host, groups: &Groups, looked_at: Timestamp, now: Timestamp) -> bool {
    match &host.state {
        HostState::Deregistered { drain, deadline, since } => {
            // A host that never served has nothing to finish. One that was adopted, or is healthy in one group and not in
            // another, may have served without ever being healthy here: then a group says so.
            let never_served = host.healthy_at.is_none() && !groups.in_use(&drain.groups, &host.id);
            let let_go = || *since <= looked_at && groups.all_let_go(&drain.groups, &host.id);
            let held_again = !to_tell(host, groups, looked_at).is_empty();
            let heard = groups.all_heard(&drain.groups) || now >= after(*deadline, UNHEARD_SPAN);
            heard && !held_again && (never_served || now >= *deadline || let_go())
        }
        // Asked for, and it still runs: the call may have been lost. Repeating it is harmless, unless a group was given
        // the host again meanwhile.
        HostState::Terminating { drain, since } => {
            let let_go = groups.all_let_go(&drain.groups, &host.id) || now >= after(*since, UNHEARD_SPAN);
            now >= after(*since, TERMINATE_AGAIN) && let_go && to_tell(host, groups, looked_at).is_empty()
        }
        HostState::Pending { .. }
        | HostState::Running { .. }
        | HostState::Registered { .. }
        | HostState::Healthy { .. }
        | HostState::Unhealthy { .. }
        | HostState::Draining { .. }
        | HostState::Terminated { .. }
        | HostState::Lost { .. } => false,
    }
}

/// Terminates the hosts that are due and that the cloud shows, alive and with our tags. What is not seen is not touched.
pub async fn terminate_hosts(
    desk: &Desk<'_>,
    hosts: &[Host],
    world: Option<&World>,
    groups: &Groups,
    stubborn: &mut Stubborn,
) -> Result<(), StoreError> {
    let now = desk.now();
    let due: Vec<&Host> = hosts
        .iter()
        .filter(|host| is_due(host, groups, desk.clocks.0, now) && is_ours(desk.owner, host, world))
        .filter(|host| stubborn.get(&host.id).is_none_or(|(_, not_before)| now >= *not_before))
        .collect();
    let (alone, together): (Vec<_>, Vec<_>) =
        due.into_iter().partition(|host| stubborn.contains_key(&host.id));
    let mut queue: Vec<Vec<&Host>> = alone.into_iter().map(|host| vec![host]).collect();
    queue.extend(together.chunks(BATCH).map(<[_]>::to_vec));
    while let Some(batch) = queue.pop() {
        let ids: Vec<_> = batch.iter().map(|host| host.id.clone()).collect();
        let about = About { instances: ids.clone(), ..About::default() };
        let send = desk.parts.cloud.terminate(&ids);
        match desk.caller.make(Operation::TerminateInstances, about, send).await? {
            Ok(_) => {
                for host in batch {
                    stubborn.remove(&host.id);
                    if matches!(host.state, HostState::Deregistered { .. }) {
                        desk.advance(host.clone(), Step::Terminate).await?;
                    }
                }
            }
            Err(error) if batch.len() > 1 && one_may_spoil_it(&error) => {
                queue.extend(batch.into_iter().map(|host| vec![host]));
            }
            Err(error) if one_may_spoil_it(&error) => {
                for host in batch {
                    let tries = stubborn.get(&host.id).map_or(0, |(tries, _)| *tries) + 1;
                    let wait = pace::nth_wait(tries, STUBBORN_WAIT.0, STUBBORN_WAIT.1, &*desk.parts.entropy);
                    stubborn.insert(host.id.clone(), (tries, after(now, wait)));
                }
            }
            // Throttled or unknown: the row still says `deregistered`, and the next tick asks again.
            Err(_) => {}
        }
    }
    stubborn.retain(|id, _| hosts.iter().any(|host| host.id == *id));
    Ok(())
}

/// Whether the cloud shows the host alive and tagged as this fleet's, as of this tick.
fn is_ours(owner: &OwnerName, host: &Host, world: Option<&World>) -> bool {
    matches!(Body::of(world, &host.id), Body::Alive(_))
        && world.is_some_and(|world| !world.is_astray(&host.id, owner, &host.fleet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::host::{Drain, DrainReason};
    use crate::domain::ids::{FleetName, InstanceType, Zone};
    use crate::provider::{TargetHealth, TargetState};
    use crate::reconcile::observe::GroupView;

    fn deregistered(healthy_at: Option<Timestamp>) -> Host {
        let since = Timestamp::UNIX_EPOCH;
        let drain =
            Drain { reason: DrainReason::ScaleIn, started_at: since, groups: vec![TargetGroupArn::new("g")] };
        Host {
            id: InstanceId::new("i-1"),
            fleet: FleetName::new("web"),
            launch: None,
            zone: Zone::new("a"),
            subnet: None,
            instance_type: InstanceType::new("m7g.large"),
            address: None,
            launched_at: since,
            healthy_at,
            state: HostState::Deregistered { drain, since, deadline: after(since, Duration::from_mins(6)) },
            version: 3,
        }
    }

    fn group_says(state: TargetState) -> Groups {
        let target = TargetId { host: InstanceId::new("i-1"), port: 80 };
        let health = TargetHealth { target, state, reason: String::new() };
        let seen = GroupView::Seen([(InstanceId::new("i-1"), vec![health])].into());
        Groups([(TargetGroupArn::new("g"), seen)].into())
    }

    #[test]
    fn a_host_that_served_waits_until_it_is_let_go_or_its_deadline() {
        let start = Timestamp::UNIX_EPOCH;
        let host = deregistered(Some(start));
        let deadline = after(start, Duration::from_mins(6));
        assert!(!is_due(&host, &group_says(TargetState::Draining), start, start));
        assert!(is_due(&host, &group_says(TargetState::Unused), start, start));
        assert!(is_due(&host, &group_says(TargetState::Draining), start, deadline));
        assert!(!is_due(&host, &Groups([(TargetGroupArn::new("g"), GroupView::Gone)].into()), start, start));
        assert!(!is_due(&host, &Groups::default(), start, start));
    }

    #[test]
    fn a_group_that_cannot_be_heard_holds_a_host_past_its_deadline_and_not_for_ever() {
        let start = Timestamp::UNIX_EPOCH;
        let deadline = after(start, Duration::from_mins(6));
        let silent = GroupView::Unknown(CloudError::new(FailureClass::Throttled, "Throttling", ""));
        for groups in [Groups::default(), Groups([(TargetGroupArn::new("g"), silent)].into())] {
            for healthy_at in [None, Some(start)] {
                let host = deregistered(healthy_at);
                assert!(!is_due(&host, &groups, start, start));
                assert!(!is_due(&host, &groups, deadline, deadline));
                assert!(is_due(&host, &groups, deadline, after(deadline, UNHEARD_SPAN)));
            }
        }
        let gone = Groups([(TargetGroupArn::new("g"), GroupView::Gone)].into());
        assert!(is_due(&deregistered(Some(start)), &gone, deadline, deadline), "that group sends nothing");
    }

    #[test]
    fn what_a_group_said_before_it_was_told_is_no_evidence() {
        let before = Timestamp::UNIX_EPOCH;
        let told = after(before, Duration::from_secs(1));
        let mut host = deregistered(Some(before));
        if let HostState::Deregistered { since, .. } = &mut host.state {
            *since = told;
        }
        assert!(!is_due(&host, &group_says(TargetState::Unused), before, told));
        assert!(is_due(&host, &group_says(TargetState::Unused), told, told));
    }

    #[test]
    fn a_host_that_a_group_holds_again_is_not_due_however_late_it_is() {
        let told = Timestamp::UNIX_EPOCH;
        let (later, deadline) = (after(told, Duration::from_secs(1)), after(told, Duration::from_mins(6)));
        for healthy_at in [None, Some(told)] {
            let host = deregistered(healthy_at);
            for state in [TargetState::Initial, TargetState::Healthy, TargetState::Unhealthy] {
                let groups = group_says(state);
                assert!(!is_due(&host, &groups, later, deadline), "{state:?}");
                assert_eq!(to_tell(&host, &groups, later).len(), 1, "{state:?}: it is told again");
                assert!(to_tell(&host, &groups, told).is_empty(), "{state:?}: said before it was told");
            }
            assert!(to_tell(&host, &group_says(TargetState::Draining), later).is_empty());
        }
    }

    #[test]
    fn a_host_that_never_served_does_not_wait() {
        let host = deregistered(None);
        for state in [TargetState::Initial, TargetState::Unhealthy, TargetState::Unused] {
            assert!(
                is_due(&host, &group_says(state), Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH),
                "{state:?}"
            );
        }
        for state in [TargetState::Healthy, TargetState::Draining] {
            assert!(
                !is_due(&host, &group_says(state), Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH),
                "{state:?}: a group sends it traffic"
            );
        }
    }
}
