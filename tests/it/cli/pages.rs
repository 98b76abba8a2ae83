//! `serve`: its pages, its patience with a database that is away, and its end.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{TestCluster, TestDatabase};

use super::program::{Folder, Running, WEB, program, service_file};
use super::web;

/// Starts the service on a free port; gives that port.
pub(crate) fn serve(folder: &Folder, more: &[&str]) -> (Running, SocketAddr) {
    let mut running = Running::start(
        program().arg("serve").arg("--config").arg(folder.path()).args(more).env("RUST_LOG", "info"),
    );
    let line = running.says("listening");
    let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    (running, address.parse().unwrap())
}

fn folder_on(url: &str) -> Folder {
    Folder::new(&service_file(url, "127.0.0.1:0"), WEB)
}

/// Waits until the metrics show this.
async fn until_shown(address: SocketAddr, text: &str) {
    let start = Instant::now();
    loop {
        let page = web::get(address, "/metrics").body;
        if page.contains(text) {
            return;
        }
        assert!(start.elapsed() < Duration::from_mins(1), "{text} is not in:\n{page}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn without_its_database_it_lives_and_is_not_ready() {
    let folder = Folder::without_database();
    let (mut running, address) = serve(&folder, &[]);
    assert_eq!(web::get(address, "/healthz").status, 200);
    let answer = web::get_until(address, "/readyz", 503);
    assert!(answer.head.contains("content-type: application/problem+json"), "{}", answer.head);
    let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["status"], 503);
    assert!(problem["missing"][0].as_str().unwrap().contains("database"), "{problem}");
    assert!(!answer.body.contains("geheim"), "{}", answer.body);
    let told = web::get(address, "/metrics").body;
    assert!(told.contains("fleet_scaler_ready 0\n"), "{told}");
    running.signal("TERM");
    assert_eq!(running.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_it_it_is_ready_and_ends_when_told() {
    let database = TestDatabase::empty().await;
    let folder = folder_on(database.url().reveal());
    let (mut running, address) = serve(&folder, &[]);
    assert_eq!(web::get_until(address, "/readyz", 200).body, "ready\n");
    let missing = web::get(address, "/nowhere");
    assert_eq!(missing.status, 404);
    assert!(missing.head.contains("application/problem+json"), "{}", missing.head);
    assert_eq!(web::ask(address, "POST", "/healthz", "x").unwrap().status, 405);
    let held = folder.call(&["status", "web", "--output", "json"]).ended(0).json();
    assert_eq!(held[0]["lease"]["held"], true, "{held}");
    running.signal("TERM");
    assert_eq!(running.wait().code(), Some(0));
    let given_back = folder.call(&["status", "web", "--output", "json"]).ended(0).json();
    assert_eq!(given_back[0]["lease"]["held"], false, "{given_back}");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_metrics_pass_prometheus_own_parser() {
    let database = TestDatabase::empty().await;
    let folder = folder_on(database.url().reveal());
    let (_running, address) = serve(&folder, &[]);
    web::get_until(address, "/readyz", 200);
    let names = [
        "fleet_scaler_build_info",
        "fleet_scaler_breaker_open{",
        "fleet_scaler_cloud_call_seconds_bucket{",
        "fleet_scaler_cloud_calls_total{",
        "fleet_scaler_config_valid 1",
        "fleet_scaler_decisions_total{",
        "fleet_scaler_desired_size{",
        "fleet_scaler_fleet_configured{fleet=\"web\"} 1",
        "fleet_scaler_hosts{",
        "fleet_scaler_lease_held{",
        "fleet_scaler_oldest_unowned_instance_seconds",
        "fleet_scaler_quarantined_hosts",
        "fleet_scaler_unserved_zones",
        "fleet_scaler_paused{",
        "fleet_scaler_ready 1",
        "fleet_scaler_replicas 1",
        "fleet_scaler_tick_seconds_bucket{",
    ];
    let start = Instant::now();
    let page = loop {
        let answer = web::get(address, "/metrics");
        assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
        let missing: Vec<_> = names.iter().filter(|name| !answer.body.contains(**name)).collect();
        if missing.is_empty() {
            break answer.body;
        }
        assert!(start.elapsed() < Duration::from_mins(1), "{missing:?} are not in:\n{}", answer.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let described = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).all(|line| {
        let name = line.split(' ').next().unwrap_or_default();
        page.contains(&format!("# HELP {name} "))
    });
    assert!(described, "a metric has no help:\n{page}");
    promtool(&page);
}

/// Prometheus's own judgment of a page.
fn promtool(page: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed (Debian: prometheus)");
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_a_schema_that_somebody_else_migrates() {
    let database = TestDatabase::empty().await;
    let folder = folder_on(database.url().reveal());
    let (_running, address) = serve(&folder, &["--no-migrate"]);
    let problem = web::get_until(address, "/readyz", 503).body;
    assert!(problem.contains("migrate") || problem.contains("asked"), "{problem}");
    folder.call(&["migrate"]).ended(0);
    web::get_until(address, "/readyz", 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_survives_its_database_going_and_coming_back() {
    let mut cluster = TestCluster::dedicated().await;
    let database = cluster.database().await;
    let folder = folder_on(database.url().reveal());
    let (mut running, address) = serve(&folder, &[]);
    web::get_until(address, "/readyz", 200);
    cluster.stop_immediate().await;
    let problem = web::get_until(address, "/readyz", 503).body;
    assert!(problem.contains("database"), "{problem}");
    assert_eq!(web::get(address, "/healthz").status, 200);
    cluster.start().await;
    web::get_until(address, "/readyz", 200);
    running.signal("INT");
    assert_eq!(running.wait().code(), Some(0));
}

/// What `/readyz` misses once the start is over and the database has answered; `None`: it calls itself ready.
fn missing_with_its_database(address: SocketAddr) -> Option<String> {
    let start = Instant::now();
    loop {
        let answer = web::get(address, "/readyz");
        if answer.status == 200 {
            return None;
        }
        let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let missing = problem["missing"].to_string();
        if missing.contains("no tick has ended well yet") && !missing.contains("database") {
            return Some(missing);
        }
        assert!(start.elapsed() < Duration::from_mins(1), "{missing}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_answers_is_not_enough_to_be_ready() {
    let database = TestDatabase::new().await;
    let pool = database.pool();
    // The start of the first fleet waits for this table; the probe of the database does not.
    let mut blocker = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE scaler.config_version").execute(&mut *blocker).await.unwrap();
    let folder = folder_on(database.url().reveal());
    let (_running, address) = serve(&folder, &["--no-migrate"]);
    let missing = missing_with_its_database(address);
    assert!(missing.is_some(), "ready before its fleet was ever looked after");
    blocker.rollback().await.unwrap();
    web::get_until(address, "/readyz", 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_reload_changes_nothing_and_shows() {
    let database = TestDatabase::empty().await;
    let folder = folder_on(database.url().reveal());
    let (running, address) = serve(&folder, &[]);
    web::get_until(address, "/readyz", 200);
    std::fs::write(folder.join("fleets/web.toml"), WEB.replace("min = 2", "min = 9")).unwrap();
    running.signal("HUP");
    until_shown(address, "fleet_scaler_config_valid 0").await;
    web::get_until(address, "/readyz", 200);
    std::fs::write(folder.join("fleets/web.toml"), WEB.replace("min = 2", "min = 1")).unwrap();
    running.signal("HUP");
    until_shown(address, "fleet_scaler_config_valid 1").await;
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new(&service_file("postgres://nobody@127.0.0.1:1/none", &address), WEB);
    let ran = folder.call(&["serve"]).ended(1);
    assert!(ran.stderr.contains(&address) && ran.stderr.contains("http.listen"), "{}", ran.stderr);
}

#[test]
fn its_log_is_json_when_asked_for() {
    let folder = Folder::without_database();
    let mut command = program();
    command.args(["serve", "--log-format", "json", "--config"]).arg(folder.path());
    let mut running = Running::start(&mut command);
    let line = running.says("listening");
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(entry["level"], "INFO", "{entry}");
}
