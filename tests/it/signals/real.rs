//! Real parts: a node_exporter on loopback, and a Prometheus that scrapes it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleet_scaler::signals::live::LiveSignals;
use fleet_scaler::signals::{Harvest, HarvestRequest, SignalSource as _};

use super::server::{assert_close, gauge, query, request, target, value};

const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a real program may take to be ready on a busy machine.
const READY: Duration = Duration::from_mins(1);

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, arguments: &[String]) -> Running {
    let started = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Running(started.unwrap_or_else(|error| {
        panic!("`{program}` does not start: {error}; install Debian's packages prometheus and prometheus-node-exporter")
    }))
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn node_exporter() -> (Running, u16) {
    let port = free_port();
    (start("prometheus-node-exporter", &[format!("--web.listen-address=127.0.0.1:{port}")]), port)
}

fn prometheus(dir: &Path, target: u16) -> (Running, u16) {
    let port = free_port();
    let file = dir.join("prometheus.yml");
    let scrape = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: node\n  static_configs:\n  - targets: \
         ['127.0.0.1:{target}']\n"
    );
    std::fs::write(&file, scrape).unwrap();
    let arguments = [
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", dir.join("data").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    (start("prometheus", &arguments), port)
}

/// Harvests until it gives what is waited for.
async fn until(
    signals: &LiveSignals,
    request: &HarvestRequest,
    enough: impl Fn(&Harvest) -> bool,
) -> Harvest {
    let started = Instant::now();
    loop {
        let harvest = signals.harvest(request).await;
        if enough(&harvest) {
            return harvest;
        }
        assert!(started.elapsed() < READY, "still not there: {harvest:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_real_node_exporter_gives_possible_values() {
    let (_exporter, port) = node_exporter();
    let signals = LiveSignals::new().expect("the clients can be made");
    let mut request = request("web", vec![target(0, Ipv4Addr::LOCALHOST.into())], port, TIMEOUT);
    request.metrics.scrapes = vec![gauge("node_memory_MemTotal_bytes", None)];
    until(&signals, &request, |harvest| value(harvest, 0, "memory").is_some()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let harvest = signals.harvest(&request).await;
    for signal in ["cpu", "memory"] {
        let share = value(&harvest, 0, signal).unwrap_or_else(|| panic!("no {signal}: {harvest:?}"));
        assert!((0.0..=1.0).contains(&share), "{signal} is {share}");
    }
    assert!(value(&harvest, 0, "load1").is_some_and(|load| (0.0..1000.0).contains(&load)), "{harvest:?}");
    let total: f64 = std::fs::read_to_string("/proc/meminfo")
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix("kB")?.trim().parse().ok())
        .expect("the kernel tells");
    assert_close(value(&harvest, 0, "node_memory_MemTotal_bytes"), total * 1024.0);
}

#[tokio::test]
async fn a_real_node_exporter_can_be_asked_for_less() {
    let (_exporter, port) = node_exporter();
    let signals = LiveSignals::new().expect("the clients can be made");
    let mut request = request("web", vec![target(0, Ipv4Addr::LOCALHOST.into())], port, TIMEOUT);
    request.metrics.host.path = "/metrics?collect[]=meminfo".to_owned();
    let harvest = until(&signals, &request, |harvest| value(harvest, 0, "memory").is_some()).await;
    assert_eq!(value(&harvest, 0, "load1"), None, "it was not asked for");
    request.metrics.host.path = "/metrics?collect[]=nonsense".to_owned();
    let harvest = signals.harvest(&request).await;
    assert!(harvest.faults[0].message.contains("answered 400 Bad Request"), "{harvest:?}");
}

#[tokio::test]
async fn a_real_prometheus_answers_what_it_scraped() {
    let dir = tempfile::tempdir().unwrap();
    let (_exporter, exporter_port) = node_exporter();
    let (_prometheus, port) = prometheus(dir.path(), exporter_port);
    let signals = LiveSignals::new().expect("the clients can be made");
    let url = format!("http://127.0.0.1:{port}");
    let ask = |name: &str, text: &str| query(name, &url, text, TIMEOUT);
    let mut request = request("web", vec![target(0, Ipv4Addr::LOCALHOST.into())], exporter_port, TIMEOUT);
    request.metrics.scrapes = vec![gauge("node_memory_MemTotal_bytes", None)];
    request.metrics.queries = vec![
        ask("total", "node_memory_MemTotal_bytes"),
        ask("cpus", "count(count by (cpu) (node_cpu_seconds_total))"),
        ask("scalar", "scalar(up) + 1"),
        ask("many", "node_cpu_seconds_total"),
        ask("none", "no_such_metric"),
        ask("nan", "0 * up / 0"),
        ask("wrong", "sum("),
        ask("range", "up[1m]"),
    ];
    let harvest = until(&signals, &request, |harvest| harvest.queries.contains_key("total")).await;
    let page = value(&harvest, 0, "node_memory_MemTotal_bytes");
    assert!(page.is_some(), "{harvest:?}");
    assert_eq!(harvest.queries.get("total").copied(), page, "the page and the engine agree");
    assert_eq!(harvest.queries.get("scalar"), Some(&2.0));
    assert!(harvest.queries["cpus"] >= 1.0);
    let class =
        |name: &str| harvest.faults.iter().find(|fault| fault.source == name).map(|fault| fault.class);
    assert_eq!(class("many"), Some("ambiguous"));
    assert_eq!(class("none"), Some("no_data"));
    assert_eq!(class("nan"), Some("not_finite"));
    assert_eq!(class("wrong"), Some("status"));
    assert_eq!(class("range"), Some("malformed"));
}
