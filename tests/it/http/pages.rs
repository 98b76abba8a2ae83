//! The description: every route is in it, and what it says is what the command line prints.

use std::collections::BTreeSet;

use serde_json::Value;

use super::site::Site;
use crate::cli::program::call;

fn paths(document: &Value) -> BTreeSet<String> {
    document["paths"].as_object().unwrap().keys().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_whole_and_the_one_that_the_command_prints() {
    let site = Site::with_tokens(None).await;
    let served = site.get("/openapi.json").await.with(200);
    assert_eq!(served, call(&["openapi"]).ended(0).json());
    let described = paths(&served);
    let in_words = std::fs::read_to_string("docs/api.md").unwrap();
    for path in &described {
        let last = path.rsplit_once("/{fleet}").map_or(path.as_str(), |(_, rest)| rest);
        let last = if last.is_empty() { path.as_str() } else { last };
        assert!(in_words.contains(last), "docs/api.md does not name {path}");
    }
    for (path, item) in served["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{name} has no summary");
            let statuses: BTreeSet<&str> =
                operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
            assert!(
                statuses.is_superset(&["400", "401", "403", "429", "503"].into()),
                "{name}: {statuses:?}"
            );
            // What is described is there: nothing of it is an unknown resource or asked in another way.
            let asked =
                path.replace("{fleet}", "web").replace("{id}", "019363f4-0c3a-7d31-9e4e-5a2d8f1b6c70");
            let method: reqwest::Method = method.to_uppercase().parse().unwrap();
            let response = site.request(method, &asked).send().await.unwrap();
            let is_there = !matches!(response.status().as_u16(), 405);
            let body = if asked == "/stream" { String::new() } else { response.text().await.unwrap() };
            assert!(is_there && !body.contains("unknown_resource"), "{name}: {body}");
        }
    }
    assert_no_loose_ends(&served, &served);
}

/// Every reference leads somewhere.
fn assert_no_loose_ends(document: &Value, part: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref") {
                let pointer = target.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{target} is not in the document");
            }
            fields.values().for_each(|inner| assert_no_loose_ends(document, inner));
        }
        Value::Array(items) => items.iter().for_each(|inner| assert_no_loose_ends(document, inner)),
        _ => {}
    }
}
