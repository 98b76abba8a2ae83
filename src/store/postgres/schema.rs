//! The schema's versions: bringing it up to date, and refusing one that is not this program's.

use std::time::Duration;

use sqlx::Executor as _;
use sqlx::migrate::{Migration, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::store::StoreError;
use crate::store::postgres::retry::within;
use crate::store::postgres::session::Tx;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

const DEADLINE: Duration = Duration::from_mins(5);
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = '240s'; \
    SET LOCAL client_min_messages = 'warning'";

/// In our own schema: whoever may create that need not be able to write to `public`.
const TABLE: &str = "
    CREATE SCHEMA IF NOT EXISTS scaler;
    CREATE TABLE scaler.schema_migration (
        version bigint PRIMARY KEY,
        description text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        checksum bytea NOT NULL
    );
    COMMENT ON TABLE scaler.schema_migration IS 'Which migrations were applied to this database.';
    COMMENT ON COLUMN scaler.schema_migration.version IS 'The number its file starts with.';
    COMMENT ON COLUMN scaler.schema_migration.description IS 'The rest of the file''s name.';
    COMMENT ON COLUMN scaler.schema_migration.applied_at IS 'When it was applied.';
    COMMENT ON COLUMN scaler.schema_migration.checksum IS
        'SHA-384 of its text: another text under the same number is refused.'";

/// What a schema lacks against this program.
enum Standing {
    Current,
    /// These are to be applied, in this order.
    Behind(Vec<&'static Migration>),
}

/// Everything in one transaction: a schema is at one version or at another, never between. Racing processes queue at a
/// lock that is the transaction's own, so a pooler cannot leave it behind.
pub(super) async fn migrate(options: PgConnectOptions) -> Result<Vec<i64>, StoreError> {
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    let applied = within(DEADLINE, async {
        let mut tx = Tx::begin(&pool, BEGIN).await?;
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('fleet-scaler migrations'))")
            .execute(&mut tx)
            .await?;
        let applied = apply(&mut tx).await?;
        tx.commit().await?;
        Ok(applied)
    })
    .await;
    pool.close().await;
    applied
}

async fn apply(tx: &mut Tx) -> Result<Vec<i64>, StoreError> {
    if !table_exists(tx).await? {
        tx.execute(TABLE).await?;
    }
    let Standing::Behind(missing) = standing(tx).await? else { return Ok(Vec::new()) };
    for migration in &missing {
        tx.execute(migration.sql.clone()).await.map_err(|error| failed(error, migration.version))?;
        sqlx::query(
            "INSERT INTO scaler.schema_migration (version, description, checksum) VALUES ($1, $2, $3)",
        )
        .bind(migration.version)
        .bind(&*migration.description)
        .bind(&*migration.checksum)
        .execute(&mut *tx)
        .await?;
    }
    Ok(missing.iter().map(|migration| migration.version).collect())
}

fn failed(error: sqlx::Error, version: i64) -> StoreError {
    match StoreError::from(error) {
        StoreError::Refused(why) | StoreError::Schema(why) => {
            StoreError::Schema(format!("migration {version} failed, and nothing was changed: {why}"))
        }
        other => other,
    }
}

/// Refuses a schema that is older, newer, or another one than this program was built for.
pub(super) async fn check(tx: &mut Tx) -> Result<(), StoreError> {
    if !table_exists(tx).await? {
        return Err(StoreError::Schema(
            "the database has no schema yet: run `fleet-scaler migrate`".to_owned(),
        ));
    }
    match standing(tx).await? {
        Standing::Current => Ok(()),
        Standing::Behind(missing) => Err(StoreError::Schema(format!(
            "the database's schema lacks {} of {} migrations: run `fleet-scaler migrate`",
            missing.len(),
            MIGRATIONS.iter().count()
        ))),
    }
}

async fn table_exists(tx: &mut Tx) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(r#"SELECT to_regclass('scaler.schema_migration') IS NOT NULL AS "exists!""#)
        .fetch_one(tx)
        .await?)
}

async fn standing(tx: &mut Tx) -> Result<Standing, StoreError> {
    let applied: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM scaler.schema_migration ORDER BY version")
            .fetch_all(tx)
            .await?;
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
    for (version, checksum) in &applied {
        match MIGRATIONS.iter().find(|migration| migration.version == *version) {
            Some(migration) if *migration.checksum == **checksum => {}
            Some(_) => {
                return Err(StoreError::Schema(format!(
                    "migration {version} in the database is not the one in this program: they are of different \
                     builds; use the program that migrated, or a new database"
                )));
            }
            None => {
                return Err(StoreError::Schema(format!(
                    "the database's schema is at version {version}, and this program knows none beyond {newest}: a \
                     newer program has migrated it; use that one"
                )));
            }
        }
    }
    let known = |version: i64| applied.iter().any(|(applied, _)| *applied == version);
    let missing: Vec<&Migration> = MIGRATIONS.iter().filter(|migration| !known(migration.version)).collect();
    Ok(if missing.is_empty() { Standing::Current } else { Standing::Behind(missing) })
}
