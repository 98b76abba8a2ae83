//! The operators' page in a real browser, over the real service.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

mod actions;
mod beside;
mod browser;
mod day;
mod driver;
mod hands;
mod looks;
mod pages;
mod people;
mod pictures;
mod states;
mod times;
