//! Tokens: who is let in, who is told why not, and what is written down of it.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::site::{Answer, Site, answer};
use crate::cli::program::call;

/// A token as the command line makes it: the token, and what the file is to hold.
pub(crate) fn token(name: &str, scope: &str) -> (String, String) {
    let ran =
        call(&["token", "new", "--name", name, "--scope", scope, "--expires", "8h", "--output", "json"]);
    let made = ran.ended(0).json();
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    let file = format!(
        "[[token]]\nname = \"{name}\"\nscope = \"{scope}\"\nsha256 = \"{}\"\nexpires_at = \"{}\"\n",
        text("sha256"),
        text("expires_at")
    );
    (text("token"), file)
}

async fn with(site: &Site, token: Option<&str>, method: Method, path: &str) -> Answer {
    let mut request = site.request(method.clone(), path);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if method == Method::POST {
        request = request.json(&json!({"reason": "deploy", "actor": "ada"}));
    }
    answer(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_asks_an_operator_changes_and_a_stranger_does_neither() {
    let (viewer, first) = token("grafana", "viewer");
    let (operator, second) = token("pager-bot", "operator");
    let old = "[[token]]\nname = \"old\"\nscope = \"operator\"\nexpires_at = \"2020-01-01T00:00:00Z\"\nsha256 = \
               \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"\n";
    let site = Site::with_tokens(Some(&format!("{first}{second}{old}"))).await;
    let pause = "/fleets/web/pause";
    with(&site, Some(&viewer), Method::GET, "/fleets").await.with(200);
    let forbidden = with(&site, Some(&viewer), Method::POST, pause).await.with(403);
    assert_eq!(forbidden["code"], "scope");
    let paused = with(&site, Some(&operator), Method::POST, pause).await.with(200);
    assert_eq!(paused["actor"], "ada via pager-bot");
    let none = with(&site, None, Method::GET, "/fleets").await;
    assert!(none.header("www-authenticate").starts_with("Bearer"));
    assert_eq!(none.with(401)["code"], "no_token");
    let unknown = with(&site, Some("fs_guess"), Method::GET, "/openapi.json").await.with(401);
    assert_eq!(unknown["code"], "unknown_token");
    // The hash of "test": nobody can use what the file holds as if it were the token.
    let expired = with(&site, Some("test"), Method::POST, pause).await.with(401);
    assert_eq!(expired["code"], "expired_token");
    // Health and metrics are nobody's secret.
    for page in ["/healthz", "/metrics"] {
        let url = format!("http://{}{page}", site.address);
        assert_eq!(super::site::client().get(url).send().await.unwrap().status(), 200, "{page}");
    }
    let start = Instant::now();
    loop {
        let mut rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT cause, token, sum(count)::bigint FROM audit.refused_requests GROUP BY 1, 2",
        )
        .fetch_all(&site.database.pool())
        .await
        .unwrap();
        rows.sort();
        let expected =
            [("expired_token", "old"), ("no_token", ""), ("scope", "grafana"), ("unknown_token", "")];
        if rows.iter().map(|row| (row.0.as_str(), row.1.as_str())).eq(expected) {
            assert!(rows.iter().all(|row| row.2 == 1), "{rows:?}");
            break;
        }
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "what was turned away is not written down: {rows:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_tokens_file_is_in_force_without_a_restart() {
    let (ada, first) = token("ada", "viewer");
    let (bob, second) = token("bob", "viewer");
    let site = Site::with_tokens(Some(&first)).await;
    with(&site, Some(&ada), Method::GET, "/fleets").await.with(200);
    with(&site, Some(&bob), Method::GET, "/fleets").await.with(401);
    std::fs::write(site.folder.join("tokens.toml"), second).unwrap();
    let start = Instant::now();
    while with(&site, Some(&bob), Method::GET, "/fleets").await.status != 200 {
        assert!(start.elapsed() < Duration::from_mins(1), "the new token is not in force");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    with(&site, Some(&ada), Method::GET, "/fleets").await.with(401);
}

#[test]
fn a_token_is_printed_with_what_the_file_is_to_hold() {
    let ran = call(&["token", "new", "--name", "ada", "--scope", "viewer", "--expires", "90d"]).ended(0);
    assert!(
        ran.stdout.contains("  fs_") && ran.stdout.contains("[[token]]\nname = \"ada\""),
        "{}",
        ran.stdout
    );
    for wrong in [
        ["--name", "a b", "--scope", "viewer", "--expires", "90d"],
        ["--name", "ada", "--scope", "root", "--expires", "90d"],
        ["--name", "ada", "--scope", "viewer", "--expires", "never"],
    ] {
        call(&[&["token", "new"][..], &wrong[..]].concat()).ended(2);
    }
}
