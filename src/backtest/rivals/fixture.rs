//! Small fleets for the tests of the rules.

use crate::backtest::{Scaler, Second, SeenHost, Sight};

/// Hosts; those of [`Fleet::serving`] have served since long before the first second that a test asks about.
#[derive(Clone, Debug)]
pub(super) struct Fleet(Vec<SeenHost>);

impl Fleet {
    /// So many hosts that serve since second 0, idle.
    pub(super) fn serving(hosts: usize) -> Self {
        Self(vec![]).and(hosts, 0, Some(0), Some(0.0))
    }

    /// So many more.
    pub(super) fn and(
        mut self,
        hosts: usize,
        launched_at: Second,
        ready_at: Option<Second>,
        utilisation: Option<f64>,
    ) -> Self {
        for _ in 0..hosts {
            let id = u32::try_from(self.0.len()).unwrap();
            self.0.push(SeenHost { id, launched_at, ready_at, utilisation });
        }
        self
    }

    /// Every host that serves measures this.
    pub(super) fn all_at(mut self, utilisation: f64) -> Self {
        for host in self.0.iter_mut().filter(|host| host.ready_at.is_some()) {
            host.utilisation = Some(utilisation);
        }
        self
    }

    /// The first hosts measure these.
    pub(super) fn at(mut self, utilisations: &[f64]) -> Self {
        for (host, utilisation) in self.0.iter_mut().zip(utilisations) {
            host.utilisation = Some(*utilisation);
        }
        self
    }

    /// The last so many hosts do not answer.
    pub(super) fn silent(mut self, hosts: usize) -> Self {
        for host in self.0.iter_mut().rev().take(hosts) {
            host.utilisation = None;
        }
        self
    }

    /// What a scaler wants of it.
    pub(super) fn ask(&self, scaler: &mut (impl Scaler + ?Sized), now: Second, desired: u32) -> u32 {
        scaler.size(&Sight { now, hosts: &self.0, desired })
    }

    /// What it wants in the end, when asked from one moment to another at its own pace, the size wanted being kept.
    pub(super) fn ask_until(
        &self,
        scaler: &mut (impl Scaler + ?Sized),
        from: Second,
        until: Second,
        mut desired: u32,
    ) -> u32 {
        let mut now = from;
        while now <= until {
            desired = self.ask(scaler, now, desired);
            now += scaler.interval();
        }
        desired
    }
}
