//! From the SDK's errors to ours.
//!
//! The question behind every line here is *may the call have done its work?* Only an error document that the cloud
//! itself signed off with a code says no; a time-out, a reset, a gateway's error page and a reply that does not parse
//! say nothing, and are [`FailureClass::Unknown`] whatever their HTTP status. What the codes mean is not decided here
//! but in [`failure_codes`](crate::provider::failure_codes), which the simulated cloud shares.
//!
//! Codes of our own, in the cloud's manner, where it sent none: `Timeout`, `ConnectFailed` and `CredentialsUnavailable`
//! (both: nothing was sent), `ConnectionReset`, `MalformedReply`, `DispatchFailed`, and `Http502` and its like.

use std::error::Error as StdError;
use std::io::ErrorKind as IoErrorKind;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::operation::RequestId as _;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{DispatchFailure, SdkError, ServiceError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use chrono::{DateTime, TimeDelta};

use crate::clock::{Clock as _, SystemClock};
use crate::domain::failure::{CloudError, FailureClass};
use crate::domain::time::Timestamp;
use crate::provider::aws::reply::is_refusal;
use crate::provider::failure_codes::classify;

/// Codes that a clock which is wrong by minutes earns as well as a key that is wrong.
const SIGNATURE_CODES: [&str; 6] = [
    "AccessDeniedException",
    "AuthFailure",
    "InvalidSignatureException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
];

/// How wrong our clock must be before a refused signature is put down to it. The SDK draws the line at the same place.
const SKEW_TOLERATED: TimeDelta = TimeDelta::minutes(4);

/// Characters of the cloud's words that are kept: an authorisation failure brings kilobytes of ciphertext.
const MESSAGE_MAX: usize = 1_000;
/// Bytes of a code at most. AWS's longest are half of it.
const CODE_MAX: usize = 128;

/// Says what a failed call means.
pub(super) fn from_sdk<E>(error: &SdkError<E, HttpResponse>) -> CloudError
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let told = match error {
        SdkError::TimeoutError(_) => unknown("Timeout", error),
        SdkError::DispatchFailure(failure) => unknown(dispatch_code(failure, error), error),
        SdkError::ResponseError(_) if is_cut_off(error) => unknown("ConnectionReset", error),
        SdkError::ResponseError(_) => unknown("MalformedReply", error),
        SdkError::ServiceError(failure) => from_service(failure),
        SdkError::ConstructionFailure(_) if is_unsigned(error) => unknown("CredentialsUnavailable", error),
        // Nothing was sent, and sending it again would fail again.
        SdkError::ConstructionFailure(_) => {
            CloudError::new(FailureClass::Invalid, "RequestNotBuilt", chain_text(error))
        }
        // A kind of failure that a later SDK may bring: nothing is known of it.
        _ => unknown("DispatchFailed", error),
    };
    CloudError { request_id: error.request_id().map(str::to_owned).or(told.request_id), ..told }
}

/// A reply that came and parsed, and still is none.
pub(super) fn malformed(what: impl Into<String>, request_id: Option<&str>) -> CloudError {
    CloudError {
        request_id: request_id.map(str::to_owned),
        ..CloudError::new(FailureClass::Unknown, "MalformedReply", what)
    }
}

fn from_service<E>(failure: &ServiceError<E, HttpResponse>) -> CloudError
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let status = failure.raw().status();
    let meta = failure.err().meta();
    let request_id = body_request_id(failure.raw());
    let refused = failure.raw().body().bytes().is_some_and(is_refusal);
    let Some(code) = meta.code().filter(|code| refused && is_code(code)) else {
        let code = if status.is_success() {
            "MalformedReply".to_owned()
        } else {
            format!("Http{}", status.as_u16())
        };
        let text = format!("the reply is no answer of this service: {}", chain_text(failure.err()));
        return CloudError { request_id, ..CloudError::new(FailureClass::Unknown, code, shortened(&text)) };
    };
    let words = shortened(meta.message().unwrap_or(code));
    if let Some(skew) = skew_behind(code, failure.raw(), SystemClock.now()) {
        let text = format!(
            "{words} (our clock and the cloud's differ by {} s; the next call is signed with the cloud's time; set \
             this machine's clock)",
            skew.num_seconds()
        );
        return CloudError { request_id, ..CloudError::new(FailureClass::Unknown, code, text) };
    }
    CloudError { request_id, ..CloudError::new(classify(code, Some(status.as_u16())), code, words) }
}

/// Whether this can be one of AWS's codes. They go into rows and metrics, where a stranger's text has no place.
fn is_code(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    (1..=CODE_MAX).contains(&text.len()) && text.chars().all(plain)
}

/// The skew that explains a refused signature, where one does. A refusal for the clock's sake must not open a breaker:
/// the SDK has learned the cloud's time from this very reply, and the next call is good.
fn skew_behind(code: &str, reply: &HttpResponse, now: Timestamp) -> Option<TimeDelta> {
    if !SIGNATURE_CODES.contains(&code) {
        return None;
    }
    let date = DateTime::parse_from_rfc2822(reply.headers().get("date")?).ok()?;
    let skew = date.to_utc() - now;
    (skew.abs() > SKEW_TOLERATED).then_some(skew)
}

/// EC2 writes `RequestID` and ELBv2 `RequestId` into their error documents; some endpoints send no header with it.
fn body_request_id(reply: &HttpResponse) -> Option<String> {
    let body = std::str::from_utf8(reply.body().bytes()?).ok()?;
    let start = body.find("<RequestID>").or_else(|| body.find("<RequestId>"))? + "<RequestID>".len();
    let text = &body[start..];
    let id = text[..text.find('<')?].trim();
    (!id.is_empty() && id.len() <= 128).then(|| id.to_owned())
}

fn unknown(code: &str, error: &(dyn StdError + 'static)) -> CloudError {
    let remedy = match code {
        "CredentialsUnavailable" => {
            "; give this service credentials: a role of its instance, pod or task, a profile, or the environment"
        }
        "ConnectFailed" => "; look at the network, and at provider.aws.endpoint_url",
        _ => "",
    };
    CloudError::new(FailureClass::Unknown, code, chain_text(error) + remedy)
}

fn dispatch_code(failure: &DispatchFailure, error: &(dyn StdError + 'static)) -> &'static str {
    if is_unsigned(error) {
        "CredentialsUnavailable"
    } else if is_unconnected(error) {
        "ConnectFailed"
    } else if failure.is_timeout() {
        "Timeout"
    } else if failure.is_io() || is_cut_off(error) {
        "ConnectionReset"
    } else {
        "DispatchFailed"
    }
}

/// Whether no connection came about, so that nothing was sent. The SDK's own error types are private here and below; what
/// they print is all there is to go by, and only a code for people depends on it.
fn is_unconnected(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|link| {
        let refused = link.downcast_ref::<std::io::Error>().is_some_and(|io| {
            matches!(
                io.kind(),
                IoErrorKind::ConnectionRefused
                    | IoErrorKind::HostUnreachable
                    | IoErrorKind::NetworkUnreachable
            )
        });
        let text = link.to_string();
        refused || text.contains("(Connect)") || text.starts_with("HTTP connect timeout")
    })
}

/// Whether the connection ended before the reply did.
fn is_cut_off(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|link| {
        let text = link.to_string();
        link.downcast_ref::<std::io::Error>().is_some()
            || text.contains("connection closed before message completed")
    })
}

/// Whether no credentials came, so that nothing could be signed, let alone sent.
fn is_unsigned(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|link| {
        link.is::<CredentialsError>() || link.to_string().starts_with("identity resolver timed out")
    })
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&link| link.source())
}

/// Every cause on one line, outermost first; a link that only repeats the one before is left out.
fn chain_text(error: &(dyn StdError + 'static)) -> String {
    let mut links: Vec<String> = chain(error).map(ToString::to_string).collect();
    links.dedup();
    shortened(&links.join(": ").split_whitespace().collect::<Vec<_>>().join(" "))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
