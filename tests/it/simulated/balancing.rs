//! Target groups: registering, health, draining, and what the journal remembers of a termination.

use std::collections::BTreeMap;

use fleet_scaler::domain::failure::FailureClass;
use fleet_scaler::domain::ids::{InstanceId, TargetGroupArn};
use fleet_scaler::provider::{CloudProvider, TargetId, TargetState};
use serde_json::json;

use super::{Bench, group, quiet, request};

fn at_80(host: &InstanceId) -> TargetId {
    TargetId { host: host.clone(), port: 80 }
}

async fn health(bench: &Bench) -> BTreeMap<InstanceId, (TargetState, String)> {
    let found = bench.cloud().target_health(&group()).await.unwrap();
    found.into_iter().map(|one| (one.target.host, (one.state, one.reason))).collect()
}

/// Runs, registered and healthy.
async fn serving(bench: &Bench, token: &str, subnet: &str, count: u32) -> Vec<InstanceId> {
    let hosts = bench.running(token, subnet, count).await;
    bench.cloud().register(&group(), &hosts).await.unwrap();
    bench.pass(20);
    let seen = health(bench).await;
    assert!(hosts.iter().all(|host| seen[host].0 == TargetState::Healthy), "{seen:?}");
    hosts
}

#[tokio::test]
async fn health_takes_time_and_draining_all_of_the_delay() {
    let bench = Bench::start(quiet()).await;
    let host = &bench.running("t1", "subnet-a", 1).await[0];
    bench.cloud().register(&group(), std::slice::from_ref(host)).await.unwrap();
    assert_eq!(health(&bench).await[host], (TargetState::Initial, "Elb.InitialHealthChecking".to_owned()));
    bench.pass(20);
    assert_eq!(health(&bench).await[host].0, TargetState::Healthy);

    bench.cloud().deregister(&group(), &[at_80(host)]).await.unwrap();
    for _ in 0..3 {
        bench.pass(99);
        let (state, reason) = health(&bench).await[host].clone();
        assert_eq!((state, reason.as_str()), (TargetState::Draining, "Target.DeregistrationInProgress"));
    }
    bench.pass(3);
    assert!(health(&bench).await.is_empty(), "after 300 s it is not listed any more");
    bench.cloud().deregister(&group(), &[at_80(host)]).await.unwrap();
}

#[tokio::test]
async fn only_running_instances_are_taken_and_all_or_none() {
    let bench = Bench::start(quiet()).await;
    let old = bench.running("t1", "subnet-a", 1).await;
    let new = bench.cloud().run_instances(&request("t2", "subnet-a", 1)).await.unwrap();
    let both = [old[0].clone(), new.instances[0].id.clone()];
    let error = bench.cloud().register(&group(), &both).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FailureClass::NotFound, "InvalidTarget"));
    assert!(health(&bench).await.is_empty());
    bench.pass(31);
    bench.cloud().register(&group(), &both).await.unwrap();
    bench.cloud().register(&group(), &both).await.unwrap();
    assert_eq!(health(&bench).await.len(), 2);
}

#[tokio::test]
async fn registering_again_revives_a_draining_target() {
    let bench = Bench::start(quiet()).await;
    let hosts = serving(&bench, "t1", "subnet-a", 1).await;
    bench.cloud().deregister(&group(), &[at_80(&hosts[0])]).await.unwrap();
    bench.pass(100);
    bench.cloud().register(&group(), &hosts).await.unwrap();
    bench.pass(250);
    assert_eq!(health(&bench).await[&hosts[0]].0, TargetState::Healthy, "the old drain is void");
}

#[tokio::test]
async fn a_target_is_known_by_its_port() {
    let bench = Bench::start(quiet()).await;
    let hosts = serving(&bench, "t1", "subnet-a", 1).await;
    let elsewhere = TargetId { host: hosts[0].clone(), port: 8080 };
    bench.cloud().deregister(&group(), &[elsewhere]).await.unwrap();
    assert_eq!(health(&bench).await[&hosts[0]].0, TargetState::Healthy, "another port is another target");
}

#[tokio::test]
async fn groups_say_their_port_and_delay_and_may_be_deleted() {
    let bench = Bench::start(quiet()).await;
    let known = bench.cloud().target_group(&group()).await.unwrap();
    assert_eq!((known.port, known.deregistration_delay.as_secs()), (80, 300));
    assert_eq!(known.target_type, "instance");
    let hosts = serving(&bench, "t1", "subnet-a", 1).await;
    bench.fault(&json!({ "fault": "delete_target_group", "target_group": group() }));
    let gone = [
        bench.cloud().target_group(&group()).await.unwrap_err(),
        bench.cloud().target_health(&group()).await.unwrap_err(),
        bench.cloud().register(&group(), &hosts).await.unwrap_err(),
        bench.cloud().deregister(&group(), &[at_80(&hosts[0])]).await.unwrap_err(),
    ];
    for error in gone {
        assert_eq!((error.class, error.code.as_str()), (FailureClass::NotFound, "TargetGroupNotFound"));
    }
    let unknown = TargetGroupArn::new("arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/x/1");
    assert_eq!(bench.cloud().target_group(&unknown).await.unwrap_err().class, FailureClass::NotFound);
}

#[tokio::test]
async fn sick_hosts_fail_their_checks_until_they_are_well() {
    let bench = Bench::start(quiet()).await;
    let zone = bench.fault(&json!({ "fault": "never_healthy", "zone": "eu-west-1b" }));
    let a = serving(&bench, "t1", "subnet-a", 1).await;
    let b = bench.running("t2", "subnet-b", 1).await;
    bench.cloud().register(&group(), &b).await.unwrap();
    bench.pass(60);
    let unwell = (TargetState::Unhealthy, "Target.FailedHealthChecks".to_owned());
    assert_eq!(health(&bench).await[&b[0]], unwell);
    bench.cloud().clear_fault(zone).unwrap();
    bench.pass(5);
    assert_eq!(health(&bench).await[&b[0]].0, TargetState::Healthy);

    bench.fault(&json!({ "fault": "never_healthy", "instance": a[0] }));
    assert_eq!(health(&bench).await[&a[0]], unwell, "one that was healthy, too");

    let next = bench.fault(&json!({ "fault": "never_healthy", "next": 1 }));
    let c = bench.running("t3", "subnet-c", 2).await;
    bench.cloud().clear_fault(next).unwrap();
    bench.cloud().register(&group(), &c).await.unwrap();
    bench.pass(60);
    let seen = health(&bench).await;
    let unhealthy = c.iter().filter(|host| seen[host].0 == TargetState::Unhealthy).count();
    assert_eq!(unhealthy, 1, "just one, and it stays so: {seen:?}");
}

#[tokio::test]
async fn dead_hosts_are_unused_and_silent_ones_unhealthy() {
    let bench = Bench::start(quiet()).await;
    let hosts = serving(&bench, "t1", "subnet-a", 3).await;
    bench.fault(&json!({ "fault": "kill_instance", "instance": hosts[0] }));
    bench.fault(&json!({ "fault": "kill_instance", "instance": hosts[1], "how": "unresponsive" }));
    let off = bench.fault(&json!({ "fault": "zone_not_enabled", "zone": "eu-west-1a" }));
    let seen = health(&bench).await;
    assert_eq!(seen[&hosts[0]], (TargetState::Unused, "Target.InvalidState".to_owned()));
    assert_eq!(seen[&hosts[2]], (TargetState::Unused, "Target.NotInUse".to_owned()));
    bench.cloud().clear_fault(off).unwrap();
    let seen = health(&bench).await;
    assert_eq!(seen[&hosts[1]], (TargetState::Unhealthy, "Target.Timeout".to_owned()));
    assert_eq!(seen[&hosts[2]].0, TargetState::Healthy);
}

#[tokio::test]
async fn draining_may_get_stuck() {
    let bench = Bench::start(quiet()).await;
    let hosts = serving(&bench, "t1", "subnet-a", 1).await;
    let stuck = bench.fault(&json!({ "fault": "stuck_draining" }));
    bench.cloud().deregister(&group(), &[at_80(&hosts[0])]).await.unwrap();
    bench.pass(1000);
    assert_eq!(health(&bench).await[&hosts[0]].0, TargetState::Draining);
    bench.cloud().clear_fault(stuck).unwrap();
    bench.pass(2);
    assert!(health(&bench).await.is_empty());
}

#[tokio::test]
async fn the_journal_says_of_each_termination_how_much_the_host_still_served() {
    let bench = Bench::start(quiet()).await;
    let hosts = serving(&bench, "t1", "subnet-a", 4).await;
    let new = bench.running("t2", "subnet-a", 1).await;
    bench.cloud().deregister(&group(), &[at_80(&hosts[0])]).await.unwrap();
    bench.pass(301);
    bench.cloud().deregister(&group(), &[at_80(&hosts[1])]).await.unwrap();
    bench.fault(&json!({ "fault": "kill_instance", "instance": hosts[3] }));
    bench.cloud().terminate(&[&hosts[..], &new[..]].concat()).await.unwrap();
    let verdicts: BTreeMap<String, String> = bench
        .journal()
        .iter()
        .filter(|entry| entry["kind"] == "termination")
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap().to_owned();
            (text("instance"), text("verdict"))
        })
        .collect();
    let expected = ["drained", "still_draining", "still_registered", "already_dead"];
    for (host, verdict) in hosts.iter().zip(expected) {
        assert_eq!(verdicts[host.as_str()], verdict);
    }
    assert_eq!(verdicts[new[0].as_str()], "never_registered");
}
