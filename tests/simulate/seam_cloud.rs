//! The way of every call to the cloud: turns before and after, what the network does to it, and the checker at the moment
//! in which a mutating call leaves the process.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rand::Rng as _;

use fleet_scaler::domain::failure::{CloudError, FailureClass};
use fleet_scaler::domain::ids::{
    ClientToken, InstanceId, LaunchId, OwnerName, ReplicaId, SubnetId, TargetGroupArn,
};
use fleet_scaler::domain::launch::{RunRequest, TemplateRef};
use fleet_scaler::domain::tags;
use fleet_scaler::domain::time::after;
use fleet_scaler::provider::{
    CloudInstance, CloudProvider, InstanceState, Receipt, RunReply, SubnetInfo, TargetGroup, TargetHealth,
    TargetId, TargetState,
};
use fleet_scaler::store::Operation;

use crate::bugs::Bug;
use crate::clock::turn;
use crate::world::{LateCall, World};

/// A call that was given up arrives at the latest so long after, in seconds.
const LATE_MOST: f64 = 40.0;

/// One process's way to the cloud.
pub(crate) struct SeamCloud {
    pub(crate) world: Arc<World>,
    pub(crate) replica: ReplicaId,
}

/// What a mutating call is about, as its row must say it.
struct Sending<'a> {
    op: Operation,
    token: Option<&'a ClientToken>,
    group: Option<&'a TargetGroupArn>,
    instances: BTreeSet<InstanceId>,
}

impl SeamCloud {
    async fn read<T, F>(&self, name: &'static str, work: impl Fn() -> F) -> Result<T, CloudError>
    where
        F: Future<Output = Result<T, CloudError>>,
    {
        turn().await;
        let answer = self.world.step(&self.replica, (name, false), work, |_| {}).await;
        self.note(name, answer.as_ref().err());
        answer
    }

    async fn mutate<T, F>(
        &self,
        sending: Sending<'_>,
        late: LateCall,
        work: impl Fn() -> F,
    ) -> Result<T, CloudError>
    where
        F: Future<Output = Result<T, CloudError>>,
    {
        let op = sending.op;
        self.world.judge_sending(&self.replica, op, (sending.token, sending.group), &sending.instances);
        turn().await;
        if self.is_late() {
            self.give_up(op, late);
            turn().await;
            return Err(CloudError::new(FailureClass::Unknown, "Timeout", "given up; it may yet arrive"));
        }
        let done = |_: &T| {
            if op == Operation::TerminateInstances {
                self.world.state().book.terminated.extend(sending.instances.iter().cloned());
            }
        };
        let answer = self.world.step(&self.replica, (op.as_str(), true), work, done).await;
        self.world.judge_journal();
        self.note(op.as_str(), answer.as_ref().err());
        turn().await;
        answer
    }

    fn is_late(&self) -> bool {
        let late = self.world.state().network.late;
        late > 0.0 && self.world.unit() < late
    }

    fn give_up(&self, op: Operation, call: LateCall) {
        let mut state = self.world.state();
        let span = Duration::from_secs_f64(state.rng.random_range(0.5..LATE_MOST));
        let at = after(self.world.now(), span);
        state.network.under_way.push((at, call));
        state.tally.count("fault", "call arrives late");
        let line = format!("{}: given up, arrives in {span:?}", op.as_str());
        state.trace.note(self.world.time.elapsed(), self.replica.as_str(), &line);
    }

    fn note(&self, name: &str, failure: Option<&CloudError>) {
        let said =
            failure.map_or_else(|| "ok".to_owned(), |error| format!("{:?} {}", error.class, error.code));
        self.world.note(self.replica.as_str(), &format!("{name}: {said}"));
        if let Some(error) = failure {
            self.world.state().tally.count("answer", &format!("{name} {:?}", error.class));
        }
    }

    /// The list as some of the bugs read it.
    fn bend_listed(&self, listed: &mut Vec<CloudInstance>, owner: &OwnerName) {
        match self.world.bug {
            Some(Bug::AbsenceTakenForDeath) => {
                let state = self.world.state();
                let living = state.book.fleets.values().flat_map(|fleet| fleet.hosts.values());
                let absent: Vec<_> = living
                    .filter(|host| !host.state.is_final() && listed.iter().all(|one| one.id != host.id))
                    .cloned()
                    .collect();
                drop(state);
                listed.extend(absent.into_iter().map(|host| CloudInstance {
                    id: host.id,
                    state: InstanceState::Terminated,
                    zone: host.zone,
                    subnet: None,
                    instance_type: host.instance_type,
                    address: None,
                    launched_at: host.launched_at,
                    tags: std::collections::BTreeMap::new(),
                }));
                listed.sort_by(|a, b| a.id.cmp(&b.id));
            }
            Some(Bug::DeadHostsBelieved) => {
                for one in listed.iter_mut().filter(|one| one.state == InstanceState::Terminated) {
                    one.state = InstanceState::Running;
                }
            }
            Some(Bug::ForeignInstancesTaken) => {
                let fleet = self.world.state().fleets.keys().next().cloned();
                let foreign = self.world.cloud.with_model(|model| {
                    let all = model.instances().filter(|one| !one.tags.contains_key(tags::OWNER));
                    all.map(|one| {
                        (one.id.clone(), one.zone.clone(), one.instance_type.clone(), one.launched_at)
                    })
                    .collect::<Vec<_>>()
                });
                let Some(fleet) = fleet else { return };
                listed.extend(foreign.into_iter().map(|(id, zone, instance_type, launched_at)| {
                    CloudInstance {
                        id,
                        state: InstanceState::Running,
                        zone,
                        subnet: None,
                        instance_type,
                        address: None,
                        launched_at,
                        tags: [(tags::OWNER, owner.as_str()), (tags::FLEET, fleet.as_str())]
                            .map(|(key, value)| (key.to_owned(), value.to_owned()))
                            .into(),
                    }
                }));
                listed.sort_by(|a, b| a.id.cmp(&b.id));
            }
            _ => {}
        }
    }
}

#[async_trait]
impl CloudProvider for SeamCloud {
    async fn instances(&self, owner: &OwnerName) -> Result<Vec<CloudInstance>, CloudError> {
        let mut listed = self.read("DescribeInstances", || self.world.cloud.instances(owner)).await?;
        self.bend_listed(&mut listed, owner);
        Ok(listed)
    }

    async fn instances_of_launch(&self, launch: LaunchId) -> Result<Vec<CloudInstance>, CloudError> {
        self.read("DescribeInstances by launch", || self.world.cloud.instances_of_launch(launch)).await
    }

    async fn instances_named(&self, hosts: &[InstanceId]) -> Result<Vec<CloudInstance>, CloudError> {
        self.read("DescribeInstances by id", || self.world.cloud.instances_named(hosts)).await
    }

    async fn template_version(&self, template: &TemplateRef, version: &str) -> Result<u64, CloudError> {
        self.read("DescribeLaunchTemplateVersions", || self.world.cloud.template_version(template, version))
            .await
    }

    async fn subnets(&self, subnets: &[SubnetId]) -> Result<Vec<SubnetInfo>, CloudError> {
        self.read("DescribeSubnets", || self.world.cloud.subnets(subnets)).await
    }

    async fn target_group(&self, group: &TargetGroupArn) -> Result<TargetGroup, CloudError> {
        self.read("DescribeTargetGroups", || self.world.cloud.target_group(group)).await
    }

    async fn target_health(&self, group: &TargetGroupArn) -> Result<Vec<TargetHealth>, CloudError> {
        let mut health = self.read("DescribeTargetHealth", || self.world.cloud.target_health(group)).await?;
        if self.world.has(Bug::TerminateBeforeDrained) {
            for target in health.iter_mut().filter(|target| target.state == TargetState::Draining) {
                target.state = TargetState::Unused;
            }
        }
        Ok(health)
    }

    async fn run_instances(&self, request: &RunRequest) -> Result<RunReply, CloudError> {
        let sending = Sending {
            op: Operation::RunInstances,
            token: Some(&request.client_token),
            group: None,
            instances: BTreeSet::new(),
        };
        let late = LateCall::Run(Box::new(request.clone()));
        self.mutate(sending, late, || self.world.cloud.run_instances(request)).await
    }

    async fn register(&self, group: &TargetGroupArn, hosts: &[InstanceId]) -> Result<Receipt, CloudError> {
        let instances = hosts.iter().cloned().collect();
        let sending = Sending { op: Operation::RegisterTargets, token: None, group: Some(group), instances };
        let late = LateCall::Register(group.clone(), hosts.to_vec());
        self.mutate(sending, late, || self.world.cloud.register(group, hosts)).await
    }

    async fn deregister(&self, group: &TargetGroupArn, targets: &[TargetId]) -> Result<Receipt, CloudError> {
        let instances = targets.iter().map(|target| target.host.clone()).collect();
        let sending =
            Sending { op: Operation::DeregisterTargets, token: None, group: Some(group), instances };
        if self.world.has(Bug::TerminateWithoutDeregistering) {
            return Ok(Receipt::default());
        }
        let late = LateCall::Deregister(group.clone(), targets.to_vec());
        let answer = self.mutate(sending, late, || self.world.cloud.deregister(group, targets)).await;
        match answer {
            Err(error)
                if error.class == FailureClass::Unknown && self.world.has(Bug::LostReplyTakenForDone) =>
            {
                Ok(Receipt::default())
            }
            answer => answer,
        }
    }

    async fn terminate(&self, hosts: &[InstanceId]) -> Result<Receipt, CloudError> {
        let instances = hosts.iter().cloned().collect();
        let sending = Sending { op: Operation::TerminateInstances, token: None, group: None, instances };
        let late = LateCall::Terminate(hosts.to_vec());
        self.mutate(sending, late, || self.world.cloud.terminate(hosts)).await
    }

    async fn may_launch(&self, request: &RunRequest) -> Result<(), CloudError> {
        self.read("RunInstances (dry run)", || self.world.cloud.may_launch(request)).await
    }
}
