//! How long, where, and in what form.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::{Source, assert_none, files_under, is_test_only, root, sources};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const FUNCTION_LINES_P90: usize = 40;

#[test]
fn files_are_short_and_open_with_their_purpose() {
    assert_none(&sources().iter().flat_map(misshapen_file).collect::<Vec<_>>());
}

#[test]
fn functions_are_short() {
    let functions: Vec<Function> = sources().iter().flat_map(functions).collect();
    assert!(functions.len() > 50, "only {} functions found: the walk is broken", functions.len());
    assert_none(&functions.iter().filter_map(too_long).collect::<Vec<_>>());
    let mut lengths: Vec<usize> = functions.iter().filter(|f| !f.is_test).map(|f| f.lines).collect();
    let p90 = percentile_90(&mut lengths);
    assert!(
        p90 <= FUNCTION_LINES_P90,
        "the 90th percentile of functions is {p90} lines, not {FUNCTION_LINES_P90}"
    );
}

#[test]
fn tests_are_short_too() {
    let complaints: Vec<String> = ["tests", "benches"]
        .iter()
        .flat_map(|folder| files_under(&root().join(folder), "rs"))
        .flat_map(|file| {
            let path = format!("../{}", file.strip_prefix(root()).unwrap().display());
            let source = Source::parse(&path, &std::fs::read_to_string(&file).unwrap());
            let long = functions(&source).iter().filter_map(too_long).collect::<Vec<_>>();
            [misshapen_file(&source), long].concat()
        })
        .collect();
    assert_none(&complaints);
}

#[test]
fn nothing_panics_for_want_of_handling() {
    assert_none(&sources().iter().flat_map(unhandled).collect::<Vec<_>>());
}

#[test]
fn sql_stays_in_the_store() {
    let sources = sources();
    assert_none(&sources.iter().flat_map(misplaced_sql).collect::<Vec<_>>());
}

fn misshapen_file(source: &Source) -> Vec<String> {
    let path = &source.path;
    let lines = source.text.lines().count();
    let mut complaints = Vec::new();
    if lines > FILE_LINES_MAX {
        complaints.push(format!("src/{path}: {lines} lines, {FILE_LINES_MAX} at most: split it"));
    }
    if !source.text.starts_with("//!") {
        complaints.push(format!("src/{path}:1: it must open with `//!`: what it is for, and why it is so"));
    }
    if path.ends_with("mod.rs") && path.trim_end_matches("mod.rs").ends_with(['/', '.']) || path == "mod.rs" {
        complaints.push(format!("src/{path}: a module `x` with children is `x.rs` beside the folder `x/`"));
    }
    complaints
}

/// One function, with its length from `fn` to its closing bracket.
struct Function {
    place: String,
    name: String,
    lines: usize,
    is_test: bool,
}

fn too_long(function: &Function) -> Option<String> {
    let Function { place, name, lines, .. } = function;
    (*lines > FUNCTION_LINES_MAX)
        .then(|| format!("{place}: `{name}` has {lines} lines, {FUNCTION_LINES_MAX} at most"))
}

fn percentile_90(lengths: &mut [usize]) -> usize {
    lengths.sort_unstable();
    let rank = (lengths.len() * 9).div_ceil(10);
    lengths.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

fn functions(source: &Source) -> Vec<Function> {
    walk(source).functions
}

fn unhandled(source: &Source) -> Vec<String> {
    walk(source).unhandled
}

fn misplaced_sql(source: &Source) -> Vec<String> {
    if source.path.starts_with("store/") {
        return Vec::new();
    }
    // The demo asks what an operator would ask, of the views that are made for it, through psql.
    let is_demo = source.path.starts_with("cli/demo");
    let found = walk(source).sql;
    found.into_iter().filter(|sql| !is_demo || sql.names_tables).map(|sql| sql.complaint).collect()
}

fn walk(source: &Source) -> Walk<'_> {
    let mut walk = Walk {
        path: &source.path,
        in_test: source.test_only,
        functions: Vec::new(),
        unhandled: Vec::new(),
        sql: Vec::new(),
    };
    walk.visit_file(&source.syntax);
    walk
}

/// Whether a text is a statement: SQL is written in capitals here, and prose is not.
fn is_sql(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let has = |word: &str| words.iter().any(|found| found.trim_matches(['(', ')', ';', ',']) == word);
    let pair = |a: &str, b: &str| words.windows(2).any(|pair| pair == [a, b]);
    has("SELECT")
        || pair("INSERT", "INTO")
        || pair("DELETE", "FROM")
        || (has("UPDATE") && has("SET"))
        || ["TABLE", "VIEW", "ROLE", "SCHEMA", "INDEX", "DATABASE"]
            .iter()
            .any(|kind| pair("CREATE", kind) || pair("ALTER", kind) || pair("DROP", kind))
}

struct Walk<'a> {
    path: &'a str,
    in_test: bool,
    functions: Vec<Function>,
    unhandled: Vec<String>,
    sql: Vec<Sql>,
}

/// A statement outside the store.
struct Sql {
    complaint: String,
    /// Whether it names the tables, or else the views for people.
    names_tables: bool,
}

impl Walk<'_> {
    fn within<T>(&mut self, attributes: &[syn::Attribute], item: T, visit: impl FnOnce(&mut Self, T)) {
        let outside = self.in_test;
        self.in_test |= is_test_only(attributes);
        visit(self, item);
        self.in_test = outside;
    }

    fn function(&mut self, attributes: &[syn::Attribute], signature: &syn::Signature, body: &syn::Block) {
        let first = signature.fn_token.span.start().line;
        let last = body.brace_token.span.close().end().line;
        self.functions.push(Function {
            place: format!("src/{}:{first}", self.path),
            name: signature.ident.to_string(),
            lines: last - first + 1,
            is_test: self.in_test || is_test_only(attributes),
        });
    }

    fn literal(&mut self, text: &str, line: usize) {
        if !self.in_test && is_sql(text) {
            let complaint = format!("src/{}:{line}: SQL belongs under src/store", self.path);
            self.sql
                .push(Sql { complaint, names_tables: !text.contains("audit.") || text.contains("scaler.") });
        }
    }

    /// What stands in the arguments of a macro is not parsed; its literals and calls are read as tokens.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (index, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                        self.literal(&text.value(), literal.span().start().line);
                    }
                }
                TokenTree::Ident(ident) if !self.in_test && index > 0 => {
                    let is_call = matches!(&tokens[index - 1], TokenTree::Punct(dot) if dot.as_char() == '.')
                        && matches!(tokens.get(index + 1), Some(TokenTree::Group(_)));
                    if is_call && (ident == "unwrap" || ident == "expect") {
                        self.panics(&ident.to_string(), ident.span().start().line);
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }

    fn panics(&mut self, method: &str, line: usize) {
        self.unhandled
            .push(format!("src/{}:{line}: `{method}` outside tests: say what happens instead", self.path));
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.within(&item.attrs, item, visit::visit_item_mod);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.within(&item.attrs, item, visit::visit_item_impl);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.attrs, &item.sig, &item.block);
        self.within(&item.attrs, item, visit::visit_item_fn);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.attrs, &item.sig, &item.block);
        self.within(&item.attrs, item, visit::visit_impl_item_fn);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.attrs, &item.sig, body);
        }
        self.within(&item.attrs, item, visit::visit_trait_item_fn);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let takes_text =
            matches!(call.args.first(), Some(syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(_), .. })));
        let panics = call.method == "unwrap" && call.args.is_empty() || call.method == "expect" && takes_text;
        if panics && !self.in_test {
            self.panics(&call.method.to_string(), call.method.span().start().line);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    /// Documentation may quote SQL.
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.literal(&literal.value(), literal.span().start().line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::parse("reconcile/act.rs", text)
    }

    #[test]
    fn long_files_and_bare_files_are_found() {
        let long = format!("//! x\n{}", "\n".repeat(FILE_LINES_MAX));
        assert_eq!(misshapen_file(&source(&long)).len(), 1);
        assert_eq!(misshapen_file(&source("use std::fmt;")).len(), 1);
        assert_eq!(misshapen_file(&Source::parse("provider/mod.rs", "//! x")).len(), 1);
        assert_eq!(misshapen_file(&Source::parse("provider/command.rs", "//! x")).len(), 0);
    }

    #[test]
    fn long_functions_are_found() {
        let body = "\n".repeat(FUNCTION_LINES_MAX - 1);
        let count = |text: &str| functions(&source(text)).iter().filter_map(too_long).count();
        assert_eq!(count(&format!("fn f() {{{body}}}")), 0);
        assert_eq!(count(&format!("fn f() {{\n{body}}}")), 1);
        assert_eq!(count(&format!("impl S {{ fn f() {{\n{body}}} }}")), 1);
        assert_eq!(count(&format!("trait T {{ fn f() {{\n{body}}} fn g(); }}")), 1);
        assert_eq!(count(&format!("fn f() {{ fn g() {{\n{body}}} }}")), 2);
    }

    #[test]
    fn the_percentile_is_the_nearest_rank() {
        assert_eq!(percentile_90(&mut [3, 1, 2]), 3);
        assert_eq!(percentile_90(&mut (1..=10).rev().collect::<Vec<_>>()), 9);
        assert_eq!(percentile_90(&mut (1..=100).collect::<Vec<_>>()), 90);
        assert_eq!(percentile_90(&mut []), 0);
    }

    #[test]
    fn panics_are_found_outside_tests_only() {
        let count = |text: &str| unhandled(&source(text)).len();
        assert_eq!(count("fn f() { g().unwrap(); }"), 1);
        assert_eq!(count("fn f() { g().expect(\"there\"); }"), 1);
        assert_eq!(count("fn f() { assert!(g().unwrap()); }"), 1);
        assert_eq!(count("fn f() { g().unwrap_or(1); parser.expect(Token::Comma); }"), 0);
        assert_eq!(count("#[cfg(test)] mod tests { fn f() { g().unwrap(); } }"), 0);
        assert_eq!(count("#[test] fn f() { g().unwrap(); }"), 0);
        assert_eq!(count("#[tokio::test] async fn f() { g().unwrap(); } fn h() { g().unwrap(); }"), 1);
        assert_eq!(count("#[cfg(not(test))] fn f() { g().unwrap(); }"), 1);
    }

    #[test]
    fn sql_is_found_and_prose_is_not() {
        let count = |text: &str| misplaced_sql(&source(text)).len();
        assert_eq!(count("const Q: &str = \"SELECT 1\";"), 1);
        assert_eq!(count("fn f() { query(\"UPDATE host\\n SET state = $1\"); }"), 1);
        assert_eq!(count("fn f() { format!(\"DELETE FROM {table}\"); }"), 1);
        assert_eq!(count("fn f() { g(\"select a fleet, or update it\"); }"), 0);
        assert_eq!(count("/// SELECT * FROM audit.decisions\nfn f() {}"), 0);
        assert_eq!(
            misplaced_sql(&Source::parse("store/postgres.rs", "const Q: &str = \"SELECT 1\";")).len(),
            0
        );
    }
}
