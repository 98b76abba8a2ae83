//! Decisions of a fleet that lived, made again: every one is the same, and what was tampered with is found.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fleet_scaler::decide::inputs::Inputs;
use fleet_scaler::domain::ids::{FleetName, InstanceId, OperatorActionId};
use fleet_scaler::domain::time::before;
use fleet_scaler::entropy::{ChaChaEntropy, Entropy as _};
use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::Fault;
use fleet_scaler::reconcile::tick::FleetRunner;
use fleet_scaler::signals::{Harvest, HarvestRequest, SignalFault, SignalSource};
use fleet_scaler::store::history::{History as _, RecordedQuery};
use fleet_scaler::store::{OperatorAction, OperatorActionKind};
use serde_json::Value;

use crate::cli::program::{Folder, Ran, WEB, service_file};
use crate::service::world::{FLEET, World, fleet, quick_cloud, turn_until};
use crate::support::sql;

const RULES: &str = r#"
[[metrics.query]]
name = "qps"
url = "http://127.0.0.1:1"
query = "up"
[[rule]]
name = "hot"
when = "cpu.avg > 0.8 || cpu.p95 > 0.95 && qps > 0.1"
sustained = "2 of 3"
action = { add_percent = 34 }
[[rule]]
name = "idle"
when = "cpu.avg < 0.2"
sustained = "3 of 3"
action = { remove = 1 }
[[target]]
name = "cpu-60"
signal = "cpu.avg"
value = 0.6
[[schedule]]
name = "night"
start = "0 0 * * *"
end = "0 0 1 1 *"
timezone = "Europe/Berlin"
size = { min = 2 }
[[candidate]]
name = "eager"
size = { min = 6, max = 8 }
"#;

/// A load that is spread over the hosts that are asked; `None`: nobody answers.
pub(super) struct Load(pub(super) Mutex<Option<f64>>);

impl Load {
    pub(super) fn set(&self, load: Option<f64>) {
        *self.0.lock().unwrap() = load;
    }
}

#[async_trait]
impl SignalSource for Load {
    async fn harvest(&self, request: &HarvestRequest) -> Harvest {
        let Some(load) = *self.0.lock().unwrap() else {
            let fault = |host: &InstanceId| SignalFault {
                source: host.to_string(),
                class: "timeout",
                message: "no answer within 3s".to_owned(),
            };
            let faults = request.hosts.iter().map(|target| fault(&target.host)).collect();
            return Harvest { faults, ..Harvest::default() };
        };
        let share = load / request.hosts.len().max(1) as f64;
        let page = |place: usize| {
            // Numbers whose last digits matter, and another one for each host.
            let cpu = (share * (1.0 + (place as f64).sin() / 30.0)).min(1.0);
            BTreeMap::from([("cpu".to_owned(), cpu), ("net_rx".to_owned(), cpu * 1e8 / 3.0)])
        };
        let hosts =
            request.hosts.iter().enumerate().map(|(place, target)| (target.host.clone(), page(place)));
        let queries = BTreeMap::from([("qps".to_owned(), load / 7.0)]);
        Harvest { hosts: hosts.collect(), queries, faults: Vec::new() }
    }

    fn forget(&self, _: &FleetName, _: &InstanceId) {}
}

async fn ask_for(world: &World, size: u32) {
    let action = OperatorAction {
        id: OperatorActionId(ChaChaEntropy::from_os().uuid()),
        fleet: world.fleet.name.clone(),
        actor: "ada".to_owned(),
        reason: "a test".to_owned(),
        kind: OperatorActionKind::SetSize(size),
    };
    world.store.operator_act(&action).await.unwrap();
}

/// A morning: a rise, a launch template that cannot be read, an operator, an hour without metrics, and an evening.
async fn live_through(world: &World, load: &Load, runner: &mut FleetRunner) {
    let serving = |count: usize| async move { world.hosts_in("healthy").await == count };
    turn_until(runner, "two hosts healthy", || serving(2)).await;
    let unreadable = Fault::Error {
        op: Some(Op::DescribeLaunchTemplateVersions),
        zone: None,
        code: "RequestLimitExceeded".to_owned(),
        http_status: None,
        message: None,
        count: Some(4),
        probability: None,
    };
    world.fault(unreadable);
    load.set(Some(2.4));
    turn_until(runner, "the fleet has grown", || async { world.hosts_in("healthy").await >= 4 }).await;
    ask_for(world, 7).await;
    turn_until(runner, "the operator got seven", || serving(7)).await;
    load.set(None);
    world.turn_for(runner, Duration::from_secs(2)).await;
    load.set(Some(0.3));
    turn_until(runner, "the fleet has shrunk", || async { world.hosts_in("healthy").await <= 4 }).await;
}

fn make_again(folder: &Folder, arguments: &[&str]) -> Ran {
    folder.call(&[&["backtest", "web", "--recorded", "--since", "1h", "--again"], arguments].concat())
}

fn number(report: &Value, key: &str) -> u64 {
    report[key].as_u64().unwrap_or_else(|| panic!("{key} is not in {report}"))
}

/// One statement of somebody who got round the triggers, about the decision at this place, oldest first.
async fn tamper(world: &World, place: i64, statement: &str) {
    let of_it = "(SELECT id FROM scaler.decision ORDER BY at LIMIT 1 OFFSET $1)";
    let statement = sql(statement.replace("OF_IT", of_it));
    let rows = sqlx::query(statement).bind(place).execute(&world.pool).await.unwrap().rows_affected();
    assert_eq!(rows, 1, "{statement}");
}

/// Puts other inputs in the place of a decision's own, with the seal that fits them.
async fn replace(world: &World, place: usize, change: impl FnOnce(&mut Inputs)) {
    let now = world.store.now().await.unwrap();
    let fleet = world.fleet.name.clone();
    let since = before(now, Duration::from_hours(1));
    let query = RecordedQuery { fleet, since, until: now, after: None, limit: 0 };
    let one = world.history().recorded(&query).await.unwrap().swap_remove(place);
    let mut inputs = one.inputs.unwrap();
    change(&mut inputs);
    sqlx::query(
        "WITH sealed AS (UPDATE scaler.decision SET inputs_seal = $2 WHERE id = $1)
         UPDATE scaler.decision_input SET format = $3, program = $4, doc = $5::text::json WHERE decision_id = $1",
    )
    .bind(one.id.0)
    .bind(inputs.seal())
    .bind(inputs.format)
    .bind(&inputs.program)
    .bind(&inputs.document)
    .execute(&world.pool)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_of_a_fleet_that_lived_is_made_again_and_is_the_same() {
    let toml = format!("{FLEET}{RULES}")
        .replace("launch_template_version = \"2\"", "launch_template_version = \"$Latest\"");
    let mut world = World::new(fleet(&toml), quick_cloud()).await;
    let load = Arc::new(Load(Mutex::new(Some(0.9))));
    world.signals = Arc::clone(&load) as Arc<dyn SignalSource>;
    let mut runner = world.runner("a");
    live_through(&world, &load, &mut runner).await;
    world.check_promises().await;

    let folder = Folder::new(&service_file(world.database_url(), "127.0.0.1:0"), WEB);
    let report = make_again(&folder, &["--output", "json"]).ended(0).json();
    let of = |key| number(&report, key);
    assert_eq!((of("equal"), of("different"), of("impossible")), (of("decisions"), 0, 0), "{report:#}");
    assert_eq!((of("again"), &report["causes"]), (of("decisions"), &serde_json::json!({})));
    let lived: Vec<(String, bool)> = sqlx::query_as(
        "SELECT DISTINCT action, inputs ->> 'faults' LIKE '%launch template%' FROM audit.decisions",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    for action in ["repair", "scale_out", "manual", "scale_in", "hold"] {
        assert!(lived.iter().any(|(lived, _)| lived == action), "{action} is not among {lived:?}");
    }
    assert!(lived.iter().any(|(_, withheld)| *withheld), "nothing was held back: {lived:?}");
    let words = make_again(&folder, &[]).ended(0).stdout;
    assert!(words.contains("made again by version") && words.contains("equal"), "{words}");
    silence_the_triggers(&world).await;
    what_cannot_be_made_again_is_counted_by_its_cause(&world, &folder).await;
    what_was_tampered_with_is_found(&world, &folder).await;
}

async fn silence_the_triggers(world: &World) {
    sqlx::raw_sql(
        "ALTER TABLE scaler.decision_input DISABLE TRIGGER written_once;
         ALTER TABLE scaler.decision DISABLE TRIGGER append_only",
    )
    .execute(&world.pool)
    .await
    .unwrap();
}

async fn what_cannot_be_made_again_is_counted_by_its_cause(world: &World, folder: &Folder) {
    replace(world, 4, |inputs| inputs.format += 1).await;
    replace(world, 5, |inputs| "0.0.1".clone_into(&mut inputs.program)).await;
    tamper(world, 6, "DELETE FROM scaler.decision_input WHERE decision_id = OF_IT").await;
    tamper(world, 6, "UPDATE scaler.decision SET inputs_seal = NULL WHERE id = OF_IT").await;
    sqlx::query(
        "DELETE FROM scaler.observation WHERE at = (SELECT at FROM scaler.observation ORDER BY at DESC OFFSET 1 LIMIT 1)",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let report = make_again(folder, &["--output", "json"]).ended(0).json();
    let causes = report["causes"].as_object().unwrap();
    for cause in ["never-kept", "other-format", "other-version"] {
        assert_eq!(causes[cause], 1, "{report:#}");
    }
    assert!(causes["observations-missing"].as_u64() >= Some(1), "{report:#}");
    let of = |key| number(&report, key);
    assert_eq!((of("different"), of("again") + of("impossible")), (0, of("decisions")), "{report:#}");
    let words = make_again(folder, &[]).ended(0).stdout;
    assert!(words.contains("made by another version of the program"), "{words}");
}

async fn what_was_tampered_with_is_found(world: &World, folder: &Folder) {
    let bent =
        "UPDATE scaler.decision_input SET doc = replace(doc::text, '\"orphans\":0', '\"orphans\":5')::json
         WHERE decision_id = OF_IT";
    tamper(world, 0, bent).await;
    tamper(world, 1, "DELETE FROM scaler.decision_input WHERE decision_id = OF_IT").await;
    let plan = "UPDATE scaler.decision SET plan = jsonb_set(plan, '{verdicts,3,because}', '\"so\"') WHERE id = OF_IT";
    tamper(world, 2, plan).await;
    // Whoever makes the seal fit is given away by the decision.
    replace(world, 3, |inputs| {
        inputs.document = inputs.document.replacen("\"orphans\":0", "\"orphans\":5", 1);
    })
    .await;
    let report = make_again(folder, &["--output", "json"]).ended(1).json();
    let differences = report["differences"].as_array().unwrap();
    let fields: Vec<&str> = differences.iter().map(|found| found["field"].as_str().unwrap()).collect();
    assert_eq!(fields[..3], ["inputs", "inputs", "verdicts[3].because"], "{report:#}");
    assert_eq!((fields.len(), number(&report, "different")), (4, 4), "{report:#}");
    assert_ne!(fields[3], "inputs");
    assert_eq!(differences[2]["recorded"], "\"so\"");
    assert_eq!(differences[1]["again"], "gone");
    let words = make_again(folder, &[]).ended(1).stdout;
    assert!(words.contains("verdicts[3].because") && words.contains("FIRST FIELD"), "{words}");
}
