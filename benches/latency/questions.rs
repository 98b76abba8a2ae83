//! What readers ask, and how long each answer took.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::{Client, StatusCode};

use crate::month::{FLEETS, Month};

/// A client may ask a hundred times a second; so long a pause keeps below that.
const PACE: Duration = Duration::from_millis(12);

/// One kind of question, and what came of it.
pub(crate) struct Asked {
    /// What was asked.
    pub(crate) what: String,
    /// How large the last answer was.
    pub(crate) bytes: usize,
    /// How long each took, sorted.
    pub(crate) spans: Vec<Duration>,
}

/// A question: its name, and the paths that are asked side by side in one round.
type Question = (&'static str, fn(&Month, usize) -> Vec<String>);

const LIVE: &str = "pending,running,registered,healthy,unhealthy,draining,deregistered,terminating";
const CHANGES: &str = "scale_out,scale_in,repair,replace,manual";

const QUESTIONS: [Question; 22] = [
    ("page: overview", |_, _| with_files(&["/api/v1/fleets".to_owned()])),
    ("page: fleet", |_, round| with_files(&fleet_page(&fleet(round)))),
    ("page: decision", |month, round| with_files(&[decision(month, round)])),
    ("page: who did what", |_, _| with_files(&["/api/v1/actions?limit=50".to_owned()])),
    ("`/fleets`", |_, _| vec!["/api/v1/fleets".to_owned()]),
    ("`/fleets/{fleet}`", |_, round| vec![format!("/api/v1/fleets/{}", fleet(round))]),
    ("`/fleets/{fleet}/series`, an hour", |_, round| vec![series(&fleet(round), "1h")]),
    ("`/fleets/{fleet}/series`, 30 days", |_, round| vec![series(&fleet(round), "30d")]),
    ("`/fleets/{fleet}/hosts`, those that live", |_, round| vec![hosts(&fleet(round), true)]),
    ("`/fleets/{fleet}/hosts`, all", |_, round| vec![hosts(&fleet(round), false)]),
    ("`/decisions`, of all fleets", |_, _| vec!["/api/v1/decisions?limit=100".to_owned()]),
    ("`/decisions`, changes of one fleet", |_, round| vec![changes(&fleet(round))]),
    ("`/decisions`, one fleet three weeks ago", |_, round| {
        vec![format!("/api/v1/decisions?fleet={}&until=21d&limit=100", fleet(round))]
    }),
    ("`/decisions/{id}`", |month, round| vec![decision(month, round)]),
    ("`/events`, newest", |_, _| vec!["/api/v1/events?limit=100".to_owned()]),
    ("`/events`, of one fleet", |_, round| vec![format!("/api/v1/events?fleet={}&limit=100", fleet(round))]),
    ("`/fleets/{fleet}/candidates`, a day", |_, round| {
        vec![format!("/api/v1/fleets/{}/candidates?since=24h", fleet(round))]
    }),
    ("`/actions`, of one fleet", |_, round| {
        vec![format!("/api/v1/actions?fleet={}&limit=100", fleet(round))]
    }),
    ("`/actions`, of one person", |_, _| vec!["/api/v1/actions?actor=ada&limit=100".to_owned()]),
    ("`/session`", |_, _| vec!["/api/v1/session".to_owned()]),
    ("`/actions/{id}`", |month, _| vec![format!("/api/v1/actions/{}", month.action)]),
    ("`/openapi.json`", |_, _| vec!["/api/v1/openapi.json".to_owned()]),
];

/// Asks every question so many times.
pub(crate) async fn ask_all(month: &Month, rounds: usize) -> Vec<Asked> {
    let client = Client::builder().no_proxy().build().unwrap();
    let mut all = Vec::with_capacity(QUESTIONS.len());
    for (what, paths) in QUESTIONS {
        let mut asked = Asked { what: what.to_owned(), bytes: 0, spans: Vec::with_capacity(rounds) };
        for round in 0..rounds {
            let paths = paths(month, round);
            let start = Instant::now();
            let answers = join_all(paths.iter().map(|path| get(&client, month, path))).await;
            asked.spans.push(start.elapsed());
            asked.bytes = answers.iter().sum();
            tokio::time::sleep(PACE * u32::try_from(paths.len()).unwrap()).await;
        }
        asked.spans.sort_unstable();
        println!("  {what}: {:?} at the median", crate::figures::percentile(&asked.spans, 50));
        all.push(asked);
    }
    all
}

/// How long the answer is. Anything but an answer ends the measurement.
async fn get(client: &Client, month: &Month, path: &str) -> usize {
    let response = client.get(format!("http://{}{path}", month.site.address)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.bytes().await.unwrap().len()
}

fn fleet(round: usize) -> String {
    format!("fleet-{:02}", round % FLEETS as usize + 1)
}

fn decision(month: &Month, round: usize) -> String {
    format!("/api/v1/decisions/{}", month.decisions[round % month.decisions.len()])
}

fn series(fleet: &str, since: &str) -> String {
    format!("/api/v1/fleets/{fleet}/series?since={since}&points=300")
}

fn hosts(fleet: &str, live: bool) -> String {
    let state = if live { format!("&state={LIVE}") } else { String::new() };
    format!("/api/v1/fleets/{fleet}/hosts?limit=500{state}")
}

fn changes(fleet: &str) -> String {
    format!("/api/v1/decisions?fleet={fleet}&limit=25&action={CHANGES}")
}

/// What a fleet's page asks when it is opened.
fn fleet_page(fleet: &str) -> Vec<String> {
    vec![format!("/api/v1/fleets/{fleet}"), series(fleet, "1h"), hosts(fleet, true), changes(fleet)]
}

/// A page's own files, and what it asks.
fn with_files(questions: &[String]) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/dashboard");
    let names =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let assets = names.filter(|name| name != "index.html").map(|name| format!("/assets/{name}"));
    ["/".to_owned()].into_iter().chain(assets).chain(questions.iter().cloned()).collect()
}
