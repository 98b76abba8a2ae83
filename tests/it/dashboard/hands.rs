//! The page without a mouse, and the page that is left open: every control is reached and worked by keys, and what
//! happens appears by itself.

use serde_json::json;

use super::browser::{Browser, ENTER, ESCAPE, RIGHT, TAB};
use crate::http::site::Site;

/// Everything that can be worked and is to be seen.
const CONTROLS: &str =
    "[...document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]')]
    .filter((one) => !one.disabled && one.checkVisibility({visibilityProperty: true}))";

async fn opened(path: &str) -> (Site, Browser) {
    let site = Site::new().await;
    let browser = Browser::start().await;
    browser.open(&format!("http://{}{path}", site.address)).await;
    browser.until_says("#page", "2 hosts serve, 2 wanted").await;
    (site, browser)
}

/// Presses Tab until this has the focus.
async fn tab_to(browser: &Browser, id: &str) {
    for _ in 0..100 {
        if browser.value("document.activeElement.id").await == json!(id) {
            return;
        }
        browser.press(TAB).await;
    }
    panic!("Tab does not lead to {id}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_control_is_reached_by_tab() {
    let (_site, browser) = opened("/fleets/web").await;
    let watch =
        "window.reached = new Set(); document.addEventListener('focusin', ({target}) => reached.add(target))";
    browser.run(watch).await;
    let controls = browser.value(&format!("{CONTROLS}.length")).await.as_u64().unwrap();
    assert!(controls > 15, "only {controls} controls: is it the page?");
    browser.press(&TAB.repeat(usize::try_from(controls).unwrap() + 5)).await;
    let missed = browser
        .value(&format!("{CONTROLS}.filter((one) => !reached.has(one)).map((one) => one.outerHTML)"))
        .await;
    assert_eq!(missed, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_paused_by_keys_alone() {
    let (site, browser) = opened("/fleets/web").await;
    browser.press(TAB).await;
    browser.press(ENTER).await;
    browser.until("the skip link leads to the page", "document.activeElement.id === 'page'").await;
    tab_to(&browser, "pause").await;
    browser.press(ENTER).await;
    browser.until("a dialog has the focus", "!!document.activeElement.closest('dialog')").await;
    // The page behind it cannot be reached.
    browser.press(&TAB.repeat(12)).await;
    let focus = browser
        .value("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
        .await;
    assert_eq!(focus, json!(true));
    browser.press(ESCAPE).await;
    browser.until_gone("dialog").await;
    browser.until("the focus is where it was", "document.activeElement.id === 'pause'").await;
    browser.press(ENTER).await;
    tab_to(&browser, "reason").await;
    browser.press("deploy of v7").await;
    browser.press(ENTER).await;
    browser.until_says("dialog .granted", "Done, and recorded.").await;
    browser.press(ESCAPE).await;
    browser.until_gone("dialog").await;
    let fleet = site.get("/fleets/web").await.with(200);
    assert_eq!(fleet["pauses"][0]["reason"], "deploy of v7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_read_by_keys() {
    let (_site, browser) = opened("/fleets/web").await;
    browser.until("a chart is there", "!!document.querySelector('.plot')").await;
    browser.run("document.querySelector('.plot').focus()").await;
    browser.until_says(".readout", "Point at a chart, or use the arrow keys").await;
    browser.press(RIGHT).await;
    browser.until_says(".readout", "2 healthy, 2 wanted").await;
    browser.press(ESCAPE).await;
    browser.until_says(".readout", "Point at a chart, or use the arrow keys").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_is_made_while_the_page_is_open_appears_by_itself() {
    let (site, browser) = opened("/fleets/web").await;
    browser.run("window.opened = true").await;
    let body = json!({"reason": "match day", "size": 3, "actor": "ada"});
    site.post("/fleets/web/size", &body).await.with(202);
    browser.until_says("#page table .kind", "By hand").await;
    browser.until_says("#page", "3 hosts serve, 3 wanted").await;
    assert_eq!(browser.value("window.opened").await, json!(true), "the page was not loaded anew");
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_policy_forbids_is_heard_of() {
    let (_site, browser) = opened("/").await;
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
    // The tests that expect silence would mean nothing if nothing could break it.
    browser.run("document.body.setAttribute('style', 'color: red')").await;
    browser.run("const frame = document.createElement('img'); frame.src = 'http://127.0.0.1:1/a.png'; document.body.append(frame)").await;
    let complaints = browser.complaints(&[]).await;
    assert!(complaints.iter().any(|text| text.contains("Content Security Policy")), "{complaints:?}");
}
