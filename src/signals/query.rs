//! The Prometheus query API: one instant query, one number.
//!
//! Any engine that speaks `GET /api/v1/query` will do. An answer of several series is not averaged and not picked from:
//! the person who wrote the query meant one number, and is told that there are more.

use std::sync::OnceLock;

use chrono::DateTime;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use crate::config::fleet::QueryConfig;
use crate::domain::time::{Timestamp, since};
use crate::signals::fault::{Failure, FaultClass, shortened};
use crate::signals::fetch::{self, AfterUse, ClientError};

/// Bytes of one answer at most; one number takes a few hundred.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// An answer that speaks of a time longer ago is stale. Prometheus itself looks back so far, and no further.
const AGE_MAX: std::time::Duration = std::time::Duration::from_mins(5);

/// Asks engines that speak the Prometheus query API.
pub struct QueryClient {
    plain: Client,
    /// Made when the first `https` engine is asked: it needs the system's certificates, which a machine may not have.
    tls: OnceLock<Result<Client, String>>,
}

impl QueryClient {
    /// Makes one.
    pub fn new() -> Result<Self, ClientError> {
        Ok(Self { plain: fetch::plain_client(AfterUse::Keep)?, tls: OnceLock::new() })
    }

    /// Asks one question. `now` is what an answer's age is measured by.
    pub async fn ask(&self, query: &QueryConfig, now: Timestamp, started: Instant) -> Result<f64, Failure> {
        let client = self.client(&query.url)?;
        let url = query_url(query)?;
        let place = place(&query.url);
        let answer = fetch::within(started + query.timeout, query.timeout, async {
            let response = fetch::send(client.get(url)).await?;
            let status = response.status();
            Ok((status, fetch::read_body(response, ANSWER_BYTES_MAX).await?))
        });
        let number = answer.await.and_then(|(status, body)| read(status, &body, now));
        number.map_err(|failure| Failure::new(failure.class, format!("{place}: {}", failure.message)))
    }

    pub(super) fn client(&self, url: &Url) -> Result<&Client, Failure> {
        if url.scheme() != "https" {
            return Ok(&self.plain);
        }
        let made = self.tls.get_or_init(|| fetch::tls_client().map_err(|error| fetch::innermost(&error)));
        made.as_ref().map_err(|why| Failure::new(FaultClass::Refused, format!("TLS is not available: {why}")))
    }
}

/// The API's URL: under the engine's base, whatever path and parameters that has already.
pub(super) fn query_url(query: &QueryConfig) -> Result<Url, Failure> {
    let mut url = query.url.clone();
    url.path_segments_mut()
        .map_err(|()| {
            Failure::new(FaultClass::Address, "the URL cannot have a path; expected `http://host:port`")
        })?
        .pop_if_empty()
        .extend(["api", "v1", "query"]);
    url.set_fragment(None);
    url.query_pairs_mut().append_pair("query", &query.query);
    Ok(url)
}

/// Which engine, for a person: no user, no password, no parameters.
pub(super) fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    data: Option<Data>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Scalar(Point),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

/// A native histogram has no `value`.
#[derive(Deserialize)]
struct Series {
    value: Option<Point>,
}

/// Seconds since 1970, and the number as text.
#[derive(Deserialize)]
struct Point(f64, String);

/// Reads an answer for its one number.
fn read(status: StatusCode, body: &[u8], now: Timestamp) -> Result<f64, Failure> {
    let answer: Result<Answer, _> = serde_json::from_slice(body);
    let answer = match answer {
        Ok(answer) => answer,
        Err(_) if status != StatusCode::OK => {
            let message = format!("answered {}", fetch::status_text(status));
            return Err(Failure::new(FaultClass::Status, message));
        }
        Err(error) => {
            let message = format!("not an answer of the Prometheus query API: {error}");
            return Err(Failure::new(FaultClass::Malformed, message));
        }
    };
    if status != StatusCode::OK || answer.status != "success" {
        let class = shortened(&answer.error_type.unwrap_or_else(|| "no error type".to_owned()));
        let why = shortened(&answer.error.unwrap_or_else(|| "no reason given".to_owned()));
        let message = format!("answered {}: {class}: {why}", fetch::status_text(status));
        return Err(Failure::new(FaultClass::Status, message));
    }
    let wrong_kind = |kind: &str| {
        let message =
            format!("the query gives {kind}; it must give one number now: use an instant vector or a scalar");
        Failure::new(FaultClass::Malformed, message)
    };
    let point = match answer.data {
        Some(Data::Scalar(point)) => point,
        Some(Data::Vector(series)) => single(series)?,
        Some(Data::Matrix(_)) => return Err(wrong_kind("a range of samples")),
        Some(Data::String(_)) => return Err(wrong_kind("text")),
        None => return Err(wrong_kind("no data field")),
    };
    number(&point, now)
}

fn single(series: Vec<Series>) -> Result<Point, Failure> {
    let count = series.len();
    let mut series = series.into_iter();
    match (series.next(), count) {
        (None, _) => Err(Failure::new(FaultClass::NoData, "the query gives no series")),
        (Some(Series { value: Some(point) }), 1) => Ok(point),
        (Some(_), 1) => {
            Err(Failure::new(FaultClass::Malformed, "the query gives a histogram; it must give one number"))
        }
        _ => Err(Failure::new(
            FaultClass::Ambiguous,
            format!("the query gives {count} series; it must give one: aggregate, for example with sum(…)"),
        )),
    }
}

fn number(point: &Point, now: Timestamp) -> Result<f64, Failure> {
    let Point(seconds, text) = point;
    let value: f64 = text.parse().map_err(|_| {
        Failure::new(
            FaultClass::Malformed,
            format!("expected a number as the value; found `{}`", shortened(text)),
        )
    })?;
    if !value.is_finite() {
        return Err(Failure::new(FaultClass::NotFinite, format!("the query gives {text}")));
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a float beyond the range becomes its end, which is no time"
    )]
    let at = DateTime::from_timestamp_micros((seconds * 1e6) as i64).ok_or_else(|| {
        Failure::new(FaultClass::Malformed, format!("expected seconds since 1970; found {seconds}"))
    })?;
    let age = since(now, at);
    if age > AGE_MAX {
        let age = humantime::format_duration(std::time::Duration::from_secs(age.as_secs()));
        return Err(Failure::new(FaultClass::Stale, format!("the answer is of {age} ago")));
    }
    Ok(value)
}
