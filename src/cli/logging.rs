//! The service's own log: lines for people or JSON for collectors, always on stderr.

use clap::{Args, ValueEnum};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{self, FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::cli::exit::Usage;
use crate::cli::output;
use crate::cli::traces::{self, Traces};

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
pub(crate) fn start(args: &LogArgs, level: &str, traces: Option<&Traces>) -> Result<(), Usage> {
    let wanted = args.log_level.as_deref().filter(|wanted| !wanted.is_empty()).unwrap_or(level);
    let filter = EnvFilter::try_new(wanted).map_err(|error| {
        Usage(format!(
            "--log-level (or RUST_LOG) {wanted:?}: {error}; write info, debug, or fleet_scaler=debug,sqlx=warn"
        ))
    })?;
    let lines = fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    let lines = match args.log_format {
        LogFormat::Text => {
            let colour = output::colour_on_stderr();
            let format =
                Traced { format: fmt::format().with_ansi(colour), end: "\n", mark: (" trace_id=", "") };
            lines.with_ansi(colour).event_format(format).boxed()
        }
        LogFormat::Json => {
            let format = fmt::format().json().flatten_event(true);
            let format = Traced { format, end: "}\n", mark: (",\"trace_id\":\"", "\"") };
            lines.fmt_fields(JsonFields::new()).event_format(format).boxed()
        }
    };
    let registry = tracing_subscriber::registry();
    // A second start in one process (tests) keeps the first log.
    let _ = match traces {
        None => registry.with(lines).with(filter).with(filter_fn(is_line)).try_init(),
        // With a filter for each listener, a library that only asks whether a line would be wanted, and hears no, has
        // the next line of its thread swallowed: if every listener wants that one, nobody is asked again. So no line
        // and no span may be wanted by both: lines go to the log alone, and spans to the traces alone.
        Some(traces) => {
            let lines = lines.with_filter(filter.and(filter_fn(is_line))).boxed();
            registry.with(vec![lines, traces.layer()]).try_init()
        }
    };
    Ok(())
}

/// A line says itself what it belongs to; spans are for traces, and would repeat it. A mere question whether a line would
/// be wanted is neither.
fn is_line(metadata: &Metadata<'_>) -> bool {
    !metadata.is_span()
}

/// Lines that name the trace they are part of, where that is sent: from a line to the whole tick, and back.
struct Traced<F> {
    format: F,
    /// How a line ends…
    end: &'static str,
    /// …and what stands around the trace's id, just ahead of that end.
    mark: (&'static str, &'static str),
}

impl<S, N, F> FormatEvent<S, N> for Traced<F>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let Some(trace) = traces::current() else { return self.format.format_event(context, writer, event) };
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        match line.strip_suffix(self.end) {
            Some(line) => write!(writer, "{line}{}{trace}{}{}", self.mark.0, self.mark.1, self.end),
            None => writer.write_str(&line),
        }
    }
}
