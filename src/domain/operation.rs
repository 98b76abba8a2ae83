//! What the cloud is asked to change. There are four such operations, and whatever is written of a call, in a row, a log or
//! a test, says which by the name that AWS gives it.

use serde::{Deserialize, Serialize};

/// The cloud's mutating operations, by the names that AWS gives them.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
pub enum Operation {
    /// EC2 RunInstances.
    RunInstances,
    /// ELBv2 RegisterTargets.
    RegisterTargets,
    /// ELBv2 DeregisterTargets.
    DeregisterTargets,
    /// EC2 TerminateInstances.
    TerminateInstances,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 4] =
        [Self::RunInstances, Self::RegisterTargets, Self::DeregisterTargets, Self::TerminateInstances];

    /// The name that AWS gives it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunInstances => "RunInstances",
            Self::RegisterTargets => "RegisterTargets",
            Self::DeregisterTargets => "DeregisterTargets",
            Self::TerminateInstances => "TerminateInstances",
        }
    }
}
