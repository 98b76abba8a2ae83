//! What an operator's own monitoring lives on: alerts that fire for what they say and for nothing close to it, links that
//! lead somewhere, and rules and panels that ask only for metrics that the service tells.

mod dashboard;
mod exposed;
mod rules;

use std::path::PathBuf;
use std::process::Command;

/// A file of the project.
fn read(path: &str) -> String {
    let path = file(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Prometheus's own judgment.
#[track_caller]
fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).current_dir(file("")).output();
    let output = output.expect("promtool is installed (Debian: prometheus)");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}
