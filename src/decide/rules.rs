//! Rules: a condition, how often it must have held, and what is to be done then.

use std::time::Duration;

use crate::decide::census::{Census, amount};
use crate::decide::condition::{Facet, Truth};
use crate::decide::opinion::{Because, Opinion, Source, Wait, Wish};
use crate::decide::policy::Rule;
use crate::decide::signal::Observation;
use crate::domain::time::{after, before, since};

/// What one rule would like now.
pub(super) fn opinion(rule: &Rule, census: &Census<'_>) -> Opinion {
    let tally = Tally::of(rule, census);
    let (wish, because) = tally.judge(rule, census);
    let waits = if matches!(wish, Wish::Size(_)) { wait(rule, census) } else { None };
    Opinion { source: Source::Rule(rule.name.clone()), wish, because, waits }
}

/// How one rule fared over the last observations.
struct Tally<'a> {
    hits: u32,
    seen: u32,
    /// The last observation in which it held, or else the current one: the one to show.
    telling: &'a Observation,
}

impl<'a> Tally<'a> {
    fn of(rule: &Rule, census: &Census<'a>) -> Self {
        let mut tally = Self { hits: 0, seen: 0, telling: &census.snapshot.current };
        for observation in since_last_change(census).take(rule.sustained.of as usize) {
            tally.seen += 1;
            if rule.truth(observation) == Truth::Holds {
                if tally.hits == 0 {
                    tally.telling = observation;
                }
                tally.hits += 1;
            }
        }
        tally
    }

    fn judge(&self, rule: &Rule, census: &Census<'_>) -> (Wish, Because) {
        let current = &census.snapshot.current;
        let with = rule.when.explain(self.telling, Facet::Heard);
        if rule.truth(current) == Truth::Unknown {
            let signals = rule.when.missing(current);
            return if signals.is_empty() {
                (Wish::Unknown, Because::NoResult { with: rule.when.explain(current, Facet::Heard) })
            } else {
                (Wish::Unknown, Because::NoValue { signals })
            };
        }
        let Self { hits, seen, .. } = *self;
        if hits < rule.sustained.hits {
            return (Wish::None, Because::NotHeld { hits, seen, needed: rule.sustained.hits, with });
        }
        (Wish::Size(rule.action.apply(census.desired)), Because::Held { hits, seen, with })
    }
}

/// Observations that speak of the fleet as it is now, the newest first: what was seen before the last change of size
/// was the reason for that change, and is none for another.
pub(super) fn since_last_change<'a>(census: &Census<'a>) -> impl Iterator<Item = &'a Observation> {
    let after = census.snapshot.memory.last_change;
    let current = &census.snapshot.current;
    let earlier = census.snapshot.window.iter().rev().filter(|seen| seen.at < current.at);
    std::iter::once(current).chain(earlier).filter(move |seen| after.is_none_or(|after| seen.at > after))
}

/// What keeps a rule that fired before from firing again.
fn wait(rule: &Rule, census: &Census<'_>) -> Option<Wait> {
    let fired = *census.snapshot.memory.rules_fired.get(&rule.name)?;
    if rule.action.is_out() {
        // Rows are written by clocks that are almost the same: one interval is the slack.
        let from = before(fired, census.policy.interval);
        let hosts = census.snapshot.hosts.iter().map(|view| &view.host.state);
        let booting = hosts.filter(|state| state.is_booting() && state.since() >= from).count();
        let launches = census.snapshot.launches.iter().filter(|launch| launch.created_at >= from);
        let reserved = launches.fold(0_u32, |sum, launch| sum.saturating_add(launch.missing));
        // What was wanted and could not even be ordered yet (every pool cools) is not given up either.
        let missing = reserved.saturating_add(census.desired.saturating_sub(census.capacity()));
        if booting > 0 || missing > 0 {
            return Some(Wait::ForHosts { booting: amount(booting), missing });
        }
    }
    let left = since(after(fired, own_cooldown(rule, census)), census.now);
    (left > Duration::ZERO).then_some(Wait::ForCooldown { left })
}

fn own_cooldown(rule: &Rule, census: &Census<'_>) -> Duration {
    let cooldown = census.policy.cooldown;
    let of_direction = if rule.action.is_out() { cooldown.scale_out } else { cooldown.scale_in };
    rule.cooldown.unwrap_or(of_direction)
}
