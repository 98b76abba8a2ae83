//! What becomes of the service when a collector is away, is asked for wrongly, or not at all.

use std::net::TcpListener;

use super::collector::Collector;
use super::{SECRET, Serving, WEB, until};
use crate::cli::program::{Folder, program, run};
use crate::cli::web::get;

/// A number on the metrics page; zero where it is not there.
fn metric(serving: &Serving, series: &str) -> f64 {
    let page = get(serving.address, "/metrics").body;
    let found = page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    found.unwrap_or_default()
}

fn ticks(serving: &Serving) -> f64 {
    metric(serving, "fleet_scaler_ticks_total{fleet=\"web\",outcome=\"done\"}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_the_spans_and_one_line() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let headers = format!("api-key={SECRET}");
    let mut serving = Serving::start(
        WEB,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{nobody}/?token={SECRET}")),
            ("OTEL_EXPORTER_OTLP_HEADERS", &headers),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
            ("RUST_LOG", "trace"),
        ],
    )
    .await;
    let lost =
        |outcome| metric(&serving, &format!("fleet_scaler_trace_spans_total{{outcome=\"{outcome}\"}}"));
    until("spans are lost", || (lost("failed") > 8.0 && lost("dropped") > 0.0).then_some(()));
    let before = ticks(&serving);
    until("ticks go on", || (ticks(&serving) > before).then_some(()));
    assert_eq!(lost("sent").to_bits(), 0.0_f64.to_bits());
    assert_eq!(serving.end(), Some(0));
    let told = serving.lines("spans cannot be sent; the service goes on, and they are dropped");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["collector"], format!("http://{nobody}/v1/traces"));
    assert!(told[0]["why"].as_str().unwrap().contains("refused"), "{told:?}");
    assert!(!serving.said.lock().unwrap().contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_does_not_hold_up_the_end() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let mut serving = Serving::start(
        WEB,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ],
    )
    .await;
    let before = ticks(&serving);
    until("ticks go on", || (ticks(&serving) > before).then_some(()));
    assert_eq!(serving.end(), Some(0));
    let told = serving.lines("the collector did not take the last spans in time; they are lost");
    assert_eq!(told.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_that_nobody_asked_for() {
    let collector = Collector::start().await;
    let mut serving = Serving::start(
        WEB,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint),
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ],
    )
    .await;
    until("a tick", || (ticks(&serving) > 0.0).then_some(()));
    until("a host", || serving.lines("launched").into_iter().next());
    assert_eq!(serving.end(), Some(0));
    assert!(collector.requests().is_empty());
    assert_eq!(serving.lines("took the lease").len(), 1, "no line is lost");
    assert!(serving.lines("launched")[0].get("trace_id").is_none());
}

#[test]
fn a_wrong_endpoint_is_said_at_the_start() {
    let folder = Folder::without_database();
    let mut command = program();
    command.args(["serve", "--config"]).arg(folder.path());
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318").env("OTEL_EXPORTER_OTLP_TIMEOUT", "10s");
    let ran = run(&mut command).ended(2);
    for part in
        ["OTEL_EXPORTER_OTLP_ENDPOINT: ", "such as http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_TIMEOUT: "]
    {
        assert!(ran.stderr.contains(part), "{part:?} is not in: {}", ran.stderr);
    }
    // The other commands send nothing, and do not stumble over it.
    let mut command = program();
    command
        .args(["check", "--config"])
        .arg(folder.path())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318");
    run(&mut command).ended(0);
}
