//! What a command prints: tables for people, JSON with stable keys for programs; nothing else ever goes to stdout.
//!
//! Whoever lays out text puts its styles in; whether they are printed is decided here alone, by `--color`, `NO_COLOR`,
//! `CLICOLOR_FORCE` and whether there is a terminal. JSON has neither colours nor widths.

pub(crate) mod meaning;
pub(crate) mod room;
pub(crate) mod table;
pub(crate) mod text;

use std::io::{self, IsTerminal as _, Write as _};

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use serde::Serialize;

use crate::cli::output::room::Room;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: stable keys.
    Json,
}

/// When colours are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set; with CLICOLOR_FORCE everywhere
    #[default]
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

impl Colour {
    /// From now on, for everything that this process prints.
    pub(crate) fn hold(self) {
        let choice = match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        };
        choice.write_global();
    }
}

/// Something a command found out.
pub(crate) trait Report: Serialize {
    /// As a person reads it, where there is so much room; without a newline at the end.
    fn table(&self, room: Room) -> String;
}

/// Whoever read stdout is gone.
#[derive(Debug, thiserror::Error)]
#[error("stdout cannot be written")]
pub(crate) struct StdoutGone(#[source] io::Error);

/// Prints a report.
pub(crate) fn print(format: Format, report: &impl Report) -> anyhow::Result<()> {
    match format {
        Format::Table => line(&shown(&report.table(Room::of_stdout()))),
        Format::Json => line(&serde_json::to_string_pretty(report)?),
    }
}

/// Text with styles as stdout is to get it.
pub(crate) fn shown(text: &str) -> String {
    match AutoStream::choice(&io::stdout()) {
        ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
        ColorChoice::Auto | ColorChoice::AlwaysAnsi | ColorChoice::Always => text.to_owned(),
    }
}

/// Prints one line, or several, as they stand.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    raw(&format!("{text}\n"))
}

/// Prints, and adds nothing.
pub(crate) fn raw(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| StdoutGone(error).into())
}

/// Says something on stderr, with its styles where they are wanted there. That stderr may be closed changes nothing.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(AutoStream::auto(io::stderr().lock()), "{text}");
}

/// Whether stderr is to be coloured.
pub(crate) fn colour_on_stderr() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// Whether stdout is a terminal on which the cursor can be moved.
pub(crate) fn can_be_redrawn() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|name| name != "dumb")
}
