//! What each variable means, and what is said of one that means nothing.

use super::*;

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

fn read_from(variables: &[(&str, &str)]) -> Result<Option<Settings>, String> {
    let find = |wanted: &str| {
        let found = variables.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    };
    read(&find).map_err(|error| error.to_string())
}

fn settings(more: &[(&str, &str)]) -> Settings {
    read_from(&[&[ENDPOINT], more].concat()).unwrap().unwrap()
}

#[test]
fn without_an_endpoint_nobody_asks() {
    assert_eq!(read_from(&[]), Ok(None));
    assert_eq!(read_from(&[("OTEL_SERVICE_NAME", "x"), ("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), Ok(None));
    assert_eq!(read_from(&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")]), Ok(None));
    assert_eq!(read_from(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]), Ok(None));
    assert!(read_from(&[ENDPOINT, ("OTEL_SDK_DISABLED", "false")]).unwrap().is_some());
}

#[test]
fn the_path_of_traces_is_below_the_common_endpoint_and_part_of_their_own() {
    assert_eq!(settings(&[]).endpoint.as_str(), "http://collector:4318/v1/traces");
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://other/otlp/spans");
    assert_eq!(settings(&[own]).endpoint.as_str(), "https://other/otlp/spans");
    let below = read_from(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://other/otlp/")]).unwrap().unwrap();
    assert_eq!(below.endpoint.as_str(), "https://other/otlp/v1/traces");
}

#[test]
fn what_is_not_said_is_as_the_specification_has_it() {
    let settings = settings(&[]);
    assert_eq!(settings.timeout, Duration::from_secs(10));
    assert_eq!((settings.queue, settings.batch, settings.delay), (2048, 512, Duration::from_secs(5)));
    assert_eq!((settings.sampling, settings.packing), (Sampling::All, Packing::None));
    assert_eq!(settings.resource["service.name"], "fleet-scaler");
    assert_eq!(settings.headers, Headers::default());
}

#[test]
fn the_own_variable_of_traces_goes_before_the_common_one() {
    let settings = settings(&[
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2000"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "Authorization=Basic%20abc%3D, b=2,"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
    ]);
    assert_eq!(settings.timeout, Duration::from_secs(2));
    let headers: Vec<_> =
        settings.headers.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers, [("authorization", "Basic abc="), ("b", "2")]);
    assert_eq!((settings.queue, settings.batch), (100, 100));
    assert_eq!(settings.packing, Packing::Gzip);
}

#[test]
fn the_service_is_called_as_the_operator_wants() {
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=one,team=a%2Cb");
    let resource = settings(&[attributes]).resource;
    assert_eq!((resource["service.name"].as_str(), resource["team"].as_str()), ("one", "a,b"));
    let resource = settings(&[attributes, ("OTEL_SERVICE_NAME", "two")]).resource;
    assert_eq!(resource["service.name"], "two");
}

#[test]
fn a_share_of_the_ticks_may_be_traced() {
    let sampled = |sampler, arg| {
        settings(&[("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", arg)]).sampling
    };
    assert_eq!(sampled("parentbased_traceidratio", "0.25"), Sampling::Share(0.25));
    assert_eq!(sampled("traceidratio", ""), Sampling::Share(1.0));
    assert_eq!(sampled("always_off", ""), Sampling::None);
    assert_eq!(sampled("parentbased_always_on", ""), Sampling::All);
}

#[test]
fn every_wrong_value_is_said_with_what_would_be_right() {
    for (name, value, right) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "such as http://127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector", "such as http://127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:geheim@collector", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "write gzip, or none"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "a number from 1 to 60000"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "a number from 1 to 60000"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "fine=1,geheim", "entry 2 is not name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=geheim", "entry 1 cannot be an HTTP header"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("OTEL_RESOURCE_ATTRIBUTES", "=x", "entry 1 is not name=value"),
        ("OTEL_SDK_DISABLED", "yes", "neither true nor false"),
        ("OTEL_TRACES_EXPORTER", "jaeger", "write otlp, or none"),
        ("OTEL_TRACES_SAMPLER", "xray", "write always_on"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "1000000", "a number from 1 to 65536"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4000", "a number from 1 to 2048"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "a number from 1 to 60000"),
    ] {
        let said = read_from(&[(name, value), ENDPOINT]).unwrap_err();
        assert!(said.starts_with(name) && said.contains(right), "{name}={value}: {said}");
        assert!(!said.contains("geheim"), "a secret is told: {said}");
    }
    let share = [ENDPOINT, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "10%")];
    assert!(read_from(&share).unwrap_err().contains("a number from 0 to 1"));
    let two = read_from(&[ENDPOINT, ("OTEL_SDK_DISABLED", "no"), ("OTEL_BSP_SCHEDULE_DELAY", "x")]);
    assert_eq!(two.unwrap_err().lines().count(), 2);
}

#[test]
fn a_header_is_shown_without_its_value() {
    let shown = format!("{:?}", settings(&[("OTEL_EXPORTER_OTLP_HEADERS", "api-key=geheim")]));
    assert!(shown.contains("api-key") && !shown.contains("geheim"), "{shown}");
}
