//! What people and programs are told: fleets, hosts and decisions as they are shown.
//!
//! The command line and the HTTP API answer the same questions, and two answers to one question are one too many. So what
//! is shown is worked out here, once, from the configuration and from what the memory holds; the command line makes
//! tables of it, and the API serves it as JSON. Nothing here asks anybody for anything. The descriptions on types and
//! fields are the API's own: its OpenAPI document is made from them.

pub mod action;
pub mod candidate;
pub mod decision;
pub mod event;
pub mod fleet;
pub mod host;
pub mod request;
pub mod series;
pub mod words;
