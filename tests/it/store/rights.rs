//! A role that may not: every method says so and nothing is changed, whatever it was that the role lacks.

use fleet_scaler::config::service::SecretUrl;
use fleet_scaler::decide::plan::Action;
use fleet_scaler::domain::failure::FailureClass;
use fleet_scaler::domain::host::Step;
use fleet_scaler::domain::ids::{FleetName, ReplicaId};
use fleet_scaler::domain::launch::AbandonReason;
use fleet_scaler::store::postgres::PostgresStore;
use fleet_scaler::store::{
    CallAnswer, ConfigChange, ConfigOutcome, DecisionFilter, HostChange, OperatorAction, OperatorActionKind,
    Orphan, Store as _, StoreError,
};

use super::fixture::{
    HOUR, LEASE, World, attempt, decision, fresh, host, launched, resolution, run_instances, terminate,
};
use crate::support::sql;

type Results = Vec<(&'static str, Result<(), StoreError>)>;

/// A store that speaks as a fresh role with nothing but these grants.
async fn store_as(world: &World, name: &str, grants: &str) -> PostgresStore {
    let login = format!("{name}_{}", std::process::id());
    let script = sql(format!("CREATE ROLE {login} LOGIN; {}", grants.replace("ROLE", &login)));
    sqlx::raw_sql(script).execute(&world.db().superuser_pool()).await.unwrap();
    let url = world.db().url().reveal().replacen("fleet_scaler@", &format!("{login}@"), 1);
    PostgresStore::connect(&SecretUrl::new(url), 2).unwrap()
}

/// Every write, each of which would succeed if the role had the right to it.
async fn writes(world: &World, store: &PostgresStore) -> Results {
    let fence = &world.fence;
    let serving = world.healthy_host("w").await;
    let (_, launch) = world.scale_out(2).await;
    let now = world.now().await;
    let open = launch.open_attempt().unwrap();
    let bought = host(&launch, "i-new", now);
    let (waiting, call) = (terminate(fence, &serving, None), run_instances(&launch));
    world.store.call_begin(fence, &waiting).await.unwrap();
    let answer = CallAnswer { failure: None, instances: vec![], request_id: None, duration: LEASE };
    let after = serving.clone().advance(&Step::BecomeUnhealthy, now).unwrap();
    let change = HostChange { after, step: Some(Step::BecomeUnhealthy) };
    let orphan = Orphan { id: bought.id.clone(), fleet: fence.fleet.clone() };
    let action = OperatorAction {
        id: fleet_scaler::domain::ids::OperatorActionId(fresh()),
        fleet: fence.fleet.clone(),
        actor: "ada".into(),
        reason: "why not".into(),
        kind: OperatorActionKind::SetSize(3),
    };
    let (version, outcome) = ("v1".to_owned(), ConfigOutcome::Applied);
    let config = ConfigChange { fleet: Some(fence.fleet.clone()), version, outcome, text: "a".into() };
    let resolution = resolution(&launch, launched(1), vec![bought.clone()]);
    let next = attempt(&launch, "eu-west-1b", now);
    let (throttled, not_wanted) = (FailureClass::Throttled, AbandonReason::NotWanted);
    vec![
        ("lease_take", store.lease_take(&fence.fleet, &fence.replica, LEASE).await.map(drop)),
        ("new fleet", store.lease_take(&FleetName::new("n"), &ReplicaId::new("r"), LEASE).await.map(drop)),
        ("decision", store.decision_commit(fence, &decision(Action::Hold, 1, 1, now)).await.map(drop)),
        ("attempt_open", store.attempt_open(fence, &next).await),
        ("attempt_defer", store.attempt_defer(fence, open.id, throttled, LEASE).await),
        ("attempt_resolve", store.attempt_resolve(fence, &resolution).await),
        ("launch_abandon", store.launch_abandon(fence, launch.id, not_wanted).await),
        ("call_begin", store.call_begin(fence, &call).await),
        ("call_end", store.call_end(waiting.id, &answer).await),
        ("calls_settle_abandoned", store.calls_settle_abandoned(fence).await.map(drop)),
        ("host_advance", store.host_advance(fence, &change).await),
        ("orphan_sighted", store.orphan_sighted(fence, &orphan).await.map(drop)),
        ("host_adopt", store.host_adopt(fence, &bought).await),
        ("operator_act", store.operator_act(&action).await),
        ("config_record", store.config_record(&config).await),
        ("lease_release", store.lease_release(fence).await),
    ]
}

async fn reads(world: &World, store: &PostgresStore) -> Results {
    let fleet = &world.fence.fleet;
    vec![
        ("schema_check", store.schema_check().await),
        ("fleet_load", store.fleet_load(fleet, HOUR, HOUR).await.map(drop)),
        ("groups_joined", store.groups_joined(fleet).await.map(drop)),
        ("fleets", store.fleets().await.map(drop)),
        ("decisions", store.decisions(&DecisionFilter::default()).await.map(drop)),
        ("hosts_recent", store.hosts_recent(fleet).await.map(drop)),
        ("boots", store.boots(fleet, HOUR, 50).await.map(drop)),
        ("host_find", store.host_find(&fleet_scaler::domain::ids::InstanceId::new("i")).await.map(drop)),
    ]
}

/// Everything that a test can see, to see that it stays.
async fn everything(world: &World) -> (i64, String) {
    let events: i64 =
        sqlx::query_scalar("SELECT count(*) FROM scaler.event").fetch_one(&world.db().pool()).await.unwrap();
    let mut stored = world.load().await;
    stored.now = stored.lease.as_ref().unwrap().expires_at;
    (events, format!("{stored:?}"))
}

fn ensure_denied(results: Results) {
    for (name, result) in results {
        let Err(StoreError::Schema(sentence)) = result else { panic!("{name}: {result:?}") };
        assert!(sentence.contains("the database role may not do this"), "{name}: {sentence}");
        assert!(sentence.contains("fleet_scaler_service"), "{name} says what to do: {sentence}");
    }
}

#[tokio::test]
async fn a_role_without_any_right_is_told_so_by_every_method() {
    let world = World::new().await;
    let store = store_as(&world, "nobody", "").await;
    store.now().await.unwrap();
    ensure_denied(reads(&world, &store).await.into_iter().skip(1).collect());
    ensure_denied(writes(&world, &store).await);
}

#[tokio::test]
async fn a_role_that_may_only_read_reads_and_changes_nothing() {
    let world = World::new().await;
    let grants = "GRANT USAGE ON SCHEMA scaler TO ROLE; GRANT SELECT ON ALL TABLES IN SCHEMA scaler TO ROLE";
    let store = store_as(&world, "reader", grants).await;
    for (name, result) in reads(&world, &store).await {
        result.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    // The writes' own preparations are done by the one who may; what is compared is before and after the refusals.
    let results = writes(&world, &store).await;
    let before = everything(&world).await;
    ensure_denied(results);
    ensure_denied(vec![("lease_release", store.lease_release(&world.fence).await)]);
    assert_eq!(everything(&world).await, before);
    let stored = world.load().await;
    assert_eq!((stored.hosts.len(), stored.launches.len(), stored.requests.len()), (1, 1, 0));
    assert_eq!(stored.launches[0].missing(), 2);
}

/// Half a right is worse than none: the transaction gets under way, and must be taken back.
#[tokio::test]
async fn a_role_that_may_not_write_events_leaves_nothing_half_done() {
    let world = World::new().await;
    let grants = "GRANT USAGE ON SCHEMA scaler TO ROLE; GRANT SELECT ON ALL TABLES IN SCHEMA scaler TO ROLE;
                  GRANT INSERT, UPDATE ON scaler.host, scaler.drain, scaler.lease TO ROLE";
    let store = store_as(&world, "halfling", grants).await;
    let host = world.healthy_host("a").await;
    let before = everything(&world).await;
    let after = host.clone().advance(&Step::BecomeUnhealthy, world.now().await).unwrap();
    let change = HostChange { after, step: Some(Step::BecomeUnhealthy) };
    ensure_denied(vec![("host_advance", store.host_advance(&world.fence, &change).await)]);
    assert_eq!(everything(&world).await, before);
}
