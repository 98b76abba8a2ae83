//! The same days over a real Postgres: what the simulator believes of the in-memory store, it believes of this one.
//!
//! Postgres goes by the simulated time: its `clock_timestamp()` is one that stands still and is set before every call
//! ([`crate::support::TEST_CLOCK`]). A call blocks until it is answered, so that to the simulator it takes no time, as in
//! memory. Then a seed is the same day over both, to the last line of its trace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use tokio::runtime::{Handle, Runtime};

use fleet_scaler::decide::signal::Observation;
use fleet_scaler::domain::boot::Boot;
use fleet_scaler::domain::failure::FailureClass;
use fleet_scaler::domain::host::Host;
use fleet_scaler::domain::ids::{
    AttemptId, CallId, DecisionId, FleetName, InstanceId, LaunchId, OperatorActionId, ReplicaId,
    TargetGroupArn,
};
use fleet_scaler::domain::launch::{AbandonReason, Attempt};
use fleet_scaler::domain::time::Timestamp;
use fleet_scaler::store::history::{
    ActionQuery, ActionRecord, CallRecord, CandidateTally, DecisionHead, DecisionQuery, EventQuery,
    EventRecord, History, ObservedQuery, Pulse, Recorded, RecordedQuery, Refusal, Sample, SeriesQuery,
    Standing, TallyQuery,
};
use fleet_scaler::store::postgres::PostgresStore;
use fleet_scaler::store::{
    CallAnswer, CloudCall, ConfigChange, DecisionCommit, DecisionFilter, DecisionRow, Fence, HostChange,
    LeaseAnswer, Muster, OperatorAction, Orphan, OrphanSightings, Resolution, Store, StoreError, StoredFleet,
};

use crate::clock::Time;
use crate::support::{TEST_CLOCK, TestCluster, TestDatabase};

/// A Postgres for many days.
pub(crate) struct Postgres {
    runtime: Runtime,
    cluster: TestCluster,
}

impl Postgres {
    /// A throwaway one.
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime starts");
        let cluster = runtime.block_on(TestCluster::dedicated());
        Self { runtime, cluster }
    }

    /// A store for one day, in a database of its own.
    pub(crate) fn store(&self, time: Arc<Time>) -> Arc<dyn History> {
        let (db, clock) = self.runtime.block_on(async {
            let db = self.cluster.database().await;
            let clock = db.superuser_pool();
            sqlx::raw_sql(TEST_CLOCK).execute(&clock).await.expect("the clock is put in");
            (db, clock)
        });
        let inner = {
            // Connections are opened by tasks of this runtime.
            let _entered = self.runtime.enter();
            db.store()
        };
        Arc::new(BlockingStore { inner, clock, time, runtime: self.runtime.handle().clone(), _db: db })
    }
}

/// One day's store.
struct BlockingStore {
    inner: PostgresStore,
    clock: PgPool,
    time: Arc<Time>,
    runtime: Handle,
    _db: TestDatabase,
}

impl BlockingStore {
    /// Sets Postgres's clock to now, and waits for the answer.
    fn wait<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.runtime.block_on(async {
            sqlx::query("UPDATE test_clock.reading SET standing = $1")
                .bind(self.time.now())
                .execute(&self.clock)
                .await
                .expect("the clock is set");
            work.await
        })
    }
}

macro_rules! every_method {
    ($contract:ident: $($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl $contract for BlockingStore {
            $(async fn $name(&self, $($argument: $kind),*) -> Result<$answer, StoreError> {
                self.wait(self.inner.$name($($argument),*))
            })*
        }
    };
}

every_method! { History:
    standings() -> Vec<Standing>;
    decision_heads(query: &DecisionQuery) -> Vec<DecisionHead>;
    decision(id: DecisionId) -> Option<(DecisionRow, Vec<CallRecord>)>;
    events(query: &EventQuery) -> Vec<EventRecord>;
    samples(query: &SeriesQuery) -> Vec<Sample>;
    recorded(query: &RecordedQuery) -> Vec<Recorded>;
    observed(query: &ObservedQuery) -> Vec<Observation>;
    candidate_tallies(query: &TallyQuery) -> Vec<CandidateTally>;
    operator_actions(query: &ActionQuery) -> Vec<ActionRecord>;
    operator_action(id: OperatorActionId) -> Option<ActionRecord>;
    pulses() -> BTreeMap<FleetName, Pulse>;
    refusals_record(refusals: &[Refusal]) -> ();
}

every_method! { Store:
    now() -> Timestamp;
    schema_check() -> ();
    lease_take(fleet: &FleetName, replica: &ReplicaId, span: Duration) -> LeaseAnswer;
    lease_release(fence: &Fence) -> ();
    muster(replica: &ReplicaId, span: Duration) -> Muster;
    muster_leave(replica: &ReplicaId) -> ();
    fleet_load(fleet: &FleetName, horizon: Duration, budget: Duration) -> StoredFleet;
    decision_commit(fence: &Fence, commit: &DecisionCommit) -> Timestamp;
    attempt_open(fence: &Fence, attempt: &Attempt) -> ();
    attempt_defer(fence: &Fence, attempt: AttemptId, failure: FailureClass, wait: Duration) -> ();
    attempt_resolve(fence: &Fence, resolution: &Resolution) -> ();
    launch_abandon(fence: &Fence, launch: LaunchId, reason: AbandonReason) -> ();
    call_begin(fence: &Fence, call: &CloudCall) -> ();
    call_end(call: CallId, answer: &CallAnswer) -> ();
    calls_settle_abandoned(fence: &Fence) -> u64;
    host_advance(fence: &Fence, change: &HostChange) -> ();
    orphan_sighted(fence: &Fence, orphan: &Orphan) -> OrphanSightings;
    host_adopt(fence: &Fence, host: &Host) -> ();
    operator_act(action: &OperatorAction) -> ();
    config_record(change: &ConfigChange) -> ();
    groups_joined(fleet: &FleetName) -> Vec<TargetGroupArn>;
    fleets() -> Vec<FleetName>;
    decisions(filter: &DecisionFilter) -> Vec<DecisionRow>;
    hosts_recent(fleet: &FleetName) -> Vec<Host>;
    boots(fleet: &FleetName, span: Duration, most: u32) -> Vec<Boot>;
    loads_fold(fence: &Fence, signal: &str, from: Option<Timestamp>) -> Option<Timestamp>;
    loads(fleet: &FleetName, signal: &str) -> Vec<(Timestamp, f64)>;
    host_find(id: &InstanceId) -> Option<Host>;
}
