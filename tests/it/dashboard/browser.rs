//! A real Chromium, led as a person leads it: what these tests know of the page is what somebody has in front of them.
//!
//! Each test has a browser of its own, which ends with it, however it ends; every wait has an end.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::driver::Driver;

/// Whatever the page is to become takes no longer on a machine that is alive.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often the page is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often in a row a page may draw an element anew before anybody can click on it.
const REDRAWN_MOST: u32 = 20;

const OPTIONS: [&str; 8] = [
    "--headless=new",
    // The tests run as root in containers, where there is no sandbox to be had; nothing is shown but the test's own.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--force-color-profile=srgb",
    "--window-size=1440,900",
];

/// Keys as WebDriver names them.
pub(super) const TAB: &str = "\u{e004}";
pub(super) const ENTER: &str = "\u{e007}";
pub(super) const ESCAPE: &str = "\u{e00c}";
pub(super) const RIGHT: &str = "\u{e014}";

/// What the page's reader has: a width in CSS pixels, and whether the dark is preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Screen {
    pub(super) width: u32,
    pub(super) dark: bool,
}

impl Screen {
    /// A desk and a telephone, by day and by night.
    pub(super) const ALL: [Self; 4] = [
        Self { width: 1440, dark: false },
        Self { width: 1440, dark: true },
        Self { width: 390, dark: true },
        Self { width: 390, dark: false },
    ];
    /// Each width and each theme once.
    pub(super) const SOME: [Self; 2] = [Self { width: 1440, dark: true }, Self { width: 390, dark: false }];
}

/// The browser.
pub(super) struct Browser {
    driver: Driver,
    /// Where it keeps its own things; they go with it.
    _profile: tempfile::TempDir,
}

impl Browser {
    pub(super) async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut options: Vec<String> = OPTIONS.map(str::to_owned).into();
        options.push(format!("--user-data-dir={}", profile.path().display()));
        Self { driver: Driver::start(&options).await, _profile: profile }
    }

    /// Opens an address and waits until it shows what was loaded, or why nothing could be.
    pub(super) async fn open(&self, url: &str) {
        self.driver.post("/url", json!({"url": url})).await;
        self.until(&format!("{url} is loaded"), "!document.querySelector('.loading')").await;
    }

    /// What an expression is in the page.
    pub(super) async fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression}")).await
    }

    /// Runs the body of an asynchronous function in the page, and gives what it returns in the end.
    pub(super) async fn run(&self, body: &str) -> Value {
        let script = format!("return (async () => {{ {body} }})()");
        self.driver.post("/execute/sync", json!({"script": script, "args": []})).await
    }

    /// Waits until an expression is true.
    pub(super) async fn until(&self, what: &str, expression: &str) {
        let start = Instant::now();
        while self.value(expression).await != json!(true) {
            if start.elapsed() > PATIENCE {
                let page = self.value("document.body.innerText").await;
                panic!(
                    "{what}: not after {PATIENCE:?}. The page says:\n{}",
                    page.as_str().unwrap_or_default()
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until an element says something.
    pub(super) async fn until_says(&self, selector: &str, text: &str) {
        let expression = format!(
            "[...document.querySelectorAll({})].some((one) => one.textContent.includes({}))",
            json!(selector),
            json!(text)
        );
        self.until(&format!("{selector} says {text:?}"), &expression).await;
    }

    /// Waits until a selector finds nothing any more.
    pub(super) async fn until_gone(&self, selector: &str) {
        self.until(&format!("{selector} is gone"), &format!("!document.querySelector({})", json!(selector)))
            .await;
    }

    /// What an element says.
    pub(super) async fn text(&self, selector: &str) -> String {
        self.element(selector).await;
        let said = self.value(&format!("document.querySelector({}).textContent", json!(selector))).await;
        said.as_str().expect("text is text").to_owned()
    }

    async fn element(&self, selector: &str) -> String {
        self.until(
            &format!("{selector} is there"),
            &format!("!!document.querySelector({})", json!(selector)),
        )
        .await;
        self.driver.element(selector).await
    }

    /// Scrolls to an element and clicks on it, as a person does; something that lies over it is an error.
    pub(super) async fn click(&self, selector: &str) {
        let scroll =
            format!("document.querySelector({})?.scrollIntoView({{block: 'center'}})", json!(selector));
        for _ in 0..REDRAWN_MOST {
            let path = self.element(selector).await + "/click";
            self.run(&scroll).await;
            match self.driver.ask(Method::POST, &path, json!({})).await {
                // The page drew itself anew in between: a person would click on what is there now.
                Err(problem) if problem.contains("stale element reference") => {}
                clicked => {
                    clicked.unwrap_or_else(|problem| panic!("{problem}"));
                    return;
                }
            }
        }
        panic!("{selector} is drawn anew all the time");
    }

    /// Types into a field, in place of what is in it.
    pub(super) async fn fill(&self, selector: &str, text: &str) {
        let path = self.element(selector).await;
        self.driver.post(&format!("{path}/clear"), json!({})).await;
        self.driver.post(&format!("{path}/value"), json!({"text": text})).await;
    }

    /// Presses keys, one after the other, for whatever has the focus.
    pub(super) async fn press(&self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        let keyboard = json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]});
        self.driver.post("/actions", keyboard).await;
    }

    /// Another screen for the same page.
    pub(super) async fn on(&self, screen: Screen, height: u32) {
        let Screen { width, dark } = screen;
        let scheme = if dark { "dark" } else { "light" };
        // Without motion no colour is caught half-way.
        let features = json!({"features": [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]});
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 640});
        self.ask("Emulation.setEmulatedMedia", features).await;
        self.ask("Emulation.setDeviceMetricsOverride", metrics).await;
        // One frame to be laid out, one to be drawn anew by the page's own script, one to be seen.
        self.run(
            "const frame = () => new Promise(requestAnimationFrame); await frame(); await frame(); await frame()",
        )
        .await;
    }

    /// A command of the browser's own protocol, for what WebDriver has no word for.
    pub(super) async fn ask(&self, method: &str, parameters: Value) -> Value {
        self.driver.post("/goog/cdp/execute", json!({"cmd": method, "params": parameters})).await
    }

    /// What the browser had to object since it was last asked: exceptions, what the page's own policy forbade, files that
    /// are not there. Each that contains one of `expected` is left out.
    pub(super) async fn complaints(&self, expected: &[&str]) -> Vec<String> {
        let said = self.driver.post("/se/log", json!({"type": "browser"})).await;
        let said = said.as_array().expect("the log is a list").iter();
        said.filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG")
            .map(|entry| format!("{}: {}", entry["level"], entry["message"]))
            .filter(|text| !expected.iter().any(|known| text.contains(known)))
            .collect()
    }
}
