//! Whether the hosts that stay could carry the load: a scale-in that would start a scale-out is not begun.

use crate::decide::census::Census;
use crate::decide::condition::{Facet, Truth};
use crate::decide::ground::Ground;
use crate::decide::signal::{Observation, Value, split_host_signal};
use crate::decide::wording::number;

/// When nobody stays, whatever load there is is too much.
const EVERYTHING: f64 = 1e6;

/// What would be started if the load of the hosts in service were spread over `remaining` of them.
pub(super) fn overload(census: &Census<'_>, remaining: u32) -> Option<Ground> {
    let projected = spread(census, remaining);
    for rule in census.policy.rules.iter().filter(|rule| rule.action.is_out()) {
        if rule.when.evaluate(&projected, Facet::IfBusy) != Truth::Fails {
            let with = rule.when.explain(&projected, Facet::IfBusy);
            return Some(Ground::Overload { hosts: remaining, source: format!("rule {}", rule.name), with });
        }
    }
    census.policy.targets.iter().find_map(|target| {
        let value = projected.value(&target.signal, Facet::IfBusy)?;
        let above = value / target.value > 1.0 + target.tolerance + 1e-9;
        let with = || format!("{} {}", target.signal, number(value));
        above.then(|| Ground::Overload {
            hosts: remaining,
            source: format!("target {}", target.name),
            with: with(),
        })
    })
}

/// The current observation as it would be with fewer hosts.
fn spread(census: &Census<'_>, remaining: u32) -> Observation {
    let serving = census.healthy;
    let factor = factor(serving, remaining);
    let mut projected = census.snapshot.current.clone();
    for (name, value) in &mut projected.values {
        match split_host_signal(name) {
            // A sum is the load itself: it stays, whoever carries it.
            Some((_, "sum")) => {}
            Some(_) => *value = scaled(*value, factor),
            None if name == "hosts.healthy" || name == "hosts.in_service" => {
                *value = Value::exact(value.heard.min(f64::from(remaining)));
            }
            None => {}
        }
    }
    projected
}

fn factor(serving: u32, remaining: u32) -> f64 {
    if serving <= remaining {
        1.0
    } else if remaining == 0 {
        EVERYTHING
    } else {
        f64::from(serving) / f64::from(remaining)
    }
}

fn scaled(value: Value, factor: f64) -> Value {
    Value { heard: value.heard * factor, if_idle: value.if_idle * factor, if_busy: value.if_busy * factor }
}
