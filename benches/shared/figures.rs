//! Figures on paper: settings from the environment, percentiles, and the report that goes where the project's own are.
//! Shared by everything that measures.
#![allow(dead_code, reason = "each benchmark needs a part of it")]

use std::path::Path;
use std::time::Duration;

use chrono::Datelike as _;
use fleet_scaler::clock::{Clock as _, SystemClock};

/// A setting from the environment.
pub(crate) fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Err(_) => otherwise,
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {text}")),
    }
}

/// Writes a report where the project's own are, and shows it.
pub(crate) fn report(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks").join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, text).unwrap();
    println!("\n{text}\nwritten to docs/benchmarks/{name}");
}

/// A paragraph, broken between words into lines that fit a document.
pub(crate) fn paragraph(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= 120 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// On which day, and on what.
pub(crate) fn circumstances() -> String {
    let day = SystemClock.now().date_naive();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{}-{:02}-{:02}, {cores} cores, a debug build, PostgreSQL on the same machine without fsync",
        day.year(),
        day.month(),
        day.day()
    )
}

/// A span in figures.
pub(crate) fn millis(span: Duration) -> String {
    format!("{} ms", span.as_millis())
}

/// The value that so much of a hundred is at or below; the list is sorted.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}
