//! Errors as RFC 9457 has them: a program reads the status, a person the detail, and the detail says what would be right.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::StoreError;
use crate::view::request::Refused;

/// The media type of an error.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// When to ask again, where the database is away: it is looked for every few seconds.
const AGAIN_IN: u32 = 2;

/// An error.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status and `code` say what kind it is.
    #[serde(rename = "type")]
    kind: Kind,
    /// What went wrong, in two or three words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// The same kind of error has the same code, whatever its words.
    code: &'static str,
    /// What is wrong, and what would be right.
    #[schema(value_type = String)]
    detail: Box<str>,
    /// The parameter, header or field that is wrong; absent: none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    parameter: Option<Box<str>>,
    /// Of `/readyz`: everything that is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
    #[serde(skip)]
    retry_after: Option<u32>,
    #[serde(skip)]
    challenge: Option<&'static str>,
}

/// The one kind of error that there is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
enum Kind {
    /// The status and `code` say what kind it is.
    #[serde(rename = "about:blank")]
    Blank,
}

impl Problem {
    /// An error of this kind.
    pub fn new(
        status: StatusCode,
        title: &'static str,
        code: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind: Kind::Blank,
            title,
            status: status.as_u16(),
            code,
            detail: detail.into().into(),
            parameter: None,
            missing: Vec::new(),
            retry_after: None,
            challenge: None,
        }
    }

    /// A parameter that cannot be understood.
    pub fn parameter(name: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut problem =
            Self::new(StatusCode::BAD_REQUEST, "Invalid parameter", "invalid_parameter", detail);
        problem.parameter = Some(name.into().into());
        problem
    }

    /// A body that cannot be understood.
    pub fn body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid body", "invalid_body", detail)
    }

    /// Something of this kind that is not there.
    pub fn unknown(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", code, detail)
    }

    /// Something that is missing, for now.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "Not available", code, detail);
        problem.retry_after = Some(AGAIN_IN);
        problem
    }

    /// The same, naming what is wrong.
    #[must_use]
    pub fn about(mut self, parameter: impl Into<String>) -> Self {
        self.parameter = Some(parameter.into().into());
        self
    }

    /// The same, with everything that is missing.
    #[must_use]
    pub fn missing(mut self, missing: Vec<String>) -> Self {
        self.detail = missing.join("; ").into();
        self.missing = missing;
        self
    }

    /// The same, to be asked again after so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The same, saying how one authenticates.
    #[must_use]
    pub fn challenge(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default() + "\n";
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

/// A question that the memory did not answer is asked again by whoever asked; what it refused is a bug of ours.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                tracing::warn!(%error, "an answer of the API failed");
                // The source may name a host or a role; the log has it, and a client has no use for it.
                Self::unavailable("database_unavailable", "the database does not answer; ask again")
            }
            StoreError::Fenced { .. } | StoreError::Conflict(_) => {
                Self::new(StatusCode::CONFLICT, "Conflict", "conflict", error.to_string())
            }
            StoreError::Schema(_) => Self::unavailable("schema", error.to_string()),
            StoreError::Refused(_) => {
                tracing::error!(%error, "an answer of the API failed");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "Internal error",
                    "internal",
                    "the memory refused what this request led to; the service's log says more",
                )
            }
        }
    }
}

/// A guard said no: the same request may be granted later, and asking again at once helps nothing.
impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::new(StatusCode::CONFLICT, "Refused by a guard", "refused", refused.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_json_of_its_own_type() {
        let problem = Problem::unavailable("not_ready", "").missing(vec!["the database".to_owned()]);
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }

    #[test]
    fn what_the_database_said_stays_here() {
        let error = StoreError::Unavailable("password of scaler@db.internal".into());
        let text = serde_json::to_string(&Problem::from(error)).unwrap();
        assert!(!text.contains("db.internal"), "{text}");
    }
}
