//! A fleet's past as numbers over time: a bounded number of points, whatever the span.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use crate::decide::plan::Action;
use crate::domain::ids::FleetName;
use crate::domain::time::{Timestamp, before};
use crate::http::api::Api;
use crate::http::api::answer::fresh;
use crate::http::api::parameters::{Moment, Problems, query};
use crate::http::problem::Problem;
use crate::store::history::{DecisionQuery, Sample, SeriesQuery};
use crate::view::fleet::rule::signals_used;
use crate::view::series::Series;

/// The span, where nobody says which.
const SPAN: Duration = Duration::from_hours(1);
/// Points, where nobody says how many.
const POINTS: u32 = 300;
/// Points at most.
const POINTS_MAX: u32 = 1_000;
/// Signals at most.
const SIGNALS_MAX: usize = 32;
/// Decisions that are marked at most.
const MARKS_MAX: u32 = 500;

/// Which part of a fleet's past is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SeriesParameters {
    /// From this moment; an hour before `until` if left out.
    #[param(inline)]
    since: Option<Moment>,
    /// Until before this moment; now if left out.
    #[param(inline)]
    until: Option<Moment>,
    /// Points at most; 300 if left out.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    points: Points,
    /// Signals by full name, separated by commas, at most 32; those of the fleet's rules and targets if left out.
    #[param(value_type = Option<String>, pattern = "^[A-Za-z0-9_.:]{1,100}(,[A-Za-z0-9_.:]{1,100}){0,31}$")]
    signals: Option<Signals>,
}

#[derive(Clone, Copy, Debug)]
struct Points(u32);

impl Default for Points {
    fn default() -> Self {
        Self(POINTS)
    }
}

impl<'de> Deserialize<'de> for Points {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let points = text.parse().ok().filter(|points| (1..=POINTS_MAX).contains(points));
        points.map(Self).ok_or_else(|| D::Error::custom(format!("write a number from 1 to {POINTS_MAX}")))
    }
}

#[derive(Clone, Debug)]
struct Signals(BTreeSet<String>);

impl<'de> Deserialize<'de> for Signals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let names: Vec<&str> = text.split(',').collect();
        let is_name = |name: &&str| {
            (1..=100).contains(&name.len())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':'))
        };
        if names.len() > SIGNALS_MAX || !names.iter().all(is_name) {
            let remedy = format!("write at most {SIGNALS_MAX} names such as cpu.avg, separated by commas");
            return Err(D::Error::custom(remedy));
        }
        Ok(Self(names.into_iter().map(str::to_owned).collect()))
    }
}

/// A fleet's signals and sizes over time, and the decisions that changed something, to mark them.
#[utoipa::path(
    get,
    path = "/fleets/{fleet}/series",
    tag = "fleets",
    params(("fleet" = String, Path, description = "The fleet's name"), SeriesParameters),
    responses(
        (status = 200, description = "The series, in columns", body = Series),
        (status = 304, description = "Nothing has changed since that ETag"),
        Problems
    )
)]
pub(super) async fn series(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parameters: SeriesParameters = query(&uri)?;
    let configuration = api.configuration();
    let fleet = api.fleet_ever(&configuration, &name).await?;
    let history = api.history()?;
    let question = question(&parameters, &fleet, history.now().await?)?;
    let samples = history.samples(&question).await?;
    let marks = DecisionQuery {
        fleet: Some(fleet.clone()),
        since: Some(question.since),
        until: Some(question.until),
        actions: Action::ALL.into_iter().filter(|action| *action != Action::Hold).collect(),
        limit: MARKS_MAX,
        ..DecisionQuery::default()
    };
    let marks = history.decision_heads(&marks).await?;
    let signals = match (parameters.signals, configuration.fleets.get(&fleet)) {
        (Some(signals), _) => signals.0,
        (None, Some(config)) => signals_used(config),
        (None, None) => seen(&samples),
    };
    let signals = signals.into_iter().take(SIGNALS_MAX).collect();
    fresh(&headers, &Series::of(&question, &samples, signals, &marks))
}

fn question(
    parameters: &SeriesParameters,
    fleet: &FleetName,
    now: Timestamp,
) -> Result<SeriesQuery, Problem> {
    let until = parameters.until.map_or(now, |moment| moment.at(now));
    let since = parameters.since.map_or_else(|| before(until, SPAN), |moment| moment.at(now));
    if since >= until {
        let detail = format!("since: {} is not before until ({})", since.to_rfc3339(), until.to_rfc3339());
        return Err(Problem::parameter("since", detail));
    }
    Ok(SeriesQuery { fleet: fleet.clone(), since, until, points: parameters.points.0 })
}

/// Of a fleet that no file configures any more: whatever was seen.
fn seen(samples: &[Sample]) -> BTreeSet<String> {
    samples.iter().flat_map(|sample| sample.observation.values.keys().cloned()).collect()
}
