//! From the numbers on a page to signals.
//!
//! Each signal is had or not had on its own, and if not, for a reason. No reason is papered over: a counter that went
//! back is not "reset-corrected", because the host that just restarted is exactly the one whose rate nobody knows.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::fleet::{ScrapeConfig, SeriesKind};
use crate::signals::fault::FaultClass;
use crate::signals::host::page::{Builtin, Gathered, Page, PagePlan, Source};

/// How far outside 0–1 a share may be before it is not float noise.
const NOISE: f64 = 1e-6;

/// Why a signal has no value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reject {
    /// The page does not have it.
    Absent,
    /// One sample only: a rate takes two.
    First,
    /// NaN or infinite.
    NotFinite { line: usize },
    /// Negative, or otherwise not possible.
    Impossible { line: Option<usize>, value: f64 },
    /// A series occurs twice.
    Twice,
    /// Several series where there is one on a host.
    Several,
    /// A counter went back.
    WentBack,
    /// A counter stood still.
    StoodStill,
    /// The page dates its samples, and no later than the page before.
    NotNewer { stamp: i64, before: i64 },
    /// The computed number is not finite.
    Overflow,
}

impl Reject {
    pub(super) fn class(self) -> FaultClass {
        match self {
            Self::Absent => FaultClass::NoData,
            Self::First => FaultClass::First,
            Self::NotFinite { .. } | Self::Overflow => FaultClass::NotFinite,
            Self::Impossible { .. } => FaultClass::OutOfRange,
            Self::Twice => FaultClass::Duplicate,
            Self::Several => FaultClass::Ambiguous,
            Self::WentBack => FaultClass::Reset,
            Self::StoodStill | Self::NotNewer { .. } => FaultClass::Stale,
        }
    }

    /// The reason in words, to follow "cpu has no value: ".
    pub(super) fn sentence(self) -> String {
        match self {
            Self::Absent => "its series are not on the page".to_owned(),
            Self::First => "one sample so far, and a rate takes two".to_owned(),
            Self::NotFinite { line } => format!("line {line} is NaN or infinite"),
            Self::Impossible { line: Some(line), value } => {
                format!("line {line} is {value}, which cannot be")
            }
            Self::Impossible { line: None, value } => format!("it comes out at {value}, which cannot be"),
            Self::Twice => "a series occurs twice on the page".to_owned(),
            Self::Several => "several series where a host has one".to_owned(),
            Self::WentBack => {
                "a counter went back (restarted?); the next page is compared with this one".to_owned()
            }
            Self::StoodStill => "its counters did not advance since the page before".to_owned(),
            Self::NotNewer { stamp, before } if stamp == before => {
                format!("a duplicate: the page dates it {stamp}, as the page before did")
            }
            Self::NotNewer { stamp, before } => {
                format!("out of order: the page dates it {stamp}, the page before {before}")
            }
            Self::Overflow => "it comes out infinite".to_owned(),
        }
    }
}

/// What is kept of a page, to compare the next one with.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Baseline {
    /// The counters, and only those that were good.
    counters: BTreeMap<Source, Counters>,
    /// The timestamps, where the page gives any.
    stamps: BTreeMap<Source, i64>,
}

#[derive(Clone, Debug, PartialEq)]
struct Counters {
    /// When their page was received, by a clock that only goes forward.
    at: Instant,
    series: Box<[(u64, f64)]>,
}

impl Baseline {
    fn new(plan: &PagePlan<'_>, page: &Page, received: Instant, before: Option<&Self>) -> Self {
        let mut baseline = Self::default();
        for (source, found) in &page.sources {
            let earlier = before.and_then(|before| before.stamps.get(source));
            if let Some(stamp) = found.stamp {
                baseline.stamps.insert(*source, stamp);
            }
            let counters = if found.reject.is_some() || !is_counter(plan, *source) {
                None
            } else if found.stamp.is_some() && found.stamp.as_ref() == earlier {
                // The same sample once more: its age is that of the first time it was seen.
                before.and_then(|before| before.counters.get(source)).cloned()
            } else if found.stamp.is_some() && found.stamp.as_ref() < earlier {
                // Of a sample that came late nobody knows when it was taken.
                None
            } else {
                Some(Counters { at: received, series: found.series.clone().into_boxed_slice() })
            };
            if let Some(counters) = counters {
                baseline.counters.insert(*source, counters);
            }
        }
        baseline
    }
}

fn is_counter(plan: &PagePlan<'_>, source: Source) -> bool {
    match source {
        Source::CpuIdle | Source::CpuBusy | Source::NetRx | Source::NetTx => true,
        Source::Scrape(place) => {
            plan.scrapes.iter().any(|(at, scrape)| *at == place && scrape.kind == SeriesKind::Counter)
        }
        _ => false,
    }
}

/// What a page comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Derived {
    /// The signals that have a value.
    pub(super) values: BTreeMap<String, f64>,
    /// Those that have none, and why.
    pub(super) rejects: Vec<(String, Reject)>,
    /// What the next page is compared with.
    pub(super) baseline: Baseline,
}

/// Computes every signal that a page offers.
///
/// Counters older than `horizon` are no longer compared with: their rate would be of long ago.
pub(super) fn derive(
    plan: &PagePlan<'_>,
    page: &Page,
    received: Instant,
    before: Option<&Baseline>,
    horizon: Duration,
) -> Derived {
    let view = View { page, before, received, horizon };
    let mut signals: Vec<(String, Result<f64, Reject>)> = Vec::new();
    if plan.builtin == Builtin::Offered {
        let builtin = [
            ("cpu", view.cpu()),
            ("memory", view.memory()),
            ("load1", view.load1()),
            ("disk", view.disk()),
            ("net_rx", view.rate(Source::NetRx)),
            ("net_tx", view.rate(Source::NetTx)),
        ];
        signals.extend(builtin.map(|(name, signal)| (name.to_owned(), signal)));
    }
    signals.extend(
        plan.scrapes.iter().map(|(place, scrape)| (scrape.name.clone(), view.scrape(*place, scrape))),
    );
    let mut values = BTreeMap::new();
    let mut rejects = Vec::new();
    for (name, signal) in signals {
        match signal {
            Ok(value) if value.is_finite() => _ = values.insert(name, value),
            Ok(_) => rejects.push((name, Reject::Overflow)),
            Err(reject) => rejects.push((name, reject)),
        }
    }
    Derived { values, rejects, baseline: Baseline::new(plan, page, received, before) }
}

struct View<'p> {
    page: &'p Page,
    before: Option<&'p Baseline>,
    received: Instant,
    horizon: Duration,
}

impl View<'_> {
    /// A source that can be used at all.
    fn usable(&self, source: Source) -> Result<&Gathered, Reject> {
        let found = self.page.sources.get(&source).ok_or(Reject::Absent)?;
        if let Some(reject) = found.reject {
            return Err(reject);
        }
        let before = self.before.and_then(|before| before.stamps.get(&source)).copied();
        match (found.stamp, before) {
            (Some(stamp), Some(before)) if stamp <= before => Err(Reject::NotNewer { stamp, before }),
            _ => Ok(found),
        }
    }

    /// The one series of a source.
    fn single(&self, source: Source) -> Result<f64, Reject> {
        match self.usable(source)?.series[..] {
            [(_, value)] => Ok(value),
            _ => Err(Reject::Several),
        }
    }

    /// How far the counters of a source advanced since the page before.
    fn advance(&self, source: Source) -> Result<Advance, Reject> {
        let now = &self.usable(source)?.series;
        let before = self.before.and_then(|before| before.counters.get(&source)).ok_or(Reject::First)?;
        let over = self.received.saturating_duration_since(before.at);
        if over > self.horizon {
            return Err(Reject::First);
        }
        let (by, same_series) = advance(now, &before.series)?;
        Ok(Advance { by, over, same_series })
    }

    fn cpu(&self) -> Result<f64, Reject> {
        let (idle, busy) = (self.advance(Source::CpuIdle)?, self.advance(Source::CpuBusy)?);
        // A CPU that came or went would count on one side of the division only.
        if idle.same_series && busy.same_series {
            let total = idle.by + busy.by;
            if total > 0.0 { Ok(busy.by / total) } else { Err(Reject::StoodStill) }
        } else {
            Err(Reject::First)
        }
    }

    fn memory(&self) -> Result<f64, Reject> {
        let (available, total) = (self.single(Source::MemoryAvailable)?, self.single(Source::MemoryTotal)?);
        used_share(available, total)
    }

    fn load1(&self) -> Result<f64, Reject> {
        let load = self.single(Source::Load1)?;
        if self.page.cpus == 0 { Err(Reject::Absent) } else { Ok(load / self.page.cpus as f64) }
    }

    fn disk(&self) -> Result<f64, Reject> {
        let (sizes, available) = (self.usable(Source::DiskSize)?, self.usable(Source::DiskAvailable)?);
        let mut fullest = None;
        for (identity, size) in &sizes.series {
            let Ok(at) = available.series.binary_search_by_key(identity, |(identity, _)| *identity) else {
                continue;
            };
            // A filesystem of no size is a view of something else.
            if *size > 0.0 {
                let used = used_share(available.series[at].1, *size)?;
                fullest = Some(fullest.map_or(used, |fullest: f64| fullest.max(used)));
            }
        }
        fullest.ok_or(Reject::Absent)
    }

    fn rate(&self, source: Source) -> Result<f64, Reject> {
        let advance = self.advance(source)?;
        if advance.by <= 0.0 || advance.over.is_zero() {
            return Err(Reject::StoodStill);
        }
        Ok(advance.by / advance.over.as_secs_f64())
    }

    fn scrape(&self, place: usize, scrape: &ScrapeConfig) -> Result<f64, Reject> {
        let value = match scrape.kind {
            SeriesKind::Gauge => {
                self.usable(Source::Scrape(place))?.series.iter().map(|(_, value)| value).sum()
            }
            SeriesKind::Counter => self.rate(Source::Scrape(place))?,
        };
        Ok(value * scrape.scale)
    }
}

/// How far counters went between two pages.
struct Advance {
    by: f64,
    over: Duration,
    same_series: bool,
}

/// How far the series went that both pages have, and whether those are all. A device that is new has no past, and one
/// that is gone has no present.
fn advance(now: &[(u64, f64)], before: &[(u64, f64)]) -> Result<(f64, bool), Reject> {
    let mut by = 0.0;
    let mut matched = 0;
    for (identity, value) in now {
        if let Ok(at) = before.binary_search_by_key(identity, |(identity, _)| *identity) {
            let step = value - before[at].1;
            if step < 0.0 {
                return Err(Reject::WentBack);
            }
            by += step;
            matched += 1;
        }
    }
    if matched == 0 {
        return Err(Reject::First);
    }
    Ok((by, matched == now.len() && matched == before.len()))
}

/// The share that is not available, 0–1.
fn used_share(available: f64, total: f64) -> Result<f64, Reject> {
    let used = 1.0 - available / total;
    if (-NOISE..=1.0 + NOISE).contains(&used) {
        Ok(used.clamp(0.0, 1.0))
    } else {
        Err(Reject::Impossible { line: None, value: used })
    }
}
