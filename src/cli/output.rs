//! What a command prints: tables for people, JSON with stable keys for programs; nothing else ever goes to stdout.

use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use serde::Serialize;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: stable keys.
    Json,
}

/// Something a command found out.
pub(crate) trait Report: Serialize {
    /// As a person reads it; without a newline at the end.
    fn table(&self) -> String;
}

/// Whoever read stdout is gone.
#[derive(Debug, thiserror::Error)]
#[error("stdout cannot be written")]
pub(crate) struct StdoutGone(#[source] io::Error);

/// Prints a report.
pub(crate) fn print(format: Format, report: &impl Report) -> anyhow::Result<()> {
    match format {
        Format::Table => line(&report.table()),
        Format::Json => line(&serde_json::to_string_pretty(report)?),
    }
}

/// Prints one line, or several.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(|error| StdoutGone(error).into())
}

/// Says something on stderr. That stderr may be closed changes nothing.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether a stream may be coloured: it is a terminal, and the reader has not asked for none (<https://no-color.org>).
pub(crate) fn colour(terminal: bool, no_color: Option<&str>) -> bool {
    terminal && no_color.is_none_or(str::is_empty)
}

/// Whether stderr may be coloured.
pub(crate) fn colour_on_stderr() -> bool {
    colour(io::stderr().is_terminal(), std::env::var("NO_COLOR").ok().as_deref())
}

/// Whether stdout may be coloured.
pub(crate) fn colour_on_stdout() -> bool {
    colour(io::stdout().is_terminal(), std::env::var("NO_COLOR").ok().as_deref())
}

/// A table without lines, the way `ps` and `kubectl` print them: easy to read, easy to cut.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_columns_and_nothing_else() {
        let text = table(["NAME", "SIZE"], [["web".to_owned(), "3".to_owned()]]);
        assert_eq!(text, "NAME  SIZE\nweb   3");
    }

    #[test]
    fn no_color_means_none_and_empty_means_nothing() {
        assert!(colour(true, None));
        assert!(colour(true, Some("")));
        assert!(!colour(true, Some("1")));
        assert!(!colour(false, None));
    }
}
