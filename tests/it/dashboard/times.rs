//! Whose clock it is: the service writes UTC, the reader sees their own time everywhere, and UTC when they point at it.

use chrono::{DateTime, FixedOffset};
use serde_json::json;

use super::browser::Browser;
use crate::http::site::Site;

/// Half an hour off every full hour: what is not converted shows.
const ZONE: &str = "Asia/Tehran";
const OFFSET_SECONDS: i32 = 3 * 3_600 + 1_800;

#[tokio::test(flavor = "multi_thread")]
async fn every_time_is_by_the_readers_clock_and_in_utc_when_pointed_at() {
    let site = Site::new().await;
    let pause = json!({"reason": "deploy of v7", "direction": "in", "actor": "ada", "for": "2h"});
    let paused = site.post("/fleets/web/pause", &pause).await.with(200);
    let until: DateTime<FixedOffset> = paused["until"].as_str().unwrap().parse().unwrap();
    let browser = Browser::start().await;
    browser.ask("Emulation.setTimezoneOverride", json!({"timezoneId": ZONE})).await;
    for path in ["/", "/fleets/web", "/actions"] {
        browser.open(&format!("http://{}{path}", site.address)).await;
        browser.until_says("#page", "deploy of v7").await;
        browser.until_says("#zone", &format!("{ZONE} (UTC+3:30)")).await;
        let local = until.with_timezone(&FixedOffset::east_opt(OFFSET_SECONDS).unwrap()).format("%H:%M:%S");
        browser
            .until_says(if path == "/actions" { "td time" } else { ".waits time" }, &local.to_string())
            .await;
        let in_utc = format!("{} UTC", until.format("%H:%M:%S"));
        let titles = "[...document.querySelectorAll('time')].map((one) => one.title)";
        browser
            .until("it is told in UTC", &format!("{titles}.some((title) => title.endsWith('{in_utc}'))"))
            .await;
        let unsaid = browser.value(&format!("{titles}.filter((title) => !title.endsWith(' UTC'))")).await;
        assert_eq!(unsaid, json!([]), "{path}: every time has a UTC");
        let raw = browser.value("document.body.innerText.match(/[0-9:]{8}Z/g)").await;
        assert_eq!(raw, json!(null), "{path}: no time is left as it was written");
    }
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_without_its_day_is_the_one_that_is_near() {
    let site = Site::new().await;
    let browser = Browser::start().await;
    browser.ask("Emulation.setTimezoneOverride", json!({"timezoneId": ZONE})).await;
    browser.open(&format!("http://{}/", site.address)).await;
    let told = async |sentence: &str| {
        let ask = format!(
            "const {{pieces, spoken}} = await import('/assets/words.js');
             const near = '2026-11-22T23:50:00Z';
             return [spoken({0}, near), ...pieces({0}, near).map((piece) => piece.moment).filter(Boolean)]",
            json!(sentence)
        );
        browser.run(&ask).await
    };
    let midnight = told("4 were recommended at 23:40:00Z: not before 00:10:00Z").await;
    let expected = json!([
        "4 were recommended at 03:10:00: not before 03:40:00",
        "2026-11-22T23:40:00.000Z",
        "2026-11-23T00:10:00.000Z"
    ]);
    assert_eq!(midnight, expected);
    let dated = told("paused until 2026-11-20 02:30:05Z, in office-hours until 19:00 Europe/Berlin").await;
    assert_eq!(dated[0], "paused until 20 Nov, 06:00:05, in office-hours until 19:00 Europe/Berlin");
    assert_eq!(dated[1], "2026-11-20T02:30:05.000Z");
    // What is no time stays as it is.
    assert_eq!(told("build 12:34:56:78Z at 99:99:99Z").await, json!(["build 12:34:56:78Z at 99:99:99Z"]));
}
