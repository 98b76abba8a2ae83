//! The alert rules, judged by promtool and read by a real Prometheus: each is tested both ways and leads to its section of
//! the runbook.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::exposed::Exposed;
use super::{file, promtool, read};
use crate::architecture::{anchors, assert_none};

const RULES: &str = "config/prometheus/fleet-scaler.rules.yml";
const TESTS: &str = "config/prometheus/fleet-scaler.rules.test.yml";
const RUNBOOK: &str = "docs/runbook.md";
/// How long a real Prometheus may take to be there on a busy machine.
const READY: Duration = Duration::from_mins(1);

#[test]
fn the_rules_pass_promtool() {
    promtool(&["check", "rules", RULES]);
}

#[test]
fn every_alert_fires_when_it_should_and_not_otherwise() {
    promtool(&["test", "rules", TESTS]);
    let alerts: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    assert_none(&untested(&alerts, &read(TESTS)));
}

#[test]
fn every_alert_says_what_it_means_and_leads_to_the_runbook() {
    let runbook = read(RUNBOOK);
    let headings = anchors(&runbook);
    assert_none(&alerts().iter().flat_map(|alert| alert.complaints(&runbook, &headings)).collect::<Vec<_>>());
}

#[test]
fn rules_ask_for_what_is_told() {
    let exposed = Exposed::by_the_service();
    assert_none(&alerts().iter().flat_map(|a| exposed.complaints(&a.name, &a.query)).collect::<Vec<_>>());
}

/// A rule as Prometheus read it.
struct Alert {
    name: String,
    query: String,
    severity: String,
    annotations: BTreeMap<String, String>,
}

impl Alert {
    fn complaints(&self, runbook: &str, headings: &BTreeSet<String>) -> Vec<String> {
        let name = &self.name;
        let said = |key: &str| self.annotations.get(key).map(String::as_str).unwrap_or_default();
        let mut complaints = Vec::new();
        let mut demand = |holds: bool, what: &str| {
            complaints.extend((!holds).then(|| format!("{name}: {what}")));
        };
        demand(
            matches!(self.severity.as_str(), "critical" | "warning"),
            "it is neither critical nor a warning",
        );
        demand(!said("summary").is_empty() && said("summary").len() < 120, "its summary is not one line");
        demand(said("description").ends_with('.'), "its description is no sentence");
        let anchor = said("runbook_url").strip_prefix("docs/runbook.md#");
        demand(anchor.is_some_and(|anchor| headings.contains(anchor)), "its runbook_url leads nowhere");
        demand(runbook.contains(&format!("`{name}`")), "the runbook does not name it");
        complaints
    }
}

/// Every alert, from Prometheus's own reader: nothing here need know YAML.
fn alerts() -> Vec<Alert> {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("prometheus.yml");
    std::fs::write(&config, format!("rule_files: ['{}']\n", file(RULES).display())).unwrap();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _running = Running(started.expect("prometheus is installed (Debian: prometheus)"));
    let answer = get_until_there(port, "/api/v1/rules?type=alert");
    let groups = answer["data"]["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    let alerts: Vec<Alert> = rules.map(alert).collect();
    assert!(alerts.len() > 20, "only {} alerts", alerts.len());
    alerts
}

fn alert(rule: &Value) -> Alert {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let annotations = rule["annotations"].as_object().unwrap().iter();
    Alert {
        name: text(&rule["name"]),
        query: text(&rule["query"]),
        severity: text(&rule["labels"]["severity"]),
        annotations: annotations.map(|(key, value)| (key.clone(), text(value))).collect(),
    }
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks until there are rules in the answer. By HTTP/1.0, to which a server answers in one piece.
fn get_until_there(port: u16, path: &str) -> Value {
    let started = Instant::now();
    loop {
        let answer = get(port, path).unwrap_or_default();
        if answer["data"]["groups"].as_array().is_some_and(|groups| !groups.is_empty()) {
            return answer;
        }
        assert!(started.elapsed() < READY, "Prometheus does not show the rules: {answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn get(port: u16, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

/// The alerts that have no test in which they fire, or none in which they do not; and tests of alerts that are gone.
fn untested(alerts: &BTreeSet<String>, tests: &str) -> Vec<String> {
    let (mut fires, mut quiet) = (BTreeSet::new(), BTreeSet::new());
    let mut name = "";
    for line in tests.lines().map(str::trim) {
        if let Some(alert) = line.strip_prefix("alertname: ") {
            name = alert;
        } else if let Some(expected) = line.strip_prefix("exp_alerts:") {
            let kind = if expected.trim() == "[]" { &mut quiet } else { &mut fires };
            kind.insert(name.to_owned());
        }
    }
    let missing = |tested: &BTreeSet<String>, what: &str| -> Vec<String> {
        alerts.difference(tested).map(|alert| format!("{alert}: no test in which it {what}")).collect()
    };
    let gone = fires.union(&quiet).filter(|name| !alerts.contains(*name));
    let gone = gone.map(|alert| format!("{alert}: it is tested and there is no such alert"));
    [missing(&fires, "fires"), missing(&quiet, "does not fire"), gone.collect()].concat()
}

#[test]
fn an_alert_without_both_tests_is_found() {
    let alerts = ["Both", "Fires", "Quiet"].map(str::to_owned).into();
    let fires = |name| format!("alertname: {name}\n  exp_alerts:\n    - exp_labels:\n");
    let quiet = |name| format!("  alertname: {name}\n  exp_alerts: []\n");
    let tests = [fires("Both"), quiet("Both"), fires("Fires"), quiet("Quiet"), quiet("Gone")].concat();
    assert_eq!(
        untested(&alerts, &tests),
        [
            "Quiet: no test in which it fires",
            "Fires: no test in which it does not fire",
            "Gone: it is tested and there is no such alert"
        ]
    );
}

#[test]
fn an_alert_that_leads_nowhere_is_found() {
    let annotations = [("summary", "S"), ("description", "D."), ("runbook_url", "docs/runbook.md#gone")];
    let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let (query, severity) = (String::new(), "info".to_owned());
    let alert = Alert { name: "A".to_owned(), query, severity, annotations };
    let runbook = "## Here\n`A`";
    assert_eq!(
        alert.complaints(runbook, &anchors(runbook)),
        ["A: it is neither critical nor a warning", "A: its runbook_url leads nowhere"]
    );
}
