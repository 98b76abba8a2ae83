//! The shape of the house, held by tests: who may import whom, where a crate or a statement of SQL may stand, how long
//! a file or a function may get, and that no document links to something that is gone.
//!
//! A rule that only stands in a document is broken within a month, by people who mean well. Each checker here is a plain
//! function from source text to complaints, and is itself tested on small bad samples: a check that cannot fail proves
//! nothing.

mod documents;
mod layers;
mod shape;

pub(crate) use documents::anchors;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One file of the crate, parsed.
struct Source {
    /// Relative to `src`, with `/`: `provider/aws.rs`.
    path: String,
    text: String,
    syntax: syn::File,
    /// Declared under `#[cfg(test)]`, here or further up.
    test_only: bool,
}

impl Source {
    fn parse(path: &str, text: &str) -> Self {
        let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("src/{path}: {error}"));
        Self { path: path.to_owned(), text: text.to_owned(), syntax, test_only: false }
    }

    /// The path of the module that the file is: `["provider", "aws"]`; empty for the crate's root.
    fn module(&self) -> Vec<String> {
        match self.path.as_str() {
            "lib.rs" | "main.rs" => Vec::new(),
            path => path.trim_end_matches(".rs").split('/').map(str::to_owned).collect(),
        }
    }
}

/// Every file of the crate, in the order of their paths.
fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut sources: Vec<Source> = files_under(&src, "rs")
        .iter()
        .map(|file| {
            let path = file.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
            Source::parse(&path, &std::fs::read_to_string(file).unwrap())
        })
        .collect();
    assert!(sources.len() > 20, "only {} files under src: the walk is broken", sources.len());
    mark_test_only(&mut sources);
    sources
}

/// Finds the files that `#[cfg(test)] mod name;` declares, and whatever lies below them.
fn mark_test_only(sources: &mut [Source]) {
    let mut tests = BTreeSet::new();
    for source in sources.iter() {
        for item in &source.syntax.items {
            if let syn::Item::Mod(item) = item
                && item.content.is_none()
                && is_test_only(&item.attrs)
            {
                let mut module = source.module();
                module.push(item.ident.to_string());
                tests.insert(module.join("/"));
            }
        }
    }
    for source in sources {
        let module = source.module().join("/");
        source.test_only =
            tests.iter().any(|test| module == *test || module.starts_with(&format!("{test}/")));
    }
}

/// Whether an item is compiled for tests only.
fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        let last = path.segments.last().map(|segment| segment.ident.to_string());
        let is_cfg_test = path.is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test");
        is_cfg_test || last.as_deref() == Some("test")
    })
}

/// Every file with this extension under a folder, sorted; what tools leave behind is passed over.
pub(crate) fn files_under(folder: &Path, extension: &str) -> Vec<PathBuf> {
    const LEFT_BEHIND: [&str; 6] = ["target", "data", "node_modules", ".git", ".venv", ".terraform"];
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap();
            if !LEFT_BEHIND.contains(&name) {
                found.extend(files_under(&path, extension));
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}
