//! What Postgres says, by what the caller can do about it. SQLSTATEs are read here and nowhere else.

use sqlx::error::DatabaseError;

use crate::store::StoreError;

/// Serialization failure and deadlock: the transaction did nothing wrong and may start over.
const TRANSIENT: [&str; 2] = ["40001", "40P01"];
/// Uniqueness that says "somebody was faster", not "this must never be".
const RACES: [&str; 3] = ["drain_one_open", "attempt_one_unresolved", "launch_attempt_launch_id_ordinal_key"];
/// Classes (the first two characters) that say nothing of the statement and everything of the server: connection, rolled
/// back, out of resources, operator intervention, system error, wrong credentials, no such database, transaction state
/// (a time-out, or a standby that only reads).
const SERVER: [&str; 9] = ["08", "40", "53", "57", "58", "XX", "28", "3D", "25"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let verdict = error.as_database_error().and_then(of_statement);
        match (verdict, &error) {
            (Some(verdict), _) => verdict,
            (
                None,
                sqlx::Error::RowNotFound
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::Decode(_)
                | sqlx::Error::Encode(_)
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::TypeNotFound { .. },
            ) => Self::Refused(format!("a row is not as this program knows it: {error}")),
            (None, _) => Self::Unavailable(Box::new(error)),
        }
    }
}

/// What an error of the statement itself means; `None`: it is the server's state, and may pass.
fn of_statement(error: &dyn DatabaseError) -> Option<StoreError> {
    let code = error.code()?;
    let message = error.message();
    if SERVER.contains(&code.get(..2)?) || code == "55P03" {
        return None;
    }
    Some(match code.as_ref() {
        "42P01" | "3F000" | "42703" | "42883" | "42704" => StoreError::Schema(format!(
            "the database's schema is not the one this program needs ({message}): run `fleet-scaler migrate`"
        )),
        "42501" => StoreError::Schema(format!(
            "the database role may not do this ({message}): use the role that migrated, or grant it fleet_scaler_service"
        )),
        "23505" if error.constraint().is_some_and(|name| RACES.contains(&name)) => {
            StoreError::Conflict(format!("somebody was faster: {message}"))
        }
        _ => StoreError::Refused(format!("{message} (SQLSTATE {code})")),
    })
}

/// Whether the whole transaction may simply be done again.
pub(super) fn is_transient(error: &StoreError) -> bool {
    let StoreError::Unavailable(source) = error else { return false };
    source
        .downcast_ref::<sqlx::Error>()
        .and_then(sqlx::Error::as_database_error)
        .and_then(DatabaseError::code)
        .is_some_and(|code| TRANSIENT.contains(&code.as_ref()))
}
