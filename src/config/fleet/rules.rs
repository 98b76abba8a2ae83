//! Reads `[[rule]]` and `[[target]]`, and checks their expressions and signals against those that the fleet has.

use std::time::Duration;

use crate::config::fleet::read::{MONTH, MOST_HOSTS, refuse_duplicate};
use crate::config::reader::numbers::{Fraction, above, count, span};
use crate::config::reader::text::{Text, text};
use crate::config::reader::{At, Section, key};
use crate::config::report::excerpt;
use crate::decide::condition::Condition;
use crate::decide::policy::{ForecastPolicy, Rule, RuleAction, Sustained, Target};
use crate::decide::signal::Catalog;

/// Most rules and most targets of one fleet.
const MOST_ENTRIES: usize = 100;
/// Most observations that a rule may look back on.
const MOST_OBSERVATIONS: u32 = 1_000;

pub(super) fn read_rules(file: &mut Section<'_, '_>, catalog: &Catalog) -> Vec<Rule> {
    let mut taken = Vec::new();
    file.each(key("rule", "When a condition holds for so long, change the size."), MOST_ENTRIES, |rule| {
        read_rule(rule, &mut taken, catalog)
    })
}

fn read_rule(section: &mut Section<'_, '_>, taken: &mut Vec<String>, catalog: &Catalog) -> Option<Rule> {
    let name =
        section.required(key("name", "The rule's name, unique in the fleet.").example("\"hot\""), &NAME);
    if let Some(name) = &name {
        refuse_duplicate(section, taken, name);
    }
    let when = section.required(
        key("when", "A CEL expression over signals, true or false.").example("\"cpu.avg > 0.75\""),
        &text("cpu.avg > 0.75", "\\S", |text| {
            let fits = !text.trim().is_empty() && text.len() <= 4_096;
            fits.then(|| text.to_owned()).ok_or_else(|| {
                "is empty or longer than 4096 bytes: write a condition such as \"cpu.avg > 0.75\"".to_owned()
            })
        }),
    );
    let when = when.and_then(|when| compile(section, &when, catalog));
    let sustained = section.or(
        key("sustained", "True in at least so many of so many last observations: \"2 of 3\"."),
        &SUSTAINED,
        Sustained { hits: 1, of: 1 },
    );
    let action =
        section.table(key("action", "What the rule would like: exactly one of the keys."), read_action);
    let cooldown = section.optional(
        key(
            "cooldown",
            "How long after it fired it may fire again; without it the fleet's for its direction.",
        ),
        &span(Duration::ZERO, MONTH),
    );
    Some(Rule {
        name: name?.value,
        when: when?,
        sustained,
        action: action?,
        cooldown: cooldown.map(|cooldown| cooldown.value),
    })
}

pub(super) const NAME: Text<String> = text("hot", "^[A-Za-z0-9._-]{1,64}$", |text| {
    let fits = (1..=64).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    fits.then(|| text.to_owned())
        .ok_or_else(|| "is not a name: write 1 to 64 letters, digits and . _ -, such as \"hot\"".to_owned())
});

const SUSTAINED: Text<Sustained> = Text::shown(
    "2 of 3",
    "^\\s*[0-9]+\\s+of\\s+[0-9]+\\s*$",
    |text| {
        let words: Vec<&str> = text.split_whitespace().collect();
        let plain = words.iter().all(|word| !word.starts_with('+'));
        let numbers = match words.as_slice() {
            [hits, "of", of] if plain => hits.parse::<u32>().ok().zip(of.parse::<u32>().ok()),
            _ => None,
        };
        match numbers {
            None => Err(format!("{:?} is not understood: write it as \"2 of 3\"", excerpt(text))),
            Some((hits, of)) if hits < 1 || hits > of || of > MOST_OBSERVATIONS => Err(format!(
                "{text:?} cannot be met: write M of N with 1 ≤ M ≤ N ≤ {MOST_OBSERVATIONS}, such as \"2 of 3\""
            )),
            Some((hits, of)) => Ok(Sustained { hits, of }),
        }
    },
    |sustained| format!("{} of {}", sustained.hits, sustained.of),
);

fn read_action(section: &mut Section<'_, '_>) -> Option<RuleAction> {
    let add = section.optional(key("add", "So many hosts more."), &count(1, MOST_HOSTS));
    let remove = section.optional(key("remove", "So many hosts fewer."), &count(1, MOST_HOSTS));
    let add_percent =
        section.optional(key("add_percent", "So many percent more, rounded up."), &above(0.0, 10_000.0));
    let remove_percent =
        section.optional(key("remove_percent", "So many percent fewer, rounded down."), &above(0.0, 100.0));
    section.exactly_one(
        &["add", "remove", "add_percent", "remove_percent"],
        "write `action = { add = 2 }`, or `remove`, `add_percent` or `remove_percent` in its place",
    );
    let add = add.map(|hosts| RuleAction::Add(hosts.value));
    let remove = remove.map(|hosts| RuleAction::Remove(hosts.value));
    let add_percent = add_percent.map(|percent| RuleAction::AddPercent(percent.value));
    let remove_percent = remove_percent.map(|percent| RuleAction::RemovePercent(percent.value));
    add.or(remove).or(add_percent).or(remove_percent)
}

/// Compiles a condition; an error in it is reported at its own place inside the string where that can be told.
fn compile(section: &mut Section<'_, '_>, when: &At<String>, catalog: &Catalog) -> Option<Condition> {
    match Condition::parse(&when.value, catalog) {
        Ok(condition) => Some(condition),
        Err(error) => {
            let start =
                error.offset.map_or(when.start, |offset| inner_offset(section.source(), when, offset));
            section.wrong(start, "when", error.message);
            None
        }
    }
}

/// Where in the file a byte of a string's content stands: the beginning of the value, where escapes make the content
/// differ from what is written.
fn inner_offset(source: &str, text: &At<String>, offset: usize) -> usize {
    let written = source.get(text.start..text.end).unwrap_or_default();
    let fence =
        ["\"\"\"", "'''", "\"", "'"].into_iter().find(|fence| written.starts_with(fence)).map_or(0, str::len);
    let trimmed = written.get(fence..).unwrap_or_default();
    let newline = match trimmed {
        _ if fence < 3 => 0,
        content if content.starts_with("\r\n") => 2,
        content if content.starts_with('\n') => 1,
        _ => 0,
    };
    if trimmed.get(newline..).is_some_and(|content| content.starts_with(&text.value)) {
        text.start + fence + newline + offset.min(text.value.len())
    } else {
        text.start
    }
}

pub(super) fn read_targets(file: &mut Section<'_, '_>, catalog: &Catalog) -> Vec<Target> {
    let mut taken = Vec::new();
    file.each(
        key("target", "Keep a signal at a value: the size follows in proportion."),
        MOST_ENTRIES,
        |target| {
            let name = target.required(
                key("name", "The target's name, unique in the fleet.").example("\"cpu-60\""),
                &NAME,
            );
            if let Some(name) = &name {
                refuse_duplicate(target, &mut taken, name);
            }
            let signal = target.required(
                key("signal", "The signal, such as cpu.avg or a query's name.").example("\"cpu.avg\""),
                &text("cpu.avg", "^[A-Za-z0-9_.]+$", |text| Ok(text.to_owned())),
            );
            if let Some(signal) = &signal
                && let Err(problem) = catalog.check(&signal.value)
            {
                target.wrong(signal.start, "signal", problem);
            }
            let value =
                target.required(key("value", "The value to keep it at.").example("0.60"), &above(0.0, 1e15));
            let tolerance = target.or(
                key("tolerance", "How far above the value, relative to it, the signal may be before hosts are added."),
                &Fraction,
                0.10,
            );
            let shortfall = target.or(
                key(
                    "shortfall",
                    "Share of the load that may come before the hosts for it do; head-room is learned to keep it.",
                ),
                &Fraction,
                0.0005,
            );
            let forecast = target.table_if_there(
                key("forecast", "Follow load that is expected, too, once forecasts have proven themselves on the fleet's last days."),
                read_forecast,
            );
            let (name, signal, value) = (name?.value, signal?.value, value?.value);
            Some(Target { name, signal, value, tolerance, shortfall, forecast })
        },
    )
}

fn read_forecast(section: &mut Section<'_, '_>) -> Option<ForecastPolicy> {
    let hosts_max = section.required(
        key("hosts_max", "At most so many more hosts than the present load asks for.").example("3"),
        &count(1, MOST_HOSTS),
    );
    Some(ForecastPolicy { hosts_max: hosts_max?.value })
}

/// Whether any rule or target needs the hosts' pages.
pub(super) fn use_host_signals(rules: &[Rule], targets: &[Target], catalog: &Catalog) -> bool {
    let of_rules = rules.iter().flat_map(|rule| rule.when.signals());
    let of_targets = targets.iter().map(|target| target.signal.clone());
    of_rules
        .chain(of_targets)
        .any(|signal| signal.split('.').next().is_some_and(|head| catalog.host.contains(head)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_place_inside_a_string() {
        for (source, value, offset, place) in [
            ("when = \"cpu > 1\"", "cpu > 1", 4, ">"),
            ("when = 'a == \"b\"'", "a == \"b\"", 2, "=="),
            ("when = '''\ncpu\n> 1'''", "cpu\n> 1", 4, "> 1"),
            ("when = \"\"\"\r\ncpu > 1\"\"\"", "cpu > 1", 6, "1"),
            ("when = \"a \\u003e 1\"", "a > 1", 2, "\"a"),
        ] {
            let text = At { value: value.to_owned(), start: 7, end: source.len() };
            let found = inner_offset(source, &text, offset);
            assert!(source[found..].starts_with(place), "{source}: {:?}", &source[found..]);
        }
    }
}
