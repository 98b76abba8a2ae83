//! Why a guard did what it did: every ground is a variant with a sentence, so that nothing is ever refused without one.

use std::fmt;
use std::time::Duration;

use crate::decide::bounds::Bounds;
use crate::decide::wording::{clock, hosts, percent, span};
use crate::domain::time::Timestamp;

/// Whether the fleet grows or shrinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    In,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Out => "scale-out",
            Self::In => "scale-in",
        })
    }
}

/// Why a guard passed, clamped or refused.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ground {
    NotPaused,
    Paused { way: Way, by: String, why: String, until: Option<Timestamp> },
    Live,
    DryRun,
    Heard { heard: u32, asked: u32 },
    CloudUnknown { why: String },
    SignalsUnknown { sources: Vec<String> },
    NoQuorum { heard: u32, asked: u32, quorum: f64, at: Timestamp },
    InBounds { bounds: Bounds },
    OutOfBounds { size: u32, bounds: Bounds },
    Ceiling { bounds: Bounds, standing: u32, reserved: u32 },
    Floor { healthy: u32, floor: u32 },
    FewVictims { wanted: u32, able: u32 },
    NothingInFlight,
    InFlight { booting: u32, reserved: u32, orphans: u32 },
    Waits { what: String },
    NoCooldown,
    Cooldown { way: Way, left: Duration },
    Steps { out: u32, back: u32 },
    StepMost { most: u32 },
    NothingTaken,
    WindowAgrees { highest: u32, span: Duration },
    WindowHigher { highest: u32, at: Timestamp, free_at: Timestamp },
    WindowShort { reaches: Duration, span: Duration, free_at: Timestamp },
    WindowGap { gap: Duration, at: Timestamp, free_at: Timestamp },
    WindowBlind { at: Timestamp, free_at: Timestamp },
    Carries { hosts: u32 },
    Overload { hosts: u32, source: String, with: String },
    Unhealthy { troubled: u32, of: u32 },
    TooManyUnhealthy { troubled: u32, of: u32, most: f64 },
    BudgetLeft { spent: u32, count: u32, per: Duration },
    BudgetSpent { spent: u32, count: u32, per: Duration, free_at: Option<Timestamp> },
    BreakerClosed { failures: u32, most: u32 },
    BreakerOpen { failures: u32, until: Timestamp },
    BreakerTrial { failures: u32 },
    BreakerWaits { failures: u32 },
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_people(f)
            .or_else(|| self.fmt_sizes(f))
            .or_else(|| self.fmt_time(f))
            .or_else(|| self.fmt_safety(f))
            .unwrap_or_else(|| write!(f, "{self:?}"))
    }
}

impl Ground {
    /// Grounds that people and missing data are.
    fn fmt_people(&self, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        Some(match self {
            Self::NotPaused => f.write_str("not paused"),
            Self::Paused { way, by, why, until: Some(until) } => {
                write!(f, "{way} is paused until {} by {by}: {why}", clock(*until))
            }
            Self::Paused { way, by, why, until: None } => {
                write!(f, "{way} is paused until resumed, by {by}: {why}")
            }
            Self::Live => f.write_str("the fleet is live"),
            Self::DryRun => f.write_str("dry-run: this is what would be done, and none of it is"),
            Self::Heard { asked: 0, .. } => f.write_str("no host was asked for its metrics"),
            Self::Heard { heard, asked } => write!(f, "{heard} of {asked} hosts in service were heard"),
            Self::CloudUnknown { why } => {
                write!(f, "the cloud could not be seen, so nothing is touched: {why}")
            }
            Self::SignalsUnknown { sources } => {
                write!(f, "nothing is taken away while something is unknown: {}", sources.join("; "))
            }
            Self::NoQuorum { heard, asked, quorum, at } => write!(
                f,
                "at {} only {heard} of {asked} hosts were heard; scale-in takes {}",
                clock(*at),
                percent(*quorum)
            ),
            _ => return None,
        })
    }

    /// Grounds that are about numbers of hosts.
    fn fmt_sizes(&self, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        Some(match self {
            Self::InBounds { bounds } => write!(f, "between {bounds}"),
            Self::OutOfBounds { size, bounds } => write!(f, "{size} is outside {bounds}"),
            Self::Ceiling { bounds, standing, reserved } => write!(
                f,
                "{} leaves no room: {} exist, those that are leaving too, and {reserved} are being bought",
                bounds.max_words(),
                hosts(*standing)
            ),
            Self::Floor { healthy, floor } => {
                write!(f, "only {healthy} healthy: another one away would leave fewer than {floor}")
            }
            Self::FewVictims { wanted, able } => write!(
                f,
                "{} would have to go and {able} can: the others are protected, not seen, or needed in service",
                hosts(*wanted)
            ),
            Self::NothingInFlight => f.write_str("nothing is on its way"),
            Self::InFlight { booting, reserved, orphans: 0 } => {
                write!(f, "{booting} booting and {reserved} being bought")
            }
            Self::InFlight { booting, reserved, orphans } => write!(
                f,
                "{booting} booting, {reserved} being bought, and {orphans} found without a record and not adopted yet"
            ),
            Self::Waits { what } => f.write_str(what),
            Self::Steps { out, back } => write!(f, "at most +{out} and -{back} a decision"),
            Self::StepMost { most } => write!(f, "at most {} a decision", hosts(*most)),
            Self::NothingTaken => f.write_str("the load asks for nothing to be taken away"),
            Self::Carries { hosts: left } => write!(f, "{} carry the load", hosts(*left)),
            Self::Overload { hosts: left, source, with } => {
                write!(f, "spread over {}, the load would start {source} ({with})", hosts(*left))
            }
            _ => return None,
        })
    }

    /// Grounds that pass with time.
    fn fmt_time(&self, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        Some(match self {
            Self::NoCooldown => f.write_str("no cooldown runs"),
            Self::Cooldown { way, left } => write!(f, "{way} cools down for another {}", span(*left)),
            Self::WindowAgrees { highest, span: over } => {
                write!(f, "the highest size recommended within {} is {highest}", span(*over))
            }
            Self::WindowHigher { highest, at, free_at } => {
                write!(f, "{highest} were recommended at {}: not before {}", clock(*at), clock(*free_at))
            }
            Self::WindowShort { reaches, span: over, free_at } => write!(
                f,
                "observations reach back {} of the {} that scale-in takes: not before {}",
                span(*reaches),
                span(*over),
                clock(*free_at)
            ),
            Self::WindowGap { gap, at, free_at } => write!(
                f,
                "nothing was observed for {} before {}: not before {}",
                span(*gap),
                clock(*at),
                clock(*free_at)
            ),
            Self::WindowBlind { at, free_at } => {
                write!(f, "a signal was unknown at {}: not before {}", clock(*at), clock(*free_at))
            }
            _ => return None,
        })
    }

    /// Grounds that are there for the day when everything goes wrong.
    fn fmt_safety(&self, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        Some(match self {
            Self::Unhealthy { troubled, of } => {
                write!(f, "{troubled} of {} unhealthy or unknown", hosts(*of))
            }
            Self::TooManyUnhealthy { troubled, of, most } => write!(
                f,
                "{troubled} of {} unhealthy or unknown, more than {}: nothing is terminated",
                hosts(*of),
                percent(*most)
            ),
            Self::BudgetLeft { spent, count, per }
            | Self::BudgetSpent { spent, count, per, free_at: None } => {
                write!(f, "{spent} of {count} terminations spent within {}", span(*per))
            }
            Self::BudgetSpent { spent, count, per, free_at: Some(free_at) } => write!(
                f,
                "{spent} of {count} terminations spent within {}: the next one at {}",
                span(*per),
                clock(*free_at)
            ),
            Self::BreakerClosed { failures, most } => {
                write!(f, "closed: {failures} of {most} launch failures in a row")
            }
            Self::BreakerOpen { failures, until } => write!(
                f,
                "open after {failures} launch failures in a row: one host is tried at {}",
                clock(*until)
            ),
            Self::BreakerTrial { failures } => {
                write!(f, "half-open after {failures} launch failures in a row: one host is tried")
            }
            Self::BreakerWaits { failures } => write!(
                f,
                "half-open after {failures} launch failures in a row: the host on trial is not healthy yet"
            ),
            _ => return None,
        })
    }
}
