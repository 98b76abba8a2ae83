//! The schema says what the loader accepts: both are asked, and must agree.

use std::collections::BTreeSet;

use fleet_scaler::config::schema::{fleet_schema, service_schema};
use serde_json::Value;

use super::conformity::violations_of;
use super::{FLEET, SERVICE, folder, golden, load_bare};

/// A file of the tests' data as JSON.
fn toml_as_json(path: &str) -> Value {
    let text = std::fs::read_to_string(path).expect("a file");
    let table: toml::Table = text.parse().expect("TOML");
    serde_json::to_value(table).expect("JSON")
}

/// Every key of a schema, dotted, tables included.
fn keys(schema: &Value, path: &str, into: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        keys(property, &path, into);
        keys(&property["items"], &path, into);
        into.insert(path);
    }
}

/// Every key of a value, dotted, tables included.
fn keys_used(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    for item in value.as_array().into_iter().flatten() {
        keys_used(item, path, into);
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        keys_used(member, &path, into);
        into.insert(path);
    }
}

#[test]
fn valid_files_satisfy_it() {
    for dir in ["config", "tests/golden/config/maximal"] {
        let service = toml_as_json(&format!("{dir}/fleet-scaler.toml"));
        assert_eq!(violations_of(&service_schema(), &service), [""; 0], "{dir}");
        let fleet = toml_as_json(&format!("{dir}/fleets/web.toml"));
        assert_eq!(violations_of(&fleet_schema(), &fleet), [""; 0], "{dir}");
    }
}

#[test]
fn broken_files_do_not() {
    for (file, part) in [
        ("unknown-keys/fleets/web.toml", ".intervall: is not a key"),
        ("numbers/fleets/web.toml", ".metrics.host.port: is out of range"),
        ("launch/fleets/web.toml", ".launch.market: is none of"),
        ("names/fleets/web.toml", ".name: is missing"),
        ("wrong-types/fleets/web.toml", ".mode: is no \"string\""),
        ("empty-files/fleets/web.toml", ".launch: is missing"),
    ] {
        let path = golden(file).display().to_string();
        let found = violations_of(&fleet_schema(), &toml_as_json(&path)).join("\n");
        assert!(found.contains(part), "{file}\n{found}");
    }
}

/// The keys of the documented example, of its alternatives, and no others: a key that the loader accepts and nobody
/// documented is found here, and so is one that went missing.
#[test]
fn it_has_the_documented_keys_and_no_others() {
    let mut documented = BTreeSet::new();
    keys_used(&toml_as_json("tests/golden/config/maximal/fleets/web.toml"), "", &mut documented);
    let alternatives = [
        "launch.launch_template_name",
        "metrics.query.timeout",
        "rule.action.add_percent",
        "rule.action.remove_percent",
        "target.shortfall",
        "target.forecast.hosts_max",
    ];
    documented.extend(alternatives.map(str::to_owned));
    // What a candidate may write is written as the fleet's own is.
    for table in ["rule", "target", "schedule"] {
        let own: Vec<String> =
            documented.iter().filter(|key| key.starts_with(&format!("{table}."))).cloned().collect();
        documented.extend(own.iter().map(|key| format!("candidate.{key}")));
    }
    documented.retain(|key| !key.starts_with("launch.tags.") && !key.starts_with("metrics.scrape.labels."));
    let mut described = BTreeSet::new();
    keys(&fleet_schema(), "", &mut described);
    assert_eq!(described, documented);

    let mut documented = BTreeSet::new();
    keys_used(&toml_as_json("tests/golden/config/maximal/fleet-scaler.toml"), "", &mut documented);
    documented
        .extend(["database.url_file", "provider.simulated", "provider.simulated.seed"].map(str::to_owned));
    let mut described = BTreeSet::new();
    keys(&service_schema(), "", &mut described);
    assert_eq!(described, documented);
}

/// Each key of the schema, written into a file, is known to the loader; with a letter more it is not.
#[test]
fn the_loader_knows_its_keys_and_no_others() {
    let mut described = BTreeSet::new();
    keys(&fleet_schema(), "", &mut described);
    for key in described {
        for (suffix, known) in [("", true), ("x", false)] {
            let (table, name) = key.rsplit_once('.').unwrap_or(("", &key));
            let (outer, table) = match table.strip_prefix("candidate.") {
                Some(inner) => ("candidate", inner),
                None => ("", table),
            };
            let array = ["metrics.query", "metrics.scrape", "rule", "target", "schedule", "candidate"]
                .contains(&table);
            let header = match table {
                "" => String::new(),
                "rule.action" => "[[rule]]\n[rule.action]\n".to_owned(),
                "target.forecast" => "[[target]]\n[target.forecast]\n".to_owned(),
                "schedule.size" => "[[schedule]]\n[schedule.size]\n".to_owned(),
                _ if array => format!("[[{table}]]\n"),
                _ => format!("[{table}]\n"),
            };
            let header = match outer {
                "" => header,
                outer => format!(
                    "[[{outer}]]\n{}",
                    header.replace('[', "[candidate.").replace("[candidate.[candidate.", "[[candidate.")
                ),
            };
            let fleet = format!("{header}{name}{suffix} = true\n");
            let errors = load_bare(folder(SERVICE, &fleet).path()).expect_err("nothing else is there");
            let refused = errors.errors.iter().any(|error| error.message.starts_with("is not a key here"));
            assert_eq!(refused, !known, "{fleet}\n{errors}");
        }
    }
}

#[test]
fn every_key_says_what_it_means() {
    fn described(schema: &Value, path: &str) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let words = property["description"].as_str().unwrap_or_default();
            assert!(words.len() >= 10 && words.ends_with(['.', '…']), "{path}: {words:?}");
            described(property, &path);
            described(&property["items"], &path);
        }
    }
    for schema in [service_schema(), fleet_schema()] {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        described(&schema, "");
    }
}

#[test]
fn defaults_and_ranges_are_the_loaders_own() {
    let schema = fleet_schema();
    let properties = &schema["properties"];
    assert_eq!(properties["interval"]["default"], "10s");
    assert_eq!(
        properties["interval"]["description"],
        "Observe, decide and act this often. A duration from \"100ms\" to \"1d\"."
    );
    assert_eq!(properties["launch"]["properties"]["pool_cooldown_max"]["default"], "30m");
    assert_eq!(properties["rule"]["items"]["properties"]["sustained"]["default"], "1 of 1");
    assert_eq!(properties["scale_in"]["properties"]["order"]["default"], "oldest");
    assert!(properties["size"]["properties"]["min"].get("default").is_none());
    assert_eq!(schema["required"], serde_json::json!(["name", "size", "launch"]));
    // The database may be named by the environment alone.
    assert_eq!(service_schema()["required"], serde_json::json!(["service", "provider"]));
    load_bare(folder(SERVICE, FLEET).path()).expect("what is not required may be left out");
}
