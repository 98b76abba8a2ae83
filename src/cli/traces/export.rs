//! The pipeline: spans of `tracing`, the SDK's queue, the exporter.
//!
//! Only spans of this crate go into a trace, whatever the log shows: what libraries tell of themselves would be most of it,
//! and nobody has looked at what stands in theirs. Lines of the log stay there, and name their trace.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::{Compression, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider};
use tracing::Metadata;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};
use url::Url;

use crate::cli::exit::Usage;
use crate::cli::traces::ledger::Ledger;
use crate::cli::traces::sender::{self, Accounted, Queue, Sender};
use crate::cli::traces::settings::{self, Packing, Sampling, Settings};

/// The crate whose spans are exported.
const OURS: &str = "fleet_scaler";
/// The last spans may be sent for so long, where the grace allows it.
const LAST_SPANS: Duration = Duration::from_secs(5);

/// Traces on their way to a collector.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
}

/// Starts sending traces, where the environment names a collector. To be called within the runtime.
pub(crate) fn start(env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Traces>, Usage> {
    let Some(settings) = settings::read(env)? else { return Ok(None) };
    let place = place(&settings.endpoint);
    let wrong = |why: String| Usage(format!("traces cannot be sent to {place}: {why}"));
    let ledger = Arc::new(Ledger::new(place.clone(), settings.queue));
    let is_https = settings.endpoint.scheme() == "https";
    let client = sender::client(is_https, settings.certificate.as_deref()).map_err(wrong)?;
    let sender = Sender::new(client, settings.timeout, Arc::clone(&ledger));
    let exporter = exporter(&settings, sender).map_err(|error| wrong(error.to_string()))?;
    let exporter = Accounted::new(exporter, Arc::clone(&ledger));
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(settings.queue)
        .with_max_export_batch_size(settings.batch)
        .with_scheduled_delay(settings.delay)
        .build();
    let queue = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Queue::new(queue, ledger))
        .with_sampler(sampler(settings.sampling))
        .with_resource(resource(&settings))
        .build();
    Ok(Some(Traces { provider }))
}

fn exporter(
    settings: &Settings,
    sender: Sender,
) -> Result<SpanExporter, opentelemetry_otlp::ExporterBuildError> {
    let builder = SpanExporter::builder()
        .with_http()
        .with_http_client(sender)
        .with_endpoint(settings.endpoint.as_str())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(settings.timeout)
        .with_headers(settings.headers.0.clone().into_iter().collect());
    match settings.packing {
        Packing::Gzip => builder.with_compression(Compression::Gzip).build(),
        Packing::None => builder.build(),
    }
}

fn sampler(sampling: Sampling) -> Sampler {
    match sampling {
        Sampling::All => Sampler::AlwaysOn,
        Sampling::None => Sampler::AlwaysOff,
        Sampling::Share(share) => Sampler::TraceIdRatioBased(share),
    }
}

fn resource(settings: &Settings) -> Resource {
    let attributes = settings.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(attributes.collect::<Vec<_>>())
        .build()
}

/// The collector, for a person: without parameters, in which a token may stand.
fn place(endpoint: &Url) -> String {
    let mut place = endpoint.clone();
    place.set_query(None);
    place.set_fragment(None);
    place.to_string()
}

impl Traces {
    /// What listens to the spans.
    pub(crate) fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(OURS))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_ours))
            .boxed()
    }

    /// Sends the last spans, in the time that is left and not longer than a few seconds.
    pub(crate) async fn finish(self, left: Duration) {
        let left = left.min(LAST_SPANS);
        let flushed = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(left));
        if !matches!(tokio::time::timeout(left, flushed).await, Ok(Ok(Ok(())))) {
            tracing::warn!("the collector did not take the last spans in time; they are lost");
        }
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with(OURS)
}

/// The trace that the caller's thread is in, where that is sent.
pub(crate) fn current() -> Option<String> {
    let context = opentelemetry::Context::current();
    let span = context.span();
    let span = span.span_context();
    span.is_sampled().then(|| span.trace_id().to_string())
}
