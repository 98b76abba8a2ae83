//! The folders that the tests' service is made of.

#[path = "../../tests/it/cli/program.rs"]
pub(crate) mod program;
