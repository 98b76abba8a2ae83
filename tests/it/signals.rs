//! Signals: the parser, host pages over real sockets, real exporters and engines, and servers that mean harm.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by ending")]

mod engine;
mod exposition;
mod hostile;
mod hosts;
mod real;
mod server;
