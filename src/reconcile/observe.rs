//! Looking at the cloud: one describe for all fleets, and target health for each group.
//!
//! What is seen of a host has three values. A list that could not be read whole is no list: every host is then
//! *unknown*, and nothing destructive follows from that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::decide::snapshot::Sighting;
use crate::domain::failure::{CloudError, FailureClass};
use crate::domain::ids::{FleetName, InstanceId, OwnerName, TargetGroupArn};
use crate::domain::tags;
use crate::provider::{CloudInstance, CloudProvider, InstanceState, TargetHealth, TargetState};

/// Every instance with our owner's tag, at one moment, and what was found out about hosts that are not among them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// By id.
    pub instances: BTreeMap<InstanceId, CloudInstance>,
    /// Hosts that the list does not have, and that could not be asked for by their id: nobody knows whether they are
    /// gone, or only their tag is.
    pub unconfirmed: BTreeSet<InstanceId>,
}

impl World {
    /// The same world, with those of these hosts looked for by their id that the list does not have. A list by tag says
    /// nothing about an instance whose tag was taken off: only its id does. Gives the error where that failed.
    pub async fn confirmed(
        self: Arc<Self>,
        cloud: &dyn CloudProvider,
        hosts: impl Iterator<Item = &InstanceId>,
    ) -> (Arc<Self>, Option<CloudError>) {
        let missing: Vec<InstanceId> =
            hosts.filter(|host| !self.instances.contains_key(*host)).cloned().collect();
        if missing.is_empty() {
            return (self, None);
        }
        let mut world = Self::clone(&self);
        let error = match cloud.instances_named(&missing).await {
            Ok(found) => {
                world.instances.extend(found.into_iter().map(|one| (one.id.clone(), one)));
                None
            }
            Err(error) => {
                world.unconfirmed.extend(missing);
                Some(error)
            }
        };
        (Arc::new(world), error)
    }

    /// Whether a host lives and does not carry the tags of its owner and its fleet any more: somebody changed them by
    /// hand, so it is not ours to touch, and not gone either.
    #[must_use]
    pub fn is_astray(&self, host: &InstanceId, owner: &OwnerName, fleet: &FleetName) -> bool {
        self.instances.get(host).is_some_and(|instance| {
            let carries =
                |key: &str, value: &str| instance.tags.get(key).is_some_and(|carried| carried == value);
            let alive = !matches!(instance.state, InstanceState::ShuttingDown | InstanceState::Terminated);
            alive && !(carries(tags::OWNER, owner.as_str()) && carries(tags::FLEET, fleet.as_str()))
        })
    }

    /// The instances that carry this fleet's tag.
    pub fn of_fleet<'a>(&'a self, fleet: &'a FleetName) -> impl Iterator<Item = &'a CloudInstance> + 'a {
        self.instances
            .values()
            .filter(move |instance| instance.tags.get(tags::FLEET).is_some_and(|name| name == fleet.as_str()))
    }
}

/// The shared look at the cloud. Fleets that look within the same moment share one describe.
pub struct Lookout {
    cloud: Arc<dyn CloudProvider>,
    clock: Arc<dyn Clock>,
    owner: OwnerName,
    /// The last look. The gate is held while a describe is out, which is its purpose: the others wait for its answer
    /// instead of asking the same again. It guards nothing but this cache.
    last: Mutex<Option<(Duration, Arc<World>)>>,
}

impl Lookout {
    /// A lookout for one owner's instances.
    #[must_use]
    pub fn new(cloud: Arc<dyn CloudProvider>, clock: Arc<dyn Clock>, owner: OwnerName) -> Self {
        Self { cloud, clock, owner, last: Mutex::new(None) }
    }

    /// Whose instances it sees.
    #[must_use]
    pub fn owner(&self) -> &OwnerName {
        &self.owner
    }

    /// What the cloud shows, at most `age` old.
    pub async fn look(&self, age: Duration) -> Result<Arc<World>, CloudError> {
        let mut last = self.last.lock().await;
        if let Some((at, world)) = last.as_ref()
            && self.clock.elapsed().saturating_sub(*at) < age
        {
            return Ok(Arc::clone(world));
        }
        let at = self.clock.elapsed();
        let listed = self.cloud.instances(&self.owner).await?;
        let instances = listed.into_iter().map(|instance| (instance.id.clone(), instance)).collect();
        let world = Arc::new(World { instances, ..World::default() });
        *last = Some((at, Arc::clone(&world)));
        Ok(world)
    }
}

/// What one target group says.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupView {
    /// Its targets, by instance; an instance may be registered at several ports.
    Seen(BTreeMap<InstanceId, Vec<TargetHealth>>),
    /// There is no such group.
    Gone,
    /// It could not be asked.
    Unknown(CloudError),
}

/// What every target group of interest says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groups(pub BTreeMap<TargetGroupArn, GroupView>);

impl Groups {
    /// Asks each group once, side by side.
    pub async fn look(cloud: &dyn CloudProvider, groups: BTreeSet<TargetGroupArn>) -> Self {
        let views = groups.into_iter().map(|group| async move {
            let view = match cloud.target_health(&group).await {
                Ok(targets) => GroupView::Seen(by_instance(targets)),
                Err(error) if error.class == FailureClass::NotFound => GroupView::Gone,
                Err(error) => GroupView::Unknown(error),
            };
            (group, view)
        });
        Self(join_all(views).await.into_iter().collect())
    }

    /// What one group says of one host; `None`: the group could not be heard, or is gone.
    #[must_use]
    pub fn of(&self, group: &TargetGroupArn, host: &InstanceId) -> Option<&[TargetHealth]> {
        match self.0.get(group) {
            Some(GroupView::Seen(targets)) => Some(targets.get(host).map_or(&[], Vec::as_slice)),
            Some(GroupView::Gone | GroupView::Unknown(_)) | None => None,
        }
    }

    /// What all of these groups together say of one host.
    #[must_use]
    pub fn standing(&self, groups: &[TargetGroupArn], host: &InstanceId) -> Standing {
        let mut standing = Standing::Healthy;
        for group in groups {
            let Some(targets) = self.of(group, host) else { return Standing::Unknown };
            standing = standing.max(standing_in_one(targets));
        }
        standing
    }

    /// The groups that a host must be let go of by: those of the configuration, and whichever other lists it still or
    /// cannot be asked.
    #[must_use]
    pub fn to_leave(&self, configured: &[TargetGroupArn], host: &InstanceId) -> Vec<TargetGroupArn> {
        let still = self.0.iter().filter(|(_, view)| match view {
            GroupView::Seen(targets) => targets.contains_key(host),
            GroupView::Gone => false,
            GroupView::Unknown(_) => true,
        });
        let others = still.map(|(group, _)| group).filter(|group| !configured.contains(group));
        configured.iter().chain(others).cloned().collect()
    }

    /// Whether some group sends the host traffic, or lets it finish what it was sent.
    #[must_use]
    pub fn in_use(&self, groups: &[TargetGroupArn], host: &InstanceId) -> bool {
        let serves = |target: &TargetHealth| {
            matches!(target.state, TargetState::Healthy | TargetState::Unavailable | TargetState::Draining)
        };
        groups.iter().any(|group| self.of(group, host).is_some_and(|targets| targets.iter().any(serves)))
    }

    /// Whether a group has the host registered and does not let it go.
    #[must_use]
    pub fn holds(&self, group: &TargetGroupArn, host: &InstanceId) -> bool {
        let held = |target: &TargetHealth| target.state != TargetState::Draining && !has_let_go(target);
        self.of(group, host).is_some_and(|targets| targets.iter().any(held))
    }

    /// Whether each of these groups answered; that it is gone is an answer.
    #[must_use]
    pub fn all_heard(&self, groups: &[TargetGroupArn]) -> bool {
        groups.iter().all(|group| matches!(self.0.get(group), Some(GroupView::Seen(_) | GroupView::Gone)))
    }

    /// Whether there is no such group.
    #[must_use]
    pub fn is_gone(&self, group: &TargetGroupArn) -> bool {
        matches!(self.0.get(group), Some(GroupView::Gone))
    }

    /// Whether every one of these groups has let the host go. A group that is gone, or silent, has not: "we do not
    /// know" is not "drained".
    #[must_use]
    pub fn all_let_go(&self, groups: &[TargetGroupArn], host: &InstanceId) -> bool {
        groups.iter().all(|group| self.of(group, host).is_some_and(|targets| targets.iter().all(has_let_go)))
    }
}

/// The reason that a target group gives for a registered target to which its load balancer sends nothing: the zone is not
/// enabled, or no listener uses the group.
const NOT_IN_USE: &str = "Target.NotInUse";

/// Whether a target that is still listed is registered no more. One that is not in use is `unused` as well, and would
/// serve as soon as somebody enables its zone.
fn has_let_go(target: &TargetHealth) -> bool {
    target.state == TargetState::Unused && target.reason != NOT_IN_USE
}

fn by_instance(targets: Vec<TargetHealth>) -> BTreeMap<InstanceId, Vec<TargetHealth>> {
    let mut map: BTreeMap<InstanceId, Vec<TargetHealth>> = BTreeMap::new();
    for target in targets {
        map.entry(target.target.host.clone()).or_default().push(target);
    }
    map
}

/// What target groups say of a host, best first: over several groups the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Passes its checks in every group.
    Healthy,
    /// Registered where no check ever runs: the group is used by no listener, or its zone is not enabled. That is the
    /// balancer's configuration, not the host: it is neither in service nor failed.
    NotInUse,
    /// Registered; not checked often enough yet.
    Initial,
    /// A group does not list it: it was never registered there, or was taken out by hand.
    NotRegistered,
    /// Fails its checks.
    Unhealthy,
    /// A group could not be heard.
    Unknown,
}

fn standing_in_one(targets: &[TargetHealth]) -> Standing {
    let each = targets.iter().map(|target| match target.state {
        // `unavailable`: health checks are switched off for the group; ELB sends such targets traffic.
        TargetState::Healthy | TargetState::Unavailable => Standing::Healthy,
        TargetState::Initial => Standing::Initial,
        TargetState::Unused if target.reason == NOT_IN_USE => Standing::NotInUse,
        TargetState::Unhealthy | TargetState::Unused | TargetState::Draining => Standing::Unhealthy,
    });
    each.max().unwrap_or(Standing::NotRegistered)
}

/// What is seen of one host in the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The cloud shows it alive.
    Alive(InstanceState),
    /// The cloud shows it dead or dying.
    Dead,
    /// The cloud answered, and does not show it, by its tag or by its id.
    Absent,
    /// The cloud did not answer.
    Unknown,
}

impl Body {
    /// What the list says of this instance; `None`: there is no list.
    #[must_use]
    pub fn of(world: Option<&World>, host: &InstanceId) -> Self {
        let Some(world) = world else { return Self::Unknown };
        match world.instances.get(host) {
            None if world.unconfirmed.contains(host) => Self::Unknown,
            None => Self::Absent,
            Some(instance) => match instance.state {
                InstanceState::ShuttingDown | InstanceState::Terminated => Self::Dead,
                state @ (InstanceState::Pending
                | InstanceState::Running
                | InstanceState::Stopping
                | InstanceState::Stopped) => Self::Alive(state),
            },
        }
    }

    /// The same, as a decision is told it: silence of a target group makes a living host unknown.
    #[must_use]
    pub fn sighting(self, standing: Standing) -> Sighting {
        match self {
            Self::Alive(_) if standing == Standing::Unknown => Sighting::Unknown,
            Self::Alive(_) => Sighting::Present,
            Self::Dead | Self::Absent => Sighting::Absent,
            Self::Unknown => Sighting::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::TargetId;

    fn health(host: &str, state: TargetState, reason: &str) -> TargetHealth {
        let target = TargetId { host: InstanceId::new(host), port: 80 };
        TargetHealth { target, state, reason: reason.to_owned() }
    }

    fn groups(views: [GroupView; 2]) -> (Groups, Vec<TargetGroupArn>) {
        let names = [TargetGroupArn::new("a"), TargetGroupArn::new("b")];
        (Groups(names.clone().into_iter().zip(views).collect()), names.to_vec())
    }

    #[test]
    fn the_worst_group_counts_and_silence_is_worse_than_any() {
        let host = InstanceId::new("i-1");
        let seen = |state, reason| GroupView::Seen(by_instance(vec![health("i-1", state, reason)]));
        let cases = [
            ([seen(TargetState::Healthy, ""), seen(TargetState::Healthy, "")], Standing::Healthy),
            ([seen(TargetState::Healthy, ""), seen(TargetState::Initial, "")], Standing::Initial),
            ([seen(TargetState::Unhealthy, ""), seen(TargetState::Initial, "")], Standing::Unhealthy),
            (
                [seen(TargetState::Healthy, ""), seen(TargetState::Unused, "Target.NotInUse")],
                Standing::NotInUse,
            ),
            ([seen(TargetState::Healthy, ""), GroupView::Seen(BTreeMap::new())], Standing::NotRegistered),
            ([seen(TargetState::Unhealthy, ""), GroupView::Gone], Standing::Unknown),
        ];
        for (views, expected) in cases {
            let (groups, names) = groups(views.clone());
            assert_eq!(groups.standing(&names, &host), expected, "{views:?}");
        }
    }

    #[test]
    fn a_group_that_is_gone_or_silent_has_not_let_go() {
        let host = InstanceId::new("i-1");
        let draining = GroupView::Seen(by_instance(vec![health("i-1", TargetState::Draining, "")]));
        let unused = GroupView::Seen(by_instance(vec![health("i-1", TargetState::Unused, "")]));
        let idle = GroupView::Seen(by_instance(vec![health("i-1", TargetState::Unused, NOT_IN_USE)]));
        let empty = GroupView::Seen(BTreeMap::new());
        let silent = GroupView::Unknown(CloudError::new(FailureClass::Unknown, "Timeout", ""));
        for (views, expected) in [
            ([unused.clone(), empty.clone()], true),
            ([unused.clone(), draining], false),
            ([unused.clone(), idle], false),
            ([empty.clone(), GroupView::Gone], false),
            ([empty, silent], false),
        ] {
            let (groups, names) = groups(views.clone());
            assert_eq!(groups.all_let_go(&names, &host), expected, "{views:?}");
        }
    }

    #[test]
    fn a_host_that_could_not_be_asked_for_by_its_id_is_not_gone() {
        let host = InstanceId::new("i-1");
        let listed = World::default();
        assert_eq!(Body::of(Some(&listed), &host), Body::Absent);
        let unconfirmed = World { unconfirmed: [host.clone()].into(), ..listed };
        assert_eq!(Body::of(Some(&unconfirmed), &host), Body::Unknown);
    }
}
