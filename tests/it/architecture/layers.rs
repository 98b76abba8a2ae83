//! Who may import whom.
//!
//! A file may name what lies in a lower layer, and its own family: files under the same top-level module, as long as
//! they are not above it. So a contract (`provider.rs`) never names its implementations (`provider/aws.rs`), and two
//! implementations of different contracts never meet.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::{Source, assert_none, sources};

/// Every top-level module with its layer. A folder beside a contract is one layer higher than the contract.
const LAYERS: [(&str, u8); 13] = [
    ("domain", 0),
    ("decide", 1),
    ("config", 2),
    ("clock", 3),
    ("entropy", 3),
    ("provider", 3),
    ("signals", 3),
    ("store", 3),
    ("reconcile", 5),
    ("backtest", 5),
    ("view", 5),
    ("http", 6),
    ("cli", 7),
];

const CONTRACT: u8 = 3;
const IMPLEMENTATION: u8 = 4;
const PROGRAM: u8 = 8;

/// Same family, and still strangers: implementations of one contract that must not lean on each other.
const STRANGERS: [(&str, &str); 2] =
    [("provider/aws", "provider/simulated"), ("provider/simulated", "provider/aws")];

/// Crates that belong in one place: the crate (a trailing `*` stands for any ending), where, and why.
const CONFINED: [(&str, &[&str], &str); 7] = [
    (
        "anyhow",
        &["main.rs", "cli.rs", "cli/"],
        "below the command line errors have types that callers act on",
    ),
    (
        "aws_*",
        &["provider/aws.rs", "provider/aws/"],
        "everything else speaks of the contract, not of one cloud",
    ),
    (
        "opentelemetry*",
        &["cli/traces/"],
        "everything else marks spans of `tracing`, and does not know who collects them",
    ),
    (
        "augurs",
        &["decide/forecast/season.rs"],
        "everything else speaks of loads, not of one library's models",
    ),
    ("tracing_opentelemetry", &["cli/traces/"], "the same"),
    ("clap", &["main.rs", "cli.rs", "cli/"], "the command line is one way in among several"),
    ("sqlx", &["store/"], "everything else speaks of the contract, not of one database"),
];

#[test]
fn files_import_only_lower_layers_and_their_family() {
    let sources = sources();
    let files: BTreeSet<&str> = sources.iter().map(|source| source.path.as_str()).collect();
    let found: usize = sources.iter().map(|source| references(source).len()).sum();
    assert!(found > 100, "only {found} references found: the walk is broken");
    assert_none(&sources.iter().flat_map(|source| misplaced_imports(source, &files)).collect::<Vec<_>>());
}

#[test]
fn crates_stay_where_they_belong() {
    assert_none(&sources().iter().flat_map(misplaced_crates).collect::<Vec<_>>());
}

#[test]
fn the_unmaintained_crate_is_behind_one_file() {
    let users: Vec<String> = sources()
        .iter()
        .filter(|source| references(source).iter().any(|reference| reference.names_crate("backoff")))
        .map(|source| source.path.clone())
        .collect();
    assert!(users.len() <= 1, "`backoff` is unmaintained and must stay replaceable in one file: {users:?}");
}

#[test]
fn the_table_is_the_one_that_the_crate_documents() {
    let source = sources().into_iter().find(|source| source.path == "lib.rs").unwrap();
    assert_none(&table_differences(&source));
}

/// One path that a file names, absolute where it is of this crate.
struct Reference {
    segments: Vec<String>,
    is_ours: bool,
    line: usize,
}

impl Reference {
    fn names_crate(&self, pattern: &str) -> bool {
        let name = &self.segments[0];
        let matches = match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        };
        !self.is_ours && matches
    }
}

/// The layer of a file; `None`: the crate's root, which only declares.
fn layer(path: &str) -> Option<u8> {
    match path {
        "lib.rs" => None,
        "main.rs" => Some(PROGRAM),
        _ => {
            let top = path.split('/').next()?.trim_end_matches(".rs");
            let (_, layer) = LAYERS.iter().find(|(name, _)| *name == top)?;
            Some(if *layer == CONTRACT && path.contains('/') { IMPLEMENTATION } else { *layer })
        }
    }
}

fn misplaced_imports(source: &Source, files: &BTreeSet<&str>) -> Vec<String> {
    if source.path == "lib.rs" {
        return Vec::new();
    }
    let Some(from) = layer(&source.path) else {
        return vec![format!("src/{}: its top-level module is not in the table of layers", source.path)];
    };
    let mut complaints = Vec::new();
    for reference in references(source).iter().filter(|reference| reference.is_ours) {
        let named = reference.segments.join("::");
        let place = format!("src/{}:{}", source.path, reference.line);
        let Some(target) = file_of(&reference.segments, files) else {
            complaints.push(format!("{place}: crate::{named} is in no file of the table"));
            continue;
        };
        let Some(to) = layer(target) else { continue };
        let is_family = top(&source.path) == top(target) && to <= from;
        let are_strangers = STRANGERS.iter().any(|(a, b)| is_below(&source.path, a) && is_below(target, b));
        if are_strangers || !(to < from || is_family) {
            complaints.push(format!("{place}: layer {from} names crate::{named}, layer {to} ({target})"));
        }
    }
    complaints
}

fn misplaced_crates(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for reference in references(source) {
        for (name, places, why) in CONFINED {
            let is_home = places.iter().any(|place| {
                if place.ends_with('/') { source.path.starts_with(place) } else { source.path == *place }
            });
            if reference.names_crate(name) && !is_home {
                let line = reference.line;
                complaints.push(format!("src/{}:{line}: {name} belongs in {places:?}: {why}", source.path));
            }
        }
    }
    complaints
}

/// What the table in the crate's documentation and its `pub mod`s say, against the table here.
fn table_differences(source: &Source) -> Vec<String> {
    let mut documented = BTreeMap::new();
    for line in source.text.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let mut cells = line.split(" | ");
        let (Some(Ok(number)), Some(modules)) = (cells.next().map(str::parse::<u8>), cells.next()) else {
            continue;
        };
        for name in modules.split(", ").filter_map(|cell| cell.strip_prefix("[`")?.strip_suffix("`]")) {
            documented.insert(name.to_owned(), number);
        }
    }
    let table: BTreeMap<String, u8> =
        LAYERS.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
    let declared: BTreeSet<String> = source
        .syntax
        .items
        .iter()
        .filter_map(|item| if let syn::Item::Mod(item) = item { Some(item.ident.to_string()) } else { None })
        .collect();
    let mut complaints = Vec::new();
    if documented != table {
        complaints.push(format!("src/lib.rs documents {documented:?}, and the table here says {table:?}"));
    }
    if declared != table.keys().cloned().collect() {
        complaints.push(format!("src/lib.rs declares {declared:?}, and the table here says {table:?}"));
    }
    complaints
}

/// The deepest file that a path leads to.
fn file_of<'a>(segments: &[String], files: &BTreeSet<&'a str>) -> Option<&'a str> {
    (1..=segments.len()).rev().find_map(|length| {
        let path = format!("{}.rs", segments[..length].join("/"));
        files.get(path.as_str()).copied()
    })
}

fn top(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

fn is_below(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// Every path that a file names: in `use`, in types and expressions, in attributes, and in the arguments of macros.
fn references(source: &Source) -> Vec<Reference> {
    let mut walk = Walk { module: source.module(), found: Vec::new() };
    walk.visit_file(&source.syntax);
    walk.found
}

struct Walk {
    module: Vec<String>,
    found: Vec<Reference>,
}

impl Walk {
    /// Makes a path absolute. Names that are neither of this crate nor a crate's end up here, too, and match nothing.
    fn note(&mut self, path: &[String], line: usize) {
        let mut base = match path[0].as_str() {
            "crate" | "fleet_scaler" => Vec::new(),
            "self" | "super" => self.module.clone(),
            _ => {
                self.found.push(Reference { segments: path.to_vec(), is_ours: false, line });
                return;
            }
        };
        for segment in path {
            match segment.as_str() {
                "crate" | "fleet_scaler" | "self" => {}
                "super" => {
                    base.pop();
                }
                other => base.push(other.to_owned()),
            }
        }
        // The crate itself (`pub(crate)`) and the module itself (`use super::*` in its tests) are no imports.
        let within = !base.is_empty() && self.module.starts_with(&base);
        if !base.is_empty() && !within {
            self.found.push(Reference { segments: base, is_ours: true, line });
        }
    }

    fn note_tree(&mut self, tree: &syn::UseTree, prefix: &[String]) {
        let line = tree.span().start().line;
        let extended = |ident: &syn::Ident| [prefix, &[ident.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.note_tree(&path.tree, &extended(&path.ident)),
            syn::UseTree::Name(name) => self.note(&extended(&name.ident), line),
            syn::UseTree::Rename(rename) => self.note(&extended(&rename.ident), line),
            syn::UseTree::Glob(_) => self.note(prefix, line),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.note_tree(tree, prefix);
                }
            }
        }
    }

    /// Paths in tokens that nobody parsed: `a :: b :: c`, at any depth of brackets.
    fn note_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let (mut colons, mut line) = (0, 0);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.note_path(&mut path, line);
                    }
                    colons = 0;
                    line = ident.span().start().line;
                    path.push(ident.to_string());
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.note_path(&mut path, line);
                    self.note_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    colons = 0;
                    self.note_path(&mut path, line);
                }
            }
        }
        self.note_path(&mut path, line);
    }

    fn note_path(&mut self, path: &mut Vec<String>, line: usize) {
        if path.len() > 1 {
            self.note(path, line);
        }
        path.clear();
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.note_tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.note(&segments, path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.note_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.note_tokens(list.tokens.clone());
        visit::visit_meta_list(self, list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 10] = [
        "cli.rs",
        "clock.rs",
        "decide.rs",
        "decide/plan.rs",
        "domain/ids.rs",
        "provider.rs",
        "provider/aws.rs",
        "provider/aws/error.rs",
        "provider/simulated.rs",
        "store/postgres.rs",
    ];

    fn imports(path: &str, text: &str) -> Vec<String> {
        misplaced_imports(&Source::parse(path, text), &FILES.into_iter().collect())
    }

    #[test]
    fn upward_imports_are_found_wherever_they_hide() {
        for text in [
            "use crate::cli::Run;",
            "use crate::{domain::ids::Pool, cli};",
            "use super::cli as c;",
            "fn f() -> crate::cli::Run { todo!() }",
            "fn f() { crate::cli::run(); }",
            "fn f() { println!(\"{}\", [1, crate::cli::run()][0]); }",
            "#[derive(crate::cli::Show)] struct S;",
            "mod inner { use super::super::cli; }",
            "#[cfg(test)] mod tests { use crate::cli::Run; }",
        ] {
            assert_eq!(imports("decide.rs", text).len(), 1, "{text}: {:?}", imports("decide.rs", text));
        }
    }

    #[test]
    fn what_is_allowed_is_let_through() {
        for (path, text) in [
            ("decide.rs", "use crate::domain::ids::Pool; use crate::decide::plan::Plan; use plan::Plan;"),
            ("decide/plan.rs", "use super::condition; use crate::domain::ids; mod tests { use super::*; }"),
            (
                "provider/aws/error.rs",
                "use crate::provider::CloudProvider; use crate::provider::aws::Client;",
            ),
            ("provider/aws.rs", "use crate::provider::aws::error::read; pub(crate) fn f() {}"),
            ("decide.rs", "//! See [`crate::cli`].\n/// And `crate::cli::run`.\nstruct S;"),
            ("cli.rs", "use crate::provider::simulated::Model; use crate::store::postgres::PgStore;"),
            ("main.rs", "fn main() { fleet_scaler::cli::run(); }"),
        ] {
            assert_eq!(imports(path, text), Vec::<String>::new(), "{path}: {text}");
        }
    }

    #[test]
    fn contracts_do_not_name_their_implementations() {
        assert_eq!(imports("provider.rs", "pub use crate::provider::aws::Client;").len(), 1);
        assert_eq!(imports("provider.rs", "pub use self::aws::Client;").len(), 1);
        assert_eq!(imports("clock.rs", "use crate::provider::CloudProvider;").len(), 1);
    }

    #[test]
    fn implementations_do_not_meet() {
        assert_eq!(imports("store/postgres.rs", "use crate::provider::aws::Client;").len(), 1);
        assert_eq!(imports("provider/aws/error.rs", "use crate::provider::simulated::Model;").len(), 1);
    }

    #[test]
    fn unknown_modules_are_complaints() {
        assert_eq!(imports("decide.rs", "use crate::utils::trim;").len(), 1);
        assert_eq!(imports("utils.rs", "").len(), 1);
    }

    #[test]
    fn crates_out_of_place_are_found() {
        let crates = |path: &str, text: &str| misplaced_crates(&Source::parse(path, text)).len();
        assert_eq!(crates("store.rs", "use sqlx::PgPool;"), 1);
        assert_eq!(crates("store/postgres.rs", "use sqlx::PgPool; fn f() { sqlx::query!(\"\"); }"), 0);
        assert_eq!(crates("reconcile.rs", "fn f() -> anyhow::Result<()> { Ok(()) }"), 1);
        assert_eq!(crates("provider/simulated.rs", "use aws_sdk_ec2::Client;"), 1);
        assert_eq!(crates("provider/aws/error.rs", "use aws_sdk_ec2::Client; use crate::config::x;"), 0);
        assert_eq!(crates("domain/ids.rs", "#[derive(sqlx::Type)] struct S;"), 1);
        assert_eq!(crates("config.rs", "struct S { aws_config: u8 }"), 0);
    }

    #[test]
    fn a_table_that_differs_is_found() {
        let modules = LAYERS.map(|(name, _)| format!("pub mod {name};\n")).concat();
        let rows = LAYERS.map(|(name, n)| format!("//! | {n} | [`{name}`] | x |\n")).concat();
        let differences = |text: &str| table_differences(&Source::parse("lib.rs", text)).len();
        assert_eq!(differences(&format!("{rows}{modules}")), 0);
        assert_eq!(differences(&format!("{rows}{modules}pub mod utils;")), 1);
        assert_eq!(differences(&format!("{}{modules}", rows.replace("| 7 |", "| 6 |"))), 1);
        assert_eq!(differences(&modules), 1);
    }
}
