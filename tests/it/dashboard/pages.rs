//! Every page, over a day on which everything happens, and every awkward state that somebody may find it in.

use std::time::Duration;

use serde_json::{Value, json};

use super::browser::{Browser, ESCAPE, Screen};
use super::day::day;
use super::looks::{faults, misfits};
use crate::http::site::{Plan, Site};

/// The decision of a fleet that did most: its page has something in every section.
pub(super) async fn richest(site: &Site, fleet: &str) -> String {
    let path = format!("/decisions?fleet={fleet}&action=scale_out&limit=100");
    let page = site.get(&path).await.with(200);
    let grown = |one: &Value| one["size_wanted"].as_i64().unwrap() - one["size_before"].as_i64().unwrap();
    let decisions = page["decisions"].as_array().unwrap();
    let most = decisions.iter().max_by_key(|one| grown(one)).expect("it has grown");
    most["decision_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_sound_and_can_be_used_by_everybody_on_every_screen() {
    let site = day(Duration::from_secs(15), 240).await;
    site.post("/fleets/search/pause", &json!({"reason": "the index is built anew", "actor": "ada"}))
        .await
        .with(200);
    site.until("/fleets/batch", |fleet| fleet["breaker"]["open"] == true).await;
    site.until("/decisions?fleet=web&action=scale_out", |page| page["decisions"] != json!([])).await;
    let browser = Browser::start().await;
    let decision = richest(&site, "web").await;
    let mut wrong = Vec::new();
    for path in [
        "/",
        "/fleets/web",
        "/fleets/search",
        "/fleets/batch",
        "/fleets/staging",
        "/actions",
        &format!("/decisions/{decision}"),
    ] {
        browser.open(&format!("http://{}{path}", site.address)).await;
        wrong.extend(browser.complaints(&[]).await);
        wrong.extend(faults(&browser, path, &Screen::ALL).await);
    }
    // The decision says what its rule had counted by then, and what its target read.
    for seen in ["it takes 2 of 3", "60 % ± 10 % wanted"] {
        browser.until_says(".seen-then", seen).await;
    }
    browser.open(&format!("http://{}/fleets/web", site.address)).await;
    for span in 1..=4 {
        browser.click(&format!("[aria-label='Time span'] button:nth-child({span})")).await;
        let pressed = format!("[aria-label='Time span'] button:nth-child({span})[aria-pressed='true']");
        browser.until("it is taken", &format!("!!document.querySelector({})", json!(pressed))).await;
        wrong.extend(misfits(&browser, &format!("span {span}")).await);
    }
    for dialog in ["#pause", "#set-size", "#page tr[id] button"] {
        browser.click(dialog).await;
        wrong.extend(faults(&browser, dialog, &Screen::SOME).await);
        browser.press(ESCAPE).await;
        browser.until_gone("dialog").await;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_broken_is_found_out() {
    let site = Site::of(Plan { acts: false, ..Plan::ordinary().await }).await;
    let browser = Browser::start().await;
    browser.open(&format!("http://{}/", site.address)).await;
    assert_eq!(faults(&browser, "whole", &Screen::SOME).await, Vec::<String>::new());
    // Without a loop nothing happens to the fleets, and the page's own second does not touch what is broken here.
    browser
        .run(
            "document.documentElement.removeAttribute('lang');
             document.querySelector('.brand').style.cssText = 'width: 90px; overflow: hidden; white-space: nowrap';
             document.querySelector('.bar-end').style.cssText = 'min-width: 2000px'",
        )
        .await;
    let found = faults(&browser, "broken", &Screen::SOME).await;
    for complaint in ["html-has-lang", "cut off: <a class='brand'>", "the page is 20", "beside the screen"] {
        assert!(found.iter().any(|one| one.contains(complaint)), "{complaint} is not in {found:#?}");
    }
}
