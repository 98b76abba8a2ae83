//! The API, asked over TCP: a real database, the real loop on the simulated cloud, and the server as it ships.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

mod hook;
mod pages;
pub(crate) mod people;
mod questions;
mod secure;
pub(crate) mod site;
mod stream;
pub(crate) mod tokens;
mod unready;
mod writes;
