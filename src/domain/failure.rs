//! What can go wrong with a cloud call, named by what the caller may do about it.
//!
//! The cloud's own codes are read in exactly one place (the provider's error table); everything above it sees a
//! [`FailureClass`] and acts on that.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a failed call means for whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// This pool has no room: leave it to cool, try the next one with a new token.
    Capacity,
    /// The account's limit is reached: no other zone will help. Back off and alert.
    Quota,
    /// Too many calls: the same call again later, with no penalty to anyone.
    Throttled,
    /// The credentials may not do this: a person must mend it.
    Denied,
    /// The request itself is wrong (a template, an image, a parameter): a person must mend it.
    Invalid,
    /// The cloud does not know the thing named, which is not proof that it does not exist.
    NotFound,
    /// The token was used with other parameters: look the instances up, never mint another token.
    TokenMismatch,
    /// The token's instances were terminated: this attempt is over.
    TokenSpent,
    /// The instance refuses termination.
    Protected,
    /// Nobody knows whether the call did its work: a time-out, a reset, a 5xx without a code we know.
    Unknown,
}

impl FailureClass {
    /// The name that logs, metrics and audit rows carry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Quota => "quota",
            Self::Throttled => "throttled",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::TokenMismatch => "token_mismatch",
            Self::TokenSpent => "token_spent",
            Self::Protected => "protected",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A cloud call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{class}: {code}: {message}")]
pub struct CloudError {
    /// What the caller may do about it.
    pub class: FailureClass,
    /// The cloud's own code, or ours in the cloud's manner (`Timeout`, `ConnectionReset`) where it sent none.
    pub code: String,
    /// The cloud's own words.
    pub message: String,
    /// The cloud's id of the request, where it answered.
    pub request_id: Option<String>,
}

impl CloudError {
    /// An error without a request id.
    pub fn new(class: FailureClass, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { class, code: code.into(), message: message.into(), request_id: None }
    }
}
