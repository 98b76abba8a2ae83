//! Text with colours that knows how wide it is, and breaks between words only.
//!
//! What is shown comes from files, people and clouds. A control character in it could rewrite what the reader sees, so
//! none gets through: the only escape sequences are those of the styles, and whether they are printed is decided at the
//! way out (see `output`). A colour never says what a word does not.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

/// Nothing.
pub(crate) const PLAIN: Style = Style::new();
/// Titles.
pub(crate) const BOLD: Style = Style::new().bold();
/// What one need not read.
pub(crate) const DIM: Style = Style::new().dimmed();
/// As it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// On its way.
pub(crate) const MOVING: Style = AnsiColor::Cyan.on_default();
/// To be looked at.
pub(crate) const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
/// Wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();

/// A line of text in pieces, each with its style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(Vec<(Style, String)>);

impl Text {
    /// In one style.
    pub(crate) fn styled(style: Style, text: impl AsRef<str>) -> Self {
        Self::default().and(style, text)
    }

    /// With another piece after it.
    #[must_use]
    pub(crate) fn and(mut self, style: Style, text: impl AsRef<str>) -> Self {
        let text = harmless(text.as_ref());
        if !text.is_empty() {
            self.0.push((style, text));
        }
        self
    }

    /// With another text after it.
    #[must_use]
    pub(crate) fn then(mut self, text: Self) -> Self {
        self.0.extend(text.0);
        self
    }

    /// How many columns it takes.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.width()).sum()
    }

    /// With its escape sequences.
    pub(crate) fn paint(&self) -> String {
        self.0.iter().fold(String::new(), |mut line, (style, text)| {
            // Writing to a `String` cannot fail.
            let _ = write!(line, "{style}{text}{style:#}");
            line
        })
    }

    /// How wide its widest word is.
    pub(crate) fn widest_word(&self) -> usize {
        self.words().iter().map(Self::width).max().unwrap_or(0)
    }

    /// In lines of at most so many columns, broken between words. A word that is wider stands alone, and whole.
    pub(crate) fn wrapped(&self, width: usize) -> Vec<Self> {
        if self.width() <= width {
            return vec![self.clone()];
        }
        let mut lines = Vec::new();
        let mut line = Self::default();
        for word in self.words() {
            if line.0.is_empty() {
                line = word;
            } else if line.width() + 1 + word.width() <= width {
                line = line.and(PLAIN, " ");
                line.0.extend(word.0);
            } else {
                lines.push(std::mem::replace(&mut line, word));
            }
        }
        lines.push(line);
        lines
    }

    /// Its words; one may change its style in its middle.
    fn words(&self) -> Vec<Self> {
        let mut words = vec![Self::default()];
        for (style, text) in &self.0 {
            for (index, part) in text.split(' ').enumerate() {
                if index > 0 {
                    words.push(Self::default());
                }
                if let (Some(word), false) = (words.last_mut(), part.is_empty()) {
                    word.0.push((*style, part.to_owned()));
                }
            }
        }
        words.retain(|word| !word.0.is_empty());
        words
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::styled(PLAIN, text)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::styled(PLAIN, text)
    }
}

/// On one line, and without anything that moves the cursor, changes a colour or turns the direction of writing.
fn harmless(text: &str) -> String {
    let safe = |character: char| match character {
        '\n' | '\r' | '\t' => ' ',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        control if control.is_control() => '\u{fffd}',
        usual => usual,
    };
    text.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(lines: &[Text]) -> Vec<String> {
        lines.iter().map(|line| anstream::adapter::strip_str(&line.paint()).to_string()).collect()
    }

    #[test]
    fn lines_break_between_words_and_keep_their_styles() {
        let text = Text::from("two hosts are ").and(BAD, "not healthy at all").and(PLAIN, ", look");
        assert_eq!(plain(&text.wrapped(12)), ["two hosts", "are not", "healthy at", "all, look"]);
        assert_eq!(text.wrapped(12)[2].paint(), "\u{1b}[31mhealthy\u{1b}[0m \u{1b}[31mat\u{1b}[0m");
        assert_eq!(plain(&text.wrapped(100)), ["two hosts are not healthy at all, look"]);
    }

    #[test]
    fn a_word_that_does_not_fit_is_left_whole() {
        let text = Text::from("the id i-0123456789abcdef0 here");
        assert_eq!(plain(&text.wrapped(10)), ["the id", "i-0123456789abcdef0", "here"]);
        assert_eq!(text.widest_word(), 19);
    }

    #[test]
    fn nothing_that_is_shown_controls_the_terminal() {
        let text = Text::from("a\u{1b}[2Jb\u{9b}c\nd\u{202e}e\u{7}");
        assert_eq!(text.paint(), "a\u{fffd}[2Jb\u{fffd}c d\u{fffd}e\u{fffd}");
    }

    #[test]
    fn wide_characters_count_for_two() {
        assert_eq!(Text::from("東京").width(), 4);
        assert_eq!(plain(&Text::from("東京 大阪").wrapped(5)), ["東京", "大阪"]);
    }
}
