//! Step scaling of EC2 Auto Scaling, with the steps of its guide's example.
//!
//! Source: "Step and simple scaling policies" of the user guide (awsdocs/amazon-ec2-auto-scaling-user-guide): two alarms
//! on the group's average CPU, each 2 periods of 120 s. From 60 % on 10 % more, from 70 % on 30 % more; at 40 % and
//! below 10 % fewer, at 30 % and below 30 % fewer. A share that is not whole is rounded towards nothing, but is at least
//! one. Instances that warm up are left out of what the share is of, but count towards what is already there, so that an
//! alarm which goes on does not add twice; while any warms up, nothing is removed. An alarm that goes on acts once a
//! minute ("Alarm actions" of the CloudWatch guide). Without data nothing is done.
//!
//! Assumed: the two periods are the last four minutes that can be had, looked at once a minute.

use super::cloudwatch::{DEFAULT_WARMUP, GroupCpu, SAMPLING, is_warm};
use super::{NOISE, floor};
use crate::backtest::{Scaler, Second, Sight};

pub(super) const NAME: &str = "ec2-step";
/// The example's thresholds lie around this utilisation.
const CENTRE: f64 = 0.5;
/// The thresholds in shares of the centre with what they add, the farthest first.
const OUT: [(f64, f64); 2] = [(1.4, 0.3), (1.2, 0.1)];
/// … and what they remove.
const IN: [(f64, f64); 2] = [(0.6, 0.3), (0.8, 0.1)];
/// Two minutes make a period, two periods an alarm.
const MINUTES: usize = 4;

/// The rule and what it remembers.
#[derive(Clone, Debug)]
pub struct Ec2Step {
    centre: f64,
    warmup: Second,
    cpu: GroupCpu,
}

impl Ec2Step {
    /// With its thresholds around this utilisation, 0–1, as the example's lie around 0.5.
    #[must_use]
    pub fn new(centre: f64) -> Self {
        Self { centre, warmup: DEFAULT_WARMUP, cpu: GroupCpu::new(DEFAULT_WARMUP) }
    }

    /// The guide's example.
    #[must_use]
    pub fn documented_default() -> Self {
        Self::new(CENTRE)
    }

    fn judge(&self, sight: &Sight<'_>) -> u32 {
        let Some(minutes) = self.cpu.newest(MINUTES) else { return sight.desired };
        let (newer, older) = (f64::midpoint(minutes[0], minutes[1]), f64::midpoint(minutes[2], minutes[3]));
        let warm = sight.hosts.iter().filter(|host| is_warm(host, sight.now, self.warmup)).count();
        if let Some(step) = self.step_out(newer, older) {
            let capacity = warm as f64;
            return sight.desired.max(floor(capacity) + share(capacity, step));
        }
        if warm == sight.hosts.len()
            && let Some(step) = self.step_in(newer, older)
        {
            return sight.desired.saturating_sub(share(f64::from(sight.desired), step)).max(1);
        }
        sight.desired
    }

    /// The share to add: both periods are in the alarm, and the newer one says how far.
    fn step_out(&self, newer: f64, older: f64) -> Option<f64> {
        let reaches = |cpu: f64, (threshold, _): &(f64, f64)| cpu >= threshold * self.centre - NOISE;
        let is_alarm = OUT.iter().any(|step| reaches(older, step));
        OUT.iter().find(|step| is_alarm && reaches(newer, step)).map(|(_, share)| *share)
    }

    /// The share to remove, likewise.
    fn step_in(&self, newer: f64, older: f64) -> Option<f64> {
        let reaches = |cpu: f64, (threshold, _): &(f64, f64)| cpu <= threshold * self.centre + NOISE;
        let is_alarm = IN.iter().any(|step| reaches(older, step));
        IN.iter().find(|step| is_alarm && reaches(newer, step)).map(|(_, share)| *share)
    }
}

/// A share of a capacity in whole instances: towards nothing, but at least one.
fn share(capacity: f64, step: f64) -> u32 {
    floor(capacity * step).max(1)
}

impl Scaler for Ec2Step {
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

    const START: Second = 600;
    /// Four minutes, and one until they show.
    const ALARM: Second = START + 300;

    fn after_alarm(fleet: &Fleet, desired: u32) -> u32 {
        let mut rule = Ec2Step::documented_default();
        assert_eq!(fleet.ask_until(&mut rule, START, ALARM - 15, desired), desired, "too early");
        fleet.ask(&mut rule, ALARM, desired)
    }

    #[test]
    fn the_guides_example_step_by_step() {
        assert_eq!(after_alarm(&Fleet::serving(10).all_at(0.6), 10), 11, "10 % of 10");
        assert_eq!(after_alarm(&Fleet::serving(11).all_at(0.7), 11), 14, "3.3 are 3");
        assert_eq!(after_alarm(&Fleet::serving(14).all_at(0.4), 14), 13, "1.4 are 1");
        assert_eq!(after_alarm(&Fleet::serving(13).all_at(0.3), 13), 10, "3.9 are 3");
    }

    #[test]
    fn between_the_alarms_nothing_is_done() {
        for cpu in [0.41, 0.5, 0.59] {
            assert_eq!(after_alarm(&Fleet::serving(10).all_at(cpu), 10), 10, "{cpu}");
        }
    }

    #[test]
    fn a_share_below_one_is_one() {
        assert_eq!(after_alarm(&Fleet::serving(2).all_at(0.6), 2), 3, "0.2");
        assert_eq!(after_alarm(&Fleet::serving(2).all_at(0.4), 2), 1, "-0.2");
        assert_eq!(share(127.0, 0.1), 12, "12.7");
        assert_eq!(share(6.7, 0.1), 1, "0.67");
    }

    #[test]
    fn what_warms_up_is_not_capacity_but_is_already_there() {
        let warming = |cpu: f64| Fleet::serving(10).all_at(cpu).and(1, 700, Some(760), Some(0.1));
        assert_eq!(after_alarm(&warming(0.62), 11), 11, "one of ten is wanted, and it is there");
        assert_eq!(after_alarm(&warming(0.7), 11), 13, "three of ten are wanted, one is there");
        assert_eq!(after_alarm(&warming(0.3), 11), 11, "nothing is removed while it warms up");
    }

    #[test]
    fn one_period_is_no_alarm() {
        let mut rule = Ec2Step::documented_default();
        let (calm, busy) = (Fleet::serving(10).all_at(0.5), Fleet::serving(10).all_at(0.7));
        assert_eq!(calm.ask_until(&mut rule, START, START + 105, 10), 10);
        assert_eq!(busy.ask_until(&mut rule, START + 120, START + 345, 10), 10);
        assert_eq!(busy.ask_until(&mut rule, START + 360, START + 420, 10), 13);
    }

    #[test]
    fn the_thresholds_move_with_the_centre() {
        let mut rule = Ec2Step::new(0.7);
        let fleet = Fleet::serving(10).all_at(0.7);
        assert_eq!(fleet.ask_until(&mut rule, START, START + 3600, 10), 10);
        let busy = Fleet::serving(10).all_at(0.85);
        assert_eq!(busy.ask_until(&mut rule, START + 3615, START + 4000, 10), 11, "0.84 is its 60 %");
    }
}
