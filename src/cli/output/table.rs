//! Tables without lines, the way `ps` and `kubectl` print them: easy to read, easy to cut.
//!
//! The last column holds sentences and the others hold words and numbers. Where there is not room for all, those that
//! one can do without are left out, and it is said which; then the sentences are broken between words; and where not
//! even that is readable, each sentence goes below its row. A crate that lays out tables breaks what does not fit, and
//! cannot leave out.

use anstyle::Style;

use crate::cli::output::room::Room;
use crate::cli::output::text::{BOLD, DIM, PLAIN, Text};

/// Between two columns.
const GAP: usize = 2;
/// Sentences in a column that is narrower are hard to read.
const READABLE: usize = 30;
/// How far a sentence below its row is set in.
const INDENT: usize = 2;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    numbers: bool,
    spare: Option<u8>,
}

impl Column {
    /// Of words.
    pub(crate) const fn new(title: &'static str) -> Self {
        Self { title, numbers: false, spare: None }
    }

    /// Of numbers: their digits stand below each other.
    pub(crate) const fn numbers(title: &'static str) -> Self {
        Self { numbers: true, ..Self::new(title) }
    }

    /// One that can be left out where room is short; the lowest first.
    pub(crate) const fn spare(self, order: u8) -> Self {
        Self { spare: Some(order), ..self }
    }
}

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Text>>,
}

impl Table {
    /// With these columns, of which the last holds sentences.
    pub(crate) fn new<const N: usize>(
        columns: [Column; N],
        rows: impl IntoIterator<Item = [Text; N]>,
    ) -> Self {
        Self { columns: columns.to_vec(), rows: rows.into_iter().map(Vec::from).collect() }
    }

    /// Lays it out, without a newline at the end.
    pub(crate) fn paint(mut self, room: Room) -> String {
        let Some(width) = room.width else { return self.lines(Sentences::Beside(usize::MAX)).join("\n") };
        let mut left_out = Vec::new();
        loop {
            let beside = width.saturating_sub(self.width_of_words());
            if self.widths().last().is_none_or(|natural| *natural <= beside) || self.is_readable(beside) {
                return self.with_note(Sentences::Beside(beside), &left_out, room);
            }
            match self.first_spare() {
                Some(index) => left_out.push(self.leave_out(index)),
                None => return self.with_note(Sentences::Below(width), &left_out, room),
            }
        }
    }

    fn with_note(&self, sentences: Sentences, left_out: &[&str], room: Room) -> String {
        let mut lines = self.lines(sentences);
        if !left_out.is_empty() {
            lines.push(sentence(&format!("(no room for {})", left_out.join(", ")), DIM, room));
        }
        lines.join("\n")
    }

    fn is_readable(&self, width: usize) -> bool {
        let widest = self.rows.iter().filter_map(|row| row.last()).map(Text::widest_word).max();
        width >= READABLE.max(widest.unwrap_or(0))
    }

    /// Every column's natural width.
    fn widths(&self) -> Vec<usize> {
        let of = |(index, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.get(index)).map(Text::width);
            cells.chain([Text::from(column.title).width()]).max().unwrap_or(0)
        };
        self.columns.iter().enumerate().map(of).collect()
    }

    /// What all columns but the last take, with the gaps behind them.
    fn width_of_words(&self) -> usize {
        let widths = self.widths();
        widths.iter().take(widths.len().saturating_sub(1)).map(|width| width + GAP).sum()
    }

    fn first_spare(&self) -> Option<usize> {
        let spare = self.columns.iter().enumerate();
        let spare = spare.filter_map(|(index, column)| column.spare.map(|order| (order, index)));
        spare.min().map(|(_, index)| index)
    }

    fn leave_out(&mut self, index: usize) -> &'static str {
        for row in &mut self.rows {
            row.remove(index);
        }
        self.columns.remove(index).title
    }

    fn lines(&self, sentences: Sentences) -> Vec<String> {
        let widths = self.widths();
        let header = self.columns.iter().map(|column| Text::styled(BOLD, column.title)).collect::<Vec<_>>();
        let rows = std::iter::once(&header).chain(&self.rows);
        rows.flat_map(|row| self.row(row, &widths, sentences)).collect()
    }

    fn row(&self, cells: &[Text], widths: &[usize], sentences: Sentences) -> Vec<String> {
        let Some((sentence, words)) = cells.split_last() else { return Vec::new() };
        let mut line = String::new();
        for ((cell, column), width) in words.iter().zip(&self.columns).zip(widths) {
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            let (before, after) =
                if column.numbers { (padding, String::new()) } else { (String::new(), padding) };
            line.push_str(&before);
            line.push_str(&cell.paint());
            line.push_str(&after);
            line.push_str(&" ".repeat(GAP));
        }
        let (set_in, width) = match sentences {
            Sentences::Beside(width) => (self.width_of_words(), width),
            Sentences::Below(width) => (INDENT, width.saturating_sub(INDENT)),
        };
        let wrapped = sentence.wrapped(width);
        let mut below = wrapped.iter().map(|part| format!("{}{}", " ".repeat(set_in), part.paint()));
        let mut lines = match sentences {
            Sentences::Below(_) => vec![line],
            Sentences::Beside(_) => {
                below.next();
                vec![line + &wrapped.first().map(Text::paint).unwrap_or_default()]
            }
        };
        lines.extend(below);
        lines.iter().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
    }
}

/// Where the sentences of the last column go.
#[derive(Clone, Copy, Debug)]
enum Sentences {
    /// Beside the words, in so many columns.
    Beside(usize),
    /// Below them, in a table that is so wide.
    Below(usize),
}

/// A label and what is said under it, which goes on below itself where it is too long for one line.
pub(crate) fn labelled(label: &str, label_width: usize, style: Style, text: &Text, room: Room) -> String {
    let label = format!("{label:label_width$}");
    let set_in = label_width + 1;
    let width = room.width.map_or(usize::MAX, |width| width.saturating_sub(set_in));
    let mut lines = text.wrapped(width).into_iter().map(|line| line.paint());
    let first = lines.next().unwrap_or_default();
    let first = format!("{} {first}", Text::styled(style, label).paint());
    let rest = lines.map(|line| format!("{}{line}", " ".repeat(set_in)));
    std::iter::once(first.trim_end().to_owned()).chain(rest).collect::<Vec<_>>().join("\n")
}

/// Every line of a text set in by so much.
pub(crate) fn set_in(text: &str, by: usize) -> String {
    let margin = " ".repeat(by);
    text.lines().map(|line| format!("{margin}{line}")).collect::<Vec<_>>().join("\n")
}

/// A sentence, broken between words.
pub(crate) fn sentence(text: &str, style: Style, room: Room) -> String {
    let lines = Text::styled(style, text).wrapped(room.width.unwrap_or(usize::MAX));
    lines.iter().map(Text::paint).collect::<Vec<_>>().join("\n")
}

/// A number for a cell.
pub(crate) fn number(value: impl std::fmt::Display) -> Text {
    Text::styled(PLAIN, format!("{value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHY: &str = "Scale out 3 to 4: cpu.avg 0.66 over 3 hosts, 0.60 wanted";

    fn table() -> Table {
        let columns = [
            Column::new("AT").spare(2),
            Column::new("FLEET").spare(1),
            Column::numbers("TIMES"),
            Column::new("WHY"),
        ];
        let row = |at: &str, times: u32, why: &str| [at.into(), "web".into(), number(times), why.into()];
        Table::new(
            columns,
            [row("2026-11-27 05:06:00Z", 7, WHY), row("2026-11-27 05:05:01Z", 112, "Hold at 3")],
        )
    }

    fn at(width: usize) -> String {
        let painted = table().paint(Room { width: Some(width), height: None });
        anstream::adapter::strip_str(&painted).to_string()
    }

    #[test]
    fn a_table_is_columns_and_nothing_else() {
        let painted = table().paint(Room::default());
        assert!(painted.starts_with("\u{1b}[1mAT\u{1b}[0m "), "{painted:?}");
        let text = anstream::adapter::strip_str(&painted).to_string();
        assert_eq!(
            text,
            format!(
                "AT                    FLEET  TIMES  WHY\n\
                 2026-11-27 05:06:00Z  web        7  {WHY}\n\
                 2026-11-27 05:05:01Z  web      112  Hold at 3"
            )
        );
    }

    #[test]
    fn where_room_is_short_sentences_break_and_columns_are_left_out() {
        assert_eq!(
            at(68),
            "AT                    FLEET  TIMES  WHY\n\
             2026-11-27 05:06:00Z  web        7  Scale out 3 to 4: cpu.avg 0.66\n\
             \x20                                   over 3 hosts, 0.60 wanted\n\
             2026-11-27 05:05:01Z  web      112  Hold at 3"
        );
        assert_eq!(
            at(60),
            "AT                    TIMES  WHY\n\
             2026-11-27 05:06:00Z      7  Scale out 3 to 4: cpu.avg 0.66\n\
             \x20                            over 3 hosts, 0.60 wanted\n\
             2026-11-27 05:05:01Z    112  Hold at 3\n\
             (no room for FLEET)"
        );
        assert_eq!(
            at(24),
            "TIMES\n\
             \x20 WHY\n\
             \x20   7\n\
             \x20 Scale out 3 to 4:\n\
             \x20 cpu.avg 0.66 over 3\n\
             \x20 hosts, 0.60 wanted\n\
             \x20 112\n\
             \x20 Hold at 3\n\
             (no room for FLEET, AT)"
        );
    }

    #[test]
    fn no_width_breaks_a_word_or_passes_the_edge() {
        let words: Vec<&str> = WHY.split(' ').collect();
        for width in 20..=120 {
            let text = at(width);
            assert!(text.lines().all(|line| line.len() <= width), "{width}:\n{text}");
            let broken = words.iter().find(|word| !text.split_whitespace().any(|part| part == **word));
            assert_eq!(broken, None, "{width}:\n{text}");
        }
    }

    #[test]
    fn what_is_said_under_a_label_goes_on_below_itself() {
        let room = Room { width: Some(24), height: None };
        let text = labelled("paused", 8, DIM, &Text::from("scale-in for 2h more, by ada"), room);
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(text, "paused   scale-in for 2h\n         more, by ada");
    }
}
