//! Hosts: one writer, by compare-and-set, along the arrows of the state machine and no others.

use std::collections::BTreeSet;

use fleet_scaler::domain::host::{Drain, DrainReason, Host, HostState, Step};
use fleet_scaler::domain::ids::{FleetName, InstanceId, TargetGroupArn};
use fleet_scaler::domain::time::{Timestamp, after};
use fleet_scaler::store::{Fence, HostChange, StoreError};

use super::fixture::{GROUP, HOUR, World, begin_drain, host, launch, take};
use super::subject::on_both_stores;

on_both_stores![
    a_whole_life_is_stored_state_by_state,
    a_write_from_an_old_version_is_a_conflict,
    of_many_writers_of_one_version_one_wins,
    another_fleets_fence_moves_no_host_of_this_one,
    an_address_is_learned_without_a_step,
    a_cancelled_drain_costs_no_budget_and_leaves_the_way_free_for_another,
    the_budget_counts_drains_of_every_reason_within_its_span,
    hosts_of_one_fleet_are_not_anothers,
];

async fn a_whole_life_is_stored_state_by_state(world: World) {
    let mut host = world.healthy_host("a").await;
    assert_eq!(world.load().await.hosts, std::slice::from_ref(&host));
    let deadline = after(world.now().await, HOUR);
    let started_at = world.now().await;
    let drain =
        Drain { reason: DrainReason::Unhealthy, started_at, groups: vec![TargetGroupArn::new(GROUP)] };
    for step in [
        Step::BecomeUnhealthy,
        Step::BecomeHealthy,
        Step::BecomeUnhealthy,
        Step::BeginDrain { drain },
        Step::Deregister { deadline },
        Step::Terminate,
    ] {
        host = world.step(&host, step).await;
        assert_eq!(world.load().await.hosts, std::slice::from_ref(&host));
    }
    host = world.step(&host, Step::ConfirmTerminated).await;
    let stored = world.load().await;
    assert_eq!((stored.hosts, stored.ended), (vec![], vec![host.id.clone()]));
    assert_eq!(world.store.hosts_recent(&world.fence.fleet).await.unwrap(), std::slice::from_ref(&host));
    assert_eq!(world.store.host_find(&host.id).await.unwrap(), Some(host));
    assert_eq!(world.store.host_find(&InstanceId::new("i-none")).await.unwrap(), None);
}

async fn a_write_from_an_old_version_is_a_conflict(world: World) {
    let host = world.healthy_host("a").await;
    world.step(&host, Step::BecomeUnhealthy).await;
    let result = world.try_step(&host, Step::Lose).await;
    let Err(StoreError::Conflict(sentence)) = result else { panic!("{result:?}") };
    assert!(sentence.contains("i-a0") && sentence.contains("unhealthy"), "{sentence}");
}

async fn of_many_writers_of_one_version_one_wins(world: World) {
    let host = world.healthy_host("a").await;
    let results =
        futures::future::join_all((0..8).map(|_| world.try_step(&host, Step::BecomeUnhealthy))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
}

async fn another_fleets_fence_moves_no_host_of_this_one(world: World) {
    let host = world.healthy_host("a").await;
    let other: Fence = take(&*world.store, "db", "replica-1").await;
    let after = host.clone().advance(&Step::Lose, world.now().await).unwrap();
    let change = HostChange { after, step: Some(Step::Lose) };
    let result = world.store.host_advance(&other, &change).await;
    assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
}

async fn an_address_is_learned_without_a_step(world: World) {
    let host = world.healthy_host("a").await;
    let after = Host { address: Some("10.0.3.7".parse().unwrap()), version: host.version + 1, ..host };
    let change = HostChange { after: after.clone(), step: None };
    world.store.host_advance(&world.fence, &change).await.unwrap();
    assert_eq!(world.load().await.hosts, [after]);
}

async fn a_cancelled_drain_costs_no_budget_and_leaves_the_way_free_for_another(world: World) {
    let host = world.healthy_host("a").await;
    let (_, draining) = world.scale_in(std::slice::from_ref(&host), DrainReason::ScaleIn).await;
    assert_eq!(world.load().await.drains_in_budget.len(), 1);
    let host = world.step(&draining[0], Step::CancelDrain).await;
    assert!(world.load().await.drains_in_budget.is_empty());
    let host = world.step(&host, Step::BecomeHealthy).await;
    assert_eq!(world.load().await.hosts, std::slice::from_ref(&host));
    world.scale_in(&[host], DrainReason::Operator).await;
    assert_eq!(world.load().await.drains_in_budget.len(), 1);
}

async fn the_budget_counts_drains_of_every_reason_within_its_span(world: World) {
    for (n, reason) in DrainReason::ALL.into_iter().enumerate() {
        let host = world.healthy_host(&format!("{n}x")).await;
        world.scale_in(&[host], reason).await;
    }
    let stored = world.load().await;
    assert_eq!(stored.drains_in_budget.len(), DrainReason::ALL.len());
    assert!(stored.drains_in_budget.is_sorted());
    let none = world.store.fleet_load(&world.fence.fleet, HOUR, std::time::Duration::ZERO).await.unwrap();
    assert!(none.drains_in_budget.is_empty());
}

#[tokio::test]
async fn a_host_has_one_open_drain() {
    let world = World::new().await;
    let host = world.healthy_host("a").await;
    world.scale_in(&[host], DrainReason::ScaleIn).await;
    let error = sqlx::query(
        "INSERT INTO scaler.drain (instance_id, fleet, reason, groups, started_at)
         VALUES ('i-a0', 'web', 'operator', '{}', now())",
    )
    .execute(&world.db().pool())
    .await
    .unwrap_err();
    assert!(error.to_string().contains("drain_one_open"), "{error}");
}

#[tokio::test]
async fn no_drain_is_terminated_before_it_was_deregistered() {
    let world = World::new().await;
    let host = world.healthy_host("a").await;
    world.scale_in(&[host], DrainReason::ScaleIn).await;
    let error = sqlx::query("UPDATE scaler.drain SET terminating_at = now()")
        .execute(&world.db().pool())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("deregister_before_terminate"), "{error}");
}

/// One host in every state.
fn one_of_each(template: &Host, at: Timestamp) -> Vec<Host> {
    let drain = Drain { reason: DrainReason::ScaleIn, started_at: at, groups: vec![] };
    let states = [
        HostState::Pending { since: at },
        HostState::Running { since: at },
        HostState::Registered { since: at },
        HostState::Healthy { since: at },
        HostState::Unhealthy { since: at },
        HostState::Draining { drain: drain.clone() },
        HostState::Deregistered { drain: drain.clone(), since: at, deadline: at },
        HostState::Terminating { drain, since: at },
        HostState::Terminated { since: at, reason: DrainReason::ScaleIn },
        HostState::Lost { since: at },
    ];
    states.into_iter().map(|state| Host { state, ..template.clone() }).collect()
}

#[tokio::test]
async fn the_schema_has_the_arrows_of_the_state_machine_and_no_others() {
    let world = World::new().await;
    let now = world.now().await;
    let template = host(&launch(&world.fence, super::fixture::decision_id(), 1, now), "i-x", now);
    let drain = Drain { reason: DrainReason::ScaleIn, started_at: now, groups: vec![] };
    let steps = [
        Step::Run,
        Step::Register,
        Step::BecomeHealthy,
        Step::BecomeUnhealthy,
        Step::BeginDrain { drain },
        Step::CancelDrain,
        Step::Deregister { deadline: now },
        Step::Terminate,
        Step::ConfirmTerminated,
        Step::Lose,
    ];
    let mut arrows = BTreeSet::new();
    for before in one_of_each(&template, now) {
        for healthy_at in [None, Some(now)] {
            for step in &steps {
                let host = Host { healthy_at, ..before.clone() };
                if let Ok(after) = host.advance(step, now)
                    && after.state.name() != before.state.name()
                {
                    arrows.insert((before.state.name().to_owned(), after.state.name().to_owned()));
                }
            }
        }
    }
    let schema: Vec<(String, String)> = sqlx::query_as(
        "SELECT a::text, b::text FROM unnest(enum_range(NULL::scaler.host_state)) a,
             unnest(enum_range(NULL::scaler.host_state)) b
         WHERE a <> b AND scaler.host_may(a, b)",
    )
    .fetch_all(&world.db().pool())
    .await
    .unwrap();
    assert_eq!(schema.into_iter().collect::<BTreeSet<_>>(), arrows);
}

#[tokio::test]
async fn the_schema_refuses_what_the_program_must_never_write() {
    let world = World::new().await;
    let host = world.healthy_host("a").await;
    let gone = world.healthy_host("b").await;
    world.step(&gone, Step::Lose).await;
    let version = host.version + 1;
    for (statement, why) in [
        ("UPDATE scaler.host SET zone = 'x' WHERE instance_id = 'i-a0'".to_owned(), "version rises by one"),
        (
            format!(
                "UPDATE scaler.host SET state = 'terminated', version = {version} WHERE instance_id = 'i-a0'"
            ),
            "cannot go from healthy to terminated",
        ),
        (
            format!(
                "UPDATE scaler.host SET state = 'draining', version = {version} WHERE instance_id = 'i-a0'"
            ),
            "on_its_way_out_has_a_drain",
        ),
        (
            format!(
                "UPDATE scaler.host SET launch_id = NULL, version = {version} WHERE instance_id = 'i-a0'"
            ),
            "do not change",
        ),
        (
            format!(
                "UPDATE scaler.host SET healthy_at = now(), version = {version} WHERE instance_id = 'i-a0'"
            ),
            "do not change",
        ),
        (
            "UPDATE scaler.host SET state = 'running', version = 5 WHERE instance_id = 'i-b0'".to_owned(),
            "final",
        ),
        ("DELETE FROM scaler.host".to_owned(), "never changed or removed"),
        ("UPDATE scaler.launch SET count = count + 1".to_owned(), "frozen"),
        ("UPDATE scaler.launch SET launched = 2".to_owned(), "fulfilled_is_complete"),
        ("UPDATE scaler.launch SET state = 'open', closed_at = NULL".to_owned(), "final"),
        ("UPDATE scaler.launch_attempt SET request = '{}'".to_owned(), "final"),
    ] {
        let error = sqlx::query(crate::support::sql(statement.clone()))
            .execute(&world.db().pool())
            .await
            .unwrap_err();
        assert!(error.to_string().contains(why), "{statement}: {error}");
    }
}

async fn hosts_of_one_fleet_are_not_anothers(world: World) {
    world.healthy_host("a").await;
    let stored = world.store.fleet_load(&FleetName::new("db"), HOUR, HOUR).await.unwrap();
    assert!(stored.hosts.is_empty() && stored.lease.is_none() && stored.memory.desired.is_none());
    let now = world.now().await;
    let stray = begin_drain(
        &host(&launch(&world.fence, super::fixture::decision_id(), 1, now), "i-z", now),
        DrainReason::ScaleIn,
        now,
    );
    let result = world.store.host_advance(&world.fence, &stray).await;
    assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
}
