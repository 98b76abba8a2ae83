//! A launch intent and its attempts: what turns "one more host" into exactly one more host.
//!
//! An intent says how many hosts are wanted and carries everything that a call for them needs. It is served by a row of
//! attempts, at most one of them unresolved at any time. An attempt is one token, one pool, one frozen request:
//!
//! ```text
//!            ┌──────────── throttled, quota: the same bytes later
//!            ▼                                     │
//!   Open ─► call ─► instances ─► Launched          │
//!            │  └─► refused by the pool ─► Refused ┘  (the next attempt: another pool, a new token)
//!            └────► no answer ─► Unknown ─► the same bytes, the same zone, until known
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::failure::{CloudError, FailureClass};
use crate::domain::ids::{AttemptId, ClientToken, DecisionId, FleetName, LaunchId, Pool, SubnetId};
use crate::domain::time::Timestamp;

/// What one launch is to buy, decided and committed before anything is asked of the cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The value of the launch tag on every instance it ever buys.
    pub id: LaunchId,
    /// The fleet it is for.
    pub fleet: FleetName,
    /// The decision that wanted it.
    pub decision: DecisionId,
    /// How many hosts it may ever buy.
    pub count: u32,
    /// What every attempt of it sends, whatever the pool.
    pub template: LaunchTemplate,
    /// How many hosts it has bought.
    pub launched: u32,
    /// How many attempts were opened.
    pub attempts: u32,
    /// Where it is.
    pub state: LaunchState,
    /// When it was committed.
    pub created_at: Timestamp,
}

impl Launch {
    /// Hosts it may still buy: reserved under the fleet's ceiling until the outcome is known.
    #[must_use]
    pub fn missing(&self) -> u32 {
        match self.state {
            LaunchState::Open { .. } => self.count.saturating_sub(self.launched),
            LaunchState::Fulfilled { .. } | LaunchState::Abandoned { .. } => 0,
        }
    }

    /// The attempt whose outcome is not known yet.
    #[must_use]
    pub fn open_attempt(&self) -> Option<&Attempt> {
        match &self.state {
            LaunchState::Open { attempt } => attempt.as_deref(),
            LaunchState::Fulfilled { .. } | LaunchState::Abandoned { .. } => None,
        }
    }
}

/// Where a launch intent is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LaunchState {
    /// Hosts are still missing.
    Open {
        /// The attempt whose outcome is not known; `None`: the next one is still to be opened.
        attempt: Option<Box<Attempt>>,
    },
    /// Every host was bought.
    Fulfilled {
        /// Since when.
        at: Timestamp,
    },
    /// What is missing will not be bought by this intent.
    Abandoned {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: AbandonReason,
    },
}

impl LaunchState {
    /// The name that rows carry.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Fulfilled { .. } => "fulfilled",
            Self::Abandoned { .. } => "abandoned",
        }
    }
}

/// Why an intent was given up with hosts missing. Never while an outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbandonReason {
    /// The cloud refused the request for good (a bad image, no permission); a new decision starts afresh.
    Refused,
    /// The fleet no longer wants the hosts, and nothing was in flight.
    NotWanted,
    /// What its token bought is dead already; a new decision makes a new intent.
    TokenSpent,
    /// Every pool cools; a new decision makes a new intent once one is free.
    NoPool,
}

impl AbandonReason {
    /// The name that rows carry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotWanted => "not_wanted",
            Self::TokenSpent => "token_spent",
            Self::NoPool => "no_pool",
        }
    }
}

/// What the calls of one launch have in common, frozen at the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchTemplate {
    /// Which launch template.
    pub template: TemplateRef,
    /// Its version: a number, never `$Latest`.
    pub version: u64,
    /// Bought how.
    pub market: Market,
    /// Every tag, the timestamp's value included.
    pub tags: BTreeMap<String, String>,
}

/// How a launch template is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateRef {
    /// By id, `lt-…`.
    Id(String),
    /// By name.
    Name(String),
}

impl std::fmt::Display for TemplateRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(text) | Self::Name(text) => f.write_str(text),
        }
    }
}

/// How instances are bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    /// At the list price, kept until terminated.
    OnDemand,
    /// At the spot price, taken back at two minutes' notice.
    Spot,
}

/// The exact bytes of one RunInstances call, as far as the scaler chooses them. Stored before it is sent; a replay reads
/// it back and sends it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequest {
    /// EC2's idempotency token.
    pub client_token: ClientToken,
    /// What the launch has in common over all attempts.
    pub template: LaunchTemplate,
    /// Where.
    pub subnet: SubnetId,
    /// What, and in which zone.
    pub pool: Pool,
    /// At most so many; at least one.
    pub max_count: u32,
}

/// One token, one pool, one frozen request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id; the token is made from it.
    pub id: AttemptId,
    /// The launch it serves.
    pub launch: LaunchId,
    /// 1 for the launch's first.
    pub ordinal: u32,
    /// What is sent.
    pub request: RunRequest,
    /// What is known of it.
    pub state: AttemptState,
    /// When its row was committed.
    pub opened_at: Timestamp,
}

impl Attempt {
    /// A fresh attempt at what `launch` still lacks, in one pool.
    #[must_use]
    pub fn open(
        launch: &Launch,
        id: AttemptId,
        pool: Pool,
        subnet: SubnetId,
        max_count: u32,
        at: Timestamp,
    ) -> Self {
        let request = RunRequest {
            client_token: id.client_token(),
            template: launch.template.clone(),
            subnet,
            pool,
            max_count: max_count.min(launch.missing()),
        };
        let state = AttemptState::Open { calls: 0, not_before: None, last_failure: None, doubted_at: None };
        Self { id, launch: launch.id, ordinal: launch.attempts + 1, request, state, opened_at: at }
    }
}

/// What is known of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AttemptState {
    /// No outcome yet: not sent, or sent and unanswered, or told to come back later. The same bytes go out again.
    Open {
        /// Calls that were answered, or given up, so far.
        calls: u32,
        /// Not again before then.
        not_before: Option<Timestamp>,
        /// What the last call said. Once a call's outcome was unknown it says so until the attempt is settled, whatever
        /// later calls say: they speak for themselves only.
        last_failure: Option<FailureClass>,
        /// When a call was given up last without an answer. It may arrive all the same, a while later.
        doubted_at: Option<Timestamp>,
    },
    /// The outcome is known and final.
    Resolved {
        /// What came of it.
        outcome: AttemptOutcome,
        /// When it was recorded.
        at: Timestamp,
    },
}

/// What came of an attempt, once and for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// So many instances carry its token now; the rest of what was asked goes to another attempt.
    Launched {
        /// How many.
        count: u32,
    },
    /// Refused for good by this pool, or by the cloud altogether.
    Refused {
        /// What it said.
        error: CloudError,
    },
    /// The token's instances are dead already: over, and the next attempt is a new one.
    Spent,
}

impl AttemptOutcome {
    /// Whether the breaker counts it: the cloud will say the same again until a person mends something.
    #[must_use]
    pub fn is_launch_failure(&self) -> bool {
        match self {
            Self::Launched { .. } | Self::Spent => false,
            Self::Refused { error } => match error.class {
                FailureClass::Denied | FailureClass::Invalid | FailureClass::NotFound => true,
                FailureClass::Capacity
                | FailureClass::Quota
                | FailureClass::Throttled
                | FailureClass::TokenMismatch
                | FailureClass::TokenSpent
                | FailureClass::Protected
                | FailureClass::Unknown => false,
            },
        }
    }
}
