//! Where errors are collected: nothing stops at the first.

use crate::config::ConfigError;

/// Most errors of one file that are told. More are one mistake seen many times.
const MOST_ERRORS: usize = 50;

/// What the readers run for: the same readers check files and describe them, so the schema cannot drift from what is
/// accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To check a file.
    Check,
    /// To describe what a file may hold.
    Describe,
}

/// The errors of one file, and the text that their places are counted in.
#[derive(Debug)]
pub(super) struct Report<'t> {
    file: &'t str,
    text: &'t str,
    purpose: Purpose,
    errors: Vec<ConfigError>,
}

impl<'t> Report<'t> {
    /// An empty report on a file.
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, purpose: Purpose::Check, errors: Vec::new() }
    }

    /// A report on no file: what it collects is of no interest.
    pub(super) fn describing() -> Self {
        Self { file: "", text: "", purpose: Purpose::Describe, errors: Vec::new() }
    }

    /// What the readers run for.
    pub(super) fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The text of the file.
    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// Whether more errors would not be told.
    pub(super) fn is_full(&self) -> bool {
        self.errors.len() > MOST_ERRORS
    }

    /// Records an error at a byte offset.
    pub(super) fn wrong(&mut self, offset: usize, key: impl Into<String>, message: impl Into<String>) {
        if self.is_full() {
            return;
        }
        let (line, column) = place(self.text, offset);
        let (key, message) = if self.errors.len() == MOST_ERRORS {
            ("…".to_owned(), "more is wrong with this file: mend the above first".to_owned())
        } else {
            (one_line(key.into()), one_line(message.into()))
        };
        self.errors.push(ConfigError { file: self.file.to_owned(), line, column, key, message });
    }

    /// Everything that was recorded, in the order of lines.
    pub(super) fn into_errors(mut self) -> Vec<ConfigError> {
        // The remark that closes a list cut short stays last, wherever in the file the cut came.
        let sortable = self.errors.len().min(MOST_ERRORS);
        self.errors[..sortable].sort_by(|a, b| {
            (a.line, a.column, &a.key, &a.message).cmp(&(b.line, b.column, &b.key, &b.message))
        });
        self.errors
    }
}

/// What other parsers say of a text may quote it, line feeds and escapes included; an error is one line all the same.
fn one_line(said: String) -> String {
    if said.contains(char::is_control) { said.replace(char::is_control, "\u{fffd}") } else { said }
}

/// The beginning of an operator's own text, fit to stand in one line of an error.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 64;
    let shown = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    if text.chars().count() <= LONGEST {
        shown.collect()
    } else {
        shown.take(LONGEST).chain(['…']).collect()
    }
}

/// The line and column of a byte offset, both from 1, columns in characters.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_and_columns_in_characters_from_one() {
        let text = "a = 1\nü = \"é\" x\n";
        assert_eq!(place(text, 0), (1, 1));
        assert_eq!(place(text, 6), (2, 1));
        assert_eq!(place(text, text.find('x').expect("there")), (2, 9));
        assert_eq!(place(text, 7), (2, 1), "inside a character is at its start");
        assert_eq!(place(text, 1000), (3, 1), "past the end is at the end");
    }

    #[test]
    fn an_error_is_one_line_whatever_it_quotes() {
        let mut report = Report::new("f.toml", "");
        report.wrong(0, "when", "not a token: '\"\n\u{1b}[31m'");
        let told = report.into_errors()[0].to_string();
        assert_eq!(told, "f.toml:1:1: when: not a token: '\"\u{fffd}\u{fffd}[31m'");
    }

    #[test]
    fn tells_a_bounded_number_of_errors_in_order_of_lines() {
        let text = "\n".repeat(200);
        let mut report = Report::new("f.toml", &text);
        for offset in (0..200).rev() {
            report.wrong(offset, format!("k{offset}"), "wrong");
        }
        let errors = report.into_errors();
        assert_eq!(errors.len(), MOST_ERRORS + 1);
        assert!(errors[..MOST_ERRORS].is_sorted_by_key(|error| error.line));
        assert!(errors[MOST_ERRORS].message.contains("more is wrong"));
    }
}
