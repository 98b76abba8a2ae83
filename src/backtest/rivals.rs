//! The rules that others ship, so that ours can be judged beside them.
//!
//! Each file models one rule as its maker documents it, says where that is written, and marks as *assumed* what the
//! maker does not publish. They are models of rules, not the products: what a product does beside its rule (rolling
//! updates, health checks, balancing of zones) is not here. Where a text leaves a choice, the one that does the rival
//! more good is taken; a comparison that is won by a weak model of the other side says nothing.

mod behaviour;
mod cloudwatch;
pub mod ec2_step;
pub mod ec2_target_tracking;
#[cfg(test)]
mod fixture;
pub mod gce;
pub mod hpa;
pub mod keda;
pub mod nomad_target_value;
pub mod nomad_threshold;
pub mod react;

use std::fmt;
use std::str::FromStr;

use crate::backtest::{Scaler, Second, SeenHost, Sight};

/// Every rule that there is a model of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rival {
    /// Kubernetes' Horizontal Pod Autoscaler.
    Hpa,
    /// EC2 Auto Scaling, target tracking.
    Ec2TargetTracking,
    /// EC2 Auto Scaling, step scaling.
    Ec2Step,
    /// Nomad Autoscaler, strategy `target-value`.
    NomadTargetValue,
    /// Nomad Autoscaler, strategy `threshold`.
    NomadThreshold,
    /// Google Compute Engine, managed instance groups.
    Gce,
    /// KEDA.
    Keda,
    /// React, of the academic literature.
    React,
}

impl Rival {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Hpa,
        Self::Ec2TargetTracking,
        Self::Ec2Step,
        Self::NomadTargetValue,
        Self::NomadThreshold,
        Self::Gce,
        Self::Keda,
        Self::React,
    ];

    /// How it is called on the command line and in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hpa => hpa::NAME,
            Self::Ec2TargetTracking => ec2_target_tracking::NAME,
            Self::Ec2Step => ec2_step::NAME,
            Self::NomadTargetValue => nomad_target_value::NAME,
            Self::NomadThreshold => nomad_threshold::NAME,
            Self::Gce => gce::NAME,
            Self::Keda => keda::NAME,
            Self::React => react::NAME,
        }
    }

    /// The rule as its documentation sets it up.
    #[must_use]
    pub fn documented_default(self) -> Box<dyn Scaler + Send> {
        match self {
            Self::Hpa => Box::new(hpa::Hpa::documented_default()),
            Self::Ec2TargetTracking => Box::new(ec2_target_tracking::Ec2TargetTracking::documented_default()),
            Self::Ec2Step => Box::new(ec2_step::Ec2Step::documented_default()),
            Self::NomadTargetValue => Box::new(nomad_target_value::NomadTargetValue::documented_default()),
            Self::NomadThreshold => Box::new(nomad_threshold::NomadThreshold::documented_default()),
            Self::Gce => Box::new(gce::Gce::documented_default()),
            Self::Keda => Box::new(keda::Keda::documented_default()),
            Self::React => Box::new(react::React::documented_default()),
        }
    }

    /// The rule with its documented times, kept at another utilisation, 0–1. A rule that has thresholds in place of a
    /// target has them moved in proportion, so that they lie around this one as the documented ones lie around theirs.
    #[must_use]
    pub fn with_target(self, target: f64) -> Box<dyn Scaler + Send> {
        match self {
            Self::Hpa => Box::new(hpa::Hpa::new(target)),
            Self::Ec2TargetTracking => Box::new(ec2_target_tracking::Ec2TargetTracking::new(target)),
            Self::Ec2Step => Box::new(ec2_step::Ec2Step::new(target)),
            Self::NomadTargetValue => Box::new(nomad_target_value::NomadTargetValue::new(target)),
            Self::NomadThreshold => Box::new(nomad_threshold::NomadThreshold::new(target)),
            Self::Gce => Box::new(gce::Gce::new(target)),
            Self::Keda => Box::new(keda::Keda::new(target)),
            Self::React => Box::new(react::React::new(target)),
        }
    }
}

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no model has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no rival {0:?}; there are {names}", names = Rival::ALL.map(Rival::name).join(", "))]
pub struct NoSuchRival(String);

impl FromStr for Rival {
    type Err = NoSuchRival;

    fn from_str(name: &str) -> Result<Self, NoSuchRival> {
        Self::ALL.into_iter().find(|rival| rival.name() == name).ok_or_else(|| NoSuchRival(name.to_owned()))
    }
}

/// What the last bits of a float do to a ratio must not buy a host.
const NOISE: f64 = 1e-9;

/// So many hosts, rounded up.
fn ceil(hosts: f64) -> u32 {
    whole((hosts - NOISE).ceil())
}

/// So many hosts, rounded down.
fn floor(hosts: f64) -> u32 {
    whole((hosts + NOISE).floor())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates: below nothing is nothing, and what is too many stays many"
)]
fn whole(hosts: f64) -> u32 {
    hosts as u32
}

/// The mean, or `None` of nothing.
fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.into_iter().fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

fn count<'a>(hosts: impl Iterator<Item = &'a SeenHost>) -> f64 {
    hosts.count() as f64
}

/// The mean utilisation of the hosts that answered.
fn group_average(sight: &Sight<'_>) -> Option<f64> {
    mean(sight.hosts.iter().filter_map(|host| host.utilisation))
}

/// The load in wholly busy hosts: the mean of those that answered, for all that serve. So a query would put it that
/// is to survive a host that does not answer.
fn load(sight: &Sight<'_>) -> Option<f64> {
    let serving = count(sight.hosts.iter().filter(|host| host.ready_at.is_some()));
    group_average(sight).map(|average| average * serving)
}

/// Values with their times, of which the old ones are forgotten.
#[derive(Clone, Debug, Default)]
struct Recent<T>(std::collections::VecDeque<(Second, T)>);

impl<T: Copy> Recent<T> {
    fn push(&mut self, now: Second, value: T) {
        self.0.push_back((now, value));
    }

    /// Forgets what is as old as this, or older.
    fn forget(&mut self, now: Second, window: Second) {
        while self.0.front().is_some_and(|(at, _)| at.saturating_add(window) <= now) {
            self.0.pop_front();
        }
    }

    /// The value of a moment: the last one until then.
    fn at(&self, moment: Second) -> Option<T> {
        self.0.iter().rev().find(|(at, _)| *at <= moment).map(|(_, value)| *value)
    }

    fn values(&self) -> impl Iterator<Item = T> {
        self.0.iter().map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fixture::Fleet;
    use super::*;

    /// A host of some age, booting or serving, heard or not.
    fn some_host() -> impl Strategy<Value = (Second, Option<Second>, Option<f64>)> {
        (0..900_u32, proptest::option::of(0..900_u32), proptest::option::of(0.0..=1.0_f64))
    }

    proptest! {
        #[test]
        fn whatever_is_seen_a_size_comes_of_it_and_never_none_at_all(
            looks in proptest::collection::vec(proptest::collection::vec(some_host(), 0..12), 1..60),
            target in 0.05..=1.0_f64,
        ) {
            for rival in Rival::ALL {
                let mut scaler = rival.with_target(target);
                let (mut now, mut desired) = (900, 5);
                for hosts in &looks {
                    let fleet = hosts.iter().fold(Fleet::serving(0), |fleet, (launched, ready, utilisation)| {
                        fleet.and(1, *launched, *ready, utilisation.filter(|_| ready.is_some()))
                    });
                    desired = fleet.ask(scaler.as_mut(), now, desired);
                    prop_assert!(desired >= 1, "{} at {}", rival, now);
                    // A fleet has a largest size, in life as in the plant.
                    desired = desired.min(1_000);
                    now += scaler.interval();
                }
            }
        }
    }

    #[test]
    fn every_name_leads_to_its_rule_and_no_other_does() {
        for rival in Rival::ALL {
            assert_eq!(rival.name().parse(), Ok(rival));
            assert_eq!(rival.documented_default().name(), rival.name());
            assert_eq!(rival.with_target(0.5).name(), rival.name());
        }
        let error = "karpenter".parse::<Rival>().unwrap_err().to_string();
        assert!(error.contains("karpenter") && error.contains("nomad-threshold"), "{error}");
    }

    #[test]
    fn nobody_acts_on_nothing() {
        for rival in Rival::ALL {
            let mut scaler = rival.documented_default();
            let interval = scaler.interval();
            for round in 0..200 {
                let fleet = Fleet::serving(5).silent(5);
                assert_eq!(fleet.ask(scaler.as_mut(), round * interval, 5), 5, "{rival} at round {round}");
            }
        }
    }

    #[test]
    fn everybody_grows_under_load_in_the_end_and_nobody_shrinks() {
        for rival in Rival::ALL {
            let mut scaler = rival.documented_default();
            let interval = scaler.interval();
            let mut desired = 5;
            for round in 0..400 {
                let next = Fleet::serving(5).all_at(0.99).ask(scaler.as_mut(), round * interval, desired);
                assert!(next >= desired, "{rival} at round {round}");
                desired = next;
            }
            assert!(desired > 5, "{rival}");
        }
    }

    #[test]
    fn everybody_shrinks_without_load_in_the_end_and_keeps_one() {
        for rival in Rival::ALL {
            let mut scaler = rival.documented_default();
            let interval = scaler.interval();
            let mut desired = 8;
            for round in 0..1000 {
                let fleet = Fleet::serving(desired as usize).all_at(0.0);
                desired = fleet.ask(scaler.as_mut(), round * interval, desired);
                assert!(desired >= 1, "{rival} at round {round}");
            }
            assert!(desired < 8, "{rival}");
        }
    }

    #[test]
    fn floats_do_not_buy_hosts() {
        assert_eq!(ceil(10.0 * (0.3 / 0.1) / 10.0), 3);
        assert_eq!(ceil(3.01), 4);
        assert_eq!(ceil(-1.0), 0);
        assert_eq!(floor(0.3 / 0.1), 3);
        assert_eq!(floor(2.99), 2);
    }
}
