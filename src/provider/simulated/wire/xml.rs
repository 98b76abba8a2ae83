//! XML, as little of it as AWS's query protocols need.

use std::fmt::{Display, Write as _};

use quick_xml::escape::escape;

/// A document being written.
pub(super) struct Xml(String);

impl Xml {
    /// A whole document: its outermost element with its namespace, and what is in it.
    pub(super) fn document(name: &str, namespace: Option<&str>, content: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned());
        // Writing to a string cannot fail.
        let _ = match namespace {
            Some(namespace) => write!(xml.0, "<{name} xmlns=\"{namespace}\">"),
            None => write!(xml.0, "<{name}>"),
        };
        content(&mut xml);
        let _ = write!(xml.0, "</{name}>");
        xml.0
    }

    /// An element with text in it.
    pub(super) fn leaf(&mut self, name: &str, text: impl Display) -> &mut Self {
        let text = text.to_string();
        let _ = write!(self.0, "<{name}>{}</{name}>", escape(&text));
        self
    }

    /// An element with elements in it.
    pub(super) fn nest(&mut self, name: &str, content: impl FnOnce(&mut Self)) -> &mut Self {
        let _ = write!(self.0, "<{name}>");
        content(self);
        let _ = write!(self.0, "</{name}>");
        self
    }

    /// A list: one element around them, one around each.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        item: &str,
        items: impl IntoIterator<Item = T>,
        mut content: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.nest(name, |xml| {
            for one in items {
                xml.nest(item, |xml| content(xml, one));
            }
        })
    }
}
