//! An Alertmanager's webhook: an alert that fires may ask for what a person may ask for.
//!
//! Alertmanager repeats a notification as long as its alert fires, and whenever it did not hear our answer. So an alert's
//! action has an id that is made of the group, the alert, and when it began to fire: repeated, it is found, and done once.
//! An alert that asks for something impossible is told so in the answer, and does not keep the others from theirs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::fleet::FleetConfig;
use crate::domain::ids::OperatorActionId;
use crate::http::access::Caller;
use crate::http::api::answer::json;
use crate::http::api::body::body;
use crate::http::api::parameters::Problems;
use crate::http::api::write::{WriteProblems, derived_id};
use crate::http::api::{Api, fleet_now};
use crate::http::problem::Problem;
use crate::store::{Direction, OperatorAction, OperatorActionKind};
use crate::view::request::size_allowed;
use crate::view::words::{parse_reason, parse_span};

/// Alerts that one notification may bring.
const ALERTS_MAX: usize = 200;
/// How long a pause lasts, where the alert does not say.
const PAUSE: Duration = Duration::from_hours(1);

/// A notification, version 4, as Alertmanager sends it. Fields that are not named here are passed over.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Notification {
    /// `4`.
    #[schema(pattern = "^4$")]
    version: String,
    /// Which group of alerts it is about.
    #[serde(rename = "groupKey")]
    group_key: String,
    /// The group's alerts, those too that are resolved; at most 200.
    #[schema(max_items = 200)]
    alerts: Vec<Alert>,
}

/// One alert.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Alert {
    /// Whether it fires; a resolved one asks for nothing.
    status: Status,
    /// `fleet` and `action` (`evaluate`, `scale_out` or `pause`) say what is asked for. With `scale_out`, `hosts` says how
    /// many more (1 if left out); with `pause`, `direction` (`out`, `in` or `both`) and `for` (`1h` if left out).
    labels: BTreeMap<String, String>,
    /// `summary` is the reason that is recorded; if it is left out, the alert's name.
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    /// When it began to fire.
    #[serde(rename = "startsAt")]
    starts_at: DateTime<Utc>,
}

/// Whether an alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// It does.
    Firing,
    /// It did.
    Resolved,
}

/// What became of a notification.
#[derive(Serialize, ToSchema)]
pub(super) struct Received {
    /// For each alert, in their order.
    alerts: Vec<AlertAnswer>,
}

/// What became of one alert.
#[derive(Serialize, ToSchema)]
pub(super) struct AlertAnswer {
    /// The alert's name.
    alert: String,
    /// `recorded`; `repeated`: it was recorded before; `ignored`: it is resolved; `refused`: `detail` says why.
    outcome: &'static str,
    /// In words.
    detail: String,
    /// What was recorded; null: nothing.
    action_id: Option<OperatorActionId>,
}

/// Takes an Alertmanager's notification.
#[utoipa::path(
    post,
    path = "/hooks/alertmanager",
    tag = "actions",
    request_body = Notification,
    responses((status = 200, description = "What became of each alert", body = Received), Problems, WriteProblems)
)]
pub(super) async fn alertmanager(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let notification: Notification = body(&headers, bytes)?;
    if notification.version != "4" {
        return Err(
            Problem::body("version: this is the webhook for version 4 of the notification").about("version")
        );
    }
    if notification.alerts.len() > ALERTS_MAX {
        let detail = format!("alerts: at most {ALERTS_MAX} at once; set max_alerts in the receiver");
        return Err(Problem::body(detail).about("alerts"));
    }
    let mut alerts = Vec::with_capacity(notification.alerts.len());
    for alert in &notification.alerts {
        alerts.push(hear(&api, &caller, &notification.group_key, alert).await?);
    }
    json(StatusCode::OK, &Received { alerts })
}

/// Does what one alert asks for. An error is one of ours: Alertmanager is to ask again.
async fn hear(api: &Api, caller: &Caller, group: &str, alert: &Alert) -> Result<AlertAnswer, Problem> {
    let label = |name: &str| alert.labels.get(name).map(String::as_str);
    let name = label("alertname").unwrap_or("an alert").to_owned();
    let answer =
        |outcome, detail: String, action_id| AlertAnswer { alert: name.clone(), outcome, detail, action_id };
    if alert.status == Status::Resolved {
        return Ok(answer("ignored", "it does not fire".to_owned(), None));
    }
    let configuration = api.configuration();
    let Ok(config) = fleet_now(&configuration, label("fleet").unwrap_or_default()) else {
        return Ok(answer("refused", "its label fleet names no fleet".to_owned(), None));
    };
    let since = alert.starts_at.to_rfc3339();
    let mut words = vec!["alert", group, since.as_str()];
    words.extend(alert.labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]));
    let id = derived_id(&words);
    let history = api.history()?;
    if history.operator_action(id).await?.is_some() {
        return Ok(answer("repeated", "it was recorded before".to_owned(), Some(id)));
    }
    let kind = match asked(api, config, alert).await? {
        Ok(kind) => kind,
        Err(why) => return Ok(answer("refused", why, None)),
    };
    let summary = alert.annotations.get("summary").map_or(name.as_str(), String::as_str);
    let summary: String = summary.chars().take(400).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let reason = parse_reason(&format!("alert {summary}")).unwrap_or_else(|_| "alert".to_owned());
    let actor = caller.actor(Some("alertmanager"));
    let action = OperatorAction { id, fleet: config.name.clone(), actor, reason, kind };
    history.operator_act(&action).await?;
    api.control.poke(&config.name);
    Ok(answer("recorded", format!("{} was asked for it", config.name), Some(id)))
}

/// What it asks for; the inner error says why that cannot be had.
async fn asked(
    api: &Api,
    config: &FleetConfig,
    alert: &Alert,
) -> Result<Result<OperatorActionKind, String>, Problem> {
    let label = |name: &str| alert.labels.get(name).map(String::as_str);
    match label("action") {
        Some("evaluate") => Ok(Ok(OperatorActionKind::Evaluate)),
        Some("pause") => Ok(pause(label("direction"), label("for"))),
        Some("scale_out") => {
            let Some(more) = label("hosts").unwrap_or("1").parse::<u32>().ok().filter(|more| *more > 0)
            else {
                return Ok(Err("its label hosts is no number of hosts".to_owned()));
            };
            let stored = api.history()?.fleet_load(&config.name, Duration::ZERO, Duration::ZERO).await?;
            let Some(wanted) = stored.memory.desired else {
                return Ok(Err(
                    "nothing was decided for the fleet yet, so nothing can be added to it".to_owned()
                ));
            };
            let bounds = config.bounds(stored.now);
            let size = wanted.saturating_add(more).min(bounds.max);
            if size <= wanted {
                let max = bounds.max_words();
                return Ok(Err(format!("{wanted} hosts are wanted already, and {max}")));
            }
            match size_allowed(config, &stored, size) {
                Ok(()) => Ok(Ok(OperatorActionKind::SetSize(size))),
                Err(refused) => Ok(Err(refused.to_string())),
            }
        }
        _ => Ok(Err("its label action is none of evaluate, scale_out and pause".to_owned())),
    }
}

fn pause(direction: Option<&str>, span: Option<&str>) -> Result<OperatorActionKind, String> {
    let direction = match direction {
        None | Some("both") => Direction::Both,
        Some("out") => Direction::Out,
        Some("in") => Direction::In,
        Some(_) => return Err("its label direction is none of out, in and both".to_owned()),
    };
    let span = span.map_or(Ok(PAUSE), parse_span).map_err(|why| format!("its label for: {why}"))?;
    Ok(OperatorActionKind::Pause { direction, span: Some(span) })
}
