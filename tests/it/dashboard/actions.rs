//! What an operator asks for in the page is done, and stands in the audit trail under their name and with their reason;
//! what a viewer asks for is not.

use serde_json::json;

use super::browser::{Browser, Screen};
use super::looks::faults;
use crate::http::site::Site;
use crate::http::tokens::token;

/// Who asked for what, and why.
type Recorded = (String, String, String);

/// Opens a page with this token, as a person does: it is asked for, typed in, and taken.
async fn signed_in(browser: &Browser, site: &Site, path: &str, token: &str) {
    browser.open(&format!("http://{}{path}", site.address)).await;
    browser.fill("#token-field", token).await;
    browser.click("dialog button[type=submit]").await;
    browser.until_gone("dialog").await;
    browser.until_says("h1", "web").await;
}

/// Fills in the reason, asks for it, and waits for what is said in the end.
async fn confirmed(browser: &Browser, reason: &str, outcome: &str) {
    browser.fill("#reason", reason).await;
    browser.click("dialog button[type=submit]").await;
    browser.until_says("dialog .outcome", outcome).await;
}

/// Everything that stands in the trail, in order.
async fn recorded(site: &Site) -> Vec<Recorded> {
    sqlx::query_as("SELECT actor, action, reason FROM audit.operator_actions ORDER BY at")
        .fetch_all(&site.database.pool())
        .await
        .unwrap()
}

fn by_ada(action: &str, reason: &str) -> Recorded {
    ("ada".to_owned(), action.to_owned(), reason.to_owned())
}

async fn operated() -> (Site, Browser) {
    let (ada, file) = token("ada", "operator");
    let site = Site::with_tokens(Some(&file)).await;
    let browser = Browser::start().await;
    signed_in(&browser, &site, "/fleets/web", &ada).await;
    browser.until_says("#page", "2 hosts serve, 2 wanted").await;
    (site, browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_pauses_and_resumes_a_fleet() {
    let (site, browser) = operated().await;
    browser.until("resume is off", "document.querySelector('#resume').disabled").await;
    browser.click("#pause").await;
    browser.until_says("#effect", "web neither grows nor shrinks for 30 minutes").await;
    // Without a reason nothing is sent, and the field says so.
    browser.click("dialog button[type=submit]").await;
    browser.until("the reason is wanted", "document.activeElement.id === 'reason'").await;
    assert_eq!(recorded(&site).await, []);
    confirmed(&browser, "deploy of v7", "Done, and recorded.").await;
    assert_eq!(recorded(&site).await, [by_ada("pause", "deploy of v7")]);
    browser.click("dialog button[type=button]").await;
    browser.until_says(".findings", "Scaling paused, ends in").await;
    browser.click("#resume").await;
    browser.until_says("#effect", "deploy of v7").await;
    confirmed(&browser, "v7 is out", "Done, and recorded.").await;
    browser.press(super::browser::ESCAPE).await;
    browser.until_gone("dialog").await;
    browser.until("resume is off again", "document.querySelector('#resume').disabled").await;
    assert_eq!(recorded(&site).await, [by_ada("pause", "deploy of v7"), by_ada("resume", "v7 is out")]);
    assert_eq!(browser.complaints(&["401"]).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sets_a_size_and_drains_a_host() {
    let (site, browser) = operated().await;
    // What a guard refuses is told as it was said, and recorded nowhere.
    browser.click("#page tr[id] button").await;
    confirmed(&browser, "its disk is slow", "while min = 2").await;
    browser.click("dialog button[type=button]").await;
    assert_eq!(recorded(&site).await, []);
    browser.click("#set-size").await;
    browser.fill("#size", "3").await;
    browser.until_says("#effect", "web goes from 2 to 3: the next decision buys 1 host").await;
    confirmed(&browser, "match day", "Granted").await;
    browser.click("dialog button[type=button]").await;
    browser.until_says("#page", "3 hosts serve, 3 wanted").await;
    let host = browser.text("#page tr[id] td").await;
    browser.click(&format!("[aria-label='Drain {host}']")).await;
    browser.until_says("#effect", &format!("{host} in eu-west-1")).await;
    confirmed(&browser, "its disk is slow", "Granted").await;
    browser.click("dialog button[type=button]").await;
    browser.until_gone(&format!("[aria-label='Drain {host}']")).await;
    browser.click("[aria-label='Hosts shown'] button:last-child").await;
    browser.until_says(&format!("[id='{host}'] .state"), "terminated").await;
    assert_eq!(recorded(&site).await, [by_ada("set_size", "match day"), by_ada("drain", "its disk is slow")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_everything_and_changes_nothing() {
    let (eve, file) = token("eve", "viewer");
    let site = Site::with_tokens(Some(&file)).await;
    let browser = Browser::start().await;
    signed_in(&browser, &site, "/fleets/web", &eve).await;
    browser.until_says("#page", "2 hosts serve, 2 wanted").await;
    // It is said before anybody tries: every control is off, and one sentence says why.
    browser.until_says("#barred", "The token eve may look and not act").await;
    let free = "[...document.querySelectorAll('.actions button, #page tr[id] button')].filter((one) => !one.disabled || !one.title)";
    assert_eq!(browser.value(&format!("{free}.length")).await, json!(0));
    assert_eq!(
        browser.value("document.querySelectorAll('.actions button, #page tr[id] button').length").await,
        json!(5)
    );
    let mut wrong = browser.complaints(&["401"]).await;
    wrong.extend(faults(&browser, "a viewer", &Screen::ALL).await);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(recorded(&site).await, []);
    // Taken back, it shows nothing any more.
    browser.click("#token").await;
    browser.until_says("dialog", "A token is needed").await;
    browser.until("nothing is shown", "!document.body.textContent.includes('hosts serve')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_whose_scope_is_taken_away_is_told_so() {
    let (ada, file) = token("ada", "operator");
    let site = Site::with_tokens(Some(&file)).await;
    let browser = Browser::start().await;
    signed_in(&browser, &site, "/fleets/web", &ada).await;
    browser.until("pausing is on", "document.querySelector('#pause')?.disabled === false").await;
    browser.click("#pause").await;
    // Meanwhile it may only look: the dialogue that is open says so, and the page from then on.
    std::fs::write(site.folder.join("tokens.toml"), file.replace("operator", "viewer")).unwrap();
    browser.until("it is known", "document.querySelector('#pause').disabled").await;
    confirmed(&browser, "let me", "This token may look and not act.").await;
    browser.click("dialog button[type=button]").await;
    browser.until_says("#barred", "The token ada may look and not act").await;
    assert_eq!(recorded(&site).await, []);
}
