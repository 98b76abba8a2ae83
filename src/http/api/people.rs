//! Questions about people: who did what, how what they try would have done, and what whoever asks may do.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::ids::{FleetName, OperatorActionId};
use crate::domain::time::before;
use crate::http::access::Caller;
use crate::http::api::Api;
use crate::http::api::answer::fresh;
use crate::http::api::parameters::{ActionParameters, Moment, Problems, id, known_fleet, query, text};
use crate::http::problem::Problem;
use crate::store::history::{ActionQuery, TallyQuery};
use crate::view::action::ActionRow;
use crate::view::candidate::CandidateRow;

/// How far back candidates are compared, where nobody says.
const LATELY: Duration = Duration::from_hours(24);
/// Decisions that are opened for it at most: some hours of a fleet that decides something new all the time.
const COMPARED_MAX: u32 = 5_000;

/// A page of what people did.
#[derive(Serialize, ToSchema)]
pub(super) struct ActionList {
    /// Newest first.
    actions: Vec<ActionRow>,
    /// The `cursor` of the next page; null: this is the last.
    next: Option<String>,
}

/// What people did and asked for, newest first, with what became of it: also what a decision refused.
///
/// What was refused at once (409) never was asked of the fleet, and is not here.
#[utoipa::path(
    get,
    path = "/actions",
    tag = "actions",
    params(ActionParameters),
    responses(
        (status = 200, description = "A page of actions", body = ActionList),
        (status = 304, description = "Nothing has changed since that ETag"),
        Problems
    )
)]
pub(super) async fn actions(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parameters: ActionParameters = query(&uri)?;
    let actor = text("actor", parameters.actor)?;
    let history = api.history()?;
    let fleet = known_fleet(&api, parameters.fleet.as_deref()).await?;
    let now = history.now().await?;
    let question = ActionQuery {
        fleet,
        actor,
        since: parameters.since.map(|moment| moment.at(now)),
        until: parameters.until.map(|moment| moment.at(now)),
        kinds: parameters.action.map(|kinds| kinds.0).unwrap_or_default(),
        after: parameters.cursor.map(|cursor| cursor.0),
        limit: parameters.limit.to_ask(),
    };
    let mut records = history.operator_actions(&question).await?;
    let next = parameters.limit.cut(&mut records, |last| (last.at, last.action.id));
    fresh(&headers, &ActionList { actions: records.into_iter().map(ActionRow::from).collect(), next })
}

/// What a person did or asked for, and what became of it.
#[utoipa::path(
    get,
    path = "/actions/{id}",
    tag = "actions",
    params(("id" = uuid::Uuid, Path, description = "The action's id, as the write that made it gave it")),
    responses(
        (status = 200, description = "The action", body = ActionRow),
        (status = 304, description = "Nothing has changed since that ETag"),
        Problems
    )
)]
pub(super) async fn action(
    State(api): State<Arc<Api>>,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = OperatorActionId(id(&text)?);
    let Some(record) = api.history()?.operator_action(wanted).await? else {
        return Err(Problem::unknown("unknown_action", format!("there is no action {wanted}")).about("id"));
    };
    fresh(&headers, &ActionRow::from(record))
}

/// Since when candidates are compared.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CandidateParameters {
    /// Decisions made, or made again, at this moment or later; 24 hours ago if left out.
    #[param(inline)]
    since: Option<Moment>,
}

/// How a fleet's candidates compare with what was decided.
#[derive(Serialize, ToSchema)]
pub(super) struct Comparison {
    /// The moment of this answer, by the database's clock.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    at: DateTime<Utc>,
    /// The fleet.
    fleet: FleetName,
    /// By name; one that was never asked since then is left out.
    candidates: Vec<CandidateRow>,
}

/// How often each candidate of a fleet wanted another size than was decided, over the newest 5,000 decisions at most.
///
/// What each wants now is with the fleet itself, beside the real decision.
#[utoipa::path(
    get,
    path = "/fleets/{fleet}/candidates",
    tag = "fleets",
    params(("fleet" = String, Path, description = "The fleet's name"), CandidateParameters),
    responses(
        (status = 200, description = "The comparison", body = Comparison),
        (status = 304, description = "Nothing has changed since that ETag"),
        Problems
    )
)]
pub(super) async fn candidates(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parameters: CandidateParameters = query(&uri)?;
    let fleet = api.fleet_ever(&api.configuration(), &name).await?;
    let history = api.history()?;
    let at = history.now().await?;
    let since = parameters.since.map_or_else(|| before(at, LATELY), |moment| moment.at(at));
    let question = TallyQuery { fleet: fleet.clone(), since, decisions: COMPARED_MAX };
    let tallies = history.candidate_tallies(&question).await?;
    let candidates = tallies.into_iter().map(CandidateRow::from).collect();
    fresh(&headers, &Comparison { at, fleet, candidates })
}

/// What whoever asks may do.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// The name of the token that was shown; null: none is needed here.
    token: Option<String>,
    /// `viewer`: may ask; `operator`: may ask and change. Without tokens whoever is on this machine is an operator.
    scope: &'static str,
}

/// What the token that is shown lets its bearer do.
#[utoipa::path(
    get,
    path = "/session",
    tag = "about",
    responses(
        (status = 200, description = "Who asks", body = Session),
        (status = 304, description = "Nothing has changed since that ETag"),
        Problems
    )
)]
pub(super) async fn session(
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    fresh(&headers, &Session { token: caller.token, scope: caller.scope.as_str() })
}
