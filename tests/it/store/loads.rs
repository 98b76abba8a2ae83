//! The load of weeks, as both stores work it out of what was observed.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet_scaler::decide::forecast::history::{BUCKET, bucket, load_of};
use fleet_scaler::decide::plan::Action;
use fleet_scaler::decide::signal::{Observation, Value};
use fleet_scaler::domain::time::{Timestamp, after};
use fleet_scaler::store::{Fence, StoreError};

use super::fixture::{World, decision};
use super::subject::on_both_stores;

const HOUR: Duration = Duration::from_hours(1);

on_both_stores![
    the_highest_load_of_every_ten_minutes_is_kept,
    a_signal_of_the_whole_fleet_is_spread_over_the_hosts_that_serve,
    days_that_nobody_saw_are_left_out_and_what_is_old_goes,
    who_lost_the_fleet_works_nothing_out,
];

impl World {
    /// What a tick that sees these values leaves behind.
    async fn saw(&self, values: &[(&str, f64)], hosts: u32) -> Observation {
        let now = self.now().await;
        let mut commit = decision(Action::Hold, hosts, hosts, now);
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), Value::exact(*value)));
        let seen = Observation { values: values.collect(), hosts_asked: hosts, ..Observation::empty(now) };
        commit.plan.observation = seen.clone();
        self.store.decision_commit(&self.fence, &commit).await.unwrap();
        seen
    }

    async fn fold(&self, signals: &[&str]) {
        for signal in signals {
            assert_eq!(self.store.loads_fold(&self.fence, signal, None).await.unwrap(), None);
        }
    }

    async fn loads(&self, signal: &str) -> Vec<(Timestamp, f64)> {
        self.store.loads(&self.fence.fleet, signal).await.unwrap()
    }
}

async fn the_highest_load_of_every_ten_minutes_is_kept(world: World) {
    let mut wanted: BTreeMap<Timestamp, f64> = BTreeMap::new();
    for tick in 0..40_u32 {
        let cpu = f64::from(tick * 7 % 10) / 10.0;
        let values: &[(&str, f64)] = if tick % 5 == 3 { &[] } else { &[("cpu.avg", cpu)] };
        let seen = world.saw(values, 3 + tick % 2).await;
        if let Some(load) = load_of("cpu.avg", &seen) {
            let most = wanted.entry(bucket(seen.at)).or_insert(load);
            *most = most.max(load);
        }
        world.wait(BUCKET / 4).await;
    }
    assert_eq!(world.loads("cpu.avg").await, []);
    world.fold(&["cpu.avg"]).await;
    // The bucket that is not over waits.
    let end = bucket(world.now().await);
    let begun = wanted.split_off(&end).into_values().next().unwrap_or(0.0);
    let kept = world.loads("cpu.avg").await;
    assert_eq!(kept, wanted.clone().into_iter().collect::<Vec<_>>());
    assert!(kept.len() >= 9, "{kept:?}");
    // Once more changes nothing, and what came meanwhile is added.
    world.fold(&["cpu.avg"]).await;
    assert_eq!(world.loads("cpu.avg").await, kept);
    world.saw(&[("cpu.avg", 0.5)], 4).await;
    world.wait(BUCKET * 2).await;
    world.fold(&["cpu.avg"]).await;
    let more = world.loads("cpu.avg").await;
    assert_eq!((more.len(), more.last().unwrap().1), (kept.len() + 1, begun.max(2.0)));
}

async fn a_signal_of_the_whole_fleet_is_spread_over_the_hosts_that_serve(world: World) {
    world.saw(&[("qps", 50.0), ("hosts.healthy", 4.0)], 0).await;
    world.wait(BUCKET).await;
    world.saw(&[("qps", 50.0), ("hosts.healthy", 0.0)], 0).await;
    world.wait(BUCKET).await;
    world.fold(&["qps", "other"]).await;
    let loads: Vec<f64> = world.loads("qps").await.into_iter().map(|(_, load)| load).collect();
    assert_eq!(loads, [200.0]);
    assert_eq!(world.loads("other").await, []);
}

async fn days_that_nobody_saw_are_left_out_and_what_is_old_goes(world: World) {
    let first = world.now().await;
    for _ in 0..4 {
        world.saw(&[("cpu.avg", 0.5)], 2).await;
        world.wait(HOUR * 30).await;
    }
    world.fold(&["cpu.avg"]).await;
    assert_eq!(world.loads("cpu.avg").await.len(), 4);
    // The observation itself may be gone by then.
    world.wait(HOUR * 24 * 27).await;
    world.saw(&[("cpu.avg", 0.5)], 2).await;
    world.wait(BUCKET).await;
    world.fold(&["cpu.avg"]).await;
    let kept = world.loads("cpu.avg").await;
    assert!(kept.len() < 5 && kept.iter().all(|(at, _)| *at > after(first, HOUR * 24)), "{kept:?}");
}

async fn who_lost_the_fleet_works_nothing_out(world: World) {
    world.saw(&[("cpu.avg", 0.5)], 2).await;
    world.wait(BUCKET).await;
    let fallen =
        Fence { epoch: fleet_scaler::domain::ids::Epoch(world.fence.epoch.0 + 1), ..world.fence.clone() };
    let answer = world.store.loads_fold(&fallen, "cpu.avg", None).await;
    assert!(matches!(answer, Err(StoreError::Fenced { .. })), "{answer:?}");
    assert_eq!(world.loads("cpu.avg").await, []);
}

/// At one observation a second there are more in a day than one transaction goes through.
#[tokio::test]
async fn much_is_worked_out_in_parts() {
    let world = World::new().await;
    let seen = serde_json::to_string(&world.saw(&[("cpu.avg", 0.5)], 2).await).unwrap();
    let many = "INSERT INTO scaler.observation (fleet, at, doc)
                SELECT $1, clock_timestamp() - place * interval '1 s', $2::jsonb FROM generate_series(600, 25600) place";
    let fleet = world.fence.fleet.as_str();
    sqlx::query(many).bind(fleet).bind(seen).execute(&world.db().pool()).await.unwrap();
    let fold = |from| world.store.loads_fold(&world.fence, "cpu.avg", from);
    let on = fold(None).await.unwrap();
    let part = world.loads("cpu.avg").await;
    assert_eq!(on, part.last().map(|(at, _)| after(*at, BUCKET)), "{}", part.len());
    assert_eq!(fold(on).await.unwrap(), None);
    let whole = world.loads("cpu.avg").await;
    assert!(part.len() > 30 && whole.len() > part.len() + 5, "{} of {}", part.len(), whole.len());
    assert!(whole.windows(2).all(|pair| after(pair[0].0, BUCKET) == pair[1].0), "{whole:?}");
}
