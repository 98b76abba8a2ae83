//! Launches: one unresolved attempt, never more hosts than wanted, and what failures leave behind.

use std::time::Duration;

use fleet_scaler::decide::plan::Action;
use fleet_scaler::decide::snapshot::PoolHealth;
use fleet_scaler::domain::failure::{CloudError, FailureClass};
use fleet_scaler::domain::host::{DrainReason, Host, HostState, Step};
use fleet_scaler::domain::ids::LaunchId;
use fleet_scaler::domain::launch::{AbandonReason, AttemptOutcome, AttemptState, LaunchState};
use fleet_scaler::domain::time::after;
use fleet_scaler::store::{Orphan, PoolChange, Resolution, StoreError};

use super::fixture::{HOUR, World, attempt, begin_drain, decision, fresh, host, launched, pool, resolution};
use super::subject::{Count, on_both_stores};

on_both_stores![
    a_launch_with_all_its_hosts_is_fulfilled,
    what_one_attempt_did_not_get_goes_to_the_next,
    a_launch_has_one_unresolved_attempt,
    a_token_is_used_once,
    an_outcome_is_recorded_once,
    a_launch_never_has_more_hosts_than_it_wanted,
    an_instance_belongs_to_one_launch,
    a_deferred_attempt_keeps_its_bytes_and_waits,
    a_refusal_by_the_pool_leaves_the_launch_open_and_the_pool_cooling,
    a_pool_whose_type_the_template_chooses_is_known_again,
    a_refusal_for_good_gives_the_launch_up_and_counts_for_the_breaker,
    hosts_that_never_got_healthy_count_for_the_breaker_once,
    a_launch_whose_token_bought_the_dead_is_over_in_the_same_step,
    a_launch_is_given_up_only_when_nothing_is_in_flight,
    an_orphan_is_counted_and_then_adopted,
    an_orphan_of_no_known_launch_and_one_too_many_are_adopted_all_the_same,
    a_host_that_is_recorded_as_lost_is_not_adopted_again,
];

fn refused(class: FailureClass) -> AttemptOutcome {
    AttemptOutcome::Refused { error: CloudError::new(class, "SomeCode", "said the cloud") }
}

async fn a_launch_with_all_its_hosts_is_fulfilled(world: World) {
    let (_, launch) = world.scale_out(2).await;
    let hosts = world.buy(&launch, "a").await;
    assert_eq!(world.subject.launch(launch.id).await, ("fulfilled".to_owned(), None, 2));
    let stored = world.load().await;
    assert_eq!((stored.hosts, stored.launches), (hosts, vec![]));
}

async fn what_one_attempt_did_not_get_goes_to_the_next(world: World) {
    let (_, launch) = world.scale_out(3).await;
    let now = world.now().await;
    let first = vec![host(&launch, "i-1", now)];
    world.store.attempt_resolve(&world.fence, &resolution(&launch, launched(1), first)).await.unwrap();
    let rest = world.load().await.launches.remove(0);
    assert_eq!((rest.missing(), rest.attempts, &rest.state), (2, 1, &LaunchState::Open { attempt: None }));
    let second = attempt(&rest, "eu-west-1b", now);
    assert_eq!((second.ordinal, second.request.max_count), (2, 2));
    world.store.attempt_open(&world.fence, &second).await.unwrap();
    world.store.attempt_open(&world.fence, &second).await.unwrap();
    let open = world.load().await.launches.remove(0);
    assert_eq!(open.open_attempt(), Some(&second), "the frozen request comes back as it was");
    let hosts = vec![host(&launch, "i-2", now), host(&launch, "i-3", now)];
    world.store.attempt_resolve(&world.fence, &resolution(&open, launched(2), hosts)).await.unwrap();
    assert_eq!(world.subject.launch(launch.id).await, ("fulfilled".to_owned(), None, 3));
}

async fn a_launch_has_one_unresolved_attempt(world: World) {
    world.scale_out(2).await;
    let stored = world.load().await.launches.remove(0);
    let second = attempt(&stored, "eu-west-1b", stored.created_at);
    let result = world.store.attempt_open(&world.fence, &second).await;
    assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
}

#[tokio::test]
async fn the_schema_keeps_a_launch_at_one_unresolved_attempt_too() {
    let world = World::new().await;
    let (_, launch) = world.scale_out(2).await;
    let raw = sqlx::query(
        "INSERT INTO scaler.launch_attempt (id, fleet, launch_id, ordinal, client_token, zone, max_count, request, opened_at)
         VALUES (gen_random_uuid(), 'web', $1, 9, 'x', 'z', 1, '{}', now())",
    )
    .bind(launch.id.0)
    .execute(&world.db().pool())
    .await;
    assert!(raw.unwrap_err().to_string().contains("attempt_one_unresolved"));
}

async fn a_token_is_used_once(world: World) {
    let (_, launch) = world.scale_out(1).await;
    let (_, other) = world.scale_out(1).await;
    let outcome = resolution(&other, refused(FailureClass::Capacity), vec![]);
    world.store.attempt_resolve(&world.fence, &outcome).await.unwrap();
    let other = world.load().await.launches.into_iter().find(|open| open.id == other.id).unwrap();
    let mut stolen = attempt(&other, "eu-west-1b", other.created_at);
    stolen.request.client_token = launch.open_attempt().unwrap().request.client_token.clone();
    let result = world.store.attempt_open(&world.fence, &stolen).await;
    assert!(matches!(result, Err(StoreError::Refused(_))), "{result:?}");
}

async fn an_outcome_is_recorded_once(world: World) {
    let (_, launch) = world.scale_out(2).await;
    let hosts = world.buy(&launch, "a").await;
    let again = resolution(&launch, launched(2), hosts.clone());
    world.store.attempt_resolve(&world.fence, &again).await.unwrap();
    assert_eq!(world.load().await.hosts, hosts);
    let other = resolution(&launch, refused(FailureClass::Capacity), vec![]);
    let result = world.store.attempt_resolve(&world.fence, &other).await;
    assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
}

async fn a_launch_never_has_more_hosts_than_it_wanted(world: World) {
    let (_, launch) = world.scale_out(1).await;
    let now = world.now().await;
    let two = vec![host(&launch, "i-1", now), host(&launch, "i-2", now)];
    let result = world.store.attempt_resolve(&world.fence, &resolution(&launch, launched(2), two)).await;
    assert!(matches!(result, Err(StoreError::Refused(_))), "{result:?}");
    assert!(world.load().await.hosts.is_empty(), "and nothing of it stayed");
}

async fn an_instance_belongs_to_one_launch(world: World) {
    let (_, launch) = world.scale_out(1).await;
    world.buy(&launch, "a").await;
    let (_, other) = world.scale_out(1).await;
    let same = vec![host(&other, "i-a0", world.now().await)];
    let result = world.store.attempt_resolve(&world.fence, &resolution(&other, launched(1), same)).await;
    assert!(matches!(result, Err(StoreError::Refused(_))), "{result:?}");
}

async fn a_deferred_attempt_keeps_its_bytes_and_waits(world: World) {
    let (_, launch) = world.scale_out(1).await;
    let id = launch.open_attempt().unwrap().id;
    let minute = Duration::from_mins(1);
    world.store.attempt_defer(&world.fence, id, FailureClass::Unknown, minute).await.unwrap();
    let given_up = world.now().await;
    world.store.attempt_defer(&world.fence, id, FailureClass::Throttled, minute).await.unwrap();
    let stored = world.load().await;
    let open = stored.launches[0].open_attempt().unwrap();
    assert_eq!(open.request, launch.open_attempt().unwrap().request);
    let AttemptState::Open { calls, not_before, last_failure, doubted_at } = open.state else {
        panic!("{open:?}")
    };
    assert_eq!(
        (calls, last_failure),
        (2, Some(FailureClass::Unknown)),
        "once in doubt, in doubt until settled"
    );
    assert!(doubted_at.unwrap() <= given_up, "a later answer says nothing of the call that was given up");
    assert!(not_before.unwrap() > stored.now && not_before.unwrap() <= after(stored.now, minute));
    world.buy(&launch, "a").await;
    let late = world.store.attempt_defer(&world.fence, id, FailureClass::Unknown, minute).await;
    assert!(matches!(late, Err(StoreError::Conflict(_))), "{late:?}");
}

async fn a_refusal_by_the_pool_leaves_the_launch_open_and_the_pool_cooling(world: World) {
    let (_, launch) = world.scale_out(2).await;
    let cooling_until = after(world.now().await, HOUR);
    let health = PoolHealth { pool: pool("eu-west-1a"), failures: 1, cooling_until, allowance: 1 };
    let outcome = resolution(&launch, refused(FailureClass::Capacity), vec![]);
    let outcome = Resolution { pool: PoolChange::Set(health.clone()), ..outcome };
    world.store.attempt_resolve(&world.fence, &outcome).await.unwrap();
    let stored = world.load().await;
    assert_eq!(stored.pools, std::slice::from_ref(&health));
    assert_eq!((stored.launches.len(), stored.memory.launch_failures), (1, 0), "capacity is nobody's fault");

    let second = attempt(&stored.launches[0], "eu-west-1a", stored.now);
    world.store.attempt_open(&world.fence, &second).await.unwrap();
    let open = world.load().await.launches.remove(0);
    let hosts = vec![host(&launch, "i-1", stored.now), host(&launch, "i-2", stored.now)];
    let fine = Resolution { pool: PoolChange::Clear(health.pool), ..resolution(&open, launched(2), hosts) };
    world.store.attempt_resolve(&world.fence, &fine).await.unwrap();
    assert!(world.load().await.pools.is_empty());
}

async fn a_pool_whose_type_the_template_chooses_is_known_again(world: World) {
    let (_, launch) = world.scale_out(1).await;
    let mut whole_zone = pool("eu-west-1a");
    whole_zone.instance_type = None;
    let now = world.now().await;
    let health = PoolHealth { pool: whole_zone, failures: 2, cooling_until: now, allowance: 4 };
    let outcome = resolution(&launch, refused(FailureClass::Capacity), vec![]);
    let outcome = Resolution { pool: PoolChange::Set(health.clone()), ..outcome };
    world.store.attempt_resolve(&world.fence, &outcome).await.unwrap();
    assert_eq!(world.load().await.pools, [health]);
}

async fn a_refusal_for_good_gives_the_launch_up_and_counts_for_the_breaker(world: World) {
    for (n, class) in
        [FailureClass::Denied, FailureClass::Invalid, FailureClass::NotFound].into_iter().enumerate()
    {
        let (_, launch) = world.scale_out(1).await;
        let outcome = resolution(&launch, refused(class), vec![]);
        world.store.attempt_resolve(&world.fence, &outcome).await.unwrap();
        assert_eq!(world.subject.launch(launch.id).await, ("abandoned".into(), Some("refused".into()), 0));
        let memory = world.load().await.memory;
        assert_eq!(memory.launch_failures as usize, n + 1);
        assert!(memory.last_launch_failure.is_some());
    }
    world.healthy_host("a").await;
    let memory = world.load().await.memory;
    assert_eq!(
        (memory.launch_failures, memory.last_launch_failure),
        (0, None),
        "a healthy host closes it again"
    );
}

async fn hosts_that_never_got_healthy_count_for_the_breaker_once(world: World) {
    let (_, launch) = world.scale_out(3).await;
    let hosts = world.buy(&launch, "a").await;
    let now = world.now().await;
    let mut commit = decision(Action::Replace, 3, 3, now);
    commit.hosts = vec![begin_drain(&hosts[0], DrainReason::BootTimeout, now)];
    world.commit(&commit).await;
    assert_eq!(world.load().await.memory.launch_failures, 1);
    world.step(&commit.hosts[0].after, Step::Lose).await;
    assert_eq!(world.load().await.memory.launch_failures, 1, "dying on its way out is no second failure");
    world.step(&hosts[1], Step::Lose).await;
    assert_eq!(world.load().await.memory.launch_failures, 2, "dying while it boots is one");
}

async fn a_launch_whose_token_bought_the_dead_is_over_in_the_same_step(world: World) {
    let (_, launch) = world.scale_out(2).await;
    let spent = resolution(&launch, AttemptOutcome::Spent, vec![]);
    world.store.attempt_resolve(&world.fence, &spent).await.unwrap();
    assert_eq!(world.subject.launch(launch.id).await, ("abandoned".into(), Some("token_spent".into()), 0));
    assert_eq!(world.load().await.memory.launch_failures, 0, "nobody has to mend anything");
}

async fn a_launch_is_given_up_only_when_nothing_is_in_flight(world: World) {
    let (_, launch) = world.scale_out(2).await;
    let give_up =
        async || world.store.launch_abandon(&world.fence, launch.id, AbandonReason::NotWanted).await;
    assert!(matches!(give_up().await, Err(StoreError::Refused(_))));
    let refusal = resolution(&launch, refused(FailureClass::Capacity), vec![]);
    world.store.attempt_resolve(&world.fence, &refusal).await.unwrap();
    give_up().await.unwrap();
    give_up().await.unwrap();
    assert_eq!(world.subject.launch(launch.id).await, ("abandoned".into(), Some("not_wanted".into()), 0));
    let (_, done) = world.scale_out(1).await;
    world.buy(&done, "a").await;
    let late = world.store.launch_abandon(&world.fence, done.id, AbandonReason::NotWanted).await;
    assert!(matches!(late, Err(StoreError::Conflict(_))), "{late:?}");
    let unknown = world.store.launch_abandon(&world.fence, LaunchId(fresh()), AbandonReason::NotWanted).await;
    assert!(matches!(unknown, Err(StoreError::Conflict(_))), "{unknown:?}");
}

async fn an_orphan_is_counted_and_then_adopted(world: World) {
    let (_, launch) = world.scale_out(2).await;
    let found = host(&launch, "i-1", world.now().await);
    let orphan = Orphan { id: found.id.clone(), fleet: found.fleet.clone() };
    let first = world.store.orphan_sighted(&world.fence, &orphan).await.unwrap();
    let second = world.store.orphan_sighted(&world.fence, &orphan).await.unwrap();
    assert_eq!((first.count, second.count, second.first), (1, 2, first.first));
    assert!(second.last > first.last);
    world.store.host_adopt(&world.fence, &found).await.unwrap();
    world.store.host_adopt(&world.fence, &found).await.unwrap();
    let stored = world.load().await;
    assert_eq!(stored.hosts, std::slice::from_ref(&found));
    assert_eq!(stored.launches[0].missing(), 1, "what its launch had bought is not bought again");
    assert_eq!(world.subject.count(Count::Orphans).await, 0);

    // The answer that was lost comes at last, and names the adopted one too.
    let hosts = vec![found, host(&launch, "i-2", stored.now)];
    world.store.attempt_resolve(&world.fence, &resolution(&launch, launched(2), hosts)).await.unwrap();
    assert_eq!(world.subject.launch(launch.id).await, ("fulfilled".to_owned(), None, 2));
}

async fn an_orphan_of_no_known_launch_and_one_too_many_are_adopted_all_the_same(world: World) {
    let (_, launch) = world.scale_out(1).await;
    world.buy(&launch, "a").await;
    let now = world.now().await;
    let stranger = Host { launch: None, ..host(&launch, "i-stranger", now) };
    world.store.host_adopt(&world.fence, &stranger).await.unwrap();
    world.store.host_adopt(&world.fence, &host(&launch, "i-surplus", now)).await.unwrap();
    assert_eq!(world.load().await.hosts.len(), 3);
    assert_eq!(world.subject.launch(launch.id).await, ("fulfilled".to_owned(), None, 1));
}

async fn a_host_that_is_recorded_as_lost_is_not_adopted_again(world: World) {
    let host = world.healthy_host("a").await;
    world.step(&host, Step::Lose).await;
    let back =
        Host { healthy_at: None, version: 0, state: HostState::Running { since: host.launched_at }, ..host };
    let result = world.store.host_adopt(&world.fence, &back).await;
    let Err(StoreError::Conflict(sentence)) = result else { panic!("{result:?}") };
    assert!(sentence.contains("i-a0") && sentence.contains("lost"), "{sentence}");
}
