//! The memory, on a real Postgres: what it promises, what it refuses, and what people can read of it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

mod calls;
mod cookbook;
mod decisions;
mod embedded;
mod fixture;
mod history;
mod hosts;
mod launches;
mod lease;
mod operators;
mod outage;
mod schema;
