//! From samples to observations.

use std::collections::{BTreeMap, BTreeSet};

use super::fixture::now;
use crate::decide::aggregate::{HostCounts, Sample, observe};
use crate::decide::signal::{Observation, Value};
use crate::domain::ids::InstanceId;

fn ids(count: usize) -> Vec<InstanceId> {
    (1..=count).map(|number| InstanceId::new(format!("i-{number:02}"))).collect()
}

/// `asked` hosts, of which the first gave these values for `signal`.
fn seen(asked: usize, signal: &str, values: &[f64], needed: &[&str]) -> Observation {
    let asked = ids(asked);
    let hosts: BTreeMap<InstanceId, BTreeMap<String, f64>> = asked
        .iter()
        .cloned()
        .zip(values)
        .map(|(id, value)| (id, BTreeMap::from([(signal.to_owned(), *value)])))
        .collect();
    let needed: BTreeSet<String> = needed.iter().map(|&name| name.to_owned()).collect();
    observe(&Sample {
        at: now(),
        asked: &asked,
        hosts: &hosts,
        queries: &BTreeMap::from([("qps".to_owned(), 1840.0), ("bad".to_owned(), f64::NAN)]),
        counts: HostCounts { healthy: 3, in_service: 4, pending: 1 },
        quorum: 0.75,
        needed: &needed,
        faults: &vec!["i-09: timeout".to_owned(); 50],
    })
}

#[test]
fn every_aggregate_is_a_value_that_some_host_has_or_an_average() {
    let values: Vec<f64> = (1..=20).map(|number| f64::from(number) / 20.0).collect();
    let names = ["cpu.min", "cpu.max", "cpu.p50", "cpu.p90", "cpu.p95", "cpu.p99", "cpu.sum"];
    let observation = seen(20, "cpu", &values, &names);
    for (name, expected) in [
        ("cpu.avg", 0.525),
        ("cpu.min", 0.05),
        ("cpu.max", 1.0),
        ("cpu.p50", 0.5),
        ("cpu.p90", 0.9),
        ("cpu.p95", 0.95),
        ("cpu.p99", 1.0),
        ("cpu.sum", 10.5),
        ("qps", 1840.0),
        ("hosts.healthy", 3.0),
        ("hosts.in_service", 4.0),
        ("hosts.pending", 1.0),
    ] {
        let value = observation.values[name];
        assert!((value.heard - expected).abs() < 1e-9, "{name}: {value:?}");
        assert!(value.if_idle.total_cmp(&value.if_busy).is_eq(), "{name}: {value:?}");
    }
    assert!(!observation.values.contains_key("bad"));
    assert_eq!((observation.hosts_heard, observation.hosts_asked), (20, 20));
    assert_eq!((observation.recommended, observation.faults.len()), (None, 20));
}

#[test]
fn silent_hosts_stand_in_at_rest_and_at_full_load() {
    let observation = seen(4, "cpu", &[0.4, 0.6], &["cpu.max", "cpu.min"]);
    assert_eq!(observation.values["cpu.avg"], Value { heard: 0.5, if_idle: 0.25, if_busy: 0.75 });
    assert_eq!(observation.values["cpu.max"], Value { heard: 0.6, if_idle: 0.6, if_busy: 1.0 });
    assert_eq!(observation.values["cpu.min"], Value { heard: 0.4, if_idle: 0.0, if_busy: 0.4 });
    assert_eq!((observation.hosts_heard, observation.hosts_asked), (2, 4));
    // A load above one a core is as busy as it gets here.
    assert_eq!(
        seen(2, "load1", &[3.0], &[]).values["load1.avg"],
        Value { heard: 3.0, if_idle: 1.5, if_busy: 3.0 }
    );
}

#[test]
fn what_has_no_full_load_needs_a_quorum() {
    assert_eq!(
        seen(4, "gpu", &[1.0, 2.0, 6.0], &[]).values["gpu.avg"],
        Value { heard: 3.0, if_idle: 2.25, if_busy: 3.75 }
    );
    assert!(!seen(4, "gpu", &[1.0, 2.0], &[]).values.contains_key("gpu.avg"));
    assert_eq!(seen(2, "gpu", &[1.0, 2.0], &[]).values["gpu.avg"], Value::exact(1.5));
}

#[test]
fn nobody_in_service_and_nobody_heard_are_no_values() {
    for observation in [seen(0, "cpu", &[], &["cpu.avg"]), seen(3, "cpu", &[], &["cpu.avg"])] {
        assert!(!observation.values.contains_key("cpu.avg"));
        assert_eq!(observation.hosts_heard, 0);
    }
    assert!(!seen(1, "cpu", &[f64::NAN], &["cpu.avg"]).values.contains_key("cpu.avg"));
    assert!(!seen(2, "net_rx", &[f64::MAX, f64::MAX], &["net_rx.sum"]).values.contains_key("net_rx.sum"));
}
