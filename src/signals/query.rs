//! The Prometheus query API.
