//! What the loop tells about a fleet, step by step: each alert stands on one of these numbers.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::{Death, Fault};
use fleet_scaler::reconcile::tick::FleetRunner;
use fleet_scaler::store::OperatorActionKind;

use crate::service::drains::operator;
use crate::service::world::{FLEET, World, fleet, quick_cloud, turn_until};

/// A fleet with a rule that can never be judged, because no host is ever heard.
fn deaf() -> String {
    format!(
        "{FLEET}[[rule]]\nname = \"hot\"\nwhen = \"cpu.avg > 0.9\"\nsustained = \"1 of 1\"\naction = {{ add = 1 }}\n"
    )
}

/// The number of one series, as `/metrics` would say it.
fn number(page: &PrometheusHandle, series: &str) -> Option<f64> {
    let page = page.render();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|number| number.parse().unwrap())
}

#[track_caller]
fn assert_told(page: &PrometheusHandle, told: &[(&str, f64)]) {
    for &(series, expected) in told {
        let found = number(page, series).unwrap_or_else(|| panic!("no {series} in\n{}", page.render()));
        let same = found.total_cmp(&expected).is_eq() || (found.is_nan() && expected.is_nan());
        assert!(same, "{series} is {found}, not {expected}");
    }
}

async fn until_told(
    page: &PrometheusHandle,
    runner: &mut FleetRunner,
    series: &str,
    enough: fn(f64) -> bool,
) {
    turn_until(runner, series, || async { number(page, series).is_some_and(enough) }).await;
}

#[tokio::test]
async fn sizes_signals_and_guards_are_told() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (page, _guard) = (recorder.handle(), metrics::set_default_local_recorder(&recorder));
    let world = World::new(fleet(&deaf()), quick_cloud()).await;
    let mut runner = world.runner("a");
    until_told(&page, &mut runner, "fleet_scaler_hosts{fleet=\"web\",state=\"healthy\"}", |n| n >= 2.0).await;
    assert_told(
        &page,
        &[
            ("fleet_scaler_desired_size{fleet=\"web\"}", 2.0),
            ("fleet_scaler_recommended_size{fleet=\"web\"}", f64::NAN),
            ("fleet_scaler_size_limit{fleet=\"web\",bound=\"min\"}", 2.0),
            ("fleet_scaler_size_limit{fleet=\"web\",bound=\"max\"}", 8.0),
            ("fleet_scaler_signal{fleet=\"web\",signal=\"cpu.avg\"}", f64::NAN),
            ("fleet_scaler_hosts_asked{fleet=\"web\"}", 2.0),
            ("fleet_scaler_hosts_heard{fleet=\"web\"}", 0.0),
            ("fleet_scaler_guard_holds{fleet=\"web\",guard=\"missing_data\"}", 1.0),
            ("fleet_scaler_guard_holds{fleet=\"web\",guard=\"breaker\"}", 0.0),
            ("fleet_scaler_host_transitions_total{fleet=\"web\",to=\"pending\"}", 2.0),
            ("fleet_scaler_host_transitions_total{fleet=\"web\",to=\"healthy\"}", 2.0),
            ("fleet_scaler_orphans{fleet=\"web\"}", 0.0),
            ("fleet_scaler_pools{fleet=\"web\"}", 3.0),
            ("fleet_scaler_pools_cooling{fleet=\"web\"}", 0.0),
            ("fleet_scaler_reserved_hosts{fleet=\"web\"}", 0.0),
            ("fleet_scaler_oldest_open_launch_seconds{fleet=\"web\"}", 0.0),
            ("fleet_scaler_drain_overdue_seconds{fleet=\"web\"}", 0.0),
            ("fleet_scaler_lease_held{fleet=\"web\"}", 1.0),
        ],
    );
    runner.release().await;
    assert_told(&page, &[("fleet_scaler_lease_held{fleet=\"web\"}", 0.0)]);
}

#[tokio::test]
async fn a_signal_that_is_no_longer_used_has_no_value_any_more() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (page, _guard) = (recorder.handle(), metrics::set_default_local_recorder(&recorder));
    let toml = deaf().replace("cpu.avg > 0.9", "hosts.healthy > 99.0");
    let world = World::new(fleet(&toml), quick_cloud()).await;
    let mut runner = world.runner("a");
    let series = "fleet_scaler_signal{fleet=\"web\",signal=\"hosts.healthy\"}";
    until_told(&page, &mut runner, series, |n| n >= 2.0).await;
    runner.reconfigure(std::sync::Arc::new(fleet(FLEET)));
    runner.tick().await.unwrap();
    assert_told(&page, &[(series, f64::NAN)]);
}

#[tokio::test]
async fn pools_that_cool_are_told() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (page, _guard) = (recorder.handle(), metrics::set_default_local_recorder(&recorder));
    let toml = FLEET.replace("pool_cooldown = \"2s\"", "pool_cooldown = \"1h\"").replace("\"4s\"", "\"1h\"");
    let world = World::new(fleet(&toml), quick_cloud()).await;
    world.fault(Fault::Capacity { zone: None, instance_type: None, left: 0 });
    let mut runner = world.runner("a");
    until_told(&page, &mut runner, "fleet_scaler_pools_cooling{fleet=\"web\"}", |n| n >= 3.0).await;
    assert_told(&page, &[("fleet_scaler_pools{fleet=\"web\"}", 3.0)]);
}

#[tokio::test]
async fn a_launch_that_stays_open_is_told_with_its_age() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (page, _guard) = (recorder.handle(), metrics::set_default_local_recorder(&recorder));
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    world.fault(Fault::Quota { instances: Some(0), vcpus: Some(0) });
    let mut runner = world.runner("a");
    let series = "fleet_scaler_oldest_open_launch_seconds{fleet=\"web\"}";
    until_told(&page, &mut runner, series, |seconds| seconds > 1.0).await;
    assert_told(&page, &[("fleet_scaler_reserved_hosts{fleet=\"web\"}", 2.0)]);
}

#[tokio::test]
async fn a_drain_that_sticks_is_told_with_its_age() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (page, _guard) = (recorder.handle(), metrics::set_default_local_recorder(&recorder));
    let world = World::new(fleet(FLEET), quick_cloud()).await;
    let mut runner = world.runner("a");
    operator(&world, OperatorActionKind::SetSize(3)).await;
    until_told(&page, &mut runner, "fleet_scaler_hosts{fleet=\"web\",state=\"healthy\"}", |n| n >= 3.0).await;
    world.fault(Fault::Error {
        op: Some(Op::DeregisterTargets),
        zone: None,
        code: "AccessDenied".to_owned(),
        http_status: None,
        message: None,
        count: None,
        probability: None,
    });
    operator(&world, OperatorActionKind::SetSize(2)).await;
    let series = "fleet_scaler_drain_overdue_seconds{fleet=\"web\"}";
    until_told(&page, &mut runner, series, |seconds| seconds > 1.0).await;
    assert_told(
        &page,
        &[
            ("fleet_scaler_hosts{fleet=\"web\",state=\"draining\"}", 1.0),
            ("fleet_scaler_host_transitions_total{fleet=\"web\",to=\"draining\"}", 1.0),
        ],
    );
}

#[tokio::test]
async fn a_fleet_at_its_maximum_that_wants_more_is_told() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (page, _guard) = (recorder.handle(), metrics::set_default_local_recorder(&recorder));
    let toml = deaf().replace("cpu.avg > 0.9", "hosts.healthy > 0.0").replace("max = 8", "max = 2");
    let world = World::new(fleet(&toml), quick_cloud()).await;
    let mut runner = world.runner("a");
    let series = "fleet_scaler_guard_holds{fleet=\"web\",guard=\"bounds\"}";
    until_told(&page, &mut runner, series, |holds| holds >= 1.0).await;
    assert_told(
        &page,
        &[
            ("fleet_scaler_desired_size{fleet=\"web\"}", 2.0),
            ("fleet_scaler_size_limit{fleet=\"web\",bound=\"max\"}", 2.0),
            ("fleet_scaler_host_transitions_total{fleet=\"web\",to=\"lost\"}", 0.0),
        ],
    );
}

#[tokio::test]
async fn a_halt_is_told() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (page, _guard) = (recorder.handle(), metrics::set_default_local_recorder(&recorder));
    let toml = FLEET.replace("min = 2", "min = 4").replace("health_grace = \"5s\"", "health_grace = \"1s\"");
    let world = World::new(fleet(&toml), quick_cloud()).await;
    let mut runner = world.runner("a");
    until_told(&page, &mut runner, "fleet_scaler_hosts{fleet=\"web\",state=\"healthy\"}", |n| n >= 4.0).await;
    let instances =
        world.cloud.with_model(|model| model.instances().map(|one| one.id.clone()).collect::<Vec<_>>());
    for instance in instances {
        world.fault(Fault::KillInstance { instance, how: Death::Unresponsive });
    }
    let series = "fleet_scaler_guard_holds{fleet=\"web\",guard=\"unhealthy_halt\"}";
    until_told(&page, &mut runner, series, |holds| holds >= 1.0).await;
    assert_eq!(world.terminations().len(), 0);
}
