//! Who did what: found from every page, narrowed down by keys alone, and to be sent to somebody as an address.

use serde_json::{Value, json};

use super::browser::{Browser, ENTER, Screen};
use super::looks::faults;
use crate::http::site::Site;

async fn asked_for() -> Site {
    let site = Site::new().await;
    let pause = json!({"reason": "deploy of v7", "actor": "ada", "for": "2h"});
    site.post("/fleets/db/pause", &pause).await.with(200);
    site.post("/fleets/web/size", &json!({"reason": "match day", "size": 3, "actor": "grace"}))
        .await
        .with(202);
    site.until("/actions", |page| page["actions"][0]["outcome"] == "granted").await;
    let hosts = site.get("/fleets/web/hosts").await.with(200);
    let host = hosts["hosts"][0]["instance_id"].as_str().unwrap().to_owned();
    site.until("/fleets/web", |fleet| fleet["hosts"]["healthy"] == 3).await;
    let drain = json!({"reason": "its disk is slow", "actor": "ada"});
    site.post(&format!("/fleets/web/hosts/{host}/drain"), &drain).await.with(202);
    site.until("/actions", |page| page["actions"][0]["outcome"] == "granted").await;
    site
}

/// The names in the table, in its order.
async fn actors(browser: &Browser) -> Value {
    browser
        .value("[...document.querySelectorAll('tbody td:nth-child(2)')].map((one) => one.textContent)")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_what_is_told_found_and_linked() {
    let site = asked_for().await;
    let browser = Browser::start().await;
    browser.open(&format!("http://{}/", site.address)).await;
    browser.click("a[href='/actions']").await;
    browser.until_says("h1", "Who did what").await;
    browser.until_says("tbody tr:nth-child(1)", "its disk is slow").await;
    assert_eq!(actors(&browser).await, json!(["ada via http", "grace via http", "ada via http"]));
    browser.until_says("tbody tr:nth-child(1)", "Granted").await;
    browser.until_says("tbody tr:nth-child(2)", "Set the size to 3").await;
    browser.until_says("tbody tr:nth-child(3)", "Paused scaling until ").await;
    let mut wrong = browser.complaints(&[]).await;
    wrong.extend(faults(&browser, "actions", &Screen::ALL).await);

    browser.run("document.querySelector('#of-actor').focus()").await;
    browser.press("grace").await;
    browser.press(ENTER).await;
    browser.until("one is left", "document.querySelectorAll('tbody tr').length === 1").await;
    assert_eq!(actors(&browser).await, json!(["grace via http"]));
    // The address says what is looked for, so whoever opens it sees the same.
    let address = browser.value("location.href").await.as_str().unwrap().to_owned();
    browser.open(&address).await;
    browser.until("one is left", "document.querySelectorAll('tbody tr').length === 1").await;
    assert_eq!(browser.value("document.querySelector('#of-actor').value").await, json!("grace"));

    browser.click("tbody td:last-child a").await;
    browser.until_says("h1", "match day").await;
    browser.open(&format!("http://{}/fleets/db", site.address)).await;
    browser.click("a[href='/actions?fleet=db']").await;
    browser.until_says("tbody", "deploy of v7").await;
    assert_eq!(actors(&browser).await, json!(["ada via http"]));
    browser.open(&format!("http://{}/actions?actor=nobody", site.address)).await;
    browser.until_says("#page", "Nobody asked for anything of this kind").await;
    wrong.extend(browser.complaints(&[]).await);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
