//! The operators' API: what `fleet-scaler status`, `history`, `hosts`, `pause` and the others say and do, for programs.
//!
//! Every route is registered together with its description, so the OpenAPI document cannot leave one out. A question is
//! one read of the memory with a deadline; a write is one row, and whichever replica holds the fleet acts on it. Nothing
//! here touches a cloud or waits for the loop.

mod answer;
mod body;
mod hook;
mod parameters;
mod people;
mod read;
mod series;
mod stream;
mod write;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clock::Clock;
use crate::config::Configuration;
use crate::config::fleet::FleetConfig;
use crate::domain::ids::{FleetName, ReplicaId};
use crate::entropy::Entropy;
use crate::http::Startup;
use crate::http::access::{self, Door};
use crate::http::problem::Problem;
use crate::reconcile::control::Control;
use crate::store::history::History;

/// A body that is larger is refused.
const BODY_MAX: usize = 16 * 1024;
/// A webhook's body may be larger: an Alertmanager sends every alert of a group.
const HOOK_BODY_MAX: usize = 256 * 1024;
/// A request that is not answered by then is given up. The memory gives itself eight seconds.
const DEADLINE: Duration = Duration::from_secs(10);
/// Streams at one time, of the connections that there may be.
const STREAMS: usize = 32;

/// What the API is answered from.
pub struct Api {
    startup: Arc<Startup>,
    control: Arc<Control>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    door: Door,
    /// Not there until the database is.
    served: OnceLock<Served>,
    streams: Arc<Semaphore>,
    /// When the service stops, streams end.
    stop: CancellationToken,
}

/// What is there once the database is.
struct Served {
    history: Arc<dyn History>,
    replica: ReplicaId,
}

impl Api {
    /// An API whose memory is not there yet.
    #[must_use]
    pub fn new(
        startup: Arc<Startup>,
        control: Arc<Control>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        door: Door,
        stop: CancellationToken,
    ) -> Self {
        let streams = Arc::new(Semaphore::new(STREAMS));
        Self { startup, control, clock, entropy, door, served: OnceLock::new(), streams, stop }
    }

    /// The memory is there, and this is the name under which this process acts.
    pub fn serve(&self, history: Arc<dyn History>, replica: ReplicaId) {
        // Whoever comes second brings the same memory.
        let _ = self.served.set(Served { history, replica });
    }

    /// Who is let in.
    pub(super) fn door(&self) -> &Door {
        &self.door
    }

    /// The memory, where it is there.
    pub(super) fn history_now(&self) -> Option<&Arc<dyn History>> {
        self.served.get().map(|served| &served.history)
    }

    fn served(&self) -> Result<&Served, Problem> {
        self.served.get().ok_or_else(|| {
            let waits_for = self.startup.missing().unwrap_or_else(|| "the database".to_owned());
            Problem::unavailable("starting", format!("the service is starting and waits: {waits_for}"))
        })
    }

    fn history(&self) -> Result<&dyn History, Problem> {
        Ok(self.served()?.history.as_ref())
    }

    fn configuration(&self) -> Arc<Configuration> {
        self.control.configuration()
    }

    /// A fleet that is configured, or was once: its history outlives its file.
    async fn fleet_ever(&self, configuration: &Configuration, name: &str) -> Result<FleetName, Problem> {
        let wanted = FleetName::new(name);
        if configuration.fleets.contains_key(&wanted) || self.history()?.fleets().await?.contains(&wanted) {
            return Ok(wanted);
        }
        Err(no_such_fleet(configuration, name))
    }
}

/// A fleet that is configured: only such a one can be asked for anything.
fn fleet_now<'a>(configuration: &'a Configuration, name: &str) -> Result<&'a FleetConfig, Problem> {
    configuration.fleets.get(&FleetName::new(name)).ok_or_else(|| no_such_fleet(configuration, name))
}

fn no_such_fleet(configuration: &Configuration, name: &str) -> Problem {
    const SHOWN: usize = 20;
    let mut known: Vec<&str> = configuration.fleets.keys().take(SHOWN).map(FleetName::as_str).collect();
    if configuration.fleets.len() > SHOWN {
        known.push("…");
    }
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let shown: String = name.chars().take(60).collect();
    Problem::unknown("unknown_fleet", format!("there is no fleet {shown:?}; configured: {known}"))
        .about("fleet")
}

/// The routes with their descriptions.
fn described() -> (Router<Arc<Api>>, OpenApi) {
    let (router, mut document) = OpenApiRouter::new()
        .routes(routes!(read::fleets))
        .routes(routes!(read::fleet))
        .routes(routes!(read::hosts))
        .routes(routes!(series::series))
        .routes(routes!(people::candidates))
        .routes(routes!(read::decisions))
        .routes(routes!(read::decision))
        .routes(routes!(read::events))
        .routes(routes!(people::actions))
        .routes(routes!(people::action))
        .routes(routes!(people::session))
        .routes(routes!(write::pause))
        .routes(routes!(write::resume))
        .routes(routes!(write::size))
        .routes(routes!(write::drain))
        .routes(routes!(write::evaluate))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(hook::alertmanager))
                .layer(DefaultBodyLimit::max(HOOK_BODY_MAX)),
        )
        .routes(routes!(answer::openapi))
        .layer(middleware::from_fn(in_time))
        .routes(routes!(stream::stream))
        .split_for_parts();
    answer::introduce(&mut document);
    (router, document)
}

/// The API's own description.
#[must_use]
pub fn openapi() -> OpenApi {
    described().1
}

/// The API under `/api/v1`, behind its door.
pub(super) fn router(api: &Arc<Api>) -> Router {
    described()
        .0
        .fallback(no_such_resource)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(api), access::let_in))
        .with_state(Arc::clone(api))
}

/// Gives a request that takes too long up. What it wrote by then is in the rows, and its key finds it there.
async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("deadline", format!("no answer within {} s", DEADLINE.as_secs()))
            .into_response(),
    }
}

async fn no_such_resource(State(_): State<Arc<Api>>, uri: Uri) -> Problem {
    let detail =
        format!("{} is not a resource of the API; /api/v1/openapi.json describes them all", uri.path());
    Problem::unknown("unknown_resource", detail)
}

async fn method_not_allowed(State(_): State<Arc<Api>>, uri: Uri) -> Problem {
    let detail = format!("/api/v1/openapi.json says with which methods {} is asked", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "method_not_allowed", detail)
}
