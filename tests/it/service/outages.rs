//! What must hold while something that the service relies on is gone: its metrics, its database, its own process.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use fleet_scaler::domain::ids::Zone;
use fleet_scaler::provider::simulated::model::faults::{Fault, PageFault};
use fleet_scaler::provider::simulated::options::load::LoadOptions;
use fleet_scaler::store::OperatorActionKind;

use crate::service::drains::{act, operator};
use crate::service::world::{FLEET, World, fleet, quick_cloud, turn_until};
use crate::support::TestCluster;

/// Shrinks whenever its hosts are less than nine tenths busy, and they are nearly idle.
fn shrinking(port: u16) -> String {
    let host = format!("[metrics.host]\nport = {port}\ntimeout = \"1s\"");
    FLEET.replace("[metrics.host]", &host)
        + "\n[[rule]]\nname = \"idle\"\nwhen = \"cpu.avg < 0.9\"\nsustained = \"2 of 2\"\naction = { remove = 1 }\n"
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A fleet of three whose pages are bad in this way: it must not shrink, and must say why; with the pages good again it
/// must, which proves that it was the pages.
async fn bad_pages(seed: u64, page: PageFault, share: Option<f64>) {
    let port = free_port();
    let mut options = quick_cloud().with_seed(seed).with_host_port(Some(port));
    options.load = LoadOptions::Constant { rps: 3.0 };
    let world = World::new(fleet(&shrinking(port)), options).await.with_real_signals();
    let bad = world.fault(Fault::Page { page, instance: None, zone: None, share });
    operator(&world, OperatorActionKind::SetSize(3)).await;
    let mut runner = world.runner("a");
    turn_until(&mut runner, "three hosts healthy", || async { world.hosts_in("healthy").await == 3 }).await;
    world.turn_for(&mut runner, Duration::from_secs(6)).await;
    assert_eq!(world.hosts_in("healthy").await, 3, "{page:?} made the fleet smaller");
    assert!(world.terminations().is_empty(), "{page:?} cost a host");
    let reasons = world.reasons().await;
    let told = reasons.iter().any(|reason| {
        ["unknown", "heard", "silent", "sample", "missing", "no value"]
            .iter()
            .any(|word| reason.contains(word))
    });
    assert!(told, "{page:?}: no decision says what was not heard: {reasons:#?}");
    world.cloud.clear_fault(bad).unwrap();
    turn_until(&mut runner, "with good pages it shrinks", || async {
        world.hosts_in("terminated").await == 1
    })
    .await;
    world.check_promises().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_that_cannot_be_heard_never_shrinks() {
    let pages = [
        (PageFault::Silent, None),
        (PageFault::Silent, Some(0.5)),
        (PageFault::Nan, None),
        (PageFault::Huge { bytes: 1 << 30 }, None),
        (PageFault::Redirect, None),
        (PageFault::Hang, None),
        (PageFault::Malformed, None),
        (PageFault::Frozen, None),
    ];
    let stories =
        (1..).zip(pages).map(|(seed, (page, share))| tokio::spawn(bad_pages(100 + seed, page, share)));
    for story in futures::future::join_all(stories).await {
        story.unwrap();
    }
}

/// One process and two fleets in zones of their own: while the hosts of one hang, flood, redirect or talk nonsense, the
/// other grows and shrinks as if nothing was.
async fn one_deaf_one_well(seed: u64, page: PageFault) {
    let port = free_port();
    let options = quick_cloud().with_seed(seed).with_host_port(Some(port));
    let file = shrinking(port);
    let (every, one) = (r#"["subnet-a", "subnet-b", "subnet-c"]"#, r#"["subnet-a"]"#);
    let deaf = fleet(&file.replace(every, one));
    let well = file.replace("name = \"web\"", "name = \"api\"").replace(every, r#"["subnet-b", "subnet-c"]"#);
    let well = Arc::new(fleet(&well));
    let world = World::new(deaf, options).await.with_real_signals();
    world.fault(Fault::Page { page, instance: None, zone: Some(Zone::new("eu-west-1a")), share: None });
    let [mut deaf_loop, mut well_loop] = World::runners_of(&world.parts("a"), [&world.fleet, &well]);
    for name in [&world.fleet.name, &well.name] {
        act(&world, name, OperatorActionKind::SetSize(3)).await;
    }
    let all_there = || async { world.hosts_in("healthy").await == 3 };
    turn_until(&mut deaf_loop, "three hosts healthy", all_there).await;
    let turning = tokio::spawn(async move {
        loop {
            drop(deaf_loop.tick().await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    for (what, size) in [("the fleet that is heard grows", 3), ("and shrinks", 2)] {
        turn_until(&mut well_loop, what, || async { world.healthy_of(&well.name).await.len() == size }).await;
    }
    turning.abort();
    assert_eq!(world.hosts_in("healthy").await, 3, "{page:?}: the fleet that cannot be heard shrank");
    world.check_promises().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_fleets_go_on_while_one_cannot_be_heard() {
    let pages =
        [PageFault::Hang, PageFault::Huge { bytes: 1 << 30 }, PageFault::Redirect, PageFault::Malformed];
    let stories = (1..).zip(pages).map(|(seed, page)| tokio::spawn(one_deaf_one_well(200 + seed, page)));
    for story in futures::future::join_all(stories).await {
        story.unwrap();
    }
}

#[tokio::test]
async fn without_the_database_nothing_is_asked_of_the_cloud_and_the_loop_resumes_by_itself() {
    let mut cluster = TestCluster::dedicated().await;
    let database = cluster.database().await;
    let world = World::in_database(database, fleet(FLEET), quick_cloud()).await;
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two hosts healthy", || async { world.hosts_in("healthy").await == 2 }).await;
    operator(&world, OperatorActionKind::SetSize(4)).await;
    cluster.stop_immediate().await;
    let before = world.mutations();
    for _ in 0..5 {
        assert!(runner.tick().await.is_err(), "a tick without a database cannot be well");
    }
    assert_eq!(world.mutations(), before, "a call was made without its row");
    cluster.start().await;
    turn_until(&mut runner, "four hosts healthy", || async {
        let hosts = world.store.hosts_recent(&world.fleet.name).await.unwrap_or_default();
        hosts.iter().filter(|host| host.state.name() == "healthy").count() == 4
    })
    .await;
    assert_eq!(world.ever_launched(), 4);
    world.check_promises().await;
}

#[tokio::test]
async fn a_restart_goes_on_with_the_window_and_the_cooldown() {
    let rule = "\n[[rule]]\nname = \"more\"\nwhen = \"hosts.healthy >= 2.0\"\nsustained = \"3 of 3\"\naction = { add = 1 }\n";
    let toml = FLEET.replace("scale_out = \"1s\"", "scale_out = \"4s\"").replace("max = 8", "max = 4") + rule;
    let world = World::new(fleet(&toml), quick_cloud()).await;
    let mut first = world.runner("a");
    turn_until(&mut first, "two hosts healthy", || async { world.hosts_in("healthy").await == 2 }).await;
    // One observation of the three by the first process, the others by one that never saw it.
    first.tick().await.unwrap();
    first.release().await;
    drop(first);
    let observed: i64 = observations_with_two(&world).await;
    assert!((1..3).contains(&observed), "{observed} observations before the restart");
    let mut second = world.runner("b");
    for _ in observed..3 {
        second.tick().await.unwrap();
    }
    assert_eq!(
        scale_outs(&world).await.len(),
        1,
        "the window went on over the restart: {:#?}",
        world.reasons().await
    );
    second.release().await;
    drop(second);
    let mut third = world.runner("c");
    turn_until(&mut third, "a second scale-out", || async { scale_outs(&world).await.len() == 2 }).await;
    let times = scale_outs(&world).await;
    let apart = (times[1] - times[0]).to_std().unwrap();
    assert!(apart >= Duration::from_secs(4), "the cooldown was broken by a restart: {apart:?}");
    world.check_promises().await;
}

async fn observations_with_two(world: &World) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM scaler.observation WHERE (doc->'values'->'hosts.healthy'->>'heard')::float8 >= 2",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

async fn scale_outs(world: &World) -> Vec<chrono::DateTime<chrono::Utc>> {
    sqlx::query_scalar("SELECT at FROM audit.scale_events WHERE action::text = 'scale_out' ORDER BY at")
        .fetch_all(&world.pool)
        .await
        .unwrap()
}
