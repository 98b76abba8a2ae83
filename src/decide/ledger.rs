//! What each guard said: one verdict a guard, in their order, the strongest if one spoke more than once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::decide::census::Census;
use crate::decide::ground::{Ground, Way};
use crate::decide::plan::{Effect, Guard, Verdict};
use crate::decide::policy::Mode;
use crate::decide::stops::{Breaker, Stops};
use crate::domain::time::{after, since};

/// The verdicts of one decision, as they come in.
pub(super) struct Ledger {
    verdicts: BTreeMap<Guard, (Effect, Vec<Ground>)>,
}

impl Ledger {
    /// Every guard passes until it is asked to do something; what it passes with is worth reading all the same.
    pub(super) fn open(census: &Census<'_>, stops: &Stops) -> Self {
        let policy = census.policy;
        let size = &policy.size;
        let current = &census.snapshot.current;
        let grounds = [
            (
                Guard::Pause,
                [Way::Out, Way::In]
                    .into_iter()
                    .find_map(|way| stops.pause(way))
                    .cloned()
                    .unwrap_or(Ground::NotPaused),
            ),
            (Guard::DryRun, if policy.mode == Mode::DryRun { Ground::DryRun } else { Ground::Live }),
            (
                Guard::MissingData,
                stops
                    .cloud()
                    .cloned()
                    .unwrap_or(Ground::Heard { heard: current.hosts_heard, asked: current.hosts_asked }),
            ),
            (Guard::Bounds, Ground::InBounds { bounds: census.bounds.clone() }),
            (Guard::InFlight, in_flight(census)),
            (Guard::Cooldown, cooldown(census)),
            (Guard::Step, Ground::Steps { out: size.step_out(census.desired), back: size.step_in_max }),
            (Guard::Window, Ground::NothingTaken),
            (Guard::Projection, Ground::NothingTaken),
            (
                Guard::UnhealthyHalt,
                stops
                    .halt()
                    .cloned()
                    .unwrap_or(Ground::Unhealthy { troubled: census.troubled, of: census.population }),
            ),
            (Guard::Budget, stops.budget.clone()),
            (
                Guard::Breaker,
                match &stops.breaker {
                    Breaker::Closed(ground) | Breaker::Open(ground) | Breaker::HalfOpen { ground, .. } => {
                        ground.clone()
                    }
                },
            ),
        ];
        let verdicts =
            grounds.into_iter().map(|(guard, ground)| (guard, (Effect::Pass, vec![ground]))).collect();
        Self { verdicts }
    }

    /// Puts another ground under a guard that passes.
    pub(super) fn pass(&mut self, guard: Guard, ground: Ground) {
        self.enter(guard, Effect::Pass, ground);
    }

    /// A guard changed a size.
    pub(super) fn clamp(&mut self, guard: Guard, (from, to): (u32, u32), ground: Ground) {
        self.enter(guard, Effect::Clamp { from, to }, ground);
    }

    /// A guard refused.
    pub(super) fn refuse(&mut self, guard: Guard, ground: Ground) {
        self.enter(guard, Effect::Refuse, ground);
    }

    fn enter(&mut self, guard: Guard, effect: Effect, ground: Ground) {
        let entry = self.verdicts.entry(guard).or_insert_with(|| (Effect::Pass, Vec::new()));
        match (rank(effect).cmp(&rank(entry.0)), effect) {
            (std::cmp::Ordering::Less, _) => {}
            (std::cmp::Ordering::Greater, _) | (_, Effect::Pass) => *entry = (effect, vec![ground]),
            (std::cmp::Ordering::Equal, _) => {
                if !entry.1.contains(&ground) {
                    entry.1.push(ground);
                }
            }
        }
    }

    pub(super) fn close(self) -> Vec<Verdict> {
        let verdict = |(guard, (effect, grounds)): (Guard, (Effect, Vec<Ground>))| {
            let because = grounds.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            Verdict { guard, effect, because }
        };
        self.verdicts.into_iter().map(verdict).collect()
    }
}

fn rank(effect: Effect) -> u8 {
    match effect {
        Effect::Pass => 0,
        Effect::Clamp { .. } => 1,
        Effect::Refuse => 2,
    }
}

/// What is on its way.
pub(super) fn in_flight(census: &Census<'_>) -> Ground {
    let (booting, reserved, orphans) = (census.booting, census.reserved, census.orphans);
    if booting == 0 && reserved == 0 && orphans == 0 {
        Ground::NothingInFlight
    } else {
        Ground::InFlight { booting, reserved, orphans }
    }
}

/// How long a direction still cools down.
pub(super) fn cooling(census: &Census<'_>, way: Way) -> Option<Duration> {
    let (cooldown, memory) = (&census.policy.cooldown, &census.snapshot.memory);
    let (from, span) = match way {
        Way::Out => (memory.last_scale_out?, cooldown.scale_out),
        Way::In => (memory.last_change.max(memory.last_scale_out)?, cooldown.scale_in),
    };
    let left = since(after(from, span), census.now);
    (left > Duration::ZERO).then_some(left)
}

fn cooldown(census: &Census<'_>) -> Ground {
    let running = |way| cooling(census, way).map(|left| Ground::Cooldown { way, left });
    running(Way::Out).or_else(|| running(Way::In)).unwrap_or(Ground::NoCooldown)
}
