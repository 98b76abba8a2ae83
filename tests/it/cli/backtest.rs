//! `backtest`, run as an operator runs it: on files, and on a real Prometheus that has a day in its memory.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::TestDatabase;

use super::program::{Folder, Ran, Running, WEB, service_file};

/// How long a real Prometheus may take to be there on a busy machine.
const READY: Duration = Duration::from_mins(1);
const DAY: usize = 24 * 60;

/// A fleet that follows its CPU.
fn fleet(target: f64) -> String {
    format!(
        "{}\n[[target]]\nname = \"cpu\"\nsignal = \"cpu.avg\"\nvalue = {target}\n",
        WEB.replace("max = 6", "max = 40").replace("\n\n[launch]", "\nstep_in_max = 4\n\n[launch]")
    )
}

fn folder() -> Folder {
    let nowhere = service_file("postgres://nobody@127.0.0.1:1/none", "127.0.0.1:0");
    Folder::new(&nowhere, &fleet(0.6))
}

/// The load of a minute: a day's wave, with a jump every six hours.
fn load(minute: usize) -> f64 {
    let wave = 500.0 + 300.0 * (minute as f64 / DAY as f64 * std::f64::consts::TAU).sin();
    if minute % 360 > 340 { wave * 1.8 } else { wave }
}

/// A day of load in a file of this name.
fn trace(folder: &Folder, name: &str) -> String {
    let rows = (0..DAY).fold("minute,requests\n".to_owned(), |mut rows, minute| {
        writeln!(rows, "{minute},{}", load(minute)).unwrap();
        rows
    });
    write(folder, name, &rows)
}

fn write(folder: &Folder, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn backtest(folder: &Folder, arguments: &[&str]) -> Ran {
    folder.call(&[&["backtest", "web"], arguments].concat())
}

/// One number of one scaler of the first trace.
#[track_caller]
fn number(result: &Value, scaler: &str, key: &str) -> f64 {
    let rows = result["traces"][0]["scalers"].as_array().unwrap();
    let row =
        rows.iter().find(|row| row["scaler"] == scaler).unwrap_or_else(|| panic!("{scaler} is not there"));
    row[key].as_f64().unwrap_or_else(|| panic!("{scaler} has no {key}: {row}"))
}

#[test]
fn a_day_is_replayed_for_people_and_for_programs() {
    let folder = folder();
    let trace = trace(&folder, "requests_60s.csv");
    let ran = backtest(&folder, &["--trace", &trace, "--against", "all", "--price", "0.5"]).ended(0);
    for words in [
        "web over requests_60s: 1d; 30 hosts at the peak",
        "UNSERVED",
        "ec2-target-tracking",
        "cpu = 0.60",
        "η",
    ] {
        assert!(ran.stdout.contains(words), "{words} is not in\n{}", ran.stdout);
    }
    let ran =
        backtest(&folder, &["--trace", &trace, "--rival", "hpa,gce", "--price", "0.5", "--output", "json"]);
    let result = ran.ended(0).json();
    assert_eq!(result["traces"][0]["seconds"], 24 * 3600);
    assert_eq!(result["traces"][0]["hosts_at_peak"], 30.0);
    assert!(!result["notes"].to_string().contains("max"), "{}", result["notes"]);
    let crowded = backtest(&folder, &["--trace", &trace, "--hosts-at-peak", "60"]).ended(0);
    assert!(
        crowded.stdout.contains("Note: the peak takes 60 hosts and the fleet's max is 40"),
        "{}",
        crowded.stdout
    );
    for scaler in ["web", "hpa", "gce"] {
        let of = |key| number(&result, scaler, key);
        assert!((0.0..0.2).contains(&of("unserved_share")), "{scaler}: {}", of("unserved_share"));
        assert!((1.0..3.0).contains(&of("cost_ratio")), "{scaler}: {}", of("cost_ratio"));
        assert!((of("cost") - 0.5 * of("host_hours")).abs() < 1e-6);
        assert!((of("excess_cost") - (of("cost_ratio") - 1.0)).abs() < 1e-9);
        assert!(of("moves_per_hour") > 0.0);
    }
    let row = result["traces"][0]["scalers"][0].as_object().unwrap();
    let keys: Vec<&str> = row.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "accuracy_over",
            "accuracy_under",
            "cost",
            "cost_ratio",
            "excess_cost",
            "host_hours",
            "ideal_cost",
            "ideal_host_hours",
            "instability_down",
            "instability_up",
            "jitter",
            "kind",
            "moves_per_hour",
            "scaler",
            "settings",
            "speed_up",
            "time_over",
            "time_under",
            "under_provisioned_seconds",
            "unserved_share"
        ]
    );
    assert!((number(&result, "web", "speed_up") - 1.0).abs() < 1e-9, "it is its own baseline");
    assert!(
        number(&result, "gce", "host_hours") > number(&result, "hpa", "host_hours"),
        "GCE keeps peaks for longer"
    );
}

#[test]
fn the_same_seed_gives_the_same_result_and_another_gives_another() {
    let folder = folder();
    let trace = trace(&folder, "requests_60s.csv");
    let with =
        |seed| backtest(&folder, &["--trace", &trace, "--against", "all", "--seed", seed]).ended(0).stdout;
    let (first, again, other) = (with("7"), with("7"), with("8"));
    assert_eq!(first, again);
    assert_ne!(first.replace("seed 7", ""), other.replace("seed 8", ""));
}

#[test]
fn a_candidate_is_judged_against_what_is_in_force() {
    let folder = folder();
    let trace = trace(&folder, "requests_60s.csv");
    let candidate = write(&folder, "elsewhere/cooler.toml", &fleet(0.45));
    let arguments = ["--trace", trace.as_str(), "--candidate", candidate.as_str(), "--price", "1"];
    let ran = backtest(&folder, &arguments).ended(0);
    let line = ran.stdout.lines().find(|line| line.starts_with("host-hours")).unwrap();
    assert!(line.contains("->") && line.contains("(+"), "{line}");
    let result = backtest(&folder, &[&arguments[..], &["--output", "json"]].concat()).ended(0).json();
    assert!(number(&result, "candidate", "host_hours") > 1.2 * number(&result, "web", "host_hours"));
    assert!(number(&result, "candidate", "unserved_share") < number(&result, "web", "unserved_share"));
    assert_eq!(result["traces"][0]["scalers"][1]["kind"], "candidate");
}

#[test]
fn a_candidate_that_is_wrong_or_of_another_fleet_is_refused() {
    let folder = folder();
    let trace = trace(&folder, "requests_60s.csv");
    let broken = write(&folder, "broken.toml", &fleet(0.6).replace("min = 2", "min = 90"));
    let ran = backtest(&folder, &["--trace", &trace, "--candidate", &broken]).ended(2);
    assert!(ran.stderr.contains("broken.toml:") && ran.stderr.contains("not accepted"), "{}", ran.stderr);
    let other = write(&folder, "other.toml", &fleet(0.6).replace("\"web\"", "\"api\""));
    let ran = backtest(&folder, &["--trace", &trace, "--candidate", &other]).ended(2);
    assert!(ran.stderr.contains("fleet api"), "{}", ran.stderr);
    backtest(&folder, &["--trace", &trace, "--candidate", "/nowhere/web.toml"]).ended(2);
}

#[test]
fn what_is_no_trace_is_exit_code_2_with_its_place() {
    let folder = folder();
    for (name, text, words) in [
        ("nan_60s.csv", "t,load\n1,2\n2,NaN\n", "nan_60s.csv:3:3: "),
        ("minus_60s.csv", "t,load\n1,-2\n", "minus_60s.csv:2:3: "),
        ("empty_60s.csv", "", "empty"),
        ("unnamed.csv", "load\n1\n2\n", "unnamed_60s.csv"),
        ("zero_60s.csv", "load\n0\n0\n", "no load"),
    ] {
        let file = write(&folder, name, text);
        let ran = backtest(&folder, &["--trace", &file]).ended(2);
        assert!(ran.stderr.contains(words), "{words} is not in {}", ran.stderr);
        assert!(ran.stdout.is_empty());
    }
    let ran = backtest(&folder, &["--trace", "/nowhere/load_60s.csv"]).ended(2);
    assert!(ran.stderr.contains("/nowhere/load_60s.csv"), "{}", ran.stderr);
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let folder = folder();
    let trace = trace(&folder, "requests_60s.csv");
    let with = |more: &[&str]| backtest(&folder, &[&["--trace", &trace], more].concat()).ended(2).stderr;
    assert!(with(&["--against", "karpenter"]).contains("nomad-threshold"));
    assert!(with(&["--price", "-3"]).contains("0.34"));
    assert!(with(&["--hosts-at-peak", "0"]).contains("1..=500"));
    assert!(with(&["--since", "2h"]).contains("cannot be used with"));
    assert!(with(&["--column", "cpu"]).contains("minute, requests"));
    let without = folder.call(&["backtest", "web"]).ended(2);
    assert!(without.stderr.contains("--trace"), "{}", without.stderr);
    folder.call(&["backtest", "api", "--trace", &trace]).ended(2);
}

#[test]
fn a_fleet_that_follows_nothing_of_the_load_is_refused_and_one_that_follows_some_is_told() {
    let nowhere = service_file("postgres://nobody@127.0.0.1:1/none", "127.0.0.1:0");
    let deaf = Folder::new(&nowhere, &WEB.replace("cpu.avg", "memory.avg"));
    let file = trace(&deaf, "requests_60s.csv");
    let ran = backtest(&deaf, &["--trace", &file]).ended(2);
    assert!(ran.stderr.contains("cpu.avg"), "{}", ran.stderr);
    let half =
        Folder::new(&nowhere, &fleet(0.6).replace("cpu.avg > 0.75", "cpu.p95 > 0.75 || memory.avg > 0.9"));
    let file = trace(&half, "requests_60s.csv");
    let ran = backtest(&half, &["--trace", &file]).ended(0);
    for note in
        ["Note: memory.avg stands at 0", "Note: cpu.p95 is cpu.avg", "Note: the fleet decides every 15s"]
    {
        assert!(ran.stdout.contains(note), "{note} is not in\n{}", ran.stdout);
    }
}

#[test]
fn a_picture_is_well_formed_and_has_a_panel_for_each() {
    let folder = folder();
    let (trace, picture) = (trace(&folder, "requests_60s.csv"), folder.join("day.svg"));
    backtest(&folder, &["--trace", &trace, "--against", "hpa", "--chart", picture.to_str().unwrap()])
        .ended(0);
    let text = std::fs::read_to_string(&picture).unwrap();
    let mut reader = quick_xml::Reader::from_str(&text);
    let mut groups = 0;
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Eof => break,
            quick_xml::events::Event::Start(tag) if tag.name().as_ref() == b"g" => groups += 1,
            _ => {}
        }
    }
    assert_eq!(groups, 2);
    assert!(text.contains("web over requests_60s") && text.contains("% unserved"));
    let nowhere = ["--trace", &trace, "--chart", "/nowhere/day.svg"];
    assert!(backtest(&folder, &nowhere).ended(1).stderr.contains("/nowhere/day.svg"));
}

#[test]
fn constants_are_found_on_the_first_third_and_judged_on_the_rest() {
    let folder = folder();
    let trace = trace(&folder, "requests_60s.csv");
    let arguments = ["--trace", &trace, "--tune", "--against", "gce", "--output", "json"];
    let result = backtest(&folder, &arguments).ended(0).json();
    let row = &result["traces"][0];
    assert_eq!(
        (row["tuned_on_seconds"].as_u64(), row["seconds"].as_u64()),
        (Some(8 * 3600), Some(16 * 3600))
    );
    assert_eq!(result["tuned"], true);
    let settings = row["scalers"][1]["settings"].as_str().unwrap();
    assert!(settings.starts_with("target 0."), "{settings}");
}

#[test]
fn a_folder_of_traces_is_replayed_in_the_order_of_names() {
    let folder = folder();
    trace(&folder, "days/b_60s.csv");
    trace(&folder, "days/a_5m.csv");
    let days = folder.join("days").to_str().unwrap().to_owned();
    let result = backtest(&folder, &["--trace", &days, "--output", "json"]).ended(0).json();
    let names: Vec<_> =
        result["traces"].as_array().unwrap().iter().map(|trace| trace["trace"].clone()).collect();
    assert_eq!(names, ["a_5m", "b_60s"]);
    let chart = folder.join("x.svg").to_str().unwrap().to_owned();
    let ran = backtest(&folder, &["--trace", &days, "--chart", &chart]).ended(2);
    assert!(ran.stderr.contains("one trace"), "{}", ran.stderr);
}

/// The first moment of the day that Prometheus remembers.
const START: usize = 1_767_225_600;
const START_TEXT: &str = "2026-01-01T00:00:00Z";

/// A real Prometheus that remembers the day, but for eleven minutes from 06:00 on, and what a query makes of nothing.
struct Engine {
    _running: Running,
    _dir: tempfile::TempDir,
    url: String,
}

impl Engine {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = remember(&dir);
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, "global: {}\n").unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", data.display()));
        command.arg("--storage.tsdb.retention.time=100y");
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let running = Running(started.expect("prometheus is installed (Debian: prometheus)"));
        let begun = Instant::now();
        while !is_ready(port) {
            assert!(begun.elapsed() < READY, "Prometheus is not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { _running: running, _dir: dir, url: format!("http://127.0.0.1:{port}") }
    }
}

/// The day as blocks of Prometheus's own.
fn remember(dir: &tempfile::TempDir) -> PathBuf {
    let mut page = "# TYPE requests gauge\n".to_owned();
    for minute in (0..DAY).filter(|minute| !(360..371).contains(minute)) {
        writeln!(page, "requests {} {}", load(minute), START + 60 * minute).unwrap();
    }
    page.push_str("# EOF\n");
    let (file, data) = (dir.path().join("day.txt"), dir.path().join("data"));
    std::fs::write(&file, page).unwrap();
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&file, &data])
        .output()
        .expect("promtool is installed (Debian: prometheus)");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    data
}

fn is_ready(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        write!(stream, "GET /-/ready HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.starts_with("HTTP/1.0 200"))
    };
    ask().unwrap_or(false)
}

#[test]
fn a_real_prometheus_is_asked_for_the_day() {
    let (folder, engine) = (folder(), Engine::start());
    let ask = |query: &str, more: &[&str]| {
        let asked = ["--prometheus", &engine.url, "--query", query, "--since", START_TEXT];
        backtest(
            &folder,
            &[&asked[..], &["--until", "2026-01-01T23:59:00Z", "--output", "json"], more].concat(),
        )
    };
    let result = ask("sum(requests)", &[]).ended(0).json();
    assert_eq!(result["traces"][0]["seconds"], 24 * 3600);
    let notes = result["notes"].to_string();
    assert!(
        notes.contains("6 of 1440 values are holes"),
        "five minutes are Prometheus's own to bridge: {notes}"
    );
    let from_file = backtest(&folder, &["--trace", &trace(&folder, "requests_60s.csv"), "--output", "json"]);
    let from_file = from_file.ended(0).json();
    let hours = |result| number(result, "web", "ideal_host_hours");
    assert!((hours(&result) / hours(&from_file) - 1.0).abs() < 0.01, "but for the hole it is the same day");

    // 17,281 points are more than an answer may have.
    let fine = ask("sum(requests)", &["--step", "5s"]).ended(0).json();
    assert!((hours(&fine) / hours(&result) - 1.0).abs() < 0.02);

    let ran = ask("sum(requests)", &["--fill", "2m"]).ended(1);
    assert!(ran.stderr.contains("2026-01-01T06:0") && ran.stderr.contains("2m"), "{}", ran.stderr);
    assert!(ask("sum(", &[]).ended(1).stderr.contains("parse error"));
    assert!(ask("absent_of_everything", &[]).ended(1).stderr.contains("no number in the whole span"));
    assert!(ask("requests or vector(1)", &[]).ended(1).stderr.contains("2 series"));
    assert!(ask("-requests", &[]).ended(1).stderr.contains("from 0 on"));
}

#[test]
fn an_engine_that_is_not_there_and_a_span_that_is_none_are_told() {
    let folder = folder();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let asked = ["--prometheus", &url, "--query", "up", "--since", START_TEXT];
    let ran = backtest(&folder, &[&asked[..], &["--until", "2026-01-01T01:00:00Z"]].concat()).ended(1);
    assert!(ran.stderr.contains("cannot connect"), "{}", ran.stderr);
    let ran = backtest(&folder, &[&asked[..], &["--until", "2025-12-01T01:00:00Z"]].concat()).ended(2);
    assert!(ran.stderr.contains("is not after"), "{}", ran.stderr);
    let ran = backtest(&folder, &["--prometheus", &url, "--query", "up"]).ended(2);
    assert!(ran.stderr.contains("--since"), "{}", ran.stderr);
}

/// An evening of a fleet in the store, as its ticks would have left it: every ten seconds, until now.
async fn live_through(database: &TestDatabase, seconds: usize, sick: std::ops::Range<usize>) {
    let pool = database.pool();
    sqlx::query("INSERT INTO scaler.fleet_state (fleet) VALUES ('web')").execute(&pool).await.unwrap();
    for ago in (0..seconds).step_by(10).filter(|ago| !sick.contains(ago)) {
        let serving = if ago < seconds / 2 { 10 } else { 6 };
        let cpu = load((seconds - ago) / 10) / 100.0 / f64::from(serving);
        let number = |value: f64| serde_json::json!({"heard": value, "if_idle": value, "if_busy": value});
        let doc = serde_json::json!({
            "at": "2026-01-01T00:00:00Z", "hosts_heard": serving, "hosts_asked": serving, "recommended": null,
            "faults": [], "values": {
                "cpu.avg": number(cpu), "hosts.in_service": number(f64::from(serving)), "hosts.pending": number(1.0)}
        });
        let row = "INSERT INTO scaler.observation (fleet, at, doc)
             SELECT 'web', at, jsonb_set($2, '{at}', to_jsonb(at))
             FROM (SELECT date_trunc('second', clock_timestamp()) - interval '1 second' * $1 AS at) moment";
        sqlx::query(row).bind(f64::from(u32::try_from(ago).unwrap())).bind(doc).execute(&pool).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_was_lived_through_is_replayed_beside_what_was_done() {
    let database = TestDatabase::new().await;
    let folder = Folder::new(&service_file(database.url().reveal(), "127.0.0.1:0"), &fleet(0.6));
    let none = backtest(&folder, &["--recorded", "--since", "1h"]).ended(1);
    assert!(none.stderr.contains("nothing is recorded of web's CPU"), "{}", none.stderr);
    live_through(&database, 7200, 3600..3800).await;
    let result = backtest(&folder, &["--recorded", "--since", "2h", "--output", "json"]).ended(0).json();
    let of = |scaler, key| number(&result, scaler, key);
    assert_eq!(result["traces"][0]["scalers"][1]["kind"], "recorded");
    let paid = of("recorded", "host_hours");
    assert!(
        (paid - (6.0 + 10.0 + 2.0)).abs() < 0.5,
        "an hour of six, one of ten, and one that boots: {paid}"
    );
    let ideal = of("web", "ideal_host_hours") / of("recorded", "ideal_host_hours");
    assert!((ideal - 1.0).abs() < 0.05, "the load is replayed as it was, not scaled: {ideal}");
    assert!(result["notes"].to_string().contains("values are holes"), "{}", result["notes"]);
    let short = backtest(&folder, &["--recorded", "--since", "2h", "--fill", "1m"]).ended(1);
    assert!(short.stderr.contains("for more than 1m"), "{}", short.stderr);
}
