//! `openapi`: the HTTP API's own description, as the service serves it.

use crate::cli::output;
use crate::http::api;

/// Runs it.
pub(crate) fn run() -> anyhow::Result<()> {
    output::line(&serde_json::to_string_pretty(&api::openapi())?)
}
