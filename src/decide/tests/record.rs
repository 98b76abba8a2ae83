//! What a recorded decision keeps of the observations that it was made from.

use super::fixture::{Fleet, ago, cpu_target, now, observation, seconds};
use crate::decide::plan::Recommendation;
use crate::decide::signal::Value;

#[test]
fn a_rule_records_each_observation_that_it_counted() {
    let mut fleet = Fleet::of(4, 0.82);
    fleet.snapshot.current = observation(now(), 0.5, 4, None);
    fleet.snapshot.window.last_mut().unwrap().values.remove("cpu.avg");
    let plan = fleet.decide();
    let window = plan.recommendations[0].window.clone().unwrap();
    assert_eq!(window.when, "cpu.avg > 0.75");
    assert_eq!((window.hits, window.hits_needed, window.of), (1, 2, 3));
    assert_eq!(window.observations, "HUF", "oldest first");
    assert_eq!(plan.recommendations[0].reading, None);
}

#[test]
fn what_was_seen_before_the_last_change_is_not_recorded() {
    let mut fleet = Fleet::of(4, 0.82);
    fleet.snapshot.memory.last_change = Some(ago(seconds(5)));
    let window = fleet.decide().recommendations[0].window.clone().unwrap();
    assert_eq!((window.hits, window.observations.as_str()), (1, "H"));
}

#[test]
fn a_target_records_its_value_beside_the_one_wanted() {
    let mut fleet = Fleet::of(4, 0.62);
    fleet.policy.rules.clear();
    fleet.policy.targets = vec![cpu_target()];
    let silent = Value { heard: 0.62, if_idle: 0.5, if_busy: 0.7 };
    fleet.snapshot.current.values.insert("cpu.avg".into(), silent);
    let asked = fleet.decide().recommendations.remove(0);
    let reading = asked.reading.unwrap();
    assert_eq!((reading.signal.as_str(), reading.wanted, reading.tolerance), ("cpu.avg", 0.6, 0.1));
    assert_eq!((reading.if_idle, reading.value, reading.if_busy), (Some(0.5), Some(0.62), Some(0.7)));
    assert_eq!((reading.hosts, asked.window), (4, None));
}

#[test]
fn a_row_from_before_this_was_kept_is_read() {
    let old = r#"{"source": "rule hot", "size": 4, "because": "held in 2 of 3 observations"}"#;
    let read: Recommendation = serde_json::from_str(old).unwrap();
    assert_eq!((read.size, read.window, read.reading), (Some(4), None, None));
}
