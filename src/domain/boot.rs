//! How long hosts take from launch to healthy, as measured: the percentile that the next host will most likely keep.
//!
//! Nobody's guess in a file stays right when an image grows. So the fleet's own last hosts are asked: at most
//! [`MOST`] of them, and none that was healthy longer than [`LOOK_BACK`] ago.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::ids::Zone;
use crate::domain::launch::TemplateRef;
use crate::domain::time::Timestamp;

/// Hosts that are looked at, at most.
pub const MOST: u32 = 50;
/// How far back they are looked for.
pub const LOOK_BACK: Duration = Duration::from_hours(14 * 24);
/// Fewer hosts than this say nothing.
const LEAST: usize = 3;

/// One host that became healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Where it stands.
    pub zone: Zone,
    /// What it was launched from.
    pub template: TemplateRef,
    /// When it was healthy for the first time.
    pub healthy_at: Timestamp,
    /// How long that was after its launch; none where the cloud's clock is ahead of the database's.
    pub took: Duration,
}

/// What many of them come to. Percentiles are by nearest rank: the value of one of the hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootTimes {
    /// Half of them were as fast.
    pub p50: Duration,
    /// All but a twentieth of them were.
    pub p95: Duration,
    /// How many they are.
    pub hosts: usize,
    /// Each zone's own 95th percentile, with its number of hosts, by zone.
    pub zones: BTreeMap<Zone, (Duration, usize)>,
}

impl BootTimes {
    /// What is known of a fleet that launches from this template; `None`: too little. Hosts of another template count
    /// only as long as too few of this one are known.
    #[must_use]
    pub fn of(boots: &[Boot], template: &TemplateRef) -> Option<Self> {
        let same: Vec<&Boot> = boots.iter().filter(|boot| boot.template == *template).collect();
        let boots = if same.len() < LEAST { boots.iter().collect() } else { same };
        if boots.len() < LEAST {
            return None;
        }
        let mut by_zone: BTreeMap<Zone, Vec<Duration>> = BTreeMap::new();
        for boot in &boots {
            by_zone.entry(boot.zone.clone()).or_default().push(boot.took);
        }
        let mut all: Vec<Duration> = boots.iter().map(|boot| boot.took).collect();
        let of_zone = |mut spans: Vec<Duration>| (percentile(&mut spans, 95), spans.len());
        Some(Self {
            p50: percentile(&mut all, 50),
            p95: percentile(&mut all, 95),
            hosts: all.len(),
            zones: by_zone.into_iter().map(|(zone, spans)| (zone, of_zone(spans))).collect(),
        })
    }
}

/// The smallest of the values that at least so many percent of them are not above.
fn percentile(values: &mut [Duration], percent: usize) -> Duration {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boots(seconds: &[u64], zone: &str, template: &str) -> Vec<Boot> {
        let boot = |seconds: &u64| Boot {
            zone: Zone::new(zone),
            template: TemplateRef::Id(template.to_owned()),
            healthy_at: Timestamp::UNIX_EPOCH,
            took: Duration::from_secs(*seconds),
        };
        seconds.iter().map(boot).collect()
    }

    fn of(boots: &[Boot], template: &str) -> Option<BootTimes> {
        BootTimes::of(boots, &TemplateRef::Id(template.to_owned()))
    }

    #[test]
    fn percentiles_are_values_of_hosts() {
        let hundred: Vec<u64> = (1..=100).rev().collect();
        for (seconds, p50, p95) in
            [(&hundred[..], 50, 95), (&[30, 10, 20][..], 20, 30), (&[5, 5, 5, 900][..], 5, 900)]
        {
            let times = of(&boots(seconds, "a", "lt-1"), "lt-1").unwrap();
            assert_eq!((times.p50.as_secs(), times.p95.as_secs()), (p50, p95), "{seconds:?}");
        }
        // One slow host in twenty is not the rule; two are.
        let mut twenty = vec![60; 19];
        twenty.push(900);
        assert_eq!(of(&boots(&twenty, "a", "lt-1"), "lt-1").unwrap().p95.as_secs(), 60);
        twenty[0] = 800;
        assert_eq!(of(&boots(&twenty, "a", "lt-1"), "lt-1").unwrap().p95.as_secs(), 800);
    }

    #[test]
    fn each_zone_has_its_own() {
        let all = [boots(&[10, 20], "a", "lt-1"), boots(&[70], "b", "lt-1")].concat();
        let times = of(&all, "lt-1").unwrap();
        let seconds = |seconds| Duration::from_secs(seconds);
        assert_eq!(
            times.zones,
            BTreeMap::from([(Zone::new("a"), (seconds(20), 2)), (Zone::new("b"), (seconds(70), 1))])
        );
        assert_eq!((times.hosts, times.p95), (3, seconds(70)));
    }

    #[test]
    fn another_template_counts_until_three_of_this_one_are_known() {
        let old = boots(&[10, 10, 10], "a", "lt-old");
        assert_eq!(of(&old[..2], "lt-old"), None);
        let two = [old.clone(), boots(&[90, 90], "a", "lt-new")].concat();
        assert_eq!(of(&two, "lt-new").unwrap().hosts, 5);
        let three = [old, boots(&[90, 90, 90], "a", "lt-new")].concat();
        let times = of(&three, "lt-new").unwrap();
        assert_eq!((times.hosts, times.p50.as_secs()), (3, 90));
    }
}
