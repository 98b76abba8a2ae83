//! The stream: it tells of every fleet, lives while nothing happens, and ends with the service.

use reqwest::Method;
use serde_json::{Value, json};

use super::site::Site;

/// Reads events as they come.
struct Reader {
    response: reqwest::Response,
    text: String,
}

impl Reader {
    async fn open(site: &Site) -> Self {
        let response = site.request(Method::GET, "/stream").send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        Self { response, text: String::new() }
    }

    /// The next event's data; `None`: the stream has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                    assert!(event.contains("event: fleet"), "{event}");
                    return Some(serde_json::from_str(data).unwrap());
                }
                continue;
            }
            let chunk = self.response.chunk().await.ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_of_every_fleet_at_first_and_then_of_changes() {
    let site = Site::new().await;
    let mut reader = Reader::open(&site).await;
    let (first, second) = (reader.next().await.unwrap(), reader.next().await.unwrap());
    assert_eq!((&first["fleet"], &second["fleet"]), (&json!("db"), &json!("web")));
    site.post("/fleets/web/pause", &json!({"reason": "deploy"})).await.with(200);
    let seq = second["seq"].as_i64().unwrap();
    loop {
        let change = reader.next().await.expect("the stream goes on");
        if change["fleet"] == "web" && change["seq"].as_i64().unwrap() > seq {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_bounded_and_end_with_the_service() {
    let mut site = Site::new().await;
    let mut readers = Vec::new();
    for _ in 0..32 {
        readers.push(Reader::open(&site).await);
    }
    let one_more = site.get("/stream").await;
    assert_eq!(one_more.header("retry-after"), "10");
    assert_eq!(one_more.with(503)["code"], "streams_taken");
    readers.pop();
    site.until("/fleets", |_| true).await;
    let mut again = loop {
        let response = site.request(Method::GET, "/stream").send().await.unwrap();
        if response.status() == 200 {
            break Reader { response, text: String::new() };
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(again.next().await.is_some());
    site.stop.cancel();
    while again.next().await.is_some() {}
    for reader in &mut readers {
        while reader.next().await.is_some() {}
    }
    while site.tasks.join_next().await.is_some() {}
}
