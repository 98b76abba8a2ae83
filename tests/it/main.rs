//! Everything that is tested from outside, in one binary: real Postgres, the real SDK over HTTP, real pages.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod architecture;
mod aws;
mod cli;
mod cloud_contract;
mod config;
mod crash;
mod dashboard;
mod fuzzed;
mod http;
mod monitoring;
mod service;
mod signals;
mod simulated;
mod store;
mod support;
#[cfg(feature = "otlp")]
mod traces;
