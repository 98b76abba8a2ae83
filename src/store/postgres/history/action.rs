//! What people did, and what became of it: a page of it, or one by its id.

use uuid::Uuid;

use crate::decide::plan::{Answer, Granted};
use crate::domain::ids::{DecisionId, FleetName, InstanceId, OperatorActionId};
use crate::domain::time::{Timestamp, since};
use crate::store::history::{ActionQuery, ActionRecord, VIA};
use crate::store::postgres::convert::nat;
use crate::store::postgres::session::Tx;
use crate::store::shared::list_limit;
use crate::store::{Direction, OperatorAction, OperatorActionKind, StoreError};

/// An action with its answer, as the rows have it.
struct Recorded {
    id: Uuid,
    fleet: String,
    at: Timestamp,
    actor: String,
    kind: String,
    reason: String,
    direction: Option<String>,
    until: Option<Timestamp>,
    size: Option<i32>,
    instance_id: Option<String>,
    decision_id: Option<Uuid>,
    answered_at: Option<Timestamp>,
    granted: Option<bool>,
    because: Option<String>,
}

/// Reads actions `o` with their answers `a`; what follows the columns is said by who asks.
macro_rules! recorded {
    ($rest:literal, $($argument:expr),* $(,)?) => {
        sqlx::query_as!(
            Recorded,
            r#"SELECT o.id, o.fleet, o.at, o.actor, o.kind::text AS "kind!", o.reason, o.direction::text, o.until, o.size,
                      o.instance_id, a.decision_id AS "decision_id?", a.at AS "answered_at?", a.granted AS "granted?",
                      a.because AS "because?"
               FROM scaler.operator_action o LEFT JOIN scaler.operator_answer a ON a.action_id = o.id "# + $rest,
            $($argument),*
        )
    };
}

/// One of them.
pub(in crate::store::postgres) async fn one(
    tx: &mut Tx,
    id: OperatorActionId,
) -> Result<Option<ActionRecord>, StoreError> {
    let row = recorded!("WHERE o.id = $1", id.0).fetch_optional(tx).await?;
    row.map(ActionRecord::try_from).transpose()
}

/// A page of them, newest first. Whoever is looked for by name may have acted alone, through a token, or be the token.
pub(in crate::store::postgres) async fn page(
    tx: &mut Tx,
    query: &ActionQuery,
) -> Result<Vec<ActionRecord>, StoreError> {
    let (after_at, after_id) = query.after.unzip();
    let actor = query.actor.as_deref();
    let rows = recorded!(
        r#"WHERE ($1::text IS NULL OR o.fleet = $1)
             AND ($2::text IS NULL OR o.actor = $2 OR starts_with(o.actor, $3)
                  OR right(o.actor, length($4)) = $4)
             AND ($5::timestamptz IS NULL OR o.at >= $5)
             AND ($6::timestamptz IS NULL OR o.at < $6)
             AND (cardinality($7::text[]) = 0 OR o.kind::text = ANY ($7))
             AND ($8::timestamptz IS NULL OR (o.at, o.id) < ($8, $9::uuid))
           ORDER BY o.at DESC, o.id DESC LIMIT $10"#,
        query.fleet.as_ref().map(FleetName::as_str),
        actor,
        actor.map(|actor| format!("{actor}{VIA}")),
        actor.map(|actor| format!("{VIA}{actor}")),
        query.since,
        query.until,
        &query.kinds,
        after_at,
        after_id.map(|id| id.0),
        i64::from(list_limit(query.limit)),
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(ActionRecord::try_from).collect()
}

impl TryFrom<Recorded> for ActionRecord {
    type Error = StoreError;

    fn try_from(row: Recorded) -> Result<Self, StoreError> {
        let id = OperatorActionId(row.id);
        let incomplete = || StoreError::Refused(format!("action {id} is a {} without its columns", row.kind));
        let kind = match row.kind.as_str() {
            "pause" => OperatorActionKind::Pause {
                direction: direction(row.direction.as_deref()).ok_or_else(incomplete)?,
                span: row.until.map(|until| since(until, row.at)),
            },
            "resume" => OperatorActionKind::Resume,
            "set_size" => OperatorActionKind::SetSize(nat(row.size.ok_or_else(incomplete)?)?),
            "drain" => {
                OperatorActionKind::Drain(InstanceId::new(row.instance_id.as_deref().ok_or_else(incomplete)?))
            }
            "evaluate" => OperatorActionKind::Evaluate,
            _ => return Err(incomplete()),
        };
        let answer =
            row.decision_id.zip(row.answered_at).zip(row.granted).map(|((decision, at), granted)| {
                let granted = if granted { Granted::Yes } else { Granted::No };
                let because = row.because.unwrap_or_default();
                (DecisionId(decision), at, Answer { request: id, granted, because })
            });
        let fleet = FleetName::new(row.fleet);
        let action = OperatorAction { id, fleet, actor: row.actor, reason: row.reason, kind };
        Ok(Self { at: row.at, action, answer })
    }
}

fn direction(word: Option<&str>) -> Option<Direction> {
    match word? {
        "out" => Some(Direction::Out),
        "in" => Some(Direction::In),
        "both" => Some(Direction::Both),
        _ => None,
    }
}
