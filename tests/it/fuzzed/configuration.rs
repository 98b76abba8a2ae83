//! The loader of configuration: whatever a folder holds, an answer that an operator can use.
//!
//! What is accepted is accepted again and is the same, and satisfies the schema that `fleet-scaler schema` prints. What is
//! refused is refused with a file, a line and a column that exist, a key, and words on one line.

use std::path::Path;
use std::sync::LazyLock;

use fleet_scaler::config::schema::{fleet_schema, service_schema};
use fleet_scaler::config::{ConfigError, load};
use serde_json::Value;

use super::conformity::violations_of;

/// The line between the service's file and the fleet's.
pub(super) const SEPARATOR: &[u8] = b"\n=== fleet ===\n";
/// What stands for the service's file where an input has no such line: it is a fleet's file then.
const SERVICE: &[u8] =
    b"[database]\nurl = \"embedded\"\n[service]\nowner = \"prod-1\"\n[provider.simulated]\n";
static SERVICE_SCHEMA: LazyLock<Value> = LazyLock::new(service_schema);
static FLEET_SCHEMA: LazyLock<Value> = LazyLock::new(fleet_schema);
/// Errors of two files at most, each with a remark that there are more.
const ERRORS_MAX: usize = 2 * 51;

/// Holds any bytes to the property; says whether they were accepted.
pub(super) fn check(input: &[u8]) -> bool {
    let (service, fleet) = split(input);
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("fleets")).unwrap();
    std::fs::write(dir.path().join("fleet-scaler.toml"), service).unwrap();
    std::fs::write(dir.path().join("fleets/web.toml"), fleet).unwrap();
    let load = || load(dir.path(), &|_| None);
    let outcome = load();
    assert_eq!(outcome, load(), "the same text does not mean the same");
    let accepted = outcome.is_ok();
    match outcome {
        Ok(configuration) => {
            assert_eq!(configuration.fleets.len(), 1);
            assert!(configuration.fleets.keys().eq(configuration.texts.keys()));
            assert_eq!(violations_of(&SERVICE_SCHEMA, &json(service)), [""; 0]);
            assert_eq!(violations_of(&FLEET_SCHEMA, &json(fleet)), [""; 0]);
        }
        Err(errors) => {
            assert!((1..=ERRORS_MAX).contains(&errors.errors.len()));
            for error in &errors.errors {
                check_error(dir.path(), error);
            }
        }
    }
    accepted
}

fn split(input: &[u8]) -> (&[u8], &[u8]) {
    match input.windows(SEPARATOR.len()).position(|window| window == SEPARATOR) {
        Some(at) => (&input[..at], &input[at + SEPARATOR.len()..]),
        None => (SERVICE, input),
    }
}

fn json(file: &[u8]) -> Value {
    let table: toml::Table = std::str::from_utf8(file).unwrap().parse().unwrap();
    serde_json::to_value(table).unwrap()
}

fn check_error(dir: &Path, error: &ConfigError) {
    assert!(Path::new(&error.file).starts_with(dir), "{error}: the file is none of the folder");
    assert!(!error.key.is_empty() && !error.message.is_empty(), "{error}");
    let message = error.to_string();
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(message.len() <= 4_000, "{} bytes: {message}", message.len());
    let text = std::fs::read(&error.file).unwrap_or_default();
    held(&String::from_utf8_lossy(&text), error.line, error.column);
}

/// Whether a place is in a text: the end of a line is, and so is the end of the text.
pub(super) fn held(text: &str, line: usize, column: usize) {
    let lines: Vec<&str> = text.split('\n').collect();
    assert!((1..=lines.len()).contains(&line), "line {line} of {}", lines.len());
    let width = lines[line - 1].chars().count();
    assert!((1..=width + 1).contains(&column), "column {column} of {width} in line {line}");
}
