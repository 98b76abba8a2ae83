//! The way of every call to the store: a turn for the simulator, the database's moods, the witness.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use fleet_scaler::domain::boot::Boot;
use fleet_scaler::domain::failure::{CloudError, FailureClass};
use fleet_scaler::domain::host::Host;
use fleet_scaler::domain::ids::{
    AttemptId, CallId, FleetName, InstanceId, LaunchId, ReplicaId, TargetGroupArn,
};
use fleet_scaler::domain::launch::{AbandonReason, Attempt, AttemptOutcome};
use fleet_scaler::domain::time::{Timestamp, before};
use fleet_scaler::store::{
    CallAnswer, CloudCall, ConfigChange, DecisionCommit, DecisionFilter, DecisionRow, Fence, HostChange,
    LeaseAnswer, Muster, OperatorAction, Orphan, OrphanSightings, PoolChange, Resolution, Store, StoreError,
    StoredFleet,
};

use crate::bugs::Bug;
use crate::clock::turn;
use crate::world::World;

/// One process's way to the store.
pub(crate) struct SeamStore {
    pub(crate) world: Arc<World>,
    pub(crate) replica: ReplicaId,
    /// What a bug keeps in the process's memory.
    pub(crate) private: Mutex<Private>,
}

/// What a bug keeps in the process's memory.
#[derive(Debug, Default)]
pub(crate) struct Private {
    changed_size: bool,
    held: Option<LeaseAnswer>,
    unwritten: Vec<CloudCall>,
}

fn silence() -> StoreError {
    StoreError::Unavailable("the simulated database does not answer".into())
}

impl SeamStore {
    fn private(&self) -> std::sync::MutexGuard<'_, Private> {
        self.private.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// One call: a turn first, in which this process may die, be frozen, or be overtaken.
    async fn ask<T, F>(&self, name: &'static str, work: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.call((name, false), work, |_| {}).await
    }

    async fn call<T, F>(
        &self,
        (name, writes): (&'static str, bool),
        work: impl Fn() -> F,
        witness: impl FnOnce(&T),
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        turn().await;
        if !self.world.database_is_up() {
            self.world.note(self.replica.as_str(), &format!("{name}: no answer"));
            return Err(silence());
        }
        let result = self.world.step(&self.replica, (name, writes), work, witness).await;
        let said = match &result {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        self.world.note(self.replica.as_str(), &format!("{name}: {said}"));
        result
    }

    /// A write, whose reply may get lost once it is done.
    async fn write<T, F>(
        &self,
        name: &'static str,
        work: impl Fn() -> F,
        witness: impl FnOnce(&World, &T),
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let seen = |done: &T| {
            self.world.state().tally.count("write", name);
            witness(&self.world, done);
        };
        let done = self.call((name, true), work, seen).await?;
        let lost = self.world.state().database.reply_lost;
        if lost > 0.0 && self.world.unit() < lost {
            self.world.note(self.replica.as_str(), &format!("{name}: its reply is lost"));
            self.world.state().tally.count("fault", "commit reply lost");
            return Err(silence());
        }
        Ok(done)
    }

    /// The fence that a write goes out with.
    fn fence(&self, fence: &Fence) -> Fence {
        if self.world.has(Bug::FenceNotChecked)
            && let Some(lease) = self.world.state().book.fleet(&fence.fleet).lease.clone()
        {
            return Fence { fleet: fence.fleet.clone(), replica: lease.replica, epoch: lease.epoch };
        }
        fence.clone()
    }

    /// What an unknown outcome becomes under two of the bugs.
    async fn misread_unknown(&self, fence: &Fence, attempt: AttemptId) -> Result<bool, StoreError> {
        let dry = self.world.has(Bug::NextZoneAfterTimeOut);
        if !dry && !self.world.has(Bug::NewTokenAfterLostReply) {
            return Ok(false);
        }
        let book = self.world.state().book.fleet(&fence.fleet).attempts.get(&attempt).cloned();
        let Some(book) = book else { return Ok(false) };
        let pool = if dry {
            let pool = fleet_scaler::domain::ids::Pool { zone: book.zone, instance_type: None };
            let cooling_until = fleet_scaler::domain::time::after(self.world.now(), Duration::from_secs(30));
            let health =
                fleet_scaler::decide::snapshot::PoolHealth { pool, failures: 1, cooling_until, allowance: 1 };
            PoolChange::Set(health)
        } else {
            PoolChange::Unchanged
        };
        let error = CloudError::new(FailureClass::Capacity, "InsufficientInstanceCapacity", "so it believes");
        let outcome = AttemptOutcome::Refused { error };
        let resolution = Resolution { attempt, launch: book.launch, outcome, hosts: Vec::new(), pool };
        self.attempt_resolve(fence, &resolution).await?;
        Ok(true)
    }

    fn bend_loaded(&self, fleet: &FleetName, stored: &mut StoredFleet) {
        match self.world.bug {
            Some(Bug::CooldownInMemoryOnly) if !self.private().changed_size => {
                stored.memory.last_scale_out = None;
                stored.memory.last_change = None;
            }
            Some(Bug::ReservationDroppedOnUnknown) => {
                let attempts = self.world.state().book.fleet(fleet).attempts.clone();
                stored.launches.retain(|launch| {
                    launch
                        .open_attempt()
                        .is_none_or(|open| attempts.get(&open.id).is_none_or(|a| !a.doubtful))
                });
            }
            Some(Bug::DrainTakenBackTooLate) => stored.letting_go.clear(),
            _ => {}
        }
    }
}

#[async_trait]
impl Store for SeamStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.ask("now", || self.world.store.now()).await
    }

    async fn schema_check(&self) -> Result<(), StoreError> {
        self.ask("schema_check", || self.world.store.schema_check()).await
    }

    async fn lease_take(
        &self,
        fleet: &FleetName,
        replica: &ReplicaId,
        span: Duration,
    ) -> Result<LeaseAnswer, StoreError> {
        if self.world.has(Bug::LeaseNotRenewed)
            && let Some(held @ LeaseAnswer::Held { .. }) = self.private().held.clone()
            && self.world.unit() < 0.97
        {
            return Ok(held);
        }
        let answer = self
            .write(
                "lease_take",
                || self.world.store.lease_take(fleet, replica, span),
                |world, answer| {
                    world.saw_lease(fleet, answer);
                },
            )
            .await?;
        self.private().held = Some(answer.clone());
        Ok(answer)
    }

    async fn lease_release(&self, fence: &Fence) -> Result<(), StoreError> {
        let work = || self.world.store.lease_release(fence);
        self.write("lease_release", work, |world, ()| world.saw_release(fence)).await
    }

    async fn muster(&self, replica: &ReplicaId, span: Duration) -> Result<Muster, StoreError> {
        self.ask("muster", || self.world.store.muster(replica, span)).await
    }

    async fn muster_leave(&self, replica: &ReplicaId) -> Result<(), StoreError> {
        self.ask("muster_leave", || self.world.store.muster_leave(replica)).await
    }

    async fn fleet_load(
        &self,
        fleet: &FleetName,
        horizon: Duration,
        budget_span: Duration,
    ) -> Result<StoredFleet, StoreError> {
        let mut stored =
            self.ask("fleet_load", || self.world.store.fleet_load(fleet, horizon, budget_span)).await?;
        let differs = self.world.state().book.differs(fleet, &stored);
        if let Some(what) = differs {
            self.world.fail("I6", format!("the rows are not what was written: {what}"));
        }
        self.bend_loaded(fleet, &mut stored);
        Ok(stored)
    }

    async fn decision_commit(&self, fence: &Fence, commit: &DecisionCommit) -> Result<Timestamp, StoreError> {
        let mut sent = commit.clone();
        if self.world.has(Bug::ReservationDroppedOnUnknown) {
            sent.max += 100;
        }
        let real = self.fence(fence);
        let work = || self.world.store.decision_commit(&real, &sent);
        let at =
            self.write("decision_commit", work, |world, at| world.saw_decision(fence, commit, *at)).await?;
        self.private().changed_size |= commit.plan.size_before != commit.plan.size_wanted;
        Ok(at)
    }

    async fn attempt_open(&self, fence: &Fence, attempt: &Attempt) -> Result<(), StoreError> {
        let real = self.fence(fence);
        let work = || self.world.store.attempt_open(&real, attempt);
        self.write("attempt_open", work, |world, ()| world.saw_attempt(fence, attempt)).await
    }

    async fn attempt_defer(
        &self,
        fence: &Fence,
        attempt: AttemptId,
        failure: FailureClass,
        wait: Duration,
    ) -> Result<(), StoreError> {
        if failure == FailureClass::Unknown && self.misread_unknown(fence, attempt).await? {
            return Ok(());
        }
        let wait = if self.world.has(Bug::IntentForgotten) { Duration::from_hours(1_000) } else { wait };
        let real = self.fence(fence);
        let work = || self.world.store.attempt_defer(&real, attempt, failure, wait);
        self.write("attempt_defer", work, |world, ()| world.saw_deferral(fence, attempt, failure)).await
    }

    async fn attempt_resolve(&self, fence: &Fence, resolution: &Resolution) -> Result<(), StoreError> {
        let real = self.fence(fence);
        let work = || self.world.store.attempt_resolve(&real, resolution);
        self.write("attempt_resolve", work, |world, ()| world.saw_resolution(fence, resolution)).await
    }

    async fn launch_abandon(
        &self,
        fence: &Fence,
        launch: LaunchId,
        reason: AbandonReason,
    ) -> Result<(), StoreError> {
        let real = self.fence(fence);
        let work = || self.world.store.launch_abandon(&real, launch, reason);
        self.write("launch_abandon", work, |world, ()| world.saw_abandonment(fence, launch, reason)).await
    }

    async fn call_begin(&self, fence: &Fence, call: &CloudCall) -> Result<(), StoreError> {
        if self.world.has(Bug::CallBeforeRow) {
            self.private().unwritten.push(call.clone());
            return Ok(());
        }
        let real = self.fence(fence);
        let work = || self.world.store.call_begin(&real, call);
        self.write("call_begin", work, |world, ()| world.saw_call(fence, call)).await
    }

    async fn call_end(&self, call: CallId, answer: &CallAnswer) -> Result<(), StoreError> {
        let work = || self.world.store.call_end(call, answer);
        self.write("call_end", work, |world, ()| world.saw_answer(call)).await
    }

    async fn calls_settle_abandoned(&self, fence: &Fence) -> Result<u64, StoreError> {
        let real = self.fence(fence);
        let work = || self.world.store.calls_settle_abandoned(&real);
        self.write("calls_settle_abandoned", work, |world, count| world.saw_settled(fence, *count)).await
    }

    async fn host_advance(&self, fence: &Fence, change: &HostChange) -> Result<(), StoreError> {
        let real = self.fence(fence);
        let work = || self.world.store.host_advance(&real, change);
        self.write("host_advance", work, |world, ()| world.saw_host(fence, change)).await
    }

    async fn orphan_sighted(&self, fence: &Fence, orphan: &Orphan) -> Result<OrphanSightings, StoreError> {
        let real = self.fence(fence);
        let work = || self.world.store.orphan_sighted(&real, orphan);
        let seen = self.write("orphan_sighted", work, |world, _| world.saw_orphan(fence, orphan)).await?;
        if self.world.has(Bug::OrphansAdoptedAtFirstSight) {
            return Ok(OrphanSightings {
                first: before(seen.last, Duration::from_hours(1)),
                count: 2,
                ..seen
            });
        }
        Ok(seen)
    }

    async fn host_adopt(&self, fence: &Fence, host: &Host) -> Result<(), StoreError> {
        let real = self.fence(fence);
        let work = || self.world.store.host_adopt(&real, host);
        self.write("host_adopt", work, |world, ()| world.saw_adoption(fence, host)).await
    }

    async fn operator_act(&self, action: &OperatorAction) -> Result<(), StoreError> {
        self.ask("operator_act", || self.world.store.operator_act(action)).await
    }

    async fn config_record(&self, change: &ConfigChange) -> Result<(), StoreError> {
        self.ask("config_record", || self.world.store.config_record(change)).await
    }

    async fn groups_joined(&self, fleet: &FleetName) -> Result<Vec<TargetGroupArn>, StoreError> {
        self.ask("groups_joined", || self.world.store.groups_joined(fleet)).await
    }

    async fn fleets(&self) -> Result<Vec<FleetName>, StoreError> {
        self.ask("fleets", || self.world.store.fleets()).await
    }

    async fn decisions(&self, filter: &DecisionFilter) -> Result<Vec<DecisionRow>, StoreError> {
        self.ask("decisions", || self.world.store.decisions(filter)).await
    }

    async fn hosts_recent(&self, fleet: &FleetName) -> Result<Vec<Host>, StoreError> {
        self.ask("hosts_recent", || self.world.store.hosts_recent(fleet)).await
    }

    async fn boots(&self, fleet: &FleetName, span: Duration, most: u32) -> Result<Vec<Boot>, StoreError> {
        self.ask("boots", || self.world.store.boots(fleet, span, most)).await
    }

    async fn loads_fold(
        &self,
        fence: &Fence,
        signal: &str,
        from: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.ask("loads_fold", || self.world.store.loads_fold(fence, signal, from)).await
    }

    async fn loads(&self, fleet: &FleetName, signal: &str) -> Result<Vec<(Timestamp, f64)>, StoreError> {
        self.ask("loads", || self.world.store.loads(fleet, signal)).await
    }

    async fn host_find(&self, id: &InstanceId) -> Result<Option<Host>, StoreError> {
        self.ask("host_find", || self.world.store.host_find(id)).await
    }
}
