//! How much room there is for what is printed.

use std::io::IsTerminal as _;

/// Nothing readable fits into less; a width that is smaller is a mistake of whoever says it.
const NARROWEST: usize = 20;
/// Nobody has a terminal that is wider.
const WIDEST: usize = 1_000;

/// How much room there is. A pipe or a file has as much as is needed: lines that programs cut are not broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    /// Columns; `None`: as many as there are.
    pub(crate) width: Option<usize>,
    /// Lines; `None`: as many as there are.
    pub(crate) height: Option<usize>,
}

impl Room {
    /// What stdout has: what `COLUMNS` says, or else what the terminal has.
    pub(crate) fn of_stdout() -> Self {
        let stdout = std::io::stdout();
        let terminal = if stdout.is_terminal() { terminal_size::terminal_size_of(&stdout) } else { None };
        let said = std::env::var("COLUMNS").ok();
        let width = terminal.map(|(width, _)| usize::from(width.0));
        let height = terminal.map(|(_, height)| usize::from(height.0)).filter(|height| *height > 0);
        Self { width: columns(said.as_deref()).or(width.filter(|width| *width > 0)), height }
    }

    /// The same, with so many columns fewer.
    pub(crate) fn indented(self, by: usize) -> Self {
        Self { width: self.width.map(|width| width.saturating_sub(by).max(NARROWEST)), ..self }
    }
}

fn columns(said: Option<&str>) -> Option<usize> {
    said?.trim().parse().ok().filter(|width| (NARROWEST..=WIDEST).contains(width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_width_that_makes_no_sense_is_not_taken() {
        let taken = ["80", " 60 ", "19", "0", "-1", "wide", "", "99999"].map(|said| columns(Some(said)));
        assert_eq!(taken, [Some(80), Some(60), None, None, None, None, None, None]);
        assert_eq!(columns(None), None);
    }
}
