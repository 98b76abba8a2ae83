//! The replicas and the witnesses of the tests.
#![allow(dead_code, reason = "the trials use a part of what the tests need")]

#[path = "../../tests/it/service/site.rs"]
pub(crate) mod site;
#[path = "../../tests/it/service/world.rs"]
pub(crate) mod world;
