//! Questions about people and what they try: who did what, how candidates compare, what a token may do; and what a fleet
//! waits for where only a guard says so.

use fleet_scaler::domain::ids::{FleetName, OperatorActionId};
use fleet_scaler::entropy::{ChaChaEntropy, Entropy as _};
use fleet_scaler::store::{OperatorAction, OperatorActionKind, Store as _};
use reqwest::Method;
use serde_json::{Value, json};

use super::site::{Plan, Site, answer};
use super::tokens::token;
use crate::cli::program::WEB;

/// A site whose fleet `web` has these tables, too, and so many healthy hosts to begin with.
pub(crate) async fn site_with(more: &str, healthy: u32) -> Site {
    // No host has metrics here: what is known of the fleet is how many hosts it has.
    let file = WEB.replace("cpu.avg > 0.75", "hosts.healthy > 99.0");
    let fleets = vec![("web".to_owned(), format!("{file}{more}"))];
    let site = Site::of(Plan { fleets, ..Plan::ordinary().await }).await;
    site.until("/fleets/web", |fleet| fleet["hosts"]["healthy"] == healthy).await;
    site
}

fn words<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|one| one[key].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_what_is_told_in_pages_with_what_became_of_it() {
    let site = Site::new().await;
    let pause = json!({"reason": "deploy of v7", "actor": "ada", "for": "2h"});
    site.post("/fleets/db/pause", &pause).await.with(200);
    site.post("/fleets/web/evaluate", &json!({"reason": "is it well?", "actor": "grace"})).await.with(202);
    // The API would have said no at once; what was asked in another way is refused by a decision, and that is recorded.
    let asked = OperatorAction {
        id: OperatorActionId(ChaChaEntropy::from_os().uuid()),
        fleet: FleetName::new("web"),
        actor: "ada".to_owned(),
        reason: "the more the better".to_owned(),
        kind: OperatorActionKind::SetSize(7),
    };
    site.database.store().operator_act(&asked).await.unwrap();
    let all = site.until("/actions", |page| page["actions"][0]["outcome"] == "refused").await;
    assert_eq!(words(&all["actions"], "action"), ["set_size", "evaluate", "pause"]);
    assert_eq!(all["actions"][0]["size"], 7);
    let because = all["actions"][0]["answer"]["because"].as_str().unwrap();
    assert!(because.contains("max = 6"), "{because}");
    let found = async |filter: &str| {
        let page = site.get(&format!("/actions?{filter}")).await.with(200);
        words(&page["actions"], "action").join(" ")
    };
    assert_eq!(found("actor=ada").await, "set_size pause");
    assert_eq!(found("actor=http").await, "evaluate pause");
    assert_eq!(found("fleet=web&action=set_size,drain").await, "set_size");
    assert_eq!(found("until=2020-01-01T00:00:00Z").await, "");
    let mut read = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = site.get(&format!("/actions?limit=1&since=1h{cursor}")).await.with(200);
        read.extend(page["actions"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(json!(read), all["actions"]);
    for (path, parameter) in [
        ("/actions?actor=", "actor"),
        ("/actions?action=explode", "action"),
        ("/actions?cursor=7b7d", "cursor"),
    ] {
        let problem = site.get(path).await.with(400);
        assert_eq!(problem["parameter"], parameter, "{path}: {problem}");
    }
    site.get("/actions?fleet=nope").await.with(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_is_compared_with_what_was_decided() {
    let site = site_with("\n[[candidate]]\nname = \"eager\"\nsize = { min = 5, max = 8 }\n", 2).await;
    let path = "/fleets/web/candidates";
    let compared = site.until(path, |answer| answer["candidates"][0]["evaluations"].as_i64() > Some(2)).await;
    let eager = &compared["candidates"][0];
    assert_eq!((&eager["name"], &eager["smaller"]), (&json!("eager"), &json!(0)));
    assert_eq!(eager["larger"], eager["evaluations"], "it always wanted five");
    assert_eq!(eager["hosts_more"], 3.0);
    let id = eager["differed_decision_id"].as_str().unwrap();
    let decision = site.get(&format!("/decisions/{id}")).await.with(200);
    assert_eq!(decision["candidates"][0]["size_wanted"], 5);
    assert_eq!(eager["differed_at"].as_str().map(str::len), Some("2026-11-27T05:04:38.863040Z".len()));
    let never = site.get(&format!("{path}?since=2100-01-01T00:00:00Z")).await.with(200);
    assert_eq!(never["candidates"], json!([]));
    assert_eq!(site.get(&format!("{path}?since=yesterday")).await.with(400)["parameter"], "since");
    site.get("/fleets/nope/candidates").await.with(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_told_what_it_may_do() {
    let (viewer, first) = token("grafana", "viewer");
    let (operator, second) = token("pager-bot", "operator");
    let site = Site::of(Plan { tokens: Some(first + &second), acts: false, ..Plan::ordinary().await }).await;
    for (shown, name, scope) in [(&viewer, "grafana", "viewer"), (&operator, "pager-bot", "operator")] {
        let session = answer(site.request(Method::GET, "/session").bearer_auth(shown)).await.with(200);
        assert_eq!(session, json!({"token": name, "scope": scope}));
    }
    site.get("/session").await.with(401);
    let open = Site::of(Plan { acts: false, ..Plan::ordinary().await }).await;
    assert_eq!(open.get("/session").await.with(200), json!({"token": null, "scope": "operator"}));
}

/// Wants the third host away as soon as it has been there for three observations.
const SHRINKING: &str = r#"
[[rule]]
name = "idle"
when = "hosts.healthy > 2.0"
sustained = "3 of 3"
action = { remove = 1 }

[cooldown]
scale_in = "1s"

[scale_in]
window = "15s"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_scale_in_that_only_the_window_refuses_says_so_everywhere() {
    let site = site_with(SHRINKING, 2).await;
    site.post("/fleets/web/size", &json!({"reason": "match day", "size": 3})).await.with(202);
    let waits = |fleet: &Value| fleet["next"]["waits_for"].to_string();
    let told = "the scale-in window: fewer hosts have to be enough for 15s on end";
    // The window is too short at first, and then it remembers that three were recommended.
    let fleet = site.until("/fleets/web", |fleet| waits(fleet).contains("3 were recommended at ")).await;
    assert!(waits(&fleet).contains(&format!("{told}; 3 were recommended at ")), "{fleet}");
    assert_eq!(fleet["last_decision"]["refused_by"], json!(["window"]), "{fleet}");
    let all = site.get("/fleets").await.with(200);
    assert!(waits(&all["fleets"][0]).contains(told), "{all}");
    let page = site.folder.call(&["status", "web"]).ended(0).stdout;
    assert!(page.contains(&format!("held by   {told}")), "{page}");
    let fleet = site.until("/fleets/web", |fleet| fleet["size"]["wanted"] == 2).await;
    assert!(!waits(&fleet).contains("window"), "{fleet}");
}
