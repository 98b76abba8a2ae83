//! The typed reader: one table of TOML, asked key by key.
//!
//! Deserialising with serde stops at the first mistake and leaves ranges, units and descriptions to other places, which
//! then drift apart. Here a key is asked for in one place, with its description, kind, range and default, and three
//! things follow from that one line: the checked value, the error (with line, column, and what would be right), and
//! the key's entry in the JSON Schema. What was never asked for is unknown, and refused.
//!
//! So that every error is found in one go, and so that the schema is whole, a reader asks for *all* keys of its table
//! before it gives up on any of them.

pub(super) mod kind;
pub(super) mod numbers;
pub(super) mod text;

use serde_json::{Map, Value, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::nearest::nearest;
use crate::config::report::{Purpose, Report, excerpt};
use kind::{Kind, Site, found};

/// A key's name and what it means to an operator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    name: &'static str,
    doc: &'static str,
    example: &'static str,
}

/// A key; its description goes into the schema.
pub(super) const fn key(name: &'static str, doc: &'static str) -> Key {
    Key { name, doc, example: "" }
}

impl Key {
    /// With a value, in TOML, that an operator who left the key out is told to write.
    pub(super) const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }
}

/// A value and where it stands in the file, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct At<T> {
    /// The value.
    pub(super) value: T,
    /// The first byte of it.
    pub(super) start: usize,
    /// The byte after it.
    pub(super) end: usize,
}

/// A value that has a default, and where it stands if somebody wrote it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting<T> {
    /// The value written, or else the default.
    pub(super) value: T,
    /// Where it was written.
    pub(super) start: Option<usize>,
}

/// In a kind's shape: what is true of every value of the kind, and has no keyword in JSON Schema. It ends up in the
/// description.
pub(super) const REMARK: &str = "$comment";

/// What was found under a key.
enum Asked<T> {
    Absent,
    Wrong,
    Given(At<T>),
}

/// One table of a file while it is read.
pub(super) struct Section<'r, 't> {
    report: &'r mut Report<'t>,
    /// `None`: the table is not in the file, and every key is absent.
    table: Option<&'t DeTable<'t>>,
    /// The table's own dotted key; empty for the file itself.
    path: String,
    /// Where a missing key is reported: at the table's header.
    header: usize,
    /// The table is there and is something else: that is said already, and missing keys in it are no news.
    muted: bool,
    /// The file's own keys, above all tables; `None` while no table was asked for.
    top: Option<Vec<&'static str>>,
    asked: Vec<&'static str>,
    properties: Map<String, Value>,
    required: Vec<&'static str>,
    /// Whether an empty table would be an error.
    needed: bool,
    /// Further constraints of the schema: which keys go together.
    constraints: Vec<Value>,
}

impl<'r, 't> Section<'r, 't> {
    /// A whole file. `None`: no file, for describing.
    pub(super) fn file(report: &'r mut Report<'t>, table: Option<&'t DeTable<'t>>) -> Self {
        Self::new(report, table, String::new(), 0)
    }

    fn new(report: &'r mut Report<'t>, table: Option<&'t DeTable<'t>>, path: String, header: usize) -> Self {
        Self {
            report,
            table,
            path,
            header,
            muted: false,
            top: None,
            asked: Vec::new(),
            properties: Map::new(),
            required: Vec::new(),
            needed: false,
            constraints: Vec::new(),
        }
    }

    /// The file's text.
    pub(super) fn source(&self) -> &'t str {
        self.report.text()
    }

    /// Whether the key is in the file, whatever its value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A value that must be there.
    pub(super) fn required<K: Kind>(&mut self, key: Key, kind: &K) -> Option<At<K::Out>> {
        self.describe(key, kind.shape());
        self.required.push(key.name);
        self.needed = true;
        match self.ask(key, kind) {
            Asked::Given(at) => Some(at),
            Asked::Wrong => None,
            Asked::Absent => {
                self.missing(key.name, &format!("missing: write `{} = {}`", key.name, key.example));
                None
            }
        }
    }

    /// A value that may be left out.
    pub(super) fn optional<K: Kind>(&mut self, key: Key, kind: &K) -> Option<At<K::Out>> {
        self.describe(key, kind.shape());
        match self.ask(key, kind) {
            Asked::Given(at) => Some(at),
            Asked::Wrong | Asked::Absent => None,
        }
    }

    /// A value with a default.
    pub(super) fn or<K: Kind>(&mut self, key: Key, kind: &K, default: K::Out) -> K::Out {
        self.setting(key, kind, default).value
    }

    /// A value with a default, and whether it was written.
    pub(super) fn setting<K: Kind>(&mut self, key: Key, kind: &K, default: K::Out) -> Setting<K::Out> {
        let mut shape = kind.shape();
        shape.insert("default".to_owned(), kind.show(&default));
        self.describe(key, shape);
        match self.ask(key, kind) {
            Asked::Given(at) => Setting { value: at.value, start: Some(at.start) },
            Asked::Wrong | Asked::Absent => Setting { value: default, start: None },
        }
    }

    /// A table within this one. If it is not there it is read as an empty one: defaults apply, and what it must have
    /// is missing.
    pub(super) fn table<T>(&mut self, key: Key, read: impl FnOnce(&mut Section<'_, 't>) -> T) -> T {
        let (table, header, muted) = match self.find(key.name) {
            None => (None, self.header, self.muted),
            Some((at, value)) => match value.get_ref() {
                DeValue::Table(table) => (Some(table), at, self.muted),
                other => {
                    let path = self.path_of(key.name);
                    // Below an array of tables a header of its own would name no index.
                    let remedy = if path.contains('[') {
                        format!("{} = {{ … }}", key.name)
                    } else {
                        format!("[{path}]")
                    };
                    let message = format!("must be a table, not {}: write `{remedy}`", found(other));
                    self.wrong(value.span().start, key.name, message);
                    (None, at, true)
                }
            },
        };
        let top = self.top();
        self.asked.push(key.name);
        let mut child = Section::new(self.report, table, join(&self.path, key.name), header);
        (child.muted, child.top) = (muted, Some(top));
        let out = read(&mut child);
        let needed = child.needed;
        let shape = child.finish();
        self.describe(key, shape);
        if needed {
            self.required.push(key.name);
            self.needed = true;
        }
        out
    }

    /// A table that means something by being there: it is read only then.
    pub(super) fn table_if_there<T>(
        &mut self,
        key: Key,
        read: impl FnOnce(&mut Section<'_, 't>) -> Option<T>,
    ) -> Option<T> {
        if !self.has(key.name) && self.report.purpose() == Purpose::Check {
            self.asked.push(key.name);
            return None;
        }
        let needed = self.needed;
        let out = self.table(key, read);
        self.required.retain(|name| *name != key.name);
        self.needed = needed;
        out
    }

    /// The tables of an array of tables, in the order of the file.
    pub(super) fn each<T>(
        &mut self,
        key: Key,
        most: usize,
        mut read: impl FnMut(&mut Section<'_, 't>) -> Option<T>,
    ) -> Vec<T> {
        let top = self.top();
        self.asked.push(key.name);
        if self.report.purpose() == Purpose::Describe {
            let mut child = Section::new(self.report, None, self.path_of(key.name), 0);
            read(&mut child);
            let items = child.finish();
            let shape = json!({"type": "array", "items": items, "maxItems": most});
            self.describe(key, into_map(shape));
        }
        let path = self.path_of(key.name);
        let mut read_items = Vec::new();
        for (index, item) in self.items(key.name, most).iter().enumerate() {
            let path = format!("{path}[{index}]");
            let DeValue::Table(table) = item.get_ref() else {
                let message =
                    format!("must be a table, not {}: write `[[{}]]`", found(item.get_ref()), key.name);
                self.report.wrong(item.span().start, path, message);
                continue;
            };
            let mut child = Section::new(self.report, Some(table), path, item.span().start);
            child.top = Some(top.clone());
            read_items.extend(read(&mut child));
            child.finish();
        }
        read_items
    }

    /// The elements of an array, if it is one of a bearable length.
    fn items(&mut self, name: &'static str, most: usize) -> &'t [Spanned<DeValue<'t>>] {
        let Some((_, value)) = self.find(name) else { return &[] };
        let path = self.path_of(name);
        match value.get_ref() {
            DeValue::Array(items) if items.len() > most => {
                let message = format!("has {} entries: write at most {most}", items.len());
                self.wrong(value.span().start, name, message);
                &[]
            }
            DeValue::Array(items) => items,
            other => {
                let message = format!("must be a list of tables, not {}: write `[[{path}]]`", found(other));
                self.wrong(value.span().start, name, message);
                &[]
            }
        }
    }

    /// Of these keys exactly one must be there. `remedy` says which to write.
    pub(super) fn exactly_one(&mut self, names: &[&'static str], remedy: &str) {
        let alternatives: Vec<Value> = names.iter().map(|name| json!({"required": [name]})).collect();
        self.constraints.push(json!({"oneOf": alternatives}));
        self.needed = true;
        let there: Vec<&str> = names.iter().copied().filter(|name| self.has(name)).collect();
        if there.is_empty() {
            self.missing(names[0], &format!("missing: {remedy}"));
        }
        self.only_first(&there);
    }

    /// Of these keys at least one must be there. `remedy` says which to write.
    pub(super) fn at_least_one(&mut self, names: &[&'static str], remedy: &str) {
        let alternatives: Vec<Value> = names.iter().map(|name| json!({"required": [name]})).collect();
        self.constraints.push(json!({"anyOf": alternatives}));
        self.needed = true;
        if !names.iter().any(|name| self.has(name)) {
            self.missing(names[0], &format!("missing: {remedy}"));
        }
    }

    /// Of these keys at most one may be there.
    pub(super) fn at_most_one(&mut self, names: [&'static str; 2]) {
        self.constraints.push(json!({"not": {"required": names}}));
        let there: Vec<&str> = names.into_iter().filter(|name| self.has(name)).collect();
        self.only_first(&there);
    }

    fn only_first(&mut self, there: &[&str]) {
        if let [first, others @ ..] = there {
            for name in others {
                let at = self.find(name).map_or(self.header, |(at, _)| at);
                self.wrong(at, name, format!("cannot stand beside `{first}`: keep one of the two"));
            }
        }
    }

    /// A key that is not accepted, with the reason.
    pub(super) fn refuse(&mut self, name: &'static str, message: &str) {
        self.asked.push(name);
        if let Some((at, _)) = self.find(name) {
            self.wrong(at, name, message);
        }
    }

    /// Records an error about a key of this table.
    pub(super) fn wrong(&mut self, offset: usize, name: &str, message: impl Into<String>) {
        let path = self.path_of(name);
        self.report.wrong(offset, path, message);
    }

    /// Records that a key is missing from this table.
    pub(super) fn missing(&mut self, name: &str, message: &str) {
        if !self.muted {
            self.wrong(self.header, name, message);
        }
    }

    /// Ends the reading: refuses what was never asked for, and gives the table's schema.
    pub(super) fn finish(self) -> Map<String, Value> {
        for (key, _) in self.table.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            if !self.asked.contains(&name) {
                let message = self.unknown(name);
                self.report.wrong(key.span().start, join(&self.path, &excerpt(name)), message);
            }
        }
        let mut shape = Map::new();
        shape.insert("type".to_owned(), json!("object"));
        shape.insert("properties".to_owned(), Value::Object(self.properties));
        if !self.required.is_empty() {
            shape.insert("required".to_owned(), json!(self.required));
        }
        if !self.constraints.is_empty() {
            shape.insert("allOf".to_owned(), Value::Array(self.constraints));
        }
        shape.insert("additionalProperties".to_owned(), json!(false));
        shape
    }

    /// What is wrong with a key that was never asked for. TOML's own trap comes first: a key that is written below a
    /// table's header belongs to that table.
    fn unknown(&self, name: &str) -> String {
        if !self.path.is_empty() && self.top.iter().flatten().any(|key| *key == name) {
            return "is not a key here: move it to the top of the file, above the first [table]".to_owned();
        }
        nearest(name, self.asked.iter().copied()).map_or_else(
            || format!("is not a key here: the keys are {}", self.asked.join(", ")),
            |near| format!("is not a key here: did you mean `{near}`?"),
        )
    }

    /// The keys that stand above all tables.
    fn top(&mut self) -> Vec<&'static str> {
        self.top.get_or_insert_with(|| self.asked.clone()).clone()
    }

    fn ask<K: Kind>(&mut self, key: Key, kind: &K) -> Asked<K::Out> {
        self.asked.push(key.name);
        let Some((_, value)) = self.find(key.name) else { return Asked::Absent };
        let path = self.path_of(key.name);
        let span = value.span();
        match kind.read(value, &mut Site::new(self.report, path)) {
            Some(read) => Asked::Given(At { value: read, start: span.start, end: span.end }),
            None => Asked::Wrong,
        }
    }

    fn describe(&mut self, key: Key, mut shape: Map<String, Value>) {
        if self.report.purpose() == Purpose::Describe {
            let remark =
                shape.remove(REMARK).and_then(|remark| Some(format!("{} {}", key.doc, remark.as_str()?)));
            shape.insert("description".to_owned(), json!(remark.as_deref().unwrap_or(key.doc)));
            self.properties.insert(key.name.to_owned(), Value::Object(shape));
        }
    }

    fn find(&self, name: &str) -> Option<(usize, &'t Spanned<DeValue<'t>>)> {
        self.table?.get_key_value(name).map(|(key, value)| (key.span().start, value))
    }

    fn path_of(&self, name: &str) -> String {
        join(&self.path, name)
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The members of a JSON object that is written out where it is used.
pub(super) fn into_map(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
