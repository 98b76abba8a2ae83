//! A database that is away: the API says so, and when to ask again.

use serde_json::json;

use crate::cli::pages::serve;
use crate::cli::program::Folder;
use crate::cli::web;

#[test]
fn without_its_database_the_api_says_what_it_waits_for() {
    let folder = Folder::without_database();
    let (_running, address) = serve(&folder, &[]);
    web::get_until(address, "/readyz", 503);
    let answer = web::get(address, "/api/v1/fleets");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.head.contains("retry-after: 2"), "{}", answer.head);
    let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["code"], json!("starting"));
    assert!(!answer.body.contains("geheim"), "{}", answer.body);
    assert_eq!(web::get(address, "/api/v1/openapi.json").status, 200, "it needs no database");
}
