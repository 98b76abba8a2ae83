//! The command line: one file a command.
//!
//! Results go to stdout, as tables or as JSON; everything else goes to stderr. The exit code says how it ended (see
//! `exit`). This is the only layer that knows `anyhow`: below it, every error is a type that says what can be done.

mod actions;
mod backtest;
mod check;
mod cloud;
mod completions;
mod context;
mod demo;
mod drain;
mod exit;
mod history;
mod hosts;
mod logging;
mod man;
mod migrate;
mod openapi;
mod operator;
mod output;
mod pause;
mod plan;
mod schema;
mod serve;
mod set_size;
mod status;
mod stop;
mod token;
mod traces;
mod verify_audit;
mod watch;
mod wiring;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::cli::context::Context;
use crate::cli::logging::LogArgs;
use crate::cli::output::{Colour, Format};

/// What a stopped command may leave behind in the runtime (a name look-up, say) is not waited for longer.
const LEFTOVERS: Duration = Duration::from_secs(1);

/// Keeps fleets of cloud VMs at the size their load needs, and can always say why
#[derive(Debug, Parser)]
#[command(
    name = "fleet-scaler",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage or configuration error, 3 refused by a guard."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// The configuration's folder: fleet-scaler.toml and fleets/*.toml
    #[arg(
        long,
        global = true,
        env = "FLEET_SCALER_CONFIG",
        hide_env_values = true,
        value_name = "DIR",
        default_value = "config/",
        help_heading = "Common"
    )]
    config: PathBuf,
    /// How results are printed: tables for people, JSON with stable keys for programs
    #[arg(long, global = true, value_enum, default_value_t = Format::Table, help_heading = "Common")]
    output: Format,
    /// When tables are coloured
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value_t = Colour::Auto,
        help_heading = "Common"
    )]
    color: Colour,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    Serve(serve::ServeArgs),
    /// Bring the database's schema up to date
    Migrate,
    /// Validate the configuration
    Check(check::CheckArgs),
    /// Observe and decide once, and print every reason; nothing is changed
    Plan(plan::PlanArgs),
    /// Show sizes, hosts by state, cooldowns, pauses, breakers and leases
    Status(status::StatusArgs),
    /// Show decisions, newest first: what, why, and what came of it
    History(history::HistoryArgs),
    /// Show who did what to which fleet, newest first: why, and what became of it
    Actions(actions::ActionsArgs),
    /// Show every host of a fleet, and what each waits for
    Hosts(hosts::HostsArgs),
    /// Stop changes of a fleet's size for a while
    Pause(pause::PauseArgs),
    /// End every pause of a fleet
    Resume(pause::ResumeArgs),
    /// Ask for a size, within the fleet's min and max
    SetSize(set_size::SetSizeArgs),
    /// Take one host out by the ordinary path: deregister, drain, terminate
    Drain(drain::DrainArgs),
    /// Replay recorded load against a fleet's policy, and against the rules of others
    Backtest(Box<backtest::BacktestArgs>),
    /// Check that the history is still what was written
    VerifyAudit,
    /// Run a simulated EC2 and ELBv2 on an address, for trying things out
    Cloud(cloud::CloudArgs),
    /// Run the whole service on a simulated cloud with a match day's load, and tell what happens
    Demo(demo::DemoArgs),
    /// Print the JSON Schemas of the configuration's files
    Schema(schema::SchemaArgs),
    /// Print the description of the HTTP API, as OpenAPI 3.1
    Openapi,
    /// Make bearer tokens for the HTTP API
    Token(token::TokenArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Print a manual page, or write all of them
    Man(man::ManArgs),
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => exit::conclude(start(cli)),
        Err(error) => {
            let _ = error.print();
            let _ = std::io::stdout().flush();
            ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::DONE })
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the asynchronous runtime could not be started")?;
    let result = runtime.block_on(run(cli));
    runtime.shutdown_timeout(LEFTOVERS);
    result
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let level = match cli.command {
        Command::Serve(_) => "info",
        _ => "error",
    };
    cli.global.color.hold();
    let traces = match cli.command {
        Command::Serve(_) => traces::start(&context::environment)?,
        _ => None,
    };
    logging::start(&cli.log, level, traces.as_ref())?;
    let context = Context { dir: cli.global.config, format: cli.global.output };
    match &cli.command {
        Command::Serve(args) => Box::pin(serve::run(&context, args, traces)).await,
        Command::Migrate => migrate::run(&context).await,
        Command::Check(args) => check::run(&context, args).await,
        Command::Plan(args) => plan::run(&context, args).await,
        Command::Status(args) => status::run(&context, args).await,
        Command::History(args) => history::run(&context, args).await,
        Command::Actions(args) => actions::run(&context, args).await,
        Command::Hosts(args) => hosts::run(&context, args).await,
        Command::Pause(args) => pause::pause(&context, args).await,
        Command::Resume(args) => pause::resume(&context, args).await,
        Command::SetSize(args) => set_size::run(&context, args).await,
        Command::Drain(args) => drain::run(&context, args).await,
        Command::Backtest(args) => Box::pin(backtest::run(&context, args)).await,
        Command::VerifyAudit => verify_audit::run(&context).await,
        Command::Cloud(args) => cloud::run(&context, args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Schema(args) => schema::run(args),
        Command::Openapi => openapi::run(),
        Command::Token(args) => token::run(&context, args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn config_is_taken_before_and_after_the_subcommand() {
        for line in
            [["fleet-scaler", "--config", "here", "status"], ["fleet-scaler", "status", "--config", "here"]]
        {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.global.config, PathBuf::from("here"));
        }
    }
}
