//! What operators ask and say, against a fleet that lives: a real database, the real loop, the simulated cloud.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet_scaler::clock::SystemClock;
use fleet_scaler::domain::host::HostState;
use fleet_scaler::domain::ids::{FleetName, ReplicaId};
use fleet_scaler::entropy::ChaChaEntropy;
use fleet_scaler::provider::simulated::options::CloudOptions;
use fleet_scaler::provider::simulated::{CloudHandle, SimulatedCloud};
use fleet_scaler::reconcile::control::Control;
use fleet_scaler::reconcile::health::Health;
use fleet_scaler::reconcile::{Parts, driver};
use fleet_scaler::signals::live::LiveSignals;
use fleet_scaler::store::Store as _;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::TestDatabase;

use super::program::{Folder, Ran, WEB, program, run, service_file};

/// A fleet with two healthy hosts, and the loop that looks after it.
pub(super) struct Fleet {
    pub(super) folder: Folder,
    database: TestDatabase,
    stop: CancellationToken,
    driver: JoinHandle<()>,
    _cloud: CloudHandle,
}

impl Fleet {
    pub(super) async fn start() -> Self {
        let database = TestDatabase::new().await;
        let folder = Folder::new(&service_file(database.url().reveal(), "127.0.0.1:0"), WEB);
        let clock = Arc::new(SystemClock);
        let stop = CancellationToken::new();
        let options = CloudOptions::default().instant().with_host_port(None);
        let cloud = SimulatedCloud::start(options, clock.clone(), &CancellationToken::new()).await.unwrap();
        let parts = Parts {
            replica: ReplicaId::new("test-1"),
            clock: clock.clone(),
            entropy: Arc::new(ChaChaEntropy::from_os()),
            cloud: cloud.cloud.clone(),
            signals: Arc::new(LiveSignals::new().unwrap()),
            store: Arc::new(database.store()),
        };
        let configuration = fleet_scaler::config::load(folder.path(), &|_| None).unwrap();
        let driver = tokio::spawn(driver::run(
            parts,
            Arc::new(Control::new(configuration)),
            folder.path().to_owned(),
            Arc::new(Health::new(clock)),
            Arc::new(Notify::new()),
            stop.clone(),
        ));
        let fleet = Self { folder, database, stop, driver, _cloud: cloud };
        fleet.until_healthy(2).await;
        fleet
    }

    async fn until_healthy(&self, count: usize) {
        let store = self.database.store();
        let start = Instant::now();
        loop {
            let hosts = store.hosts_recent(&FleetName::new("web")).await.unwrap();
            let healthy = hosts.iter().filter(|host| matches!(host.state, HostState::Healthy { .. })).count();
            if healthy == count {
                return;
            }
            assert!(start.elapsed() < Duration::from_mins(1), "{healthy} hosts are healthy, not {count}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(super) fn call(&self, arguments: &[&str]) -> Ran {
        self.folder.call(arguments)
    }

    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        self.folder.call(&[arguments, &["--output", "json"]].concat()).ended(0).json()
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.driver.await.unwrap();
    }
}

/// The keys of an object, in order.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn status_hosts_and_history_tell_how_it_stands() {
    let fleet = Fleet::start().await;
    let status = &fleet.json(&["status", "web"])[0];
    assert_eq!(status["size"]["live"], 2, "{status}");
    assert_eq!(status["hosts"]["healthy"], 2, "{status}");
    assert_eq!(status["lease"]["holder"], "test-1", "{status}");
    assert_eq!(
        keys(status),
        [
            "at",
            "boot",
            "breaker",
            "candidates",
            "cooldowns",
            "fleet",
            "forecasts",
            "hosts",
            "interval_seconds",
            "last_decision",
            "lease",
            "mode",
            "next",
            "observed",
            "open_launches",
            "pauses",
            "pools_cooling",
            "requests",
            "rules",
            "schedules",
            "size",
            "termination_budget"
        ]
    );
    let page = fleet.call(&["status"]).ended(0).stdout;
    assert!(page.contains("2 wanted, 2 live, bounds 2-6") && page.contains("2 healthy"), "{page}");
    let hosts = fleet.json(&["hosts", "web"]);
    assert_eq!(hosts.as_array().unwrap().len(), 2);
    for key in ["instance_id", "state", "age_seconds", "zone", "instance_type", "address", "waits_for"] {
        assert!(!hosts[0][key].is_null(), "{key} is missing: {hosts}");
    }
    assert!(fleet.call(&["hosts", "web"]).ended(0).stdout.contains("nothing: it serves"));
    let first = fleet.json(&["history", "web", "--action", "repair", "--since", "1h"]);
    assert_eq!(first[0]["size_wanted"], 2, "{first}");
    for key in ["decision_id", "at", "reason", "code", "inputs", "recommendations", "verdicts", "outcome"] {
        assert!(!first[0][key].is_null(), "{key} is missing: {first}");
    }
    assert_eq!(fleet.json(&["history", "web", "--since", "2100-01-01T00:00:00Z"]), serde_json::json!([]));
    let verbose = fleet.call(&["history", "--verbose", "--action", "repair"]).ended(0).stdout;
    assert!(verbose.contains("launch 1 of") && verbose.contains("at epoch 1"), "{verbose}");
    let id = first[0]["decision_id"].as_str().unwrap();
    assert_eq!(
        fleet.call(&["history", "--decision", id]).ended(0).stdout,
        verbose,
        "one is shown as all are"
    );
    fleet.stop().await;
}

/// What the dashboard's page of a decision has: nothing of it is missing from the text, and the JSON has it all.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_printed_as_its_page_shows_it() {
    let fleet = Fleet::start().await;
    let arguments = ["history", "web", "--action", "repair", "--verbose"];
    let (page, json) = (fleet.call(&arguments).ended(0).stdout, fleet.json(&arguments));
    let decision = &json[0];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut shown = vec![text(&decision["decision_id"]), text(&decision["reason"]), text(&decision["code"])];
    for signal in decision["inputs"]["values"].as_object().unwrap().keys() {
        shown.push(signal.clone());
    }
    for one in decision["recommendations"].as_array().unwrap() {
        shown.extend([text(&one["source"]), text(&one["because"]), text(&one["window"]["when"])]);
        shown.push(text(&one["window"]["observations"]) + " 0 of 3, 2 needed");
    }
    for verdict in decision["verdicts"].as_array().unwrap() {
        shown.extend([text(&verdict["guard"]), text(&verdict["because"])]);
    }
    let calls = decision["calls"].as_array().unwrap();
    assert!(!calls.is_empty(), "{decision}");
    for call in calls {
        shown.extend([
            text(&call["op"]),
            text(&call["zone"]),
            format!("request {}", text(&call["request_id"])),
        ]);
        shown.extend(call["instance_ids"].as_array().unwrap().iter().map(text));
    }
    for part in shown {
        assert!(page.contains(&part), "{part:?} is not in:\n{page}");
    }
    let brief = fleet.json(&["history", "web", "--action", "repair"]);
    assert_eq!(brief[0]["calls"], Value::Null, "calls are asked for with --verbose only");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_is_asked_for_and_answered() {
    let fleet = Fleet::start().await;
    let asked = fleet.json(&["set-size", "web", "4", "--reason", "match day", "--wait", "50s"]);
    assert_eq!(asked["answer"]["granted"], true, "{asked}");
    assert_eq!(asked["actor"], "ada@ops-1");
    fleet.until_healthy(4).await;
    let manual = fleet.json(&["history", "web", "--action", "manual"]);
    assert!(manual[0]["reason"].as_str().unwrap().contains("match day"), "{manual}");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_drained_once_and_never_below_the_floor() {
    let fleet = Fleet::start().await;
    let hosts = fleet.json(&["hosts", "web"]);
    let host = hosts[0]["instance_id"].as_str().unwrap().to_owned();
    let refused = fleet.call(&["drain", &host, "--reason", "noisy neighbour"]).ended(3);
    assert!(refused.stderr.contains("min = 2"), "{}", refused.stderr);
    assert_eq!(fleet.json(&["status", "web"])[0]["requests"], serde_json::json!([]));
    fleet.call(&["set-size", "web", "3", "--reason", "room to drain", "--wait", "50s"]).ended(0);
    fleet.until_healthy(3).await;
    let boot = &fleet.json(&["status", "web"])[0]["boot"];
    assert_eq!(boot["hosts"], 3, "{boot}");
    assert!(boot["p50_seconds"].as_f64() <= boot["p95_seconds"].as_f64(), "{boot}");
    let drained = fleet.json(&["drain", &host, "--reason", "noisy neighbour", "--wait", "50s"]);
    assert_eq!(drained["answer"]["granted"], true, "{drained}");
    let again = fleet.call(&["drain", &host, "--reason", "again"]).ended(3);
    assert!(again.stderr.contains(&host), "{}", again.stderr);
    let unknown = fleet.call(&["drain", "i-0000", "--reason", "x"]).ended(1);
    assert!(unknown.stderr.contains("fleet-scaler hosts"), "{}", unknown.stderr);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_what_it_says_until_it_is_ended() {
    let fleet = Fleet::start().await;
    fleet.call(&["set-size", "web", "3", "--reason", "one more", "--wait", "50s"]).ended(0);
    let paused =
        fleet.json(&["pause", "web", "--direction", "in", "--for", "2h", "--reason", "deploy of v7"]);
    assert_eq!((&paused["action"], &paused["actor"]), (&Value::from("pause"), &Value::from("ada@ops-1")));
    let in_force = fleet.json(&["status", "web"])[0]["pauses"].clone();
    assert_eq!(in_force.as_array().unwrap().len(), 1, "{in_force}");
    assert_eq!(in_force[0]["direction"], "in");
    assert!(fleet.call(&["status"]).ended(0).stdout.contains("scale-in for 1h59m more, by ada@ops-1"));
    let refused = fleet.call(&["set-size", "web", "2", "--reason", "quiet"]).ended(3);
    assert!(refused.stderr.contains("deploy of v7"), "{}", refused.stderr);
    fleet.call(&["set-size", "web", "4", "--reason", "out is free", "--wait", "50s"]).ended(0);
    run(program().args(["resume", "web", "--actor", "grace", "--config"]).arg(fleet.folder.path())).ended(0);
    assert_eq!(fleet.json(&["status", "web"])[0]["pauses"], serde_json::json!([]));
    fleet.call(&["set-size", "web", "3", "--reason", "quiet", "--wait", "50s"]).ended(0);
    let did = fleet.json(&["actions", "web", "--actor", "grace"]);
    assert_eq!((&did[0]["action"], &did[1]), (&Value::from("resume"), &Value::Null), "{did}");
    let page = fleet.call(&["actions"]).ended(0).stdout;
    let sizes = page.lines().filter(|line| line.contains("set_size") && line.contains("granted")).count();
    assert_eq!((page.lines().count(), sizes), (6, 3), "{page}");
    assert!(page.contains("pause in until ") && page.contains("deploy of v7"), "{page}");
    assert_eq!(fleet.json(&["actions", "--since", "2100-01-01T00:00:00Z"]), serde_json::json!([]));
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_printed_and_nothing_is_changed() {
    let fleet = Fleet::start().await;
    let before = fleet.json(&["history", "web", "--limit", "1000"]);
    let plan = fleet.json(&["plan", "web"]);
    for key in
        ["fleet", "at", "action", "size_before", "size_wanted", "reason", "recommendations", "verdicts"]
    {
        assert!(!plan[key].is_null(), "{key} is missing: {plan}");
    }
    let page = fleet.call(&["plan", "web"]).ended(0).stdout;
    assert!(page.starts_with("web at ") && page.contains("guards"), "{page}");
    let ids = |rows: &Value| -> Vec<String> {
        rows.as_array().unwrap().iter().map(|row| row["decision_id"].to_string()).collect()
    };
    let after = fleet.json(&["history", "web", "--limit", "1000"]);
    let news: Vec<_> = ids(&after).into_iter().filter(|id| !ids(&before).contains(id)).collect();
    let ours = after.as_array().unwrap().iter().filter(|row| row["replica"] != "test-1").count();
    assert_eq!(ours, 0, "a plan wrote a decision: {news:?}");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_chain_is_checked() {
    let fleet = Fleet::start().await;
    let chains = fleet.json(&["verify-audit"]);
    let web = chains.as_array().unwrap().iter().find(|chain| chain["fleet"] == "web").unwrap();
    assert!(web["events"].as_i64().unwrap() > 0, "{chains}");
    assert_eq!(web["problems"], serde_json::json!([]));
    assert!(fleet.call(&["verify-audit"]).ended(0).stdout.contains("whole"));
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_brought_up_to_date_and_asked_for() {
    let database = TestDatabase::empty().await;
    let folder = Folder::new(&service_file(database.url().reveal(), "127.0.0.1:0"), WEB);
    let stale = folder.call(&["status"]).ended(1);
    assert!(stale.stderr.contains("migrate"), "{}", stale.stderr);
    let offline = folder.call(&["check", "--online"]).ended(1);
    assert!(
        offline.stdout.contains("error") && offline.stdout.contains("database.url"),
        "{}",
        offline.stdout
    );
    let applied = folder.call(&["migrate", "--output", "json"]).ended(0).json();
    assert!(!applied["applied"].as_array().unwrap().is_empty(), "{applied}");
    let again = folder.call(&["migrate", "--output", "json"]).ended(0).json();
    assert_eq!(again["applied"], serde_json::json!([]));
    let online = folder.call(&["check", "--online", "--output", "json"]).ended(0).json();
    assert_eq!(online["ok"], true, "{online}");
    let empty = folder.call(&["status"]).ended(0).stdout;
    assert!(empty.contains("nobody has held this fleet yet"), "{empty}");
    let none = folder.call(&["history", "--decision", "019363f4-0c3a-7d31-9e4e-5a2d8f1b6c70"]).ended(1);
    assert!(none.stderr.contains("there is no decision 019363f4"), "{}", none.stderr);
    let unknown = folder.call(&["history", "wbe"]).ended(2);
    assert!(unknown.stderr.contains("web"), "{}", unknown.stderr);
}
