//! What stands in the way of buying and of draining, whatever for: found out once, before anything is wanted.

use crate::decide::census::{Census, amount};
use crate::decide::ground::{Ground, Way};
use crate::decide::plan::Guard;
use crate::decide::snapshot::{CloudView, Pause};
use crate::domain::time::{Timestamp, after, before};

/// The standing refusals of one moment.
pub(super) struct Stops {
    pause_out: Option<Ground>,
    pause_in: Option<Ground>,
    cloud: Option<Ground>,
    halt: Option<Ground>,
    pub(super) breaker: Breaker,
    /// Terminations that may still be started.
    pub(super) budget_left: u32,
    /// What is to be said when there are none.
    pub(super) budget: Ground,
}

/// Whether launches are let through.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Breaker {
    Closed(Ground),
    Open(Ground),
    /// One host at a time, until one is healthy.
    HalfOpen {
        allowed: u32,
        ground: Ground,
    },
}

impl Stops {
    pub(super) fn of(census: &Census<'_>) -> Self {
        let memory = &census.snapshot.memory;
        let paused = |way: Way, pause: &Option<Pause>| {
            pause.as_ref().filter(|pause| pause.holds(census.now)).map(|pause| Ground::Paused {
                way,
                by: pause.actor.clone(),
                why: pause.reason.clone(),
                until: pause.until,
            })
        };
        let cloud = match &census.snapshot.cloud {
            CloudView::Fresh => None,
            CloudView::Unknown(why) => Some(Ground::CloudUnknown { why: why.clone() }),
        };
        let (budget_left, budget) = budget(census);
        Self {
            pause_out: paused(Way::Out, &memory.pause_out),
            pause_in: paused(Way::In, &memory.pause_in),
            cloud,
            halt: halt(census),
            breaker: breaker(census),
            budget_left,
            budget,
        }
    }

    /// The first thing that keeps hosts from being bought or kept; the breaker is asked for itself, as it does not mind
    /// a drain that is taken back.
    pub(super) fn growing(&self) -> Option<(Guard, &Ground)> {
        let pause = self.pause_out.as_ref().map(|ground| (Guard::Pause, ground));
        pause.or_else(|| self.cloud.as_ref().map(|ground| (Guard::MissingData, ground)))
    }

    /// The first thing that keeps hosts from being drained, the budget aside.
    pub(super) fn draining(&self) -> Option<(Guard, &Ground)> {
        let pause = self.pause_in.as_ref().map(|ground| (Guard::Pause, ground));
        pause
            .or_else(|| self.cloud.as_ref().map(|ground| (Guard::MissingData, ground)))
            .or_else(|| self.halt.as_ref().map(|ground| (Guard::UnhealthyHalt, ground)))
    }

    pub(super) fn pause(&self, way: Way) -> Option<&Ground> {
        match way {
            Way::Out => self.pause_out.as_ref(),
            Way::In => self.pause_in.as_ref(),
        }
    }

    pub(super) fn cloud(&self) -> Option<&Ground> {
        self.cloud.as_ref()
    }

    pub(super) fn halt(&self) -> Option<&Ground> {
        self.halt.as_ref()
    }
}

/// The share alone would stop a fleet of four for one sick host: it also takes more than two.
fn halt(census: &Census<'_>) -> Option<Ground> {
    let (troubled, of, most) = (census.troubled, census.population, census.policy.safety.halt_unhealthy);
    (troubled > 2 && f64::from(troubled) > most * f64::from(of)).then_some(Ground::TooManyUnhealthy {
        troubled,
        of,
        most,
    })
}

fn budget(census: &Census<'_>) -> (u32, Ground) {
    let (count, per) = (census.policy.safety.budget_count, census.policy.safety.budget_per);
    let from = before(census.now, per);
    let mut recent: Vec<Timestamp> =
        census.snapshot.drains_in_budget.iter().copied().filter(|at| *at > from).collect();
    recent.sort_unstable();
    let spent = amount(recent.len());
    let left = count.saturating_sub(spent);
    if left > 0 {
        return (left, Ground::BudgetLeft { spent, count, per });
    }
    // The next one is free when so many have left the span that one fits in again.
    let leaves = spent.saturating_sub(count) as usize;
    let free_at = recent.get(leaves).filter(|_| count > 0).map(|at| after(*at, per));
    (0, Ground::BudgetSpent { spent, count, per, free_at })
}

fn breaker(census: &Census<'_>) -> Breaker {
    let (safety, memory) = (&census.policy.safety, &census.snapshot.memory);
    let (failures, most) = (memory.launch_failures, safety.launch_failures_max);
    if failures < most || failures == 0 {
        return Breaker::Closed(Ground::BreakerClosed { failures, most });
    }
    let until = memory.last_launch_failure.map_or(census.now, |at| after(at, safety.breaker_reset));
    if census.now < until {
        return Breaker::Open(Ground::BreakerOpen { failures, until });
    }
    if census.booting > 0 || census.reserved > 0 {
        return Breaker::HalfOpen { allowed: 0, ground: Ground::BreakerWaits { failures } };
    }
    Breaker::HalfOpen { allowed: 1, ground: Ground::BreakerTrial { failures } }
}
