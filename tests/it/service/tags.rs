//! Tags changed by hand. Whose instance it is stands on the instance; the fleet believes it, and touches nothing that
//! does not say it is ours, nor takes it for gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fleet_scaler::domain::ids::InstanceId;
use fleet_scaler::domain::tags;
use fleet_scaler::provider::simulated::model::admin::ForeignInstance;
use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::{Death, Fault};
use fleet_scaler::reconcile::tick::{FleetRunner, Ticked};
use fleet_scaler::store::OperatorActionKind;

use crate::service::drains::operator;
use crate::service::world::{FLEET, OWNER, World, fleet, quick_cloud, turn_until};

/// A fleet of this size, and its oldest host: the one that would be the first to go.
async fn grown(size: u32) -> (World, FleetRunner, InstanceId) {
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    let mut runner = world.runner("a");
    operator(&world, OperatorActionKind::SetSize(size)).await;
    let wanted = size as usize;
    turn_until(&mut runner, "all are healthy", || async { world.hosts_in("healthy").await == wanted }).await;
    let oldest = world.cloud.with_model(|model| {
        model.instances().min_by_key(|one| (one.launched_at, one.id.clone())).unwrap().id.clone()
    });
    (world, runner, oldest)
}

fn take_off(world: &World, host: &InstanceId, key: &str) {
    let remove = BTreeSet::from([key.to_owned()]);
    world.fault(Fault::ChangeTags { instance: host.clone(), set: BTreeMap::new(), remove });
}

fn put_on(world: &World, host: &InstanceId, tags: &[(&str, &str)]) {
    let set = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    world.fault(Fault::ChangeTags { instance: host.clone(), set, remove: BTreeSet::new() });
}

/// The hosts that one tick found in quarantine, and what it said is wrong.
async fn look(runner: &mut FleetRunner) -> (Vec<InstanceId>, String) {
    // The look at the cloud is shared for half an interval: this one is to be a fresh one.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let Ticked::Done(plan) = runner.tick().await.unwrap() else { panic!("the fleet is not held") };
    (plan.observation.quarantined.clone(), plan.observation.faults.join("\n"))
}

/// Calls that name this host and could change something about it.
fn calls_for(world: &World, host: &InstanceId) -> usize {
    let named = [Op::RegisterTargets, Op::DeregisterTargets, Op::TerminateInstances]
        .map(|op| world.calls(op))
        .concat();
    named.iter().filter(|call| call.parameters.to_string().contains(host.as_str())).count()
}

#[tokio::test]
async fn a_host_whose_tag_was_taken_off_is_left_alone_and_not_replaced() {
    for key in [tags::OWNER, tags::FLEET] {
        let (world, mut runner, oldest) = grown(3).await;
        let before = calls_for(&world, &oldest);
        take_off(&world, &oldest, key);
        let (quarantined, faults) = look(&mut runner).await;
        assert_eq!(quarantined, std::slice::from_ref(&oldest), "without {key}");
        assert!(faults.contains(oldest.as_str()), "{faults}");
        operator(&world, OperatorActionKind::Drain(oldest.clone())).await;
        operator(&world, OperatorActionKind::SetSize(2)).await;
        turn_until(&mut runner, "another one goes", || async { world.hosts_in("terminated").await == 1 })
            .await;
        assert_eq!(calls_for(&world, &oldest), before, "nothing was done to it");
        assert_eq!((world.alive(), world.ever_launched()), (2, 3), "and nobody was bought in its place");
        assert_eq!(world.hosts_in("healthy").await, 2, "it counts as long as it lives");

        put_on(&world, &oldest, &[(key, if key == tags::OWNER { OWNER } else { "web" })]);
        assert!(look(&mut runner).await.0.is_empty(), "its tag is back");
        world.check_promises().await;
    }
}

#[tokio::test]
async fn a_host_without_its_tag_that_ends_is_lost_and_replaced() {
    let (world, mut runner, oldest) = grown(2).await;
    take_off(&world, &oldest, tags::OWNER);
    assert_eq!(look(&mut runner).await.0.len(), 1);
    world.fault(Fault::KillInstance { instance: oldest, how: Death::Terminated });
    // Its id tells at once what the list by tag would leave open for five minutes.
    turn_until(&mut runner, "it is replaced", || async {
        world.hosts_in("lost").await == 1 && world.hosts_in("healthy").await == 2
    })
    .await;
    assert_eq!(world.ever_launched(), 3);
    assert!(look(&mut runner).await.0.is_empty());
    world.check_promises().await;
}

#[tokio::test]
async fn a_drain_stops_where_the_tag_was_taken_off_and_goes_on_when_it_is_back() {
    let (world, mut runner, oldest) = grown(3).await;
    operator(&world, OperatorActionKind::SetSize(2)).await;
    turn_until(&mut runner, "it is deregistered", || async { world.hosts_in("deregistered").await == 1 })
        .await;
    take_off(&world, &oldest, tags::OWNER);
    look(&mut runner).await;
    world.turn_for(&mut runner, Duration::from_secs(3)).await;
    assert!(world.terminations().is_empty(), "its group let go of it long ago, and it is not ours to end");
    assert_eq!((world.hosts_in("deregistered").await, world.ever_launched()), (1, 3));
    put_on(&world, &oldest, &[(tags::OWNER, OWNER)]);
    turn_until(&mut runner, "it goes", || async { world.hosts_in("terminated").await == 1 }).await;
    world.check_promises().await;
}

#[tokio::test]
async fn an_instance_that_was_given_our_tags_counts_at_once_and_is_adopted_late() {
    let world = World::new(fleet(&FLEET.replace("max = 8", "max = 3")), quick_cloud()).await;
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two are healthy", || async { world.hosts_in("healthy").await == 2 }).await;
    let stranger = world
        .cloud
        .with_model(|model| model.add_instances(&ForeignInstance::default()).unwrap()[0].id.clone());
    assert!(look(&mut runner).await.0.is_empty());
    // A launch that nobody made: no row explains it.
    let launch = uuid::Uuid::from_u128(7).to_string();
    put_on(&world, &stranger, &[(tags::OWNER, OWNER), (tags::FLEET, "web"), (tags::LAUNCH, &launch)]);
    world.turn_for(&mut runner, Duration::from_secs(3)).await;
    assert_eq!(calls_for(&world, &stranger), 0, "two sightings alone are not enough");
    operator(&world, OperatorActionKind::Drain(stranger.clone())).await;
    operator(&world, OperatorActionKind::SetSize(3)).await;
    world.turn_for(&mut runner, Duration::from_secs(2)).await;
    assert_eq!((world.ever_launched(), world.alive()), (3, 3), "it has the last place under the ceiling");
    assert_eq!(calls_for(&world, &stranger), 0, "and before it is adopted nobody can order it out either");

    sqlx::query("UPDATE scaler.orphan SET first_at = first_at - interval '2 minutes'")
        .execute(&world.pool)
        .await
        .unwrap();
    turn_until(&mut runner, "it is adopted", || async { world.hosts_in("healthy").await == 3 }).await;
    let launch: Option<uuid::Uuid> =
        sqlx::query_scalar("SELECT launch_id FROM scaler.host WHERE instance_id = $1")
            .bind(stranger.as_str())
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(launch, None, "a launch that no row knows is not made up");
    assert!(world.terminations().is_empty());
}

#[tokio::test]
async fn tags_of_the_owner_or_of_the_fleet_alone_make_nobody_ours() {
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two are healthy", || async { world.hosts_in("healthy").await == 2 }).await;
    for tags in
        [&[(tags::OWNER, OWNER)][..], &[(tags::FLEET, "web")], &[(tags::OWNER, OWNER), (tags::FLEET, "api")]]
    {
        let stranger = world
            .cloud
            .with_model(|model| model.add_instances(&ForeignInstance::default()).unwrap()[0].id.clone());
        put_on(&world, &stranger, tags);
    }
    look(&mut runner).await;
    world.turn_for(&mut runner, Duration::from_secs(2)).await;
    let orphans: i64 =
        sqlx::query_scalar("SELECT count(*) FROM scaler.orphan").fetch_one(&world.pool).await.unwrap();
    assert_eq!(orphans, 0, "none of them is taken for this fleet's");
    assert_eq!((world.ever_launched(), world.alive()), (5, 5));
    assert!(world.terminations().is_empty());
}
