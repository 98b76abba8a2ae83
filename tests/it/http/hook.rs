//! An Alertmanager's webhook, with the notification as Alertmanager writes it.

use serde_json::{Value, json};

use super::site::Site;

/// A notification of one alert, every field of version 4 in it.
fn notification(status: &str, labels: &Value, starts_at: &str) -> Value {
    let mut labels = labels.clone();
    labels["alertname"] = json!("QueueGrows");
    json!({
        "version": "4",
        "groupKey": "{}:{alertname=\"QueueGrows\"}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "fleet-scaler",
        "groupLabels": {"alertname": "QueueGrows"},
        "commonLabels": labels,
        "commonAnnotations": {"summary": "the queue grows"},
        "externalURL": "http://alertmanager:9093",
        "alerts": [{
            "status": status,
            "labels": labels,
            "annotations": {"summary": "the queue grows"},
            "startsAt": starts_at,
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph",
            "fingerprint": "2e1c0e6a5b1c3f4d"
        }]
    })
}

const NIGHT: &str = "2026-11-27T02:30:00.123Z";
const HOOK: &str = "/hooks/alertmanager";

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_asks_once_however_often_it_is_sent() {
    let site = Site::new().await;
    let more = json!({"fleet": "web", "action": "scale_out", "hosts": "2"});
    let first = site.post(HOOK, &notification("firing", &more, NIGHT)).await.with(200);
    assert_eq!(first["alerts"][0]["outcome"], "recorded", "{first}");
    site.until("/fleets/web", |fleet| fleet["size"]["wanted"] == 4).await;
    let again = site.post(HOOK, &notification("firing", &more, NIGHT)).await.with(200);
    assert_eq!(again["alerts"][0]["outcome"], "repeated");
    assert_eq!(again["alerts"][0]["action_id"], first["alerts"][0]["action_id"]);
    let over = site.post(HOOK, &notification("resolved", &more, NIGHT)).await.with(200);
    assert_eq!(over["alerts"][0]["outcome"], "ignored");
    // It fires anew: that is another alert. No more than max is asked for.
    let later = site.post(HOOK, &notification("firing", &more, "2026-11-27T03:00:00Z")).await.with(200);
    assert_eq!(later["alerts"][0]["outcome"], "recorded");
    site.until("/fleets/web", |fleet| fleet["size"]["wanted"] == 6).await;
    let full = site.post(HOOK, &notification("firing", &more, "2026-11-27T04:00:00Z")).await.with(200);
    assert_eq!(full["alerts"][0]["outcome"], "refused", "{full}");
    let action = first["alerts"][0]["action_id"].as_str().unwrap();
    let action = site.get(&format!("/actions/{action}")).await.with(200);
    assert_eq!(
        (&action["actor"], &action["reason"]),
        (&json!("alertmanager via http"), &json!("alert the queue grows"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_pause_and_evaluate_and_nonsense_is_told_so() {
    let site = Site::new().await;
    let outcome = async |labels: Value| {
        let answer = site.post(HOOK, &notification("firing", &labels, NIGHT)).await.with(200);
        answer["alerts"][0]["outcome"].as_str().unwrap().to_owned()
    };
    assert_eq!(outcome(json!({"fleet": "web", "action": "evaluate"})).await, "recorded");
    assert_eq!(
        outcome(json!({"fleet": "web", "action": "pause", "direction": "in", "for": "30m"})).await,
        "recorded"
    );
    let pauses = site.get("/fleets/web").await.with(200)["pauses"].clone();
    assert_eq!(pauses.as_array().unwrap().len(), 1);
    assert!(pauses[0]["until"].is_string() && pauses[0]["direction"] == "in", "{pauses}");
    for nonsense in [
        json!({"fleet": "nope", "action": "pause"}),
        json!({"action": "pause"}),
        json!({"fleet": "web"}),
        json!({"fleet": "web", "action": "explode"}),
        json!({"fleet": "web", "action": "scale_out", "hosts": "-1"}),
        json!({"fleet": "web", "action": "pause", "for": "soon"}),
        json!({"fleet": "web", "action": "pause", "direction": "up"}),
    ] {
        assert_eq!(outcome(nonsense.clone()).await, "refused", "{nonsense}");
    }
    let mut other = notification("firing", &json!({}), NIGHT);
    other["version"] = json!("5");
    assert_eq!(site.post(HOOK, &other).await.with(422)["parameter"], "version");
    let many = json!({"version": "4", "groupKey": "g", "alerts": vec![other["alerts"][0].clone(); 201]});
    assert_eq!(site.post(HOOK, &many).await.with(422)["parameter"], "alerts");
}
