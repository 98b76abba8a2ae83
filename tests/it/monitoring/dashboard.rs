//! The dashboard: a model that Grafana can load, in which every panel says what it shows, in which unit, and asks only for
//! what the service tells.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::exposed::Exposed;
use super::{promtool, read};
use crate::architecture::assert_none;

const DASHBOARD: &str = "config/grafana/fleet-scaler.json";
/// Columns of Grafana's grid.
const COLUMNS: u64 = 24;
/// The variables that Grafana itself sets.
const OF_GRAFANA: [&str; 2] = ["__rate_interval", "__interval"];

fn dashboard() -> Value {
    serde_json::from_str(&read(DASHBOARD)).unwrap_or_else(|error| panic!("{DASHBOARD}: {error}"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn it_is_a_model_that_grafana_can_load() {
    let model = dashboard();
    assert_eq!(model["id"], Value::Null, "the id is the importing Grafana's to choose");
    assert_eq!(text(&model, "uid"), "fleet-scaler");
    assert!(!text(&model, "title").is_empty() && model["schemaVersion"].as_u64() >= Some(39), "{model}");
    let variables = variables(&model);
    assert_eq!(variables, ["datasource", "fleet", "job"].map(str::to_owned).into());
    let rows: Vec<_> = list(&model, "panels").iter().filter(|panel| panel["type"] == "row").collect();
    let titles: Vec<_> = rows.iter().map(|row| text(row, "title")).collect();
    assert_eq!(
        titles,
        [
            "Overview",
            "Size and signals of $fleet",
            "Launches and drains of $fleet",
            "Cloud calls",
            "Service health"
        ]
    );
    assert_none(&misplaced(list(&model, "panels")));
}

#[test]
fn every_panel_says_what_it_shows_and_asks_for_what_is_told() {
    let model = dashboard();
    let exposed = Exposed::by_the_service();
    let variables = variables(&model);
    let panels = list(&model, "panels").iter().filter(|panel| panel["type"] != "row");
    assert_none(&panels.flat_map(|panel| complaints(panel, &exposed, &variables)).collect::<Vec<_>>());
    let elsewhere = list(&model["templating"], "list").iter().chain(list(&model["annotations"], "list"));
    let queries = elsewhere.flat_map(|one| [text(one, "definition"), text(one, "expr")]);
    let queries: Vec<_> = queries.filter(|query| !query.is_empty()).collect();
    assert_eq!(queries.len(), 3, "two variables and one annotation are asked for");
    assert_none(
        &queries.iter().flat_map(|query| exposed.complaints("a variable", query)).collect::<Vec<_>>(),
    );
}

/// Each query as a rule of a file, with Grafana's variables filled in: promtool reads it as Prometheus would.
#[test]
fn queries_are_promql() {
    let model = dashboard();
    let targets = list(&model, "panels").iter().flat_map(|panel| list(panel, "targets"));
    let queries: Vec<_> =
        targets.chain(list(&model["annotations"], "list")).map(|one| text(one, "expr")).collect();
    assert!(queries.len() > 40, "only {} queries", queries.len());
    let filled = queries
        .iter()
        .map(|query| query.replace("$__rate_interval", "1m").replace("$__interval", "1m").replace('$', ""));
    let rules: Vec<_> = filled
        .enumerate()
        .filter(|(_, query)| !query.is_empty())
        .map(|(number, query)| json!({ "record": format!("panel:query{number}"), "expr": query }))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rules.yml");
    std::fs::write(&path, json!({ "groups": [{ "name": "panels", "rules": rules }] }).to_string()).unwrap();
    promtool(&["check", "rules", path.to_str().unwrap()]);
}

#[test]
fn the_provisioned_source_is_one_that_the_dashboard_takes() {
    let source = read("config/grafana/provisioning/datasources/prometheus.yml");
    assert!(
        source.contains("\n    type: prometheus\n") && source.contains("\n    isDefault: true\n"),
        "{source}"
    );
    let model = dashboard();
    let variable = &list(&model["templating"], "list")[0];
    assert_eq!((text(variable, "type"), text(variable, "query")), ("datasource", "prometheus"));
    let provider = read("config/grafana/provisioning/dashboards/fleet-scaler.yml");
    assert!(provider.contains("\n    type: file\n") && provider.contains("      path: "), "{provider}");
}

fn variables(model: &Value) -> BTreeSet<String> {
    list(&model["templating"], "list").iter().map(|one| text(one, "name").to_owned()).collect()
}

/// What a panel leaves unsaid, and what it asks for in vain.
fn complaints(panel: &Value, exposed: &Exposed, variables: &BTreeSet<String>) -> Vec<String> {
    let title = text(panel, "title");
    let mut complaints = Vec::new();
    let mut demand = |holds: bool, what: String| complaints.extend((!holds).then_some(what));
    demand(!title.is_empty(), format!("panel {} has no title", panel["id"]));
    demand(text(panel, "description").ends_with('.'), format!("{title}: its description is no sentence"));
    demand(!text(&panel["fieldConfig"]["defaults"], "unit").is_empty(), format!("{title}: it has no unit"));
    demand(panel["datasource"]["uid"] == "${datasource}", format!("{title}: another data source"));
    demand(!list(panel, "targets").is_empty(), format!("{title}: it asks for nothing"));
    let mut letters = BTreeSet::new();
    for target in list(panel, "targets") {
        let query = text(target, "expr");
        demand(letters.insert(text(target, "refId")), format!("{title}: two queries of one letter"));
        demand(!text(target, "legendFormat").is_empty(), format!("{title}: a query without a legend"));
        demand(query.contains("job=\"$job\""), format!("{title}: it mixes deployments: {query}"));
        for name in used_variables(query) {
            let known = variables.contains(&name) || OF_GRAFANA.contains(&name.as_str());
            demand(known, format!("{title}: there is no variable ${name}"));
        }
    }
    let queries = list(panel, "targets").iter().map(|target| text(target, "expr"));
    complaints.into_iter().chain(queries.flat_map(|query| exposed.complaints(title, query))).collect()
}

fn used_variables(query: &str) -> Vec<String> {
    let names = query.split('$').skip(1);
    names
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap().to_owned())
        .collect()
}

/// Panels that share an id, leave the grid, or lie on one another.
fn misplaced(panels: &[Value]) -> Vec<String> {
    let mut complaints = Vec::new();
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let title = text(panel, "title");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap_or_default());
        if !ids.insert(panel["id"].as_u64()) {
            complaints.push(format!("{title}: another panel has its id"));
        }
        if w == 0 || h == 0 || x + w > COLUMNS {
            complaints.push(format!("{title}: it is not within the grid"));
        }
        let covered = (x..x + w).flat_map(|column| (y..y + h).map(move |line| (column, line)));
        let free = covered.map(|cell| cells.insert(cell)).fold(true, |all, free| all & free);
        if !free {
            complaints.push(format!("{title}: it lies on another panel"));
        }
    }
    complaints
}

#[test]
fn panels_on_one_another_are_found() {
    let at = |id: u64, x: u64, title: &str| json!({ "id": id, "title": title, "gridPos": { "x": x, "y": 0, "w": 12, "h": 2 } });
    assert_eq!(misplaced(&[at(1, 0, "a"), at(2, 12, "b")]), [""; 0]);
    assert_eq!(misplaced(&[at(1, 0, "a"), at(2, 11, "b")]), ["b: it lies on another panel"]);
    assert_eq!(misplaced(&[at(1, 13, "a")]), ["a: it is not within the grid"]);
    assert_eq!(misplaced(&[at(1, 0, "a"), at(1, 12, "b")]), ["b: another panel has its id"]);
}

#[test]
fn a_panel_that_leaves_things_unsaid_is_found() {
    let exposed = Exposed::by_the_service();
    let query = "fleet_scaler_ready{job=\"$job\", fleet=\"$flock\"}";
    let panel = json!({
        "title": "Ready", "description": "ready", "datasource": { "uid": "x" }, "fieldConfig": { "defaults": {} },
        "targets": [{ "refId": "A", "expr": query }],
    });
    assert_eq!(
        complaints(&panel, &exposed, &["job".to_owned()].into()),
        [
            "Ready: its description is no sentence",
            "Ready: it has no unit",
            "Ready: another data source",
            "Ready: a query without a legend",
            "Ready: there is no variable $flock",
            "Ready: fleet_scaler_ready has no label fleet",
        ]
    );
}
