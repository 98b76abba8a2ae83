//! What a host's page counts. Counters are sums over time, so that a rate taken between any two looks at a page is the
//! load there was between them, and not the load at either.

use std::time::Duration;

/// The modes that CPU time is split into, in the order of the page.
pub const CPU_MODES: [&str; 8] = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
/// How the time that is not idle falls on the modes above.
const BUSY_SPLIT: [f64; 8] = [0.0, 0.03, 0.0, 0.0, 0.04, 0.01, 0.22, 0.70];
const BYTES_IN_PER_REQUEST: f64 = 900.0;
const BYTES_OUT_PER_REQUEST: f64 = 12_000.0;
/// A load average over a minute forgets by this time constant.
const LOAD1_SECONDS: f64 = 60.0;
const BASE_MEMORY: f64 = 0.25;
const MEMORY_PER_BUSY: f64 = 0.40;
/// Memory follows the load slowly: caches fill, and are not given back at once.
const MEMORY_SECONDS: f64 = 120.0;
const BASE_DISK: f64 = 0.35;
/// Logs, as a share of the disk for each request; it stops filling at the cap.
const DISK_PER_REQUEST: f64 = 1e-9;
const DISK_CAP: f64 = 0.90;

/// Everything a page shows that moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counters {
    /// Seconds in each of [`CPU_MODES`], over all CPUs.
    pub cpu_seconds: [f64; 8],
    /// Requests answered.
    pub requests_ok: f64,
    /// Requests refused for want of capacity.
    pub requests_refused: f64,
    /// Bytes received.
    pub bytes_in: f64,
    /// Bytes sent.
    pub bytes_out: f64,
    /// Load average over a minute.
    pub load1: f64,
    /// Share of the memory in use.
    pub memory_used: f64,
    /// Share of the disk in use.
    pub disk_used: f64,
    /// Share of the CPU in use at the end of the last step: what the counters' rate tends to.
    pub utilisation: f64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            cpu_seconds: [0.0; 8],
            requests_ok: 0.0,
            requests_refused: 0.0,
            bytes_in: 0.0,
            bytes_out: 0.0,
            load1: 0.0,
            memory_used: BASE_MEMORY,
            disk_used: BASE_DISK,
            utilisation: 0.0,
        }
    }
}

/// A host's part of the load over one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// How long the step is.
    pub(super) span: Duration,
    /// Requests per second that arrive at it.
    pub(super) rps: f64,
    /// Requests per second that it can answer.
    pub(super) capacity: f64,
    /// What it uses with no requests.
    pub(super) idle_cpu: f64,
    /// Its vCPUs.
    pub(super) vcpus: f64,
}

impl Counters {
    pub(super) fn advance(&mut self, share: Share) {
        let seconds = share.span.as_secs_f64();
        let demand =
            share.idle_cpu + (1.0 - share.idle_cpu) * share.rps / share.capacity.max(f64::MIN_POSITIVE);
        let busy = demand.clamp(0.0, 1.0);
        let answered = share.rps.min(share.capacity);
        for (mode, part) in self.cpu_seconds.iter_mut().zip(BUSY_SPLIT) {
            *mode += busy * part * share.vcpus * seconds;
        }
        self.cpu_seconds[0] += (1.0 - busy) * share.vcpus * seconds;
        self.requests_ok += answered * seconds;
        self.requests_refused += (share.rps - answered).max(0.0) * seconds;
        self.bytes_in += share.rps * BYTES_IN_PER_REQUEST * seconds;
        self.bytes_out += answered * BYTES_OUT_PER_REQUEST * seconds;
        // Work that does not fit waits in the run queue; a queue is bounded, and so is what shows of it.
        approach(&mut self.load1, demand.min(4.0) * share.vcpus, seconds / LOAD1_SECONDS);
        approach(&mut self.memory_used, BASE_MEMORY + MEMORY_PER_BUSY * busy, seconds / MEMORY_SECONDS);
        self.disk_used = (self.disk_used + answered * seconds * DISK_PER_REQUEST).min(DISK_CAP);
        self.utilisation = busy;
    }
}

fn approach(value: &mut f64, goal: f64, spans: f64) {
    *value += (goal - *value) * (1.0 - (-spans).exp());
}

/// A number in `[-1, 1)` that depends on nothing but these: two looks at the same moment agree, and a look changes
/// nothing. (Finalizer of the SplitMix64 generator.)
pub(super) fn noise(seed: u64, ordinal: u64, moment: u64) -> f64 {
    let mut z =
        seed ^ ordinal.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ moment.wrapping_mul(0xd1b5_4a32_d192_ed03);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(rps: f64) -> Share {
        Share { span: Duration::from_secs(10), rps, capacity: 100.0, idle_cpu: 0.0, vcpus: 2.0 }
    }

    #[test]
    fn cpu_seconds_add_up_to_the_time_that_passed() {
        let mut counters = Counters::default();
        for rps in [0.0, 30.0, 100.0, 500.0] {
            counters.advance(share(rps));
        }
        assert!((counters.cpu_seconds.iter().sum::<f64>() - 80.0).abs() < 1e-9);
        let idle = 20.0 + 14.0;
        assert!((counters.cpu_seconds[0] - idle).abs() < 1e-9, "{:?}", counters.cpu_seconds);
        assert!((counters.requests_ok - 2300.0).abs() < 1e-9);
        assert!((counters.requests_refused - 4000.0).abs() < 1e-9);
    }

    #[test]
    fn noise_is_even_and_the_same_every_time() {
        let values: Vec<f64> = (0..2000).map(|moment| noise(1, 7, moment)).collect();
        let mean = values.iter().sum::<f64>() / 2000.0;
        assert!(mean.abs() < 0.05, "{mean}");
        assert!(values.iter().all(|value| (-1.0..1.0).contains(value)));
        assert!((noise(1, 7, 3) - values[3]).abs() < f64::EPSILON);
    }
}
