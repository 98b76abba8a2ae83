//! The chain of events: everything that happened to a fleet, in one order, each link holding the hash of the one before.
//!
//! The links are made in the database, by a trigger, so that no writer can forget one; rows of the other histories hang
//! on the chain by a digest, by triggers of theirs. Here events are handed in, and the whole is checked.

use std::fmt::Display;

use serde::Serialize;
use serde_json::Value;

use crate::store::StoreError;
use crate::store::postgres::session::Tx;

/// Problems that one report lists; the first few say what happened, and a thousand say no more.
const PROBLEMS_MAX: i64 = 100;

/// Something that happened.
pub(super) struct Event {
    kind: &'static str,
    subject: String,
    data: Value,
}

impl Event {
    pub(super) fn new(kind: &'static str, subject: impl Display, data: Value) -> Self {
        Self { kind, subject: subject.to_string(), data }
    }
}

/// What a check of one chain found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// The fleet; empty: the service itself.
    pub fleet: String,
    /// Events in the chain.
    pub events: i64,
    /// The newest event's hash, in hex: whoever keeps it elsewhere can prove later that nothing before it changed.
    pub head: Option<String>,
    /// What is wrong, at most 100 of it; empty: nothing is.
    pub problems: Vec<ChainProblem>,
}

/// One thing that is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChainProblem {
    /// The event at which it shows; `None`: it shows at none.
    pub seq: Option<i64>,
    /// What is wrong, in one sentence.
    pub problem: String,
}

/// Appends events to a fleet's chain, in this order.
pub(super) async fn append(tx: &mut Tx, fleet: &str, events: &[Event]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let kinds: Vec<String> = events.iter().map(|event| event.kind.to_owned()).collect();
    let subjects: Vec<String> = events.iter().map(|event| event.subject.clone()).collect();
    let data: Vec<Value> = events.iter().map(|event| event.data.clone()).collect();
    sqlx::query!(
        "INSERT INTO scaler.event (fleet, kind, subject, data)
         SELECT $1, e.kind, e.subject, e.data
         FROM unnest($2::text[], $3::text[], $4::jsonb[]) WITH ORDINALITY AS e (kind, subject, data, place)
         ORDER BY e.place",
        fleet,
        &kinds,
        &subjects,
        &data,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Every chain, by name.
pub(super) async fn chains(tx: &mut Tx) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!("SELECT fleet FROM scaler.event_chain ORDER BY fleet").fetch_all(tx).await?)
}

pub(super) async fn verify(tx: &mut Tx, fleet: &str) -> Result<ChainReport, StoreError> {
    let events =
        sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM scaler.event WHERE fleet = $1"#, fleet)
            .fetch_one(&mut *tx)
            .await?;
    let head = sqlx::query_scalar!(
        r#"SELECT encode(hash, 'hex') AS "hash!" FROM scaler.event_chain WHERE fleet = $1"#,
        fleet
    )
    .fetch_optional(&mut *tx)
    .await?;
    let problems = sqlx::query_as!(
        ChainProblem,
        r#"SELECT seq AS "seq?", problem AS "problem!" FROM scaler.verify_chain($1) LIMIT $2"#,
        fleet,
        PROBLEMS_MAX,
    )
    .fetch_all(tx)
    .await?;
    Ok(ChainReport { fleet: fleet.to_owned(), events, head, problems })
}
