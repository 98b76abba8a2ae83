//! Files that are not TOML: the parser's complaint, with the key it is about and the mistake that most often causes it.

use toml::Spanned;
use toml::de::{DeTable, Error};

use crate::config::duration;
use crate::config::report::Report;

/// Parses a file. `None`: it is not TOML, and the report says where.
///
/// The parser goes on after a mistake, but what it makes of the rest is guesswork; only its complaints are used then.
pub(super) fn parse<'t>(report: &mut Report<'t>) -> Option<Spanned<DeTable<'t>>> {
    let (document, errors) = DeTable::parse_recoverable(report.text());
    if errors.is_empty() {
        return Some(document);
    }
    let mut last = None;
    for error in errors {
        // A file of mistakes alone has one on each line, and to place each of them takes a look at all that is above.
        if report.is_full() {
            break;
        }
        let offset = error.span().map_or(0, |span| span.start);
        // What follows on a line is the first mistake's echo.
        if last.is_none_or(|last| starts_a_line_between(report.text(), last, offset)) {
            let (key, message) =
                (enclosing_key(report.text(), offset), explain(report.text(), offset, &error));
            report.wrong(offset, key, message);
        }
        last = Some(offset);
    }
    None
}

/// Whether two places are on different lines.
fn starts_a_line_between(text: &str, one: usize, other: usize) -> bool {
    let (from, to) = (one.min(other), one.max(other));
    text.as_bytes().get(from..to.min(text.len())).is_some_and(|between| between.contains(&b'\n'))
}

/// What is wrong. Never the line itself: it may hold a password.
fn explain(text: &str, offset: usize, error: &Error) -> String {
    let message = error.message();
    if message.starts_with("duplicate key") {
        return "is there twice: keep one of them".to_owned();
    }
    match unquoted_value(line_of(text, offset)) {
        Some(value) if duration::parse(value).is_ok() => {
            format!("is not valid TOML: a duration goes in quotes: write \"{value}\"")
        }
        Some(_) => "is not valid TOML: text goes in quotes, such as \"web\"".to_owned(),
        None => format!("is not valid TOML: {message}"),
    }
}

/// The value of a `key = value` line, where it looks like text that was meant to be in quotes.
fn unquoted_value(line: &str) -> Option<&str> {
    let (_, value) = line.split_once('=')?;
    let value = value.split('#').next().unwrap_or_default().trim();
    let wordlike = |c: char| c.is_ascii_alphanumeric() || "-_./:$".contains(c);
    let plain = !value.is_empty() && value.chars().all(wordlike) && value.chars().any(char::is_alphabetic);
    (plain && !["true", "false", "inf", "nan"].contains(&value)).then_some(value)
}

/// The dotted key that a place belongs to, found from the text alone: the last table header above it, and the key on
/// its own line.
fn enclosing_key(text: &str, offset: usize) -> String {
    let line = line_of(text, offset);
    let own_key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| is_bare(key));
    let line_end = line.as_ptr().addr() - text.as_ptr().addr() + line.len();
    let above = &text[..line_end];
    let table = above.lines().rev().find_map(header).map(|(name, repeated)| {
        let same = above.lines().filter_map(header).filter(|(other, _)| *other == name).count();
        if repeated { format!("{name}[{}]", same - 1) } else { name.to_owned() }
    });
    match (table, own_key) {
        (Some(table), Some(key)) => format!("{table}.{key}"),
        (Some(table), None) => table,
        (None, Some(key)) => key.to_owned(),
        (None, None) => "file".to_owned(),
    }
}

/// The name in a `[table]` or `[[table]]` line, and whether it is of the second kind.
fn header(line: &str) -> Option<(&str, bool)> {
    let inner = line.trim().strip_prefix('[')?;
    let (inner, repeated) = inner.strip_prefix('[').map_or((inner, false), |inner| (inner, true));
    let name = inner.split(']').next()?.trim();
    is_bare(name).then_some((name, repeated))
}

fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.len() <= 100 && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// The line that a byte offset is on.
fn line_of(text: &str, offset: usize) -> &str {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    text[start..end].trim_end_matches('\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors_of(text: &str) -> Vec<String> {
        let mut report = Report::new("f.toml", text);
        assert!(parse(&mut report).is_none(), "{text:?} is not TOML");
        report.into_errors().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_the_key_and_the_likely_cause() {
        assert_eq!(
            errors_of("name = \"web\"\ninterval = 10s\n"),
            ["f.toml:2:12: interval: is not valid TOML: a duration goes in quotes: write \"10s\""]
        );
        assert_eq!(
            errors_of("[[rule]]\nname = \"a\"\n[[rule]]\nname = hot\n"),
            ["f.toml:4:8: rule[1].name: is not valid TOML: text goes in quotes, such as \"web\""]
        );
        assert_eq!(
            errors_of("[size]\nmin = 1\nmin = 2\n"),
            ["f.toml:3:1: size.min: is there twice: keep one of them"]
        );
        assert_eq!(
            errors_of("[size]\nmin = 1\n[launch]\n[size]\n"),
            ["f.toml:4:2: size: is there twice: keep one of them"]
        );
    }

    #[test]
    fn never_shows_the_line() {
        for text in
            ["[database]\nurl = \"postgres://u:hunter2@h/d\n", "[database]\nurl = postgres://u:hunter2@h/d\n"]
        {
            for error in errors_of(text) {
                assert!(!error.contains("hunter2"), "{error}");
            }
        }
    }
}
