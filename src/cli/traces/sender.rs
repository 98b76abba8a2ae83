//! The way of spans to the collector: the service's own HTTP client under the SDK's exporter.
//!
//! The SDK has clients of its own to choose from, each with a TLS stack beside ours or for threads without a runtime.
//! Ours trusts what the rest of the service trusts, follows no redirect (the headers are secrets), and has a deadline.
//! The SDK sends from a thread of its own, where that client cannot run: the request is handed to the runtime.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError, Request, Response, ResponseBodyTooLarge};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};
use reqwest::{Certificate, Client};
use tokio::runtime::Handle;

use crate::cli::traces::ledger::Ledger;
use crate::signals::fetch::{self, AfterUse};

/// Bytes of one answer at most. It says which spans were refused; usually it is empty.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sends requests of the SDK with a client of ours.
#[derive(Debug)]
pub(super) struct Sender {
    client: Client,
    runtime: Handle,
    timeout: Duration,
    ledger: Arc<Ledger>,
}

impl Sender {
    pub(super) fn new(client: Client, timeout: Duration, ledger: Arc<Ledger>) -> Self {
        Self { client, runtime: Handle::current(), timeout, ledger }
    }
}

/// A client for `http`, or one for `https` that trusts these certificates beside the system's.
pub(super) fn client(is_https: bool, certificate: Option<&Path>) -> Result<Client, String> {
    let made = if is_https {
        fetch::tls_client_trusting(certificate.map(certificates).transpose()?.unwrap_or_default())
    } else {
        fetch::plain_client(AfterUse::Keep)
    };
    made.map_err(|error| fetch::innermost(&error))
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, String> {
    let name = path.display();
    let pem = std::fs::read(path).map_err(|error| format!("{name} cannot be read: {error}"))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| fetch::innermost(&error));
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{name} has no certificate in it; expected PEM")),
        Err(error) => Err(format!("{name} is not PEM: {error}")),
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (timeout, answer) = (self.timeout, exchange(self.client.clone(), request.try_into()?));
        // Within the runtime, of which the deadline is a part as well.
        let sent = self.runtime.spawn(async move { tokio::time::timeout(timeout, answer).await });
        let sent = sent.await.map_err(HttpError::from);
        let answer = match sent {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => {
                Err(format!("no answer within {}", humantime::format_duration(self.timeout)).into())
            }
            Err(gone) => Err(gone),
        };
        match &answer {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => self.ledger.failed(format!("it answered {}", fetch::status_text(answer.status()))),
            Err(error) => self.ledger.failed(fetch::innermost(error.as_ref())),
        }
        answer
    }
}

async fn exchange(client: Client, request: reqwest::Request) -> Result<Response<Bytes>, HttpError> {
    let mut answer = client.execute(request).await?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Box::new(ResponseBodyTooLarge::new()));
        }
        body.extend_from_slice(&chunk);
    }
    let mut whole = Response::new(Bytes::from(body));
    *whole.status_mut() = answer.status();
    whole.headers_mut().clone_from(answer.headers());
    Ok(whole)
}

/// The SDK's exporter, with everything that it sends and loses in the ledger.
#[derive(Debug)]
pub(super) struct Accounted<E> {
    exporter: E,
    ledger: Arc<Ledger>,
}

impl<E: SpanExporter> Accounted<E> {
    pub(super) fn new(exporter: E, ledger: Arc<Ledger>) -> Self {
        Self { exporter, ledger }
    }
}

impl<E: SpanExporter> SpanExporter for Accounted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.ledger.taken(spans);
        let result = self.exporter.export(batch).await;
        self.ledger.sent(spans, result.is_ok());
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// The SDK's queue, behind a door that counts.
#[derive(Debug)]
pub(super) struct Queue {
    inner: BatchSpanProcessor,
    ledger: Arc<Ledger>,
}

impl Queue {
    pub(super) fn new(inner: BatchSpanProcessor, ledger: Arc<Ledger>) -> Self {
        Self { inner, ledger }
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, context: &opentelemetry::Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.ledger.admits() {
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_certificate_that_is_none_is_named() {
        let refused = |path: &Path| client(true, Some(path)).unwrap_err();
        assert!(refused(Path::new("/nowhere.pem")).starts_with("/nowhere.pem cannot be read: "));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"not a certificate").unwrap();
        assert!(refused(file.path()).ends_with("has no certificate in it; expected PEM"));
        assert!(client(false, Some(file.path())).is_ok(), "nobody asks for it without TLS");
    }
}
