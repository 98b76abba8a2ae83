//! The few words of the W3C's WebDriver protocol that these tests speak, to Chromium's own driver.
//!
//! They are a dozen requests with JSON in them. The crates for it were tried (2026-11): one brings two dozen crates more,
//! an old HTTP stack and Unicode's tables among them; the other adds operators to `String` that break `text + &more`
//! everywhere in the binary that it is linked into.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

/// One request of the driver, the slowest of which starts the browser.
const DEADLINE: Duration = Duration::from_mins(1);
/// The key under which the protocol names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A driver with one session: one browser.
pub(super) struct Driver {
    process: Child,
    client: reqwest::Client,
    base: String,
    /// The browser's own process.
    browser: Option<u64>,
}

impl Driver {
    /// Starts both.
    pub(super) async fn start(options: &[String]) -> Self {
        let (process, port) = spawn();
        let client = crate::http::site::client();
        let mut driver = Self { process, client, base: format!("http://127.0.0.1:{port}"), browser: None };
        let milliseconds = DEADLINE.as_secs() * 1000;
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": options},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"script": milliseconds, "pageLoad": milliseconds},
        }}});
        let session = driver.ask(Method::POST, "/session", wanted).await.expect("Chromium starts");
        driver.browser = session["capabilities"]["goog:processID"].as_u64();
        driver.base = format!("{}/session/{}", driver.base, session["sessionId"].as_str().unwrap());
        driver
    }

    /// A request of the session; what the driver says where it cannot be done.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let mut request =
            self.client.request(method.clone(), format!("{}{path}", self.base)).timeout(DEADLINE);
        if method == Method::POST {
            request = request.json(&body);
        }
        let response = request.send().await.map_err(|error| format!("{path}: {error}"))?;
        let is_done = response.status().is_success();
        let mut answer: Value = response.json().await.map_err(|error| format!("{path}: {error}"))?;
        let value = answer["value"].take();
        if is_done { Ok(value) } else { Err(format!("{path}: {}: {}", value["error"], value["message"])) }
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(Method::POST, path, body).await.unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// The element that a selector finds first, as the protocol's path to it.
    pub(super) async fn element(&self, selector: &str) -> String {
        let found = self.post("/element", json!({"using": "css selector", "value": selector})).await;
        format!("/element/{}", found[ELEMENT].as_str().expect("an element has an id"))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The browser's helpers end with it. Its driver has not reaped it by now, so the id is nobody else's.
        if let Some(id) = self.browser {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The driver's process, and the port that the system gave it.
fn spawn() -> (Child, u16) {
    let mut process = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver is installed: scripts/test-setup.sh does it");
    let mut said = BufReader::new(process.stdout.take().expect("its output is read once"));
    let mut line = String::new();
    while said.read_line(&mut line).unwrap_or_default() > 0 {
        if let Some((_, port)) = line.split_once("successfully on port ") {
            let port = port.trim_end().trim_end_matches('.').parse().expect("a port is a number");
            std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
            return (process, port);
        }
        line.clear();
    }
    let _ = process.wait();
    panic!("chromedriver ended without saying its port");
}
