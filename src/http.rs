//! Health and metrics over HTTP: what a supervisor, a load balancer and Prometheus ask.
//!
//! Everything here is answered from memory. The pages must work exactly when the database, the cloud or the loop does
//! not, so no handler waits for any of them, none reads a request's body, and no client can hold a connection for long
//! (see [`listener`]).

pub mod listener;
pub mod metrics;

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::http::listener::Bounded;
use crate::http::metrics::MetricsPage;
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
    let metrics = pages.metrics.clone();
    let server = axum::serve(Bounded::new(listener), router(pages))
        .with_graceful_shutdown(async move { stop.cancelled().await });
    tokio::select! {
        result = server => result,
        never = keep_up(&metrics) => match never {},
    }
}

async fn keep_up(metrics: &MetricsPage) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics.fold();
    }
}

fn router(pages: Pages) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .fallback(no_such_page)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(pages)
}

async fn healthz() -> &'static str {
    "alive\n"
}

async fn readyz(State(pages): State<Pages>) -> Response {
    let missing = pages.missing();
    if missing.is_empty() {
        return "ready\n".into_response();
    }
    let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Not ready");
    problem.detail = missing.join("; ");
    problem.missing = missing;
    problem.into_response()
}

async fn metrics_page(State(pages): State<Pages>) -> Response {
    metrics::ready(pages.missing().is_empty());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], pages.metrics.render()).into_response()
}

async fn no_such_page(uri: Uri) -> Response {
    let mut problem = Problem::new(StatusCode::NOT_FOUND, "No such page");
    problem.detail = format!("{} is not served here; /healthz, /readyz and /metrics are", uri.path());
    problem.into_response()
}

async fn method_not_allowed() -> Response {
    let mut problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
    "this page is read with GET".clone_into(&mut problem.detail);
    problem.into_response()
}

/// RFC 9457: an error that a program can read.
#[derive(Debug, Serialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
}

impl Problem {
    fn new(status: StatusCode, title: &'static str) -> Self {
        Self {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            detail: String::new(),
            missing: Vec::new(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body + "\n").into_response()
    }
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

    #[test]
    fn a_problem_is_json_of_its_own_type() {
        let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Not ready");
        problem.missing = vec!["the database".to_owned()];
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
