//! The simulator: the whole service but its sockets, on virtual time, in one thread a seed, with everything that can go
//! wrong going wrong, and every invariant judged at every step.
//!
//! ```text
//!  seed ─► troubles, loads, order of steps
//!            │
//!   processes (1–3) ── seams ──► in-memory store   every write is copied ──► book ┐
//!   one step at a time │                                                          ├─► checker, I1–I11
//!                      └───────► simulated cloud   every entry is read ─► journal ┘
//! ```
//!
//! The same seed gives the same day, to the last line of its trace. Without arguments it runs what belongs to the tests:
//! many seeds, the same seed twice, and every planted bug until it is found.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a simulation that cannot go on says so by panicking"
)]

mod again;
mod book;
mod bugs;
mod chaos;
mod check;
mod clock;
mod fleets;
mod journal;
mod matrix;
mod mishap;
mod on_postgres;
mod process;
mod run;
mod seam_cloud;
mod seam_signals;
mod seam_store;
mod stories;
mod suite;
mod tally;
mod trace;
mod world;

#[path = "../it/support.rs"]
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match suite::asked(&arguments) {
        Ok(asked) => suite::answer(&asked),
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}
