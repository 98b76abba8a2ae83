//! Changes: each is one row, with who and why. Whoever repeats a request under the same `Idempotency-Key` gets the first
//! one's answer and makes no second row; the same key with another request is an error.
//!
//! A size or a drain is a request that the fleet's next decision answers. What a guard would refuse as things stand is
//! refused here at once, as the command line does, and nothing is recorded.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::config::fleet::FleetConfig;
use crate::domain::ids::{FleetName, InstanceId, OperatorActionId, ReplicaId};
use crate::http::access::Caller;
use crate::http::api::answer::{json, text_header};
use crate::http::api::body::{
    DrainBody, EvaluateBody, PauseBody, Reason, ResumeBody, SizeBody, Stated, Which, body,
};
use crate::http::api::parameters::Problems;
use crate::http::api::{Api, fleet_now};
use crate::http::problem::Problem;
use crate::store::history::ActionRecord;
use crate::store::{Direction, Lease, OperatorAction, OperatorActionKind};
use crate::view::action::ActionRow;
use crate::view::request::{drain_allowed, size_allowed};

const KEY: &str = "idempotency-key";
const KEY_MAX: usize = 255;

/// What goes with every change.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes the header; the header is read by name")]
pub(super) struct WriteHeaders {
    /// Up to 255 visible ASCII characters of the caller's choice: the same key again is the same change, made once.
    #[param(rename = "Idempotency-Key", pattern = "^[!-~]{1,255}$")]
    idempotency_key: Option<String>,
}

/// The errors that every change may answer with, beside those of every resource.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes the errors; they are made where they happen")]
pub(super) enum WriteProblems {
    /// A guard refuses it as things stand, or the key was used for another request; nothing was recorded.
    #[response(status = 409, content_type = "application/problem+json")]
    Refused(Problem),
    /// The body is larger than 16 KiB.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// The body is not application/json.
    #[response(status = 415, content_type = "application/problem+json")]
    NotJson(Problem),
    /// The body is not what it should be.
    #[response(status = 422, content_type = "application/problem+json")]
    Unprocessable(Problem),
}

/// What was recorded, and what follows.
#[derive(Serialize, ToSchema)]
pub(super) struct Recorded {
    /// The action. A request (`set_size`, `drain`) is pending until a decision answers it: ask for
    /// `/api/v1/actions/{action_id}`.
    #[serde(flatten)]
    action: ActionRow,
    /// Whether this process holds the fleet and looks at it now; if not, its holder does so at its next evaluation.
    evaluates_now: bool,
    /// Who holds the fleet; null: nobody does, and nothing happens until somebody does.
    holder: Option<ReplicaId>,
}

/// What a write has of its request beside the body.
struct Order<'a> {
    api: &'a Api,
    caller: &'a Caller,
    headers: &'a HeaderMap,
    fleet: &'a FleetName,
}

impl Order<'_> {
    /// Records it, or finds that it was recorded before. `judge` is asked of a new one only: a repetition has its answer.
    async fn record(
        &self,
        (reason, stated): (Reason, Option<Stated>),
        kind: OperatorActionKind,
        judge: impl AsyncFnOnce() -> Result<(), Problem>,
    ) -> Result<Response, Problem> {
        let history = self.api.history()?;
        let key = text_header(self.headers, KEY)?;
        let wanted = OperatorAction {
            id: self.id(key)?,
            fleet: self.fleet.clone(),
            actor: self.caller.actor(stated.as_ref().map(|stated| stated.0.as_str())),
            reason: reason.0,
            kind,
        };
        let known = match key {
            Some(_) => history.operator_action(wanted.id).await?,
            None => None,
        };
        let record = if let Some(record) = known {
            record
        } else {
            judge().await?;
            history.operator_act(&wanted).await?;
            let missing =
                || Problem::unavailable("not_recorded", "what was recorded cannot be read; ask again");
            history.operator_action(wanted.id).await?.ok_or_else(missing)?
        };
        same(&record, &wanted)?;
        self.answer(record).await
    }

    /// The id of a key is always the same one, so the memory itself keeps a key from being used twice.
    fn id(&self, key: Option<&str>) -> Result<OperatorActionId, Problem> {
        let Some(key) = key else { return Ok(OperatorActionId(self.api.entropy.uuid())) };
        if !(1..=KEY_MAX).contains(&key.len()) || !key.chars().all(|c| c.is_ascii_graphic()) {
            let detail =
                format!("Idempotency-Key: write 1 to {KEY_MAX} visible ASCII characters, without spaces");
            return Err(Problem::parameter("Idempotency-Key", detail));
        }
        Ok(derived_id(&["key", self.caller.token.as_deref().unwrap_or_default(), key]))
    }

    /// What was recorded. The fleet's loop is told to look now, where it runs here.
    async fn answer(&self, record: ActionRecord) -> Result<Response, Problem> {
        let lease = lease(self.api, self.fleet).await?;
        let ours = self.api.served()?.replica.clone();
        let evaluates_now = lease.as_ref().is_some_and(|lease| lease.holder == ours);
        if evaluates_now {
            self.api.control.poke(self.fleet);
        }
        let action = ActionRow::from(record);
        let status = if action.outcome == "pending" || action.action == "evaluate" {
            StatusCode::ACCEPTED
        } else {
            StatusCode::OK
        };
        let location = format!("/api/v1/actions/{}", action.action_id);
        let recorded = Recorded { action, evaluates_now, holder: lease.map(|lease| lease.holder) };
        let mut response = json(status, &recorded)?;
        if let Ok(location) = location.parse() {
            response.headers_mut().insert(header::LOCATION, location);
        }
        Ok(response)
    }
}

/// An id that is made of these words and nothing else.
pub(super) fn derived_id(words: &[&str]) -> OperatorActionId {
    let mut hash = Sha256::new();
    for word in words {
        // The length keeps a word's end apart from the next one's beginning.
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    OperatorActionId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// Who holds a fleet at this moment.
async fn lease(api: &Api, fleet: &FleetName) -> Result<Option<Lease>, Problem> {
    let stored = api.history()?.fleet_load(fleet, Duration::ZERO, Duration::ZERO).await?;
    Ok(stored.lease.filter(|lease| stored.now < lease.expires_at))
}

/// A key that was used for something else would make one of the two disappear.
fn same(record: &ActionRecord, wanted: &OperatorAction) -> Result<(), Problem> {
    if record.action == *wanted {
        return Ok(());
    }
    let status = StatusCode::CONFLICT;
    let detail = format!(
        "this Idempotency-Key was used at {} for another request (action {}): take a new key for a new request",
        record.at.to_rfc3339(),
        record.action.id
    );
    Err(Problem::new(status, "Key used before", "key_reused", detail).about("Idempotency-Key"))
}

/// Stops changes of a fleet's size for a while. Its hosts go on serving, and what has begun is finished.
#[utoipa::path(
    post,
    path = "/fleets/{fleet}/pause",
    tag = "actions",
    params(("fleet" = String, Path, description = "The fleet's name"), WriteHeaders),
    request_body = PauseBody,
    responses((status = 200, description = "It is paused", body = Recorded), Problems, WriteProblems)
)]
pub(super) async fn pause(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let configuration = api.configuration();
    let fleet = &fleet_now(&configuration, &name)?.name;
    let PauseBody { reason, actor, direction, span } = body(&headers, bytes)?;
    let direction = match direction {
        Which::Out => Direction::Out,
        Which::In => Direction::In,
        Which::Both => Direction::Both,
    };
    let kind = OperatorActionKind::Pause { direction, span: span.map(|span| span.0) };
    let order = Order { api: &api, caller: &caller, headers: &headers, fleet };
    order.record((reason, actor), kind, async || Ok(())).await
}

/// Ends every pause of a fleet.
#[utoipa::path(
    post,
    path = "/fleets/{fleet}/resume",
    tag = "actions",
    params(("fleet" = String, Path, description = "The fleet's name"), WriteHeaders),
    request_body = ResumeBody,
    responses((status = 200, description = "No pause holds", body = Recorded), Problems, WriteProblems)
)]
pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let configuration = api.configuration();
    let fleet = &fleet_now(&configuration, &name)?.name;
    let ResumeBody { reason, actor } = body(&headers, bytes)?;
    let order = Order { api: &api, caller: &caller, headers: &headers, fleet };
    order.record((reason, actor), OperatorActionKind::Resume, async || Ok(())).await
}

/// Asks for a size, within the fleet's min and max. The next decision answers.
#[utoipa::path(
    post,
    path = "/fleets/{fleet}/size",
    tag = "actions",
    params(("fleet" = String, Path, description = "The fleet's name"), WriteHeaders),
    request_body = SizeBody,
    responses(
        (status = 200, description = "It was asked before, and answered", body = Recorded),
        (status = 202, description = "It is asked", body = Recorded),
        Problems,
        WriteProblems
    )
)]
pub(super) async fn size(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let configuration = api.configuration();
    let config = fleet_now(&configuration, &name)?;
    let SizeBody { size, reason, actor } = body(&headers, bytes)?;
    let order = Order { api: &api, caller: &caller, headers: &headers, fleet: &config.name };
    let judge = async || judge_size(&api, config, size).await;
    order.record((reason, actor), OperatorActionKind::SetSize(size), judge).await
}

/// Whether this size would be granted as things stand.
pub(super) async fn judge_size(api: &Api, config: &FleetConfig, size: u32) -> Result<(), Problem> {
    let stored = api.history()?.fleet_load(&config.name, Duration::ZERO, Duration::ZERO).await?;
    Ok(size_allowed(config, &stored, size)?)
}

/// Asks for one host to be taken out by the ordinary path: deregister, drain, terminate. The next decision answers.
#[utoipa::path(
    post,
    path = "/fleets/{fleet}/hosts/{id}/drain",
    tag = "actions",
    params(
        ("fleet" = String, Path, description = "The fleet's name"),
        ("id" = String, Path, description = "The instance"),
        WriteHeaders
    ),
    request_body = DrainBody,
    responses(
        (status = 200, description = "It was asked before, and answered", body = Recorded),
        (status = 202, description = "It is asked", body = Recorded),
        Problems,
        WriteProblems
    )
)]
pub(super) async fn drain(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let configuration = api.configuration();
    let config = fleet_now(&configuration, &name)?;
    let DrainBody { reason, actor } = body(&headers, bytes)?;
    let shown: String = id.chars().take(60).collect();
    // No id of a cloud holds such a character, and Postgres cannot even be asked for it.
    let id = InstanceId::new(if id.contains('\0') { shown.replace('\0', " ") } else { id });
    let judge = async || {
        let history = api.history()?;
        let stored = history.fleet_load(&config.name, Duration::ZERO, Duration::ZERO).await?;
        let host =
            history.host_find(&id).await?.filter(|host| host.fleet == config.name).ok_or_else(|| {
                let detail = format!("fleet {} has no host {shown:?}", config.name);
                Problem::unknown("unknown_host", detail).about("id")
            })?;
        Ok(drain_allowed(config, &stored, &host)?)
    };
    let order = Order { api: &api, caller: &caller, headers: &headers, fleet: &config.name };
    order.record((reason, actor), OperatorActionKind::Drain(id.clone()), judge).await
}

/// Has a fleet looked at now, and not only at its next evaluation. Nothing else is changed by it.
#[utoipa::path(
    post,
    path = "/fleets/{fleet}/evaluate",
    tag = "actions",
    params(("fleet" = String, Path, description = "The fleet's name"), WriteHeaders),
    request_body = EvaluateBody,
    responses(
        (status = 202, description = "It is recorded; `evaluates_now` says whether this process looks now", body = Recorded),
        Problems,
        WriteProblems
    )
)]
pub(super) async fn evaluate(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let configuration = api.configuration();
    let fleet = &fleet_now(&configuration, &name)?.name;
    let EvaluateBody { reason, actor } = body(&headers, bytes)?;
    let order = Order { api: &api, caller: &caller, headers: &headers, fleet };
    order.record((reason, actor), OperatorActionKind::Evaluate, async || Ok(())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_always_has_the_same_id_and_words_do_not_run_together() {
        assert_eq!(derived_id(&["key", "ada", "1"]), derived_id(&["key", "ada", "1"]));
        assert_ne!(derived_id(&["key", "ada", "1"]), derived_id(&["key", "ad", "a1"]));
        assert_eq!(derived_id(&["key", "", "1"]).0.get_version_num(), 8);
    }
}
