//! The memory in memory: the whole contract of [`Store`] without a database.
//!
//! A simulation that lives through weeks of a fleet in a second, with replicas that die in the middle of everything,
//! needs a store whose clock it moves and whose every answer it can repeat. This is it. It keeps each promise that the
//! Postgres store keeps (one suite of tests runs against both), and some things become simple because nothing else can
//! get in between:
//!
//! - **One lock** around everything stands for the row lock of a fleet's lease. Nothing waits while it is held.
//! - **Time is the clock it was given**, read under the lock. Where that stands still, so does the store.
//! - **A transaction that fails puts everything back** that it changed.
//! - **It never is unavailable.** Whoever wants lost replies and broken connections wraps it.
//! - **It bends nothing that only a database must**: text keeps the one character that Postgres cannot store.
//!
//! It forgets everything with the process, so no service runs on it. [`MemoryStore::look`] shows the tables to whoever
//! checks what was done against what must never be.

pub mod event;
pub mod rows;

mod call;
mod decision;
mod fleet;
mod history;
mod host;
mod inputs;
mod launch;
mod lease;
mod list;
mod loads;
mod operator;
mod people;
mod replica;
mod transaction;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::decide::signal::Observation;
use crate::domain::boot::Boot;
use crate::domain::failure::FailureClass;
use crate::domain::host::Host;
use crate::domain::ids::{
    AttemptId, CallId, DecisionId, FleetName, InstanceId, LaunchId, OperatorActionId, ReplicaId,
    TargetGroupArn,
};
use crate::domain::launch::{AbandonReason, Attempt};
use crate::domain::time::{Timestamp, before};
use crate::store::history::{
    ActionQuery, ActionRecord, CallRecord, CandidateTally, DecisionHead, DecisionQuery, EventQuery,
    EventRecord, History, ObservedQuery, Pulse, Recorded, RecordedQuery, Refusal, Sample, SeriesQuery,
    Standing, TallyQuery,
};
use crate::store::memory::rows::Rows;
use crate::store::memory::transaction::Tx;
use crate::store::{
    CallAnswer, CloudCall, ConfigChange, DecisionCommit, DecisionFilter, DecisionRow, Fence, HostChange,
    LeaseAnswer, Muster, OperatorAction, Orphan, OrphanSightings, Resolution, Store, StoreError, StoredFleet,
};

/// How much history is kept. Leases, hosts, launches, attempts and calls are kept whole: they are what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Decisions a fleet, at least one.
    pub decisions: usize,
    /// Events altogether.
    pub events: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self { decisions: 10_000, events: 10_000 }
    }
}

/// The scaler's memory, in memory.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    retention: Retention,
    rows: Mutex<Rows>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("retention", &self.retention).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty one. `clock.now()` is the store's clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_retention(clock, Retention::default())
    }

    /// An empty one that keeps so much history.
    #[must_use]
    pub fn with_retention(clock: Arc<dyn Clock>, retention: Retention) -> Self {
        Self { clock, retention, rows: Mutex::default() }
    }

    /// Shows the tables. The store is locked meanwhile, so `look` must not ask it for anything.
    pub fn look<T>(&self, look: impl FnOnce(&Rows) -> T) -> T {
        look(&self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads, as of one moment.
    fn read<T>(&self, read: impl FnOnce(&Rows, Timestamp) -> T) -> T {
        self.look(|rows| read(rows, self.clock.now()))
    }

    /// Writes, all of it or nothing.
    fn write<T>(&self, write: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tx = Tx::begin(&mut rows, self.clock.now());
        let value = write(&mut tx)?;
        tx.commit();
        let surplus = rows.events.len().saturating_sub(self.retention.events);
        rows.events.drain(..surplus);
        Ok(value)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    async fn schema_check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn lease_take(
        &self,
        fleet: &FleetName,
        replica: &ReplicaId,
        span: Duration,
    ) -> Result<LeaseAnswer, StoreError> {
        self.write(|tx| lease::take(tx, fleet, replica, span))
    }

    async fn lease_release(&self, fence: &Fence) -> Result<(), StoreError> {
        self.write(|tx| lease::release(tx, fence))
    }

    async fn muster(&self, replica: &ReplicaId, span: Duration) -> Result<Muster, StoreError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(replica::muster(&mut rows, self.clock.now(), replica, span))
    }

    async fn muster_leave(&self, replica: &ReplicaId) -> Result<(), StoreError> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).replicas.remove(replica);
        Ok(())
    }

    async fn fleet_load(
        &self,
        fleet: &FleetName,
        horizon: Duration,
        budget_span: Duration,
    ) -> Result<StoredFleet, StoreError> {
        Ok(self.read(|rows, now| fleet::load(rows, now, fleet, horizon, budget_span)))
    }

    async fn decision_commit(&self, fence: &Fence, commit: &DecisionCommit) -> Result<Timestamp, StoreError> {
        self.write(|tx| {
            let at = decision::commit(tx, fence, commit)?;
            decision::forget(tx, &fence.fleet, self.retention.decisions);
            Ok(at)
        })
    }

    async fn attempt_open(&self, fence: &Fence, attempt: &Attempt) -> Result<(), StoreError> {
        self.write(|tx| launch::open_attempt(tx, fence, attempt))
    }

    async fn attempt_defer(
        &self,
        fence: &Fence,
        attempt: AttemptId,
        failure: FailureClass,
        wait: Duration,
    ) -> Result<(), StoreError> {
        self.write(|tx| launch::defer(tx, fence, attempt, failure, wait))
    }

    async fn attempt_resolve(&self, fence: &Fence, resolution: &Resolution) -> Result<(), StoreError> {
        self.write(|tx| launch::resolve(tx, fence, resolution))
    }

    async fn launch_abandon(
        &self,
        fence: &Fence,
        launch: LaunchId,
        reason: AbandonReason,
    ) -> Result<(), StoreError> {
        self.write(|tx| launch::abandon(tx, fence, launch, reason))
    }

    async fn call_begin(&self, fence: &Fence, call: &CloudCall) -> Result<(), StoreError> {
        self.write(|tx| call::begin(tx, fence, call))
    }

    async fn call_end(&self, call: CallId, answer: &CallAnswer) -> Result<(), StoreError> {
        self.write(|tx| call::end(tx, call, answer))
    }

    async fn calls_settle_abandoned(&self, fence: &Fence) -> Result<u64, StoreError> {
        self.write(|tx| call::settle_abandoned(tx, fence))
    }

    async fn host_advance(&self, fence: &Fence, change: &HostChange) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.check(fence)?;
            host::advance(tx, fence, change, None)
        })
    }

    async fn orphan_sighted(&self, fence: &Fence, orphan: &Orphan) -> Result<OrphanSightings, StoreError> {
        self.write(|tx| host::orphan_sighted(tx, fence, orphan))
    }

    async fn host_adopt(&self, fence: &Fence, host: &Host) -> Result<(), StoreError> {
        self.write(|tx| launch::adopt(tx, fence, host))
    }

    async fn operator_act(&self, action: &OperatorAction) -> Result<(), StoreError> {
        self.write(|tx| operator::act(tx, action))
    }

    async fn config_record(&self, change: &ConfigChange) -> Result<(), StoreError> {
        self.write(|tx| operator::configure(tx, change))
    }

    async fn groups_joined(&self, fleet: &FleetName) -> Result<Vec<TargetGroupArn>, StoreError> {
        Ok(self.look(|rows| fleet::groups_joined(rows, fleet)))
    }

    async fn fleets(&self) -> Result<Vec<FleetName>, StoreError> {
        Ok(self.look(|rows| rows.fleets.keys().cloned().collect()))
    }

    async fn decisions(&self, filter: &DecisionFilter) -> Result<Vec<DecisionRow>, StoreError> {
        Ok(self.look(|rows| list::list(rows, filter)))
    }

    async fn hosts_recent(&self, fleet: &FleetName) -> Result<Vec<Host>, StoreError> {
        Ok(self.read(|rows, now| fleet::hosts_recent(rows, now, fleet)))
    }

    async fn boots(&self, fleet: &FleetName, span: Duration, most: u32) -> Result<Vec<Boot>, StoreError> {
        Ok(self.read(|rows, now| fleet::boots(rows, before(now, span), fleet, most)))
    }

    async fn loads_fold(
        &self,
        fence: &Fence,
        signal: &str,
        from: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.write(|tx| loads::fold(tx, fence, signal, from))
    }

    async fn loads(&self, fleet: &FleetName, signal: &str) -> Result<Vec<(Timestamp, f64)>, StoreError> {
        Ok(self.look(|rows| loads::list(rows, fleet, signal)))
    }

    async fn host_find(&self, id: &InstanceId) -> Result<Option<Host>, StoreError> {
        Ok(self.look(|rows| rows.hosts.get(id).map(|row| row.host.clone())))
    }
}

#[async_trait]
impl History for MemoryStore {
    async fn standings(&self) -> Result<Vec<Standing>, StoreError> {
        Ok(self.read(history::standings))
    }

    async fn decision_heads(&self, query: &DecisionQuery) -> Result<Vec<DecisionHead>, StoreError> {
        Ok(self.look(|rows| history::heads(rows, query)))
    }

    async fn decision(&self, id: DecisionId) -> Result<Option<(DecisionRow, Vec<CallRecord>)>, StoreError> {
        Ok(self.look(|rows| history::decision(rows, id)))
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<EventRecord>, StoreError> {
        Ok(self.look(|rows| history::events(rows, query)))
    }

    async fn samples(&self, query: &SeriesQuery) -> Result<Vec<Sample>, StoreError> {
        Ok(self.look(|rows| history::samples(rows, query)))
    }

    async fn recorded(&self, query: &RecordedQuery) -> Result<Vec<Recorded>, StoreError> {
        self.look(|rows| inputs::recorded(rows, query))
    }

    async fn observed(&self, query: &ObservedQuery) -> Result<Vec<Observation>, StoreError> {
        Ok(self.look(|rows| inputs::observed(rows, query)))
    }

    async fn candidate_tallies(&self, query: &TallyQuery) -> Result<Vec<CandidateTally>, StoreError> {
        Ok(self.look(|rows| people::tallies(rows, query)))
    }

    async fn operator_actions(&self, query: &ActionQuery) -> Result<Vec<ActionRecord>, StoreError> {
        Ok(self.look(|rows| people::actions(rows, query)))
    }

    async fn operator_action(&self, id: OperatorActionId) -> Result<Option<ActionRecord>, StoreError> {
        Ok(self.look(|rows| people::action(rows, id)))
    }

    async fn pulses(&self) -> Result<BTreeMap<FleetName, Pulse>, StoreError> {
        Ok(self.look(history::pulses))
    }

    async fn refusals_record(&self, refusals: &[Refusal]) -> Result<(), StoreError> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        history::refuse(&mut rows, self.clock.now(), refusals);
        Ok(())
    }
}
