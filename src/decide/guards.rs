//! What may clamp or refuse a change of size that the load asks for: twelve guards in a fixed order, each with a verdict.
//!
//! Only changes for the load come by here. Repairs, replacements and what a person asks for have their own, shorter way:
//! they are stopped by pauses, halts, the budget and the breaker, and do not wait for cooldowns or windows.

use crate::decide::census::{Census, amount};
use crate::decide::evidence::{self, Window};
use crate::decide::ground::{Ground, Way};
use crate::decide::leavers::Leavers;
use crate::decide::ledger::{Ledger, cooling, in_flight};
use crate::decide::opinion::{Advice, Opinion, Wait, Wish, combine};
use crate::decide::plan::Guard;
use crate::decide::projection;
use crate::decide::stops::{Breaker, Stops};

/// What became of the load's wish.
pub(super) struct Judged {
    /// The size wanted from now on.
    pub(super) size: u32,
    /// The guard that said no, or else the last one that made the change smaller.
    pub(super) limited: Option<(Guard, Ground)>,
}

/// A change of size on its way through the guards.
struct Trial<'t, 'a> {
    census: &'a Census<'a>,
    stops: &'t Stops,
    opinions: &'t [Opinion],
    leavers: &'t Leavers<'a>,
    ledger: &'t mut Ledger,
    to: u32,
    limited: Option<(Guard, Ground)>,
}

/// Sends the load's wish through the guards.
pub(super) fn judge<'a>(
    census: &'a Census<'a>,
    stops: &Stops,
    opinions: &[Opinion],
    leavers: &Leavers<'a>,
    ledger: &mut Ledger,
) -> Judged {
    let advice = combine(opinions.iter(), census.desired);
    let to = match advice {
        Advice::Out(size) | Advice::In(size) => size,
        Advice::Stay | Advice::Blind => census.desired,
    };
    let mut trial = Trial { census, stops, opinions, leavers, ledger, to, limited: None };
    trial.pause();
    trial.missing_data(advice);
    trial.bounds();
    trial.in_flight();
    trial.cooldown();
    trial.step();
    trial.window();
    trial.projection();
    trial.unhealthy_halt();
    trial.budget();
    trial.breaker();
    Judged { size: trial.to, limited: trial.limited }
}

impl Trial<'_, '_> {
    fn way(&self) -> Option<Way> {
        match self.to.cmp(&self.census.desired) {
            std::cmp::Ordering::Greater => Some(Way::Out),
            std::cmp::Ordering::Less => Some(Way::In),
            std::cmp::Ordering::Equal => None,
        }
    }

    fn refuse(&mut self, guard: Guard, ground: Ground) {
        self.to = self.census.desired;
        self.ledger.refuse(guard, ground.clone());
        self.limited = Some((guard, ground));
    }

    /// Moves the size towards the one wanted so far, never past it; all the way is a refusal.
    fn clamp(&mut self, guard: Guard, to: u32, ground: Ground) {
        let desired = self.census.desired;
        let to = if self.to > desired { to.clamp(desired, self.to) } else { to.clamp(self.to, desired) };
        if to == desired {
            return self.refuse(guard, ground);
        }
        if to != self.to {
            self.ledger.clamp(guard, (self.to, to), ground.clone());
            self.limited = Some((guard, ground));
            self.to = to;
        }
    }

    fn pause(&mut self) {
        if let Some(ground) = self.way().and_then(|way| self.stops.pause(way)) {
            self.refuse(Guard::Pause, ground.clone());
        }
    }

    fn missing_data(&mut self, advice: Advice) {
        let way = self.way();
        if let (Some(ground), true) = (self.stops.cloud(), way.is_some()) {
            return self.refuse(Guard::MissingData, ground.clone());
        }
        if advice == Advice::Blind {
            let unknown = self.opinions.iter().filter(|opinion| opinion.wish == Wish::Unknown);
            let sources = unknown.map(Opinion::sentence).collect();
            self.ledger.refuse(Guard::MissingData, Ground::SignalsUnknown { sources });
        } else if way == Some(Way::In)
            && let Some(ground) = evidence::quorum(self.census)
        {
            self.refuse(Guard::MissingData, ground);
        }
    }

    fn bounds(&mut self) {
        let bounds = &self.census.bounds;
        let Some(way) = self.way() else { return };
        let size = self.to;
        self.clamp(Guard::Bounds, bounds.clamp(size), Ground::OutOfBounds { size, bounds: bounds.clone() });
        if way == Way::In && self.way() == Some(Way::In) {
            self.able_victims();
        }
    }

    /// Nobody is asked to go who may not: the size wanted falls by the number of hosts that can be named.
    fn able_victims(&mut self) {
        let wanted = self.leavers.staying().saturating_sub(self.to);
        let able = amount(self.leavers.victims(wanted, self.to).len());
        if able < wanted {
            let to = self.to.saturating_add(wanted - able);
            self.clamp(Guard::Bounds, to, Ground::FewVictims { wanted, able });
        }
    }

    fn in_flight(&mut self) {
        match self.way() {
            None => {}
            Some(Way::Out) => self.leave_out(Guard::InFlight, Way::Out),
            Some(Way::In) => match in_flight(self.census) {
                Ground::NothingInFlight => {}
                ground => self.refuse(Guard::InFlight, ground),
            },
        }
    }

    fn cooldown(&mut self) {
        let Some(way) = self.way() else { return };
        if let Some(left) = cooling(self.census, way) {
            return self.refuse(Guard::Cooldown, Ground::Cooldown { way, left });
        }
        self.leave_out(Guard::Cooldown, way);
    }

    /// Takes the rules out that this guard does not let fire again yet, and what only they wanted.
    fn leave_out(&mut self, guard: Guard, way: Way) {
        let desired = self.census.desired;
        let blocked = |opinion: &&Opinion| opinion.waits.as_ref().is_some_and(|wait| wait.guard() <= guard);
        let wants = |opinion: &&Opinion| match way {
            Way::Out => opinion.wants_more(desired),
            Way::In => opinion.wants_fewer(desired),
        };
        let speaks =
            |opinion: &&Opinion| wants(opinion) && opinion.waits.as_ref().map(Wait::guard) == Some(guard);
        let Some(waiting) = self.opinions.iter().find(speaks) else { return };
        let what =
            waiting.waits.as_ref().map(|wait| format!("{}: {wait}", waiting.source)).unwrap_or_default();
        let left = match combine(self.opinions.iter().filter(|opinion| !blocked(opinion)), desired) {
            Advice::Out(size) if way == Way::Out => size,
            Advice::In(size) if way == Way::In => size,
            Advice::Out(_) | Advice::In(_) | Advice::Stay | Advice::Blind => desired,
        };
        self.clamp(guard, left, Ground::Waits { what });
    }

    fn step(&mut self) {
        let (size, desired) = (&self.census.policy.size, self.census.desired);
        let (most, to) = match self.way() {
            None => return,
            Some(Way::Out) => (size.step_out(desired), desired.saturating_add(size.step_out(desired))),
            Some(Way::In) => (size.step_in_max, desired.saturating_sub(size.step_in_max)),
        };
        if self.to.abs_diff(desired) > most {
            self.clamp(Guard::Step, to, Ground::StepMost { most });
        }
    }

    fn window(&mut self) {
        if self.way() != Some(Way::In) {
            return;
        }
        match evidence::window(self.census, self.to) {
            Window::No(ground) => self.refuse(Guard::Window, ground),
            Window::From(size, ground) => {
                self.ledger.pass(Guard::Window, ground.clone());
                self.clamp(Guard::Window, size, ground);
            }
        }
    }

    fn projection(&mut self) {
        if self.way() != Some(Way::In) {
            return;
        }
        let (census, asked) = (self.census, self.to);
        let remaining = |size: u32| census.healthy.saturating_sub(census.desired.saturating_sub(size));
        let mut first = None;
        let fits = (asked..census.desired).find(|size| {
            let overload = projection::overload(census, remaining(*size));
            let fits = overload.is_none();
            first = first.take().or(overload);
            fits
        });
        match (first, fits) {
            (None, _) => {
                self.ledger.pass(Guard::Projection, Ground::Carries { hosts: remaining(asked) });
            }
            (Some(ground), fits) => self.clamp(Guard::Projection, fits.unwrap_or(census.desired), ground),
        }
    }

    fn unhealthy_halt(&mut self) {
        if let (Some(Way::In), Some(ground)) = (self.way(), self.stops.halt()) {
            self.refuse(Guard::UnhealthyHalt, ground.clone());
        }
    }

    fn budget(&mut self) {
        if self.way() == Some(Way::In) && self.leavers.budget < self.census.desired - self.to {
            let to = self.census.desired.saturating_sub(self.leavers.budget);
            self.clamp(Guard::Budget, to, self.leavers.spent());
        }
    }

    fn breaker(&mut self) {
        if self.way() != Some(Way::Out) {
            return;
        }
        match &self.stops.breaker {
            Breaker::Closed(_) => {}
            Breaker::Open(ground) => self.refuse(Guard::Breaker, ground.clone()),
            Breaker::HalfOpen { allowed, ground } => {
                let to = self.census.desired.saturating_add(*allowed);
                self.clamp(Guard::Breaker, to, ground.clone());
            }
        }
    }
}
