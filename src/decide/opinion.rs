//! What each rule and target would like, and what that comes to: out if any wants out, in only if all agree.

use std::fmt;

use crate::decide::census::Census;
use crate::decide::forecast::Trust;
use crate::decide::plan::{Guard, Recommendation};
use crate::decide::signal::SignalName;
use crate::decide::wording::{clock, hosts, number, percent, span};
use crate::decide::{forecast, rules, targets};
use crate::domain::time::Timestamp;

/// Whose opinion it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Rule(String),
    Target(String),
    /// What is expected for the target of this name.
    Forecast(String),
}

impl Source {
    /// The rule's name, if it is one's.
    pub(super) fn rule(&self) -> Option<&str> {
        match self {
            Self::Rule(name) => Some(name),
            Self::Target(_) | Self::Forecast(_) => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(name) => write!(f, "rule {name}"),
            Self::Target(name) => write!(f, "target {name}"),
            Self::Forecast(name) => write!(f, "forecast {name}"),
        }
    }
}

/// What it would like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// This size; the size wanted so far means: no fewer.
    Size(u32),
    /// It has nothing to say.
    None,
    /// It cannot say anything, and so nothing may be taken away.
    Unknown,
}

/// One rule's or target's opinion.
#[derive(Clone, Debug)]
pub(super) struct Opinion {
    pub(super) source: Source,
    pub(super) wish: Wish,
    pub(super) because: Because,
    /// The guard that keeps this opinion, and it alone, from being acted on.
    pub(super) waits: Option<Wait>,
}

/// What keeps a rule from firing again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The hosts of its last time are not in service yet.
    ForHosts { booting: u32, missing: u32 },
    /// Its own cooldown.
    ForCooldown { left: std::time::Duration },
}

impl Wait {
    pub(super) fn guard(&self) -> Guard {
        match self {
            Self::ForHosts { .. } => Guard::InFlight,
            Self::ForCooldown { .. } => Guard::Cooldown,
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForHosts { booting, missing } => {
                write!(
                    f,
                    "its earlier hosts are not in service yet ({booting} booting, {missing} to be bought)"
                )
            }
            Self::ForCooldown { left } => write!(f, "its own cooldown runs for another {}", span(*left)),
        }
    }
}

/// Why an opinion is what it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Because {
    /// The condition held often enough.
    Held { hits: u32, seen: u32, with: String },
    /// It did not.
    NotHeld { hits: u32, seen: u32, needed: u32, with: String },
    /// A signal has no value.
    NoValue { signals: Vec<SignalName> },
    /// The values are there and the result is not (a division by zero).
    NoResult { with: String },
    /// The hosts that are wanted are enough, and not too many.
    Enough { signal: SignalName, value: f64, limit: f64, headroom: f64 },
    /// They are not, or too many, and this is the size that fits.
    Outside { signal: SignalName, value: f64, target: f64, hosts: u32, headroom: f64, size: u32 },
    /// It is above its target, and the hosts already wanted are to bring it down.
    OnItsWay { signal: SignalName, value: f64, target: f64, size: u32 },
    /// Silent hosts could turn the direction.
    Torn { signal: SignalName, if_idle: f64, if_busy: f64, target: f64 },
    /// There is no host whose load could be spread.
    NoHosts,
    /// More load is expected soon, and this size fits it. `expected`: the interval's lower end, the load, its upper end;
    /// `bound`: the operator's, where it is what keeps the size from being larger.
    Expected {
        signal: SignalName,
        load: f64,
        expected: [f64; 3],
        by: Timestamp,
        bound: Option<u32>,
        size: u32,
    },
    /// No more load than now is expected until then.
    NoRise { signal: SignalName, by: Timestamp },
    /// Forecasts of this signal have not shown yet that they are worth anything.
    NotTrusted(Trust),
    /// There is none for this moment.
    NoForecast,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { hits, seen, with } => write!(f, "held in {hits} of {seen} observations ({with})"),
            Self::NotHeld { hits, seen, needed, with } => {
                write!(f, "held in {hits} of {seen} observations, {needed} needed ({with})")
            }
            Self::NoValue { signals } => {
                let verb = if signals.len() == 1 { "has" } else { "have" };
                write!(f, "unknown: {} {verb} no value", signals.join(", "))
            }
            Self::NoResult { with } => write!(f, "unknown: {with} cannot be computed"),
            Self::Enough { signal, value, limit, headroom } => {
                let (value, limit) = (number(*value), number(*limit));
                write!(f, "{signal} {value}, at most {limit} wanted{}", with_headroom(*headroom))
            }
            Self::Outside { signal, value, target, hosts: over, headroom, size } => {
                let (value, target) = (number(*value), number(*target));
                let headroom = with_headroom(*headroom);
                write!(
                    f,
                    "{signal} {value} over {}, {target} wanted{headroom}: {}",
                    hosts(*over),
                    hosts(*size)
                )
            }
            Self::OnItsWay { signal, value, target, size } => {
                let (value, target) = (number(*value), number(*target));
                write!(f, "{signal} {value}, {target} wanted: {} are enough", hosts(*size))
            }
            Self::Torn { signal, if_idle, if_busy, target } => {
                let (low, high) = (number(*if_idle), number(*if_busy));
                let target = number(*target);
                write!(
                    f,
                    "{signal} lies between {low} and {high} as hosts are silent, {target} wanted: no direction"
                )
            }
            Self::NoHosts => f.write_str("no host is in service to judge by"),
            Self::Expected { .. } | Self::NoRise { .. } | Self::NotTrusted(_) | Self::NoForecast => {
                self.fmt_forecast(f)
            }
        }
    }
}

impl Because {
    /// What is said of a forecast.
    fn fmt_forecast(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected { signal, load, expected: [low, expected, high], by, bound, size } => {
                let [load, low, expected, high] = [*load, *low, *expected, *high].map(number);
                let by = clock(*by);
                write!(
                    f,
                    "load of {signal} {load}, {expected} expected by {by} ({low} to {high}): {}",
                    hosts(*size)
                )?;
                bound.map_or(Ok(()), |most| write!(f, ", no more than {most} ahead of the load"))
            }
            Self::NoRise { signal, by } => {
                write!(f, "no more load of {signal} than now is expected until {}", clock(*by))
            }
            Self::NotTrusted(trust) => write!(f, "not followed: {trust}"),
            _ => f.write_str("no load is expected for this time: there is no forecast of it"),
        }
    }
}

/// The head-room that was learned, in whole percent; nothing where there is none.
fn with_headroom(headroom: f64) -> String {
    let share = (headroom * 100.0).round() / 100.0;
    if share.abs() < 0.005 { String::new() } else { format!(" with {} head-room", percent(share)) }
}

impl Opinion {
    /// Whose it is and why, in one breath.
    pub(super) fn sentence(&self) -> String {
        match (&self.source, &self.because) {
            (_, because @ (Because::NoValue { .. } | Because::NoResult { .. })) => {
                format!("{} is {because}", self.source)
            }
            (Source::Rule(_), because) => format!("{} {because}", self.source),
            (Source::Target(_) | Source::Forecast(_), because) => format!("{}: {because}", self.source),
        }
    }

    /// As it is recorded, without what it rests on.
    pub(super) fn recommendation(&self) -> Recommendation {
        let because = match &self.waits {
            None => self.because.to_string(),
            Some(wait) => format!("{}; {wait}", self.because),
        };
        let size = match self.wish {
            Wish::Size(size) => Some(size),
            Wish::None | Wish::Unknown => None,
        };
        Recommendation { source: self.source.to_string(), size, because, window: None, reading: None }
    }

    pub(super) fn wants_more(&self, than: u32) -> bool {
        matches!(self.wish, Wish::Size(size) if size > than)
    }

    /// A forecast never does: what it names is a floor under what others would give back.
    pub(super) fn wants_fewer(&self, than: u32) -> bool {
        let gives_back = !matches!(self.source, Source::Forecast(_));
        gives_back && matches!(self.wish, Wish::Size(size) if size < than)
    }
}

/// What all opinions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// Larger.
    Out(u32),
    /// Smaller.
    In(u32),
    /// As it is.
    Stay,
    /// Not larger; and whether smaller, nobody can say.
    Blind,
}

/// Every opinion, in the order of the file.
pub(super) fn gather(census: &Census<'_>) -> Vec<Opinion> {
    let of_rules = census.policy.rules.iter().map(|rule| rules::opinion(rule, census));
    let of_targets = census.policy.targets.iter().flat_map(|target| {
        std::iter::once(targets::opinion(target, census)).chain(forecast::opinion(target, census))
    });
    of_rules.chain(of_targets).collect()
}

/// Out if any wants out, and the largest wish wins. In only if somebody wants that and nobody minds, not even by not
/// knowing; then a target's word on how far goes before a rule's, and of the rules' the furthest. A remove rule that
/// stops holding is silent: were it asked to soften what others say, more load could mean fewer hosts.
pub(super) fn combine<'a>(opinions: impl Iterator<Item = &'a Opinion> + Clone, desired: u32) -> Advice {
    let (mut largest, mut by_targets, mut by_rules) = (None, None, None);
    for opinion in opinions.clone() {
        let Wish::Size(size) = opinion.wish else { continue };
        largest = largest.max(Some(size));
        match opinion.source {
            // What is expected is a floor under what its target gives back; the target has always been heard, too.
            Source::Target(_) | Source::Forecast(_) => by_targets = by_targets.max(Some(size)),
            Source::Rule(_) => by_rules = Some(by_rules.map_or(size, |furthest: u32| furthest.min(size))),
        }
    }
    match largest {
        Some(largest) if largest > desired => Advice::Out(largest),
        _ if opinions.into_iter().any(|opinion| opinion.wish == Wish::Unknown) => Advice::Blind,
        Some(largest) if largest < desired => Advice::In(by_targets.or(by_rules).unwrap_or(largest)),
        Some(_) | None => Advice::Stay,
    }
}
