//! One page, read for the series that the signals need.
//!
//! A page is reduced to a few numbers for each series while it is parsed, so the page itself can go at once. What makes a
//! series unusable (a NaN, a negative count, a series that occurs twice) is kept in place of its value: a signal that is
//! made of it then says why it has none, instead of being an average of what was left.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::config::fleet::{MetricsConfig, ScrapeConfig, SeriesKind};
use crate::signals::exposition::{self, ExpositionError, Labels, Sample, Wanted};
use crate::signals::host::derive::Reject;

/// What a number on a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Seconds that CPUs were idle or waited for disks.
    CpuIdle,
    /// Seconds that CPUs did anything else.
    CpuBusy,
    /// Bytes of memory that programs could have.
    MemoryAvailable,
    /// Bytes of memory.
    MemoryTotal,
    /// Processes that run or want to, averaged over a minute.
    Load1,
    /// Bytes of each filesystem.
    DiskSize,
    /// Bytes of each filesystem that programs could have.
    DiskAvailable,
    /// Bytes received.
    NetRx,
    /// Bytes sent.
    NetTx,
    /// The user's own, by its place in the configuration.
    Scrape(usize),
}

/// The families that node_exporter's pages are read for.
const FAMILIES: [(&str, Family); 8] = [
    ("node_cpu_seconds_total", Family::Cpu),
    ("node_memory_MemAvailable_bytes", Family::One(Source::MemoryAvailable)),
    ("node_memory_MemTotal_bytes", Family::One(Source::MemoryTotal)),
    ("node_load1", Family::One(Source::Load1)),
    ("node_filesystem_size_bytes", Family::Disk(Source::DiskSize)),
    ("node_filesystem_avail_bytes", Family::Disk(Source::DiskAvailable)),
    ("node_network_receive_bytes_total", Family::Net(Source::NetRx)),
    ("node_network_transmit_bytes_total", Family::Net(Source::NetTx)),
];

#[derive(Clone, Copy, Debug)]
enum Family {
    Cpu,
    One(Source),
    Disk(Source),
    Net(Source),
}

/// Filesystems that hold no data of their own, or are full by nature.
const UNREAL_FILESYSTEMS: [&str; 28] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "fuse.lxcfs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// Beginnings of names of network devices whose bytes stay on the host, or are counted again on a device below.
const UNREAL_DEVICES: [&str; 22] = [
    "veth",
    "docker",
    "br-",
    "virbr",
    "cni",
    "cbr",
    "flannel",
    "cali",
    "cilium",
    "lxc",
    "nodelocaldns",
    "kube-ipvs",
    "dummy",
    "ifb",
    "tunl",
    "tun",
    "tap",
    "wg",
    "bond",
    "team",
    "vxlan",
    "podman",
];

/// What one port's page is read for.
#[derive(Debug)]
pub(super) struct PagePlan<'c> {
    /// The port.
    pub(super) port: u16,
    /// Whether the signals of node_exporter are read from it.
    pub(super) builtin: Builtin,
    /// The user's series that are read from it, by their place in the configuration.
    pub(super) scrapes: Vec<(usize, &'c ScrapeConfig)>,
    wanted: Wanted,
    /// For each wanted family, who takes it.
    takers: Vec<(Option<Family>, Vec<usize>)>,
}

/// Whether a page carries the signals that every host offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Builtin {
    /// It is the host's main page.
    Offered,
    /// It is a page of the user's.
    NotOffered,
}

impl<'c> PagePlan<'c> {
    /// The pages that a fleet's configuration asks of each host: its main page first, then one for each other port.
    pub(super) fn all(metrics: &'c MetricsConfig) -> Vec<Self> {
        let main = metrics.host.port;
        let mut ports: BTreeMap<u16, Vec<(usize, &ScrapeConfig)>> = BTreeMap::new();
        for (index, scrape) in metrics.scrapes.iter().enumerate() {
            ports.entry(scrape.port.unwrap_or(main)).or_default().push((index, scrape));
        }
        let mut plans = vec![Self::new(main, Builtin::Offered, ports.remove(&main).unwrap_or_default())];
        plans.extend(ports.into_iter().map(|(port, scrapes)| Self::new(port, Builtin::NotOffered, scrapes)));
        plans
    }

    fn new(port: u16, builtin: Builtin, scrapes: Vec<(usize, &'c ScrapeConfig)>) -> Self {
        let offered: &[(&str, Family)] = if builtin == Builtin::Offered { &FAMILIES } else { &[] };
        let builtin_names = offered.iter().map(|(name, _)| (*name).to_owned());
        let wanted =
            Wanted::new(builtin_names.chain(scrapes.iter().map(|(_, scrape)| scrape.metric.clone())));
        let takers = wanted.names().iter().map(|name| {
            let family = offered.iter().find(|(offered, _)| offered == name).map(|(_, family)| *family);
            let takes = |&place: &usize| scrapes[place].1.metric == *name;
            (family, (0..scrapes.len()).filter(takes).collect())
        });
        Self { port, builtin, takers: takers.collect(), wanted, scrapes }
    }
}

/// The series of one source.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Gathered {
    /// Identity and value of each, by identity.
    pub(super) series: Vec<(u64, f64)>,
    /// Why they cannot be used.
    pub(super) reject: Option<Reject>,
    /// The latest timestamp that the page gives them, where it gives any.
    pub(super) stamp: Option<i64>,
}

/// A page, reduced.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Page {
    /// What was found for each source; a source that is not on the page is not here.
    pub(super) sources: BTreeMap<Source, Gathered>,
    /// How many CPUs there are.
    pub(super) cpus: usize,
    /// Whether the page ends as the format says.
    pub(super) ends_with_line_feed: bool,
}

/// Which values are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Any,
    NotNegative,
}

impl Page {
    /// Reads a page. One that is malformed anywhere gives nothing.
    pub(super) fn read(plan: &PagePlan<'_>, body: &[u8]) -> Result<Self, ExpositionError> {
        let mut page = Self::default();
        let mut cpus = BTreeSet::new();
        let summary = exposition::scan(body, &plan.wanted, |index, sample| {
            let (family, scrapes) = &plan.takers[index];
            if let Some(family) = family {
                page.take_builtin(*family, &sample, &mut cpus);
            }
            for (place, scrape) in scrapes.iter().map(|taker| plan.scrapes[*taker]) {
                if scrape.labels.iter().all(|(name, value)| carries(sample.labels, name, value)) {
                    let sign = match scrape.kind {
                        SeriesKind::Gauge => Sign::Any,
                        SeriesKind::Counter => Sign::NotNegative,
                    };
                    page.take(Source::Scrape(place), &sample, sign);
                }
            }
        })?;
        page.cpus = cpus.len();
        page.ends_with_line_feed = summary.ends_with_line_feed;
        page.sources.values_mut().for_each(Gathered::close);
        Ok(page)
    }

    fn take_builtin(&mut self, family: Family, sample: &Sample<'_>, cpus: &mut BTreeSet<u64>) {
        match family {
            Family::One(source) => self.take(source, sample, Sign::NotNegative),
            Family::Cpu => {
                let Some(mode) = sample.labels.get("mode") else { return };
                cpus.insert(hash(sample.labels.get("cpu").as_deref().unwrap_or_default()));
                match mode.as_ref() {
                    "idle" | "iowait" => self.take(Source::CpuIdle, sample, Sign::NotNegative),
                    // The kernel counts time spent in guests as user time already.
                    "guest" | "guest_nice" => {}
                    _ => self.take(Source::CpuBusy, sample, Sign::NotNegative),
                }
            }
            Family::Disk(source) => {
                let kind = sample.labels.get("fstype").unwrap_or_default();
                if !UNREAL_FILESYSTEMS.contains(&kind.as_ref()) {
                    self.take(source, sample, Sign::NotNegative);
                }
            }
            Family::Net(source) => {
                let device = sample.labels.get("device").unwrap_or_default();
                let unreal = device == "lo" || UNREAL_DEVICES.iter().any(|start| device.starts_with(start));
                if !unreal {
                    self.take(source, sample, Sign::NotNegative);
                }
            }
        }
    }

    fn take(&mut self, source: Source, sample: &Sample<'_>, sign: Sign) {
        let gathered = self.sources.entry(source).or_default();
        let reject = if !sample.value.is_finite() {
            Some(Reject::NotFinite { line: sample.line })
        } else if sign == Sign::NotNegative && sample.value < 0.0 {
            Some(Reject::Impossible { line: Some(sample.line), value: sample.value })
        } else {
            None
        };
        if gathered.reject.is_none() {
            gathered.reject = reject;
        }
        gathered.series.push((sample.labels.identity(), sample.value));
        gathered.stamp = gathered.stamp.max(sample.timestamp);
    }
}

impl Gathered {
    /// Puts the series in order and looks for one that occurs twice: nobody can say which of the two is meant.
    fn close(&mut self) {
        self.series.sort_unstable_by_key(|(identity, _)| *identity);
        let twice = self.series.windows(2).any(|pair| pair[0].0 == pair[1].0);
        if twice && self.reject.is_none() {
            self.reject = Some(Reject::Twice);
        }
    }
}

/// Whether a series carries a label; to Prometheus an empty label and none are the same.
fn carries(labels: Labels<'_>, name: &str, value: &str) -> bool {
    labels.get(name).map_or(value.is_empty(), |found| found == value)
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
