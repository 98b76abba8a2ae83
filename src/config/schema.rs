//! JSON Schema of both kinds of file, for editors and for people.
//!
//! The schema is what the readers ask for: they run over no file at all, and every key they ask for describes itself.
//! There is no second list of keys that could differ from what is accepted.

use std::path::Path;

use serde_json::{Value, json};

use crate::config::reader::Section;
use crate::config::report::Report;
use crate::config::service::read::Surroundings;
use crate::config::{fleet, service};

/// The schema of `fleet-scaler.toml`.
#[must_use]
pub fn service_schema() -> Value {
    let surroundings = Surroundings { dir: Path::new(""), database: None };
    describe("Fleet Scaler: the service", "fleet-scaler.toml", |file| {
        service::read::read(file, &surroundings);
    })
}

/// The schema of `fleets/*.toml`.
#[must_use]
pub fn fleet_schema() -> Value {
    describe(
        "Fleet Scaler: a fleet",
        "fleets/NAME.toml: one fleet a file; the file's name is the fleet's.",
        |file| {
            fleet::read::read(file, None);
        },
    )
}

fn describe(title: &str, description: &str, read: impl FnOnce(&mut Section<'_, '_>)) -> Value {
    let mut report = Report::describing();
    let mut file = Section::file(&mut report, None);
    read(&mut file);
    let mut schema = file.finish();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!(title));
    schema.insert("description".to_owned(), json!(description));
    Value::Object(schema)
}
