//! Identities. A fleet's name, an instance's id and a zone are all text, and mixing them up terminates the wrong machine,
//! so each is a type of its own.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the text as it came from the cloud, the database or a checked configuration.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

text_id!(
    /// A fleet's name: `[a-z0-9-]{1,48}`, checked where configuration is loaded.
    FleetName
);
text_id!(
    /// An EC2 instance id, `i-…`.
    InstanceId
);
text_id!(
    /// The ARN of an ELBv2 target group.
    TargetGroupArn
);
text_id!(
    /// An EC2 subnet id, `subnet-…`.
    SubnetId
);
text_id!(
    /// An availability zone, such as `eu-west-1a`.
    Zone
);
text_id!(
    /// An EC2 instance type, such as `m7g.large`.
    InstanceType
);
text_id!(
    /// The value of the ownership tag: which deployment of the scaler an instance belongs to.
    OwnerName
);
text_id!(
    /// One running process of the scaler.
    ReplicaId
);
text_id!(
    /// The idempotency token of one launch attempt: EC2's `ClientToken`, at most 64 ASCII characters.
    ClientToken
);

uuid_id!(
    /// One recorded decision.
    DecisionId
);
uuid_id!(
    /// One launch intent; the value of the launch tag on every instance it ever bought.
    LaunchId
);
uuid_id!(
    /// One attempt at a launch: one token, one pool, one frozen request.
    AttemptId
);
uuid_id!(
    /// One mutating call to the cloud, recorded before it is sent.
    CallId
);
uuid_id!(
    /// One thing an operator did or asked for.
    OperatorActionId
);

impl AttemptId {
    /// The token that EC2 remembers this attempt by. It is derived from the id and nothing else, so a replay after a
    /// crash cannot send another one.
    #[must_use]
    pub fn client_token(self) -> ClientToken {
        ClientToken::new(format!("fs-{}", self.0.simple()))
    }
}

/// The number that rises whenever a fleet's lease changes hands; every write carries it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Epoch(pub i64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where EC2's capacity is counted: one instance type in one zone. A refusal for capacity speaks of this and no more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Pool {
    /// The availability zone.
    pub zone: Zone,
    /// The instance type; `None` where the launch template chooses it.
    pub instance_type: Option<InstanceType>,
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.instance_type {
            Some(kind) => write!(f, "{kind} in {}", self.zone),
            None => write!(f, "{}", self.zone),
        }
    }
}
