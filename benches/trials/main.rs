//! Trials by hand, too long for the tests: the real program is killed some hundred times while its fleet scales, or lives
//! for an hour on a cloud that fails at random. Each ends with a report in `docs/benchmarks`, and with a code that is not
//! zero where a promise was broken.
//!
//! `make recovery` and `make soak` start them. They share their fleets, their load and their checks with each other, and
//! the replicas and the witnesses with the tests.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a trial that cannot go on has failed")]

mod cli;
#[path = "../shared/figures.rs"]
mod figures;
mod ground;
mod recovery;
mod service;
mod soak;
#[path = "../../tests/it/support.rs"]
mod support;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    // Cargo adds `--bench` to what it was given.
    let trial = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let outcome = match trial.as_deref() {
        Some("recovery") => recovery::run().await,
        Some("soak") => soak::run().await,
        _ => Err("name a trial: recovery or soak".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(broken) => {
            eprintln!("FAILED: {broken}");
            ExitCode::FAILURE
        }
    }
}
