//! What is due when, and what happens then. Everything the cloud does by itself goes through here.

use std::time::Duration;

use crate::domain::ids::{InstanceId, TargetGroupArn};
use crate::domain::time::{Timestamp, after, since};
use crate::provider::simulated::model::Model;
use crate::provider::simulated::model::counters::{Share, noise};
use crate::provider::simulated::model::instance::{Instance, vcpus};
use crate::provider::simulated::model::journal::Event;
use crate::provider::simulated::model::load::LoadTarget;
use crate::provider::{InstanceState, TargetState};

/// A gap in time is summed up in at most so many steps, however long it is.
const MAX_STEPS: u32 = 3600;
/// How long one host's luck lasts before its noise is drawn anew.
const NOISE_SECONDS: i64 = 10;

/// Something that happens by itself. The order of the variants is the order within one moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A pending instance runs.
    Run(InstanceId),
    /// An instance dies by itself.
    Die(InstanceId),
    /// An instance that is shutting down is terminated.
    Terminated(InstanceId),
    /// A terminated instance is no longer shown.
    Forget(InstanceId),
    /// A target's health is looked at.
    CheckHealth(TargetGroupArn, InstanceId, u16),
    /// A draining target's delay is over.
    Drained(TargetGroupArn, InstanceId, u16),
}

impl Model {
    /// Lets time pass. A time before the one it is at changes nothing: the model's time never goes back.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some((at, due)) = self.agenda.first().cloned() {
            if at > now {
                break;
            }
            self.agenda.pop_first();
            self.carry_load(at);
            self.now = self.now.max(at);
            self.happen(due);
        }
        self.carry_load(now);
        self.now = self.now.max(now);
    }

    pub(super) fn schedule(&mut self, span: Duration, due: Due) -> Timestamp {
        let at = after(self.now, span);
        self.agenda.insert((at, due));
        at
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Run(id) => self.change_state(&id, InstanceState::Pending, InstanceState::Running, "booted"),
            Due::Die(id) => self.end_instance(&id, "Server.InternalError: the instance died"),
            Due::Terminated(id) => {
                self.change_state(&id, InstanceState::ShuttingDown, InstanceState::Terminated, "shut down");
                self.schedule(self.options.terminated_visible, Due::Forget(id));
            }
            Due::Forget(id) => self.forget(&id),
            Due::CheckHealth(group, host, port) => self.check_health(&group, &host, port),
            Due::Drained(group, host, port) => self.end_draining(&group, &host, port),
        }
    }

    /// Moves an instance on if it is still where it is expected to be.
    fn change_state(&mut self, id: &InstanceId, from: InstanceState, to: InstanceState, cause: &str) {
        let Some(instance) = self.instances.get_mut(id).filter(|instance| instance.state == from) else {
            return;
        };
        instance.state = to;
        let event =
            Event::Instance { instance: id.clone(), from: Some(from), to: Some(to), cause: cause.to_owned() };
        self.record(event);
    }

    /// Begins an instance's end, whoever wants it. Nothing happens to one that is dead already.
    pub(super) fn end_instance(&mut self, id: &InstanceId, reason: &str) {
        let Some(instance) = self.instances.get_mut(id).filter(|instance| !instance.is_dead()) else {
            return;
        };
        let from = std::mem::replace(&mut instance.state, InstanceState::ShuttingDown);
        reason.clone_into(&mut instance.reason);
        let event = Event::Instance {
            instance: id.clone(),
            from: Some(from),
            to: Some(InstanceState::ShuttingDown),
            cause: reason.to_owned(),
        };
        self.record(event);
        self.invalidate_targets(id);
        let span = self.sample(self.options.shutdown);
        self.schedule(span, Due::Terminated(id.clone()));
    }

    fn forget(&mut self, id: &InstanceId) {
        if let Some(instance) = self.instances.remove(id) {
            let cause = "no longer shown".to_owned();
            self.remove_targets(id);
            let from = Some(instance.state);
            self.record(Event::Instance { instance: id.clone(), from, to: None, cause });
        }
    }

    /// Sums the load up into the hosts' counters, on a grid, so that how often somebody looks changes nothing.
    fn carry_load(&mut self, until: Timestamp) {
        let gap = since(until, self.loaded_until);
        let step = self.options.hosts.step.max(gap / MAX_STEPS).max(Duration::from_millis(1));
        while self.loaded_until < until {
            let from = self.loaded_until;
            let to = after(from, step).min(until);
            self.carry_step(from, since(to, from));
            self.loaded_until = to;
        }
    }

    fn carry_step(&mut self, from: Timestamp, span: Duration) {
        let demands = self.demands(after(from, span / 2));
        let hosts = self.options.hosts;
        let moment = (from.timestamp() / NOISE_SECONDS).unsigned_abs();
        let running = self.instances.values_mut().filter(|one| one.state == InstanceState::Running);
        for instance in running {
            let vcpus = f64::from(vcpus(&instance.instance_type));
            let luck = 1.0 + hosts.noise * noise(self.options.seed, instance.ordinal, moment);
            let rps: f64 =
                demands.iter().filter(|demand| demand.falls_on(instance)).map(|demand| demand.rps).sum();
            let capacity = hosts.rps_per_vcpu * vcpus;
            let share = Share { span, rps: rps * luck.max(0.0), capacity, idle_cpu: hosts.idle_cpu, vcpus };
            instance.counters.advance(share);
        }
    }

    /// What each load is for each of the hosts that share it.
    fn demands(&self, at: Timestamp) -> Vec<Demand> {
        let mut demands = Vec::new();
        for (target, load) in &self.loads {
            let hosts = self.sharers(target);
            if !hosts.is_empty() {
                demands.push(Demand { rps: load.rps(at) / hosts.len() as f64, hosts });
            }
        }
        demands
    }

    fn sharers(&self, target: &LoadTarget) -> Vec<InstanceId> {
        match target {
            LoadTarget::TargetGroup(arn) => {
                let targets = self.groups.get(arn).into_iter().flat_map(|group| &group.targets);
                targets
                    .filter(|(_, target)| target.state == TargetState::Healthy)
                    .filter(|(id, _)| self.in_enabled_zone(&id.host))
                    .map(|(id, _)| id.host.clone())
                    .collect()
            }
            LoadTarget::Tagged { key, value } => self
                .instances
                .values()
                .filter(|one| one.state == InstanceState::Running && one.tags.get(key) == Some(value))
                .map(|one| one.id.clone())
                .collect(),
        }
    }
}

/// One load's part for each of its hosts.
struct Demand {
    rps: f64,
    /// In order.
    hosts: Vec<InstanceId>,
}

impl Demand {
    fn falls_on(&self, instance: &Instance) -> bool {
        self.hosts.binary_search(&instance.id).is_ok()
    }
}
