//! What kinds of values there are.

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::DeValue;

use crate::config::report::{Report, excerpt};

/// A kind of value: how it is read, and how the schema describes it.
pub(in crate::config) trait Kind {
    /// What it is once it is read.
    type Out;
    /// Reads a value, or says at `site` what is wrong and what would be right.
    fn read(&self, value: &Spanned<DeValue<'_>>, site: &mut Site<'_, '_>) -> Option<Self::Out>;
    /// Its JSON Schema.
    fn shape(&self) -> Map<String, Value>;
    /// A value as a file would say it, in JSON.
    fn show(&self, out: &Self::Out) -> Value;
}

/// Where a value stands: its dotted key, and the report on its file.
pub(in crate::config) struct Site<'r, 't> {
    report: &'r mut Report<'t>,
    path: String,
}

impl<'r, 't> Site<'r, 't> {
    pub(super) fn new(report: &'r mut Report<'t>, path: String) -> Self {
        Self { report, path }
    }

    /// Records what is wrong with a value.
    pub(super) fn wrong(&mut self, value: &Spanned<DeValue<'_>>, message: impl Into<String>) {
        self.report.wrong(value.span().start, self.path.clone(), message);
    }

    /// An element of a list.
    pub(super) fn element(&mut self, index: usize) -> Site<'_, 't> {
        Site { path: format!("{}[{index}]", self.path), report: self.report }
    }

    /// An entry of a table whose keys are the user's own.
    pub(super) fn entry(&mut self, name: &str) -> Site<'_, 't> {
        Site { path: format!("{}.{}", self.path, excerpt(name)), report: self.report }
    }
}

/// The kind of a value, for "must be a whole number, not …". Never the value itself: it may be a secret that was
/// written at the wrong key.
pub(in crate::config) fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text in quotes",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
