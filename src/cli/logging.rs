//! The service's own log: lines for people or JSON for collectors, always on stderr.

use clap::{Args, ValueEnum};
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::exit::Usage;
use crate::cli::output;

/// How the log is written.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogArgs {
    /// How the log is written to stderr
    #[arg(
        long,
        global = true,
        value_enum,
        env = "FLEET_SCALER_LOG_FORMAT",
        hide_env_values = true,
        default_value_t = LogFormat::Text,
        help_heading = "Log"
    )]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or per module as in RUST_LOG
    #[arg(
        long,
        global = true,
        env = "RUST_LOG",
        hide_env_values = true,
        value_name = "LEVEL",
        help_heading = "Log"
    )]
    log_level: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Starts the log. `level` holds where neither the command line nor the environment says anything.
pub(crate) fn start(args: &LogArgs, level: &str) -> Result<(), Usage> {
    let wanted = args.log_level.as_deref().filter(|wanted| !wanted.is_empty()).unwrap_or(level);
    let filter = EnvFilter::try_new(wanted).map_err(|error| {
        Usage(format!(
            "--log-level (or RUST_LOG) {wanted:?}: {error}; write info, debug, or fleet_scaler=debug,sqlx=warn"
        ))
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    // A second start in one process (tests) keeps the first log.
    let _ = match args.log_format {
        LogFormat::Text => {
            builder.with_ansi(output::colour_on_stderr()).finish().with(filter_fn(is_line)).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).finish().with(filter_fn(is_line)).try_init(),
    };
    Ok(())
}

/// A line says itself what it belongs to; spans are for traces, and would repeat it. A mere question whether a line would
/// be wanted is neither.
fn is_line(metadata: &Metadata<'_>) -> bool {
    !metadata.is_span()
}
