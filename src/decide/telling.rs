//! The one sentence that says what was decided and why, as whoever is woken by it needs to read it.

use std::fmt;

use crate::decide::bounds::Bounds;
use crate::decide::census::{Census, amount};
use crate::decide::ground::Ground;
use crate::decide::guards::Judged;
use crate::decide::leavers::Leavers;
use crate::decide::opinion::{Advice, Opinion, Wish, combine};
use crate::decide::plan::{Action, Guard, ReasonCode};
use crate::decide::policy::Mode;
use crate::decide::requests::Requests;
use crate::decide::supply::{Short, Supply};
use crate::decide::wording::hosts;
use crate::domain::host::DrainReason;
use crate::domain::ids::{InstanceId, Zone};

/// Most opinions that one sentence quotes; all of them are among the recommendations.
const MOST_VOICES: usize = 3;

/// Everything that was decided, before it is put into words.
pub(super) struct Outcome<'a> {
    pub(super) census: &'a Census<'a>,
    pub(super) opinions: &'a [Opinion],
    pub(super) requests: &'a Requests,
    pub(super) judged: &'a Judged,
    pub(super) leavers: &'a Leavers<'a>,
    pub(super) supply: &'a Supply,
    pub(super) size_before: u32,
}

/// What the sentence begins with.
enum Headline<'a> {
    /// Nothing asks for a change.
    Quiet { size: u32, why: Option<Voices<'a>> },
    /// Something wants fewer, something else does not.
    Outvoted { size: u32, wish: Voices<'a>, against: Voices<'a> },
    /// A signal is unknown.
    Blind { size: u32, unknown: Voices<'a> },
    /// A guard refused.
    HeldBack { size: u32, wish: Voices<'a>, guard: Guard, ground: Ground },
    /// Larger or smaller, for the load.
    Scaled { action: Action, from: u32, to: u32, why: Voices<'a> },
    /// A person asked.
    Asked { granted: &'a [String] },
    /// The first size ever.
    FirstSize { size: u32, there: u32 },
    /// Fewer than `min`.
    BelowMin { there: u32, size: u32, bounds: &'a Bounds },
    /// More than `max`.
    AboveMax { there: u32, to: u32, bounds: &'a Bounds },
    /// The bounds moved past the size wanted so far.
    BoundsMoved { from: u32, to: u32, bounds: &'a Bounds },
    /// Instances of ours that no row knows were found, and are taken in.
    Found { found: u32, from: u32, to: u32 },
    /// More hosts than wanted.
    Excess { there: u32, size: u32 },
    /// Hosts failed, or are missing.
    Missing { there: u32, size: u32 },
    /// The fleet is not as it should be, and nothing can be done about it now.
    Stuck { there: u32, size: u32 },
}

/// What is added to it.
enum Note {
    /// Hosts that failed and go.
    Failed { hosts: Vec<InstanceId>, reason: DrainReason },
    /// Hosts whose drain is taken back.
    Kept { hosts: Vec<InstanceId> },
    /// Hosts that should go and may not.
    NotGoing(Ground),
    /// Hosts that cannot be bought now.
    NotBought { missing: u32, short: Short },
    /// Zones that the balancer does not serve.
    Unserved(Vec<Zone>),
    /// A change that came out smaller than it was asked for.
    Limited { guard: Guard, ground: Ground },
}

impl<'a> Outcome<'a> {
    /// The action alone.
    pub(super) fn action(&self) -> Action {
        self.headline().kind().0
    }

    /// The action, the kind of reason, and the sentence.
    pub(super) fn tell(&self) -> (Action, ReasonCode, String) {
        let headline = self.headline();
        let mut sentence = headline.to_string();
        for note in self.notes(&headline) {
            sentence.push_str("; ");
            sentence.push_str(&note.to_string());
        }
        let (action, code) = headline.kind();
        (action, code, sentence)
    }

    fn headline(&self) -> Headline<'a> {
        let (from, to) = (self.census.desired, self.judged.size);
        if !self.requests.granted.is_empty() {
            return Headline::Asked { granted: &self.requests.granted };
        }
        match to.cmp(&from) {
            std::cmp::Ordering::Greater => {
                let why = self.voices(|opinion| opinion.wants_more(from));
                Headline::Scaled { action: Action::ScaleOut, from, to, why }
            }
            std::cmp::Ordering::Less => {
                let why = self.voices(|opinion| opinion.wants_fewer(from));
                Headline::Scaled { action: Action::ScaleIn, from, to, why }
            }
            std::cmp::Ordering::Equal => self.upkeep().unwrap_or_else(|| self.hold()),
        }
    }

    /// What is done to keep the fleet at its size, if anything is or should be.
    fn upkeep(&self) -> Option<Headline<'a>> {
        let (there, size) = (self.size_before, self.judged.size);
        let bounds = &self.census.bounds;
        let remembered = self.census.snapshot.memory.desired;
        let goes = |reason| self.leavers.drains.iter().any(|drain| drain.reason == reason);
        let acts = !self.leavers.drains.is_empty() || !self.supply.is_empty();
        let live = self.census.policy.mode == Mode::Live;
        if let Some(from) = remembered.filter(|from| live && *from != size) {
            return Some(if bounds.clamp(from) == from {
                Headline::Found { found: self.census.orphans, from, to: size }
            } else {
                Headline::BoundsMoved { from, to: size, bounds }
            });
        }
        if !acts {
            let stuck = self.supply.missing > 0 || self.leavers.kept.is_some();
            return stuck.then_some(Headline::Stuck { there, size });
        }
        Some(if remembered.is_none() {
            Headline::FirstSize { size, there }
        } else if there < bounds.min {
            Headline::BelowMin { there, size, bounds }
        } else if goes(DrainReason::AboveMax) {
            Headline::AboveMax { there, to: bounds.max, bounds }
        } else if goes(DrainReason::ScaleIn) {
            Headline::Excess { there, size }
        } else {
            Headline::Missing { there, size }
        })
    }

    /// Why nothing changes.
    fn hold(&self) -> Headline<'a> {
        let size = self.judged.size;
        let advice = combine(self.opinions.iter(), size);
        if let Some((guard, ground)) = self.judged.limited.clone() {
            let wants = |opinion: &Opinion| match advice {
                Advice::Out(_) => opinion.wants_more(size),
                Advice::In(_) | Advice::Stay | Advice::Blind => opinion.wants_fewer(size),
            };
            return Headline::HeldBack { size, wish: self.voices(wants), guard, ground };
        }
        let shrinking = self.voices(|opinion| opinion.wants_fewer(size));
        match advice {
            Advice::Blind => {
                Headline::Blind { size, unknown: self.voices(|opinion| opinion.wish == Wish::Unknown) }
            }
            Advice::Out(_) | Advice::In(_) | Advice::Stay if shrinking.is_empty() => {
                let content = self.voices(|opinion| opinion.wish == Wish::Size(size));
                let why = if content.is_empty() { self.voices(|_| true) } else { content };
                Headline::Quiet { size, why: Some(why).filter(|why| !why.is_empty()) }
            }
            Advice::Out(_) | Advice::In(_) | Advice::Stay => {
                let against = self.voices(|opinion| opinion.wish == Wish::Size(size));
                Headline::Outvoted { size, wish: shrinking, against }
            }
        }
    }

    fn voices(&self, keep: impl Fn(&Opinion) -> bool) -> Voices<'a> {
        Voices(self.opinions.iter().filter(|opinion| keep(opinion)).collect())
    }

    fn notes(&self, headline: &Headline<'_>) -> Vec<Note> {
        let mut notes = Vec::new();
        for reason in [DrainReason::Unhealthy, DrainReason::BootTimeout] {
            let gone = self.leavers.drains.iter().filter(|drain| drain.reason == reason);
            let hosts: Vec<InstanceId> = gone.map(|drain| drain.host.clone()).collect();
            if !hosts.is_empty() {
                notes.push(Note::Failed { hosts, reason });
            }
        }
        if !self.supply.cancelled.is_empty() {
            notes.push(Note::Kept { hosts: self.supply.cancelled.clone() });
        }
        if let Some(ground) = &self.leavers.kept {
            notes.push(Note::NotGoing(ground.clone()));
        }
        if let Some(short) = &self.supply.short {
            let bought = self.supply.launches.iter().map(|launch| launch.count).sum::<u32>();
            let come_by = bought.saturating_add(amount(self.supply.cancelled.len()));
            let missing = self.supply.missing.saturating_sub(come_by);
            notes.push(Note::NotBought { missing, short: short.clone() });
        }
        let unserved = &self.census.snapshot.unserved.now;
        if !unserved.is_empty() {
            notes.push(Note::Unserved(unserved.iter().cloned().collect()));
        }
        if let (Headline::Scaled { .. }, Some((guard, ground))) = (headline, &self.judged.limited) {
            notes.push(Note::Limited { guard: *guard, ground: ground.clone() });
        }
        notes
    }
}

/// Opinions that are quoted; of many only the first few.
struct Voices<'a>(Vec<&'a Opinion>);

impl Voices<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Voices<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, opinion) in self.0.iter().take(MOST_VOICES).enumerate() {
            let between = if place == 0 { "" } else { "; " };
            write!(f, "{between}{}", opinion.sentence())?;
        }
        match self.0.len().checked_sub(MOST_VOICES) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "; and {more} more"),
        }
    }
}

impl Headline<'_> {
    fn kind(&self) -> (Action, ReasonCode) {
        match self {
            Self::Quiet { .. } => (Action::Hold, ReasonCode::Quiet),
            Self::Outvoted { .. } => (Action::Hold, ReasonCode::Outvoted),
            Self::Blind { .. } => (Action::Hold, ReasonCode::Blind),
            Self::HeldBack { .. } => (Action::Hold, ReasonCode::HeldBack),
            Self::Stuck { .. } => (Action::Hold, ReasonCode::Stuck),
            Self::Scaled { action: Action::ScaleIn, .. } => (Action::ScaleIn, ReasonCode::ScaledIn),
            Self::Scaled { action, .. } => (*action, ReasonCode::ScaledOut),
            Self::Asked { .. } => (Action::Manual, ReasonCode::Asked),
            Self::FirstSize { .. } => (Action::Repair, ReasonCode::FirstSize),
            Self::BelowMin { .. } | Self::AboveMax { .. } | Self::BoundsMoved { .. } => {
                (Action::Repair, ReasonCode::OutOfBounds)
            }
            Self::Found { .. } | Self::Excess { .. } => (Action::Repair, ReasonCode::Excess),
            Self::Missing { .. } => (Action::Replace, ReasonCode::Missing),
        }
    }
}

impl fmt::Display for Headline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quiet { size, why: Some(why) } => write!(f, "Hold at {size}: {why}"),
            Self::Quiet { size, why: None } => {
                write!(f, "Hold at {size}: no rule and no target asks for a change")
            }
            Self::Outvoted { size, wish, against } => {
                write!(f, "Hold at {size}: {wish} and would have fewer, but {against}")
            }
            Self::Blind { size, unknown } => write!(f, "Hold at {size}: {unknown}"),
            Self::HeldBack { size, wish, guard, ground } => {
                write!(f, "Hold at {size}: {wish}, but {guard} refuses: {ground}")
            }
            Self::Stuck { there, size } => write!(f, "Hold at {there} of the {size} wanted"),
            Self::Scaled { action: Action::ScaleIn, from, to, why } => {
                write!(f, "Scale in {from} → {to}: {why}")
            }
            Self::Scaled { from, to, why, .. } => write!(f, "Scale out {from} → {to}: {why}"),
            Self::Asked { granted } => write!(f, "As asked: {}", granted.join("; ")),
            Self::FirstSize { size, there } => {
                write!(f, "Repair {there} → {size}: the first look at this fleet")
            }
            Self::BelowMin { there, size, bounds } => {
                write!(f, "Repair {there} → {size}: fewer than {}", bounds.min_words())
            }
            Self::AboveMax { there, to, bounds } => {
                write!(f, "Repair {there} → {to}: more than {}", bounds.max_words())
            }
            Self::BoundsMoved { from, to, bounds } => {
                write!(f, "Repair: {from} were wanted, {to} are now: {}", bounds.why(*from))
            }
            Self::Found { found, from, to } => write!(
                f,
                "Repair: {from} were wanted, {to} are now: {} with this fleet's tags and no record were found",
                hosts(*found)
            ),
            Self::Excess { there, size } => write!(f, "Repair {there} → {size}: more hosts than are wanted"),
            Self::Missing { there, size } if there < size => {
                write!(f, "Replace {}: {there} of the {size} wanted are there", hosts(size - there))
            }
            Self::Missing { there, size } => {
                write!(f, "Take failed hosts out: {there} of the {size} wanted are there")
            }
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { hosts, reason: DrainReason::BootTimeout } => {
                write!(f, "{} not healthy by boot_timeout", are(hosts, "goes:", "go:"))
            }
            Self::Failed { hosts, .. } => {
                write!(f, "{} unhealthy for longer than health_grace", are(hosts, "goes:", "go:"))
            }
            Self::Kept { hosts } => write!(f, "{} after all", are(hosts, "stays", "stay")),
            Self::NotGoing(ground) => write!(f, "hosts that should go stay for now: {ground}"),
            Self::NotBought { missing, short } => write!(f, "{} not bought yet: {short}", hosts(*missing)),
            Self::Unserved(zones) => {
                let zones = zones.iter().map(Zone::as_str).collect::<Vec<_>>().join(", ");
                write!(f, "the balancer does not serve {zones} (Target.NotInUse): nothing is bought there")
            }
            Self::Limited { guard, ground } => write!(f, "no further by {guard}: {ground}"),
        }
    }
}

/// `i-1 goes`, `i-1, i-2 go`; of many only the first few.
fn are(ids: &[InstanceId], one: &str, many: &str) -> String {
    let shown = ids.iter().take(3).map(InstanceId::as_str).collect::<Vec<_>>().join(", ");
    match ids.len() {
        1 => format!("{shown} {one}"),
        count if count > 3 => format!("{shown} and {} more {many}", count - 3),
        _ => format!("{shown} {many}"),
    }
}
