//! A whole plan, as an operator reads it: what `plan` prints.

use std::fmt::Write as _;

use crate::decide::plan::{Effect, Plan, Verdict};
use crate::decide::wording::{clock, hosts, number};

/// The plan of one fleet in lines, without colour and without a trailing newline.
#[must_use]
pub fn render(fleet: &str, plan: &Plan) -> String {
    let mut text = String::new();
    line(&mut text, format_args!("{fleet} at {}: {}", clock(plan.observation.at), plan.reason));
    let (before, wanted) = (plan.size_before, plan.size_wanted);
    line(&mut text, format_args!("  {}: {before} there, {wanted} wanted", plan.action));
    deeds(&mut text, plan);
    seen(&mut text, plan);
    if !plan.recommendations.is_empty() {
        line(&mut text, "  recommended");
    }
    for recommendation in &plan.recommendations {
        let size = recommendation.size.map_or("-".to_owned(), |size| size.to_string());
        line(&mut text, format_args!("    {size:>4}  {}: {}", recommendation.source, recommendation.because));
    }
    line(&mut text, "  guards");
    for verdict in &plan.verdicts {
        guard(&mut text, verdict);
    }
    if !plan.candidates.is_empty() {
        line(&mut text, "  candidates, of which nothing is done");
    }
    for candidate in &plan.candidates {
        line(&mut text, format_args!("    {:>4}  {}", candidate.size_wanted, candidate.sentence()));
    }
    text.truncate(text.trim_end().len());
    text
}

/// What is to be done.
fn deeds(text: &mut String, plan: &Plan) {
    for launch in &plan.launches {
        line(text, format_args!("  + {}: {}, {}", hosts(launch.count), launch.pool, launch.subnet));
    }
    for drain in &plan.drains {
        line(text, format_args!("  - {}: {}", drain.host, drain.reason));
    }
    for host in &plan.cancelled_drains {
        line(text, format_args!("  = {host}: its drain is taken back"));
    }
    for answer in &plan.answered {
        let granted = match answer.granted {
            crate::decide::plan::Granted::Yes => "granted",
            crate::decide::plan::Granted::No => "refused",
        };
        line(text, format_args!("  ? {granted}: {}", answer.because));
    }
}

/// What was seen: an interval where hosts were silent.
fn seen(text: &mut String, plan: &Plan) {
    let observation = &plan.observation;
    let (heard, asked) = (observation.hosts_heard, observation.hosts_asked);
    line(text, format_args!("  seen ({heard} of {asked} hosts heard)"));
    let width = observation.values.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in &observation.values {
        let heard = number(value.heard);
        if value.if_idle.total_cmp(&value.if_busy).is_eq() {
            line(text, format_args!("    {name:width$}  {heard}"));
        } else {
            let (low, high) = (number(value.if_idle), number(value.if_busy));
            line(text, format_args!("    {name:width$}  {heard}, between {low} and {high}"));
        }
    }
    for fault in &observation.faults {
        line(text, format_args!("    ! {fault}"));
    }
}

fn guard(text: &mut String, verdict: &Verdict) {
    let effect = match verdict.effect {
        Effect::Pass => "pass".to_owned(),
        Effect::Clamp { from, to } => format!("{from} → {to}"),
        Effect::Refuse => "refuse".to_owned(),
    };
    line(text, format_args!("    {:14}  {effect:7}  {}", verdict.guard, verdict.because));
}

fn line(text: &mut String, line: impl std::fmt::Display) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "{line}");
}
