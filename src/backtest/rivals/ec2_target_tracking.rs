//! Target tracking of EC2 Auto Scaling.
//!
//! Source: "Target tracking scaling policies" and "Set the default instance warmup" of the user guide
//! (awsdocs/amazon-ec2-auto-scaling-user-guide). The service makes two alarms on the group's average of 60 s. High: the
//! last 3 of 3 minutes above the target. Low: the last 15 of 15 below a lower line. What should be added is rounded
//! up, what should be removed is rounded down ("1.5": add two, remove one), which is ⌈N × m ÷ T⌉ both ways. Instances
//! that warm up (300 s where nothing is set) are left out of N and of the metric but count towards what is already there,
//! and while any does, nothing is removed. Without data nothing is done.
//!
//! Assumed: the low line is 0.7 × target (observed at 50 → 35, 40 → 28, 30 → 21; the guide names none); an action a
//! minute while an alarm holds, each going all the way; see `cloudwatch` for when a number can be had. The target by
//! default is 0.5, that of the guide's example.

use super::ceil;
use super::cloudwatch::{DEFAULT_WARMUP, GroupCpu, SAMPLING, is_warm};
use crate::backtest::{Scaler, Second, Sight};

pub(super) const NAME: &str = "ec2-target-tracking";
const DEFAULT_TARGET: f64 = 0.5;
const HIGH_MINUTES: usize = 3;
const LOW_MINUTES: usize = 15;
const LOW_LINE: f64 = 0.7;

/// The rule and what it remembers.
#[derive(Clone, Debug)]
pub struct Ec2TargetTracking {
    target: f64,
    warmup: Second,
    cpu: GroupCpu,
}

impl Ec2TargetTracking {
    /// With this target utilisation, 0–1.
    #[must_use]
    pub fn new(target: f64) -> Self {
        Self::with_warmup(target, DEFAULT_WARMUP)
    }

    /// With the target of the guide's example.
    #[must_use]
    pub fn documented_default() -> Self {
        Self::new(DEFAULT_TARGET)
    }

    /// With this target utilisation, 0–1, and this warm-up of an instance.
    #[must_use]
    pub fn with_warmup(target: f64, warmup: Second) -> Self {
        Self { target, warmup, cpu: GroupCpu::new(warmup) }
    }

    /// What the alarms make of it.
    fn judge(&self, sight: &Sight<'_>) -> u32 {
        let warm = sight.hosts.iter().filter(|host| is_warm(host, sight.now, self.warmup)).count();
        let wanted = |cpu: f64| ceil(warm as f64 * cpu / self.target).max(1);
        if warm == 0 {
            return sight.desired;
        }
        if let Some(minutes) = self.cpu.newest(HIGH_MINUTES)
            && minutes.iter().all(|cpu| *cpu > self.target)
        {
            return sight.desired.max(wanted(minutes[0]));
        }
        if warm == sight.hosts.len()
            && let Some(minutes) = self.cpu.newest(LOW_MINUTES)
            && minutes.iter().all(|cpu| *cpu < LOW_LINE * self.target)
        {
            return sight.desired.min(wanted(minutes[0]));
        }
        sight.desired
    }
}

impl Scaler for Ec2TargetTracking {
    fn name(&self) -> &str {
        NAME
    }

    fn interval(&self) -> Second {
        SAMPLING
    }

    fn size(&mut self, sight: &Sight<'_>) -> u32 {
        if self.cpu.observe(sight) { self.judge(sight) } else { sight.desired }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fleet;
    use super::*;

    /// Second 600: everybody is warm.
    const START: Second = 600;

    fn tracking() -> Ec2TargetTracking {
        Ec2TargetTracking::new(0.5)
    }

    #[test]
    fn one_and_a_half_instances_more_are_two() {
        let fleet = Fleet::serving(3).all_at(0.75);
        let mut rule = tracking();
        assert_eq!(
            fleet.ask_until(&mut rule, START, START + 225, 3),
            3,
            "three minutes, and one until they show"
        );
        assert_eq!(fleet.ask(&mut rule, START + 240, 3), 5, "4.5 instances");
    }

    #[test]
    fn one_and_a_half_instances_fewer_are_one() {
        let fleet = Fleet::serving(5).all_at(0.345);
        let mut rule = tracking();
        assert_eq!(
            fleet.ask_until(&mut rule, START, START + 945, 5),
            5,
            "fifteen minutes, and one until they show"
        );
        assert_eq!(fleet.ask(&mut rule, START + 960, 5), 4, "3.45 instances");
    }

    #[test]
    fn at_the_target_and_just_below_it_nothing_is_done() {
        for cpu in [0.5, 0.36] {
            let fleet = Fleet::serving(5).all_at(cpu);
            assert_eq!(fleet.ask_until(&mut tracking(), START, START + 7200, 5), 5, "{cpu}");
        }
    }

    #[test]
    fn one_minute_at_the_target_ends_an_alarm() {
        let mut rule = tracking();
        let (high, calm) = (Fleet::serving(4).all_at(0.9), Fleet::serving(4).all_at(0.5));
        let mut desired = high.ask_until(&mut rule, START, START + 105, 4);
        desired = calm.ask_until(&mut rule, START + 120, START + 165, desired);
        desired = high.ask_until(&mut rule, START + 180, START + 405, desired);
        assert_eq!(desired, 4, "two high, one calm, two high and one that does not show yet");
        assert_eq!(high.ask_until(&mut rule, START + 420, START + 420, desired), 8, "0.9 ÷ 0.5 of four");
    }

    #[test]
    fn warming_instances_count_as_capacity_and_not_in_the_metric() {
        let fleet = Fleet::serving(10).all_at(0.6).and(2, 500, Some(560), Some(0.1));
        assert_eq!(
            fleet.ask_until(&mut tracking(), START, START + 240, 12),
            12,
            "0.6 ÷ 0.5 of ten is the twelve that are there"
        );
        let busier = Fleet::serving(10).all_at(0.8).and(2, 500, Some(560), Some(0.1));
        assert_eq!(busier.ask_until(&mut tracking(), START, START + 240, 12), 16, "0.8 ÷ 0.5 of ten");
    }

    #[test]
    fn nothing_is_removed_while_an_instance_warms_up_or_boots() {
        let mut rule = tracking();
        let late = START + 900;
        let idle = Fleet::serving(10).all_at(0.1);
        assert_eq!(idle.ask_until(&mut rule, START, late, 10), 10);
        let booting = Fleet::serving(9).all_at(0.1).and(1, late, None, None);
        assert_eq!(booting.ask_until(&mut rule, late + 15, late + 120, 10), 10);
        let warming = Fleet::serving(9).all_at(0.1).and(1, late, Some(late + 120), Some(0.1));
        assert_eq!(warming.ask_until(&mut rule, late + 135, late + 405, 10), 10);
        assert_eq!(warming.ask(&mut rule, late + 420, 10), 2);
    }

    #[test]
    fn without_data_nothing_is_done() {
        let mut rule = tracking();
        let silent = Fleet::serving(4).silent(4);
        let high = Fleet::serving(4).all_at(0.9);
        let mut desired = high.ask_until(&mut rule, START, START + 105, 4);
        desired = silent.ask_until(&mut rule, START + 120, START + 165, desired);
        assert_eq!(
            high.ask_until(&mut rule, START + 180, START + 300, desired),
            4,
            "a minute of three is missing"
        );
    }
}
