//! The memory in Postgres.
//!
//! What makes it safe, in the order in which it matters:
//!
//! - **One mutex a fleet, in the database**: every transaction that writes for a fleet first locks the fleet's row in
//!   `scaler.lease`. With it the fence is checked and stays true until the commit, and writers of one fleet cannot
//!   deadlock.
//! - **No session state.** Time-outs are `SET LOCAL` in the `BEGIN` itself, there are no session locks, and no statement
//!   stays prepared, so a transaction pooler between us and Postgres changes nothing.
//! - **Every transaction has a deadline**, here and in Postgres, and is repeated whole, a bounded number of times, when
//!   Postgres gives up on it for reasons of concurrency.
//! - **Time is Postgres's** `clock_timestamp()`.

mod audit;
mod boot;
mod call;
mod configuration;
mod convert;
mod decision;
mod error;
mod fleet;
mod history;
mod host;
mod inputs;
mod launch;
mod lease;
mod loads;
mod operator;
mod replica;
mod retry;
mod schema;
mod session;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::config::service::SecretUrl;
use crate::decide::signal::Observation;
use crate::domain::boot::Boot;
use crate::domain::failure::FailureClass;
use crate::domain::host::Host;
use crate::domain::ids::{
    AttemptId, CallId, DecisionId, FleetName, InstanceId, LaunchId, OperatorActionId, ReplicaId,
    TargetGroupArn,
};
use crate::domain::launch::{AbandonReason, Attempt};
use crate::domain::time::Timestamp;
use crate::store::history::{
    ActionQuery, ActionRecord, CallRecord, CandidateTally, DecisionHead, DecisionQuery, EventQuery,
    EventRecord, History, ObservedQuery, Pulse, Recorded, RecordedQuery, Refusal, Sample, SeriesQuery,
    Standing, TallyQuery,
};
pub use crate::store::postgres::audit::{ChainProblem, ChainReport};
use crate::store::postgres::retry::{Patience, within};
use crate::store::postgres::session::Tx;
use crate::store::{
    CallAnswer, CloudCall, ConfigChange, DecisionCommit, DecisionFilter, DecisionRow, Fence, HostChange,
    LeaseAnswer, Muster, OperatorAction, Orphan, OrphanSightings, Resolution, Store, StoreError, StoredFleet,
};

/// One consistent view of several tables.
const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL statement_timeout = '4s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";
/// Row locks order the writers, so the default isolation level will do.
const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = '4s'; \
    SET LOCAL lock_timeout = '3s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";
/// The audit chain is read whole.
const READ_LONG: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL statement_timeout = '300s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// A transaction, its retries included, takes no longer.
const DEADLINE: Duration = Duration::from_secs(8);
/// Readiness wants to know sooner.
const PROBE_DEADLINE: Duration = Duration::from_secs(2);
/// Waiting for a connection, a new one included.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// For the one read of everything.
const LONG_DEADLINE: Duration = Duration::from_secs(310);

/// Runs a transaction: begins it, evaluates the body, commits, and does all of it again when Postgres asks for that.
///
/// A macro and not a function with a closure, because the body borrows what the method was given, and a future that does
/// so cannot be named in a closure's bound and be `Send` at the same time.
macro_rules! transaction {
    ($store:expr, $begin:expr, $deadline:expr, |$tx:ident| $body:expr) => {{
        let mut patience = Patience::default();
        within($deadline, async {
            loop {
                let outcome = async {
                    let mut transaction = Tx::begin(&$store.pool, $begin).await?;
                    let $tx = &mut transaction;
                    let value = $body;
                    transaction.commit().await?;
                    Ok::<_, StoreError>(value)
                }
                .await;
                match outcome {
                    Err(error) if patience.is_left_for(&error) => patience.wait().await,
                    outcome => return outcome,
                }
            }
        })
        .await
    }};
}

/// The scaler's memory in a Postgres database.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    pool: PgPool,
}

impl PostgresStore {
    /// Prepares to use a database. Connects when it is first asked for something, so a service can start while its
    /// database is away. Must be called within a tokio runtime.
    pub fn connect(url: &SecretUrl, max_connections: u32) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new()
            .max_connections(max_connections.max(1))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options(url)?);
        Ok(Self { pool })
    }

    /// Brings a database's schema up to date, in one transaction; gives the versions that were applied. Safe when
    /// several processes do it at once.
    pub async fn migrate(url: &SecretUrl) -> Result<Vec<i64>, StoreError> {
        schema::migrate(options(url)?).await
    }

    /// Checks the audit chain of one fleet, and every record of its history against it.
    pub async fn verify_chain(&self, fleet: &FleetName) -> Result<ChainReport, StoreError> {
        self.verify(fleet.as_str()).await
    }

    /// Checks every chain there is, the service's own (with an empty name) included.
    pub async fn verify_audit(&self) -> Result<Vec<ChainReport>, StoreError> {
        let chains = transaction!(self, READ, DEADLINE, |tx| audit::chains(tx).await?)?;
        let mut reports = Vec::with_capacity(chains.len());
        for chain in chains {
            reports.push(self.verify(&chain).await?);
        }
        Ok(reports)
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn verify(&self, chain: &str) -> Result<ChainReport, StoreError> {
        transaction!(self, READ_LONG, LONG_DEADLINE, |tx| audit::verify(tx, chain).await?)
    }
}

/// What every connection has in common.
fn options(url: &SecretUrl) -> Result<PgConnectOptions, StoreError> {
    let options: PgConnectOptions = url.reveal().parse().map_err(|error: sqlx::Error| {
        StoreError::Schema(format!(
            "the database's URL cannot be read ({error}); write postgres://user@host/database"
        ))
    })?;
    // Poolers refuse start-up parameters that they do not know; the server's own default for this one is right.
    Ok(options.application_name("fleet-scaler").extra_float_digits(None))
}

#[async_trait]
impl Store for PostgresStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        transaction!(self, READ, PROBE_DEADLINE, |tx| fleet::now(tx).await?)
    }

    async fn schema_check(&self) -> Result<(), StoreError> {
        transaction!(self, READ, PROBE_DEADLINE, |tx| schema::check(tx).await?)
    }

    async fn lease_take(
        &self,
        fleet: &FleetName,
        replica: &ReplicaId,
        span: Duration,
    ) -> Result<LeaseAnswer, StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| lease::take(tx, fleet, replica, span).await?)
    }

    async fn lease_release(&self, fence: &Fence) -> Result<(), StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| lease::release(tx, fence).await?)
    }

    async fn muster(&self, replica: &ReplicaId, span: Duration) -> Result<Muster, StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| replica::muster(tx, replica, span).await?)
    }

    async fn muster_leave(&self, replica: &ReplicaId) -> Result<(), StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| replica::leave(tx, replica).await?)
    }

    async fn fleet_load(
        &self,
        fleet: &FleetName,
        horizon: Duration,
        budget_span: Duration,
    ) -> Result<StoredFleet, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| fleet::load(tx, fleet, horizon, budget_span).await?)
    }

    async fn decision_commit(&self, fence: &Fence, commit: &DecisionCommit) -> Result<Timestamp, StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| decision::commit(tx, fence, commit).await?)
    }

    async fn attempt_open(&self, fence: &Fence, attempt: &Attempt) -> Result<(), StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| launch::open_attempt(tx, fence, attempt).await?)
    }

    async fn attempt_defer(
        &self,
        fence: &Fence,
        attempt: AttemptId,
        failure: FailureClass,
        wait: Duration,
    ) -> Result<(), StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| launch::defer(tx, fence, attempt, failure, wait).await?)
    }

    async fn attempt_resolve(&self, fence: &Fence, resolution: &Resolution) -> Result<(), StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| launch::resolve(tx, fence, resolution).await?)
    }

    async fn launch_abandon(
        &self,
        fence: &Fence,
        launch: LaunchId,
        reason: AbandonReason,
    ) -> Result<(), StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| launch::abandon(tx, fence, launch, reason).await?)
    }

    async fn call_begin(&self, fence: &Fence, call: &CloudCall) -> Result<(), StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| call::begin(tx, fence, call).await?)
    }

    async fn call_end(&self, call: CallId, answer: &CallAnswer) -> Result<(), StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| call::end(tx, call, answer).await?)
    }

    async fn calls_settle_abandoned(&self, fence: &Fence) -> Result<u64, StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| call::settle_abandoned(tx, fence).await?)
    }

    async fn host_advance(&self, fence: &Fence, change: &HostChange) -> Result<(), StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| {
            lease::check(tx, fence).await?;
            host::advance(tx, fence, change, None).await?;
        })
    }

    async fn orphan_sighted(&self, fence: &Fence, orphan: &Orphan) -> Result<OrphanSightings, StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| host::orphan_sighted(tx, fence, orphan).await?)
    }

    async fn host_adopt(&self, fence: &Fence, host: &Host) -> Result<(), StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| launch::adopt(tx, fence, host).await?)
    }

    async fn operator_act(&self, action: &OperatorAction) -> Result<(), StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| operator::act(tx, action).await?)
    }

    async fn config_record(&self, change: &ConfigChange) -> Result<(), StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| configuration::record(tx, change).await?)
    }

    async fn groups_joined(&self, fleet: &FleetName) -> Result<Vec<TargetGroupArn>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| fleet::groups_joined(tx, fleet).await?)
    }

    async fn fleets(&self) -> Result<Vec<FleetName>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| fleet::names(tx).await?)
    }

    async fn decisions(&self, filter: &DecisionFilter) -> Result<Vec<DecisionRow>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| decision::list(tx, filter).await?)
    }

    async fn hosts_recent(&self, fleet: &FleetName) -> Result<Vec<Host>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| host::recent(tx, fleet).await?)
    }

    async fn boots(&self, fleet: &FleetName, span: Duration, most: u32) -> Result<Vec<Boot>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| boot::boots(tx, fleet, span, most).await?)
    }

    async fn loads_fold(
        &self,
        fence: &Fence,
        signal: &str,
        from: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| loads::fold(tx, fence, signal, from).await?)
    }

    async fn loads(&self, fleet: &FleetName, signal: &str) -> Result<Vec<(Timestamp, f64)>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| loads::list(tx, fleet, signal).await?)
    }

    async fn host_find(&self, id: &InstanceId) -> Result<Option<Host>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| host::find(tx, id).await?)
    }
}

#[async_trait]
impl History for PostgresStore {
    async fn standings(&self) -> Result<Vec<Standing>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| history::standing::standings(tx).await?)
    }

    async fn decision_heads(&self, query: &DecisionQuery) -> Result<Vec<DecisionHead>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| history::heads(tx, query).await?)
    }

    async fn decision(&self, id: DecisionId) -> Result<Option<(DecisionRow, Vec<CallRecord>)>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| history::decision(tx, id).await?)
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<EventRecord>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| history::events(tx, query).await?)
    }

    async fn samples(&self, query: &SeriesQuery) -> Result<Vec<Sample>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| history::series::samples(tx, query).await?)
    }

    async fn recorded(&self, query: &RecordedQuery) -> Result<Vec<Recorded>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| inputs::recorded(tx, query).await?)
    }

    async fn observed(&self, query: &ObservedQuery) -> Result<Vec<Observation>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| inputs::observed(tx, query).await?)
    }

    async fn candidate_tallies(&self, query: &TallyQuery) -> Result<Vec<CandidateTally>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| history::tally::tallies(tx, query).await?)
    }

    async fn operator_actions(&self, query: &ActionQuery) -> Result<Vec<ActionRecord>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| history::action::page(tx, query).await?)
    }

    async fn operator_action(&self, id: OperatorActionId) -> Result<Option<ActionRecord>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| history::action::one(tx, id).await?)
    }

    async fn pulses(&self) -> Result<BTreeMap<FleetName, Pulse>, StoreError> {
        transaction!(self, READ, DEADLINE, |tx| history::pulse::pulses(tx).await?)
    }

    async fn refusals_record(&self, refusals: &[Refusal]) -> Result<(), StoreError> {
        transaction!(self, WRITE, DEADLINE, |tx| history::pulse::refuse(tx, refusals).await?)
    }
}
