//! What an operator does in the page is done, and stands in the audit trail under their name.

use super::browser::Browser;
use crate::http::site::Site;
use crate::http::tokens::token;

/// Opens a page with this token, as a person does: it is asked for, typed in, and taken.
async fn signed_in(browser: &Browser, site: &Site, path: &str, token: &str) {
    browser.open(&format!("http://{}{path}", site.address)).await;
    browser.fill("#token-field", token).await;
    browser.click("dialog button[type=submit]").await;
    browser.until_gone("dialog").await;
    browser.until_says("h1", "web").await;
}

/// Who asked for what, in order: actor, action, reason.
async fn recorded(site: &Site) -> Vec<(String, String, String)> {
    sqlx::query_as("SELECT actor, action, reason FROM audit.operator_actions ORDER BY at")
        .fetch_all(&site.database.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_pauses_and_resumes_a_fleet_and_the_audit_trail_says_who_and_why() {
    let (ada, file) = token("ada", "operator");
    let site = Site::with_tokens(Some(&file)).await;
    let browser = Browser::start().await;
    signed_in(&browser, &site, "/fleets/web", &ada).await;
    browser.click("#pause").await;
    browser.until_says("#effect", "web neither grows nor shrinks for 30 minutes").await;
    browser.fill("#reason", "deploy of v7").await;
    browser.click("dialog button[type=submit]").await;
    browser.until_says("dialog .granted", "Done, and recorded.").await;
    assert_eq!(recorded(&site).await, [("ada".into(), "pause".into(), "deploy of v7".into())]);
}
