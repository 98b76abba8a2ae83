//! Documents: every relative link leads somewhere, every heading that a link names is there, and lines can be read in a
//! terminal.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};

use super::{assert_none, files_under, root};

/// The macros that make tests of a list of cases.
const CASE_LISTS: [&str; 2] = ["on_both_stores", "through_both_doors"];
const LINE_WIDTH_MAX: usize = 120;

#[test]
fn links_lead_somewhere() {
    let documents = documents();
    let found: usize = documents.iter().map(|path| links(&read(path)).len()).sum();
    assert!(found > 20, "only {found} links in {} documents: the walk is broken", documents.len());
    assert_none(&documents.iter().flat_map(|path| dead_links(path, &read(path))).collect::<Vec<_>>());
}

#[test]
fn lines_fit() {
    assert_none(&documents().iter().flat_map(|path| wide_lines(path, &read(path))).collect::<Vec<_>>());
}

/// The page that says which fault is survived by which test must not name a test that is gone.
#[test]
fn tests_that_are_named_are_there() {
    let text = read(&root().join("docs/reliability.md"));
    let named = named_tests(&text);
    assert!(named.len() > 50, "only {} tests are named: the walk is broken", named.len());
    assert_none(&missing_tests(&named, &tests_of_the_crate()));
}

fn missing_tests(named: &BTreeSet<String>, there: &BTreeSet<String>) -> Vec<String> {
    named.difference(there).map(|name| format!("docs/reliability.md: there is no test {name}")).collect()
}

/// What stands in backticks and is a path in lower case: `service::drains::the_oldest_goes_first`.
fn named_tests(text: &str) -> BTreeSet<String> {
    let is_path = |code: &&str| {
        code.contains("::")
            && code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, ':' | '_'))
    };
    let code = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    code.filter(is_path).map(str::to_owned).collect()
}

/// The path of every test, as `cargo test` calls it.
fn tests_of_the_crate() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in [root().join("src"), root().join("tests/it")] {
        for file in files_under(&folder, "rs") {
            let path = file.strip_prefix(&folder).unwrap().with_extension("");
            let module = path.to_str().unwrap().replace(['/', '\\'], "::");
            let syntax = syn::parse_file(&read(&file)).unwrap();
            found.extend(tests_among(&syntax.items).into_iter().map(|test| format!("{module}::{test}")));
        }
    }
    found
}

fn tests_among(items: &[syn::Item]) -> Vec<String> {
    let mut found = Vec::new();
    for item in items {
        match item {
            syn::Item::Fn(function) if is_test(&function.attrs) => found.push(function.sig.ident.to_string()),
            syn::Item::Macro(call) if call.mac.path.is_ident("proptest") => {
                found.extend(functions_in(call.mac.tokens.clone()));
            }
            // One case, run more than once: it is named without saying against what.
            syn::Item::Macro(call) if CASE_LISTS.iter().any(|list| call.mac.path.is_ident(list)) => {
                found.extend(identifiers_in(call.mac.tokens.clone()));
            }
            syn::Item::Mod(module) => {
                let inner = module.content.as_ref().map(|(_, items)| tests_among(items)).unwrap_or_default();
                found.extend(inner.into_iter().map(|test| format!("{}::{test}", module.ident)));
            }
            _ => {}
        }
    }
    found
}

/// The names in a list of cases.
fn identifiers_in(tokens: TokenStream) -> impl Iterator<Item = String> {
    tokens.into_iter().filter_map(|token| match token {
        TokenTree::Ident(name) => Some(name.to_string()),
        TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => None,
    })
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().segments.last().is_some_and(|segment| segment.ident == "test"))
}

/// The names that follow `fn`: within `proptest!` every function is a test.
fn functions_in(tokens: TokenStream) -> Vec<String> {
    let words: Vec<String> = tokens.into_iter().map(|token| token.to_string()).collect();
    words.windows(2).filter(|pair| pair[0] == "fn").map(|pair| pair[1].clone()).collect()
}

fn documents() -> Vec<PathBuf> {
    files_under(root(), "md")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The lines of a document that are prose, numbered from 1: what stands between fences is quoted, not said.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((index + 1, line));
        }
    }
    lines
}

/// A line with what stands in backticks taken out.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// Targets of links to files and headings, with their line: `[text](target)` and `[label]: target`.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        for rest in line.split("](").skip(1) {
            if let Some(target) = rest.split(')').next() {
                found.push((number, target.to_owned()));
            }
        }
        if line.starts_with('[')
            && let Some((_, target)) = line.split_once("]: ")
        {
            found.push((number, target.trim().to_owned()));
        }
    }
    found.retain(|(_, target)| !target.contains("://") && !target.starts_with("mailto:"));
    found
}

/// The names by which a document's headings are linked to, as GitHub makes them.
pub(crate) fn anchors(text: &str) -> BTreeSet<String> {
    prose(text)
        .into_iter()
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

fn dead_links(document: &Path, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, link) in links(text) {
        let place = format!("{}:{number}", document.strip_prefix(root()).unwrap_or(document).display());
        let (target, anchor) = link.split_once('#').map_or((link.as_str(), None), |(t, a)| (t, Some(a)));
        let path = if target.is_empty() {
            document.to_owned()
        } else {
            normalized(&document.parent().unwrap_or(root()).join(target))
        };
        if !target.is_empty() && !path.exists() {
            complaints.push(format!("{place}: {link}: there is no {target}"));
            continue;
        }
        if !path.starts_with(root()) {
            complaints.push(format!("{place}: {link}: it leads out of the project"));
            continue;
        }
        let Some(anchor) = anchor else { continue };
        let is_document = path.extension().is_some_and(|extension| extension == "md");
        let known = if target.is_empty() { anchors(text) } else { anchors(&read_if(is_document, &path)) };
        if !known.contains(anchor) {
            complaints.push(format!("{place}: {link}: there is no heading #{anchor}"));
        }
    }
    complaints
}

fn read_if(is_document: bool, path: &Path) -> String {
    if is_document { read(path) } else { String::new() }
}

fn normalized(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                result.pop();
            }
            Component::CurDir => {}
            other => result.push(other),
        }
    }
    result
}

/// Tables and addresses cannot be broken; everything else can.
fn wide_lines(document: &Path, text: &str) -> Vec<String> {
    prose(text)
        .into_iter()
        .filter(|(_, line)| !line.starts_with('|') && !line.contains("://"))
        .filter(|(_, line)| line.chars().count() > LINE_WIDTH_MAX)
        .map(|(number, line)| {
            let name = document.strip_prefix(root()).unwrap_or(document).display().to_string();
            format!("{name}:{number}: {} characters, {LINE_WIDTH_MAX} at most", line.chars().count())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(text: &str) -> usize {
        dead_links(&root().join("docs/page.md"), text).len()
    }

    #[test]
    fn dead_links_are_found() {
        assert_eq!(dead("see [the crate](../src/lib.rs) and [more](nowhere.md)"), 1);
        assert_eq!(dead("[label]: nowhere.md"), 1);
        assert_eq!(dead("[a](#there)\n\n# There"), 0);
        assert_eq!(dead("[a](#not-there)\n\n# There"), 1);
        assert_eq!(dead("[a](../src/lib.rs#there)"), 1);
        assert_eq!(dead("[out](../../elsewhere)"), 1);
    }

    #[test]
    fn a_test_that_is_gone_is_found() {
        let named = named_tests("| `a::b::one`, `a::c` and `Store::x` | `two` `d::e` |");
        assert_eq!(named, BTreeSet::from(["a::b::one", "a::c", "d::e"].map(str::to_owned)));
        let there = BTreeSet::from(["a::b::one", "d::e"].map(str::to_owned));
        assert_eq!(missing_tests(&named, &there), ["docs/reliability.md: there is no test a::c"]);
    }

    #[test]
    fn tests_of_every_kind_are_seen() {
        let text = "#[test] fn a() {} #[tokio::test(flavor = \"x\")] async fn b() {} fn no() {}
                    mod tests { #[test] fn c() {} } proptest! { #[test] fn d(x in 0..1) {} }";
        let syntax = syn::parse_file(text).unwrap();
        assert_eq!(tests_among(&syntax.items), ["a", "b", "tests::c", "d"]);
    }

    #[test]
    fn quotations_and_addresses_are_no_links() {
        assert_eq!(
            dead("```\n[a](nowhere.md)\n```\n`[a](nowhere.md)` [b](https://example.com/nowhere.md)"),
            0
        );
    }

    #[test]
    fn headings_are_named_as_github_names_them() {
        let names = anchors("# One word\n## It's `code`, and more: 2\n```\n# a comment\n```");
        assert_eq!(names, BTreeSet::from(["one-word".to_owned(), "its-code-and-more-2".to_owned()]));
    }

    #[test]
    fn wide_lines_are_found() {
        let wide = "x".repeat(LINE_WIDTH_MAX + 1);
        let count = |text: &str| wide_lines(Path::new("page.md"), text).len();
        assert_eq!(count(&wide), 1);
        assert_eq!(count(&format!("| {wide} |\n```\n{wide}\n```\nhttps://{wide}")), 0);
        assert_eq!(count(&"ü".repeat(LINE_WIDTH_MAX)), 0);
    }
}
