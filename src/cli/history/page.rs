//! One decision in full, as the dashboard's page has it: what was known, who wanted what and how near each rule was, what
//! every guard said, what was to be done, and what was asked of the cloud.

use std::collections::BTreeMap;

use crate::cli::history::{Entry, size};
use crate::cli::output::meaning;
use crate::cli::output::room::Room;
use crate::cli::output::table::{Column, Table, labelled, number, sentence, set_in};
use crate::cli::output::text::{BAD, BOLD, DIM, PLAIN, Text};
use crate::decide;
use crate::decide::plan::{Effect, Granted, Recommendation, RuleWindow, TargetReading};
use crate::decide::signal::Value;
use crate::decide::snapshot::CloudView;
use crate::domain::time::Timestamp;
use crate::view::decision::{Call, Decision};
use crate::view::words::{ago, count, moment};

/// How wide the labels are.
const LABEL: usize = 8;
/// How far what belongs to a label is set in.
const MARGIN: usize = 2;
/// Observations of one rule that are shown: it may look at a thousand, and nobody reads them.
const SHOWN_MAX: usize = 60;

/// The page.
pub(super) fn page(entry: &Entry, now: Timestamp, room: Room) -> String {
    let decision = &entry.decision;
    let calls = entry.calls.as_deref().unwrap_or_default();
    let parts = [
        head(decision, room),
        facts(decision, now, room.indented(MARGIN)),
        inputs(decision, room.indented(MARGIN)),
        wishes(&decision.recommendations, room.indented(MARGIN)),
        guards(decision, room.indented(MARGIN)),
        deeds(decision, room.indented(MARGIN)),
        asked(calls, room.indented(MARGIN)),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn head(decision: &Decision, room: Room) -> String {
    let first = Text::styled(BOLD, decision.fleet.as_str())
        .and(PLAIN, "  ")
        .then(meaning::action(decision.action))
        .and(PLAIN, format!("  {}  (", size(decision)))
        .then(meaning::outcome(&decision.outcome))
        .and(PLAIN, ")");
    let reason = sentence(&decision.reason, BOLD, room);
    format!("{}\n{reason}", first.paint())
}

fn facts(decision: &Decision, now: Timestamp, room: Room) -> String {
    let told = |at: Timestamp| format!("{} ({})", moment(at), ago(now, at));
    let repeated = (decision.count > 1).then(|| {
        format!("the same answer {}, until {}", count(times(decision.count), "time"), told(decision.last_at))
    });
    let lines = [
        ("at", Some(told(decision.at))),
        ("again", repeated),
        ("by", Some(format!("{} at epoch {}", decision.replica, decision.epoch))),
        ("id", Some(decision.decision_id.to_string())),
        ("kind", Some(decision.code.to_string())),
    ];
    let lines = lines.into_iter().filter_map(|(label, line)| Some((label, line?)));
    let lines = lines.map(|(label, line)| labelled(label, LABEL, DIM, &line.into(), room));
    set_in(&lines.collect::<Vec<_>>().join("\n"), MARGIN)
}

fn times(count: i64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// A title, and below it what belongs to it.
fn section(title: &str, told: &str, body: &str) -> String {
    let title = Text::styled(BOLD, title).and(DIM, told).paint();
    if body.is_empty() {
        set_in(&title, MARGIN)
    } else {
        set_in(&format!("{title}\n{}", set_in(body, MARGIN)), MARGIN)
    }
}

fn inputs(decision: &Decision, room: Room) -> String {
    let seen = &decision.inputs;
    let recommended = match seen.recommended {
        Some(size) => format!("{} recommended", count(size as usize, "host")),
        None => "nothing could be recommended".to_owned(),
    };
    let told = format!(
        "  {} of {} heard; {recommended}",
        seen.hosts_heard,
        count(seen.hosts_asked as usize, "host")
    );
    let mut lines = Vec::new();
    if !seen.values.is_empty() {
        lines.push(values(&seen.values, room.indented(MARGIN)));
    }
    if let CloudView::Unknown(why) = &decision.cloud {
        lines.push(sentence(&format!("the cloud could not be seen: {why}"), BAD, room.indented(MARGIN)));
    }
    let faults =
        seen.faults.iter().map(|fault| sentence(&format!("fault: {fault}"), BAD, room.indented(MARGIN)));
    lines.extend(faults);
    section("Inputs", &told, &lines.join("\n"))
}

/// Every signal; where hosts were silent, also what it would have been with them.
fn values(values: &BTreeMap<String, Value>, room: Room) -> String {
    let value = |value: &Value| number(decide::number(value.heard));
    if values.values().all(|value| range(*value).is_empty()) {
        let columns = [Column::new("SIGNAL"), Column::numbers("VALUE"), Column::new("")];
        let rows = values.iter().map(|(name, one)| [name.as_str().into(), value(one), Text::default()]);
        return Table::new(columns, rows).paint(room);
    }
    let columns =
        [Column::new("SIGNAL"), Column::numbers("VALUE"), Column::new("IF THE SILENT WERE IDLE OR BUSY")];
    let rows = values.iter().map(|(name, one)| [name.as_str().into(), value(one), range(*one).into()]);
    Table::new(columns, rows).paint(room)
}

fn range(value: Value) -> String {
    if value.if_idle.total_cmp(&value.if_busy).is_eq() {
        return String::new();
    }
    format!("{} to {}", decide::number(value.if_idle), decide::number(value.if_busy))
}

fn wishes(recommendations: &[Recommendation], room: Room) -> String {
    if recommendations.is_empty() {
        return section("Recommended", "  by nobody: the fleet has no rule and no target", "");
    }
    let columns =
        [Column::new("WHO"), Column::numbers("SIZE"), Column::new("HOW NEAR"), Column::new("BECAUSE")];
    let rows = recommendations.iter().map(|one| {
        let size = one.size.map_or_else(|| "-".to_owned(), |size| size.to_string());
        [one.source.as_str().into(), number(size), how_near(one).into(), because(one)]
    });
    let body = Table::new(columns, rows).paint(room.indented(MARGIN));
    let letters = recommendations.iter().any(|one| one.window.is_some());
    let told = if letters { "  H held, F failed, U unknown, oldest first" } else { "" };
    section("Recommended", told, &body)
}

/// The sentence, which has the numbers, and the condition as it was written then.
fn because(one: &Recommendation) -> Text {
    let when = one.window.as_ref().map(|window| format!("; when {}", window.when));
    Text::from(one.because.as_str()).and(DIM, when.unwrap_or_default())
}

/// What was counted, or measured. Decisions from before that was recorded have neither.
fn how_near(one: &Recommendation) -> String {
    match (&one.window, &one.reading) {
        (Some(window), _) => window_words(window),
        (None, Some(reading)) => reading_words(reading),
        (None, None) => "not recorded".to_owned(),
    }
}

fn window_words(window: &RuleWindow) -> String {
    let RuleWindow { hits, of, hits_needed, observations, .. } = window;
    let newest = observations.char_indices().rev().nth(SHOWN_MAX - 1).map_or(0, |(start, _)| start);
    let cut = if newest > 0 { "…" } else { "" };
    format!("{cut}{} {hits} of {of}, {hits_needed} needed", &observations[newest..]).trim_start().to_owned()
}

fn reading_words(reading: &TargetReading) -> String {
    let value = reading.value.map_or_else(|| "unknown".to_owned(), decide::number);
    let (wanted, tolerance) = (decide::number(reading.wanted), decide::percent(reading.tolerance));
    format!("{value}, {wanted} ± {tolerance} wanted")
}

fn guards(decision: &Decision, room: Room) -> String {
    let columns = [Column::new("GUARD"), Column::new("VERDICT"), Column::new("BECAUSE")];
    let rows = decision.verdicts.iter().map(|verdict| {
        let style = if verdict.effect == Effect::Pass { DIM } else { PLAIN };
        let because = Text::styled(style, &verdict.because);
        [verdict.guard.as_str().into(), meaning::effect(verdict.effect), because]
    });
    section("Guards", "", &Table::new(columns, rows).paint(room.indented(MARGIN)))
}

fn deeds(decision: &Decision, room: Room) -> String {
    let launches = decision.launches.iter();
    let mut lines: Vec<String> = launches
        .map(|launch| format!("launch {} of {} in {}", launch.count, launch.pool, launch.subnet))
        .collect();
    lines.extend(decision.drains.iter().map(|drain| format!("drain {} ({})", drain.host, drain.reason)));
    lines.extend(decision.cancelled_drains.iter().map(|host| format!("keep {host} after all")));
    lines.extend(decision.candidates.iter().map(|one| format!("candidate {}", one.sentence())));
    lines.extend(decision.answered.iter().map(|answer| {
        let word = match answer.granted {
            Granted::Yes => "granted",
            Granted::No => "refused",
        };
        format!("request {} {word}: {}", answer.request, answer.because)
    }));
    if lines.is_empty() {
        return section("To be done", "  nothing", "");
    }
    let lines = lines.iter().map(|line| sentence(line, PLAIN, room.indented(MARGIN)));
    section("To be done", "", &lines.collect::<Vec<_>>().join("\n"))
}

fn asked(calls: &[Call], room: Room) -> String {
    if calls.is_empty() {
        return section("Asked of the cloud", "  nothing", "");
    }
    let columns = [
        Column::new("AT"),
        Column::new("CALL"),
        Column::new("OUTCOME"),
        Column::numbers("TOOK").spare(2),
        Column::new("ZONE").spare(1),
        Column::new("HOSTS, AND AWS'S REQUEST ID"),
    ];
    let rows = calls.iter().map(|call| {
        [
            call.at.format("%H:%M:%SZ").to_string().into(),
            call.op.as_str().into(),
            meaning::outcome(&call.outcome),
            number(took(call.answered_after_seconds)),
            call.zone.as_ref().map_or("-", |zone| zone.as_str()).into(),
            answer(call).into(),
        ]
    });
    section("Asked of the cloud", "", &Table::new(columns, rows).paint(room.indented(MARGIN)))
}

fn took(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 10.0 => format!("{:.0}ms", seconds * 1_000.0),
        Some(seconds) => format!("{seconds:.0}s"),
    }
}

/// Whom it was about and what the cloud said, with the id to quote to its support.
fn answer(call: &Call) -> String {
    let hosts = call.instance_ids.iter().map(ToString::to_string);
    let error = call.error_code.as_ref().map(|code| match &call.error_message {
        Some(words) => format!("{code}: {words}"),
        None => code.clone(),
    });
    let again = (call.attempt > 1).then(|| format!("attempt {}", call.attempt));
    let request = call.request_id.as_ref().map(|id| format!("request {id}"));
    let parts: Vec<String> = hosts.chain(error).chain(again).chain(request).collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(observations: &str) -> RuleWindow {
        RuleWindow { when: "true".into(), hits_needed: 2, of: 3, hits: 1, observations: observations.into() }
    }

    #[test]
    fn a_window_is_its_letters_and_its_count() {
        assert_eq!(window_words(&window("FUH")), "FUH 1 of 3, 2 needed");
        assert_eq!(window_words(&window("")), "1 of 3, 2 needed");
        let long = window_words(&window(&format!("{}H", "F".repeat(70))));
        assert_eq!(long, format!("…{}H 1 of 3, 2 needed", "F".repeat(SHOWN_MAX - 1)));
    }

    #[test]
    fn an_old_decision_says_that_nothing_was_recorded() {
        let old = r#"{"source": "rule hot", "size": 4, "because": "held"}"#;
        assert_eq!(how_near(&serde_json::from_str(old).unwrap()), "not recorded");
    }
}
