//! What a cloud refuses to sell, and how: pools, the account, and too many calls.

use fleet_scaler::domain::failure::FailureClass::{self, Capacity, Denied, Invalid, Quota, Throttled};
use fleet_scaler::domain::ids::{InstanceType, OwnerName};
use fleet_scaler::provider::simulated::options::parts::Buckets;
use serde_json::json;

use super::{Door, Subject, is, through_both_doors, told};
use crate::simulated::{group, quiet, request};

through_both_doors!(
    short_capacity_launches_what_there_is,
    capacity_is_a_matter_of_zone_and_type,
    a_refusal_is_sent_exactly_once_whatever_its_status,
    quotas_are_the_accounts_and_not_a_pools,
    buckets_empty_and_fill_again,
    a_launch_also_takes_instances_out_of_a_bucket,
    counts_that_make_no_sense_are_refused,
);

async fn short_capacity_launches_what_there_is(door: Door) {
    let subject = Subject::quiet(door).await;
    subject.fault(&json!({ "fault": "capacity", "zone": "eu-west-1a", "left": 2 }));
    assert_eq!(subject.launch("t1", "subnet-a", 5).await.len(), 2, "Min is 1, Max is 5");
    assert_eq!(subject.launch("t1", "subnet-a", 5).await.len(), 2, "its replay asks for no more");
    let refusal = subject.refused(&request("t2", "subnet-a", 5)).await;
    assert_eq!(refusal, is(Capacity, "InsufficientInstanceCapacity"));
}

async fn capacity_is_a_matter_of_zone_and_type(door: Door) {
    let subject = Subject::quiet(door).await;
    let dry = json!({ "fault": "capacity", "zone": "eu-west-1a", "type": "m7g.large", "left": 0 });
    subject.fault(&dry);
    assert_eq!(subject.refused(&request("t1", "subnet-a", 1)).await.0, Capacity);
    assert_eq!(subject.launch("t2", "subnet-b", 1).await.len(), 1, "the zone next door is not empty");
    let mut other_type = request("t3", "subnet-a", 1);
    other_type.pool.instance_type = Some(InstanceType::new("c7g.large"));
    let reply = subject.cloud.run_instances(&other_type).await.unwrap();
    assert_eq!(reply.instances[0].instance_type.as_str(), "c7g.large", "nor is the type next to it");
}

/// The code, the status where it is not the usual one, and what a caller is to make of it.
const REFUSALS: [(&str, Option<u16>, FailureClass); 17] = [
    ("InsufficientInstanceCapacity", None, Capacity),
    ("InsufficientHostCapacity", None, Capacity),
    ("InsufficientReservedInstanceCapacity", None, Capacity),
    ("UnfulfillableCapacity", None, Capacity),
    ("UnfulfillableCapacity", Some(500), Capacity),
    ("ReservationCapacityExceeded", None, Capacity),
    ("InsufficientFreeAddressesInSubnet", None, Capacity),
    ("Unsupported", None, Capacity),
    ("VcpuLimitExceeded", None, Quota),
    ("MaxSpotInstanceCountExceeded", None, Quota),
    ("PendingVerification", None, Quota),
    ("RequestLimitExceeded", None, Throttled),
    ("InvalidAMIID.NotFound", None, Invalid),
    ("UnauthorizedOperation", None, Denied),
    ("AuthFailure", None, Denied),
    ("InternalError", None, FailureClass::Unknown),
    ("NeverHeardOf", Some(503), FailureClass::Unknown),
];

async fn a_refusal_is_sent_exactly_once_whatever_its_status(door: Door) {
    let subject = Subject::quiet(door).await;
    for (code, status, class) in REFUSALS {
        let before = subject.sent("RunInstances");
        let fault = json!({
            "fault": "error", "op": "RunInstances", "zone": "eu-west-1a", "code": code, "http_status": status,
        });
        let id = subject.fault(&fault);
        let error = subject.run("t1", "subnet-a", 1).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (class, code), "{error}");
        assert!(error.request_id.is_some() && error.message.contains("injected"), "{error:?}");
        assert_eq!(subject.sent("RunInstances") - before, 1, "{code}: nobody but the caller repeats it");
        subject.bench.cloud().clear_fault(id).unwrap();
    }
    assert!(subject.shown().await.is_empty());
}

async fn quotas_are_the_accounts_and_not_a_pools(door: Door) {
    let mut options = quiet();
    options.quota.vcpus = Some(6);
    let subject = Subject::start(door, options).await;
    let three = subject.launch("t1", "subnet-a", 5).await;
    assert_eq!(three.len(), 3, "two vCPUs each");
    for subnet in ["subnet-a", "subnet-b"] {
        assert_eq!(subject.refused(&request("t2", subnet, 1)).await, is(Quota, "VcpuLimitExceeded"));
    }
    subject.cloud.terminate(&three[..1]).await.unwrap();
    let mut large = request("t3", "subnet-b", 1);
    large.pool.instance_type = Some(InstanceType::new("m7g.xlarge"));
    assert_eq!(subject.refused(&large).await, is(Quota, "VcpuLimitExceeded"), "two are free, four asked for");
    subject.launch("t4", "subnet-b", 1).await;
    subject.fault(&json!({ "fault": "quota", "instances": 3 }));
    assert_eq!(subject.refused(&request("t5", "subnet-b", 1)).await, is(Quota, "InstanceLimitExceeded"));
}

async fn buckets_empty_and_fill_again(door: Door) {
    let mut options = quiet();
    options.buckets = Buckets::Documented;
    let subject = Subject::start(door, options).await;
    for n in 0..8 {
        let answer = subject.run(&format!("t{n}"), "subnet-a", 1).await;
        match n {
            0..5 => assert_eq!(answer.unwrap().instances.len(), 1, "five calls fit into the bucket"),
            _ => assert_eq!(told(answer), is(Throttled, "RequestLimitExceeded")),
        }
    }
    subject.bench.pass(1);
    subject.launch("t8", "subnet-a", 1).await;

    subject.fault(&json!({ "fault": "throttle", "op": "DescribeInstances", "size": 0.0 }));
    let owner = OwnerName::new("prod-1");
    assert_eq!(told(subject.cloud.instances(&owner).await), is(Throttled, "RequestLimitExceeded"));
    subject.fault(&json!({ "fault": "throttle", "op": "DescribeTargetHealth", "size": 0.0 }));
    assert_eq!(told(subject.cloud.target_health(&group()).await), is(Throttled, "Throttling"));
    subject.fault(&json!({ "fault": "throttle", "op": "DescribeTargetGroupAttributes", "size": 0.0 }));
    assert_eq!(told(subject.cloud.target_group(&group()).await), is(Throttled, "Throttling"));
    subject.bench.cloud().clear_faults();
    assert_eq!(subject.shown().await.len(), 6);
}

async fn a_launch_also_takes_instances_out_of_a_bucket(door: Door) {
    let mut options = quiet();
    options.buckets = Buckets::Documented;
    let subject = Subject::start(door, options).await;
    assert_eq!(subject.launch("t1", "subnet-a", 990).await.len(), 990);
    let refusal = subject.refused(&request("t2", "subnet-a", 20)).await;
    assert_eq!(refusal, is(Throttled, "RequestLimitExceeded"), "ten are left in it");
    assert_eq!(subject.launch("t3", "subnet-a", 5).await.len(), 5);
}

async fn counts_that_make_no_sense_are_refused(door: Door) {
    let subject = Subject::quiet(door).await;
    for count in [0, 1001] {
        let refusal = subject.refused(&request("t1", "subnet-a", count)).await;
        assert_eq!(refusal, is(Invalid, "InvalidParameterValue"), "{count}");
    }
}
