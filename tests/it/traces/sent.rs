//! What a collector hears of a fleet's ticks.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::collector::{Collector, Trace, attribute, is_error, roots};
use super::{SECRET, Serving, WEB, until};

fn traces(collector: &Collector) -> Vec<Trace> {
    let spans = collector.spans();
    roots(&spans).map(|root| Trace::of(root, &spans)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_is_a_trace() {
    let collector = Collector::start().await;
    let headers = format!("Authorization=Bearer%20{SECRET}");
    let mut serving = Serving::start(
        &WEB.replace("launch_template_version = \"1\"", "launch_template_version = \"$Latest\""),
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", &headers),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=web"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("FLEET_SCALER_REPLICA", "ada"),
        ],
    )
    .await;
    // The tick that buys the first hosts. Who asks for the list of instances is anybody's guess: it is shared.
    let bought = until("a tick that launches", || {
        let traces = traces(&collector);
        let listed = traces.iter().any(|trace| trace.has("tick/observe/DescribeInstances"));
        let launches = |trace: &Trace| trace.has("tick/act/RunInstances");
        listed.then(|| traces.into_iter().find(launches)).flatten()
    });
    assert_eq!(serving.end(), Some(0));

    let tick = bought.at("tick");
    let said = |key: &str| attribute(&tick.attributes, key);
    assert_eq!((said("fleet").as_str(), said("outcome").as_str()), ("web", "done"));
    assert_eq!((said("from").as_str(), said("to").as_str()), ("0", "2"));
    assert_eq!((said("action").as_str(), said("epoch").as_str()), ("repair", "1"));
    assert!(said("replica").starts_with("ada-"), "{}", said("replica"));
    for way in [
        "tick/lease",
        "tick/observe/rows",
        "tick/observe/DescribeSubnets",
        "tick/observe/scrape",
        "tick/decide",
        "tick/commit/DescribeLaunchTemplateVersions",
    ] {
        assert!(!is_error(bought.at(way)), "{way}");
    }
    let call = bought.at("tick/act/RunInstances");
    let told = |key: &str| attribute(&call.attributes, key);
    assert_eq!((told("op").as_str(), told("outcome").as_str()), ("RunInstances", "ok"));
    assert!(told("zone").starts_with("eu-west-1") && !told("request_id").is_empty(), "{call:?}");
    assert_eq!(call.kind(), SpanKind::Client);

    // From a line of the log to the trace, and to the row.
    let launched = serving.lines("launched");
    let trace_id = u128::from_be_bytes(tick.trace_id.as_slice().try_into().unwrap());
    let trace_id = format!("{trace_id:032x}");
    assert!(launched.iter().any(|line| line["trace_id"] == trace_id.as_str()), "{launched:?}");
    assert_eq!(launched[0]["decision"], said("decision").as_str());
    assert_eq!(serving.lines("took the lease").len(), 1, "no line is lost");
    assert!(serving.lines("listening")[0].get("trace_id").is_none(), "a line outside of any tick");
    assert!(serving.lines("listening")[0].get("spans").is_none(), "lines are as they were");

    let request = &collector.requests()[0];
    assert_eq!(request.path, "/v1/traces");
    assert_eq!(request.headers["authorization"], format!("Bearer {SECRET}"));
    let resource = |key: &str| attribute(&request.resource, key);
    assert_eq!((resource("service.name").as_str(), resource("team").as_str()), ("fleet-scaler", "web"));
    assert!(roots(&collector.spans()).all(|root| root.name == "tick"), "only ticks are traces");
    assert!(!serving.said.lock().unwrap().contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_call_is_an_error_and_the_last_spans_are_sent_at_the_end() {
    let collector = Collector::start().await;
    let mut serving = Serving::start(
        &WEB.replace("launch_template_version = \"1\"", "launch_template_version = \"99\""),
        &[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{}/otlp/mine", collector.endpoint)),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_BSP_SCHEDULE_DELAY", "60000"),
        ],
    )
    .await;
    until("a failed call", || serving.lines("cloud call failed").into_iter().next());
    assert_eq!(serving.end(), Some(0));
    let (traces, way) = (traces(&collector), "tick/act/RunInstances");
    let failing = traces.iter().find(|trace| trace.has(way)).expect("the spans were sent at the end");
    let call = failing.at(way);
    assert!(is_error(call), "{call:?}");
    let told = |key: &str| attribute(&call.attributes, key);
    assert_eq!((told("outcome").as_str(), told("class").as_str()), ("failed", "not_found"));
    assert!(["code", "request_id", "zone"].iter().all(|key| !told(key).is_empty()), "{call:?}");
    assert!(!is_error(failing.at("tick")), "the tick itself went well");
    assert_eq!(collector.requests()[0].path, "/otlp/mine");
    assert_eq!(collector.requests()[0].headers["content-encoding"], "gzip");
}
