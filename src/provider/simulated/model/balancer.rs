//! ELBv2's target groups: registering, health, and draining for all of the delay.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::ids::{InstanceId, TargetGroupArn};
use crate::domain::time::Timestamp;
use crate::provider::simulated::model::Model;
use crate::provider::simulated::model::agenda::Due;
use crate::provider::simulated::model::api::{ApiError, TargetGroupView, Targets};
use crate::provider::simulated::model::instance::{Instance, Software};
use crate::provider::simulated::model::journal::{Event, Passage};
use crate::provider::simulated::options::parts::TargetGroupOptions;
use crate::provider::{InstanceState, TargetGroup, TargetHealth, TargetId, TargetState};

/// ELBv2's default quota of targets in a group.
const MAX_TARGETS: usize = 1000;
/// How often a target that fails its checks, or drains for ever, is looked at again.
const RECHECK: Duration = Duration::from_secs(1);

/// One target group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) options: TargetGroupOptions,
    pub(super) targets: BTreeMap<TargetId, Target>,
}

/// One target that a group knows.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) state: TargetState,
    pub(super) reason: &'static str,
    /// When it is looked at next. A look that was planned before that one is void.
    next: Option<Timestamp>,
}

impl Group {
    pub(super) fn new(options: &TargetGroupOptions) -> Self {
        Self { options: options.clone(), targets: BTreeMap::new() }
    }
}

/// ELBv2's name of a state.
#[must_use]
pub(crate) fn state_name(state: TargetState) -> &'static str {
    match state {
        TargetState::Initial => "initial",
        TargetState::Healthy => "healthy",
        TargetState::Unhealthy => "unhealthy",
        TargetState::Unused => "unused",
        TargetState::Draining => "draining",
        TargetState::Unavailable => "unavailable",
    }
}

impl Model {
    fn group(&self, arn: &TargetGroupArn) -> Result<&Group, ApiError> {
        self.groups.get(arn).ok_or_else(|| {
            ApiError::client("TargetGroupNotFound", format!("One or more target groups not found: {arn}"))
        })
    }

    /// DescribeTargetGroups and DescribeTargetGroupAttributes: the ones named, or all.
    pub(crate) fn target_groups(&self, arns: &[TargetGroupArn]) -> Result<Vec<TargetGroupView>, ApiError> {
        let view = |group: &Group| TargetGroupView {
            name: group.options.name.clone(),
            group: TargetGroup {
                arn: group.options.arn.clone(),
                port: group.options.port,
                deregistration_delay: group.options.deregistration_delay,
                target_type: "instance".to_owned(),
            },
        };
        if arns.is_empty() {
            return Ok(self.groups.values().map(view).collect());
        }
        arns.iter().map(|arn| self.group(arn).map(view)).collect()
    }

    /// DescribeTargetHealth: of the targets named, or of all that the group knows.
    pub(crate) fn target_health(&self, request: &Targets) -> Result<Vec<TargetHealth>, ApiError> {
        let group = self.group(&request.group)?;
        let names = self.target_ids(request)?;
        let health = |id: &TargetId, target: Option<&Target>| {
            let (state, reason) = match target {
                None => (TargetState::Unused, "Target.NotRegistered"),
                Some(target) => self.shown(id, target),
            };
            TargetHealth { target: id.clone(), state, reason: reason.to_owned() }
        };
        if names.is_empty() {
            return Ok(group.targets.iter().map(|(id, target)| health(id, Some(target))).collect());
        }
        Ok(names.iter().map(|id| health(id, group.targets.get(id))).collect())
    }

    fn shown(&self, id: &TargetId, target: &Target) -> (TargetState, &'static str) {
        let in_rotation =
            matches!(target.state, TargetState::Initial | TargetState::Healthy | TargetState::Unhealthy);
        if in_rotation && !self.in_enabled_zone(&id.host) {
            (TargetState::Unused, "Target.NotInUse")
        } else {
            (target.state, target.reason)
        }
    }

    pub(super) fn in_enabled_zone(&self, host: &InstanceId) -> bool {
        self.instances.get(host).is_none_or(|instance| !self.faults.is_zone_off(&instance.zone))
    }

    /// RegisterTargets: all of them, or none.
    pub(crate) fn register(&mut self, request: &Targets) -> Result<(), ApiError> {
        let known = &self.group(&request.group)?.targets;
        let ids = self.target_ids(request)?;
        let added = ids.iter().filter(|id| !known.contains_key(id)).count();
        if known.len() + added > MAX_TARGETS {
            let text = format!("A target group cannot have more than {MAX_TARGETS} targets");
            return Err(ApiError::client("TooManyTargets", text));
        }
        for id in &ids {
            self.registrable(&id.host)?;
        }
        for id in ids {
            self.register_one(&request.group, &id);
        }
        Ok(())
    }

    fn registrable(&self, host: &InstanceId) -> Result<(), ApiError> {
        let shown = self.instances.get(host).filter(|instance| instance.visible_at <= self.now);
        let Some(instance) = shown else {
            return Err(ApiError::client("InvalidTarget", format!("The target {host} does not exist")));
        };
        if instance.state == InstanceState::Running {
            return Ok(());
        }
        let text =
            format!("The following targets are not in a running state and cannot be registered: '{host}'");
        Err(ApiError::client("InvalidTarget", text))
    }

    /// A target that is draining is taken back; one that is registered stays as it is.
    fn register_one(&mut self, arn: &TargetGroupArn, id: &TargetId) {
        let span = self.sample(self.options.health);
        let Some(group) = self.groups.get(arn) else { return };
        let from = group.targets.get(id).map(|target| target.state);
        if from.is_some_and(|state| state != TargetState::Draining) {
            return;
        }
        let now = self.now;
        if let Some(instance) = self.instances.get_mut(&id.host) {
            instance.passages.retain(|passage| passage.target_group != *arn || passage.port != id.port);
            instance.passages.push(Passage {
                target_group: arn.clone(),
                port: id.port,
                registered_at: now,
                deregistered_at: None,
                drained_at: None,
                group_deleted_at: None,
            });
        }
        self.put_target(arn, id, TargetState::Initial, "Elb.InitialHealthChecking");
        let due = Due::CheckHealth(arn.clone(), id.host.clone(), id.port);
        self.plan(arn, id, span, due);
    }

    /// DeregisterTargets. A target that is not there is no error.
    pub(crate) fn deregister(&mut self, request: &Targets) -> Result<(), ApiError> {
        let delay = self.group(&request.group)?.options.deregistration_delay;
        for id in self.target_ids(request)? {
            let Some(target) = self.groups.get(&request.group).and_then(|group| group.targets.get(&id))
            else {
                continue;
            };
            if target.state == TargetState::Draining {
                continue;
            }
            let now = self.now;
            self.passage(&request.group, &id, |passage| passage.deregistered_at = Some(now));
            self.put_target(&request.group, &id, TargetState::Draining, "Target.DeregistrationInProgress");
            let due = Due::Drained(request.group.clone(), id.host.clone(), id.port);
            self.plan(&request.group, &id, delay, due);
        }
        // A delay of nothing is over at once, before anybody can look.
        self.advance(self.now);
        Ok(())
    }

    fn target_ids(&self, request: &Targets) -> Result<Vec<TargetId>, ApiError> {
        let usual = self.group(&request.group)?.options.port;
        let id = |host: &InstanceId, port: Option<u16>| TargetId {
            host: host.clone(),
            port: port.unwrap_or(usual),
        };
        Ok(request.targets.iter().map(|name| id(&name.host, name.port)).collect())
    }

    /// Writes a target's new state and why.
    fn put_target(&mut self, arn: &TargetGroupArn, id: &TargetId, to: TargetState, reason: &'static str) {
        let Some(group) = self.groups.get_mut(arn) else { return };
        let before = group.targets.insert(id.clone(), Target { state: to, reason, next: None });
        if before.as_ref().map(|target| (target.state, target.reason)) == Some((to, reason)) {
            return;
        }
        let event = Event::Target {
            target_group: arn.clone(),
            target: id.clone(),
            from: before.map(|target| state_name(target.state)),
            to: Some(state_name(to)),
            reason,
        };
        self.record(event);
    }

    fn plan(&mut self, arn: &TargetGroupArn, id: &TargetId, span: Duration, due: Due) {
        let at = self.schedule(span, due);
        if let Some(target) = self.groups.get_mut(arn).and_then(|group| group.targets.get_mut(id)) {
            target.next = Some(at);
        }
    }

    fn passage(&mut self, arn: &TargetGroupArn, id: &TargetId, change: impl Fn(&mut Passage)) {
        let passages = self.instances.get_mut(&id.host).into_iter().flat_map(|one| &mut one.passages);
        passages.filter(|passage| passage.target_group == *arn && passage.port == id.port).for_each(change);
    }

    /// The state of a target whose planned look is now; `None`: another look was planned since.
    fn looked_at(&self, arn: &TargetGroupArn, id: &TargetId) -> Option<TargetState> {
        let target = self.groups.get(arn)?.targets.get(id)?;
        (target.next == Some(self.now)).then_some(target.state)
    }

    pub(super) fn check_health(&mut self, arn: &TargetGroupArn, host: &InstanceId, port: u16) {
        let id = TargetId { host: host.clone(), port };
        let Some(TargetState::Initial | TargetState::Unhealthy) = self.looked_at(arn, &id) else { return };
        match self.instances.get(host).map(|instance| self.failing(instance)) {
            None => {}
            Some(None) => self.put_target(arn, &id, TargetState::Healthy, ""),
            Some(Some(reason)) => {
                self.put_target(arn, &id, TargetState::Unhealthy, reason);
                self.plan(arn, &id, RECHECK, Due::CheckHealth(arn.clone(), id.host.clone(), port));
            }
        }
    }

    /// Why it does not pass its checks, if it does not.
    fn failing(&self, instance: &Instance) -> Option<&'static str> {
        match instance.software {
            Software::Unresponsive => Some("Target.Timeout"),
            Software::NeverHealthy => Some("Target.FailedHealthChecks"),
            Software::Serving if self.faults.is_sick(instance) => Some("Target.FailedHealthChecks"),
            Software::Serving => None,
        }
    }

    pub(super) fn end_draining(&mut self, arn: &TargetGroupArn, host: &InstanceId, port: u16) {
        let id = TargetId { host: host.clone(), port };
        if self.looked_at(arn, &id) != Some(TargetState::Draining) {
            return;
        }
        if self.faults.is_stuck(arn) {
            self.plan(arn, &id, RECHECK, Due::Drained(arn.clone(), id.host.clone(), port));
            return;
        }
        let now = self.now;
        self.passage(arn, &id, |passage| passage.drained_at = Some(now));
        self.remove_target(arn, &id, "deregistration delay is over");
    }

    /// Looks at every healthy target again, after something happened to the hosts.
    pub(super) fn recheck_healthy(&mut self) {
        let mut failed = Vec::new();
        for (arn, group) in &self.groups {
            for (id, target) in &group.targets {
                let instance = self.instances.get(&id.host);
                let reason = instance.and_then(|instance| self.failing(instance));
                if let (TargetState::Healthy, Some(reason)) = (target.state, reason) {
                    failed.push((arn.clone(), id.clone(), reason));
                }
            }
        }
        for (arn, id, reason) in failed {
            self.put_target(&arn, &id, TargetState::Unhealthy, reason);
            let due = Due::CheckHealth(arn.clone(), id.host.clone(), id.port);
            self.plan(&arn, &id, RECHECK, due);
        }
    }

    /// A dead instance serves nothing: its targets say so until it is forgotten. Draining goes on as it was.
    pub(super) fn invalidate_targets(&mut self, host: &InstanceId) {
        for (arn, id) in self.targets_of(host) {
            let state = self.groups.get(&arn).and_then(|group| group.targets.get(&id)).map(|one| one.state);
            if state.is_some_and(|state| state != TargetState::Draining) {
                self.put_target(&arn, &id, TargetState::Unused, "Target.InvalidState");
            }
        }
    }

    pub(super) fn remove_targets(&mut self, host: &InstanceId) {
        for (arn, id) in self.targets_of(host) {
            self.remove_target(&arn, &id, "the instance is gone");
        }
    }

    fn targets_of(&self, host: &InstanceId) -> Vec<(TargetGroupArn, TargetId)> {
        let pairs = self.groups.iter().flat_map(|(arn, group)| group.targets.keys().map(move |id| (arn, id)));
        pairs.filter(|(_, id)| id.host == *host).map(|(arn, id)| (arn.clone(), id.clone())).collect()
    }

    fn remove_target(&mut self, arn: &TargetGroupArn, id: &TargetId, reason: &'static str) {
        let removed = self.groups.get_mut(arn).and_then(|group| group.targets.remove(id));
        if let Some(target) = removed {
            let from = Some(state_name(target.state));
            self.record(Event::Target {
                target_group: arn.clone(),
                target: id.clone(),
                from,
                to: None,
                reason,
            });
        }
    }

    pub(super) fn delete_group(&mut self, arn: &TargetGroupArn) -> Result<(), ApiError> {
        self.group(arn)?;
        self.groups.remove(arn);
        self.loads.remove(&crate::provider::simulated::model::load::LoadTarget::TargetGroup(arn.clone()));
        let now = self.now;
        for instance in self.instances.values_mut() {
            let here = instance.passages.iter_mut().filter(|passage| passage.target_group == *arn);
            here.for_each(|passage| passage.group_deleted_at = Some(now));
        }
        Ok(())
    }
}
