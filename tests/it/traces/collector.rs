//! A collector: it takes traces over HTTP, as the specification has it, and remembers them.

use std::io::Read as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use prost::Message as _;
use tokio::net::TcpListener;

/// What one request brought.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) resource: Vec<KeyValue>,
    pub(super) spans: Vec<Span>,
}

type Memory = Arc<Mutex<Vec<Heard>>>;

/// A collector that listens.
pub(super) struct Collector {
    pub(super) endpoint: String,
    heard: Memory,
}

impl Collector {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let heard = Memory::default();
        let router = Router::new().fallback(take).with_state(Arc::clone(&heard));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, heard }
    }

    pub(super) fn requests(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Every span so far.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.requests().into_iter().flat_map(|heard| heard.spans).collect()
    }
}

async fn take(State(heard): State<Memory>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut bytes = body.to_vec();
    if headers.get("content-encoding").is_some_and(|coding| coding == "gzip") {
        bytes = Vec::new();
        GzDecoder::new(&*body).read_to_end(&mut bytes).unwrap();
    }
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(&*bytes).unwrap();
    for part in request.resource_spans {
        let resource = part.resource.map(|resource| resource.attributes).unwrap_or_default();
        let spans = part.scope_spans.into_iter().flat_map(|scope| scope.spans).collect();
        let (path, headers) = (uri.path().to_owned(), headers.clone());
        heard.lock().unwrap().push(Heard { path, headers, resource, spans });
    }
    StatusCode::OK
}

/// The value of an attribute, as text; empty where it is not there.
pub(super) fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => panic!("{key}: {other:?}"),
        None => String::new(),
    }
}

/// Whether the span says of itself that it failed.
pub(super) fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == SpanStatus::Error)
}

/// A trace: its spans by their way from the root, such as `tick/observe/rows`.
pub(super) struct Trace(pub(super) Vec<(String, Span)>);

impl Trace {
    /// The trace of this root, as far as it is among these spans.
    pub(super) fn of(root: &Span, spans: &[Span]) -> Self {
        let mut ways = vec![(root.name.clone(), root.clone())];
        let mut next = 0;
        while next < ways.len() {
            let (way, parent) = ways[next].clone();
            let is_child =
                |span: &&Span| span.trace_id == parent.trace_id && span.parent_span_id == parent.span_id;
            let children = spans.iter().filter(is_child);
            ways.extend(children.map(|child| (format!("{way}/{}", child.name), child.clone())));
            next += 1;
        }
        Self(ways)
    }

    /// The first span that is there by this way.
    #[track_caller]
    pub(super) fn at(&self, way: &str) -> &Span {
        let found = self.0.iter().find(|(found, _)| found == way);
        let ways = || self.0.iter().map(|(way, _)| way.as_str()).collect::<Vec<_>>();
        &found.unwrap_or_else(|| panic!("there is no {way} among {:?}", ways())).1
    }

    pub(super) fn has(&self, way: &str) -> bool {
        self.0.iter().any(|(found, _)| found == way)
    }
}

/// The roots among these spans.
pub(super) fn roots(spans: &[Span]) -> impl Iterator<Item = &Span> {
    spans.iter().filter(|span| span.parent_span_id.is_empty())
}
