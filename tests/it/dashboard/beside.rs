//! What stands beside the policy in force on a fleet's page: its schedules, its forecasts, and the candidates that are tried.

use chrono::Timelike as _;
use fleet_scaler::clock::{Clock as _, SystemClock};

use super::browser::{Browser, Screen};
use super::looks::faults;
use crate::http::people::site_with;

/// One schedule that is in force, whatever the hour; one that seldom is; and a policy that would like more hosts.
fn tables() -> String {
    let hour = |hours: u32| (SystemClock.now().hour() + hours) % 24;
    format!(
        r#"
[[schedule]]
name = "sale"
start = "0 8 29 2 *"
end = "0 20 29 2 *"
timezone = "Europe/Berlin"
size = {{ max = 12 }}

[[schedule]]
name = "busy-hours"
start = "0 {} * * *"
end = "0 {} * * *"
timezone = "UTC"
size = {{ min = 3 }}

[[target]]
name = "cpu-60"
signal = "cpu.avg"
value = 0.60
forecast = {{ hosts_max = 2 }}

[[candidate]]
name = "eager"
size = {{ min = 5, max = 8 }}

[[candidate]]
name = "like-it"
cooldown = {{ scale_out = "5m", scale_in = "10m" }}
"#,
        hour(23),
        hour(2),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleets_schedules_forecasts_and_candidates_stand_beside_what_was_decided() {
    let site = site_with(&tables(), 3).await;
    site.until("/fleets/web/candidates", |answer| answer["candidates"][1]["evaluations"].is_i64()).await;
    let browser = Browser::start().await;
    browser.open(&format!("http://{}/fleets/web", site.address)).await;
    browser.until_says("#page .card", "min 3 (schedule busy-hours), max 6").await;
    // Those in force first, in their own words.
    let fleet = site.get("/fleets/web").await.with(200);
    let [first, second] = [0, 1].map(|place| {
        let says = fleet["schedules"][place]["says"].as_str().unwrap();
        says.split_once(", ").unwrap().1.to_owned()
    });
    assert!(first.starts_with("until ") && first.ends_with(" UTC"), "{first}");
    assert!(second.starts_with("next from ") && second.ends_with(" 08:00 Europe/Berlin"), "{second}");
    browser.until_says("#schedules tbody tr:nth-child(1)", &format!("In force {first}ends in 1 h")).await;
    browser.until_says("#schedules tbody tr:nth-child(2)", &format!("Not now {second}starts in ")).await;
    browser.until_says("#forecasts tbody tr", "Says nothing").await;
    browser
        .until_says("#forecasts tbody tr", "no load is expected for this time: there is no forecast of it")
        .await;
    browser.until_says("#candidates tbody tr:nth-child(1)", "is what is done").await;
    browser.until_says("#candidates tbody tr:nth-child(2)", "2 hosts more").await;
    browser.until_says("#candidates tbody tr:nth-child(2)", " larger").await;
    browser.until_says("#candidates tbody tr:nth-child(3)", "the same").await;
    let mut wrong = browser.complaints(&[]).await;
    wrong.extend(faults(&browser, "beside", &Screen::ALL).await);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
