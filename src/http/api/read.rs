//! Questions: each is one read of the memory, or two.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::boot;
use crate::domain::ids::{DecisionId, FleetName};
use crate::http::api::Api;
use crate::http::api::answer::fresh;
use crate::http::api::parameters::{
    Cursor, DecisionParameters, EventCursor, EventParameters, HostParameters, Problems, id, known_fleet,
    query, text,
};
use crate::http::problem::Problem;
use crate::store::DecisionFilter;
use crate::store::history::{DecisionQuery, EventQuery};
use crate::view::decision::{Decision, DecisionDetail, DecisionSummary};
use crate::view::event::Event;
use crate::view::fleet::summary::FleetSummary;
use crate::view::fleet::{FleetStatus, horizon};
use crate::view::host::{HostRow, OBSERVATION_AGE, Seen, order};

/// Every fleet.
#[derive(Serialize, ToSchema)]
pub(super) struct Fleets {
    /// The moment of this answer, by the database's clock.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    at: DateTime<Utc>,
    /// Every fleet that is or was ever known, by name.
    fleets: Vec<FleetSummary>,
}

/// Every fleet: its size, its hosts by state, its signals against their thresholds, and what it waits for.
///
/// The whole list in one answer: fleets are tens. Ask with `If-None-Match` to hear only of changes.
#[utoipa::path(
    get,
    path = "/fleets",
    tag = "fleets",
    responses(
        (status = 200, description = "Every fleet", body = Fleets),
        (status = 304, description = "Nothing has changed since that ETag"),
        Problems
    )
)]
pub(super) async fn fleets(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, Problem> {
    let configuration = api.configuration();
    let history = api.history()?;
    let standings = history.standings().await?;
    let at = match standings.first() {
        Some(standing) => standing.now,
        None => history.now().await?,
    };
    let mut fleets: BTreeMap<FleetName, FleetSummary> = standings
        .into_iter()
        .map(|standing| {
            let config = configuration.fleets.get(&standing.fleet);
            (standing.fleet.clone(), FleetSummary::of(config, standing))
        })
        .collect();
    for (name, config) in &configuration.fleets {
        fleets.entry(name.clone()).or_insert_with(|| FleetSummary::unheard(config, at));
    }
    fresh(&headers, &Fleets { at, fleets: fleets.into_values().collect() })
}

/// One fleet, with everything that is known of it at this moment.
#[utoipa::path(
    get,
    path = "/fleets/{fleet}",
    tag = "fleets",
    params(("fleet" = String, Path, description = "The fleet's name")),
    responses(
        (status = 200, description = "The fleet", body = FleetStatus),
        (status = 304, description = "Nothing has changed since that ETag"),
        Problems
    )
)]
pub(super) async fn fleet(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let configuration = api.configuration();
    let name = api.fleet_ever(&configuration, &name).await?;
    let config = configuration.fleets.get(&name);
    let history = api.history()?;
    let budget_span = config.map_or(OBSERVATION_AGE, |config| config.safety.budget_per);
    let stored = history.fleet_load(&name, horizon(config), budget_span).await?;
    let filter = DecisionFilter { fleet: Some(name.clone()), limit: 1, ..DecisionFilter::default() };
    let last = history.decisions(&filter).await?.into_iter().next();
    let boots = history.boots(&name, boot::LOOK_BACK, boot::MOST).await?;
    fresh(&headers, &FleetStatus::of(&name, config, stored, last.as_ref(), &boots))
}

/// Hosts of a fleet.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "each list of the API is named for what it lists")]
pub(super) struct Hosts {
    /// The moment of this answer, by the database's clock.
    #[serde(serialize_with = "crate::domain::time::json::serialize")]
    at: DateTime<Utc>,
    /// The fleet.
    fleet: FleetName,
    /// Those that live, oldest first, then those that ended within the last hour.
    hosts: Vec<HostRow>,
    /// The `cursor` of the next page; null: this is the last.
    next: Option<String>,
}

/// The hosts of a fleet, and what each waits for: those that live, oldest first, then those that ended within the last hour.
#[utoipa::path(
    get,
    path = "/fleets/{fleet}/hosts",
    tag = "fleets",
    params(("fleet" = String, Path, description = "The fleet's name"), HostParameters),
    responses(
        (status = 200, description = "A page of hosts", body = Hosts),
        (status = 304, description = "Nothing has changed since that ETag"),
        Problems
    )
)]
pub(super) async fn hosts(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parameters: HostParameters = query(&uri)?;
    let states = parameters.state.map(|states| states.0).unwrap_or_default();
    let configuration = api.configuration();
    let fleet = api.fleet_ever(&configuration, &name).await?;
    let config = configuration.fleets.get(&fleet);
    let history = api.history()?;
    let at = history.now().await?;
    let stored = history.fleet_load(&fleet, OBSERVATION_AGE, Duration::ZERO).await?;
    let seen = Seen(stored.window.last());
    let mut hosts = history.hosts_recent(&fleet).await?;
    hosts.retain(|host| states.is_empty() || states.iter().any(|state| state == host.state.name()));
    hosts.retain(|host| parameters.zone.as_deref().is_none_or(|zone| zone == host.zone.as_str()));
    hosts.sort_by_key(order);
    if let Some(Cursor((ended, launched_at, last))) = parameters.cursor {
        hosts.retain(|host| {
            (host.state.is_final(), host.launched_at, host.id.as_str()) > (ended, launched_at, last.as_str())
        });
    }
    let next = parameters
        .limit
        .cut(&mut hosts, |host| (host.state.is_final(), host.launched_at, host.id.to_string()));
    let hosts = hosts.into_iter().map(|host| HostRow::of(host, config, &seen, at)).collect();
    fresh(&headers, &Hosts { at, fleet, hosts, next })
}

/// A page of decisions.
#[derive(Serialize, ToSchema)]
pub(super) struct Decisions {
    /// Newest first.
    decisions: Vec<DecisionSummary>,
    /// The `cursor` of the next page; null: this is the last.
    next: Option<String>,
}

/// Decisions, newest first; a run of the same quiet answer is one.
#[utoipa::path(
    get,
    path = "/decisions",
    tag = "history",
    params(DecisionParameters),
    responses(
        (status = 200, description = "A page of decisions", body = Decisions),
        (status = 304, description = "Nothing has changed since that ETag"),
        Problems
    )
)]
pub(super) async fn decisions(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parameters: DecisionParameters = query(&uri)?;
    let history = api.history()?;
    let fleet = known_fleet(&api, parameters.fleet.as_deref()).await?;
    let now = history.now().await?;
    let question = DecisionQuery {
        fleet,
        since: parameters.since.map(|moment| moment.at(now)),
        until: parameters.until.map(|moment| moment.at(now)),
        actions: parameters.action.map(|actions| actions.0).unwrap_or_default(),
        after: parameters.cursor.map(|cursor| cursor.0),
        limit: parameters.limit.to_ask(),
    };
    let mut heads = history.decision_heads(&question).await?;
    let next = parameters.limit.cut(&mut heads, |head| (head.at, head.id));
    fresh(&headers, &Decisions { decisions: heads.iter().map(DecisionSummary::from).collect(), next })
}

/// One decision in full: what it was made from, what each rule and target would have liked, what each guard said, and the
/// calls to the cloud that followed.
#[utoipa::path(
    get,
    path = "/decisions/{id}",
    tag = "history",
    params(("id" = uuid::Uuid, Path, description = "The decision's id")),
    responses(
        (status = 200, description = "The decision", body = DecisionDetail),
        (status = 304, description = "Nothing has changed since that ETag"),
        Problems
    )
)]
pub(super) async fn decision(
    State(api): State<Arc<Api>>,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = DecisionId(id(&text)?);
    let Some((row, calls)) = api.history()?.decision(wanted).await? else {
        return Err(
            Problem::unknown("unknown_decision", format!("there is no decision {wanted}")).about("id")
        );
    };
    let calls = calls.into_iter().map(Into::into).collect();
    fresh(&headers, &DecisionDetail { decision: Decision::from(row), calls })
}

/// A page of events.
#[derive(Serialize, ToSchema)]
pub(super) struct Events {
    /// Newest first.
    events: Vec<Event>,
    /// The `cursor` of the next page; null: this is the last.
    next: Option<String>,
}

/// Every step of every host, launch, call, lease and person, newest first.
#[utoipa::path(
    get,
    path = "/events",
    tag = "history",
    params(EventParameters),
    responses(
        (status = 200, description = "A page of events", body = Events),
        (status = 304, description = "Nothing has changed since that ETag"),
        Problems
    )
)]
pub(super) async fn events(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parameters: EventParameters = query(&uri)?;
    let subject = text("subject", parameters.subject)?;
    let history = api.history()?;
    let fleet = known_fleet(&api, parameters.fleet.as_deref()).await?;
    let now = history.now().await?;
    let question = EventQuery {
        fleet,
        since: parameters.since.map(|moment| moment.at(now)),
        until: parameters.until.map(|moment| moment.at(now)),
        kinds: parameters.kind.map(|words| words.0).unwrap_or_default(),
        subject,
        after: parameters.cursor.map(|cursor| cursor.0.into()),
        limit: parameters.limit.to_ask(),
    };
    let mut records = history.events(&question).await?;
    let next = parameters.limit.cut(&mut records, |last| EventCursor::from(last.key()));
    fresh(&headers, &Events { events: records.into_iter().map(Event::from).collect(), next })
}
