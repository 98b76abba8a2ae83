//! The words everything else is written in: identities, time, size, and the two state machines.
//!
//! Nothing here does I/O, waits, or knows of a database or a cloud. A state is an enum that carries its data and a
//! transition consumes the state it leaves, so that what cannot happen cannot be written down.

pub mod boot;
pub mod failure;
pub mod host;
pub mod ids;
pub mod launch;
pub mod operation;
pub mod operator;
pub mod tags;
pub mod time;
