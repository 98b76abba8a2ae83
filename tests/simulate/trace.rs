//! What happened, for people (the last lines) and for comparison (a hash of every line).

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher as _};
use std::time::Duration;

/// So many lines are kept to be read.
const KEPT: usize = 80;

/// The story of one seed.
pub(crate) struct Trace {
    lines: VecDeque<String>,
    hasher: DefaultHasher,
    /// Every line as it comes, for whoever replays one seed.
    pub(crate) aloud: bool,
}

impl Trace {
    pub(crate) fn new(aloud: bool) -> Self {
        Self { lines: VecDeque::with_capacity(KEPT), hasher: DefaultHasher::new(), aloud }
    }

    /// Notes one thing that happened.
    pub(crate) fn note(&mut self, at: Duration, who: &str, what: &str) {
        let line = format!("{:>9.3}s {who:<8} {what}", at.as_secs_f64());
        self.hasher.write(line.as_bytes());
        if self.aloud {
            println!("{line}");
        }
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The last lines.
    pub(crate) fn last(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The same for the same story, and for no other.
    pub(crate) fn hash(&self) -> u64 {
        self.hasher.finish()
    }
}
