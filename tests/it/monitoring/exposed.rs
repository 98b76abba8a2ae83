//! The metrics that the service tells, read off its source, and what of a query is not among them.
//!
//! A page of a running service would not do: a counter of failures is on it only once something has failed.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::{file, read};
use crate::architecture::files_under;

/// The labels that Prometheus itself puts on every series.
const OF_THE_SCRAPE: [&str; 2] = ["job", "instance"];

/// Every metric by name, with its labels. A histogram is three.
pub(super) struct Exposed(BTreeMap<String, BTreeSet<String>>);

impl Exposed {
    pub(super) fn by_the_service() -> Self {
        let mut exposed = Self(BTreeMap::new());
        for path in files_under(&file("src"), "rs") {
            exposed.read(&std::fs::read_to_string(path).unwrap());
        }
        assert!(exposed.0.len() > 30, "only {} metrics: the walk is broken", exposed.0.len());
        exposed
    }

    fn read(&mut self, source: &str) {
        let syntax = syn::parse_file(source).unwrap();
        let mut calls = Calls::default();
        calls.visit_file(&syntax);
        for (kind, name, labels) in calls.found {
            let name = name.map_or_else(|constant| calls.constants.get(&constant).cloned(), Some);
            // Something of this name is another macro than the one that counts.
            let Some(name) = name.filter(|name| name.starts_with("fleet_scaler_")) else { continue };
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            for suffix in suffixes {
                let known = self.0.entry(format!("{name}{suffix}")).or_default();
                known.extend(labels.iter().cloned());
                known.extend((*suffix == "_bucket").then(|| "le".to_owned()));
            }
        }
    }

    /// What a query asks for and nobody tells; and that it asks for anything at all.
    pub(super) fn complaints(&self, place: &str, query: &str) -> Vec<String> {
        let selectors = selectors(query);
        if selectors.is_empty() {
            return vec![format!("{place}: it asks for none of our metrics: {query}")];
        }
        let mut complaints = Vec::new();
        for (metric, labels) in selectors {
            let Some(known) = self.0.get(&metric) else {
                complaints.push(format!("{place}: nobody tells {metric}"));
                continue;
            };
            let strange = labels
                .iter()
                .filter(|label| !known.contains(*label) && !OF_THE_SCRAPE.contains(&label.as_str()));
            complaints.extend(strange.map(|label| format!("{place}: {metric} has no label {label}")));
        }
        complaints
    }
}

/// The calls of the macros that tell something, and the constants that stand for names.
#[derive(Default)]
struct Calls {
    found: Vec<(String, Result<String, String>, BTreeSet<String>)>,
    constants: BTreeMap<String, String>,
}

impl<'ast> Visit<'ast> for Calls {
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let kind = call.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
        if matches!(kind.as_str(), "counter" | "gauge" | "histogram")
            && let Some(name) = name_of(call.tokens.clone())
        {
            self.found.push((kind, name, labels_of(call.tokens.clone())));
        }
        visit::visit_macro(self, call);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        if let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &*item.expr {
            self.constants.insert(item.ident.to_string(), text.value());
        }
    }
}

/// The first argument: a name, or a constant that stands for one.
fn name_of(tokens: TokenStream) -> Option<Result<String, String>> {
    match tokens.into_iter().next()? {
        TokenTree::Literal(literal) => text_of(&TokenTree::Literal(literal)).map(Ok),
        TokenTree::Ident(constant) => Some(Err(constant.to_string())),
        TokenTree::Group(_) | TokenTree::Punct(_) => None,
    }
}

/// The literals that `=>` follows.
fn labels_of(tokens: TokenStream) -> BTreeSet<String> {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let arrows = tokens.windows(3).filter(|three| three[1].to_string() == "=" && three[2].to_string() == ">");
    arrows.filter_map(|three| text_of(&three[0])).collect()
}

fn text_of(token: &TokenTree) -> Option<String> {
    syn::parse_str::<syn::LitStr>(&token.to_string()).ok().map(|literal| literal.value())
}

/// The metrics of ours in a query, each with the labels that its braces name.
fn selectors(query: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find("fleet_scaler_") {
        rest = &rest[start..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (metric, after) = rest.split_at(end);
        let inside =
            after.strip_prefix('{').and_then(|after| after.split_once('}')).map(|(inside, _)| inside);
        let names = inside.unwrap_or_default().split(',').filter_map(|matcher| {
            let name = matcher.split(['=', '!']).next()?.trim();
            (!name.is_empty() && matcher.contains('=')).then(|| name.to_owned())
        });
        found.push((metric.to_owned(), names.collect()));
        rest = after;
    }
    found
}

/// The names in the backticks of the first column of a document's table of metrics.
fn documented(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `fleet_scaler_"));
    rows.filter_map(|row| row.split(['`', '{']).next()).map(|name| format!("fleet_scaler_{name}")).collect()
}

#[test]
fn every_metric_is_documented_and_no_other() {
    let histogram = |name: &String| name.ends_with("_bucket") || name.ends_with("_sum");
    let told: BTreeSet<String> = Exposed::by_the_service()
        .0
        .into_keys()
        .filter(|name| !histogram(name))
        .map(|name| name.strip_suffix("_count").unwrap_or(&name).to_owned())
        .collect();
    assert_eq!(documented(&read("docs/monitoring.md")), told);
}

#[test]
fn what_is_told_is_found_in_the_source() {
    let mut exposed = Exposed(BTreeMap::new());
    exposed.read(
        "const CALLS: &str = \"fleet_scaler_calls_total\"; const OTHER: &str = \"other\";
         fn f() { metrics::counter!(CALLS, \"op\" => op(), \"outcome\" => x).increment(1); counter!(OTHER); }
         fn g() { gauge!(\"fleet_scaler_size\", \"fleet\" => f).set(1.0); histogram!(\"fleet_scaler_seconds\"); }",
    );
    let names: Vec<_> = exposed.0.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "fleet_scaler_calls_total",
            "fleet_scaler_seconds_bucket",
            "fleet_scaler_seconds_count",
            "fleet_scaler_seconds_sum",
            "fleet_scaler_size"
        ]
    );
    let complaints = |query| exposed.complaints("here", query);
    assert_eq!(complaints("sum(fleet_scaler_calls_total{op=\"a\", outcome!=\"b\", job=\"c\"}[5m])"), [""; 0]);
    assert_eq!(complaints("fleet_scaler_sizes > 1"), ["here: nobody tells fleet_scaler_sizes"]);
    assert_eq!(complaints("fleet_scaler_size{zone=~\"a\"}"), ["here: fleet_scaler_size has no label zone"]);
    assert_eq!(complaints("rate(fleet_scaler_seconds_bucket{le=\"5\"}[5m])"), [""; 0]);
    assert_eq!(complaints("up == 0"), ["here: it asks for none of our metrics: up == 0"]);
}
