//! The program as the tests start it.
#![allow(dead_code, reason = "the trials use a part of what the tests need")]

#[path = "../../tests/it/cli/program.rs"]
pub(crate) mod program;
