//! The labels of a series, as they stand on the page.
//!
//! They are checked when their line is read and decoded only when somebody looks: almost nobody does.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Malformed, excerpt, take_name, trim_start};

/// Labels of one series at most.
pub const LABELS_MAX: usize = 64;

/// The labels of one series: a checked slice of the page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Labels<'p>(&'p str);

/// One label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label<'p> {
    /// Its name.
    pub name: &'p str,
    /// Its value, escapes resolved.
    pub value: Cow<'p, str>,
}

impl<'p> Labels<'p> {
    /// All of them, in the order of the page.
    pub fn iter(self) -> impl Iterator<Item = Label<'p>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (raw, beyond) = next(rest).ok()?.0?;
            rest = beyond;
            Some(Label { name: raw.name, value: unescape(raw.value) })
        })
    }

    /// The value of one.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Cow<'p, str>> {
        self.iter().find(|label| label.name == name).map(|label| label.value)
    }

    /// A number that two series of one family share only if their labels are the same, in whatever order these stand.
    #[must_use]
    pub fn identity(self) -> u64 {
        self.iter().fold(0, |sum, label| {
            let mut hasher = DefaultHasher::new();
            (label.name, label.value.as_ref()).hash(&mut hasher);
            sum.wrapping_add(hasher.finish())
        })
    }
}

struct RawLabel<'p> {
    name: &'p str,
    value: &'p str,
}

/// What stands next inside the braces: a label and what follows it, or the closing brace and what follows that.
type Next<'p> = (Option<(RawLabel<'p>, &'p str)>, &'p str);

/// Checks the labels after an opening brace. Gives them and what follows the closing one. `names` is room to work in.
pub(super) fn split<'p>(
    inside: &'p str,
    names: &mut Vec<&'p str>,
) -> Result<(Labels<'p>, &'p str), Malformed> {
    names.clear();
    let mut rest = inside;
    loop {
        let (found, beyond) = next(rest)?;
        let Some((label, after_label)) = found else {
            return Ok((Labels(&inside[..inside.len() - beyond.len()]), beyond));
        };
        if names.len() == LABELS_MAX {
            return Err(Malformed::TooManyLabels);
        }
        if names.contains(&label.name) {
            return Err(Malformed::LabelTwice(excerpt(label.name)));
        }
        names.push(label.name);
        rest = after_label;
    }
}

fn next(text: &str) -> Result<Next<'_>, Malformed> {
    let text = trim_start(text);
    if text.is_empty() {
        return Err(Malformed::Unclosed);
    }
    if let Some(beyond) = text.strip_prefix('}') {
        return Ok((None, beyond));
    }
    let wrong = || Malformed::Label(excerpt(text));
    let (name, rest) = take_name(text, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let quoted = trim_start(rest).strip_prefix('=').and_then(|rest| trim_start(rest).strip_prefix('"'));
    let (false, Some(quoted)) = (name.is_empty(), quoted) else {
        return Err(wrong());
    };
    let end = closing_quote(quoted)?;
    let (value, rest) = (&quoted[..end], trim_start(&quoted[end + 1..]));
    let rest = match rest.as_bytes().first() {
        Some(b',') => &rest[1..],
        Some(b'}') => rest,
        Some(_) => return Err(wrong()),
        None => return Err(Malformed::Unclosed),
    };
    Ok((Some((RawLabel { name, value }, rest)), rest))
}

/// Where the quote is that closes a value.
fn closing_quote(text: &str) -> Result<usize, Malformed> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return Ok(at),
            b'\\' => match bytes.get(at + 1) {
                Some(b'\\' | b'"' | b'n') => at += 2,
                Some(_) => return Err(Malformed::Escape),
                None => return Err(Malformed::Unclosed),
            },
            _ => at += 1,
        }
    }
    Err(Malformed::Unclosed)
}

fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(char) = chars.next() {
        out.push(match char {
            '\\' => chars.next().map_or('\\', |escaped| if escaped == 'n' { '\n' } else { escaped }),
            plain => plain,
        });
    }
    Cow::Owned(out)
}
