//! A program that was built without traces: it says so to whoever asks for them.
//!
//! Going on silently would leave an operator to search for the fault in the collector.

use std::convert::Infallible;
use std::time::Duration;

use tracing_subscriber::{Layer, Registry};

use crate::cli::exit::Usage;

/// There are none, ever.
pub(crate) struct Traces(Infallible);

impl Traces {
    /// What listens to the spans.
    pub(crate) fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        match self.0 {}
    }

    /// Sends the last spans.
    pub(crate) async fn finish(self, _left: Duration) {
        std::future::ready(()).await;
        match self.0 {}
    }
}

/// Refuses where a collector is named.
pub(crate) fn start(env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Traces>, Usage> {
    let asks = |name: &&str| env(name).is_some_and(|value| !value.is_empty());
    match ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"].iter().find(|name| asks(name))
    {
        None => Ok(None),
        Some(name) => Err(Usage(format!(
            "{name} asks for traces, and this program was built without them (--no-default-features): build it with \
             the feature `otlp`, or take the variable away"
        ))),
    }
}

/// The trace that the caller's thread is in.
pub(crate) fn current() -> Option<String> {
    None
}
