//! The memory: what it promises and what it refuses, on a real Postgres and in memory alike; and, of the one in Postgres,
//! what its schema refuses and what people can read of it.
//!
//! Cases that speak the contract only run once on each store, as `…::memory::…` and `…::postgres::…`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

mod boots;
mod calls;
mod cookbook;
mod decisions;
mod departures;
mod embedded;
mod fixture;
mod history;
mod hosts;
mod inputs;
mod launches;
mod lease;
mod loads;
mod memory;
mod operators;
mod outage;
mod people;
mod questions;
mod races;
mod repeats;
mod replicas;
mod requests;
mod rights;
mod schema;
mod subject;
mod twins;
