//! A process that dies at a chosen step: decorators over the store and the cloud that stop for ever there.
//!
//! Every mutating method of both contracts is a step. "Dies before" means that nothing of the step was done; "dies
//! after" means that all of it was done and nobody learned of it. Together they are every place in which a `kill -9`
//! can tell the difference, and because the steps are counted while they happen, one that is added later is in the
//! matrix without anybody thinking of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use fleet_scaler::domain::boot::Boot;
use fleet_scaler::domain::failure::{CloudError, FailureClass};
use fleet_scaler::domain::host::Host;
use fleet_scaler::domain::ids::{
    AttemptId, CallId, FleetName, InstanceId, LaunchId, OwnerName, ReplicaId, SubnetId, TargetGroupArn,
};
use fleet_scaler::domain::launch::{AbandonReason, Attempt, RunRequest, TemplateRef};
use fleet_scaler::domain::time::Timestamp;
use fleet_scaler::provider::{
    CloudInstance, CloudProvider, Receipt, RunReply, SubnetInfo, TargetGroup, TargetHealth, TargetId,
};
use fleet_scaler::store::{
    CallAnswer, CloudCall, ConfigChange, DecisionCommit, DecisionFilter, DecisionRow, Fence, HostChange,
    LeaseAnswer, Muster, OperatorAction, Orphan, OrphanSightings, Resolution, Store, StoreError, StoredFleet,
};

/// On which side of the step the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// Burns down with each step.
pub(crate) struct Fuse {
    at: Option<(usize, Side)>,
    steps: AtomicUsize,
    names: Mutex<Vec<&'static str>>,
    died: Notify,
}

impl Fuse {
    /// Dies at the step with this number, from 0; `None`: counts only.
    pub(crate) fn new(at: Option<(usize, Side)>) -> Arc<Self> {
        Arc::new(Self { at, steps: AtomicUsize::new(0), names: Mutex::default(), died: Notify::new() })
    }

    /// The names of the steps so far.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.names.lock().unwrap().clone()
    }

    /// Returns when the process has died.
    pub(crate) async fn died(&self) {
        self.died.notified().await;
    }

    async fn step<T>(&self, name: &'static str, work: impl Future<Output = T>) -> T {
        let number = self.steps.fetch_add(1, Ordering::SeqCst);
        self.names.lock().unwrap().push(name);
        let side = self.at.and_then(|(at, side)| (at == number).then_some(side));
        if side == Some(Side::Before) {
            self.die().await;
        }
        let done = work.await;
        if side == Some(Side::After) {
            self.die().await;
        }
        done
    }

    /// A dead process does nothing any more, and in particular does not return.
    async fn die(&self) {
        self.died.notify_one();
        std::future::pending::<()>().await;
    }
}

/// A store whose user may die.
pub(crate) struct FusedStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) fuse: Arc<Fuse>,
}

#[async_trait]
impl Store for FusedStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now().await
    }
    async fn schema_check(&self) -> Result<(), StoreError> {
        self.inner.schema_check().await
    }
    async fn lease_take(
        &self,
        fleet: &FleetName,
        replica: &ReplicaId,
        span: Duration,
    ) -> Result<LeaseAnswer, StoreError> {
        self.fuse.step("lease_take", self.inner.lease_take(fleet, replica, span)).await
    }
    async fn lease_release(&self, fence: &Fence) -> Result<(), StoreError> {
        self.fuse.step("lease_release", self.inner.lease_release(fence)).await
    }
    async fn muster(&self, replica: &ReplicaId, span: Duration) -> Result<Muster, StoreError> {
        self.inner.muster(replica, span).await
    }
    async fn muster_leave(&self, replica: &ReplicaId) -> Result<(), StoreError> {
        self.inner.muster_leave(replica).await
    }
    async fn fleet_load(
        &self,
        fleet: &FleetName,
        horizon: Duration,
        budget: Duration,
    ) -> Result<StoredFleet, StoreError> {
        self.inner.fleet_load(fleet, horizon, budget).await
    }
    async fn decision_commit(&self, fence: &Fence, commit: &DecisionCommit) -> Result<Timestamp, StoreError> {
        self.fuse.step("decision_commit", self.inner.decision_commit(fence, commit)).await
    }
    async fn attempt_open(&self, fence: &Fence, attempt: &Attempt) -> Result<(), StoreError> {
        self.fuse.step("attempt_open", self.inner.attempt_open(fence, attempt)).await
    }
    async fn attempt_defer(
        &self,
        fence: &Fence,
        attempt: AttemptId,
        failure: FailureClass,
        wait: Duration,
    ) -> Result<(), StoreError> {
        self.fuse.step("attempt_defer", self.inner.attempt_defer(fence, attempt, failure, wait)).await
    }
    async fn attempt_resolve(&self, fence: &Fence, resolution: &Resolution) -> Result<(), StoreError> {
        self.fuse.step("attempt_resolve", self.inner.attempt_resolve(fence, resolution)).await
    }
    async fn launch_abandon(
        &self,
        fence: &Fence,
        launch: LaunchId,
        reason: AbandonReason,
    ) -> Result<(), StoreError> {
        self.fuse.step("launch_abandon", self.inner.launch_abandon(fence, launch, reason)).await
    }
    async fn call_begin(&self, fence: &Fence, call: &CloudCall) -> Result<(), StoreError> {
        self.fuse.step("call_begin", self.inner.call_begin(fence, call)).await
    }
    async fn call_end(&self, call: CallId, answer: &CallAnswer) -> Result<(), StoreError> {
        self.fuse.step("call_end", self.inner.call_end(call, answer)).await
    }
    async fn calls_settle_abandoned(&self, fence: &Fence) -> Result<u64, StoreError> {
        self.fuse.step("calls_settle_abandoned", self.inner.calls_settle_abandoned(fence)).await
    }
    async fn host_advance(&self, fence: &Fence, change: &HostChange) -> Result<(), StoreError> {
        self.fuse.step("host_advance", self.inner.host_advance(fence, change)).await
    }
    async fn orphan_sighted(&self, fence: &Fence, orphan: &Orphan) -> Result<OrphanSightings, StoreError> {
        self.fuse.step("orphan_sighted", self.inner.orphan_sighted(fence, orphan)).await
    }
    async fn host_adopt(&self, fence: &Fence, host: &Host) -> Result<(), StoreError> {
        self.fuse.step("host_adopt", self.inner.host_adopt(fence, host)).await
    }
    async fn operator_act(&self, action: &OperatorAction) -> Result<(), StoreError> {
        self.inner.operator_act(action).await
    }
    async fn config_record(&self, change: &ConfigChange) -> Result<(), StoreError> {
        self.fuse.step("config_record", self.inner.config_record(change)).await
    }
    async fn groups_joined(&self, fleet: &FleetName) -> Result<Vec<TargetGroupArn>, StoreError> {
        self.inner.groups_joined(fleet).await
    }
    async fn fleets(&self) -> Result<Vec<FleetName>, StoreError> {
        self.inner.fleets().await
    }
    async fn decisions(&self, filter: &DecisionFilter) -> Result<Vec<DecisionRow>, StoreError> {
        self.inner.decisions(filter).await
    }
    async fn hosts_recent(&self, fleet: &FleetName) -> Result<Vec<Host>, StoreError> {
        self.inner.hosts_recent(fleet).await
    }
    async fn boots(&self, fleet: &FleetName, span: Duration, most: u32) -> Result<Vec<Boot>, StoreError> {
        self.inner.boots(fleet, span, most).await
    }
    async fn loads_fold(
        &self,
        fence: &Fence,
        signal: &str,
        from: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.fuse.step("loads_fold", self.inner.loads_fold(fence, signal, from)).await
    }

    async fn loads(&self, fleet: &FleetName, signal: &str) -> Result<Vec<(Timestamp, f64)>, StoreError> {
        self.inner.loads(fleet, signal).await
    }

    async fn host_find(&self, id: &InstanceId) -> Result<Option<Host>, StoreError> {
        self.inner.host_find(id).await
    }
}

/// A cloud whose user may die.
pub(crate) struct FusedCloud {
    pub(crate) inner: Arc<dyn CloudProvider>,
    pub(crate) fuse: Arc<Fuse>,
}

#[async_trait]
impl CloudProvider for FusedCloud {
    async fn instances(&self, owner: &OwnerName) -> Result<Vec<CloudInstance>, CloudError> {
        self.inner.instances(owner).await
    }
    async fn instances_of_launch(&self, launch: LaunchId) -> Result<Vec<CloudInstance>, CloudError> {
        self.inner.instances_of_launch(launch).await
    }
    async fn instances_named(&self, hosts: &[InstanceId]) -> Result<Vec<CloudInstance>, CloudError> {
        self.inner.instances_named(hosts).await
    }
    async fn template_version(&self, template: &TemplateRef, version: &str) -> Result<u64, CloudError> {
        self.inner.template_version(template, version).await
    }
    async fn subnets(&self, subnets: &[SubnetId]) -> Result<Vec<SubnetInfo>, CloudError> {
        self.inner.subnets(subnets).await
    }
    async fn target_group(&self, group: &TargetGroupArn) -> Result<TargetGroup, CloudError> {
        self.inner.target_group(group).await
    }
    async fn target_health(&self, group: &TargetGroupArn) -> Result<Vec<TargetHealth>, CloudError> {
        self.inner.target_health(group).await
    }
    async fn run_instances(&self, request: &RunRequest) -> Result<RunReply, CloudError> {
        self.fuse.step("RunInstances", self.inner.run_instances(request)).await
    }
    async fn register(&self, group: &TargetGroupArn, hosts: &[InstanceId]) -> Result<Receipt, CloudError> {
        self.fuse.step("RegisterTargets", self.inner.register(group, hosts)).await
    }
    async fn deregister(&self, group: &TargetGroupArn, targets: &[TargetId]) -> Result<Receipt, CloudError> {
        self.fuse.step("DeregisterTargets", self.inner.deregister(group, targets)).await
    }
    async fn terminate(&self, hosts: &[InstanceId]) -> Result<Receipt, CloudError> {
        self.fuse.step("TerminateInstances", self.inner.terminate(hosts)).await
    }
    async fn may_launch(&self, request: &RunRequest) -> Result<(), CloudError> {
        self.inner.may_launch(request).await
    }
}
