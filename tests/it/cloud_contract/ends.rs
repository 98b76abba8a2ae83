//! Booting, and the ends of an instance: asked for, refused, and without anybody's asking.

use std::time::Duration;

use fleet_scaler::domain::failure::FailureClass::{Invalid, NotFound, Protected};
use fleet_scaler::domain::ids::InstanceId;
use fleet_scaler::provider::simulated::options::parts::Span;
use fleet_scaler::provider::{InstanceState, Receipt};
use serde_json::json;

use super::{Door, Subject, is, through_both_doors, told};
use crate::simulated::{group, quiet};

through_both_doors!(
    booting_takes_time_and_now_and_then_much_more,
    terminating_is_idempotent_and_the_dead_stay_visible,
    one_bad_id_fails_the_batch,
    one_protected_host_keeps_those_of_its_zone,
    nobody_is_asked_to_do_nothing,
    instances_end_without_our_doing,
);

async fn booting_takes_time_and_now_and_then_much_more(door: Door) {
    let mut options = quiet();
    options.boot = Span::seconds(20.0, 10.0).with_tail(0.1, 300.0);
    let subject = Subject::start(door, options).await;
    subject.launch("t1", "subnet-a", 200).await;
    let in_state = async |state| {
        let shown = subject.shown().await;
        shown.iter().filter(|one| one.state == state).count()
    };
    subject.bench.pass(19);
    assert_eq!(in_state(InstanceState::Pending).await, 200);
    subject.bench.pass(12);
    let late = in_state(InstanceState::Pending).await;
    assert!((5..50).contains(&late), "{late} of 200 are late, at a chance of one in ten");
    subject.bench.pass(280);
    assert_eq!(in_state(InstanceState::Pending).await, late, "they take five minutes more");
    subject.bench.pass(20);
    assert_eq!(in_state(InstanceState::Running).await, 200);

    subject.fault(&json!({ "fault": "slow_boot", "zone": "eu-west-1b", "ms": 600_000 }));
    let slow = subject.launch("t2", "subnet-b", 1).await;
    subject.bench.pass(599);
    assert_eq!(subject.state(&slow[0]).await, Some(InstanceState::Pending));
}

async fn terminating_is_idempotent_and_the_dead_stay_visible(door: Door) {
    let subject = Subject::quiet(door).await;
    let hosts = subject.running("t1", "subnet-a", 2).await;
    let receipt = subject.cloud.terminate(&hosts[..1]).await.unwrap();
    assert!(receipt.request_id.is_some());
    assert_eq!(subject.state(&hosts[0]).await, Some(InstanceState::ShuttingDown));
    subject.cloud.terminate(&hosts[..1]).await.unwrap();
    subject.bench.pass(11);
    assert_eq!(subject.state(&hosts[0]).await, Some(InstanceState::Terminated));
    subject.cloud.terminate(&[hosts[0].clone(), hosts[0].clone()]).await.unwrap();
    subject.bench.pass(3500);
    assert_eq!(subject.state(&hosts[0]).await, Some(InstanceState::Terminated), "for about an hour");
    subject.bench.pass(200);
    assert_eq!(subject.state(&hosts[0]).await, None);
    let forgotten = told(subject.cloud.terminate(&hosts[..1]).await);
    assert_eq!(forgotten, is(NotFound, "InvalidInstanceID.NotFound"));
    assert_eq!(subject.state(&hosts[1]).await, Some(InstanceState::Running));
}

async fn one_bad_id_fails_the_batch(door: Door) {
    let subject = Subject::quiet(door).await;
    let hosts = subject.running("t1", "subnet-a", 2).await;
    for (bad, class, code) in [
        ("i-00000000000000000", NotFound, "InvalidInstanceID.NotFound"),
        ("web-1", Invalid, "InvalidInstanceID.Malformed"),
    ] {
        let batch = [&hosts[..], &[InstanceId::new(bad)]].concat();
        let error = subject.cloud.terminate(&batch).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (class, code));
        assert!(error.message.contains(bad), "{error}");
    }
    assert!(subject.shown().await.iter().all(|one| one.state == InstanceState::Running));
}

async fn one_protected_host_keeps_those_of_its_zone(door: Door) {
    let subject = Subject::quiet(door).await;
    let here = subject.running("t1", "subnet-a", 2).await;
    let there = subject.running("t2", "subnet-b", 1).await;
    let guard = subject.fault(&json!({ "fault": "protect", "instance": here[1] }));
    let batch = [&here[..], &there[..]].concat();
    let refusal = told(subject.cloud.terminate(&batch).await);
    assert_eq!(refusal, is(Protected, "OperationNotPermitted"));
    for host in &here {
        assert_eq!(subject.state(host).await, Some(InstanceState::Running), "its whole zone stays");
    }
    assert_eq!(subject.state(&there[0]).await, Some(InstanceState::ShuttingDown), "the other zone goes");
    subject.cloud.terminate(&here[..1]).await.unwrap();
    assert_eq!(told(subject.cloud.terminate(&here[1..]).await).0, Protected);
    subject.bench.cloud().clear_fault(guard).unwrap();
    subject.cloud.terminate(&batch).await.unwrap();
    assert_eq!(subject.state(&here[1]).await, Some(InstanceState::ShuttingDown));
}

async fn nobody_is_asked_to_do_nothing(door: Door) {
    let subject = Subject::quiet(door).await;
    let nothing = Receipt::default();
    assert_eq!(subject.cloud.terminate(&[]).await, Ok(nothing.clone()));
    assert_eq!(subject.cloud.register(&group(), &[]).await, Ok(nothing.clone()));
    assert_eq!(subject.cloud.deregister(&group(), &[]).await, Ok(nothing));
    assert!(subject.bench.journal().iter().all(|entry| entry["kind"] != "call"));
}

async fn instances_end_without_our_doing(door: Door) {
    let mut options = quiet();
    options.mean_lifetime = Duration::from_mins(10);
    let subject = Subject::start(door, options).await;
    subject.launch("t1", "subnet-a", 40).await;
    subject.bench.pass(600);
    let dead = subject.shown().await.iter().filter(|one| one.state == InstanceState::Terminated).count();
    assert!((10..40).contains(&dead), "{dead} of 40 after one mean lifetime");

    let host = subject.launch("t2", "subnet-b", 1).await.remove(0);
    subject.fault(&json!({ "fault": "kill_instance", "instance": host }));
    assert_eq!(subject.state(&host).await, Some(InstanceState::ShuttingDown), "terminated outside");
    let silent = subject.launch("t3", "subnet-b", 1).await.remove(0);
    subject.bench.pass(31);
    subject.fault(&json!({ "fault": "kill_instance", "instance": silent, "how": "unresponsive" }));
    assert_eq!(subject.state(&silent).await, Some(InstanceState::Running), "EC2 does not notice");
}
