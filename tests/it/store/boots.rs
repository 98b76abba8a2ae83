//! How long hosts took from launch to healthy, as both stores remember it.

use std::time::Duration;

use fleet_scaler::domain::boot::{Boot, BootTimes};
use fleet_scaler::domain::host::{DrainReason, Step};
use fleet_scaler::domain::ids::FleetName;
use fleet_scaler::domain::launch::TemplateRef;
use fleet_scaler::domain::time::since;

use super::fixture::World;
use super::subject::on_both_stores;

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

on_both_stores![
    the_last_hosts_say_how_long_they_took,
    hosts_that_are_gone_count_and_those_that_never_served_do_not,
];

impl World {
    async fn boots(&self, span: Duration, most: u32) -> Vec<Boot> {
        self.store.boots(&self.fence.fleet, span, most).await.unwrap()
    }

    /// One host that takes so long.
    async fn boot(&self, prefix: &str, span: Duration) {
        let (_, launch) = self.scale_out(1).await;
        let host = self.buy(&launch, prefix).await.remove(0);
        let host = self.step(&host, Step::Run).await;
        let host = self.step(&host, Step::Register).await;
        self.wait(span).await;
        let host = self.step(&host, Step::BecomeHealthy).await;
        let stored = self.load().await;
        let stored = stored.hosts.iter().find(|stored| stored.id == host.id).unwrap();
        assert!(since(stored.healthy_at.unwrap(), stored.launched_at) >= span);
    }
}

fn minutes(boots: &[Boot]) -> Vec<u64> {
    boots.iter().map(|boot| boot.took.as_secs() / 60).collect()
}

async fn the_last_hosts_say_how_long_they_took(world: World) {
    assert_eq!(world.boots(DAY, 50).await, []);
    for (prefix, span) in [("a", 3), ("b", 1), ("c", 2), ("d", 4)] {
        world.boot(prefix, MINUTE * span).await;
    }
    let boots = world.boots(DAY, 50).await;
    assert_eq!(minutes(&boots), [4, 2, 1, 3], "{boots:?}");
    assert!(boots.windows(2).all(|pair| pair[0].healthy_at > pair[1].healthy_at), "{boots:?}");
    // Only the newest, and only so far back.
    assert_eq!(minutes(&world.boots(DAY, 2).await), [4, 2]);
    assert_eq!(minutes(&world.boots(MINUTE * 5, 50).await), [4, 2]);
    world.wait(DAY).await;
    assert_eq!(world.boots(DAY, 50).await, []);

    let other = world.store.boots(&FleetName::new("db"), DAY, 50).await.unwrap();
    assert_eq!(other, []);
    let template = &boots[0].template;
    let times = BootTimes::of(&boots, template).unwrap();
    assert_eq!((times.p95.as_secs() / 60, times.hosts), (4, 4));
    assert_eq!(BootTimes::of(&boots[..2], &TemplateRef::Name("other".into())), None);
}

async fn hosts_that_are_gone_count_and_those_that_never_served_do_not(world: World) {
    world.boot("a", MINUTE).await;
    let (_, launch) = world.scale_out(1).await;
    world.buy(&launch, "b").await;
    assert_eq!(minutes(&world.boots(DAY, 50).await), [1]);
    let served = world.load().await.hosts.into_iter().find(|host| host.healthy_at.is_some()).unwrap();
    world.scale_in(&[served], DrainReason::ScaleIn).await;
    assert_eq!(minutes(&world.boots(DAY, 50).await), [1]);
}
