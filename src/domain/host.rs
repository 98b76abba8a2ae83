//! One host's life, from the launch that bought it to the day it is gone.
//!
//! ```text
//!  Pending ─► Running ─► Registered ─► Healthy ◄─► Unhealthy
//!     │          │           │            │            │
//!     └──────────┴───────────┴─────┬──────┴────────────┘
//!                                  ▼
//!                Draining ─► Deregistered ─► Terminating ─► Terminated
//! ```
//!
//! `Draining` may go back to where it came from only while nothing was sent ([`Step::CancelDrain`]); from
//! `Deregistered` on there is one way. `Lost` (dead without our doing) is reachable from every state that is not final.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{FleetName, InstanceId, InstanceType, LaunchId, SubnetId, TargetGroupArn, Zone};
use crate::domain::time::Timestamp;

/// One VM the scaler owns: our tag on it **and** this row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The cloud's id of it.
    pub id: InstanceId,
    /// The fleet it serves.
    pub fleet: FleetName,
    /// The launch that bought it; `None` only where an adopted instance carries a launch tag that no row knows.
    pub launch: Option<LaunchId>,
    /// Where it stands.
    pub zone: Zone,
    /// Its subnet, where the cloud said so.
    pub subnet: Option<SubnetId>,
    /// What it is.
    pub instance_type: InstanceType,
    /// Its private address; `None` until the cloud says.
    pub address: Option<IpAddr>,
    /// When the cloud launched it, by the cloud's clock.
    pub launched_at: Timestamp,
    /// When it was healthy for the first time; `None`: never yet.
    pub healthy_at: Option<Timestamp>,
    /// Where it is in its life.
    pub state: HostState,
    /// Rises with every change; a write that expects another version is refused.
    pub version: i64,
}

/// Where a host is in its life. `since` is the database's clock at the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum HostState {
    /// Launched; the cloud does not call it running yet.
    Pending {
        /// Since when.
        since: Timestamp,
    },
    /// Running; not every target group was told yet.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// Every target group was told; not healthy in all of them yet.
    Registered {
        /// Since when.
        since: Timestamp,
    },
    /// In service: healthy in every target group (or running, where the fleet has none).
    Healthy {
        /// Since when.
        since: Timestamp,
    },
    /// Was in service; a target group calls it unhealthy.
    Unhealthy {
        /// Since when.
        since: Timestamp,
    },
    /// Chosen to go; no target group was told yet, and a surge may still cancel it.
    Draining {
        /// Why, and from where.
        drain: Drain,
    },
    /// Every target group was asked to let it go.
    Deregistered {
        /// Why, and from where.
        drain: Drain,
        /// When the last group was told.
        since: Timestamp,
        /// Terminated at the latest then, drained or not.
        deadline: Timestamp,
    },
    /// The cloud was asked to terminate it.
    Terminating {
        /// Why, and from where.
        drain: Drain,
        /// Since when.
        since: Timestamp,
    },
    /// Gone, by our doing.
    Terminated {
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: DrainReason,
    },
    /// Gone without our doing: died, interrupted, terminated outside.
    Lost {
        /// When it was noticed.
        since: Timestamp,
    },
}

/// A host's way out: why it goes, and what must let go of it first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Why it goes.
    pub reason: DrainReason,
    /// When it was chosen.
    pub started_at: Timestamp,
    /// The target groups it must be deregistered from, as they were when it was chosen. Empty: nothing to drain.
    pub groups: Vec<TargetGroupArn>,
}

/// Why a host is taken out. Every reason goes the same way and spends from the same budget.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DrainReason {
    /// The fleet is larger than its load needs.
    ScaleIn,
    /// Launched, but not healthy by `boot_timeout`.
    BootTimeout,
    /// In service once, then unhealthy for longer than `health_grace`.
    Unhealthy,
    /// A person asked for it.
    Operator,
    /// The fleet is above its `max` (after adoption, or a lowered bound).
    AboveMax,
}

impl DrainReason {
    /// Every reason, for tables and tests.
    pub const ALL: [Self; 5] =
        [Self::ScaleIn, Self::BootTimeout, Self::Unhealthy, Self::Operator, Self::AboveMax];

    /// The name that rows and metrics carry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScaleIn => "scale_in",
            Self::BootTimeout => "boot_timeout",
            Self::Unhealthy => "unhealthy",
            Self::Operator => "operator",
            Self::AboveMax => "above_max",
        }
    }
}

impl fmt::Display for DrainReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One step of a host's life, as it was observed or done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// The cloud calls it running.
    Run,
    /// Every target group took it.
    Register,
    /// Every target group calls it healthy.
    BecomeHealthy,
    /// A target group calls it unhealthy.
    BecomeUnhealthy,
    /// It was chosen to go.
    BeginDrain {
        /// Why, and from where.
        drain: Drain,
    },
    /// It stays after all: nothing had been sent yet.
    CancelDrain,
    /// Every target group was asked to let it go; once more, if one of them held it again.
    Deregister {
        /// Terminated at the latest then.
        deadline: Timestamp,
    },
    /// The cloud was asked to terminate it.
    Terminate,
    /// The cloud calls it terminated, or it is absent past the grace, after we asked for it.
    ConfirmTerminated,
    /// It is gone, and we did not ask for it.
    Lose,
}

/// A step that a host in this state cannot take. It is a bug or a lost race; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("host {host} is {state} and cannot {step:?}")]
pub struct IllegalStep {
    /// Which host.
    pub host: InstanceId,
    /// The state it is in.
    pub state: &'static str,
    /// What was asked of it.
    pub step: Step,
}

impl HostState {
    /// Every name that [`HostState::name`] gives, in the order of a host's life.
    pub const NAMES: [&'static str; 10] = [
        "pending",
        "running",
        "registered",
        "healthy",
        "unhealthy",
        "draining",
        "deregistered",
        "terminating",
        "terminated",
        "lost",
    ];

    /// The name that rows, tables and metrics carry.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Running { .. } => "running",
            Self::Registered { .. } => "registered",
            Self::Healthy { .. } => "healthy",
            Self::Unhealthy { .. } => "unhealthy",
            Self::Draining { .. } => "draining",
            Self::Deregistered { .. } => "deregistered",
            Self::Terminating { .. } => "terminating",
            Self::Terminated { .. } => "terminated",
            Self::Lost { .. } => "lost",
        }
    }

    /// Since when it has been in this state.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        match self {
            Self::Pending { since }
            | Self::Running { since }
            | Self::Registered { since }
            | Self::Healthy { since }
            | Self::Unhealthy { since }
            | Self::Deregistered { since, .. }
            | Self::Terminating { since, .. }
            | Self::Terminated { since, .. }
            | Self::Lost { since } => *since,
            Self::Draining { drain } => drain.started_at,
        }
    }

    /// The way out it is on, if it is on one.
    #[must_use]
    pub fn drain(&self) -> Option<&Drain> {
        match self {
            Self::Draining { drain } | Self::Deregistered { drain, .. } | Self::Terminating { drain, .. } => {
                Some(drain)
            }
            Self::Pending { .. }
            | Self::Running { .. }
            | Self::Registered { .. }
            | Self::Healthy { .. }
            | Self::Unhealthy { .. }
            | Self::Terminated { .. }
            | Self::Lost { .. } => None,
        }
    }

    /// Whether its life is over.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Terminated { .. } | Self::Lost { .. })
    }

    /// Whether it serves, will serve, or may serve again: what counts towards the fleet's size.
    #[must_use]
    pub fn is_capacity(&self) -> bool {
        matches!(
            self,
            Self::Pending { .. }
                | Self::Running { .. }
                | Self::Registered { .. }
                | Self::Healthy { .. }
                | Self::Unhealthy { .. }
        )
    }

    /// Whether it is on its way into service and was not there yet.
    #[must_use]
    pub fn is_booting(&self) -> bool {
        matches!(self, Self::Pending { .. } | Self::Running { .. } | Self::Registered { .. })
    }
}

impl Host {
    /// Takes one step. `at` is the database's clock.
    pub fn advance(self, step: &Step, at: Timestamp) -> Result<Self, IllegalStep> {
        match self.state.clone().next(step, at, self.healthy_at.is_some()) {
            Some(state) => {
                let healthy_at = match state {
                    HostState::Healthy { .. } => self.healthy_at.or(Some(at)),
                    _ => self.healthy_at,
                };
                Ok(Self { state, healthy_at, version: self.version + 1, ..self })
            }
            None => Err(IllegalStep { host: self.id, state: self.state.name(), step: step.clone() }),
        }
    }
}

impl HostState {
    fn next(self, step: &Step, at: Timestamp, was_healthy: bool) -> Option<Self> {
        use HostState as S;
        let next = match (self, step) {
            (S::Running { .. }, Step::Register) => S::Registered { since: at },
            (S::Running { .. } | S::Registered { .. } | S::Unhealthy { .. }, Step::BecomeHealthy) => {
                S::Healthy { since: at }
            }
            (S::Healthy { .. }, Step::BecomeUnhealthy) => S::Unhealthy { since: at },
            (
                S::Pending { .. }
                | S::Running { .. }
                | S::Registered { .. }
                | S::Healthy { .. }
                | S::Unhealthy { .. },
                Step::BeginDrain { drain },
            ) => S::Draining { drain: drain.clone() },
            (S::Draining { .. }, Step::CancelDrain) if was_healthy => S::Unhealthy { since: at },
            (S::Pending { .. }, Step::Run) | (S::Draining { .. }, Step::CancelDrain) => {
                S::Running { since: at }
            }
            (S::Draining { drain }, Step::Deregister { deadline }) => {
                S::Deregistered { drain, since: at, deadline: *deadline }
            }
            (S::Deregistered { drain, deadline: earlier, .. }, Step::Deregister { deadline }) => {
                S::Deregistered { drain, since: at, deadline: earlier.max(*deadline) }
            }
            (S::Deregistered { drain, .. }, Step::Terminate) => S::Terminating { drain, since: at },
            (
                S::Draining { drain } | S::Deregistered { drain, .. } | S::Terminating { drain, .. },
                Step::ConfirmTerminated,
            ) => S::Terminated { since: at, reason: drain.reason },
            (state, Step::Lose) if !state.is_final() => S::Lost { since: at },
            _ => return None,
        };
        Some(next)
    }
}
