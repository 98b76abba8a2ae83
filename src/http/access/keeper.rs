//! The tokens in force: looked up in constant time, and read again when their file changes.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::config::ConfigErrors;
use crate::config::tokens::{self, Scope, TokenConfig};
use crate::domain::time::Timestamp;
use crate::http::mark::Mark;

/// The tokens in force.
pub struct Keeper {
    file: PathBuf,
    state: RwLock<State>,
}

struct State {
    tokens: Arc<Vec<TokenConfig>>,
    /// What the file looked like when it was read.
    seen: Option<Mark>,
}

/// What is known of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is good for this.
    Token(String, Scope),
    /// It was.
    Expired(String),
    /// It is none of ours.
    Unknown,
    /// None was shown.
    None,
}

impl Keeper {
    /// Reads the tokens file.
    pub fn open(file: PathBuf) -> Result<Self, ConfigErrors> {
        let seen = Mark::of(&file);
        let tokens = Arc::new(tokens::load(&file)?);
        Ok(Self { file, state: RwLock::new(State { tokens, seen }) })
    }

    /// Reads the file again if it has changed. One that is wrong changes nothing: the tokens before it stay good.
    pub(super) fn refresh(&self) {
        let seen = Mark::of(&self.file);
        if self.state.read().unwrap_or_else(PoisonError::into_inner).seen == seen {
            return;
        }
        let loaded = tokens::load(&self.file);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // Also where it was not accepted: its mistakes are said once.
        state.seen = seen;
        match loaded {
            Ok(tokens) => {
                tracing::info!(tokens = tokens.len(), "the tokens file was read again");
                state.tokens = Arc::new(tokens);
            }
            Err(errors) => {
                tracing::error!(%errors, "the tokens file is not right; the last good one stays in force");
            }
        }
    }

    /// What is known of a token. Every hash is compared, all of each, so how long it takes says nothing about them.
    pub(super) fn find(&self, token: &str, now: Timestamp) -> Found {
        let tokens = Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).tokens);
        let hash = Sha256::digest(token.as_bytes());
        let mut found = Found::Unknown;
        for known in tokens.iter() {
            if bool::from(known.sha256.as_slice().ct_eq(hash.as_slice())) {
                found = if now < known.expires_at {
                    Found::Token(known.name.clone(), known.scope)
                } else {
                    Found::Expired(known.name.clone())
                };
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(file: &std::path::Path, tokens: &[(&str, &str, &str, &str)]) {
        let one = |(name, scope, token, expires): &(&str, &str, &str, &str)| {
            let hash = crate::view::words::hex(&Sha256::digest(token));
            format!(
                "[[token]]\nname = \"{name}\"\nscope = \"{scope}\"\nsha256 = \"{hash}\"\nexpires_at = \"{expires}\"\n"
            )
        };
        // A new file under the old name, as editors write it: another inode, whatever the clock's grain.
        let fresh = file.with_extension("new");
        std::fs::write(&fresh, tokens.iter().map(one).collect::<String>()).unwrap();
        std::fs::rename(&fresh, file).unwrap();
    }

    #[test]
    fn a_token_is_good_for_its_scope_until_it_expires_or_is_taken_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokens.toml");
        let now: Timestamp = "2026-11-27T00:00:00Z".parse().unwrap();
        write(
            &file,
            &[
                ("a", "viewer", "one", "2027-01-01T00:00:00Z"),
                ("b", "operator", "two", "2026-11-27T00:00:00Z"),
            ],
        );
        let keeper = Keeper::open(file.clone()).unwrap();
        assert_eq!(keeper.find("one", now), Found::Token("a".into(), Scope::Viewer));
        assert_eq!(keeper.find("two", now), Found::Expired("b".into()));
        assert_eq!(keeper.find("three", now), Found::Unknown);

        write(&file, &[("b", "operator", "two", "2027-01-01T00:00:00Z")]);
        keeper.refresh();
        assert_eq!(keeper.find("one", now), Found::Unknown, "it was taken out");
        assert_eq!(keeper.find("two", now), Found::Token("b".into(), Scope::Operator));

        std::fs::write(&file, "[[token]]\nname = 7\n").unwrap();
        keeper.refresh();
        assert_eq!(
            keeper.find("two", now),
            Found::Token("b".into(), Scope::Operator),
            "the last good ones stay"
        );
    }
}
