//! Questions: what they find, how their pages meet, and what they say to what makes no sense.

use reqwest::Method;
use serde_json::{Value, json};

use super::site::{Site, answer};

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_and_a_fleets_page_say_the_same() {
    let site = Site::new().await;
    site.post("/fleets/web/pause", &json!({"reason": "deploy", "direction": "in"})).await.with(200);
    let all = site.get("/fleets").await.with(200);
    let names: Vec<_> =
        all["fleets"].as_array().unwrap().iter().map(|fleet| fleet["fleet"].clone()).collect();
    assert_eq!(names, ["db", "web"]);
    let (brief, full) = (&all["fleets"][1], site.get("/fleets/web").await.with(200));
    for field in ["mode", "interval_seconds", "size", "hosts", "pauses", "breaker", "cooldowns"] {
        assert_eq!(brief[field], full[field], "{field}");
    }
    assert_eq!(
        full["size"],
        json!({"wanted": 2, "live": 2, "reserved": 0, "min": 2, "min_by": null, "max": 6, "max_by": null})
    );
    assert_eq!(full["pauses"][0]["actor"], "http");
    assert_eq!(full["lease"]["holder"], "test-1");
    let threshold = full["observed"]["signals"].as_array().unwrap();
    let cpu = threshold.iter().find(|signal| signal["name"] == "cpu.avg").unwrap();
    let line =
        json!({"source": "rule hot", "comparison": ">", "value": 0.75, "tolerance": null, "action": "add 1"});
    assert_eq!(cpu["thresholds"], json!([line]));
    assert_eq!((&full["rules"][0]["name"], &full["rules"][0]["of"]), (&json!("hot"), &json!(3)));
    let waits = full["next"]["waits_for"].as_array().unwrap();
    assert!(waits.iter().any(|wait| wait == "http: scale-in is paused until resumed: deploy"), "{waits:?}");
    site.get("/fleets/nope").await.with(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_paged_filtered_and_shown_in_full() {
    let site = Site::new().await;
    let all = site.get("/decisions?fleet=web").await.with(200);
    let first = all["decisions"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&first["action"], &first["size_wanted"]), (&json!("repair"), &json!(2)));
    let mut cursor = String::new();
    let mut read = Vec::new();
    loop {
        let page = site.get(&format!("/decisions?fleet=web&limit=1{cursor}")).await.with(200);
        read.extend(page["decisions"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let ids = |list: &[Value]| list.iter().map(|one| one["decision_id"].clone()).collect::<Vec<_>>();
    let (read, all) = (ids(&read), ids(all["decisions"].as_array().unwrap()));
    assert!(read.ends_with(&all), "{read:?} {all:?}");
    let repairs = site.get("/decisions?action=repair&since=1h&fleet=web").await.with(200);
    assert_eq!(ids(repairs["decisions"].as_array().unwrap()), [first["decision_id"].clone()]);
    let none = site.get("/decisions?until=2020-01-01T00:00:00Z").await.with(200);
    assert_eq!(none, json!({"decisions": [], "next": null}));

    let id = first["decision_id"].as_str().unwrap();
    let detail = site.get(&format!("/decisions/{id}")).await.with(200);
    assert_eq!(detail["reason"], first["reason"]);
    let hot = &detail["recommendations"][0];
    assert_eq!((&hot["source"], &hot["reading"]), (&json!("rule hot"), &Value::Null));
    let window = json!({"when": "cpu.avg > 0.75", "hits_needed": 2, "of": 3, "hits": 0, "observations": "U"});
    assert_eq!(hot["window"], window, "the first look at a fleet without a host");
    let calls = detail["calls"].as_array().unwrap();
    assert!(!calls.is_empty() && calls.iter().all(|call| call["op"] == "RunInstances"), "{calls:?}");
    assert!(calls.iter().all(|call| call["outcome"] == "ok" && call["request_id"].is_string()), "{calls:?}");
    site.get("/decisions/019363f4-0c3a-7d31-9e4e-5a2d8f1b6c70").await.with(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_say_what_they_wait_for_a_page_at_a_time() {
    let site = Site::new().await;
    let all = site.get("/fleets/web/hosts").await.with(200);
    let hosts = all["hosts"].as_array().unwrap();
    assert_eq!(hosts.len(), 2);
    assert!(hosts.iter().all(|host| host["waits_for"] == "nothing: it serves" && host["deadline"].is_null()));
    let page = site.get("/fleets/web/hosts?limit=1").await.with(200);
    assert_eq!(page["hosts"].as_array().unwrap().len(), 1);
    let next = page["next"].as_str().unwrap();
    let last = site.get(&format!("/fleets/web/hosts?limit=1&cursor={next}")).await.with(200);
    assert_eq!(last["next"], Value::Null);
    assert_ne!(page["hosts"][0]["instance_id"], last["hosts"][0]["instance_id"]);
    let zone = hosts[0]["zone"].as_str().unwrap();
    let of_zone = site.get(&format!("/fleets/web/hosts?state=healthy,pending&zone={zone}")).await.with(200);
    assert_eq!(of_zone["hosts"][0]["instance_id"], hosts[0]["instance_id"]);
    assert_eq!(site.get("/fleets/web/hosts?state=lost").await.with(200)["hosts"], json!([]));
    let wrong = site.get("/fleets/web/hosts?state=fine").await.with(400);
    assert!(wrong["detail"].as_str().unwrap().contains("healthy"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_has_columns_of_one_length_and_marks_what_changed() {
    let site = Site::new().await;
    let series = site
        .until("/fleets/web/series?since=10m&points=1000&signals=cpu.avg,hosts.healthy", |series| {
            series["times"].as_array().unwrap().len() >= 2
        })
        .await;
    let length = series["times"].as_array().unwrap().len();
    for column in [
        &series["sizes"]["wanted"],
        &series["sizes"]["healthy"],
        &series["sizes"]["pending"],
        &series["sizes"]["recommended"],
        &series["sizes"]["in_service"],
        &series["signals"]["cpu.avg"],
        &series["signals"]["hosts.healthy"],
    ] {
        assert_eq!(column.as_array().unwrap().len(), length, "{series}");
    }
    assert_eq!(series["sizes"]["wanted"][length - 1], 2);
    assert_eq!(series["decisions"][0]["action"], "repair");
    let backwards = site.get("/fleets/web/series?since=1h&until=2h").await.with(400);
    assert_eq!(backwards["parameter"], "since");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_every_step_of_a_host() {
    let site = Site::new().await;
    let hosts = site.get("/fleets/web/hosts").await.with(200);
    let id = hosts["hosts"][0]["instance_id"].as_str().unwrap();
    let events = site.get(&format!("/events?fleet=web&subject={id}")).await.with(200);
    let events = events["events"].as_array().unwrap();
    assert_eq!(events.last().unwrap()["kind"], "host_launched");
    assert_eq!(events[0]["data"]["state"]["state"], "healthy");
    let page = site.get("/events?kind=lease_taken&limit=1").await.with(200);
    let next = page["next"].as_str().expect("two fleets were taken");
    let last = site.get(&format!("/events?kind=lease_taken&limit=1&cursor={next}")).await.with(200);
    assert_ne!(page["events"][0]["fleet"], last["events"][0]["fleet"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_before_is_answered_with_nothing() {
    let site = Site::new().await;
    // A list that no tick changes any more.
    let path = "/decisions?action=repair&fleet=web&until=0s";
    site.get(path).await.with(400);
    let path = "/decisions?action=repair&fleet=web";
    let first = site.until(path, |page| page["decisions"][0]["outcome"] == "done").await;
    let read = site.get(path).await;
    assert_eq!(read.body, first);
    let tag = read.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let again = answer(site.request(Method::GET, path).header("if-none-match", &tag)).await;
    assert_eq!((again.status.as_u16(), again.header("etag"), &again.body), (304, tag.as_str(), &Value::Null));
    site.post("/fleets/web/size", &json!({"reason": "more", "size": 3})).await.with(202);
    let fleet = site.get("/fleets/web").await;
    let tag = fleet.header("etag").to_owned();
    site.until("/fleets/web", |fleet| fleet["size"]["wanted"] == 3).await;
    let changed = answer(site.request(Method::GET, "/fleets/web").header("if-none-match", tag)).await;
    assert_eq!(changed.status.as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_question_names_what_is_wrong() {
    let site = Site::new().await;
    for (path, parameter) in [
        ("/decisions?limit=many", "limit"),
        ("/decisions?since=yesterday", "since"),
        ("/decisions?action=explode", "action"),
        ("/decisions?cursor=7b7d", "cursor"),
        ("/events?kind=A%20B", "kind"),
        ("/events?subject=", "subject"),
        ("/fleets/web/series?points=0", "points"),
        ("/fleets/web/series?signals=a%20b", "signals"),
        ("/decisions/7", "id"),
        ("/actions/x", "id"),
    ] {
        let problem = site.get(path).await.with(400);
        assert_eq!(problem["parameter"], parameter, "{path}: {problem}");
        assert!(problem["detail"].as_str().unwrap().starts_with(parameter), "{path}: {problem}");
    }
    site.get("/decisions?colour=red").await.with(400);
    site.get("/decisions?fleet=nope").await.with(404);
    site.get("/nothing").await.with(404);
    site.post("/fleets", &json!({})).await.with(405);
}

/// Every text in a document that is a time, with its key.
fn times<'a>(key: &'a str, value: &'a Value, found: &mut Vec<(&'a str, &'a str)>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| times(key, value, found)),
        Value::Array(items) => items.iter().for_each(|item| times(key, item, found)),
        Value::String(text) if chrono::DateTime::parse_from_rfc3339(text).is_ok() => found.push((key, text)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_time_has_six_digits_and_no_more() {
    let site = Site::new().await;
    site.post("/fleets/web/pause", &json!({"reason": "deploy", "for": "1h"})).await.with(200);
    let decisions = site.get("/decisions?fleet=web&action=repair").await.with(200);
    let id = decisions["decisions"][0]["decision_id"].as_str().unwrap();
    let decision = format!("/decisions/{id}");
    let lists = [
        "/fleets",
        "/fleets/web",
        "/fleets/web/hosts",
        "/fleets/web/series?since=5m",
        "/decisions",
        &decision,
    ];
    for path in lists {
        let answer = site.get(path).await.with(200);
        let mut found = Vec::new();
        times("", &answer, &mut found);
        assert!(!found.is_empty(), "{path} tells no time: {answer}");
        for (key, text) in found {
            let fits = text.len() == "2026-11-27T05:04:38.863040Z".len() && text.ends_with('Z');
            assert!(fits, "{path}: {key} is {text}");
        }
    }
    let events = site.get("/events?fleet=web&limit=200").await.with(200);
    let mut found = Vec::new();
    times("", &events, &mut found);
    let finest = found.iter().map(|(_, text)| text.len()).max();
    assert_eq!(finest, Some("2026-11-27T05:04:38.863040Z".len()), "{found:?}");
}
