//! Drains as a decision begins them: judged by the rows once more, in the transaction that writes them.

use fleet_scaler::decide::plan::Action;
use fleet_scaler::domain::host::{DrainReason, Host, HostState, Step};
use fleet_scaler::store::{DecisionCommit, DrainBudget, HostChange, StoreError};

use super::fixture::{HOUR, World, begin_drain, decision, launch, take};
use super::subject::on_both_stores;

on_both_stores![
    the_floor_keeps_hosts_that_serve_from_being_chosen,
    the_floor_keeps_no_host_that_failed,
    the_floor_keeps_no_host_that_does_not_serve,
    hosts_of_one_decision_go_down_to_the_floor_and_no_further,
    what_the_floor_stands_on_is_what_the_rows_say_and_not_what_was_seen,
    the_budget_is_one_for_every_reason,
    the_budget_comes_back_with_time_and_with_drains_taken_back,
    a_host_that_is_on_its_way_out_is_not_sent_away_again,
    a_decision_that_may_not_drain_buys_nothing_either,
    a_host_of_another_fleet_is_not_sent_away,
    decisions_that_race_for_the_floor_do_not_pass_it_together,
];

const CHOICES: [DrainReason; 3] = [DrainReason::ScaleIn, DrainReason::Operator, DrainReason::AboveMax];

async fn healthy(world: &World, count: usize) -> Vec<Host> {
    let mut hosts = Vec::new();
    for n in 0..count {
        hosts.push(world.healthy_host(&format!("h{n}x")).await);
    }
    hosts
}

/// A decision that sends hosts away, under a floor.
async fn departure(world: &World, hosts: &[&Host], reason: DrainReason, min: u32) -> DecisionCommit {
    let now = world.now().await;
    let mut commit = decision(Action::ScaleIn, 3, 2, now);
    commit.hosts = hosts.iter().map(|host| begin_drain(host, reason, now)).collect();
    commit.min = min;
    commit
}

async fn try_commit(world: &World, commit: &DecisionCommit) -> Result<(), String> {
    match world.store.decision_commit(&world.fence, commit).await {
        Ok(_) => Ok(()),
        Err(StoreError::Conflict(sentence)) => Err(sentence),
        Err(other) => panic!("{other:?}"),
    }
}

async fn the_floor_keeps_hosts_that_serve_from_being_chosen(world: World) {
    let hosts = healthy(&world, 2).await;
    let before = world.load().await;
    for reason in CHOICES {
        let commit = departure(&world, &[&hosts[0]], reason, 2).await;
        let sentence = try_commit(&world, &commit).await.unwrap_err();
        assert!(sentence.contains("only 2 serve, and its min is 2"), "{reason}: {sentence}");
    }
    let after = world.load().await;
    assert_eq!((after.hosts, after.drains_in_budget), (before.hosts, vec![]));
    let commit = departure(&world, &[&hosts[0]], DrainReason::ScaleIn, 1).await;
    try_commit(&world, &commit).await.unwrap();
}

async fn the_floor_keeps_no_host_that_failed(world: World) {
    let hosts = healthy(&world, 2).await;
    let unhealthy = world.step(&hosts[0], Step::BecomeUnhealthy).await;
    let (_, launch) = world.scale_out(1).await;
    let booting = world.buy(&launch, "b").await.remove(0);
    for (host, reason) in [(&unhealthy, DrainReason::Unhealthy), (&booting, DrainReason::BootTimeout)] {
        try_commit(&world, &departure(&world, &[host], reason, 5).await).await.unwrap();
    }
}

async fn the_floor_keeps_no_host_that_does_not_serve(world: World) {
    healthy(&world, 1).await;
    let (_, launch) = world.scale_out(3).await;
    let booting = world.buy(&launch, "b").await;
    for (host, reason) in booting.iter().zip(CHOICES) {
        try_commit(&world, &departure(&world, &[host], reason, 1).await).await.unwrap();
    }
}

async fn hosts_of_one_decision_go_down_to_the_floor_and_no_further(world: World) {
    let hosts = healthy(&world, 4).await;
    let all: Vec<&Host> = hosts.iter().collect();
    let three = departure(&world, &all[..3], DrainReason::ScaleIn, 2).await;
    let sentence = try_commit(&world, &three).await.unwrap_err();
    assert!(sentence.contains(hosts[2].id.as_str()), "the third is the one too many: {sentence}");
    try_commit(&world, &departure(&world, &all[..2], DrainReason::ScaleIn, 2).await).await.unwrap();
}

async fn what_the_floor_stands_on_is_what_the_rows_say_and_not_what_was_seen(world: World) {
    let hosts = healthy(&world, 3).await;
    let commit = departure(&world, &[&hosts[0]], DrainReason::ScaleIn, 2).await;
    world.step(&hosts[1], Step::BecomeUnhealthy).await;
    let sentence = try_commit(&world, &commit).await.unwrap_err();
    assert!(sentence.contains("only 2 serve"), "{sentence}");
}

async fn the_budget_is_one_for_every_reason(world: World) {
    let hosts = healthy(&world, DrainReason::ALL.len() + 1).await;
    let budget = |count| DrainBudget { count, per: HOUR };
    for (spent, (host, reason)) in (0..).zip(hosts.iter().zip(DrainReason::ALL)) {
        let mut commit = departure(&world, &[host], reason, 0).await;
        commit.budget = budget(spent);
        let sentence = try_commit(&world, &commit).await.unwrap_err();
        assert!(sentence.contains(&format!("{spent} of {spent} terminations")), "{reason}: {sentence}");
        commit.budget = budget(spent + 1);
        try_commit(&world, &commit).await.unwrap();
    }
}

async fn the_budget_comes_back_with_time_and_with_drains_taken_back(world: World) {
    let hosts = healthy(&world, 3).await;
    let all: Vec<&Host> = hosts.iter().collect();
    let mut first = departure(&world, &all[..2], DrainReason::ScaleIn, 0).await;
    first.budget = DrainBudget { count: 1, per: HOUR };
    assert!(try_commit(&world, &first).await.is_err(), "two are more than one");
    first.budget.count = 2;
    try_commit(&world, &first).await.unwrap();

    let mut second = departure(&world, &all[2..], DrainReason::Operator, 0).await;
    second.budget = DrainBudget { count: 2, per: HOUR };
    assert!(try_commit(&world, &second).await.is_err());
    world.step(&first.hosts[0].after, Step::CancelDrain).await;
    try_commit(&world, &second).await.unwrap();

    world.subject.pass(HOUR).await;
    let world = World { fence: take(&*world.store, "web", "replica-1").await, ..world };
    let back = world.load().await.hosts.into_iter().find(|host| host.state.is_capacity()).unwrap();
    let mut third = departure(&world, &[&back], DrainReason::ScaleIn, 0).await;
    third.budget = DrainBudget { count: 1, per: HOUR };
    try_commit(&world, &third).await.unwrap();
}

async fn a_host_that_is_on_its_way_out_is_not_sent_away_again(world: World) {
    let host = world.healthy_host("a").await;
    let (_, draining) = world.scale_in(&[host], DrainReason::ScaleIn).await;
    let now = world.now().await;
    let mut commit = decision(Action::ScaleIn, 1, 0, now);
    let HostState::Draining { drain } = &draining[0].state else { panic!("{draining:?}") };
    let after = Host { version: draining[0].version + 1, ..draining[0].clone() };
    commit.hosts = vec![HostChange { after, step: Some(Step::BeginDrain { drain: drain.clone() }) }];
    let sentence = try_commit(&world, &commit).await.unwrap_err();
    assert!(sentence.contains("on its way out already"), "{sentence}");
}

async fn a_decision_that_may_not_drain_buys_nothing_either(world: World) {
    let host = world.healthy_host("a").await;
    let mut commit = departure(&world, &[&host], DrainReason::Operator, 1).await;
    commit.launches = vec![launch(&world.fence, commit.id, 1, world.now().await)];
    try_commit(&world, &commit).await.unwrap_err();
    let stored = world.load().await;
    assert_eq!((stored.launches, stored.hosts), (vec![], vec![host]));
}

async fn a_host_of_another_fleet_is_not_sent_away(world: World) {
    let host = world.healthy_host("a").await;
    let other = take(&*world.store, "db", "replica-1").await;
    let commit = departure(&world, &[&host], DrainReason::ScaleIn, 0).await;
    let result = world.store.decision_commit(&other, &commit).await;
    assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
    assert_eq!(world.load().await.hosts, [host]);
}

async fn decisions_that_race_for_the_floor_do_not_pass_it_together(world: World) {
    let hosts = healthy(&world, 6).await;
    let mut commits = Vec::new();
    for host in &hosts {
        commits.push(departure(&world, &[host], DrainReason::ScaleIn, 4).await);
    }
    let results = futures::future::join_all(commits.iter().map(|commit| try_commit(&world, commit))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2, "{results:?}");
    let serve = world.load().await.hosts.into_iter().filter(|host| host.state.name() == "healthy").count();
    assert_eq!(serve, 4);
}
