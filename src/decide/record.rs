//! What an opinion rests on, as it is recorded with the decision.
//!
//! Afterwards it cannot be worked out again: observations are kept for an hour, and the rule may have been rewritten
//! since. So the few bytes that answer "how near was it?" are kept with the answer: a letter an observation, of which a
//! rule looks at no more than a thousand, and a handful of numbers a target.

use crate::decide::bounds;
use crate::decide::census::{Census, amount};
use crate::decide::condition::{Facet, Truth};
use crate::decide::opinion::{Opinion, Source};
use crate::decide::plan::{Recommendation, RuleWindow, TargetReading};
use crate::decide::policy::{Rule, Target};
use crate::decide::rules::since_last_change;
use crate::decide::targets::hosts_under;

/// Most characters of a condition that are kept with every decision.
const CONDITION_MAX: usize = 500;

/// Every opinion, in the order of the file, with what it rests on, and after them what the schedules in force say. These
/// are no opinions: the bounds are made of them, and they are heard before anybody is asked.
pub(super) fn recommendations(census: &Census<'_>, opinions: &[Opinion]) -> Vec<Recommendation> {
    let of_schedules =
        bounds::in_force(&census.policy.schedules, census.now).map(|(schedule, till)| Recommendation {
            source: format!("schedule {}", schedule.name),
            size: schedule.size.min(),
            because: bounds::sentence(schedule, &till),
            window: None,
            reading: None,
        });
    opinions.iter().map(|opinion| recommendation(census, opinion)).chain(of_schedules).collect()
}

fn recommendation(census: &Census<'_>, opinion: &Opinion) -> Recommendation {
    let mut recorded = opinion.recommendation();
    match &opinion.source {
        Source::Rule(name) => {
            let rule = census.policy.rules.iter().find(|rule| rule.name == *name);
            recorded.window = rule.map(|rule| window(rule, census));
        }
        Source::Forecast(_) => {}
        Source::Target(name) => {
            let target = census.policy.targets.iter().find(|target| target.name == *name);
            recorded.reading = target.map(|target| reading(target, census));
        }
    }
    recorded
}

fn window(rule: &Rule, census: &Census<'_>) -> RuleWindow {
    let counted = since_last_change(census).take(rule.sustained.of as usize);
    let newest_first: Vec<Truth> = counted.map(|seen| rule.truth(seen)).collect();
    let hits = newest_first.iter().filter(|truth| **truth == Truth::Holds).count();
    RuleWindow {
        when: cut(rule.when.text()),
        hits_needed: rule.sustained.hits,
        of: rule.sustained.of,
        hits: amount(hits),
        observations: newest_first.into_iter().rev().map(letter).collect(),
    }
}

fn letter(truth: Truth) -> char {
    match truth {
        Truth::Holds => 'H',
        Truth::Fails => 'F',
        Truth::Unknown => 'U',
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(CONDITION_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn reading(target: &Target, census: &Census<'_>) -> TargetReading {
    let value = |facet| census.snapshot.current.value(&target.signal, facet);
    TargetReading {
        signal: target.signal.clone(),
        value: value(Facet::Heard),
        if_idle: value(Facet::IfIdle),
        if_busy: value(Facet::IfBusy),
        wanted: target.value,
        tolerance: target.tolerance,
        hosts: hosts_under(target, census),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_cut_between_characters() {
        assert_eq!(cut("cpu.avg > 0.75"), "cpu.avg > 0.75");
        let long = "ä".repeat(CONDITION_MAX + 1);
        assert_eq!(cut(&long), format!("{}…", "ä".repeat(CONDITION_MAX)));
    }
}
