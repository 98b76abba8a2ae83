//! Calls of which nobody hears: the reply lost, the request lost, the answer too late. All three are *unknown*.

use std::sync::Arc;
use std::time::Duration;

use fleet_scaler::domain::failure::FailureClass::Unknown;
use fleet_scaler::domain::ids::OwnerName;
use fleet_scaler::provider::{InstanceState, TargetId};
use serde_json::json;

use super::{Door, Subject, is, through_both_doors, told};
use crate::simulated::{eventually, group, quiet, request};

through_both_doors!(
    a_dropped_reply_hides_work_that_was_done,
    a_dropped_request_was_never_there,
    a_lost_reply_is_unknown_for_every_change_and_every_read,
    a_call_that_takes_too_long_is_unknown_and_still_done,
);

async fn a_dropped_reply_hides_work_that_was_done(door: Door) {
    let subject = Subject::quiet(door).await;
    subject.fault(&json!({ "fault": "drop_reply", "op": "RunInstances", "count": 1 }));
    assert_eq!(subject.refused(&request("t1", "subnet-a", 2)).await, is(Unknown, "ConnectionReset"));
    assert_eq!(subject.sent("RunInstances"), 1, "nobody sent it twice");
    assert_eq!(subject.shown().await.len(), 2);
    assert_eq!(subject.launch("t1", "subnet-a", 2).await.len(), 2);
    assert_eq!(subject.shown().await.len(), 2, "the replay bought nothing");
    let calls = subject.bench.calls("RunInstances");
    let heard: Vec<_> = calls.iter().map(|call| (&call["reply"], &call["outcome"]["status"])).collect();
    assert_eq!(heard, [(&json!("dropped"), &json!("ok")), (&json!("sent"), &json!("ok"))]);
}

async fn a_dropped_request_was_never_there(door: Door) {
    let subject = Subject::quiet(door).await;
    subject.fault(&json!({ "fault": "drop_request", "op": "RunInstances", "count": 1 }));
    let lost = subject.refused(&request("t1", "subnet-a", 2)).await;
    assert_eq!(lost, is(Unknown, "ConnectionReset"), "to the caller it looks the same");
    assert!(subject.shown().await.is_empty());
    assert_eq!(subject.bench.calls("RunInstances")[0]["outcome"]["status"], "lost");
}

async fn a_lost_reply_is_unknown_for_every_change_and_every_read(door: Door) {
    let subject = Subject::quiet(door).await;
    let hosts = subject.running("t1", "subnet-a", 1).await;
    let fault = subject.fault(&json!({ "fault": "drop_reply" }));
    let reset = is(Unknown, "ConnectionReset");
    let target = TargetId { host: hosts[0].clone(), port: 80 };
    assert_eq!(told(subject.cloud.register(&group(), &hosts).await), reset);
    assert_eq!(told(subject.cloud.target_health(&group()).await), reset);
    assert_eq!(told(subject.cloud.target_group(&group()).await), reset);
    assert_eq!(told(subject.cloud.deregister(&group(), &[target]).await), reset);
    assert_eq!(told(subject.cloud.terminate(&hosts).await), reset);
    assert_eq!(told(subject.cloud.instances(&OwnerName::new("prod-1")).await), reset);
    assert_eq!(told(subject.cloud.may_launch(&request("t2", "subnet-a", 1)).await), reset);
    for op in ["RegisterTargets", "DeregisterTargets", "TerminateInstances", "DescribeInstances"] {
        assert_eq!(subject.sent(op), 1, "{op} was sent once");
    }
    subject.bench.cloud().clear_fault(fault).unwrap();
    assert_eq!(subject.state(&hosts[0]).await, Some(InstanceState::ShuttingDown), "all of it was done");
}

async fn a_call_that_takes_too_long_is_unknown_and_still_done(door: Door) {
    let mut options = quiet();
    // The SDK counts real seconds and the model those of the test: far less than the delay either way.
    options.call_timeout = Duration::from_secs(1);
    let subject = Subject::start(door, options).await;
    subject.fault(&json!({ "fault": "delay", "op": "RunInstances", "ms": 3_600_000, "count": 1 }));
    let cloud = Arc::clone(&subject.cloud);
    let caller = tokio::spawn(async move { cloud.run_instances(&request("t1", "subnet-a", 1)).await });
    let hits = || subject.bench.cloud().with_model(|model| model.faults()[0].hits);
    eventually("the call is delayed", || hits() == 1).await;
    eventually("the caller gives up", || {
        subject.bench.clock.pass(Duration::from_millis(50));
        caller.is_finished()
    })
    .await;
    assert_eq!(told(caller.await.unwrap()), is(Unknown, "Timeout"));
    assert_eq!(subject.sent("RunInstances"), 0, "nothing is done yet");
    subject.bench.pass(3600);
    eventually("the work is done", || subject.sent("RunInstances") == 1).await;
    assert_eq!(subject.bench.cloud().with_model(|model| model.instances().count()), 1);
}
