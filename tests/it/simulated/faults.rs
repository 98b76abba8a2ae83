//! Calls that get lost, refused, delayed and held, and what the journal keeps of them.

use std::sync::Arc;

use fleet_scaler::domain::failure::FailureClass;
use fleet_scaler::domain::ids::OwnerName;
use fleet_scaler::provider::CloudProvider;
use fleet_scaler::provider::simulated::model::faults::Fault;
use serde_json::{Value, json};

use super::{Bench, eventually, quiet, request};

#[tokio::test]
async fn injected_errors_have_their_class_and_their_zone_and_an_end() {
    let bench = Bench::start(quiet()).await;
    bench.fault(&json!({
        "fault": "error", "op": "RunInstances", "zone": "eu-west-1a", "count": 1,
        "code": "InsufficientInstanceCapacity",
    }));
    bench.cloud().run_instances(&request("t1", "subnet-b", 1)).await.unwrap();
    let full = bench.cloud().run_instances(&request("t2", "subnet-a", 1)).await.unwrap_err();
    assert_eq!(full.class, FailureClass::Capacity);
    bench.cloud().run_instances(&request("t2", "subnet-a", 1)).await.unwrap();

    let fault = bench.fault(&json!({ "fault": "error", "code": "InternalError" }));
    let error = bench.cloud().instances(&OwnerName::new("prod-1")).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FailureClass::Unknown, "InternalError"));
    assert!(error.request_id.is_some());
    bench.cloud().clear_fault(fault).unwrap();
    assert_eq!(bench.shown().await.len(), 2);
}

#[tokio::test]
async fn chance_hits_about_as_often_as_it_says() {
    let bench = Bench::start(quiet()).await;
    bench.fault(&json!({ "fault": "drop_request", "op": "DescribeInstances", "probability": 0.5 }));
    let mut lost = 0;
    for _ in 0..200 {
        lost += u32::from(bench.cloud().instances(&OwnerName::new("prod-1")).await.is_err());
    }
    assert!((60..140).contains(&lost), "{lost} of 200");
}

#[tokio::test]
async fn a_held_call_goes_on_when_it_is_released_even_if_its_caller_is_gone() {
    for (when, during) in [("before", 0), ("after", 1)] {
        let bench = Bench::start(quiet()).await;
        let hold = bench.fault(&json!({ "fault": "hold", "op": "RunInstances", "when": when, "count": 1 }));
        let cloud = Arc::clone(&bench.handle.cloud);
        let caller =
            tokio::spawn(async move { cloud.run_instances(&request("t1", "subnet-a", 1)).await.map(|_| ()) });
        eventually("the call is held", || bench.journal().iter().any(|entry| entry["kind"] == "held")).await;
        assert_eq!(bench.shown().await.len(), during, "held {when} its work");
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        bench.cloud().clear_fault(hold).unwrap();
        let launched = || bench.calls("RunInstances").iter().any(|call| call["outcome"]["status"] == "ok");
        eventually("the work is done", launched).await;
        assert_eq!(bench.shown().await.len(), 1, "exactly once");
    }
}

#[tokio::test]
async fn a_released_caller_gets_its_answer() {
    let bench = Bench::start(quiet()).await;
    let hold = bench.fault(&json!({ "fault": "hold", "op": "RunInstances", "when": "after" }));
    let cloud = Arc::clone(&bench.handle.cloud);
    let caller = tokio::spawn(async move { cloud.run_instances(&request("t1", "subnet-a", 3)).await });
    eventually("the call is held", || bench.journal().iter().any(|entry| entry["kind"] == "held")).await;
    assert!(!caller.is_finished());
    bench.cloud().clear_fault(hold).unwrap();
    assert_eq!(caller.await.unwrap().unwrap().instances.len(), 3);
}

#[tokio::test]
async fn faults_that_make_no_sense_are_refused_with_what_would() {
    let bench = Bench::start(quiet()).await;
    for (fault, needle) in [
        (json!({ "fault": "capacity", "zone": "eu-west-1z", "left": 0 }), "eu-west-1a, eu-west-1b"),
        (json!({ "fault": "error", "code": "X", "probability": 1.5 }), "0 to 1"),
        (json!({ "fault": "error", "code": "X", "http_status": 200 }), "400 to 599"),
        (json!({ "fault": "never_healthy" }), "instance, zone, next"),
        (json!({ "fault": "protect", "instance": "i-none" }), "no instance i-none"),
        (json!({ "fault": "change_tags", "instance": "i-none" }), "no instance i-none"),
        (json!({ "fault": "stuck_draining", "target_group": "arn:x" }), "there are arn:aws"),
        (json!({ "fault": "throttle", "op": "RunInstances", "size": -1.0 }), "0 or more"),
        (json!({ "fault": "page", "page": { "huge": { "bytes": 1_u64 << 40 } } }), "at most"),
    ] {
        let fault: Fault = serde_json::from_value(fault).unwrap();
        let error = bench.cloud().set_fault(fault.clone()).unwrap_err();
        assert!(error.message.contains(needle), "{fault:?}: {error}");
    }
    assert!(bench.cloud().clear_fault(9).unwrap_err().message.contains("no fault 9"));
    let noted = bench.journal().iter().filter(|entry: &&Value| entry["kind"] == "fault").count();
    assert_eq!(noted, 0, "a refused fault leaves no trace");
}
