//! The metrics of this process, described for whoever reads the page.
//!
//! The adapters count and describe what only they see: calls to the cloud, scrapes, queries. What the loop counts is
//! described here, in one table, because the loop should read as what it does.

use std::sync::OnceLock;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Buckets of calls and ticks, in seconds.
const CALL_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Buckets of a host's way into service, in seconds.
const BOOT_BUCKETS: [f64; 12] =
    [5.0, 15.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 900.0, 1800.0];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every metric of the loop: kind, name, help.
const METRICS: &[(Kind, &str, &str)] = &[
    (Kind::Gauge, "fleet_scaler_build_info", "1, with the version that runs."),
    (
        Kind::Counter,
        "fleet_scaler_decisions_total",
        "Decisions, by fleet, action and status (committed, dry_run, or conflict: overtaken before it was committed).",
    ),
    (Kind::Histogram, "fleet_scaler_tick_seconds", "How long one observe, decide and act of a fleet took."),
    (Kind::Gauge, "fleet_scaler_ready", "1 while /readyz answers 200."),
    (Kind::Gauge, "fleet_scaler_hosts", "Hosts of a fleet in each state of their life."),
    (
        Kind::Counter,
        "fleet_scaler_host_transitions_total",
        "Hosts of a fleet that came into a state; pending: bought or adopted.",
    ),
    (Kind::Gauge, "fleet_scaler_desired_size", "The size last wanted for a fleet."),
    (
        Kind::Gauge,
        "fleet_scaler_recommended_size",
        "The size that rules and targets recommend, within the bounds and before any guard; NaN: none can be.",
    ),
    (
        Kind::Gauge,
        "fleet_scaler_candidate_size",
        "The size that a policy which is tried beside a fleet's own would want; NaN: it is not tried any more.",
    ),
    (
        Kind::Gauge,
        "fleet_scaler_boot_seconds",
        "How long hosts of a fleet take from launch to healthy: the 95th percentile of the last 50 at most; NaN: too few.",
    ),
    (Kind::Gauge, "fleet_scaler_size_limit", "The bounds in force of a fleet's size, min and max."),
    (
        Kind::Gauge,
        "fleet_scaler_forecast_trusted",
        "1 while forecasts of a signal's load have proven themselves on the fleet's last days, and are followed.",
    ),
    (
        Kind::Gauge,
        "fleet_scaler_signal",
        "A signal that a rule or target of a fleet uses; NaN: it has no value.",
    ),
    (Kind::Gauge, "fleet_scaler_hosts_asked", "Hosts of a fleet whose page was asked for at the last tick."),
    (Kind::Gauge, "fleet_scaler_hosts_heard", "Of them, those that gave a fresh sample."),
    (Kind::Gauge, "fleet_scaler_guard_holds", "1 while this guard refuses or clamps a fleet's decisions."),
    (Kind::Counter, "fleet_scaler_ticks_total", "Evaluations of a fleet, by how they ended."),
    (
        Kind::Gauge,
        "fleet_scaler_last_tick_timestamp_seconds",
        "When this replica last ended an evaluation of a fleet well, in Unix time.",
    ),
    (Kind::Gauge, "fleet_scaler_interval_seconds", "How often a fleet is evaluated."),
    (Kind::Gauge, "fleet_scaler_config_valid", "1 while the files on disk are the configuration in force."),
    (
        Kind::Gauge,
        "fleet_scaler_breaker_open",
        "1 while launches of a fleet are paused because they keep failing.",
    ),
    (Kind::Gauge, "fleet_scaler_paused", "1 while a person has paused a fleet in this direction."),
    (Kind::Gauge, "fleet_scaler_lease_held", "1 while this replica holds a fleet's lease."),
    (
        Kind::Gauge,
        "fleet_scaler_fleet_configured",
        "1 while a fleet's file is in force; 0 once it has vanished.",
    ),
    (Kind::Gauge, "fleet_scaler_replicas", "Replicas that share the fleets, this one included."),
    (
        Kind::Gauge,
        "fleet_scaler_oldest_unowned_instance_seconds",
        "Age of the oldest instance with our owner's tag that belongs to no fleet in force; 0 without one.",
    ),
    (
        Kind::Gauge,
        "fleet_scaler_orphans",
        "Instances with a fleet's tags that no row knows and no open launch explains; not adopted yet.",
    ),
    (Kind::Gauge, "fleet_scaler_pools", "Pools (a type in a zone) that a fleet may buy from."),
    (
        Kind::Gauge,
        "fleet_scaler_pools_cooling",
        "Of them, those that refused for capacity and are left alone.",
    ),
    (Kind::Gauge, "fleet_scaler_reserved_hosts", "Hosts that a fleet's open launches have still to buy."),
    (
        Kind::Gauge,
        "fleet_scaler_oldest_open_launch_seconds",
        "Age of a fleet's oldest open launch; 0 without one.",
    ),
    (
        Kind::Gauge,
        "fleet_scaler_drain_overdue_seconds",
        "How long the host that is most behind on its way out should have taken its next step; 0 without one.",
    ),
    (
        Kind::Gauge,
        "fleet_scaler_quarantined_hosts",
        "Hosts of a fleet that live and no longer carry its tags; nothing is done to them.",
    ),
    (
        Kind::Gauge,
        "fleet_scaler_unserved_zones",
        "Zones in which a target group calls a fleet's hosts not in use; nothing is bought there.",
    ),
    (
        Kind::Counter,
        "fleet_scaler_trace_spans_total",
        "Spans of traces, by what became of them: sent, failed (the collector did not take them), dropped (no room).",
    ),
    (
        Kind::Histogram,
        "fleet_scaler_launch_to_healthy_seconds",
        "From a host's launch to its first healthy answer in every target group.",
    ),
];

/// The page of the one recorder that this process has.
#[derive(Clone)]
pub struct MetricsPage(PrometheusHandle);

impl MetricsPage {
    /// Installs the recorder; every further call gives the page of the same one.
    pub fn install() -> Result<Self, BuildError> {
        static PAGE: OnceLock<MetricsPage> = OnceLock::new();
        if let Some(page) = PAGE.get() {
            return Ok(page.clone());
        }
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(
                Matcher::Full("fleet_scaler_launch_to_healthy_seconds".to_owned()),
                &BOOT_BUCKETS,
            )?
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &CALL_BUCKETS)?
            .build_recorder();
        Ok(PAGE
            .get_or_init(|| {
                let page = Self(recorder.handle());
                if metrics::set_global_recorder(recorder).is_err() {
                    tracing::warn!("another metrics recorder is installed already: /metrics stays empty");
                }
                describe_metrics();
                page
            })
            .clone())
    }

    /// The page, families and series in a fixed order.
    #[must_use]
    pub fn render(&self) -> String {
        in_order(&self.0.render())
    }

    /// Folds what histograms collected since the last time into their buckets.
    pub fn fold(&self) {
        self.0.run_upkeep();
    }
}

/// Tells the recorder what each of them means.
pub fn describe_metrics() {
    for &(kind, name, help) in METRICS {
        let unit = if name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
        match kind {
            Kind::Counter => describe_counter!(name, unit, help),
            Kind::Gauge => describe_gauge!(name, unit, help),
            Kind::Histogram => describe_histogram!(name, unit, help),
        }
    }
    metrics::gauge!("fleet_scaler_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Whether `/readyz` would answer 200. Told when the page is asked for: only then is it known to be so now.
pub fn ready(is: bool) {
    metrics::gauge!("fleet_scaler_ready").set(f64::from(u8::from(is)));
}

/// The recorder keeps series in hash maps; two scrapes of the same state should read the same.
fn in_order(page: &str) -> String {
    let mut families: Vec<&str> =
        page.split("\n\n").map(str::trim).filter(|family| !family.is_empty()).collect();
    families.sort_by_key(|family| family_name(family));
    let mut ordered = String::with_capacity(page.len());
    for family in families {
        for line in lines_in_order(family) {
            ordered.push_str(line);
            ordered.push('\n');
        }
    }
    ordered
}

/// Comments first, then series by series. A histogram's series is several lines, the last of them its count, and their
/// order is that of the buckets.
fn lines_in_order(family: &str) -> Vec<&str> {
    let (comments, samples): (Vec<&str>, Vec<&str>) = family.lines().partition(|line| line.starts_with('#'));
    let histogram = comments.iter().any(|line| line.starts_with("# TYPE ") && line.ends_with(" histogram"));
    let is_last = |line: &&str| {
        !histogram || line.split(['{', ' ']).next().is_some_and(|name| name.ends_with("_count"))
    };
    let mut series: Vec<&[&str]> = samples.split_inclusive(is_last).collect();
    series.sort_unstable();
    comments.into_iter().chain(series.into_iter().flatten().copied()).collect()
}

fn family_name(family: &str) -> &str {
    family
        .lines()
        .find_map(|line| line.strip_prefix("# TYPE "))
        .and_then(|line| line.split(' ').next())
        .unwrap_or(family)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_ours_and_stands_once() {
        let names: BTreeSet<&str> = METRICS.iter().map(|(_, name, _)| *name).collect();
        assert_eq!(names.len(), METRICS.len());
        for (kind, name, help) in METRICS {
            assert!(name.starts_with("fleet_scaler_"), "{name}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert!(help.ends_with('.'), "{name}: {help}");
        }
    }

    #[test]
    fn families_and_series_come_in_order_and_buckets_stay() {
        let series = |op: &str| {
            format!(
                "a_bucket{{op=\"{op}\",le=\"5\"}} 1\na_bucket{{op=\"{op}\",le=\"+Inf\"}} 1\na_sum{{op=\"{op}\"}} 1\n\
                 a_count{{op=\"{op}\"}} 1\n"
            )
        };
        let (one, two) = (series("one"), series("two"));
        let counters = ["b_total{x=\"1\"} 1\n", "b_total{x=\"2\"} 1\n"];
        let page = format!(
            "# TYPE b_total counter\n{}{}\n# TYPE a histogram\n{two}{one}\n",
            counters[1], counters[0]
        );
        let expected =
            format!("# TYPE a histogram\n{one}{two}# TYPE b_total counter\n{}{}", counters[0], counters[1]);
        assert_eq!(in_order(&page), expected);
    }
}
