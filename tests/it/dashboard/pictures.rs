//! The pictures of the documents, taken of the page as it is: `make screenshots`.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::browser::{Browser, Screen};
use super::day::day;
use super::pages::richest;
use crate::http::site::Site;

/// Three hours, the last of which has the rise, the top and the way down.
const LENGTH: Duration = Duration::from_mins(4);
const SPEED: u32 = 45;

/// The lower edge of the last part of the page that is seen whole within `most` pixels; with a dialogue, the
/// screen's.
const LOWER_EDGE: &str = "
    const parts = [...document.querySelectorAll('main > section, main > .grid > *, main > .fleets > .row')];
    const edges = parts.map((one) => one.getBoundingClientRect().bottom + scrollY).filter((edge) => edge + 12 <= most);
    const page = document.documentElement.getBoundingClientRect().height;
    if (document.querySelector('dialog')) return innerHeight;
    return Math.ceil(page <= most ? page : Math.max(...edges) + 12)";

/// One picture on each screen; as long as the page is, and no longer than so much.
async fn take(browser: &Browser, name: &str, height_max: u64) {
    for screen in Screen::ALL {
        browser.on(screen, 900).await;
        // What stands side by side at a desk stands below one another on a telephone.
        let most = if screen.width < 640 { height_max * 3 / 2 } else { height_max };
        let height = browser.run(&format!("const most = {most}; {LOWER_EDGE}")).await;
        let clip = json!({"x": 0, "y": 0, "width": screen.width, "height": height, "scale": 1});
        let asked = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let taken = browser.ask("Page.captureScreenshot", asked).await;
        let theme = if screen.dark { "dark" } else { "light" };
        let file = format!("docs/screenshots/{name}-{}-{theme}.png", screen.width);
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), decoded(&taken["data"])).unwrap();
    }
}

/// Base64, as the browser writes it.
fn decoded(text: &Value) -> Vec<u8> {
    let sextet = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters = text.as_str().expect("a picture is text").trim_end_matches('=').as_bytes();
    let bytes = letters.chunks(4).flat_map(|four| {
        let bits = four.iter().fold(0_u32, |bits, letter| (bits << 6) | u32::from(sextet(*letter)))
            << (6 * (4 - four.len()));
        bits.to_be_bytes().into_iter().skip(1).take(four.len() - 1)
    });
    bytes.collect()
}

/// What people did on that day, beside the pause: a picture of the page that tells it wants some.
async fn people(site: &Site) {
    let api = json!({"reason": "the cache is warm again", "actor": "grace", "size": 5});
    site.post("/fleets/api/size", &api).await.with(202);
    let look = json!({"reason": "is the image there now?", "actor": "ada"});
    site.post("/fleets/batch/evaluate", &look).await.with(202);
    let asked = "/actions?action=set_size";
    let answered = site.until(asked, |page| page["actions"][0]["outcome"] != "pending").await;
    assert_eq!(answered["actions"][0]["outcome"], "granted", "{answered}");
}

async fn open(browser: &Browser, site: &Site, path: &str) {
    browser.open(&format!("http://{}{path}", site.address)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it writes the pictures of the documents and takes minutes: make screenshots"]
async fn the_documents_show_the_page_as_it_is() {
    let site = day(LENGTH, SPEED).await;
    let pause = json!({"reason": "the index is built anew", "direction": "in", "actor": "ada", "for": "2h"});
    site.post("/fleets/search/pause", &pause).await.with(200);
    people(&site).await;
    site.until("/fleets/batch", |fleet| fleet["breaker"]["open"] == true).await;
    tokio::time::sleep(LENGTH.mul_f64(0.2)).await;
    let browser = Browser::start().await;
    browser.ask("Emulation.setScrollbarsHidden", json!({"hidden": true})).await;
    open(&browser, &site, "/").await;
    take(&browser, "overview", 1600).await;
    open(&browser, &site, "/fleets/web").await;
    take(&browser, "fleet", 1800).await;
    browser.click("#set-size").await;
    browser.fill("#size", "12").await;
    browser.fill("#reason", "the final begins at nine").await;
    take(&browser, "actions", 900).await;
    browser.press(super::browser::ESCAPE).await;
    open(&browser, &site, "/actions").await;
    take(&browser, "people", 900).await;
    open(&browser, &site, &format!("/decisions/{}", richest(&site, "web").await)).await;
    take(&browser, "decision", 1700).await;
    assert_eq!(browser.complaints(&[]).await, Vec::<String>::new());
}
