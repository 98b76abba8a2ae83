//! Traces for an OpenTelemetry collector, where the environment asks for them (docs/tracing.md).
//!
//! The loop marks its steps as spans of `tracing`, and knows no more than that: whether anybody collects them is decided
//! here, at the start of `serve`. Without a collector no span is ever made. With one, what the loop does is handed to a
//! queue of fixed size and sent by a thread of its own, so that a collector that is slow, away or wrong costs the loop
//! nothing but the spans.
//!
//! The settings are those of the OpenTelemetry specification, from the environment: whoever runs a collector has them in
//! place already, and a section of our own would only be a second way to say the same.

#[cfg(not(feature = "otlp"))]
mod absent;
#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod ledger;
#[cfg(feature = "otlp")]
mod sender;
#[cfg(feature = "otlp")]
mod settings;

#[cfg(not(feature = "otlp"))]
pub(crate) use self::absent::{Traces, current, start};
#[cfg(feature = "otlp")]
pub(crate) use self::export::{Traces, current, start};
