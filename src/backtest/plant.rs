//! The plant: one fleet on one day of load, moved step by step, the same for every scaler.
//!
//! It is a model, and a plain one, so that what it says can be checked by hand. Load comes in hosts that are wholly
//! busy and is spread evenly over the hosts that serve. A host serves [`SERVICE_LEVEL`] of what it could within the
//! service level; load above that counts as unserved, although the host still works on it. What a host reports is its
//! own share of the load, off by up to a fifth and never above 100 %: from a fleet that is swamped nobody can read how
//! much too small it is. A launch takes its time, with a tail; a drain takes [`DRAIN`]; both are paid for.
//!
//! All randomness is a hash of the seed, the host's number and the step: two scalers on the same seed meet the same
//! host with the same boot time, however differently they behave.

use crate::backtest::{Run, Scaler, Second, SeenHost, Sight};

/// Seconds between two steps.
pub const STEP: Second = 15;

/// Utilisation up to which a host serves within the service level.
pub const SERVICE_LEVEL: f64 = 0.8;

/// How long a host that was sent away is still paid for; it takes no load meanwhile.
pub const DRAIN: Second = 30;

/// Hosts that the highest load takes, but for one step in a thousand: every trace is scaled to this.
pub const PEAK_HOSTS: f64 = 100.0;

/// Most hosts at a time: ten times the peak, so that a scaler that runs away is seen to and still ends.
const MOST_HOSTS: u32 = 1_000;

/// A host reports its utilisation off by up to this share.
const NOISE: f64 = 0.2;

/// Share of reports that are lost.
const LOST: f64 = 0.02;

/// Spread of the boot time: it is log-normal, so that one launch in twenty takes 1.6 times the median and one in a
/// hundred twice as long.
const BOOT_SPREAD: f64 = 0.3;

/// Utilisation at which the fleet is found when the day begins.
const START_AT: f64 = 0.6;

/// One day, ready to be run.
#[derive(Clone, Debug)]
pub struct Plant {
    load: Vec<f64>,
    boot: Second,
    seed: u64,
}

impl Plant {
    /// A plant under `load`, one value a step in hosts that are wholly busy, where half of all launches take longer
    /// than `boot`.
    #[must_use]
    pub fn new(load: Vec<f64>, boot: Second, seed: u64) -> Self {
        Self { load, boot, seed }
    }

    /// Runs one scaler through the whole day.
    pub fn run(&self, scaler: &mut dyn Scaler) -> Run {
        let mut fleet = Fleet::start(self);
        let mut run = Run { step: STEP, ..Run::default() };
        let interval = scaler.interval().max(STEP).next_multiple_of(STEP);
        for (step, load) in self.load.iter().enumerate() {
            let now = Second::try_from(step).unwrap_or(Second::MAX).saturating_mul(STEP);
            fleet.advance(now);
            if step > 0 && now.is_multiple_of(interval) {
                let sight = Sight { now, hosts: &fleet.hosts, desired: fleet.desired };
                let wanted = scaler.size(&sight).clamp(1, MOST_HOSTS);
                run.moves += u32::from(wanted != fleet.desired);
                fleet.resize(wanted, now);
            }
            let serving = fleet.serve(*load, now, (now + STEP).is_multiple_of(interval));
            run.load.push(*load);
            run.needed.push(needed(*load));
            run.serving.push(serving);
            run.paid.push(fleet.paid());
            run.unserved.push((load - f64::from(serving) * SERVICE_LEVEL).max(0.0));
        }
        run
    }
}

/// Hosts that it takes to serve a load within the service level.
#[must_use]
pub fn needed(load: f64) -> u32 {
    whole((load / SERVICE_LEVEL - 1e-9).ceil()).max(1)
}

/// The hosts, and those on their way out.
struct Fleet<'a> {
    plant: &'a Plant,
    hosts: Vec<SeenHost>,
    /// When each booting host will serve, in the order of `hosts`; the past for those that serve.
    serves_at: Vec<Second>,
    /// Until when each draining host is paid for.
    leaving: Vec<Second>,
    desired: u32,
    launched: u32,
}

impl<'a> Fleet<'a> {
    /// The fleet as it is found: all hosts serve, at an ordinary utilisation.
    fn start(plant: &'a Plant) -> Self {
        let first = plant.load.first().copied().unwrap_or(0.0);
        let mut fleet = Self {
            plant,
            hosts: Vec::new(),
            serves_at: Vec::new(),
            leaving: Vec::new(),
            desired: 0,
            launched: 0,
        };
        fleet.resize(whole((first / START_AT).ceil()).clamp(1, MOST_HOSTS), 0);
        for (host, serves_at) in fleet.hosts.iter_mut().zip(&mut fleet.serves_at) {
            host.ready_at = Some(0);
            *serves_at = 0;
        }
        fleet
    }

    fn advance(&mut self, now: Second) {
        self.leaving.retain(|until| *until > now);
        for (host, serves_at) in self.hosts.iter_mut().zip(&self.serves_at) {
            if host.ready_at.is_none() && *serves_at <= now {
                host.ready_at = Some(now);
            }
        }
    }

    /// Launches or sends away. Hosts that do not serve yet go first, the newest of them first; then the oldest.
    fn resize(&mut self, wanted: u32, now: Second) {
        self.desired = wanted;
        let wanted = wanted as usize;
        while self.hosts.len() < wanted {
            let id = self.launched;
            self.launched += 1;
            self.hosts.push(SeenHost { id, launched_at: now, ready_at: None, utilisation: None });
            self.serves_at.push(now.saturating_add(self.plant.boot_time(id)));
        }
        let mut excess = self.hosts.len() - wanted;
        for place in (0..self.hosts.len()).rev() {
            if excess > 0 && self.hosts[place].ready_at.is_none() {
                self.hosts.remove(place);
                self.serves_at.remove(place);
                excess -= 1;
            }
        }
        self.hosts.drain(..excess);
        self.serves_at.drain(..excess);
        self.leaving.extend(std::iter::repeat_n(now + DRAIN, excess));
    }

    /// Spreads the load and, if somebody will look, notes what each host reports; returns how many served.
    fn serve(&mut self, load: f64, now: Second, looked_at: bool) -> u32 {
        let serving = self.hosts.iter().filter(|host| host.ready_at.is_some()).count();
        if looked_at {
            let share = load / serving.max(1) as f64;
            for host in &mut self.hosts {
                host.utilisation = host.ready_at.and_then(|_| self.plant.report(host.id, now, share));
            }
        }
        u32::try_from(serving).unwrap_or(u32::MAX)
    }

    fn paid(&self) -> u32 {
        u32::try_from(self.hosts.len() + self.leaving.len()).unwrap_or(u32::MAX)
    }
}

impl Plant {
    /// How long this host takes from its launch until it serves.
    fn boot_time(&self, host: u32) -> Second {
        let bell = (0..12).map(|part| unit(hash(self.seed, host, part))).sum::<f64>() - 6.0;
        whole((f64::from(self.boot) * (BOOT_SPREAD * bell).exp()).round())
    }

    /// What a host reports of its utilisation; nothing if the report is lost.
    fn report(&self, host: u32, now: Second, share: f64) -> Option<f64> {
        let drawn = hash(self.seed, host, 1_000 + now);
        let lost = unit(drawn << 32) < LOST;
        let off = 1.0 + NOISE * (2.0 * unit(drawn) - 1.0);
        (!lost).then(|| (share * off).min(1.0))
    }
}

/// A well-mixed number from three (the finaliser of SplitMix64).
fn hash(seed: u64, host: u32, moment: u32) -> u64 {
    let mut mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (u64::from(host) << 32 | u64::from(moment));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A number from 0 up to and without 1, from the upper half of a drawn one.
fn unit(drawn: u64) -> f64 {
    (drawn >> 32) as f64 / 4_294_967_296.0
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what is meant"
)]
fn whole(value: f64) -> u32 {
    value as u32
}

/// A recorded load as the plant takes it: one value a [`STEP`], scaled so that it needs [`PEAK_HOSTS`] hosts at the
/// most, but for one step in a thousand.
///
/// Samples that are closer than a step are averaged over it. Samples that are farther apart are joined by straight
/// lines: what happened in between nobody knows, and steps every five minutes are what no real load does.
#[must_use]
pub fn scaled(samples: &[f64], interval: Second) -> Vec<f64> {
    let mut load = resampled(samples, interval);
    let mut sorted = load.clone();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * 999).div_ceil(1_000).saturating_sub(1);
    let peak = sorted.get(rank).copied().unwrap_or(0.0);
    if peak > 0.0 {
        for value in &mut load {
            *value *= PEAK_HOSTS * SERVICE_LEVEL / peak;
        }
    }
    load
}

fn resampled(samples: &[f64], interval: Second) -> Vec<f64> {
    let last = samples.len().saturating_sub(1);
    let interval = f64::from(interval.max(1));
    let steps = whole(samples.len() as f64 * interval / f64::from(STEP));
    let at = |second: f64| {
        let place = (second / interval).clamp(0.0, last as f64);
        let (left, share) = (whole(place.floor()) as usize, place.fract());
        samples[left] * (1.0 - share) + samples[(left + 1).min(last)] * share
    };
    let step = |number: u32| {
        let start = f64::from(number) * f64::from(STEP);
        // Five looks are enough for samples of three seconds and more; closer ones are averaged by the looks alone.
        (0..5).map(|part| at(start + f64::from(STEP) * (f64::from(part) + 0.5) / 5.0)).sum::<f64>() / 5.0
    };
    if samples.is_empty() { Vec::new() } else { (0..steps).map(step).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wants these sizes, one a look, and keeps what it saw.
    struct Wants {
        sizes: Vec<u32>,
        seen: Vec<Vec<SeenHost>>,
    }

    impl Wants {
        fn sizes(sizes: &[u32]) -> Self {
            Self { sizes: sizes.to_vec(), seen: Vec::new() }
        }
    }

    impl Scaler for Wants {
        fn name(&self) -> &'static str {
            "wants"
        }

        fn interval(&self) -> Second {
            STEP
        }

        fn size(&mut self, sight: &Sight<'_>) -> u32 {
            self.seen.push(sight.hosts.to_vec());
            self.sizes.get(self.seen.len() - 1).copied().unwrap_or(sight.desired)
        }
    }

    #[test]
    fn a_launch_takes_its_time_and_a_drain_is_paid_for() {
        let plant = Plant::new(vec![6.0; 40], 60, 1);
        let run = plant.run(&mut Wants::sizes(&[10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 8]));
        assert_eq!((run.serving[0], run.needed[0], run.moves), (10, 8, 2));
        let took = run.serving.iter().position(|serving| *serving == 11).unwrap() - 2;
        assert!((2..=8).contains(&took), "{took} steps where the median is four");
        assert!(run.paid[2..14].iter().all(|paid| *paid == 11));
        // Sent away in the fourteenth step: out of service at once, and paid for during two more.
        assert_eq!((run.serving[14], run.paid[14], run.paid[15], run.paid[16]), (8, 11, 11, 8));
        // 6.0 of load on eight hosts that serve 0.8 each.
        assert!(run.unserved.iter().all(|unserved| *unserved <= 0.0));
    }

    #[test]
    fn what_is_beyond_the_service_level_is_unserved_and_what_is_reported_ends_at_one() {
        let plant = Plant::new(vec![1.2, 20.0, 20.0], 600, 1);
        let mut scaler = Wants::sizes(&[]);
        let run = plant.run(&mut scaler);
        assert!((run.unserved[1] - (20.0 - 2.0 * 0.8)).abs() < 1e-9 && run.needed[1] == 25);
        let reported = scaler.seen[1].iter().filter_map(|host| host.utilisation);
        assert!(reported.into_iter().all(|utilisation| (utilisation - 1.0).abs() < 1e-9));
    }

    #[test]
    fn reports_are_off_by_up_to_a_fifth_and_some_are_lost() {
        let mut scaler = Wants::sizes(&[]);
        Plant::new(vec![50.0; 500], 60, 3).run(&mut scaler);
        let reports: Vec<Option<f64>> = scaler.seen.iter().flatten().map(|host| host.utilisation).collect();
        let heard: Vec<f64> = reports.iter().copied().flatten().collect();
        let share = 50.0 / 84.0;
        assert!(heard.iter().all(|report| (report / share - 1.0).abs() <= 0.2 + 1e-9));
        let mean = heard.iter().sum::<f64>() / heard.len() as f64;
        assert!((mean / share - 1.0).abs() < 0.005, "{mean}");
        let lost = 1.0 - heard.len() as f64 / reports.len() as f64;
        assert!((0.015..0.025).contains(&lost), "{lost}");
    }

    #[test]
    fn half_of_the_boots_take_longer_than_the_median_and_some_much_longer() {
        let plant = Plant::new(Vec::new(), 60, 5);
        let mut boots: Vec<Second> = (0..1001).map(|host| plant.boot_time(host)).collect();
        boots.sort_unstable();
        assert!((58..=62).contains(&boots[500]), "{}", boots[500]);
        assert!((92..=105).contains(&boots[950]), "{}", boots[950]);
    }

    #[test]
    fn the_same_seed_gives_the_same_day_and_another_one_does_not() {
        let sizes: Vec<u32> = (0..30).map(|look| 10 + look % 7).collect();
        let run = |seed| Plant::new(vec![6.0; 40], 60, seed).run(&mut Wants::sizes(&sizes));
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn a_trace_is_scaled_to_a_hundred_hosts_and_joined_by_lines() {
        let load = scaled(&[0.0, 20.0], 60);
        assert_eq!(load.len(), 8);
        assert!((load[7] - 80.0).abs() < 1e-9, "{load:?}");
        assert!(load[..5].windows(2).all(|pair| pair[0] < pair[1]), "{load:?}");
        let averaged = scaled(&[1.0, 3.0, 1.0, 3.0, 1.0, 3.0], 5);
        assert_eq!(averaged.len(), 2);
        assert!((averaged[0] / averaged[1] - 1.0).abs() < 0.3, "{averaged:?}");
        assert!(scaled(&[], 60).is_empty());
    }
}
