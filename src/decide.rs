//! Judgment: from one [`Snapshot`](snapshot::Snapshot) to one [`Plan`](plan::Plan), and nothing else.
//!
//! [`decide`] is synchronous, pure and total. The snapshot includes `now`; there is no clock, no I/O and no randomness
//! below this module, so the live loop, `plan`, dry-run and every replay give the same answer to the same question.

pub mod condition;
pub mod plan;
pub mod policy;
pub mod signal;
pub mod snapshot;
mod wording;

pub use plan::Plan;
pub use snapshot::Snapshot;
