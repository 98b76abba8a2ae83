//! Tokens: zonal, bound to their bytes, spent with their instances.

use fleet_scaler::domain::failure::FailureClass::{Capacity, TokenMismatch, TokenSpent};
use fleet_scaler::domain::ids::InstanceType;
use fleet_scaler::domain::launch::Market;
use fleet_scaler::provider::InstanceState;
use serde_json::json;

use super::{Door, Subject, ids, is, through_both_doors};
use crate::simulated::request;

through_both_doors!(
    the_same_token_gives_the_same_instances_as_they_are_now,
    a_token_belongs_to_its_zone,
    a_token_is_bound_to_every_byte,
    a_refused_launch_binds_its_token_too,
    a_token_is_spent_once_all_its_instances_are_dead,
    a_dry_run_uses_no_token_up,
);

async fn the_same_token_gives_the_same_instances_as_they_are_now(door: Door) {
    let subject = Subject::quiet(door).await;
    let first = subject.run("t1", "subnet-a", 3).await.unwrap();
    assert!(first.instances.iter().all(|one| one.state == InstanceState::Pending));
    assert!(first.instances.is_sorted_by(|a, b| a.id < b.id), "ordered by id");
    subject.bench.pass(31);
    let again = subject.run("t1", "subnet-a", 3).await.unwrap();
    assert_eq!(ids(&first.instances), ids(&again.instances));
    assert!(again.instances.iter().all(|one| one.state == InstanceState::Running));
    assert!(first.request_id.is_some() && first.request_id != again.request_id);
    assert_eq!(subject.shown().await.len(), 3);
}

async fn a_token_belongs_to_its_zone(door: Door) {
    let subject = Subject::quiet(door).await;
    let a = subject.launch("t1", "subnet-a", 1).await;
    let b = subject.run("t1", "subnet-b", 1).await.unwrap();
    assert_ne!(a, ids(&b.instances), "in another zone the same token buys again");
    assert_eq!(b.instances[0].zone.as_str(), "eu-west-1b");
    assert_eq!(subject.shown().await.len(), 2);
}

async fn a_token_is_bound_to_every_byte(door: Door) {
    let subject = Subject::quiet(door).await;
    let first = request("t1", "subnet-a", 1);
    subject.cloud.run_instances(&first).await.unwrap();
    let mut changed = vec![first.clone(); 5];
    changed[0].max_count = 2;
    changed[1].pool.instance_type = Some(InstanceType::new("c7g.large"));
    changed[2].template.version = 2;
    changed[3].template.tags.insert("team".to_owned(), "ops".to_owned());
    changed[4].template.market = Market::Spot;
    for other in &changed {
        let refusal = subject.refused(other).await;
        assert_eq!(refusal, is(TokenMismatch, "IdempotentParameterMismatch"), "{other:?}");
    }
    assert_eq!(subject.shown().await.len(), 1);
}

async fn a_refused_launch_binds_its_token_too(door: Door) {
    let subject = Subject::quiet(door).await;
    let full = subject.fault(&json!({ "fault": "capacity", "zone": "eu-west-1a", "left": 0 }));
    let first = request("t1", "subnet-a", 1);
    assert_eq!(subject.refused(&first).await.0, Capacity);
    let mut other_type = first.clone();
    other_type.pool.instance_type = Some(InstanceType::new("c7g.large"));
    assert_eq!(subject.refused(&other_type).await.0, TokenMismatch);
    subject.bench.cloud().clear_fault(full).unwrap();
    let late = subject.cloud.run_instances(&first).await.unwrap();
    assert_eq!(late.instances.len(), 1, "the same bytes may try again");
}

async fn a_token_is_spent_once_all_its_instances_are_dead(door: Door) {
    let subject = Subject::quiet(door).await;
    let two = subject.running("t1", "subnet-a", 2).await;
    subject.cloud.terminate(&two[..1]).await.unwrap();
    assert_eq!(subject.launch("t1", "subnet-a", 2).await, two, "one of them lives");
    subject.cloud.terminate(&two[1..]).await.unwrap();
    let spent = is(TokenSpent, "IdempotentInstanceTerminated");
    let same = request("t1", "subnet-a", 2);
    assert_eq!(subject.refused(&same).await, spent);
    subject.bench.pass(2 * 3600);
    assert!(subject.shown().await.is_empty(), "an hour later nobody shows them");
    assert_eq!(subject.refused(&same).await, spent, "and the token remembers");
}

async fn a_dry_run_uses_no_token_up(door: Door) {
    let subject = Subject::quiet(door).await;
    subject.cloud.may_launch(&request("t1", "subnet-a", 4)).await.unwrap();
    assert!(subject.shown().await.is_empty());
    assert_eq!(subject.launch("t1", "subnet-a", 1).await.len(), 1, "other bytes, and no mismatch");
}
