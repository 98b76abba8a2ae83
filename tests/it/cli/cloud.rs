//! `cloud`: the simulated cloud's front, by itself.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;

use super::program::{Running, call, program};
use super::web;

fn start(more: &[&str]) -> (Running, SocketAddr, serde_json::Value) {
    let mut running =
        Running::start(program().args(["cloud", "--listen", "127.0.0.1:0", "--output", "json"]).args(more));
    let mut text = String::new();
    for line in BufReader::new(running.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        text.push_str(&line);
        if line == "}" {
            break;
        }
    }
    let said: serde_json::Value = serde_json::from_str(&text).unwrap();
    let address = said["endpoint"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
    (running, address, said)
}

#[test]
fn the_cloud_answers_says_what_is_there_and_ends_when_told() {
    let (mut running, address, said) = start(&["--seed", "7", "--load", "world-cup", "--speed", "60"]);
    assert_eq!(said["region"], "eu-west-1");
    assert_eq!(said["subnets"].as_array().unwrap().len(), 3);
    assert_eq!(web::get(address, "/_sim/state").status, 200);
    let fault = r#"{"fault":"capacity","zone":"eu-west-1b","left":0}"#;
    assert_eq!(web::ask(address, "POST", "/_sim/faults", fault).unwrap().status, 200);
    assert!(web::get(address, "/_sim/faults").body.contains("capacity"));
    let describe = "Action=DescribeInstances&Version=2016-11-15";
    let answer = web::ask(address, "POST", "/", describe).unwrap();
    assert!(answer.body.contains("DescribeInstancesResponse"), "{answer:?}");
    running.signal("TERM");
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn a_person_is_told_how_to_use_it() {
    let mut running = Running::start(program().args(["cloud", "--listen", "127.0.0.1:0"]));
    let mut reader = BufReader::new(running.0.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("Ctrl-C ends it.") {
        assert!(reader.read_line(&mut text).unwrap() > 0, "it ended:\n{text}");
    }
    for hint in ["endpoint_url = \"http://127.0.0.1:", "/_sim/", "lt-demo", "targetgroup/web"] {
        assert!(text.contains(hint), "{hint} is not in:\n{text}");
    }
    running.signal("INT");
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let ran = call(&["cloud", "--settings", "/no/such/file"]).ended(2);
    assert!(ran.stderr.contains("/no/such/file"), "{}", ran.stderr);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cloud.toml");
    std::fs::write(&file, "sed = 1\n").unwrap();
    let ran = call(&["cloud", "--settings", file.to_str().unwrap()]).ended(2);
    assert!(ran.stderr.contains("sed"), "{}", ran.stderr);
    let ran = call(&["cloud", "--listen", "127.0.0.1:0", "--load", "/no/such/trace.csv"]).ended(1);
    assert!(ran.stderr.contains("trace.csv"), "{}", ran.stderr);
}
