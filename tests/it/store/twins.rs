//! Two stores, one history: whatever is asked of both, valid or not, they answer the same and remember the same.
//!
//! The clocks of both stand still, at the same time, and are moved together between two requests. So nothing has to be
//! left out or rounded: answers, and everything that [`Store::fleet_load`] gives, are compared as they are, times
//! included. A request is made from what the store in memory holds, looked at beneath the
//! contract, so that it can be wrong in every way that matters: of another version, under a fence that fell, for what is
//! closed, with another's token, or simply once more.

use std::sync::Arc;
use std::time::Duration;

use fleet_scaler::clock::Clock as _;
use fleet_scaler::domain::ids::FleetName;
use fleet_scaler::domain::launch::{AttemptState, Launch, LaunchState};
use fleet_scaler::domain::time::Timestamp;
use fleet_scaler::store::memory::MemoryStore;
use fleet_scaler::store::memory::rows::Rows;
use fleet_scaler::store::{DecisionFilter, Store, StoreError};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sqlx::PgPool;

use super::requests::{Draw, Request, Stage, draws};
use super::subject::{Subject, TestClock, beginning};
use crate::support::sql;

/// Histories that are told, and the longest of them.
const HISTORIES: u32 = 8;
const LENGTH: usize = 45;
/// What lies between two requests.
const BREATH: Duration = Duration::from_millis(1);
const HORIZON: Duration = Duration::from_hours(2);

/// Both stores, at the same time.
struct Twins {
    memory: Subject,
    postgres: Subject,
    admin: PgPool,
}

impl Twins {
    async fn new(now: Timestamp) -> Self {
        let memory = Subject::memory(TestClock::standing(now));
        let postgres = Subject::postgres().await;
        let Subject::Postgres { db, .. } = &postgres else { panic!("it is on Postgres") };
        let admin = db.pool();
        let stand = format!("UPDATE test_clock.reading SET standing = '{now}'");
        sqlx::raw_sql(sql(stand)).execute(&db.superuser_pool()).await.unwrap();
        let grant = "GRANT UPDATE ON test_clock.reading TO fleet_scaler";
        sqlx::raw_sql(grant).execute(&db.superuser_pool()).await.unwrap();
        Self { memory, postgres, admin }
    }

    async fn pass(&self, span: Duration) {
        let Subject::Memory { clock, .. } = &self.memory else { panic!("it is in memory") };
        clock.pass(span);
        sqlx::query("UPDATE test_clock.reading SET standing = standing + make_interval(secs => $1)")
            .bind(span.as_secs_f64())
            .execute(&self.admin)
            .await
            .unwrap();
    }

    async fn ask(&self, request: &Request) -> (Said, Said) {
        (request.of(&*self.memory.store()).await.into(), request.of(&*self.postgres.store()).await.into())
    }

    /// What both remember of a fleet, in full.
    async fn remember(&self, fleet: &FleetName) -> (String, String) {
        (memory_of(&*self.memory.store(), fleet).await, memory_of(&*self.postgres.store(), fleet).await)
    }
}

async fn memory_of(store: &dyn Store, fleet: &FleetName) -> String {
    let stored = store.fleet_load(fleet, HORIZON, HORIZON).await.unwrap();
    let groups = store.groups_joined(fleet).await.unwrap();
    format!("{stored:#?}\n{groups:#?}")
}

/// What is seldom asked for.
async fn rest_of(store: &dyn Store, fleet: &FleetName) -> String {
    let filter = DecisionFilter { fleet: Some(fleet.clone()), ..DecisionFilter::default() };
    let decisions = store.decisions(&filter).await.unwrap();
    let hosts = store.hosts_recent(fleet).await.unwrap();
    let boots = store.boots(fleet, HORIZON, 50).await.unwrap();
    format!("{decisions:#?}\n{hosts:#?}\n{boots:#?}")
}

/// An answer, as far as a caller acts on it: the sentences of two stores may differ.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Done(String),
    Fenced,
    Conflict,
    Refused,
    Broken(String),
}

impl From<Result<String, StoreError>> for Said {
    fn from(result: Result<String, StoreError>) -> Self {
        match result {
            Ok(value) => Self::Done(value),
            Err(StoreError::Fenced { .. }) => Self::Fenced,
            Err(StoreError::Conflict(_)) => Self::Conflict,
            Err(StoreError::Refused(_)) => Self::Refused,
            Err(error) => Self::Broken(error.to_string()),
        }
    }
}

/// Tells one history to both stores.
async fn tell(twins: &Twins, number: u64, draws: &[Draw]) -> Result<Vec<Said>, TestCaseError> {
    let fleets = [FleetName::new(format!("web-{number}")), FleetName::new(format!("db-{number}"))];
    let mut stage = Stage::new(number, fleets.clone());
    let mut said = Vec::new();
    for (place, draw) in draws.iter().enumerate() {
        twins.pass(draw.pause().unwrap_or(BREATH)).await;
        let Subject::Memory { store, .. } = &twins.memory else { panic!("it is in memory") };
        let now = store.now().await.unwrap();
        let request = store.look(|rows| stage.request(rows, now, draw));
        let before = store.look(|rows| format!("{rows:?}"));
        let (memory, postgres) = twins.ask(&request).await;
        let is_as_before = store.look(|rows| format!("{rows:?}")) == before;
        prop_assert!(is_as_before || matches!(memory, Said::Done(_)), "{place}: not put back: {request:#?}");
        prop_assert!(!matches!(postgres, Said::Broken(_)), "{place}: {request:#?}: {postgres:?}");
        prop_assert_eq!(&memory, &postgres, "{}: memory said the first of {:#?}", place, request);
        let fleet = &fleets[0];
        let (left, right) = twins.remember(fleet).await;
        prop_assert_eq!(left, right, "{}: memory holds the first after {:#?}", place, request);
        said.push(memory);
    }
    for fleet in &fleets {
        let (left, right) = twins.remember(fleet).await;
        prop_assert_eq!(left, right, "memory holds the first of {} in the end", fleet);
        let left = rest_of(&*twins.memory.store(), fleet).await;
        let right = rest_of(&*twins.postgres.store(), fleet).await;
        prop_assert_eq!(left, right, "memory holds the first of {} in the end", fleet);
    }
    Ok(said)
}

/// What must hold of the tables after whatever was asked, and what the indexes must find in them.
fn ensure_sound(rows: &Rows, fleet: &FleetName) -> Result<(), TestCaseError> {
    let hosts = rows.hosts.values().map(|row| &row.host).filter(|host| host.fleet == *fleet);
    let alive: Vec<_> = hosts.filter(|host| !host.state.is_final()).collect();
    prop_assert_eq!(rows.alive(fleet).collect::<Vec<_>>(), alive);
    let launches = rows.launches.values().map(|row| &row.launch).filter(|launch| launch.fleet == *fleet);
    for launch in launches.clone() {
        let open = rows.attempts_of(launch.id);
        let open: Vec<_> =
            open.into_iter().filter(|row| matches!(row.attempt.state, AttemptState::Open { .. })).collect();
        prop_assert!(open.len() <= 1 && open.first().copied() == rows.unresolved(launch.id), "{open:?}");
        let hosts = rows.hosts.values().filter(|row| row.host.launch == Some(launch.id)).count();
        prop_assert_eq!(hosts, rows.hosts_of(launch.id));
        prop_assert!(launch.launched as usize == hosts.min(launch.count as usize), "{launch:?}: {hosts}");
        prop_assert!(open.is_empty() || launch.state.name() == "open", "{launch:?}");
    }
    let is_open = |launch: &&Launch| matches!(launch.state, LaunchState::Open { .. });
    prop_assert_eq!(
        rows.open_launches(fleet).collect::<Vec<_>>(),
        launches.filter(is_open).collect::<Vec<_>>()
    );
    for (id, moves) in &rows.moves {
        let versions: Vec<_> = moves.iter().map(|one| one.version).collect();
        let last = rows.hosts.get(id).map(|row| (row.host.version, &row.host.state));
        prop_assert_eq!(last, moves.last().map(|one| (one.version, &one.state)));
        prop_assert!(versions.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{id}: {versions:?}");
    }
    let epochs = rows.fleets.get(fleet).into_iter().flat_map(|row| &row.lease_changes);
    prop_assert!(epochs.map(|change| change.epoch).is_sorted());
    Ok(())
}

#[test]
fn memory_is_sound_after_whatever_was_asked() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&draws(150), |draws| {
        let clock = Arc::new(TestClock::standing(beginning()));
        let store = MemoryStore::new(clock.clone());
        let fleets = [FleetName::new("web"), FleetName::new("db")];
        let mut stage = Stage::new(0, fleets.clone());
        for draw in draws {
            clock.pass(draw.pause().unwrap_or(BREATH));
            let request = store.look(|rows| stage.request(rows, clock.now(), &draw));
            // What it says is compared elsewhere; here it is what it leaves.
            let _ = runtime.block_on(request.of(&store));
            for fleet in &fleets {
                store.look(|rows| ensure_sound(rows, fleet))?;
            }
        }
        Ok(())
    });
    if let Err(broken) = outcome {
        panic!("{broken}");
    }
}

#[test]
fn both_stores_answer_and_remember_the_same() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let twins = runtime.block_on(Twins::new(beginning()));
    let (cases, max_shrink_iters) = (HISTORIES, 60);
    let config =
        ProptestConfig { cases, max_shrink_iters, failure_persistence: None, ..ProptestConfig::default() };
    let told = std::cell::Cell::new(0_u64);
    let all = std::cell::RefCell::new(Vec::new());
    let outcome = TestRunner::new(config).run(&draws(LENGTH), |draws| {
        told.set(told.get() + 1);
        all.borrow_mut().extend(runtime.block_on(tell(&twins, told.get(), &draws))?);
        Ok(())
    });
    if let Err(difference) = outcome {
        panic!("{difference}");
    }
    let all = all.into_inner();
    let share = |what: fn(&Said) -> bool| all.iter().filter(|said| what(said)).count();
    let counts = [
        share(|said| matches!(said, Said::Done(_))),
        share(|said| *said == Said::Fenced),
        share(|said| *said == Said::Conflict),
        share(|said| *said == Said::Refused),
    ];
    println!("{} requests: {counts:?} done, fenced, conflicts, refused", all.len());
    assert!(counts.iter().all(|count| *count > 3), "the histories leave something out: {counts:?}");
    assert!(counts[0] * 3 > all.len(), "most of it should be a history and not refusals: {counts:?}");
}
