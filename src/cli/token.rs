//! `token new`: make a bearer token for the HTTP API.
//!
//! The token is shown once, here, and kept nowhere: the file that the service reads holds its SHA-256 alone. It is 256
//! random bits, so nobody finds it from the hash, however fast they can compute one.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::cli::context::Context;
use crate::cli::output::room::Room;
use crate::cli::output::{self, Report};
use crate::clock::{Clock as _, SystemClock};
use crate::config::tokens::Scope;
use crate::domain::time::{Timestamp, after};
use crate::entropy::{ChaChaEntropy, Entropy};
use crate::view::words::{hex, parse_span};

/// Tokens start so, for whoever finds one where it should not be.
const PREFIX: &str = "fs_";

/// `token`.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token, and print it with what the tokens file is to hold of it
    New(NewArgs),
}

/// `token new`.
#[derive(Debug, Args)]
struct NewArgs {
    /// Who bears it: letters, digits and . _ @ -; it stands in the audit trail
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: String,
    /// What it lets its bearer do
    #[arg(long, value_enum)]
    scope: Which,
    /// How long it is good (90d, 8h)
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    expires: Duration,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    /// Ask
    Viewer,
    /// Ask and change
    Operator,
}

fn parse_name(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._@-".contains(c));
    fits.then(|| text.to_owned()).ok_or_else(|| "write 1 to 64 letters, digits and . _ @ -".to_owned())
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &TokenArgs) -> anyhow::Result<()> {
    let TokenCommand::New(args) = &args.command;
    let scope = match args.scope {
        Which::Viewer => Scope::Viewer,
        Which::Operator => Scope::Operator,
    };
    let expires_at = after(SystemClock.now(), args.expires);
    output::print(context.format, &NewToken::make(&ChaChaEntropy::from_os(), &args.name, scope, expires_at))
}

/// A token that nobody knows yet.
#[derive(Debug, Serialize)]
struct NewToken {
    token: String,
    name: String,
    scope: &'static str,
    sha256: String,
    expires_at: String,
}

impl NewToken {
    fn make(entropy: &dyn Entropy, name: &str, scope: Scope, expires_at: Timestamp) -> Self {
        // An id has 122 random bits; three of them make more than the 256 that are kept.
        let random: Vec<u8> = (0..3).flat_map(|_| entropy.uuid().into_bytes()).collect();
        let token = format!("{PREFIX}{}", hex(&Sha256::digest(&random)));
        Self {
            sha256: hex(&Sha256::digest(&token)),
            token,
            name: name.to_owned(),
            scope: scope.as_str(),
            expires_at: expires_at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }
    }
}

impl Report for NewToken {
    fn table(&self, _room: Room) -> String {
        format!(
            "The token, shown this once:\n\n  {}\n\nFor the tokens file:\n\n[[token]]\nname = \"{}\"\nscope = \"{}\"\n\
             sha256 = \"{}\"\nexpires_at = \"{}\"",
            self.token, self.name, self.scope, self.sha256, self.expires_at
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_no_two_are_the_same() {
        let entropy = ChaChaEntropy::seeded(1);
        let make = || NewToken::make(&entropy, "ada", Scope::Viewer, chrono::DateTime::UNIX_EPOCH);
        let (one, two) = (make(), make());
        assert_eq!((one.token.len(), one.sha256.len()), (PREFIX.len() + 64, 64));
        assert!(one.token != two.token && one.sha256 != two.sha256);
        assert_eq!(one.sha256, hex(&Sha256::digest(&one.token)));
    }
}
