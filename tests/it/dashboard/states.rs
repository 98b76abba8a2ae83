//! The awkward states somebody may find the page in: each says what is the case and what may be done, and is as sound as
//! the rest.

use super::browser::{Browser, Screen};
use super::looks::faults;
use crate::cli::pages::serve;
use crate::cli::program::Folder;
use crate::http::site::{Plan, Site};
use crate::http::tokens::token;

/// Opens an address, waits until it says this, and gives what is wrong with it.
async fn explained(browser: &Browser, url: &str, says: &str, expected: &[&str]) -> Vec<String> {
    browser.open(url).await;
    browser.until_says("body", says).await;
    let mut wrong = browser.complaints(expected).await;
    wrong.extend(faults(browser, url, &Screen::SOME).await);
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_nothing_to_show_the_page_says_why() {
    let browser = Browser::start().await;
    let mut wrong = Vec::new();
    let empty = Site::of(Plan { fleets: Vec::new(), ..Plan::ordinary().await }).await;
    let home = format!("http://{}", empty.address);
    for (path, says, status) in [
        ("/", "There is no fleet yet", ""),
        ("/fleets/nope", "there is no fleet \"nope\"", "404"),
        ("/decisions/019363f4-0c3a-7d31-9e4e-5a2d8f1b6c70", "there is no decision", "404"),
        ("/decisions/nonsense", "Invalid parameter", "400"),
    ] {
        let expected: &[&str] = if status.is_empty() { &[] } else { &[status] };
        wrong.extend(explained(&browser, &format!("{home}{path}"), says, expected).await);
    }
    let idle = Site::of(Plan { acts: false, ..Plan::ordinary().await }).await;
    for (path, says) in
        [("/", "No replica acts for it"), ("/fleets/web", "Nothing was observed in this span")]
    {
        wrong.extend(explained(&browser, &format!("http://{}{path}", idle.address), says, &[]).await);
    }
    let (_running, address) = serve(&Folder::without_database(), &[]);
    let url = format!("http://{address}/");
    wrong.extend(explained(&browser, &url, "It is asked again every few seconds", &["503"]).await);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_token_is_asked_for_one_and_told_what_is_wrong_with_theirs() {
    let (_, file) = token("ada", "viewer");
    let site = Site::with_tokens(Some(&file)).await;
    let browser = Browser::start().await;
    let url = format!("http://{}/fleets/web", site.address);
    let mut wrong = explained(&browser, &url, "A token is needed", &["401"]).await;
    browser.fill("#token-field", "fs_guess").await;
    browser.click("dialog button[type=submit]").await;
    browser.until_says("dialog", "The service does not know this token.").await;
    wrong.extend(browser.complaints(&["401"]).await);
    wrong.extend(faults(&browser, "a wrong token", &Screen::SOME).await);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_goes_away_is_said_to_be_away_and_what_was_seen_last_stays() {
    let mut site = Site::new().await;
    let browser = Browser::start().await;
    browser.open(&format!("http://{}/", site.address)).await;
    browser.until_says("#page", "2 hosts serve, 2 wanted").await;
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
    site.stop.cancel();
    while site.tasks.join_next().await.is_some() {}
    browser.until_says("#link", "Connection lost").await;
    browser.until_says(".notice", "What is shown below is what was seen last.").await;
    browser.until_says("#page", "2 hosts serve, 2 wanted").await;
    let mut wrong = browser.complaints(&["ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY"]).await;
    wrong.extend(faults(&browser, "away", &Screen::SOME).await);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
