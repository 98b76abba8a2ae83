//! What was reached. A simulation that never meets a fault proves nothing about it, so every kind of fault and every
//! transition of both state machines must be met "sometimes", and the run fails where one never was.

use std::collections::BTreeMap;

/// How often each thing happened, by kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally(BTreeMap<(&'static str, String), u64>);

impl Tally {
    /// Counts one.
    pub(crate) fn count(&mut self, kind: &'static str, name: &str) {
        if let Some(count) = self.0.get_mut(&(kind, name.to_owned())) {
            *count += 1;
        } else {
            self.0.insert((kind, name.to_owned()), 1);
        }
    }

    /// Adds another run's.
    pub(crate) fn add(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            *self.0.entry(key.clone()).or_insert(0) += count;
        }
    }

    /// One count.
    pub(crate) fn of(&self, kind: &'static str, name: &str) -> u64 {
        self.0.get(&(kind, name.to_owned())).copied().unwrap_or(0)
    }

    /// The counts of one kind, by name.
    pub(crate) fn kind(&self, kind: &'static str) -> impl Iterator<Item = (&str, u64)> {
        self.0
            .iter()
            .filter(move |((of, _), _)| *of == kind)
            .map(|((_, name), count)| (name.as_str(), *count))
    }
}
