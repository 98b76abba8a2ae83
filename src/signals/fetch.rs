//! One question over HTTP, to a server that may be hostile: bounded in time, in bytes and in where it goes.
//!
//! The body is read as it arrives and counted after decompression, so a page of a gigabyte and a gzip bomb are both given
//! up at the cap, with no more than the cap in memory. Redirects are answers like any other, and refused: an owned host
//! that says "ask 169.254.169.254" would otherwise have the service read its own credentials to it.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use flate2::write::GzDecoder;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, LOCATION};
use reqwest::{Certificate, Client, ClientBuilder, RequestBuilder, Response, StatusCode};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::Instant;

use crate::signals::fault::{Failure, FaultClass, shortened};

/// By how much a compressed body may be larger than the cap on the decompressed one: a stream can go on without content.
const WIRE_SLACK: usize = 64 * 1024;
/// A connection that nobody used for so long is closed.
const IDLE: Duration = Duration::from_secs(90);
const USER_AGENT: &str = concat!("fleet-scaler/", env!("CARGO_PKG_VERSION"));

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[from] rustls::Error),
    /// The HTTP client could not be set up, for example because the system has no certificates.
    #[error("the HTTP client could not be set up")]
    Http(#[from] reqwest::Error),
}

/// What becomes of a connection after its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterUse {
    /// It is kept for the next question to the same server, one for each.
    Keep,
    /// It is closed.
    Close,
}

/// A client for `http` only. It trusts no certificate at all, so it works on machines that have none, and an `https` URL
/// that strays here fails.
pub fn plain_client(after_use: AfterUse) -> Result<Client, ClientError> {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let kept = match after_use {
        AfterUse::Keep => 1,
        AfterUse::Close => 0,
    };
    Ok(bounded().pool_max_idle_per_host(kept).tls_backend_preconfigured(tls).build()?)
}

/// A client for `https`, which trusts what the system trusts.
pub fn tls_client() -> Result<Client, ClientError> {
    tls_client_trusting(Vec::new())
}

/// The same, which trusts these certificates besides.
pub fn tls_client_trusting(also: Vec<Certificate>) -> Result<Client, ClientError> {
    // The crate has one crypto provider. Somebody may have made it the process's own already, which is as good.
    let _ = ring::default_provider().install_default();
    Ok(bounded().pool_max_idle_per_host(1).https_only(true).tls_certs_merge(also).build()?)
}

fn bounded() -> ClientBuilder {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .no_gzip()
        .http1_only()
        .referer(false)
        .user_agent(USER_AGENT)
        .pool_idle_timeout(IDLE)
}

/// Runs a question under its deadline.
pub async fn within<T>(
    deadline: Instant,
    allowed: Duration,
    question: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout_at(deadline, question).await.unwrap_or_else(|_| {
        let message = format!("no complete answer within {}", humantime::format_duration(allowed));
        Err(Failure::new(FaultClass::Timeout, message))
    })
}

/// Sends a request and waits for the answer's head. A redirect is a failure.
pub async fn send(request: RequestBuilder) -> Result<Response, Failure> {
    let request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    let response = request.send().await.map_err(broken)?;
    if response.status().is_redirection() {
        let to = response.headers().get(LOCATION).map_or("nowhere".into(), |to| {
            String::from_utf8_lossy(to.as_bytes()).chars().take(100).collect::<String>()
        });
        let message =
            format!("answered {} to `{to}`; redirects are never followed", status_text(response.status()));
        return Err(Failure::new(FaultClass::Redirect, message));
    }
    Ok(response)
}

/// Reads a body, decompressed, of at most `max` bytes.
pub async fn read_body(mut response: Response, max: usize) -> Result<Vec<u8>, Failure> {
    let mut sink = Sink::open(&response, max)?;
    let mut wire = 0_usize;
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        wire = wire.saturating_add(chunk.len());
        if wire > max.saturating_add(WIRE_SLACK) {
            return Err(too_large(max));
        }
        sink.take(&chunk, max)?;
    }
    sink.finish(max)
}

/// A status as people read it: `503 Service Unavailable`.
#[must_use]
pub fn status_text(status: StatusCode) -> String {
    status
        .canonical_reason()
        .map_or_else(|| status.as_u16().to_string(), |reason| format!("{} {reason}", status.as_u16()))
}

fn too_large(max: usize) -> Failure {
    Failure::new(FaultClass::TooLarge, format!("the answer is larger than {max} bytes"))
}

/// Where a body goes: a buffer that refuses to grow past its cap, with or without a decompressor before it. The
/// decompressor takes one gzip member, as servers send: a million empty ones would cost a stranger nothing and us seconds.
enum Sink {
    Plain(Capped),
    Gzip(Box<GzDecoder<Capped>>),
}

impl Sink {
    fn open(response: &Response, max: usize) -> Result<Self, Failure> {
        let buffer = Capped { bytes: Vec::new(), max };
        let encoding = response.headers().get(CONTENT_ENCODING).map_or("identity".into(), |encoding| {
            String::from_utf8_lossy(encoding.as_bytes()).trim().to_ascii_lowercase()
        });
        match encoding.as_str() {
            // The declared length of a body that is not compressed is worth a look before the first byte is read.
            "identity" | "" if response.content_length().is_some_and(|length| length > max as u64) => {
                Err(too_large(max))
            }
            "identity" | "" => Ok(Self::Plain(buffer)),
            "gzip" | "x-gzip" => Ok(Self::Gzip(Box::new(GzDecoder::new(buffer)))),
            other => Err(Failure::new(
                FaultClass::Malformed,
                format!("gzip or no compression was asked for; the answer says `{}`", shortened(other)),
            )),
        }
    }

    fn take(&mut self, chunk: &[u8], max: usize) -> Result<(), Failure> {
        match self {
            Self::Plain(buffer) => buffer.write_all(chunk),
            Self::Gzip(decoder) => decoder.write_all(chunk),
        }
        .map_err(|error| unreadable(&error, max))
    }

    fn finish(self, max: usize) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Plain(buffer) => Ok(buffer.bytes),
            Self::Gzip(decoder) => {
                decoder.finish().map(|buffer| buffer.bytes).map_err(|error| unreadable(&error, max))
            }
        }
    }
}

fn unreadable(error: &io::Error, max: usize) -> Failure {
    if error.kind() == io::ErrorKind::FileTooLarge {
        return too_large(max);
    }
    Failure::new(FaultClass::Malformed, format!("the gzip stream is damaged or cut off: {error}"))
}

struct Capped {
    bytes: Vec<u8>,
    max: usize,
}

impl io::Write for Capped {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() > self.max.saturating_sub(self.bytes.len()) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a client's error means. Its URL is taken out first: it is long, it is known, and it may hold a password.
fn broken(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let class = match (error.is_timeout(), error.is_connect()) {
        (true, _) => FaultClass::Timeout,
        (_, true) => FaultClass::Refused,
        _ => FaultClass::Broken,
    };
    let what = if class == FaultClass::Refused { "cannot connect" } else { "the connection broke" };
    Failure::new(class, format!("{what}: {}", innermost(&error)))
}

/// The last cause of an error: the outer ones say "error sending request", the innermost says why.
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
