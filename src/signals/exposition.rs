//! Prometheus text exposition: one pass, only the families asked for.
//!
//! A page that is wrong anywhere is worth nothing: half of it may come from a process that was dying while it wrote, and
//! a parser that skips what it does not understand turns that into numbers. So every line is checked, also of families
//! nobody asked for, and the first line that is not right makes the whole page invalid, with its number and the reason.
//! What is asked for is handed out as slices of the page; nothing else is kept, so a page of a thousand series costs no
//! allocation. Lines, their length and their labels are capped: a page is input from a stranger.
//!
//! This is the text format 0.0.4, the one that is asked for. Of OpenMetrics it takes `# EOF` and `# UNIT`, which are
//! comments here; exemplars and quoted (UTF-8) names, which nobody sends who was not asked to, are refused by name.

mod labels;

pub use labels::{LABELS_MAX, Label, Labels};

/// Bytes of one line at most. node_exporter's longest are a few hundred.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Lines of one page at most. node_exporter has about a thousand.
pub const LINES_MAX: usize = 200_000;
/// Characters of the page that an error quotes.
const EXCERPT_CHARS: usize = 40;

/// Why a page is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ExpositionError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: Malformed,
}

/// What is wrong with a line, and what would be right. Quoted text is cut and escaped: it is a stranger's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// The line is longer than [`LINE_BYTES_MAX`].
    #[error("longer than {LINE_BYTES_MAX} bytes")]
    LineTooLong,
    /// The page has more than [`LINES_MAX`] lines.
    #[error("a page has at most {LINES_MAX} lines")]
    TooManyLines,
    /// A series has more than [`LABELS_MAX`] labels.
    #[error("a series has at most {LABELS_MAX} labels")]
    TooManyLabels,
    /// The line does not begin with a metric name.
    #[error("expected a metric name, then labels in braces or a blank and a value; found `{0}`")]
    Name(String),
    /// The metric's name is quoted, which only newer formats have.
    #[error("a quoted metric name: the text format 0.0.4 was asked for, which has none")]
    QuotedName,
    /// Inside the braces something is not `name="value"`.
    #[error("expected `name=\"value\"` in the braces; found `{0}`")]
    Label(String),
    /// A label's value or the braces are not closed.
    #[error("the braces or a label's quotes are not closed")]
    Unclosed,
    /// A backslash before something else than a backslash, a quote or an `n`.
    #[error("in a label's value a backslash stands before `\\`, `\"` or `n` only")]
    Escape,
    /// A label occurs twice.
    #[error("the label `{0}` occurs twice in one series")]
    LabelTwice(String),
    /// The value is not a number.
    #[error("expected a number as the value; found `{0}`")]
    Value(String),
    /// The timestamp is not a whole number.
    #[error("expected whole milliseconds as the timestamp; found `{0}`")]
    Timestamp(String),
    /// An exemplar, which only OpenMetrics has.
    #[error("an exemplar: the text format 0.0.4 was asked for, which has none")]
    Exemplar,
    /// Something follows the timestamp.
    #[error("expected the end of the line; found `{0}`")]
    Trailing(String),
    /// A `# TYPE` or `# HELP` without a metric name, or with a type that does not exist.
    #[error(
        "expected `# HELP name text` or `# TYPE name counter|gauge|histogram|summary|untyped`; found `{0}`"
    )]
    Comment(String),
}

/// One sample of a family that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'p> {
    /// The metric's name.
    pub name: &'p str,
    /// Its labels.
    pub labels: Labels<'p>,
    /// Its value; may be NaN or infinite, which is well-formed.
    pub value: f64,
    /// Milliseconds since 1970 by the page's own clock, where it names them.
    pub timestamp: Option<i64>,
    /// The line, from 1.
    pub line: usize,
}

/// What was seen of a page that is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Samples of all families.
    pub samples: usize,
    /// Whether the page ends with a line feed, as the format has it. One that does not may have been cut off.
    pub ends_with_line_feed: bool,
}

/// The families asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted(Vec<String>);

impl Wanted {
    /// The families of these names; a name that is given twice counts once.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let mut names: Vec<String> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        Self(names)
    }

    /// The names, in the order of their indices.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.0.binary_search_by(|wanted| wanted.as_str().cmp(name)).ok()
    }
}

/// Reads a page once and hands every sample of the wanted families to `visit`, with the index of its family.
///
/// What was visited is only worth something when the whole call succeeds.
pub fn scan<'p>(
    page: &'p [u8],
    wanted: &Wanted,
    mut visit: impl FnMut(usize, Sample<'p>),
) -> Result<Summary, ExpositionError> {
    let text = std::str::from_utf8(page).map_err(|error| ExpositionError {
        line: page[..error.valid_up_to()].split(|byte| *byte == b'\n').count(),
        what: Malformed::NotUtf8,
    })?;
    let mut scanner = Scanner { wanted, last: ("", None), label_names: Vec::new() };
    let mut samples = 0;
    for (index, line) in text.split('\n').enumerate() {
        let number = index + 1;
        let at = |what| ExpositionError { line: number, what };
        // The empty piece after the last line feed is no line.
        if number > LINES_MAX + 1 || (number > LINES_MAX && !line.is_empty()) {
            return Err(at(Malformed::TooManyLines));
        }
        if line.len() > LINE_BYTES_MAX {
            return Err(at(Malformed::LineTooLong));
        }
        let line = trim(line.strip_suffix('\r').unwrap_or(line));
        if line.is_empty() {
            continue;
        }
        if let Some(comment) = line.strip_prefix('#') {
            check_comment(comment).map_err(at)?;
            continue;
        }
        samples += 1;
        if let Some((family, sample)) = scanner.sample(line, number).map_err(at)? {
            visit(family, sample);
        }
    }
    Ok(Summary { samples, ends_with_line_feed: text.is_empty() || text.ends_with('\n') })
}

struct Scanner<'w, 'p> {
    wanted: &'w Wanted,
    /// The last line's name and whether it is wanted: a family's lines stand together.
    last: (&'p str, Option<usize>),
    /// Room for the label names of one line, kept between lines.
    label_names: Vec<&'p str>,
}

impl<'p> Scanner<'_, 'p> {
    /// Checks one line; gives it out if its family is wanted.
    fn sample(&mut self, line: &'p str, number: usize) -> Result<Option<(usize, Sample<'p>)>, Malformed> {
        let (name, rest) = split_name(line)?;
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(inside) => labels::split(inside, &mut self.label_names)?,
            None => (Labels::default(), rest),
        };
        let (value, rest) = split_token(trim_start(rest));
        let value = value.parse::<f64>().map_err(|_| Malformed::Value(excerpt(value)))?;
        let (timestamp, rest) = split_timestamp(trim_start(rest))?;
        match trim_start(rest) {
            "" => {}
            rest if rest.starts_with('#') => return Err(Malformed::Exemplar),
            rest => return Err(Malformed::Trailing(excerpt(rest))),
        }
        if self.last.0 != name {
            self.last = (name, self.wanted.index(name));
        }
        Ok(self.last.1.map(|family| (family, Sample { name, labels, value, timestamp, line: number })))
    }
}

/// Splits the metric's name off; what follows it begins with `{` or a blank.
fn split_name(line: &str) -> Result<(&str, &str), Malformed> {
    if line.starts_with('{') {
        return Err(Malformed::QuotedName);
    }
    let (name, rest) = take_name(line, is_metric_name_byte);
    let fits = rest.starts_with(['{', ' ', '\t']);
    if name.is_empty() || !fits {
        return Err(Malformed::Name(excerpt(line)));
    }
    Ok((name, trim_start(rest)))
}

fn split_timestamp(text: &str) -> Result<(Option<i64>, &str), Malformed> {
    if text.is_empty() || text.starts_with('#') {
        return Ok((None, text));
    }
    let (token, rest) = split_token(text);
    let stamp = token.parse::<i64>().map_err(|_| Malformed::Timestamp(excerpt(token)))?;
    Ok((Some(stamp), rest))
}

/// `# HELP` and `# TYPE` have a form; every other comment is free.
fn check_comment(text: &str) -> Result<(), Malformed> {
    let (keyword, rest) = split_token(trim_start(text));
    if keyword != "HELP" && keyword != "TYPE" {
        return Ok(());
    }
    let (word, rest) = split_token(trim_start(rest));
    let (name, beyond) = take_name(word, is_metric_name_byte);
    let named = !name.is_empty() && beyond.is_empty();
    let typed = keyword == "HELP" || is_type(trim(rest));
    if named && typed { Ok(()) } else { Err(Malformed::Comment(excerpt(text))) }
}

fn is_type(word: &str) -> bool {
    matches!(
        word,
        "counter"
            | "gauge"
            | "histogram"
            | "summary"
            | "untyped"
            | "unknown"
            | "info"
            | "stateset"
            | "gaugehistogram"
    )
}

fn is_metric_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

/// Splits off the longest name of such bytes; a name does not begin with a digit.
fn take_name(text: &str, allowed: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|byte| !allowed(byte)).unwrap_or(text.len());
    if text.starts_with(|first: char| first.is_ascii_digit()) { ("", text) } else { text.split_at(end) }
}

fn split_token(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(is_blank).unwrap_or(text.len()))
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The beginning of a stranger's text, harmless to print.
fn excerpt(text: &str) -> String {
    let mut out = String::new();
    for char in text.chars().take(EXCERPT_CHARS) {
        // Quotes and backslashes are what the reader looks for; everything else that does not print is shown as a code.
        if matches!(char, '"' | '\'' | '\\') { out.push(char) } else { out.extend(char.escape_debug()) }
    }
    if text.chars().nth(EXCERPT_CHARS).is_some() {
        out.push('…');
    }
    out
}
