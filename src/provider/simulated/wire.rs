//! The door for everybody else: EC2's and ELBv2's query protocols over HTTP, both on one port, and `/_sim/` beside them.
//!
//! The real SDK and the AWS command line are the readers of what is written here, so the elements have the names that their
//! parsers look for. Signatures are not looked at: there is no account to protect.

mod admin;
mod ec2;
mod elb;
mod form;
mod xml;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use crate::provider::simulated::call::{Answer, Shared};
use crate::provider::simulated::connection::{Cut, CutListener};
use crate::provider::simulated::model::Model;
use crate::provider::simulated::model::api::{ApiError, Op, Service};
use crate::provider::simulated::wire::form::Form;

/// A request may be so large; EC2's own limit is in the same order.
const MAX_BODY: usize = 1024 * 1024;
/// Where the SDKs read the id of a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// EC2's API version; whatever is not it is taken for ELBv2's.
const EC2_VERSION: &str = "2016-11-15";

/// Speaks until `stop`.
pub(super) async fn serve(listener: CutListener, shared: Arc<Shared>, stop: CancellationToken) {
    let router = Router::new()
        .route("/", get(query_in_address).post(query_in_body))
        .route("/_sim", get(admin::help))
        .route("/_sim/", get(admin::help))
        .nest("/_sim", admin::router())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared);
    let service = router.into_make_service_with_connect_info::<Cut>();
    if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::warn!(%error, "the simulated cloud no longer listens");
    }
}

async fn query_in_address(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    RawQuery(query): RawQuery,
) -> Response {
    match query {
        Some(query) => answer(&shared, &cut, query.as_bytes()).await,
        None => "The simulated EC2 and ELBv2. What can be done to it is told at /_sim/\n".into_response(),
    }
}

async fn query_in_body(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match body {
        Ok(body) => answer(&shared, &cut, &body).await,
        Err(error) => {
            let error = ApiError::new(413, "RequestEntityTooLarge", error.body_text());
            refusal(&shared, Service::Ec2, &error)
        }
    }
}

async fn answer(shared: &Arc<Shared>, cut: &Cut, query: &[u8]) -> Response {
    let form = Form::parse(query);
    let usual = if form.get("Version").is_none_or(|version| version == EC2_VERSION) {
        Service::Ec2
    } else {
        Service::Elb
    };
    let Some(action) = form.get("Action") else {
        return refusal(shared, usual, &ApiError::client("MissingAction", "The request has no Action"));
    };
    let Some(op) = Op::named(action) else {
        let text = format!("The action {action} is not valid for this web service.");
        return refusal(shared, usual, &ApiError::client("InvalidAction", text));
    };
    let answer = match op.service() {
        Service::Ec2 => ec2::answer(shared, op, &form).await,
        Service::Elb => elb::answer(shared, op, &form).await,
    };
    match answer {
        Err(error) => refusal(shared, op.service(), &error),
        Ok(Answer::Silence) => {
            cut.now();
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Ok(Answer::Said { request_id, result: Ok(document) }) => xml(200, &request_id, document),
        Ok(Answer::Said { request_id, result: Err(error) }) => {
            xml(error.http_status, &request_id, error_document(op.service(), &error, &request_id))
        }
    }
}

/// A refusal of something that is not even a call.
fn refusal(shared: &Shared, service: Service, error: &ApiError) -> Response {
    let request_id = shared.with(Model::request_id);
    xml(error.http_status, &request_id, error_document(service, error, &request_id))
}

fn error_document(service: Service, error: &ApiError, request_id: &str) -> String {
    match service {
        Service::Ec2 => ec2::error(error, request_id),
        Service::Elb => elb::error(error, request_id),
    }
}

fn xml(status: u16, request_id: &str, document: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = (CONTENT_TYPE, HeaderValue::from_static("text/xml;charset=UTF-8"));
    let mut response = (status, [kind], document).into_response();
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, request_id);
    }
    response
}
