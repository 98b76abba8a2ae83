//! The tokens file: who may ask the HTTP API for what, and until when.
//!
//! A token is 256 random bits, so a plain SHA-256 of it is all the hashing it needs: what makes password hashes slow is
//! for secrets that can be guessed. The file never holds a token, and whoever reads it cannot use one.

use std::path::Path;

use chrono::{DateTime, Utc};

use crate::config::files::read_bounded;
use crate::config::reader::text::{Choice, Text, text};
use crate::config::reader::{Section, key};
use crate::config::report::Report;
use crate::config::{ConfigError, ConfigErrors, files, syntax};
use crate::domain::time::Timestamp;

/// Most bytes of the file.
const MOST_BYTES: u64 = 256 * 1024;
/// Most tokens of it.
const MOST_TOKENS: usize = 500;

/// What a token lets its bearer do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Ask.
    Viewer,
    /// Ask and change.
    Operator,
}

impl Scope {
    /// The word that the file has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// One token, without the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConfig {
    /// Who bears it; it stands in the audit trail.
    pub name: String,
    /// What it lets its bearer do.
    pub scope: Scope,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// From then on it is no token any more.
    pub expires_at: Timestamp,
}

/// Reads a tokens file.
pub fn load(file: &Path) -> Result<Vec<TokenConfig>, ConfigErrors> {
    let shown = file.display().to_string();
    let unreadable = |problem: String| {
        let message = format!("{problem}: `fleet-scaler token new` prints what it holds");
        ConfigErrors { errors: vec![files::whole_file(file, "tokens_file", message)] }
    };
    let bytes = read_bounded(file, MOST_BYTES).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable("the file is not UTF-8".to_owned()))?;
    let mut report = Report::new(&shown, &text);
    let document = syntax::parse(&mut report);
    let tokens = document.as_ref().map(|document| {
        let mut section = Section::file(&mut report, Some(document.get_ref()));
        let tokens = section.each(key("token", "A bearer token."), MOST_TOKENS, read_token);
        refuse_twins(&mut section, &tokens);
        section.finish();
        tokens
    });
    let errors: Vec<ConfigError> = report.into_errors();
    match tokens {
        Some(tokens) if errors.is_empty() => Ok(tokens),
        _ => Err(ConfigErrors { errors }),
    }
}

fn read_token(section: &mut Section<'_, '_>) -> Option<TokenConfig> {
    let name = section.required(
        key("name", "Who bears it; it stands in the audit trail.").example("\"grafana\""),
        &text("grafana", "^[A-Za-z0-9._@-]{1,64}$", |text| {
            let fits = (1..=64).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "._@-".contains(c));
            fits.then(|| text.to_owned())
                .ok_or_else(|| "is no name: write 1 to 64 letters, digits and . _ @ -".to_owned())
        }),
    );
    let scope = section.required(
        key("scope", "What it lets its bearer do.").example("\"viewer\""),
        &Choice(&[("viewer", Scope::Viewer), ("operator", Scope::Operator)]),
    );
    let sha256 = section.required(
        key("sha256", "SHA-256 of the token, in hex.").example("\"9f86d081…\""),
        &Text::shown(
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "^[0-9a-f]{64}$",
            parse_sha256,
            |_| "…".to_owned(),
        ),
    );
    let expires_at = section.required(
        key("expires_at", "From then on it is no token any more: RFC 3339.")
            .example("\"2027-01-31T00:00:00Z\""),
        &text("2027-01-31T00:00:00Z", "^\\d{4}-\\d{2}-\\d{2}T.+$", |text| {
            DateTime::parse_from_rfc3339(text)
                .map(|at| at.with_timezone(&Utc))
                .map_err(|_| "is no moment: write it as \"2027-01-31T00:00:00Z\"".to_owned())
        }),
    );
    Some(TokenConfig {
        name: name?.value,
        scope: scope?.value,
        sha256: sha256?.value,
        expires_at: expires_at?.value,
    })
}

fn parse_sha256(text: &str) -> Result<[u8; 32], String> {
    let remedy = || "is no SHA-256: write its 64 digits in hex, in lower case".to_owned();
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if text.len() != 64 || !text.chars().all(is_hex) {
        return Err(remedy());
    }
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(|_| remedy())?;
    }
    Ok(bytes)
}

/// Two tokens of one name would be one in the audit trail.
fn refuse_twins(section: &mut Section<'_, '_>, tokens: &[TokenConfig]) {
    let mut names: Vec<&str> = tokens.iter().map(|token| token.name.as_str()).collect();
    names.sort_unstable();
    if let Some(name) = names.windows(2).find(|pair| pair[0] == pair[1]).and_then(|pair| pair.first()) {
        section.refuse("token", &format!("two tokens have the name {name:?}: give each its own"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn read(text: &str) -> Result<Vec<TokenConfig>, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokens.toml");
        std::fs::write(&file, text).unwrap();
        load(&file).map_err(|errors| errors.to_string())
    }

    fn token(name: &str, scope: &str, hash: &str, expires: &str) -> String {
        format!(
            "[[token]]\nname = \"{name}\"\nscope = \"{scope}\"\nsha256 = \"{hash}\"\nexpires_at = \"{expires}\"\n"
        )
    }

    #[test]
    fn tokens_are_read_as_they_stand() {
        let text = token("grafana", "viewer", HASH, "2027-01-31T01:00:00+01:00")
            + &token("ada", "operator", HASH, "2027-01-31T00:00:00Z");
        let tokens = read(&text).unwrap();
        assert_eq!(tokens[0].name, "grafana");
        assert_eq!((tokens[0].scope, tokens[1].scope), (Scope::Viewer, Scope::Operator));
        assert_eq!((tokens[0].sha256[0], tokens[0].sha256[31]), (0x9f, 0x08));
        assert_eq!(tokens[0].expires_at, tokens[1].expires_at);
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn every_mistake_is_said_with_its_place() {
        let twice = token("ada", "operator", HASH, "2027-01-31T00:00:00Z").repeat(2);
        for (text, said) in [
            (token("a b", "viewer", HASH, "2027-01-31T00:00:00Z"), "is no name"),
            (token("ada", "admin", HASH, "2027-01-31T00:00:00Z"), "\"viewer\", \"operator\""),
            (token("ada", "viewer", &HASH[1..], "2027-01-31T00:00:00Z"), "64 digits"),
            (token("ada", "viewer", HASH, "never"), "is no moment"),
            ("[[token]]\nname = \"ada\"\n".to_owned(), "expires_at"),
            (token("ada", "viewer", HASH, "2027-01-31T00:00:00Z") + "colour = 1\n", "colour"),
            (twice, "two tokens have the name"),
        ] {
            let errors = read(&text).unwrap_err();
            assert!(errors.contains(said) && errors.contains("tokens.toml:"), "{errors}");
        }
    }
}
