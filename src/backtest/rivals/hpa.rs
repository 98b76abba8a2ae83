//! The Horizontal Pod Autoscaler of Kubernetes, with hosts for pods.
//!
//! Sources: the documentation's page "Horizontal Pod Autoscaling", section "Algorithm details" (kubernetes/website),
//! and for what it leaves open the order of the steps in `pkg/controller/podautoscaler/replica_calculator.go`
//! (kubernetes/kubernetes). Every 15 s: ratio = mean utilisation of the ready pods ÷ target; within 0.1 of 1 nothing is
//! done; else size = ⌈ratio × ready pods⌉. A pod without metrics counts as being at the target when the ratio says in
//! and as idle when it says out; a pod that is not ready counts as idle when it says out, and not at all when it says
//! in. With those in, the ratio is taken once more, and the size is kept if it now lies within the tolerance or on the
//! other side. How far a recommendation moves the size is `behaviour`'s. The target when nobody names one is 0.8
//! (reference of `autoscaling/v2`, `spec.metrics`).
//!
//! Assumed: metrics cover the last 15 s, so within its first five minutes (the CPU initialisation period) a host is
//! not ready until it has served for 15 s.

use super::behaviour::Behaviour;
use super::{NOISE, ceil};
use crate::backtest::{Scaler, Second, SeenHost, Sight};

pub(super) const NAME: &str = "hpa";
pub(super) const SYNC: Second = 15;
pub(super) const TOLERANCE: f64 = 0.1;
const CPU_INITIALISATION: Second = 300;
const METRICS_WINDOW: Second = 15;
const DEFAULT_TARGET: f64 = 0.8;

/// The rule and what it remembers.
#[derive(Clone, Debug)]
pub struct Hpa {
    target: f64,
    behaviour: Behaviour,
}

impl Hpa {
    /// With this target utilisation, 0–1.
    #[must_use]
    pub fn new(target: f64) -> Self {
        Self { target, behaviour: Behaviour::default() }
    }

    /// With the target of the API's reference.
    #[must_use]
    pub fn documented_default() -> Self {
        Self::new(DEFAULT_TARGET)
    }

    /// What the metrics recommend; `None`: nobody ready answered.
    fn recommended(&self, sight: &Sight<'_>) -> Option<u32> {
        let pods = Pods::of(sight);
        if pods.ready == 0 {
            return None;
        }
        let ratio = pods.busy / f64::from(pods.ready) / self.target;
        let rises_past_unready = ratio > 1.0 && pods.unready > 0;
        if pods.missing == 0 && !rises_past_unready {
            let size = if is_close(ratio) { sight.desired } else { ceil(ratio * f64::from(pods.ready)) };
            return Some(size);
        }
        Some(self.with_the_rest(sight.desired, &pods, ratio))
    }

    /// The recommendation once the pods are counted in that were set aside.
    fn with_the_rest(&self, current: u32, pods: &Pods, ratio: f64) -> u32 {
        let (mut counted, mut busy) = (pods.ready, pods.busy);
        if ratio > 1.0 {
            counted += pods.missing + pods.unready;
        } else if ratio < 1.0 {
            counted += pods.missing;
            busy += f64::from(pods.missing) * self.target;
        }
        let again = busy / f64::from(counted) / self.target;
        let turns = (ratio < 1.0 && again > 1.0) || (ratio > 1.0 && again < 1.0);
        if is_close(again) || turns {
            return current;
        }
        let size = ceil(again * f64::from(counted));
        if (again < 1.0 && size > current) || (again > 1.0 && size < current) { current } else { size }
    }
}

/// Whether a ratio is close enough to one that nothing is done.
pub(super) fn is_close(ratio: f64) -> bool {
    (ratio - 1.0).abs() <= TOLERANCE + NOISE
}

/// The hosts as the controller sorts them.
struct Pods {
    ready: u32,
    /// The sum of what the ready ones measure.
    busy: f64,
    missing: u32,
    unready: u32,
}

impl Pods {
    fn of(sight: &Sight<'_>) -> Self {
        let mut pods = Self { ready: 0, busy: 0.0, missing: 0, unready: 0 };
        for host in sight.hosts {
            match (host.ready_at, host.utilisation) {
                (None, _) => pods.unready += 1,
                (Some(_), None) => pods.missing += 1,
                (Some(ready_at), Some(_)) if is_fresh(host, ready_at, sight.now) => pods.unready += 1,
                (Some(_), Some(utilisation)) => {
                    pods.ready += 1;
                    pods.busy += utilisation;
                }
            }
        }
        pods
    }
}

/// Whether what it measures may be from before it was ready.
fn is_fresh(host: &SeenHost, ready_at: Second, now: Second) -> bool {
    now < host.launched_at.saturating_add(CPU_INITIALISATION) && now < ready_at.saturating_add(METRICS_WINDOW)
}

impl Scaler for Hpa {
    fn name(&self) -> &str {
        NAME
    }

    fn interval(&self) -> Second {
        SYNC
    }

    fn size(&mut self, sight: &Sight<'_>) -> u32 {
        match self.recommended(sight) {
            Some(recommended) => self.behaviour.apply(sight.now, sight.desired, recommended),
            None => sight.desired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fleet;
    use super::*;

    fn ask(fleet: &Fleet, target: f64, desired: u32) -> u32 {
        fleet.ask(&mut Hpa::new(target), 1000, desired)
    }

    #[test]
    fn twice_the_target_doubles_and_half_of_it_halves() {
        assert_eq!(ask(&Fleet::serving(3).all_at(0.2), 0.1, 3), 6);
        assert_eq!(ask(&Fleet::serving(6).all_at(0.05), 0.1, 6), 3);
    }

    #[test]
    fn within_a_tenth_of_the_target_nothing_is_done() {
        assert_eq!(ask(&Fleet::serving(100).all_at(0.55), 0.5, 100), 100);
        assert_eq!(ask(&Fleet::serving(100).all_at(0.45), 0.5, 100), 100);
        assert_eq!(ask(&Fleet::serving(100).all_at(0.56), 0.5, 100), 112);
    }

    #[test]
    fn the_mean_of_the_pods_decides() {
        assert_eq!(ask(&Fleet::serving(3).at(&[0.3, 0.5, 0.7]), 0.3, 3), 5, "0.5 ÷ 0.3 × 3");
    }

    #[test]
    fn a_pod_that_is_not_ready_is_idle_when_it_goes_out() {
        let fleet = Fleet::serving(2).at(&[0.5, 0.7]).and(1, 900, None, None);
        assert_eq!(ask(&fleet, 0.3, 3), 4, "1.2 ÷ 3 ÷ 0.3 = 1.33 of three");
    }

    #[test]
    fn a_rise_that_the_unready_would_turn_is_held() {
        let fleet = Fleet::serving(1).at(&[0.4]).and(2, 900, None, None);
        assert_eq!(ask(&fleet, 0.3, 3), 3, "0.4 ÷ 3 is below the target");
    }

    #[test]
    fn a_pod_that_is_not_ready_does_not_count_when_it_goes_in() {
        let fleet = Fleet::serving(4).all_at(0.2).and(1, 900, None, None);
        assert_eq!(ask(&fleet, 0.5, 5), 2, "0.4 of the four that are ready");
    }

    #[test]
    fn a_pod_without_metrics_is_at_the_target_when_it_goes_in() {
        let fleet = Fleet::serving(4).all_at(0.25).silent(1);
        assert_eq!(ask(&fleet, 0.5, 4), 3, "(0.75 + 0.5) ÷ 4 ÷ 0.5 = 0.625 of four");
        let close = Fleet::serving(10).all_at(0.4).silent(6);
        assert_eq!(ask(&close, 0.5, 10), 10, "(1.6 + 3.0) ÷ 10 ÷ 0.5 = 0.92: within the tolerance");
    }

    #[test]
    fn a_pod_without_metrics_is_idle_when_it_goes_out() {
        let fleet = Fleet::serving(4).all_at(0.9).silent(1);
        assert_eq!(ask(&fleet, 0.5, 4), 6, "2.7 ÷ 4 ÷ 0.5 = 1.35 of four");
        let turned = Fleet::serving(4).all_at(0.9).silent(2);
        assert_eq!(ask(&turned, 0.5, 4), 4, "1.8 ÷ 4 ÷ 0.5 = 0.9: close, and on the other side");
    }

    #[test]
    fn a_fresh_pod_is_set_aside_until_its_metrics_are_its_own() {
        let fleet = Fleet::serving(2).all_at(0.9).and(2, 920, Some(990), Some(0.9));
        assert_eq!(ask(&fleet, 0.6, 4), 4, "two of four count: 1.8 ÷ 4 is below the target");
        assert_eq!(fleet.ask(&mut Hpa::new(0.6), 1005, 4), 6, "0.9 ÷ 0.6 of four");
    }

    #[test]
    fn it_grows_fast_and_shrinks_after_five_minutes() {
        let mut hpa = Hpa::new(0.5);
        assert_eq!(Fleet::serving(2).all_at(1.0).ask(&mut hpa, 30, 2), 4);
        let idle = Fleet::serving(4).all_at(0.1);
        assert_eq!(idle.ask_until(&mut hpa, 45, 315, 4), 4);
        assert_eq!(idle.ask(&mut hpa, 330, 4), 1);
    }
}
