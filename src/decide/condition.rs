//! Conditions of rules: CEL expressions over signals, with a third value for "not known".
//!
//! The `cel` crate reads the text; judging it is ours. Its interpreter compares what it is given when it is given it,
//! so `cpu.avg > "high"` would be found out at night, and it has no word for a signal that was not heard. Here the
//! syntax tree is checked once, at load, into a formula that can only hold numbers and truth
//! values, and evaluating that cannot fail.
//!
//! Every number is a double: `cpu.avg > 1` and `qps / 2 > 100.5` mean what they say. A signal without a value makes the
//! whole expression unknown, whatever the rest of it says. A division by zero is an error in CEL's sense: it makes what
//! depends on it unknown, and `false && …` and `true || …` still decide, so `qps > 0 && errors / qps > 0.01` is a guard.

mod check;
mod formula;
mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decide::condition::formula::Formula;
use crate::decide::signal::{Catalog, Observation, SignalName};

/// A compiled, type-checked CEL expression that gives a boolean.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    signals: BTreeSet<SignalName>,
    formula: Formula,
}

/// A number that a condition compares a signal with: a line on a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// The signal.
    pub signal: SignalName,
    /// How, with the signal on the left: `>`, `>=`, `<`, `<=`, `==` or `!=`.
    pub comparison: &'static str,
    /// The number.
    pub value: f64,
}

/// What a condition says of one observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// A signal in it has no value, or it cannot be computed from the values there are.
    Unknown,
}

/// Which of an observation's three numbers a condition is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facet {
    /// Over the hosts that were heard.
    Heard,
    /// Silent hosts at 0 %.
    IfIdle,
    /// Silent hosts at 100 %.
    IfBusy,
}

/// Why an expression was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConditionError {
    /// What is wrong and what would be right.
    pub message: String,
    /// Where in the expression, in bytes, where that is known.
    pub offset: Option<usize>,
}

impl Condition {
    /// Compiles and type-checks an expression against the signals that a fleet has.
    pub fn parse(text: &str, catalog: &Catalog) -> Result<Self, ConditionError> {
        let formula = check::compile(text, catalog)?;
        let mut signals = BTreeSet::new();
        formula.collect_signals(&mut signals);
        Ok(Self { text: text.to_owned(), signals, formula })
    }

    /// The expression as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signals it uses, each once, in order.
    #[must_use]
    pub fn signals(&self) -> Vec<String> {
        self.signals.iter().cloned().collect()
    }

    /// The numbers that it compares signals with, in its order. What it computes first is not among them.
    #[must_use]
    pub fn thresholds(&self) -> Vec<Threshold> {
        let mut thresholds = Vec::new();
        self.formula.collect_thresholds(&mut thresholds);
        thresholds
    }

    /// The signals it uses that have no value in this observation.
    #[must_use]
    pub fn missing(&self, observation: &Observation) -> Vec<String> {
        self.signals.iter().filter(|name| observation.value(name, Facet::Heard).is_none()).cloned().collect()
    }

    /// What it says of one observation.
    #[must_use]
    pub fn evaluate(&self, observation: &Observation, facet: Facet) -> Truth {
        let lookup = |name: &str| observation.value(name, facet);
        if self.signals.iter().any(|name| lookup(name).is_none()) {
            return Truth::Unknown;
        }
        match self.formula.truth(&lookup) {
            Some(true) => Truth::Holds,
            Some(false) => Truth::Fails,
            None => Truth::Unknown,
        }
    }

    /// The expression with the numbers in it: `cpu.avg 0.82 > 0.75`. Of alternatives that hold, only those that do.
    #[must_use]
    pub fn explain(&self, observation: &Observation, facet: Facet) -> String {
        self.formula.explain(&|name: &str| observation.value(name, facet))
    }
}

/// Whether a signal of this full name exists; if not, what would be right.
pub(in crate::decide) fn check_name(name: &str, catalog: &Catalog) -> Result<(), String> {
    names::resolve(name, catalog).map(|_| ())
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// The names in it were checked when it was written: each is a signal, whatever the fleet's catalogue is by now.
impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_mark = |character: char| !(character.is_ascii_alphanumeric() || "._".contains(character));
        // A name may be written with spaces around its dots.
        let close: String = text.split_whitespace().collect();
        let names = text.split(is_mark).chain(close.split(is_mark)).filter(|name| !name.is_empty());
        let fleet = names.map(str::to_owned).collect();
        Self::parse(&text, &Catalog { host: BTreeSet::new(), fleet }).map_err(serde::de::Error::custom)
    }
}
