//! Launching and terminating: tokens, capacity, quota, lags, batches.

use std::time::Duration;

use fleet_scaler::domain::failure::FailureClass;
use fleet_scaler::domain::ids::{InstanceId, InstanceType, LaunchId, OwnerName, SubnetId};
use fleet_scaler::domain::launch::TemplateRef;
use fleet_scaler::domain::tags;
use fleet_scaler::provider::simulated::options::CloudOptions;
use fleet_scaler::provider::simulated::options::parts::{Buckets, Span};
use fleet_scaler::provider::{CloudProvider, InstanceState};
use serde_json::json;

use super::{Bench, quiet, request};

fn ids(reply: &fleet_scaler::provider::RunReply) -> Vec<InstanceId> {
    reply.instances.iter().map(|one| one.id.clone()).collect()
}

#[tokio::test]
async fn the_same_token_gives_the_same_instances_as_they_are_now() {
    let bench = Bench::start(quiet()).await;
    let first = bench.cloud().run_instances(&request("t1", "subnet-a", 2)).await.unwrap();
    assert!(first.instances.iter().all(|one| one.state == InstanceState::Pending));
    bench.pass(31);
    let again = bench.cloud().run_instances(&request("t1", "subnet-a", 2)).await.unwrap();
    assert_eq!(ids(&first), ids(&again));
    assert!(again.instances.iter().all(|one| one.state == InstanceState::Running));
    assert_ne!(first.request_id, again.request_id);
    assert_eq!(bench.shown().await.len(), 2);
}

#[tokio::test]
async fn a_token_belongs_to_its_zone() {
    let bench = Bench::start(quiet()).await;
    let a = bench.cloud().run_instances(&request("t1", "subnet-a", 1)).await.unwrap();
    let b = bench.cloud().run_instances(&request("t1", "subnet-b", 1)).await.unwrap();
    assert_ne!(ids(&a), ids(&b), "in another zone the same token buys again");
    assert_eq!(b.instances[0].zone.as_str(), "eu-west-1b");
    assert_eq!(bench.shown().await.len(), 2);
}

#[tokio::test]
async fn a_token_is_bound_to_its_parameters_also_after_a_refusal() {
    let bench = Bench::start(quiet()).await;
    let code = async |request| bench.cloud().run_instances(&request).await.unwrap_err();
    bench.cloud().run_instances(&request("t1", "subnet-a", 1)).await.unwrap();
    let mismatch = code(request("t1", "subnet-a", 2)).await;
    assert_eq!(mismatch.class, FailureClass::TokenMismatch);
    assert_eq!(mismatch.code, "IdempotentParameterMismatch");

    let full = bench.fault(&json!({ "fault": "capacity", "zone": "eu-west-1a", "left": 0 }));
    assert_eq!(code(request("t2", "subnet-a", 1)).await.class, FailureClass::Capacity);
    let mut other_type = request("t2", "subnet-a", 1);
    other_type.pool.instance_type = Some(InstanceType::new("c7g.large"));
    assert_eq!(code(other_type).await.class, FailureClass::TokenMismatch);
    bench.cloud().clear_fault(full).unwrap();
    let late = bench.cloud().run_instances(&request("t2", "subnet-a", 1)).await.unwrap();
    assert_eq!(late.instances.len(), 1, "the same bytes may try again");
}

#[tokio::test]
async fn a_token_is_spent_once_all_its_instances_are_dead() {
    let bench = Bench::start(quiet()).await;
    let two = bench.running("t1", "subnet-a", 2).await;
    bench.cloud().terminate(&two[..1]).await.unwrap();
    let half = bench.cloud().run_instances(&request("t1", "subnet-a", 2)).await.unwrap();
    assert_eq!(ids(&half), two, "one of them lives");
    bench.cloud().terminate(&two[1..]).await.unwrap();
    let spent = bench.cloud().run_instances(&request("t1", "subnet-a", 2)).await.unwrap_err();
    assert_eq!(
        (spent.class, spent.code.as_str()),
        (FailureClass::TokenSpent, "IdempotentInstanceTerminated")
    );
    bench.pass(2 * 3600);
    assert!(bench.shown().await.is_empty(), "an hour later nobody shows them");
    let spent = bench.cloud().run_instances(&request("t1", "subnet-a", 2)).await.unwrap_err();
    assert_eq!(spent.class, FailureClass::TokenSpent, "and the token remembers");
}

#[tokio::test]
async fn short_capacity_launches_what_there_is() {
    let bench = Bench::start(quiet()).await;
    bench.fault(&json!({ "fault": "capacity", "zone": "eu-west-1a", "type": "m7g.large", "left": 2 }));
    let some = bench.cloud().run_instances(&request("t1", "subnet-a", 5)).await.unwrap();
    assert_eq!(some.instances.len(), 2);
    let none = bench.cloud().run_instances(&request("t2", "subnet-a", 5)).await.unwrap_err();
    assert_eq!((none.class, none.code.as_str()), (FailureClass::Capacity, "InsufficientInstanceCapacity"));
    let other_zone = bench.cloud().run_instances(&request("t3", "subnet-b", 5)).await.unwrap();
    assert_eq!(other_zone.instances.len(), 5, "the pool next door is not empty");
}

#[tokio::test]
async fn quotas_are_the_accounts_and_not_a_pools() {
    let mut options = quiet();
    options.quota.vcpus = Some(6);
    let bench = Bench::start(options).await;
    let three = bench.cloud().run_instances(&request("t1", "subnet-a", 5)).await.unwrap();
    assert_eq!(three.instances.len(), 3, "two vCPUs each");
    for subnet in ["subnet-a", "subnet-b"] {
        let error = bench.cloud().run_instances(&request("t2", subnet, 1)).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (FailureClass::Quota, "VcpuLimitExceeded"));
    }
    bench.cloud().terminate(&ids(&three)[..1]).await.unwrap();
    bench.cloud().run_instances(&request("t3", "subnet-b", 1)).await.unwrap();
    bench.fault(&json!({ "fault": "quota", "instances": 3 }));
    let error = bench.cloud().run_instances(&request("t4", "subnet-b", 1)).await.unwrap_err();
    assert_eq!(error.code, "InstanceLimitExceeded");
}

#[tokio::test]
async fn describes_lag_behind_launches_and_tokens_do_not() {
    let mut options = quiet();
    options.visibility_lag = Span::exactly(Duration::from_secs(8));
    let bench = Bench::start(options).await;
    let new = ids(&bench.cloud().run_instances(&request("t1", "subnet-a", 1)).await.unwrap());
    assert!(bench.shown().await.is_empty());
    let error = bench.cloud().terminate(&new).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FailureClass::NotFound, "InvalidInstanceID.NotFound"));
    assert_eq!(ids(&bench.cloud().run_instances(&request("t1", "subnet-a", 1)).await.unwrap()), new);
    bench.pass(8);
    assert_eq!(bench.shown().await.len(), 1);

    bench.fault(&json!({ "fault": "visibility_lag", "ms": 60_000 }));
    bench.cloud().run_instances(&request("t2", "subnet-a", 1)).await.unwrap();
    bench.pass(59);
    assert_eq!(bench.shown().await.len(), 1);
    bench.pass(1);
    assert_eq!(bench.shown().await.len(), 2);
}

#[tokio::test]
async fn instances_are_found_by_their_launch() {
    let bench = Bench::start(quiet()).await;
    let launch = LaunchId(uuid::Uuid::from_u128(7));
    let mut tagged = request("t1", "subnet-c", 2);
    tagged.template.tags.insert(tags::LAUNCH.to_owned(), launch.to_string());
    let new = ids(&bench.cloud().run_instances(&tagged).await.unwrap());
    bench.cloud().run_instances(&request("t2", "subnet-c", 1)).await.unwrap();
    let found = bench.cloud().instances_of_launch(launch).await.unwrap();
    assert_eq!(found.iter().map(|one| one.id.clone()).collect::<Vec<_>>(), new);
    assert_eq!(found[0].tags, tagged.template.tags);
    assert!(bench.cloud().instances(&OwnerName::new("prod-2")).await.unwrap().is_empty());
}

#[tokio::test]
async fn one_bad_id_fails_the_batch() {
    let bench = Bench::start(quiet()).await;
    let mut hosts = bench.running("t1", "subnet-a", 2).await;
    hosts.push(InstanceId::new("i-00000000000000000"));
    let error = bench.cloud().terminate(&hosts).await.unwrap_err();
    assert_eq!(error.class, FailureClass::NotFound);
    assert!(error.message.contains("i-00000000000000000"), "{error}");
    assert!(bench.shown().await.iter().all(|one| one.state == InstanceState::Running));

    hosts.pop();
    let guard = bench.fault(&json!({ "fault": "protect", "instance": hosts[1] }));
    let error = bench.cloud().terminate(&hosts).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FailureClass::Protected, "OperationNotPermitted"));
    assert!(bench.shown().await.iter().all(|one| one.state == InstanceState::Running));
    bench.cloud().terminate(&hosts[..1]).await.unwrap();
    bench.cloud().clear_fault(guard).unwrap();
    bench.cloud().terminate(&hosts).await.unwrap();
    bench.cloud().terminate(&hosts).await.unwrap();
    bench.pass(11);
    let dead = bench.shown().await;
    assert!(dead.iter().all(|one| one.state == InstanceState::Terminated && one.address.is_none()));
}

#[tokio::test]
async fn templates_and_subnets_are_looked_up() {
    let bench = Bench::start(quiet()).await;
    let by_name = TemplateRef::Name("web".to_owned());
    let by_id = TemplateRef::Id("lt-demo".to_owned());
    for (version, number) in [("$Latest", 3), ("$Default", 1), ("2", 2)] {
        assert_eq!(bench.cloud().template_version(&by_name, version).await.unwrap(), number);
        assert_eq!(bench.cloud().template_version(&by_id, version).await.unwrap(), number);
    }
    for (template, version) in [(&by_id, "4"), (&TemplateRef::Id("lt-none".to_owned()), "$Latest")] {
        let error = bench.cloud().template_version(template, version).await.unwrap_err();
        assert_eq!(error.class, FailureClass::NotFound, "{error}");
    }
    let subnets = [SubnetId::new("subnet-b"), SubnetId::new("subnet-a")];
    let found = bench.cloud().subnets(&subnets).await.unwrap();
    assert_eq!(found.iter().map(|one| one.zone.as_str()).collect::<Vec<_>>(), ["eu-west-1b", "eu-west-1a"]);
    let error = bench.cloud().subnets(&[SubnetId::new("subnet-z")]).await.unwrap_err();
    assert!(error.class == FailureClass::NotFound && error.message.contains("subnet-z"), "{error}");

    bench.cloud().may_launch(&request("t1", "subnet-a", 1)).await.unwrap();
    let error = bench.cloud().may_launch(&request("t1", "subnet-z", 1)).await.unwrap_err();
    assert_eq!(error.class, FailureClass::NotFound);
    assert!(bench.shown().await.is_empty(), "a dry run launches nothing");
}

#[tokio::test]
async fn buckets_empty_and_fill_again() {
    let mut options = quiet();
    options.buckets = Buckets::Documented;
    let bench = Bench::start(options).await;
    let mut throttled = 0;
    for n in 0..8 {
        match bench.cloud().run_instances(&request(&format!("t{n}"), "subnet-a", 1)).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(
                    (error.class, error.code.as_str()),
                    (FailureClass::Throttled, "RequestLimitExceeded")
                );
                throttled += 1;
            }
        }
    }
    assert_eq!(throttled, 3, "five calls fit into the bucket");
    bench.pass(1);
    bench.cloud().run_instances(&request("t9", "subnet-a", 1)).await.unwrap();

    bench.fault(&json!({ "fault": "throttle", "op": "DescribeInstances", "size": 0.0 }));
    let error = bench.cloud().instances(&OwnerName::new("prod-1")).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Throttled);
    let wider = bench.fault(&json!({ "fault": "throttle", "op": "DescribeInstances", "size": 1.0 }));
    bench.cloud().instances(&OwnerName::new("prod-1")).await.unwrap();
    bench.cloud().clear_fault(wider).unwrap();
    let error = bench.cloud().instances(&OwnerName::new("prod-1")).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Throttled, "the fault below it is still in force");
    bench.cloud().clear_faults();
    assert_eq!(bench.shown().await.len(), 6);
}

#[tokio::test]
async fn the_same_seed_is_the_same_cloud() {
    let story = async |seed: u64| {
        let bench = Bench::start(CloudOptions::default().with_host_port(None).with_seed(seed)).await;
        for step in 0..5 {
            bench.cloud().run_instances(&request(&format!("t{step}"), "subnet-a", 3)).await.unwrap();
            bench.pass(7);
        }
        bench.pass(600);
        bench.journal()
    };
    let (one, again, other) = (story(5).await, story(5).await, story(6).await);
    assert_eq!(one, again);
    assert_ne!(one, other);
    let boots: Vec<&str> = one
        .iter()
        .filter(|entry| entry["kind"] == "instance" && entry["to"] == "running")
        .map(|entry| entry["at"].as_str().unwrap())
        .collect();
    assert_eq!(boots.len(), 15);
    assert!(boots.windows(2).all(|pair| pair[0] <= pair[1]), "what is due happens in order");
    assert_ne!(boots[0], boots[14], "and not all at once");
}

#[tokio::test]
async fn machines_die_by_themselves() {
    let mut options = quiet();
    options.mean_lifetime = Duration::from_mins(10);
    let bench = Bench::start(options).await;
    bench.cloud().run_instances(&request("t1", "subnet-a", 40)).await.unwrap();
    bench.pass(600);
    let dead = bench.shown().await.iter().filter(|one| one.state == InstanceState::Terminated).count();
    assert!((10..40).contains(&dead), "{dead} of 40 after one mean lifetime");
}
