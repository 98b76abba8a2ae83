//! The group's CPU as CloudWatch shows it: one number a minute, a while later.
//!
//! Sources: "Configure monitoring for Auto Scaling instances" (awsdocs/amazon-ec2-auto-scaling-user-guide) for the
//! 60 s of detailed monitoring; "Set the default instance warmup" for whose numbers count: an instance that warms up is
//! left out of the group's metric. A minute in which nobody answered has no number.
//!
//! Assumed: a minute's number can be had 60 s after the minute is over; CloudWatch publishes no figure for that.

use std::collections::VecDeque;

use crate::backtest::{Second, SeenHost, Sight};

/// How often the instances are looked at; a minute's number is the mean of what was seen in it.
pub(super) const SAMPLING: Second = 15;
const MINUTE: Second = 60;
/// Minutes that are remembered; the longest alarm asks for 15.
const KEPT: usize = 32;
/// Minutes that are over and cannot be had yet.
const LAG: usize = 1;

/// How long an instance warms up when nothing is set: the group's default cooldown.
pub(super) const DEFAULT_WARMUP: Second = 300;

/// Whether an instance's warm-up, which begins when it is in service, is over.
pub(super) fn is_warm(host: &SeenHost, now: Second, warmup: Second) -> bool {
    host.ready_at.is_some_and(|ready_at| ready_at.saturating_add(warmup) <= now)
}

/// The numbers of the last minutes.
#[derive(Clone, Debug)]
pub(super) struct GroupCpu {
    warmup: Second,
    /// The minute that is not over: when it will be, and sum and count of what was seen in it.
    open: Option<(Second, f64, u32)>,
    /// Minutes that are over, newest first.
    minutes: VecDeque<Option<f64>>,
}

impl GroupCpu {
    pub(super) fn new(warmup: Second) -> Self {
        Self { warmup, open: None, minutes: VecDeque::with_capacity(KEPT + 1) }
    }

    /// Takes in what is seen now; whether a minute is over, which is when alarms are looked at.
    pub(super) fn observe(&mut self, sight: &Sight<'_>) -> bool {
        let is_over = self.close(sight.now);
        let end = (sight.now / MINUTE + 1) * MINUTE;
        let (_, sum, count) = self.open.get_or_insert((end, 0.0, 0));
        for host in sight.hosts.iter().filter(|host| is_warm(host, sight.now, self.warmup)) {
            if let Some(utilisation) = host.utilisation {
                *sum += utilisation;
                *count += 1;
            }
        }
        is_over
    }

    fn close(&mut self, now: Second) -> bool {
        let Some((end, sum, count)) = self.open else { return false };
        if now < end {
            return false;
        }
        self.push((count > 0).then(|| sum / f64::from(count)));
        let unseen = ((now - end) / MINUTE) as usize;
        for _ in 0..unseen.min(KEPT) {
            self.push(None);
        }
        self.open = None;
        true
    }

    fn push(&mut self, minute: Option<f64>) {
        self.minutes.push_front(minute);
        self.minutes.truncate(KEPT);
    }

    /// The newest so many minutes that can be had, newest first; `None`: one of them has no number.
    pub(super) fn newest(&self, minutes: usize) -> Option<Vec<f64>> {
        let found: Option<Vec<f64>> = self.minutes.iter().skip(LAG).take(minutes).copied().collect();
        found.filter(|found| found.len() == minutes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(cpu: &mut GroupCpu, now: Second, hosts: &[(Second, Option<f64>)]) -> bool {
        let hosts: Vec<SeenHost> = (0..)
            .zip(hosts)
            .map(|(id, (ready_at, utilisation))| SeenHost {
                id,
                launched_at: 0,
                ready_at: Some(*ready_at),
                utilisation: *utilisation,
            })
            .collect();
        cpu.observe(&Sight { now, hosts: &hosts, desired: 1 })
    }

    #[test]
    fn a_minute_is_the_mean_of_its_samples_and_can_be_had_a_minute_later() {
        let mut cpu = GroupCpu::new(0);
        for (now, busy) in [(0, 0.1), (15, 0.2), (30, 0.3), (45, 0.4)] {
            assert!(!see(&mut cpu, now, &[(0, Some(busy))]));
        }
        assert!(see(&mut cpu, 60, &[(0, Some(1.0))]));
        assert_eq!(cpu.newest(1), None, "it is over, and cannot be had yet");
        assert!(see(&mut cpu, 120, &[(0, Some(1.0))]));
        assert_eq!(cpu.newest(1), Some(vec![0.25]));
        assert_eq!(cpu.newest(2), None, "there is no second");
    }

    #[test]
    fn who_warms_up_is_left_out() {
        let mut cpu = GroupCpu::new(300);
        see(&mut cpu, 600, &[(0, Some(0.8)), (301, Some(0.0))]);
        see(&mut cpu, 660, &[(0, Some(0.8)), (301, Some(0.2))]);
        see(&mut cpu, 720, &[]);
        see(&mut cpu, 780, &[]);
        assert_eq!(cpu.newest(2), Some(vec![0.5, 0.8]), "at 601 it is warm");
    }

    #[test]
    fn a_minute_in_which_nobody_answered_has_no_number() {
        let mut cpu = GroupCpu::new(0);
        see(&mut cpu, 0, &[(0, Some(0.5))]);
        see(&mut cpu, 60, &[(0, None)]);
        see(&mut cpu, 240, &[(0, Some(0.5))]);
        assert_eq!(cpu.newest(1), None);
        assert_eq!(cpu.minutes, [None, None, None, Some(0.5)]);
    }
}
