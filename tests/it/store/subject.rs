//! The stores under test, each with a clock that a test moves and with eyes that see what the contract does not show.
//!
//! Memory gets a clock of its own. On Postgres every `clock_timestamp()` of the store's statements is one of the test's:
//! the database's `search_path` puts a schema with a function of that name before `pg_catalog`. It gives the real time
//! and what was added to it, so a lease runs out because its time is over and not because somebody wrote into its row.
//! (Defaults of columns keep the real clock. Nothing judges by them but the first sight of a drain's calls, and these
//! defaults are changed too.)

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use fleet_scaler::clock::Clock;
use fleet_scaler::domain::ids::LaunchId;
use fleet_scaler::domain::launch::LaunchState;
use fleet_scaler::domain::time::{Timestamp, after};
use fleet_scaler::store::history::History;
use fleet_scaler::store::memory::MemoryStore;
use fleet_scaler::store::postgres::PostgresStore;

use crate::support::{TEST_CLOCK, TestDatabase, sql};

/// What is between two readings of a clock that nobody moves.
const TICK: TimeDelta = TimeDelta::microseconds(7);

/// A clock that goes on a little with every reading, or stands still.
pub(super) struct TestClock {
    now: Mutex<Timestamp>,
    tick: TimeDelta,
}

impl TestClock {
    pub(super) fn ticking(now: Timestamp) -> Self {
        Self { now: Mutex::new(now), tick: TICK }
    }

    pub(super) fn standing(now: Timestamp) -> Self {
        Self { now: Mutex::new(now), tick: TimeDelta::zero() }
    }

    pub(super) fn pass(&self, span: Duration) {
        let mut now = self.now.lock().unwrap();
        *now = after(*now, span);
    }
}

#[async_trait::async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let mut now = self.now.lock().unwrap();
        *now += self.tick;
        *now
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, _: Duration) {}
}

/// One store.
pub(super) enum Subject {
    Memory { store: Arc<MemoryStore>, clock: Arc<TestClock> },
    Postgres { store: PostgresStore, db: TestDatabase },
}

/// How a launch stands: its state, why it was given up, how many hosts it has bought.
pub(super) type LaunchStanding = (String, Option<String>, i32);
/// A call: outcome, error code, instances, the cloud's id of the request.
pub(super) type JournalRow = (String, Option<String>, Vec<String>, Option<String>);

impl Subject {
    pub(super) fn memory(clock: TestClock) -> Self {
        let clock = Arc::new(clock);
        Self::Memory { store: Arc::new(MemoryStore::new(clock.clone())), clock }
    }

    pub(super) async fn postgres() -> Self {
        let db = TestDatabase::new().await;
        sqlx::raw_sql(TEST_CLOCK).execute(&db.superuser_pool()).await.unwrap();
        Self::Postgres { store: db.store(), db }
    }

    pub(super) fn store(&self) -> Arc<dyn History> {
        match self {
            Self::Memory { store, .. } => store.clone(),
            Self::Postgres { store, .. } => Arc::new(store.clone()),
        }
    }

    /// Lets time pass.
    pub(super) async fn pass(&self, span: Duration) {
        match self {
            Self::Memory { clock, .. } => clock.pass(span),
            Self::Postgres { db, .. } => {
                let passed = format!("interval '{} microseconds'", span.as_micros());
                let update = format!(
                    "UPDATE test_clock.reading SET standing = standing + {passed}, added = added + {passed}"
                );
                sqlx::raw_sql(sql(update)).execute(&db.superuser_pool()).await.unwrap();
            }
        }
    }

    /// Everything about a launch that is not open any more can be seen here only.
    pub(super) async fn launch(&self, launch: LaunchId) -> LaunchStanding {
        match self {
            Self::Memory { store, .. } => store.look(|rows| {
                let launch = &rows.launches[&launch].launch;
                let reason = match launch.state {
                    LaunchState::Abandoned { reason, .. } => Some(reason.as_str().to_owned()),
                    LaunchState::Open { .. } | LaunchState::Fulfilled { .. } => None,
                };
                (launch.state.name().to_owned(), reason, i32::try_from(launch.launched).unwrap())
            }),
            Self::Postgres { db, .. } => sqlx::query_as(
                "SELECT state::text, abandon_reason::text, launched FROM scaler.launch WHERE id = $1",
            )
            .bind(launch.0)
            .fetch_one(&db.pool())
            .await
            .unwrap(),
        }
    }

    /// The journal of calls, oldest first.
    pub(super) async fn journal(&self) -> Vec<JournalRow> {
        match self {
            Self::Memory { store, .. } => store.look(|rows| {
                let text = |ids: &[_]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
                let rows = rows.calls.iter().map(|row| match &row.end {
                    None => ("pending".to_owned(), None, text(&row.call.instances), None),
                    Some(end) => (
                        end.outcome.to_owned(),
                        end.failure.as_ref().map(|error| error.code.clone()),
                        text(if row.call.instances.is_empty() {
                            &end.instances
                        } else {
                            &row.call.instances
                        }),
                        end.request_id.clone(),
                    ),
                });
                rows.collect()
            }),
            Self::Postgres { db, .. } => sqlx::query_as(
                "SELECT outcome, error_code, instance_ids, request_id FROM audit.cloud_calls ORDER BY at",
            )
            .fetch_all(&db.pool())
            .await
            .unwrap(),
        }
    }

    /// How many rows there are of what the contract shows nobody.
    pub(super) async fn count(&self, what: Count) -> i64 {
        match self {
            Self::Memory { store, .. } => store.look(|rows| {
                let count = match what {
                    Count::Orphans => rows.orphans.len(),
                    Count::Configurations => rows.configurations.len(),
                    Count::Attempts => rows.attempts.len(),
                    Count::Drains => rows.drains.len(),
                };
                i64::try_from(count).unwrap()
            }),
            Self::Postgres { db, .. } => {
                let table = match what {
                    Count::Orphans => "orphan",
                    Count::Configurations => "config_version",
                    Count::Attempts => "launch_attempt",
                    Count::Drains => "drain",
                };
                let count = sql(format!("SELECT count(*) FROM scaler.{table}"));
                sqlx::query_scalar(count).fetch_one(&db.pool()).await.unwrap()
            }
        }
    }
}

/// What can be counted.
#[derive(Clone, Copy)]
pub(super) enum Count {
    Orphans,
    Configurations,
    Attempts,
    Drains,
}

/// Numbers that no two worlds share.
static WORLDS: AtomicI64 = AtomicI64::new(0);

/// The time at which a world in memory begins.
pub(super) fn beginning() -> Timestamp {
    let start: Timestamp = "2026-03-01T06:00:00Z".parse().unwrap();
    start + TimeDelta::seconds(WORLDS.fetch_add(1, Ordering::Relaxed))
}

/// Each case on each store, as a test of its own. A case that is not listed is dead code, and does not compile.
macro_rules! on_both_stores {
    ($($case:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
              async fn $case() { super::$case(crate::store::fixture::World::in_memory().await).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
              async fn $case() { super::$case(crate::store::fixture::World::new().await).await; })*
        }
    };
}
pub(super) use on_both_stores;
