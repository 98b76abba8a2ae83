//! A fleet whose load comes back at the same time every day: its hosts are there before the load is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet_scaler::domain::ids::OwnerName;
use fleet_scaler::reconcile::preview::preview;
use fleet_scaler::signals::SignalSource;

use crate::service::again::Load;
use crate::service::world::{FLEET, OWNER, World, fleet, quick_cloud, turn_until};

const TARGET: &str = r#"
[[target]]
name = "cpu-60"
signal = "cpu.avg"
value = 0.6
forecast = { hosts_max = 2 }
"#;

/// Six days, on each of which the load rose sixfold every ten minutes for forty minutes, from this time of the day on, and
/// stayed there for hours.
const SIX_DAYS: &str = "
    INSERT INTO scaler.load_history (fleet, signal, at, load)
    SELECT 'web', 'cpu.avg', slot, power(6, CASE WHEN place % 144 < 4 THEN place % 144 + 1 WHEN place % 144 < 44 THEN 4 ELSE 0 END)
    FROM (SELECT slot, place
          FROM (SELECT date_bin('10 minutes', clock_timestamp(), 'epoch') - interval '6 days' AS first) start,
               generate_series(0, 863) place, LATERAL (SELECT first + place * interval '10 minutes' AS slot) slots
         ) known";

async fn world() -> (World, Arc<Load>) {
    let mut world = World::new(fleet(&format!("{FLEET}{TARGET}")), quick_cloud()).await;
    let load = Arc::new(Load(Mutex::new(Some(0.3))));
    world.signals = Arc::clone(&load) as Arc<dyn SignalSource>;
    (world, load)
}

/// What the newest decision says of the forecast.
async fn said(world: &World) -> String {
    sqlx::query_scalar(
        "SELECT r ->> 'because' FROM scaler.decision, jsonb_array_elements(plan -> 'recommendations') r
         WHERE r ->> 'source' = 'forecast cpu-60' ORDER BY at DESC LIMIT 1",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_there_before_the_load_that_comes_every_day() {
    let (world, load) = world().await;
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two hosts healthy", || async { world.hosts_in("healthy").await == 2 }).await;
    // 58 % on each: two hosts are enough for it.
    load.set(Some(1.15));
    world.turn_for(&mut runner, Duration::from_secs(3)).await;
    assert_eq!(
        (world.ever_launched(), said(&world).await.as_str()),
        (2, "no load is expected for this time: there is no forecast of it")
    );
    runner.release().await;

    sqlx::raw_sql(SIX_DAYS).execute(&world.pool).await.unwrap();
    // Forecasts are worked out from rows: a process that has just begun has them, too.
    let mut runner = world.runner("b");
    turn_until(&mut runner, "more hosts than the load asks for", || async {
        world.hosts_in("healthy").await > 2
    })
    .await;
    world.turn_for(&mut runner, Duration::from_secs(3)).await;
    assert!(world.hosts_in("healthy").await <= 4, "two more than the load asks for, and no more");
    let reason: String = sqlx::query_scalar(
        "SELECT reason FROM audit.decisions WHERE action = 'scale_out' ORDER BY at DESC LIMIT 1",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert!(reason.contains("forecast cpu-60: load of cpu.avg"), "{reason}");
    let (_, plan) = preview(&world.parts("p"), &OwnerName::new(OWNER), &world.fleet).await.unwrap();
    let shown = plan.recommendations.iter().find(|one| one.source == "forecast cpu-60").unwrap();
    // Hosts boot in no time here, and by now that was measured: there is nothing left to be saved.
    assert!(shown.because.contains("over the last 3 days"), "{shown:?}");
    world.check_promises().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_cannot_be_read_is_told_and_the_fleet_scales_by_its_load() {
    let (world, _) = world().await;
    sqlx::raw_sql("DROP VIEW audit.load_history; DROP TABLE scaler.load_history")
        .execute(&world.pool)
        .await
        .unwrap();
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two hosts healthy", || async { world.hosts_in("healthy").await == 2 }).await;
    let faults: String = sqlx::query_scalar(
        "SELECT doc ->> 'faults' FROM scaler.observation WHERE fleet = 'web' ORDER BY at DESC LIMIT 1",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert!(faults.contains("forecast: ") && faults.contains("load_history"), "{faults}");
}
