//! Real Postgres for tests: one throwaway cluster a test process, and in it a fresh, migrated database a test.
//!
//! A database is a copy of one that was migrated once, which takes a few dozen milliseconds. The cluster dies with the
//! process, however that ends, and takes its folder with it.
#![allow(dead_code, reason = "every module of this binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use fleet_scaler::config::service::SecretUrl;
use fleet_scaler::store::embedded::{Durability, Embedded, Shutdown};
use fleet_scaler::store::postgres::PostgresStore;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::sync::OnceCell;

/// Puts a clock of the test's own before Postgres's: it stands, or is so far ahead.
pub(crate) const TEST_CLOCK: &str = "
    CREATE SCHEMA test_clock;
    CREATE TABLE test_clock.reading (standing timestamptz, added interval NOT NULL);
    INSERT INTO test_clock.reading VALUES (NULL, '0');
    CREATE FUNCTION test_clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
        'SELECT coalesce(standing, pg_catalog.clock_timestamp() + added) FROM test_clock.reading';
    GRANT USAGE ON SCHEMA test_clock TO PUBLIC;
    GRANT SELECT ON test_clock.reading TO PUBLIC;
    ALTER TABLE scaler.cloud_call ALTER at SET DEFAULT test_clock.clock_timestamp();
    ALTER TABLE scaler.cloud_call_outcome ALTER at SET DEFAULT test_clock.clock_timestamp();
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET search_path = test_clock, pg_catalog', current_database());
    END $$";

static SHARED: OnceCell<TestCluster> = OnceCell::const_new();
static COUNTER: AtomicU32 = AtomicU32::new(0);

/// SQL made at run time. sqlx wants text that lives for ever; a test's few bytes may.
pub(crate) fn sql(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// A name that no other test has.
fn fresh_name(prefix: &str) -> String {
    format!("{prefix}_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// A throwaway Postgres.
pub(crate) struct TestCluster {
    dir: PathBuf,
    /// `None` while it is stopped.
    embedded: Option<Embedded>,
}

impl TestCluster {
    /// The one that the tests of this process share.
    pub(crate) async fn shared() -> &'static Self {
        SHARED.get_or_init(Self::dedicated).await
    }

    /// One of its own, for a test that stops it.
    pub(crate) async fn dedicated() -> Self {
        // Short, because a socket's path may not be long; and not below a home that only root may enter.
        let dir = std::env::temp_dir().join(fresh_name("fs_pg"));
        let embedded =
            Embedded::start(&dir, Durability::Throwaway).await.expect("a throwaway Postgres starts");
        PostgresStore::migrate(&embedded.url()).await.expect("the template is migrated");
        Self { dir, embedded: Some(embedded) }
    }

    /// The server. Panics while it is stopped.
    pub(crate) fn server(&self) -> &Embedded {
        self.embedded.as_ref().expect("the cluster runs")
    }

    /// A fresh, migrated database.
    pub(crate) async fn database(&self) -> TestDatabase {
        self.database_from("fleet_scaler").await
    }

    /// A fresh, empty database.
    pub(crate) async fn empty_database(&self) -> TestDatabase {
        self.database_from("template1").await
    }

    /// A fresh, empty database that sorts text by the rules of a language, as most servers' do.
    pub(crate) async fn empty_database_in(&self, language: &str) -> TestDatabase {
        self.database_from(&format!("template0 LOCALE_PROVIDER icu ICU_LOCALE '{language}'")).await
    }

    async fn database_from(&self, template: &str) -> TestDatabase {
        let name = fresh_name("test");
        let server = self.server();
        let admin = server.admin_url();
        let mut connection =
            PgConnection::connect(admin.reveal()).await.expect("the administrator may connect");
        let create = sql(format!("CREATE DATABASE {name} TEMPLATE {template} OWNER fleet_scaler"));
        sqlx::raw_sql(create).execute(&mut connection).await.expect("a database is copied");
        connection.close().await.expect("the connection closes");
        TestDatabase {
            url: server.url_of("fleet_scaler", &name),
            superuser_url: server.url_of("postgres", &name),
            admin,
            name,
        }
    }

    /// Stops it as a power cut would.
    pub(crate) async fn stop_immediate(&mut self) {
        let embedded = self.embedded.take().expect("the cluster runs");
        embedded.stop(Shutdown::Immediate).await.expect("it stops");
    }

    /// Starts it again, with the same URLs.
    pub(crate) async fn start(&mut self) {
        assert!(self.embedded.is_none(), "the cluster is stopped");
        self.embedded =
            Some(Embedded::start(&self.dir, Durability::Throwaway).await.expect("it starts again"));
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        // A running server sweeps its folder itself once its pipe closes.
        if self.embedded.take().is_none() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// A database of one test's own. It is dropped with this, or with the cluster.
pub(crate) struct TestDatabase {
    name: String,
    url: SecretUrl,
    superuser_url: SecretUrl,
    admin: SecretUrl,
}

impl TestDatabase {
    /// A fresh, migrated one in the shared cluster.
    pub(crate) async fn new() -> Self {
        TestCluster::shared().await.database().await
    }

    /// A fresh, empty one in the shared cluster.
    pub(crate) async fn empty() -> Self {
        TestCluster::shared().await.empty_database().await
    }

    /// As its owner: the one role of a small installation, with CREATEROLE and no superuser.
    pub(crate) fn url(&self) -> &SecretUrl {
        &self.url
    }

    /// As superuser, for what only an administrator may do.
    pub(crate) fn superuser_url(&self) -> &SecretUrl {
        &self.superuser_url
    }

    /// Connections as its owner.
    pub(crate) fn pool(&self) -> PgPool {
        pool(&self.url)
    }

    /// Connections as superuser.
    pub(crate) fn superuser_pool(&self) -> PgPool {
        pool(&self.superuser_url)
    }

    /// The store under test.
    pub(crate) fn store(&self) -> PostgresStore {
        PostgresStore::connect(&self.url, 5).expect("the URL is right")
    }
}

fn pool(url: &SecretUrl) -> PgPool {
    PgPoolOptions::new().max_connections(3).connect_lazy(url.reveal()).expect("the URL is right")
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (admin, name) = (self.admin.clone(), self.name.clone());
        // In a thread and unwatched: the cluster is thrown away in the end, and no test waits for this.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(async {
                    if let Ok(mut connection) = PgConnection::connect(admin.reveal()).await {
                        let drop = sql(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
                        let _ = sqlx::raw_sql(drop).execute(&mut connection).await;
                    }
                });
            }
        });
    }
}
