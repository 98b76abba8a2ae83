//! Changes: what is recorded, what the loop makes of it, and that nothing is done twice or without a reason.

use reqwest::Method;
use serde_json::json;

use super::site::{Site, answer};

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_until_it_is_resumed_and_is_audited() {
    let site = Site::new().await;
    let body = json!({"reason": " deploy \n of v7 ", "actor": "ada", "for": "2h"});
    let paused = site.post("/fleets/web/pause", &body).await.with(200);
    assert_eq!((&paused["outcome"], &paused["direction"]), (&json!("done"), &json!("both")));
    assert_eq!((&paused["actor"], &paused["reason"]), (&json!("ada via http"), &json!("deploy of v7")));
    let fleet = site.get("/fleets/web").await.with(200);
    assert_eq!(fleet["pauses"].as_array().unwrap().len(), 2);
    assert_eq!(fleet["pauses"][0]["until"], paused["until"]);
    let refused = site.post("/fleets/web/size", &json!({"reason": "x", "size": 4})).await.with(409);
    assert!(refused["detail"].as_str().unwrap().contains("paused until"), "{refused}");
    site.post("/fleets/web/resume", &json!({"reason": "done"})).await.with(200);
    assert_eq!(site.get("/fleets/web").await.with(200)["pauses"], json!([]));
    let rows: Vec<(String, String, String, String)> =
        sqlx::query_as("SELECT actor, action, reason, outcome FROM audit.operator_actions ORDER BY at")
            .fetch_all(&site.database.pool())
            .await
            .unwrap();
    let row =
        |actor: &str, action: &str, reason: &str| [actor, action, reason, "done"].map(str::to_owned).into();
    assert_eq!(rows, [row("ada via http", "pause", "deploy of v7"), row("http", "resume", "done")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_is_asked_for_granted_and_answered() {
    let site = Site::new().await;
    let asked = site.post("/fleets/web/size", &json!({"reason": "match day", "size": 3})).await;
    let location = asked.header("location").strip_prefix("/api/v1").unwrap().to_owned();
    let asked = asked.with(202);
    assert_eq!((&asked["outcome"], &asked["evaluates_now"]), (&json!("pending"), &json!(true)));
    assert_eq!(asked["holder"], "test-1");
    let action = site.until(&location, |action| action["outcome"] != "pending").await;
    assert_eq!(action["outcome"], "granted", "{action}");
    let decision = action["answer"]["decision_id"].as_str().unwrap();
    let decision = site.get(&format!("/decisions/{decision}")).await.with(200);
    assert_eq!((&decision["action"], &decision["size_wanted"]), (&json!("manual"), &json!(3)));
    let same = site.post("/fleets/web/size", &json!({"reason": "a float", "size": 3.0})).await.with(202);
    assert_eq!(same["size"], 3);
    site.post("/fleets/web/size", &json!({"reason": "half", "size": 3.5})).await.with(422);
    for size in [1, 7] {
        let refused = site.post("/fleets/web/size", &json!({"reason": "x", "size": size})).await.with(409);
        assert!(refused["detail"].as_str().unwrap().contains("allows 2 to 6"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_sent_away_where_the_floor_allows_it() {
    let site = Site::new().await;
    let hosts = site.get("/fleets/web/hosts").await.with(200);
    let id = hosts["hosts"][0]["instance_id"].as_str().unwrap();
    let drain = format!("/fleets/web/hosts/{id}/drain");
    let at_min = site.post(&drain, &json!({"reason": "it is slow"})).await.with(409);
    assert!(at_min["detail"].as_str().unwrap().contains("min = 2"), "{at_min}");
    site.post("/fleets/web/size", &json!({"reason": "room", "size": 3})).await.with(202);
    site.until("/fleets/web", |fleet| fleet["hosts"]["healthy"] == 3).await;
    let asked = site.post(&drain, &json!({"reason": "it is slow"})).await.with(202);
    assert_eq!(asked["instance_id"], id);
    site.until("/fleets/web/hosts?state=terminated", |page| page["hosts"][0]["instance_id"] == id).await;
    site.post(&drain, &json!({"reason": "again"})).await.with(409);
    site.post("/fleets/db/hosts/i-nobody/drain", &json!({"reason": "x"})).await.with(404);
    // A host of another fleet is none of this one's.
    let host = site.get("/fleets/web/hosts").await.with(200)["hosts"][0]["instance_id"].clone();
    let elsewhere = format!("/fleets/db/hosts/{}/drain", host.as_str().unwrap());
    site.post(&elsewhere, &json!({"reason": "x"})).await.with(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_the_same_change_and_another_request_under_it_an_error() {
    let site = Site::new().await;
    let body = json!({"reason": "deploy", "direction": "out", "for": "1h"});
    let first = site.post_as("k-1", "/fleets/web/pause", &body).await.with(200);
    let again = site.post_as("k-1", "/fleets/web/pause", &body).await.with(200);
    assert_eq!((&first["action_id"], &first["at"]), (&again["action_id"], &again["at"]));
    for (path, body) in [
        ("/fleets/web/pause", json!({"reason": "deploy", "direction": "in", "for": "1h"})),
        ("/fleets/web/pause", json!({"reason": "other", "direction": "out", "for": "1h"})),
        ("/fleets/web/pause", json!({"reason": "deploy", "actor": "eve", "direction": "out", "for": "1h"})),
        ("/fleets/db/pause", body.clone()),
        ("/fleets/web/resume", json!({"reason": "deploy"})),
    ] {
        let problem = site.post_as("k-1", path, &body).await.with(409);
        assert_eq!(
            (&problem["code"], &problem["parameter"]),
            (&json!("key_reused"), &json!("Idempotency-Key"))
        );
    }
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM audit.operator_actions")
        .fetch_one(&site.database.pool())
        .await
        .unwrap();
    assert_eq!(rows, 1);

    // A repetition gets its answer though a guard would refuse a new request by now.
    site.post("/fleets/web/resume", &json!({"reason": "done"})).await.with(200);
    let four = json!({"reason": "more", "size": 4});
    let asked = site.post_as("k-2", "/fleets/web/size", &four).await.with(202);
    site.until("/fleets/web", |fleet| fleet["size"]["wanted"] == 4).await;
    site.post("/fleets/web/pause", &json!({"reason": "stop"})).await.with(200);
    let again = site.post_as("k-2", "/fleets/web/size", &four).await.with(200);
    assert_eq!((&again["action_id"], &again["outcome"]), (&asked["action_id"], &json!("granted")));
    let long = "k".repeat(256);
    site.post_as(&long, "/fleets/web/size", &four).await.with(400);
    site.post_as("a b", "/fleets/web/size", &four).await.with(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_race_under_one_key_make_one_change() {
    let site = Site::new().await;
    let body = json!({"reason": "race", "size": 3});
    let answers =
        futures::future::join_all((0..8).map(|_| site.post_as("k", "/fleets/web/size", &body))).await;
    let ids: std::collections::BTreeSet<String> = answers
        .into_iter()
        .map(|answer| {
            assert!(answer.status.is_success(), "{answer:?}");
            answer.body["action_id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ids.len(), 1);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM scaler.operator_action")
        .fetch_one(&site.database.pool())
        .await
        .unwrap();
    assert_eq!(rows, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn evaluate_wakes_the_loop_here_and_says_who_holds_the_fleet_elsewhere() {
    let site = Site::new().await;
    // So long a rest that only a poke ends it within this test's patience.
    let file = site.folder.join("fleets/web.toml");
    let slow = crate::cli::program::WEB.replace("interval = \"1s\"", "interval = \"10m\"");
    std::fs::write(&file, slow).unwrap();
    let rested = site.until("/fleets/web", |fleet| fleet["interval_seconds"] == 600.0).await;
    // The change itself ends a rest; what comes after it is long.
    let seen = |fleet: &serde_json::Value| fleet["observed"]["at"].as_str().unwrap_or_default().to_owned();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let before = seen(&site.get("/fleets/web").await.with(200));
    assert!(before >= seen(&rested));
    let body = json!({"reason": "I have changed the load"});
    let answer = site.post("/fleets/web/evaluate", &body).await.with(202);
    assert_eq!((&answer["evaluates_now"], &answer["outcome"]), (&json!(true), &json!("done")));
    site.until("/fleets/web", |fleet| seen(fleet) > before).await;

    let elsewhere = "UPDATE scaler.lease SET holder = 'test-2', epoch = epoch + 1,
                     expires_at = clock_timestamp() + interval '1 hour' WHERE fleet = 'web'";
    sqlx::raw_sql(elsewhere).execute(&site.database.superuser_pool()).await.unwrap();
    let answer = site.post("/fleets/web/evaluate", &body).await.with(202);
    assert_eq!((&answer["evaluates_now"], &answer["holder"]), (&json!(false), &json!("test-2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_strict_and_bounded() {
    let site = Site::new().await;
    let path = "/fleets/web/pause";
    for body in [
        json!({}),
        json!({"reason": ""}),
        json!({"reason": "x".repeat(501)}),
        json!({"reason": "x", "actor": " "}),
        json!({"reason": "x", "for": "0s"}),
        json!({"reason": "x", "direction": "up"}),
        json!({"reason": "x", "forever": true}),
        json!(["x"]),
    ] {
        let problem = site.post(path, &body).await.with(422);
        assert_eq!(problem["code"], "invalid_body", "{body}");
    }
    let large = json!({"reason": "x", "more": "y".repeat(16 * 1024)});
    site.post(path, &large).await.with(413);
    let text = site.request(Method::POST, path).body("{\"reason\": \"x\"}");
    answer(text).await.with(415);
    site.post("/fleets/nope/pause", &json!({"reason": "x"})).await.with(404);
    assert_eq!(site.get("/fleets/web").await.with(200)["pauses"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_stops_is_slowed_down() {
    let site = Site::with_tokens(None).await;
    let mut refused = None;
    // Far more than the burst, and no more than a test has time for.
    for _ in 0..200 {
        let answer = site.post("/fleets/web/resume", &json!({})).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("changes are limited");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.with(429)["code"], "rate");
    site.get("/fleets").await.with(200);
}
