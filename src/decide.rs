//! Judgment: from one [`Snapshot`] to one [`Plan`], and nothing else.
//!
//! [`decide`] is synchronous, pure and total. The snapshot includes `now`; there is no clock, no I/O and no randomness
//! below this module, so the live loop, `plan`, dry-run and every replay give the same answer to the same question.

pub mod aggregate;
pub mod bounds;
mod candidates;
mod census;
pub mod condition;
mod engine;
mod evidence;
pub mod explain;
pub mod forecast;
mod ground;
mod guards;
pub mod inputs;
mod leavers;
mod ledger;
mod opinion;
pub mod plan;
pub mod policy;
mod projection;
mod record;
mod requests;
mod rules;
pub mod schedule;
pub mod signal;
pub mod snapshot;
mod stops;
mod supply;
mod targets;
mod telling;
#[cfg(test)]
mod tests;
pub mod trail;
mod wording;

pub use engine::{decide, decide_silently};
pub use plan::{Course, Plan};
pub use snapshot::Snapshot;
pub use wording::{number, percent};
