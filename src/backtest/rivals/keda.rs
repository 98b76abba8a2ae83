//! KEDA: a number from outside, shared out among the hosts, through Kubernetes' autoscaler.
//!
//! Sources: KEDA's "ScaledObject specification" and "Scaling Deployments" (kedacore/keda-docs), and for what becomes of
//! an external metric of type `AverageValue` the HPA's `replica_calculator.go`. KEDA asks the source every 30 s
//! (`pollingInterval`); the HPA takes that number every 15 s: ratio = number ÷ (target × hosts), within 0.1 of 1 nothing
//! is done, else size = ⌈number ÷ target⌉, moved no further than `behaviour` allows. Its own cooldown of 300 s is for
//! going to nothing only, which a fleet here never does. When the source failed for more than `failureThreshold` polls
//! in a row and a fallback is configured, its number of hosts is what is asked for; none is by default.
//!
//! Assumed: the number is the fleet's load (mean utilisation of those that answer, times those that serve), cached
//! between polls (`useCachedMetrics`). A utilisation trigger of KEDA's is the HPA's own rule, which `hpa` models. The
//! target by default is 0.6, that of the examples.

use super::behaviour::Behaviour;
use super::hpa::{SYNC, is_close};
use super::{ceil, load};
use crate::backtest::{Scaler, Second, Sight};

pub(super) const NAME: &str = "keda";
const POLLING: Second = 30;
const DEFAULT_TARGET: f64 = 0.6;

/// What is asked for when the source has failed for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// More failed polls in a row than this.
    pub failure_threshold: u32,
    /// So many hosts.
    pub replicas: u32,
}

/// The rule and what it remembers.
#[derive(Clone, Debug)]
pub struct Keda {
    target: f64,
    fallback: Option<Fallback>,
    polled: Option<Polled>,
    failures: u32,
    behaviour: Behaviour,
}

#[derive(Clone, Copy, Debug)]
struct Polled {
    at: Second,
    load: Option<f64>,
}

impl Keda {
    /// With this target utilisation, 0–1, and no fallback.
    #[must_use]
    pub fn new(target: f64) -> Self {
        Self { target, fallback: None, polled: None, failures: 0, behaviour: Behaviour::default() }
    }

    /// As the examples set it up.
    #[must_use]
    pub fn documented_default() -> Self {
        Self::new(DEFAULT_TARGET)
    }

    /// With a fallback.
    #[must_use]
    pub fn with_fallback(self, fallback: Fallback) -> Self {
        Self { fallback: Some(fallback), ..self }
    }

    /// The number as last polled.
    fn number(&mut self, sight: &Sight<'_>) -> Option<f64> {
        if let Some(polled) = self.polled
            && sight.now < polled.at.saturating_add(POLLING)
        {
            return polled.load;
        }
        let mut number = load(sight);
        self.failures = if number.is_some() { 0 } else { self.failures.saturating_add(1) };
        if let Some(fallback) = self.fallback
            && self.failures > fallback.failure_threshold
        {
            number = Some(f64::from(fallback.replicas) * self.target);
        }
        self.polled = Some(Polled { at: sight.now, load: number });
        number
    }
}

impl Scaler for Keda {
    fn name(&self) -> &str {
        NAME
    }

    fn interval(&self) -> Second {
        SYNC
    }

    fn size(&mut self, sight: &Sight<'_>) -> u32 {
        let Some(number) = self.number(sight) else { return sight.desired };
        let hosts = sight.hosts.len().max(1) as f64;
        let recommended =
            if is_close(number / (self.target * hosts)) { ceil(hosts) } else { ceil(number / self.target) };
        self.behaviour.apply(sight.now, sight.desired, recommended)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fleet;
    use super::*;

    #[test]
    fn the_number_is_shared_out() {
        let fleet = Fleet::serving(4).all_at(0.9);
        assert_eq!(fleet.ask(&mut Keda::new(0.6), 1000, 4), 6, "3.6 ÷ 0.6");
        let close = Fleet::serving(4).all_at(0.64);
        assert_eq!(close.ask(&mut Keda::new(0.6), 1000, 4), 4, "1.067: within the tolerance");
    }

    #[test]
    fn it_polls_every_thirty_seconds() {
        let mut keda = Keda::new(0.5);
        let busy = Fleet::serving(10).all_at(1.0);
        assert_eq!(Fleet::serving(10).all_at(0.5).ask(&mut keda, 0, 10), 10);
        assert_eq!(busy.ask(&mut keda, 15, 10), 10, "the number is 15 s old");
        assert_eq!(busy.ask(&mut keda, 30, 10), 20);
    }

    #[test]
    fn the_polling_interval_is_not_the_pace_of_growth() {
        let mut keda = Keda::new(0.1);
        let busy = Fleet::serving(2).all_at(1.0);
        assert_eq!(busy.ask(&mut keda, 0, 2), 6, "four more");
        assert_eq!(busy.ask(&mut keda, 15, 6), 12, "twice as many, of the same number");
    }

    #[test]
    fn a_fall_waits_five_minutes() {
        let mut keda = Keda::new(0.5);
        let idle = Fleet::serving(10).all_at(0.1);
        assert_eq!(Fleet::serving(10).all_at(0.5).ask(&mut keda, 0, 10), 10);
        assert_eq!(idle.ask_until(&mut keda, 15, 300, 10), 10, "30 s is when it sees that nothing is to do");
        assert_eq!(idle.ask(&mut keda, 315, 10), 2);
    }

    #[test]
    fn a_fallback_is_asked_for_after_its_failures() {
        let fallback = Fallback { failure_threshold: 3, replicas: 6 };
        let silent = Fleet::serving(4).silent(4);
        let mut keda = Keda::new(0.5).with_fallback(fallback);
        assert_eq!(silent.ask_until(&mut keda, 0, 75, 4), 4, "polls at 0, 30 and 60 failed");
        assert_eq!(silent.ask(&mut keda, 90, 4), 6);
        let mut without = Keda::new(0.5);
        assert_eq!(silent.ask_until(&mut without, 0, 3600, 4), 4);
    }
}
