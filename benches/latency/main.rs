//! How long readers wait: every question of the API, and every page of the dashboard, with 50 fleets of 200 hosts and a
//! month of history in the Postgres beside it. `make latency` makes `docs/benchmarks/latency.md` anew, and fails where
//! a median is above 200 ms or a 95th percentile above 500 ms.
//!
//! The month is one real decision and one real observation, multiplied by SQL. The loop does not run meanwhile: what is
//! measured is reading, from the first byte sent to the last byte heard, over HTTP on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot go on has failed")]
#![allow(dead_code, reason = "the tests' service offers more than is asked here")]

mod cli;
#[path = "../shared/figures.rs"]
mod figures;
mod month;
mod questions;
#[path = "../../tests/it/http/site.rs"]
mod site;
#[path = "../../tests/it/support.rs"]
mod support;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use crate::figures::{circumstances, number, paragraph, percentile, report};
use crate::month::Month;
use crate::questions::{Asked, ask_all};

/// What the median may be, and what the 95th percentile.
const MOST: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(500));

#[tokio::main]
async fn main() -> ExitCode {
    let rounds = usize::try_from(number("ROUNDS", 100)).unwrap().max(1);
    println!("filling a month…");
    let month = Month::fill().await;
    println!("{}", month.size);
    let asked = ask_all(&month, rounds).await;
    let slow: Vec<&str> = asked.iter().filter(|one| is_slow(one)).map(|one| one.what.as_str()).collect();
    write_report(&month, &asked, rounds);
    if slow.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("FAILED: too slow: {}", slow.join("; "));
    ExitCode::FAILURE
}

fn is_slow(asked: &Asked) -> bool {
    percentile(&asked.spans, 50) > MOST.0 || percentile(&asked.spans, 95) > MOST.1
}

fn write_report(month: &Month, asked: &[Asked], rounds: usize) {
    let mut rows = String::new();
    for one in asked {
        let at = |percent| percentile(&one.spans, percent).as_secs_f64() * 1000.0;
        let (what, bytes) = (&one.what, one.bytes / 1000);
        let _ = writeln!(rows, "| {what} | {bytes} | {:.1} | {:.1} | {:.1} |", at(50), at(95), at(100));
    }
    let ground = paragraph(&format!("{}. {}", circumstances(), month.size));
    let method = paragraph(&format!(
        "Each question was asked {rounds} times, of another fleet or another moment each time, over HTTP on loopback, one \
         after the other; a page is all the questions that it asks when it is opened, and its files, side by side, with \
         nothing in the browser's cache, and without the time that a browser draws. `make latency` makes this page anew, \
         and fails where a median is above {} ms or a 95th percentile above {} ms.",
        MOST.0.as_millis(),
        MOST.1.as_millis(),
    ));
    report(
        "latency.md",
        &format!(
            "# How long readers wait\n\n{ground}\n\n{method}\n\n\
             | question | kB | median, ms | 95 %, ms | longest, ms |\n|---|---|---|---|---|\n{rows}"
        ),
    );
}
