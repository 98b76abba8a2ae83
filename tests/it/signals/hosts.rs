//! Host pages over real sockets: the ordinary ways.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fleet_scaler::domain::ids::FleetName;
use fleet_scaler::signals::SignalSource as _;
use fleet_scaler::signals::live::LiveSignals;

use super::server::{
    Crowd, Farm, Reply, assert_close, classes, faults, gauge, gzip, id, page, pages, query, request, target,
    value,
};

const TIMEOUT: Duration = Duration::from_secs(5);

fn signals() -> LiveSignals {
    LiveSignals::new().expect("the clients can be made")
}

#[tokio::test]
async fn two_scrapes_give_what_the_pages_say() {
    let farm = Farm::start(vec![pages(0.25), pages(0.9)]).await;
    let (signals, request) = (signals(), farm.request("web", TIMEOUT));
    let first = signals.harvest(&request).await;
    assert_eq!(value(&first, 0, "cpu"), None);
    assert_close(value(&first, 0, "memory"), 0.25);
    let told: Vec<_> = first.faults.iter().filter(|fault| fault.class == "first").collect();
    assert_eq!(told.len(), 1, "one line for all hosts: {told:?}");
    assert!(
        told[0].message.starts_with("cpu has no value") && told[0].message.contains("1 more host"),
        "{told:?}"
    );
    let second = signals.harvest(&request).await;
    assert_close(value(&second, 0, "cpu"), 0.25);
    assert_close(value(&second, 1, "cpu"), 0.9);
    assert_close(value(&second, 1, "load1"), 0.5);
    assert_eq!(value(&second, 1, "disk"), None, "it is not on the page");
}

#[tokio::test]
async fn connections_are_kept_and_requests_are_plain() {
    let farm = Farm::start(vec![pages(0.5)]).await;
    let (signals, request) = (signals(), farm.request("web", TIMEOUT));
    for _ in 0..5 {
        signals.harvest(&request).await;
    }
    assert_eq!((farm.servers[0].connections(), farm.servers[0].requests()), (1, 5));
    let head = farm.servers[0].last_head().to_ascii_lowercase();
    assert!(head.starts_with("get /metrics http/1.1\r\n"), "{head}");
    assert!(head.contains("accept-encoding: gzip\r\n"), "{head}");
    assert!(head.contains("accept: text/plain;version=0.0.4\r\n"), "{head}");
    assert!(head.contains("user-agent: fleet-scaler/"), "{head}");
}

#[tokio::test]
async fn gzip_is_read() {
    let body = gzip(page(1000.0, 500.0).as_bytes());
    let replies = ["content-encoding: gzip\r\n", "content-encoding: X-GZip\r\n"]
        .map(|header| vec![Reply::Answer("200 OK", header, body.clone())]);
    let farm = Farm::start(replies.to_vec()).await;
    let harvest = signals().harvest(&farm.request("web", TIMEOUT)).await;
    assert_close(value(&harvest, 0, "memory"), 0.25);
    assert_close(value(&harvest, 1, "memory"), 0.25);
}

#[tokio::test]
async fn one_failed_scrape_is_bridged_and_the_second_is_not() {
    let down = Reply::Answer("503 Service Unavailable", "", Vec::new());
    let mut replies = pages(0.25);
    replies.extend([down.clone(), down.clone()]);
    replies.extend([Reply::Page(page(2000.0, 600.0)), Reply::Page(page(2004.0, 606.0)), down]);
    let farm = Farm::start(vec![replies]).await;
    let (signals, request) = (signals(), farm.request("web", TIMEOUT));
    signals.harvest(&request).await;
    let good = signals.harvest(&request).await;
    assert_close(value(&good, 0, "cpu"), 0.25);

    let bridged = signals.harvest(&request).await;
    assert_eq!(bridged.hosts, good.hosts);
    assert_eq!(classes(&bridged, 0), ["status"]);
    assert!(faults(&bridged, 0)[0].message.contains("503 Service Unavailable; the values before stand in"));

    let lost = signals.harvest(&request).await;
    assert!(lost.hosts.is_empty(), "{:?}", lost.hosts);
    assert_eq!(classes(&lost, 0), ["status"]);

    // Back again: as a host seen for the first time, and able to be bridged again.
    let back = signals.harvest(&request).await;
    assert_eq!((value(&back, 0, "cpu"), value(&back, 0, "memory")), (None, Some(0.25)));
    assert_close(value(&signals.harvest(&request).await, 0, "cpu"), 0.6);
    assert_close(value(&signals.harvest(&request).await, 0, "cpu"), 0.6);
    assert_eq!(signals.harvest(&request).await.hosts.len(), 0);
}

#[tokio::test]
async fn a_rate_goes_on_over_one_failed_scrape() {
    let mut replies = pages(0.5);
    replies.insert(1, Reply::Raw(Vec::new()));
    let farm = Farm::start(vec![replies]).await;
    let (signals, request) = (signals(), farm.request("web", TIMEOUT));
    signals.harvest(&request).await;
    let broken = signals.harvest(&request).await;
    assert_close(value(&broken, 0, "memory"), 0.25);
    assert_close(value(&signals.harvest(&request).await, 0, "cpu"), 0.5);
}

#[tokio::test]
async fn a_page_that_does_not_parse_is_never_bridged() {
    let mut replies = pages(0.25);
    replies.extend([Reply::Page(page(1020.0, 510.0) + "oops\n"), Reply::Answer("503 Busy", "", Vec::new())]);
    let farm = Farm::start(vec![replies]).await;
    let (signals, request) = (signals(), farm.request("web", TIMEOUT));
    signals.harvest(&request).await;
    assert_eq!(signals.harvest(&request).await.hosts.len(), 1);
    let malformed = signals.harvest(&request).await;
    assert!(malformed.hosts.is_empty());
    assert_eq!(classes(&malformed, 0), ["malformed"]);
    assert!(faults(&malformed, 0)[0].message.contains("line 7: expected a metric name"), "{malformed:?}");
    // Nor do the values from before it come back with the next failure.
    assert!(signals.harvest(&request).await.hosts.is_empty());
}

#[tokio::test]
async fn a_page_cut_off_in_a_line_is_not_believed_but_a_careless_exporter_is() {
    let whole = page(1000.0, 500.0);
    let cut = |page: &str| {
        let text = format!("HTTP/1.0 200 OK\r\n\r\n{}", page.trim_end_matches(['\n', '0']));
        Reply::Raw(text.into_bytes())
    };
    let farm = Farm::start(vec![vec![Reply::Page(whole.clone()), cut(&whole)], vec![cut(&whole)]]).await;
    let (signals, request) = (signals(), farm.request("web", TIMEOUT));
    signals.harvest(&request).await;
    let second = signals.harvest(&request).await;
    assert_eq!(classes(&second, 0), ["malformed"]);
    assert_eq!(value(&second, 0, "load1"), None);
    assert_close(value(&second, 1, "load1"), 0.5);
}

#[tokio::test]
async fn signals_stand_and_fall_alone() {
    let text = page(1000.0, 500.0).replace("MemAvailable_bytes 750", "MemAvailable_bytes NaN");
    let negative = page(1000.0, 500.0).replace("node_load1 0.5", "node_load1 -3");
    let twice = page(1000.0, 500.0) + "node_load1 0.5\n";
    let replies = [text, negative, twice].map(|page| vec![Reply::Page(page)]).to_vec();
    let farm = Farm::start(replies).await;
    let harvest = signals().harvest(&farm.request("web", TIMEOUT)).await;
    assert_eq!((value(&harvest, 0, "memory"), value(&harvest, 0, "load1")), (None, Some(0.5)));
    assert_eq!(classes(&harvest, 0), ["not_finite"]);
    assert_eq!((value(&harvest, 1, "memory"), value(&harvest, 1, "load1")), (Some(0.25), None));
    assert_eq!(classes(&harvest, 1), ["out_of_range"]);
    assert_eq!((value(&harvest, 2, "memory"), value(&harvest, 2, "load1")), (Some(0.25), None));
    assert_eq!(classes(&harvest, 2), ["duplicate"]);
}

#[tokio::test]
async fn a_port_of_its_own_is_a_page_of_its_own() {
    let farm = Farm::start(vec![pages(0.5)]).await;
    let host = farm.servers[0].address.ip();
    let own = super::server::Server::start((host, 0).into(), vec![Reply::Page("gpu 70\n".to_owned())])
        .await
        .unwrap();
    let mut request = farm.request("web", TIMEOUT);
    request.metrics.scrapes = vec![gauge("gpu", Some(own.address.port())), gauge("node_load1", None)];
    let harvest = signals().harvest(&request).await;
    assert_close(value(&harvest, 0, "gpu"), 70.0);
    assert_close(value(&harvest, 0, "node_load1"), 0.5);
    assert_eq!((farm.servers[0].requests(), own.requests()), (1, 1));
    // Without it, that signal alone is missing.
    drop(own);
    let signals = signals();
    let harvest = signals.harvest(&request).await;
    assert_eq!((value(&harvest, 0, "gpu"), value(&harvest, 0, "memory")), (None, Some(0.25)));
    assert_eq!(classes(&harvest, 0), ["refused"]);
}

#[tokio::test]
async fn no_host_is_asked_when_nothing_needs_one() {
    let farm = Farm::start(vec![pages(0.5)]).await;
    let mut request = farm.request("web", TIMEOUT);
    request.metrics.host_needed = false;
    assert_eq!(signals().harvest(&request).await, fleet_scaler::signals::Harvest::default());
    assert_eq!(farm.servers[0].requests(), 0);
}

#[tokio::test]
async fn addresses_that_no_host_can_have_are_not_asked() {
    let farm = Farm::start(vec![pages(0.5)]).await;
    let mut request = farm.request("web", TIMEOUT);
    request.hosts.push(target(1, "169.254.169.254".parse().unwrap()));
    request.hosts.push(target(2, "::ffff:127.0.0.1".parse().unwrap()));
    request.hosts.push(target(3, "0.0.0.0".parse().unwrap()));
    request.metrics.host.allow_loopback = false;
    let harvest = signals().harvest(&request).await;
    assert!(harvest.hosts.is_empty());
    for place in 0..4 {
        assert_eq!(classes(&harvest, place), ["address"], "{place}");
    }
    assert_eq!(farm.servers[0].connections(), 0);
    let message = &faults(&harvest, 0)[0].message;
    assert!(
        message.contains("a loopback address is refused unless metrics.host.allow_loopback"),
        "{message}"
    );
}

#[tokio::test]
async fn nothing_is_kept_of_a_host_that_is_forgotten_left_out_or_moved() {
    let busy = |n: u32| Reply::Page(page(1000.0 + f64::from(n), 500.0 + f64::from(n)));
    let farm = Farm::start(vec![(0..9).map(busy).collect(), (0..9).map(busy).collect()]).await;
    let (signals, request) = (signals(), farm.request("web", TIMEOUT));
    let has_rate = async |request| value(&signals.harvest(request).await, 0, "cpu").is_some();
    assert!(!has_rate(&request).await);
    assert!(has_rate(&request).await);
    signals.forget(&FleetName::new("other"), &id(0));
    assert!(has_rate(&request).await);
    signals.forget(&request.fleet, &id(0));
    assert!(!has_rate(&request).await);
    assert!(has_rate(&request).await);
    let mut without = request.clone();
    without.hosts.remove(0);
    assert!(!has_rate(&without).await);
    assert!(!has_rate(&request).await);
    let mut moved = request.clone();
    moved.hosts[0].address = farm.servers[1].address.ip();
    assert!(!has_rate(&moved).await, "another address is another machine");
    let mut changed = moved.clone();
    changed.metrics.scrapes = vec![gauge("node_load1", None)];
    assert!(!has_rate(&changed).await, "what is kept was of another configuration");
}

#[tokio::test]
async fn every_scrape_query_and_rejection_is_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let (handle, _guard) = (recorder.handle(), metrics::set_default_local_recorder(&recorder));
    let nan = page(1.0, 1.0).replace("node_load1 0.5", "node_load1 NaN");
    let farm =
        Farm::start(vec![pages(0.5), vec![Reply::Page(nan)], vec![Reply::Page("<html>".to_owned())]]).await;
    let mut request = farm.request("web", TIMEOUT);
    request.metrics.queries = vec![query("q", &format!("http://{}", farm.servers[0].address), "x", TIMEOUT)];
    signals().harvest(&request).await;
    let told = handle.render();
    for line in [
        "fleet_scaler_scrapes_total{outcome=\"ok\"} 2\n",
        "fleet_scaler_scrapes_total{outcome=\"malformed\"} 1\n",
        "fleet_scaler_samples_rejected_total{reason=\"not_finite\"} 1\n",
        "fleet_scaler_queries_total{outcome=\"malformed\"} 1\n",
        "fleet_scaler_harvest_seconds_count 1\n",
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
}

#[tokio::test]
async fn fleets_are_kept_apart() {
    let farm = Farm::start(vec![pages(0.5)]).await;
    let signals = signals();
    signals.harvest(&farm.request("web", TIMEOUT)).await;
    let other = signals.harvest(&farm.request("api", TIMEOUT)).await;
    assert_eq!(value(&other, 0, "cpu"), None);
}

#[tokio::test]
async fn more_hosts_than_connections_are_all_asked_and_faults_are_counted() {
    let down = Reply::Answer("500 Oops", "", Vec::new());
    let hosts = (0..150).map(|place| if place % 3 == 0 { vec![down.clone()] } else { pages(0.5) });
    let crowd = Crowd::start(hosts.collect()).await;
    let (signals, request) = (signals(), crowd.request("web", Duration::from_secs(30)));
    let first = signals.harvest(&request).await;
    assert_eq!(first.hosts.len(), 100, "{:?}", first.faults);
    let heard: BTreeSet<_> = (0..150).filter(|place| place % 3 != 0).map(id).collect();
    assert_eq!(first.hosts.keys().cloned().collect::<BTreeSet<_>>(), heard);
    assert_eq!(first.faults.len(), 21);
    let last = first.faults.last().unwrap();
    assert!(last.class == "more" && last.message.starts_with("and 3"), "{last:?}");
    assert!(first.faults.iter().all(|fault| fault.message.chars().count() <= 300));
}

#[tokio::test]
async fn a_host_that_is_named_twice_is_asked_once() {
    let farm = Farm::start(vec![pages(0.5)]).await;
    let mut request = farm.request("web", TIMEOUT);
    request.hosts.push(request.hosts[0].clone());
    signals().harvest(&request).await;
    assert_eq!(farm.servers[0].requests(), 1);
}

#[tokio::test]
async fn nobody_listening_is_told_at_once() {
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let host = target(0, "127.0.0.1".parse().unwrap());
    let started = Instant::now();
    let harvest = signals().harvest(&request("web", vec![host], port, Duration::from_mins(1))).await;
    assert_eq!(classes(&harvest, 0), ["refused"]);
    assert!(faults(&harvest, 0)[0].message.contains("refused"), "{harvest:?}");
    assert!(started.elapsed() < Duration::from_secs(30));
}
