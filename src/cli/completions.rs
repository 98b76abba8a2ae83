//! `completions`: what the shell needs to finish a half-typed command.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::{Cli, output};

/// `completions SHELL`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs it.
pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    // Into memory first: the generator panics where its writer fails, and a pipe's reader may be gone.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fleet-scaler", &mut script);
    output::line(String::from_utf8(script)?.trim_end())
}
