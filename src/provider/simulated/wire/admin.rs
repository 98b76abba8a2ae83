//! `/_sim/`: looking into the cloud and bending it, by hand or from a test in any language. JSON in, JSON out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::ids::InstanceId;
use crate::provider::simulated::call::Shared;
use crate::provider::simulated::model::Model;
use crate::provider::simulated::model::admin::ForeignInstance;
use crate::provider::simulated::model::api::ApiError;
use crate::provider::simulated::model::faults::{Death, Fault};
use crate::provider::simulated::model::load::LoadTarget;
use crate::provider::simulated::options::load::LoadOptions;
use crate::provider::simulated::options::parts::{TargetGroupOptions, TemplateOptions};

/// So many journal entries come in one answer.
const JOURNAL_PAGE: usize = 1000;

const HELP: &str = "\
The simulated cloud: EC2 and ELBv2 are spoken at /, and this is how to look into it and bend it.

GET    /_sim/state                     everything there is
GET    /_sim/journal?since=SEQ         what happened, 1000 entries at a time; go on with next
GET    /_sim/faults                    the faults in force
POST   /_sim/faults                    set or apply a fault
DELETE /_sim/faults                    clear all of them
DELETE /_sim/faults/ID                 clear one; calls that it holds go on
POST   /_sim/instances                 {\"subnet\":\"subnet-a\",\"tags\":{},\"count\":1}: an instance made by someone else
POST   /_sim/instances/ID/kill         {\"how\":\"terminated\"} or {\"how\":\"unresponsive\"}
POST   /_sim/instances/ID/tags         {\"set\":{},\"remove\":[]}: its tags, changed by someone else
POST   /_sim/target-groups             {\"arn\":\"…\",\"name\":\"…\",\"port\":80,\"deregistration_delay\":\"30s\"}
POST   /_sim/templates                 {\"id\":\"lt-…\",\"name\":\"…\",\"default_version\":1,\"versions\":[…]}
POST   /_sim/load                      {\"curve\":\"constant\",\"rps\":300}, step, sine, points, trace, world_cup

Faults, each with \"fault\": its name
  capacity         zone, type, left       so many instances are left; then InsufficientInstanceCapacity
  quota            instances, vcpus       the account's limits
  error            op, code, http_status, zone, count | probability
  drop_reply       op, count | probability       done, and the connection closed without an answer
  drop_request     op, count | probability       not done, and the connection closed
  delay            op, ms, count | probability
  hold             op, when (before | after the work), count: calls wait until the fault is cleared
  visibility_lag   ms                     describes do not show new instances for so long
  slow_boot        zone, ms               new instances stay pending for so long
  never_healthy    instance | zone | next     health checks fail
  kill_instance    instance, how
  change_tags      instance, set, remove  its tags, changed by someone else
  protect          instance               it refuses to be terminated
  stuck_draining   target_group
  zone_not_enabled zone                   its targets are unused (Target.NotInUse)
  delete_target_group  target_group
  throttle         op, size, refill_per_second
  page             page, and instance | zone | share: closed, silent, hang, slow, nan, infinite, impossible,
                   {\"huge\":{\"bytes\":N}}, {\"gzip_bomb\":{\"bytes\":N}}, redirect, {\"status\":{\"code\":500}},
                   malformed, empty, frozen

curl -X POST localhost:5000/_sim/faults -d '{\"fault\":\"drop_reply\",\"op\":\"RunInstances\",\"count\":1}'
";

/// What a request to `/_sim/` may be answered with.
type Answered = Result<Response, Refused>;

/// A refusal, as JSON.
pub(super) struct Refused(ApiError);

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.http_status).unwrap_or(StatusCode::BAD_REQUEST);
        json_response(status, &json!({ "error": self.0 }))
    }
}

/// What there is to do here.
pub(super) async fn help() -> &'static str {
    HELP
}

/// The routes under `/_sim`.
pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/state", get(state))
        .route("/journal", get(journal))
        .route("/faults", get(faults).post(set_fault).delete(clear_faults))
        .route("/faults/{id}", delete(clear_fault))
        .route("/instances", post(add_instances))
        .route("/instances/{id}/kill", post(kill))
        .route("/instances/{id}/tags", post(change_tags))
        .route("/target-groups", post(add_target_group))
        .route("/templates", post(put_template))
        .route("/load", post(set_load))
}

fn json_response(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => (status, [(CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn ok(value: &impl Serialize) -> Response {
    json_response(StatusCode::OK, value)
}

/// A body, whatever its content type says: `curl -d` calls everything a form.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::client("InvalidRequest", error.to_string()))
}

async fn state(State(shared): State<Arc<Shared>>) -> Response {
    ok(&shared.with(|model| model.state()))
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn journal(State(shared): State<Arc<Shared>>, Query(from): Query<Since>) -> Response {
    let entries: Vec<_> =
        shared.with(|model| model.journal().since(from.since).take(JOURNAL_PAGE).cloned().collect());
    let next = entries.last().map_or(from.since, |last| last.seq + 1);
    ok(&json!({ "entries": entries, "next": next }))
}

async fn faults(State(shared): State<Arc<Shared>>) -> Response {
    ok(&shared.with(|model| model.faults()))
}

async fn set_fault(State(shared): State<Arc<Shared>>, body: Bytes) -> Answered {
    let fault: Fault = read(&body)?;
    let id = shared.with(|model| model.set_fault(fault))?;
    Ok(ok(&json!({ "id": id })))
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> Response {
    let cleared = shared.with(Model::clear_faults);
    shared.tell_held_calls();
    ok(&json!({ "cleared": cleared }))
}

async fn clear_fault(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Answered {
    let cleared = shared.with(|model| model.clear_fault(id))?;
    shared.tell_held_calls();
    Ok(ok(&json!({ "cleared": [cleared] })))
}

async fn add_instances(State(shared): State<Arc<Shared>>, body: Bytes) -> Answered {
    let foreign: ForeignInstance = read(&body)?;
    let made = shared.with(|model| model.add_instances(&foreign))?;
    Ok(ok(&json!({ "instances": made.iter().map(|one| &one.id).collect::<Vec<_>>() })))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kill {
    #[serde(default)]
    how: Death,
}

async fn kill(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Bytes) -> Answered {
    let kill = if body.is_empty() { Kill::default() } else { read(&body)? };
    let fault = Fault::KillInstance { instance: InstanceId::new(id), how: kill.how };
    shared.with(|model| model.set_fault(fault))?;
    Ok(ok(&json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tags {
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    remove: BTreeSet<String>,
}

async fn change_tags(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Bytes) -> Answered {
    let Tags { set, remove } = read(&body)?;
    let fault = Fault::ChangeTags { instance: InstanceId::new(id), set, remove };
    shared.with(|model| model.set_fault(fault))?;
    Ok(ok(&json!({})))
}

async fn add_target_group(State(shared): State<Arc<Shared>>, body: Bytes) -> Answered {
    let group: TargetGroupOptions = read(&body)?;
    shared.with(|model| model.add_target_group(&group))?;
    Ok(ok(&group))
}

async fn put_template(State(shared): State<Arc<Shared>>, body: Bytes) -> Answered {
    let template: TemplateOptions = read(&body)?;
    shared.with(|model| model.put_template(&template))?;
    Ok(ok(&template))
}

/// A load is put on every group, or on the one target that `on` names.
async fn set_load(State(shared): State<Arc<Shared>>, body: Bytes) -> Answered {
    let mut document: Value = read(&body)?;
    let on = document.as_object_mut().and_then(|fields| fields.remove("on"));
    let read_part = |error: serde_json::Error| ApiError::client("InvalidRequest", error.to_string());
    let target: Option<LoadTarget> = on.map(serde_json::from_value).transpose().map_err(read_part)?;
    let options: LoadOptions = serde_json::from_value(document).map_err(read_part)?;
    let curve = options.resolve().map_err(|error| {
        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
        ApiError::client("InvalidRequest", format!("{error}{}", source.unwrap_or_default()))
    })?;
    shared.with(|model| model.set_load(target, &curve))?;
    Ok(ok(&json!({ "rps_now": curve.rps(std::time::Duration::ZERO) })))
}
