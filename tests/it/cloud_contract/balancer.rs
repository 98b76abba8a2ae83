//! Target groups: who is taken, how long health takes, and how long a target that leaves is still there.

use std::collections::BTreeMap;

use fleet_scaler::domain::failure::FailureClass::NotFound;
use fleet_scaler::domain::ids::{InstanceId, TargetGroupArn};
use fleet_scaler::provider::{TargetId, TargetState};
use serde_json::json;

use super::{Door, Subject, is, through_both_doors, told};
use crate::simulated::group;

through_both_doors!(
    health_takes_time_and_draining_all_of_the_delay,
    only_running_instances_are_taken_and_all_or_none,
    registering_again_revives_a_draining_target,
    a_target_is_known_by_its_port,
    letting_go_of_what_is_not_there_is_no_error,
    groups_say_their_port_and_delay_and_may_be_deleted,
    sick_hosts_fail_their_checks_until_they_are_well,
    dead_hosts_are_unused_and_silent_ones_unhealthy,
    a_zone_that_is_not_enabled_is_not_in_use,
    draining_may_get_stuck,
);

fn at(host: &InstanceId, port: u16) -> TargetId {
    TargetId { host: host.clone(), port }
}

async fn health(subject: &Subject) -> BTreeMap<InstanceId, (TargetState, String)> {
    let found = subject.cloud.target_health(&group()).await.unwrap();
    assert!(found.is_sorted_by(|a, b| a.target < b.target), "ordered by instance and port");
    found.into_iter().map(|one| (one.target.host, (one.state, one.reason))).collect()
}

fn says(state: TargetState, reason: &str) -> (TargetState, String) {
    (state, reason.to_owned())
}

/// Runs, registered and healthy.
async fn serving(subject: &Subject, token: &str, subnet: &str, count: u32) -> Vec<InstanceId> {
    let hosts = subject.running(token, subnet, count).await;
    subject.cloud.register(&group(), &hosts).await.unwrap();
    subject.bench.pass(20);
    let seen = health(subject).await;
    assert!(hosts.iter().all(|host| seen[host] == says(TargetState::Healthy, "")), "{seen:?}");
    hosts
}

async fn health_takes_time_and_draining_all_of_the_delay(door: Door) {
    let subject = Subject::quiet(door).await;
    let host = &subject.running("t1", "subnet-a", 1).await[0];
    subject.cloud.register(&group(), std::slice::from_ref(host)).await.unwrap();
    assert_eq!(health(&subject).await[host], says(TargetState::Initial, "Elb.InitialHealthChecking"));
    subject.bench.pass(20);
    assert_eq!(health(&subject).await[host].0, TargetState::Healthy);

    subject.cloud.deregister(&group(), &[at(host, 80)]).await.unwrap();
    let draining = says(TargetState::Draining, "Target.DeregistrationInProgress");
    for _ in 0..3 {
        subject.bench.pass(99);
        assert_eq!(health(&subject).await[host], draining);
        subject.cloud.deregister(&group(), &[at(host, 80)]).await.unwrap();
    }
    subject.bench.pass(3);
    assert!(health(&subject).await.is_empty(), "after 300 s of the first call it is not listed any more");
}

async fn only_running_instances_are_taken_and_all_or_none(door: Door) {
    let subject = Subject::quiet(door).await;
    let old = subject.running("t1", "subnet-a", 1).await;
    let new = subject.launch("t2", "subnet-a", 1).await;
    let both = [&old[..], &new[..]].concat();
    assert_eq!(told(subject.cloud.register(&group(), &both).await), is(NotFound, "InvalidTarget"));
    let stranger = [InstanceId::new("i-00000000000000000")];
    assert_eq!(told(subject.cloud.register(&group(), &stranger).await), is(NotFound, "InvalidTarget"));
    assert!(health(&subject).await.is_empty());
    subject.bench.pass(31);
    subject.cloud.register(&group(), &both).await.unwrap();
    subject.cloud.register(&group(), &both).await.unwrap();
    assert_eq!(health(&subject).await.len(), 2);
    subject.cloud.terminate(&new).await.unwrap();
    assert_eq!(told(subject.cloud.register(&group(), &new).await).0, NotFound, "nor one that is dying");
}

async fn registering_again_revives_a_draining_target(door: Door) {
    let subject = Subject::quiet(door).await;
    let hosts = serving(&subject, "t1", "subnet-a", 1).await;
    subject.cloud.deregister(&group(), &[at(&hosts[0], 80)]).await.unwrap();
    subject.bench.pass(100);
    subject.cloud.register(&group(), &hosts).await.unwrap();
    assert_eq!(health(&subject).await[&hosts[0]].0, TargetState::Initial);
    subject.bench.pass(250);
    assert_eq!(health(&subject).await[&hosts[0]].0, TargetState::Healthy, "the old drain is void");
}

async fn a_target_is_known_by_its_port(door: Door) {
    let subject = Subject::quiet(door).await;
    let hosts = serving(&subject, "t1", "subnet-a", 1).await;
    subject.cloud.deregister(&group(), &[at(&hosts[0], 8080)]).await.unwrap();
    assert_eq!(health(&subject).await[&hosts[0]].0, TargetState::Healthy, "another port is another target");
}

async fn letting_go_of_what_is_not_there_is_no_error(door: Door) {
    let subject = Subject::quiet(door).await;
    let host = subject.running("t1", "subnet-a", 1).await.remove(0);
    let never = at(&host, 80);
    let nowhere = at(&InstanceId::new("i-00000000000000000"), 80);
    let receipt = subject.cloud.deregister(&group(), &[never, nowhere]).await.unwrap();
    assert!(receipt.request_id.is_some());
    assert!(health(&subject).await.is_empty());
}

async fn groups_say_their_port_and_delay_and_may_be_deleted(door: Door) {
    let subject = Subject::quiet(door).await;
    let known = subject.cloud.target_group(&group()).await.unwrap();
    assert_eq!((known.arn, known.port, known.deregistration_delay.as_secs()), (group(), 80, 300));
    assert_eq!(known.target_type, "instance");
    let hosts = serving(&subject, "t1", "subnet-a", 1).await;
    subject.fault(&json!({ "fault": "delete_target_group", "target_group": group() }));
    let never = TargetGroupArn::new("arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/x/1");
    for arn in [group(), never] {
        let gone = is(NotFound, "TargetGroupNotFound");
        assert_eq!(told(subject.cloud.target_group(&arn).await), gone);
        assert_eq!(told(subject.cloud.target_health(&arn).await), gone);
        assert_eq!(told(subject.cloud.register(&arn, &hosts).await), gone);
        assert_eq!(told(subject.cloud.deregister(&arn, &[at(&hosts[0], 80)]).await), gone);
    }
}

async fn sick_hosts_fail_their_checks_until_they_are_well(door: Door) {
    let subject = Subject::quiet(door).await;
    let zone = subject.fault(&json!({ "fault": "never_healthy", "zone": "eu-west-1b" }));
    let a = serving(&subject, "t1", "subnet-a", 1).await;
    let b = subject.running("t2", "subnet-b", 1).await;
    subject.cloud.register(&group(), &b).await.unwrap();
    subject.bench.pass(60);
    let unwell = says(TargetState::Unhealthy, "Target.FailedHealthChecks");
    assert_eq!(health(&subject).await[&b[0]], unwell);
    subject.bench.cloud().clear_fault(zone).unwrap();
    subject.bench.pass(5);
    assert_eq!(health(&subject).await[&b[0]].0, TargetState::Healthy);

    subject.fault(&json!({ "fault": "never_healthy", "instance": a[0] }));
    assert_eq!(health(&subject).await[&a[0]], unwell, "one that was healthy, too");

    let next = subject.fault(&json!({ "fault": "never_healthy", "next": 1 }));
    let c = subject.running("t3", "subnet-c", 2).await;
    subject.bench.cloud().clear_fault(next).unwrap();
    subject.cloud.register(&group(), &c).await.unwrap();
    subject.bench.pass(60);
    let seen = health(&subject).await;
    let unhealthy = c.iter().filter(|host| seen[host].0 == TargetState::Unhealthy).count();
    assert_eq!(unhealthy, 1, "just one, and it stays so: {seen:?}");
}

async fn dead_hosts_are_unused_and_silent_ones_unhealthy(door: Door) {
    let subject = Subject::quiet(door).await;
    let hosts = serving(&subject, "t1", "subnet-a", 2).await;
    subject.fault(&json!({ "fault": "kill_instance", "instance": hosts[0] }));
    subject.fault(&json!({ "fault": "kill_instance", "instance": hosts[1], "how": "unresponsive" }));
    let seen = health(&subject).await;
    assert_eq!(seen[&hosts[0]], says(TargetState::Unused, "Target.InvalidState"));
    assert_eq!(seen[&hosts[1]], says(TargetState::Unhealthy, "Target.Timeout"));
}

async fn a_zone_that_is_not_enabled_is_not_in_use(door: Door) {
    let subject = Subject::quiet(door).await;
    let a = serving(&subject, "t1", "subnet-a", 1).await;
    let b = serving(&subject, "t2", "subnet-b", 1).await;
    let off = subject.fault(&json!({ "fault": "zone_not_enabled", "zone": "eu-west-1b" }));
    let seen = health(&subject).await;
    assert_eq!(seen[&b[0]], says(TargetState::Unused, "Target.NotInUse"));
    assert_eq!(seen[&a[0]].0, TargetState::Healthy);
    subject.bench.cloud().clear_fault(off).unwrap();
    assert_eq!(health(&subject).await[&b[0]].0, TargetState::Healthy);
}

async fn draining_may_get_stuck(door: Door) {
    let subject = Subject::quiet(door).await;
    let hosts = serving(&subject, "t1", "subnet-a", 1).await;
    let stuck = subject.fault(&json!({ "fault": "stuck_draining" }));
    subject.cloud.deregister(&group(), &[at(&hosts[0], 80)]).await.unwrap();
    subject.bench.pass(1000);
    assert_eq!(health(&subject).await[&hosts[0]].0, TargetState::Draining);
    subject.bench.cloud().clear_fault(stuck).unwrap();
    subject.bench.pass(2);
    assert!(health(&subject).await.is_empty());
}
