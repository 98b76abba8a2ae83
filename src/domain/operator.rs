//! What people do to a fleet, as it is recorded: who, why, and what.

use std::time::Duration;

use crate::domain::ids::{FleetName, InstanceId, OperatorActionId};

/// What a person did.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorAction {
    /// Its id.
    pub id: OperatorActionId,
    /// On which fleet.
    pub fleet: FleetName,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// What.
    pub kind: OperatorActionKind,
}

/// What a person can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorActionKind {
    /// Stop changes in these directions.
    Pause {
        /// Which.
        direction: Direction,
        /// For so long; `None`: until resumed.
        span: Option<Duration>,
    },
    /// Take every pause back.
    Resume,
    /// Ask the next decision for a size.
    SetSize(u32),
    /// Ask the next decision to take one host out.
    Drain(InstanceId),
    /// Ask for a decision now; it asks for nothing else.
    Evaluate,
}

/// Which changes are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Larger.
    Out,
    /// Smaller.
    In,
    /// Both.
    Both,
}
