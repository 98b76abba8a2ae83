//! What the service says over HTTP: health and metrics for a supervisor, a load balancer and Prometheus, the
//! operators' [`api`], and the `dashboard` that speaks to it.
//!
//! Health and metrics are answered from this process's own memory. They must work exactly when the database, the cloud or
//! the loop does not, so their handlers wait for none of them and need no token. No client can hold a connection for long
//! (see [`listener`]).

pub mod access;
pub mod api;
mod dashboard;
pub mod listener;
mod mark;
pub mod metrics;
pub mod problem;
pub mod tls;

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::connect_info::Connected;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::serve::IncomingStream;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::http::access::Peer;
use crate::http::api::Api;
use crate::http::listener::Bounded;
use crate::http::metrics::MetricsPage;
use crate::http::problem::Problem;
use crate::http::tls::Identity;
use crate::reconcile::health::Health;

/// How often histograms are folded into their buckets, so that a service that nobody scrapes keeps a bounded memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// What the pages are answered from.
#[derive(Clone)]
pub struct Pages {
    /// What the service still waits for before its loop runs.
    pub startup: Arc<Startup>,
    /// What the loop says of itself.
    pub health: Arc<Health>,
    /// The metrics of this process.
    pub metrics: MetricsPage,
    /// The operators' API.
    pub api: Arc<Api>,
    /// Who the service says it is; `None`: it speaks without TLS.
    pub identity: Option<Arc<Identity>>,
}

impl Pages {
    /// What `/readyz` misses; empty: ready.
    fn missing(&self) -> Vec<String> {
        match self.startup.missing() {
            Some(reason) => vec![reason],
            None => self.health.missing(),
        }
    }
}

/// What stands between this process and its loop: the database, the schema, the provider. `/readyz` says it.
#[derive(Debug)]
pub struct Startup(RwLock<Option<String>>);

impl Startup {
    /// Not there yet, for this reason.
    pub fn waiting(reason: impl Into<String>) -> Self {
        Self(RwLock::new(Some(reason.into())))
    }

    /// Says what is waited for now.
    pub fn wait_for(&self, reason: impl Into<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(reason.into());
    }

    /// The loop runs; from here on [`Health`] speaks.
    pub fn done(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn missing(&self) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves the pages until `stop`, then lets open requests finish.
pub async fn serve(listener: TcpListener, pages: Pages, stop: CancellationToken) -> io::Result<()> {
    let (metrics, api, identity) = (pages.metrics.clone(), Arc::clone(&pages.api), pages.identity.clone());
    let service = router(pages).into_make_service_with_connect_info::<Peer>();
    let server = axum::serve(Bounded::new(listener, identity.clone()), service)
        .with_graceful_shutdown(async move { stop.cancelled().await });
    tokio::select! {
        result = server => result,
        never = keep_up(&metrics, &api, identity.as_deref()) => match never {},
    }
}

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

async fn keep_up(metrics: &MetricsPage, api: &Api, identity: Option<&Identity>) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics.fold();
        if let Some(identity) = identity {
            identity.refresh();
        }
        api.door().keep_up(api.history_now()).await;
    }
}

fn router(pages: Pages) -> Router {
    let api = api::router(&pages.api);
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .merge(dashboard::router())
        .fallback(no_such_page)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(pages)
        .nest("/api/v1", api)
}

async fn healthz() -> &'static str {
    "alive\n"
}

async fn readyz(State(pages): State<Pages>) -> Response {
    let missing = pages.missing();
    if missing.is_empty() {
        return "ready\n".into_response();
    }
    Problem::unavailable("not_ready", "").missing(missing).into_response()
}

async fn metrics_page(State(pages): State<Pages>) -> Response {
    metrics::ready(pages.missing().is_empty());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], pages.metrics.render()).into_response()
}

async fn no_such_page(uri: Uri) -> Problem {
    let detail = format!(
        "{} is not served here; / (the dashboard), /healthz, /readyz, /metrics and /api/v1 are",
        uri.path()
    );
    Problem::unknown("unknown_page", detail)
}

async fn method_not_allowed() -> Problem {
    let detail = "this page is read with GET";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "method_not_allowed", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_names_what_is_missing_until_it_is_done() {
        let startup = Startup::waiting("the database");
        startup.wait_for("the schema");
        assert_eq!(startup.missing().as_deref(), Some("the schema"));
        startup.done();
        assert_eq!(startup.missing(), None);
    }
}
