//! What a change may say, read strictly: a field that is not known, or a reason that says nothing, is an error.

use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::http::api::answer::text_header;
use crate::http::problem::Problem;
use crate::view::words::{parse_reason, parse_span};

const REASON_MAX: usize = 500;
const ACTOR_MAX: usize = 100;

/// Why, in a few words; it stands in the audit trail. Runs of white space become one space.
#[derive(Clone, Debug)]
pub(super) struct Reason(pub(super) String);

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = plain(&String::deserialize(deserializer)?, REASON_MAX).map_err(D::Error::custom)?;
        parse_reason(&text).map(Self).map_err(D::Error::custom)
    }
}

/// Whom the caller speaks for.
#[derive(Clone, Debug)]
pub(super) struct Stated(pub(super) String);

impl<'de> Deserialize<'de> for Stated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = plain(&String::deserialize(deserializer)?, ACTOR_MAX).map_err(D::Error::custom)?;
        parse_reason(&text)
            .map(Self)
            .map_err(|_| D::Error::custom("name whom you speak for, or leave it out"))
    }
}

/// Text of a bearable length, on one line: control characters become spaces.
fn plain(text: &str, most: usize) -> Result<String, String> {
    if text.chars().count() > most {
        return Err(format!("it has more than {most} characters"));
    }
    Ok(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

fn text_schema(most: usize) -> RefOr<Schema> {
    // Something in it must be neither a space nor a control character.
    let pattern = "[^\\s\\u0000-\\u001f\\u007f-\\u009f]";
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(most))
        .pattern(Some(pattern))
        .into()
}

impl PartialSchema for Reason {
    fn schema() -> RefOr<Schema> {
        text_schema(REASON_MAX)
    }
}

impl ToSchema for Reason {}

impl PartialSchema for Stated {
    fn schema() -> RefOr<Schema> {
        text_schema(ACTOR_MAX)
    }
}

impl ToSchema for Stated {}

/// A span: `90s`, `30m`, `2h`, `7d`; at most a year.
#[derive(Clone, Copy, Debug)]
pub(super) struct For(pub(super) Duration);

impl<'de> Deserialize<'de> for For {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_span(&String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

impl PartialSchema for For {
    fn schema() -> RefOr<Schema> {
        let pattern = "^([1-9][0-9]{0,3}[smh]|[1-9][0-9]?d)$";
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).into()
    }
}

impl ToSchema for For {}

/// Which changes stop.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Which {
    /// Larger, the replacement of lost hosts included.
    Out,
    /// Smaller.
    In,
    /// Both.
    #[default]
    Both,
}

/// A whole number. JSON knows one kind of number, and `4.0` is the same one as `4`.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let is_whole = |value: &f64| value.fract() == 0.0 && (0.0..=f64::from(i32::MAX)).contains(value);
    let value = number.as_f64().filter(is_whole);
    // What was let through fits exactly.
    value.and_then(|value| format!("{value:.0}").parse().ok()).ok_or_else(|| {
        D::Error::custom(format!("{number} is no number of hosts: write a whole number, 0 or more"))
    })
}

/// A pause.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseBody {
    /// Why.
    pub(super) reason: Reason,
    /// Whom the caller speaks for.
    pub(super) actor: Option<Stated>,
    /// Which changes stop; both if left out.
    #[serde(default)]
    pub(super) direction: Which,
    /// It ends by itself after so long; if left out, when somebody resumes.
    #[serde(rename = "for")]
    pub(super) span: Option<For>,
}

/// The end of every pause.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumeBody {
    /// Why.
    pub(super) reason: Reason,
    /// Whom the caller speaks for.
    pub(super) actor: Option<Stated>,
}

/// A size.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SizeBody {
    /// The size wanted, in hosts, within the fleet's min and max.
    #[schema(maximum = 2_147_483_647)]
    #[serde(deserialize_with = "whole")]
    pub(super) size: u32,
    /// Why.
    pub(super) reason: Reason,
    /// Whom the caller speaks for.
    pub(super) actor: Option<Stated>,
}

/// A host's way out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DrainBody {
    /// Why.
    pub(super) reason: Reason,
    /// Whom the caller speaks for.
    pub(super) actor: Option<Stated>,
}

/// A look at the fleet now.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EvaluateBody {
    /// Why.
    pub(super) reason: Reason,
    /// Whom the caller speaks for.
    pub(super) actor: Option<Stated>,
}

/// Reads a body strictly.
pub(super) fn body<T: DeserializeOwned>(
    headers: &HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<T, Problem> {
    let media = text_header(headers, "content-type")?.unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        let detail = format!("send the body as application/json, not as {media:?}");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Not JSON", "not_json", detail));
    }
    let bytes = bytes.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = "the body is larger than this resource takes";
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Body too large", "body_too_large", detail)
        }
        _ => Problem::body(format!("the body did not arrive: {rejection}")),
    })?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::body(format!("the body is not right: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_strictly() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json; charset=utf-8".parse().unwrap());
        let read = |text: &'static str| {
            let result = body::<PauseBody>(&headers, Ok(Bytes::from_static(text.as_bytes())));
            result.map_err(|problem| serde_json::to_string(&problem).unwrap())
        };
        let pause = read(r#"{"reason": " deploy \n of v7 ", "for": "2h"}"#).unwrap();
        assert_eq!(
            (pause.reason.0.as_str(), pause.span.unwrap().0),
            ("deploy of v7", Duration::from_hours(2))
        );
        for (text, said) in [
            (r#"{"reason": "x", "forever": true}"#, "unknown field `forever`"),
            ("{}", "missing field `reason`"),
            (r#"{"reason": " \u0000 "}"#, "say in a few words why"),
            (r#"{"reason": "x", "for": "soon"}"#, "write a span"),
            (r#"{"reason": "x", "direction": "up"}"#, "unknown variant `up`"),
            ("nonsense", "line 1 column 2"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        let other = body::<PauseBody>(&HeaderMap::new(), Ok(Bytes::new())).unwrap_err();
        assert!(serde_json::to_string(&other).unwrap().contains("\"status\":415"));
    }
}
