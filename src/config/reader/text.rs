//! Text, choices, lists of them, and tables of text whose keys are the user's own.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use toml::Spanned;
use toml::de::DeValue;
use url::Url;

use crate::config::nearest::nearest;
use crate::config::reader::into_map;
use crate::config::reader::kind::{Kind, Site, found};
use crate::config::report::excerpt;

/// Text with a meaning.
pub(in crate::config) struct Text<T> {
    example: &'static str,
    pattern: &'static str,
    parse: fn(&str) -> Result<T, String>,
    show: fn(&T) -> String,
}

/// Text that `parse` understands, or says what is wrong and what would be right. The pattern is the schema's: it may
/// accept more than `parse` does, never less.
pub(in crate::config) const fn text<T: ToString>(
    example: &'static str,
    pattern: &'static str,
    parse: fn(&str) -> Result<T, String>,
) -> Text<T> {
    Text { example, pattern, parse, show: T::to_string }
}

impl<T> Text<T> {
    /// Text whose meaning does not know how to write itself.
    pub(in crate::config) const fn shown(
        example: &'static str,
        pattern: &'static str,
        parse: fn(&str) -> Result<T, String>,
        show: fn(&T) -> String,
    ) -> Self {
        Self { example, pattern, parse, show }
    }
}

impl<T> Kind for Text<T> {
    type Out = T;

    fn read(&self, value: &Spanned<DeValue<'_>>, site: &mut Site<'_, '_>) -> Option<T> {
        let Some(text) = value.get_ref().as_str() else {
            let kind = found(value.get_ref());
            site.wrong(value, format!("must be text in quotes, not {kind}: write {:?}", self.example));
            return None;
        };
        (self.parse)(text).map_err(|problem| site.wrong(value, problem)).ok()
    }

    fn shape(&self) -> Map<String, Value> {
        into_map(json!({"type": "string", "pattern": self.pattern, "examples": [self.example]}))
    }

    fn show(&self, out: &T) -> Value {
        json!((self.show)(out))
    }
}

/// Understands an `http` or `https` URL. It may not carry a user and a password, and is not repeated in case it does.
pub(in crate::config) fn parse_http_url(text: &str) -> Result<Url, String> {
    let remedy = "write one such as \"http://127.0.0.1:9090\"";
    if !text.starts_with("http://") && !text.starts_with("https://") {
        return Err(format!("does not start with http:// or https://: {remedy}"));
    }
    // A parser of URLs drops these without a word, and the text would not be what was checked.
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("holds a space or a line break: {remedy}"));
    }
    match Url::parse(text) {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("holds a user or a password, which would be kept in logs: leave them out".to_owned())
        }
        Ok(url) => Ok(url),
        Err(error) => Err(format!("is not a URL ({error}): {remedy}")),
    }
}

/// One of a few words.
pub(in crate::config) struct Choice<T: 'static>(pub(in crate::config) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Out = T;

    fn read(&self, value: &Spanned<DeValue<'_>>, site: &mut Site<'_, '_>) -> Option<T> {
        let words = || self.0.iter().map(|(word, _)| *word);
        let all = words().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        let Some(text) = value.get_ref().as_str() else {
            site.wrong(value, format!("must be one of {all}, not {}", found(value.get_ref())));
            return None;
        };
        let chosen = self.0.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        if chosen.is_none() {
            let near =
                nearest(text, words()).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            site.wrong(value, format!("{:?} is not offered: write one of {all}{near}", excerpt(text)));
        }
        chosen
    }

    fn shape(&self) -> Map<String, Value> {
        let words: Vec<&str> = self.0.iter().map(|(word, _)| *word).collect();
        into_map(json!({"type": "string", "enum": words}))
    }

    fn show(&self, out: &T) -> Value {
        json!(self.0.iter().find(|(_, choice)| choice == out).map(|(word, _)| *word))
    }
}

/// A list without duplicates.
pub(in crate::config) struct List<K> {
    item: K,
    least: usize,
    most: usize,
}

/// A list of `least` to `most` different items.
pub(in crate::config) const fn list<K>(item: K, least: usize, most: usize) -> List<K> {
    List { item, least, most }
}

impl<K: Kind<Out: PartialEq>> Kind for List<K> {
    type Out = Vec<K::Out>;

    fn read(&self, value: &Spanned<DeValue<'_>>, site: &mut Site<'_, '_>) -> Option<Self::Out> {
        let DeValue::Array(items) = value.get_ref() else {
            site.wrong(value, format!("must be a list, not {}: put it in [ ]", found(value.get_ref())));
            return None;
        };
        if items.len() < self.least || items.len() > self.most {
            let range = format!("{} to {}", self.least, self.most);
            site.wrong(value, format!("has {} entries: write {range} of them", items.len()));
            return None;
        }
        let mut list = Vec::new();
        let mut complete = true;
        for (index, item) in items.iter().enumerate() {
            match self.item.read(item, &mut site.element(index)) {
                Some(read) if list.contains(&read) => {
                    site.element(index).wrong(item, "is in the list already: leave it out");
                    complete = false;
                }
                Some(read) => list.push(read),
                None => complete = false,
            }
        }
        complete.then_some(list)
    }

    fn shape(&self) -> Map<String, Value> {
        into_map(json!({
            "type": "array",
            "items": self.item.shape(),
            "minItems": self.least,
            "maxItems": self.most,
            "uniqueItems": true,
        }))
    }

    fn show(&self, out: &Self::Out) -> Value {
        out.iter().map(|item| self.item.show(item)).collect()
    }
}

/// A table of text whose keys are the user's own, such as tags.
pub(in crate::config) struct Pairs {
    /// What is wrong with a key, if anything.
    pub(in crate::config) check_key: fn(&str) -> Result<(), String>,
    /// What is wrong with a value, if anything.
    pub(in crate::config) check_value: fn(&str) -> Result<(), String>,
    /// Most entries.
    pub(in crate::config) most: usize,
    /// An entry, in TOML.
    pub(in crate::config) example: &'static str,
}

impl Kind for Pairs {
    type Out = BTreeMap<String, String>;

    fn read(&self, value: &Spanned<DeValue<'_>>, site: &mut Site<'_, '_>) -> Option<Self::Out> {
        let DeValue::Table(table) = value.get_ref() else {
            let kind = found(value.get_ref());
            site.wrong(value, format!("must be a table, not {kind}: write {{ {} }}", self.example));
            return None;
        };
        if table.len() > self.most {
            site.wrong(value, format!("has {} entries: write at most {}", table.len(), self.most));
            return None;
        }
        let mut pairs = BTreeMap::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let mut site = site.entry(name);
            let Some(text) = value.get_ref().as_str() else {
                let kind = found(value.get_ref());
                site.wrong(value, format!("must be text in quotes, not {kind}: write {}", self.example));
                continue;
            };
            match (self.check_key)(name).and_then(|()| (self.check_value)(text)) {
                Ok(()) => {
                    pairs.insert(name.to_owned(), text.to_owned());
                }
                Err(problem) => site.wrong(value, problem),
            }
        }
        (pairs.len() == table.len()).then_some(pairs)
    }

    fn shape(&self) -> Map<String, Value> {
        into_map(json!({
            "type": "object",
            "additionalProperties": {"type": "string"},
            "maxProperties": self.most,
        }))
    }

    fn show(&self, out: &Self::Out) -> Value {
        json!(out)
    }
}
