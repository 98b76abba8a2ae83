//! How a command ends: four exit codes, and the errors that lead to them.
//!
//! A script that calls the program must tell "it was refused" from "it broke" without reading text, so the difference
//! is made by a type at the place that knows, and travels inside the `anyhow` chain.

use std::process::ExitCode;

use crate::cli::output;
use crate::cli::output::text::{BAD, PLAIN, Text};

/// Everything was done.
pub(crate) const DONE: u8 = 0;
/// Something broke: the database, the cloud, the machine.
pub(crate) const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
pub(crate) const USAGE: u8 = 2;
/// A guard refused it; asking again will not help until something changes.
pub(crate) const REFUSED: u8 = 3;

/// The command line or the configuration is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

pub(crate) use crate::view::request::Refused;

/// Everything that is to be said was said already; only the code is left.
#[derive(Debug, thiserror::Error)]
#[error("exit code {0}")]
pub(crate) struct Silent(pub(crate) u8);

/// Says what went wrong on stderr and gives the exit code for it.
pub(crate) fn conclude(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::from(DONE) };
    if is_broken_pipe(&error) {
        return ExitCode::from(DONE);
    }
    if let Some(Silent(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    output::complain(&Text::styled(BAD, "error:").and(PLAIN, format!(" {}", sentence(&error))).paint());
    ExitCode::from(code_of(&error))
}

fn code_of(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() {
        USAGE
    } else if error.is::<Refused>() {
        REFUSED
    } else {
        FAILED
    }
}

/// The reader of a pipe that has seen enough (`| head`) is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
            && error.is::<crate::cli::output::StdoutGone>()
    })
}

/// The error and its causes as one line, without what a cause repeats of the error that it caused.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn the_type_of_an_error_is_its_exit_code() {
        assert_eq!(code_of(&anyhow!("the disk is full")), FAILED);
        assert_eq!(code_of(&Usage("no such fleet".to_owned()).into()), USAGE);
        assert_eq!(code_of(&Refused("above max".to_owned()).into()), REFUSED);
        let wrapped = anyhow::Error::from(Refused("above max".to_owned())).context("web");
        assert_eq!(code_of(&wrapped), REFUSED);
    }

    #[test]
    fn a_sentence_does_not_repeat_its_cause() {
        let cause = anyhow!("connection refused");
        let error = cause.context("the database cannot be reached: connection refused").context("status");
        assert_eq!(sentence(&error), "status: the database cannot be reached: connection refused");
    }
}
