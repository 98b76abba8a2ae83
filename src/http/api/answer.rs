//! How answers look: JSON, with an ETag where they are asked for over and over, and the document that describes them all.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, Info, OpenApi, SecurityRequirement};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::http::problem::Problem;
use crate::view::words::hex;

/// What only says how late it is. An answer that differs in nothing else is the same answer.
const PASSING: [&str; 5] =
    ["age_seconds", "scale_out_seconds", "scale_in_seconds", "expires_at", "answered_at"];

/// An answer, or 304 where whoever asks has it already.
pub(super) fn fresh(headers: &HeaderMap, answer: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_string(answer).map_err(|error| unwritable(&error))?;
    let tag = tag(serde_json::to_value(answer).map_err(|error| unwritable(&error))?);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known.flat_map(|list| list.split(',')).any(|one| matches(one.trim(), &tag));
    let tags = [(header::ETAG, tag), (header::CACHE_CONTROL, "private, no-cache".to_owned())];
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, tags).into_response());
    }
    Ok((tags, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// An answer that nobody keeps.
pub(super) fn json(status: StatusCode, answer: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_string(answer).map_err(|error| unwritable(&error))?;
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((status, headers, body).into_response())
}

fn unwritable(error: &serde_json::Error) -> Problem {
    tracing::error!(%error, "an answer of the API could not be written as JSON");
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Problem::new(status, "Internal error", "internal", "the answer could not be written; the log says more")
}

/// Weak: two answers with the same tag say the same, at different times.
fn tag(mut answer: Value) -> String {
    if let Value::Object(fields) = &mut answer {
        fields.remove("at");
    }
    drop_passing(&mut answer);
    let digest = Sha256::digest(answer.to_string());
    format!("W/\"{}\"", hex(&digest[..16]))
}

fn drop_passing(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !PASSING.contains(&name.as_str()));
            fields.values_mut().for_each(drop_passing);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_passing),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Weak comparison, as RFC 9110 has it for this header.
fn matches(candidate: &str, tag: &str) -> bool {
    let bare = |text: &str| text.strip_prefix("W/").unwrap_or(text).to_owned();
    candidate == "*" || bare(candidate) == bare(tag)
}

/// The API's own description.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "about",
    responses((status = 200, description = "This document", body = Object), super::parameters::Problems)
)]
pub(super) async fn openapi(headers: HeaderMap) -> Result<Response, Problem> {
    fresh(&headers, &super::openapi())
}

/// What no single route says: what the API is, where it is, and how one shows who one is.
pub(super) fn introduce(document: &mut OpenApi) {
    let mut info = Info::new("Fleet Scaler", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "What every fleet does and why, and what a person may ask of it. Lists go newest first, a page at a time: \
         `next` is the `cursor` of the page after. Errors are application/problem+json."
            .to_owned(),
    );
    document.info = info;
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "A token of the tokens file: scope viewer for GET, operator for everything. Without a tokens file the service \
         listens on loopback alone, and asks for none.",
    ));
    let mut components = document.components.take().unwrap_or_else(|| ComponentsBuilder::new().build());
    // The errors are described by an enum of responses, which names its schema and does not bring it along.
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    components.add_security_scheme("token", SecurityScheme::Http(bearer.build()));
    document.components = Some(components);
    let none = SecurityRequirement::default();
    document.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("token", []), none]);
    document.servers = Some(vec![utoipa::openapi::Server::new("/api/v1")]);
}

/// The value of a header that must be text.
pub(super) fn text_header<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<Option<&'a str>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    HeaderValue::to_str(value).map(Some).map_err(|_| Problem::parameter(name, "is not visible ASCII"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_that_is_only_later_has_the_same_tag() {
        let first = json!({"at": 1, "hosts": [{"id": "i-1", "age_seconds": 4, "since": 1}]});
        let later = json!({"at": 2, "hosts": [{"id": "i-1", "age_seconds": 5, "since": 1}]});
        let other = json!({"at": 2, "hosts": [{"id": "i-1", "age_seconds": 5, "since": 2}]});
        assert_eq!(tag(first), tag(later.clone()));
        assert_ne!(tag(later), tag(other));
    }

    #[test]
    fn tags_are_compared_weakly_and_in_lists() {
        let body = json!({"fleets": []});
        let tag = tag(body.clone());
        let strong = tag.strip_prefix("W/").unwrap().to_owned();
        for list in [tag.clone(), strong.clone(), format!("\"x\", {strong}"), "*".to_owned()] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, list.parse().unwrap());
            assert_eq!(fresh(&headers, &body).unwrap().status(), StatusCode::NOT_MODIFIED, "{list}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, "W/\"0\"".parse().unwrap());
        assert_eq!(fresh(&headers, &body).unwrap().status(), StatusCode::OK);
    }
}
