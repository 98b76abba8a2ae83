//! Reads `fleet-scaler.toml`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::config::files::read_bounded;
use crate::config::reader::numbers::{count, span, whole};
use crate::config::reader::text::{Text, parse_http_url, text};
use crate::config::reader::{At, Section, key};
use crate::config::service::{
    AwsConfig, DatabaseConfig, DatabaseSource, HttpConfig, ProviderConfig, SecretUrl, ServiceConfig,
    SimulatedConfig, TlsFiles,
};
use crate::config::tokens;
use crate::domain::ids::OwnerName;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Most bytes of a file that holds nothing but a URL.
const MOST_URL_BYTES: u64 = 8 * 1024;

/// What the reading of the service's file needs beside the file.
pub(in crate::config) struct Surroundings<'a> {
    /// The folder that the file is in; relative names of other files start there.
    pub(in crate::config) dir: &'a Path,
    /// What `DATABASE_URL` says, if it says anything; it is checked already.
    pub(in crate::config) database: Option<DatabaseWord>,
}

/// How a URL, a URL's file or `DATABASE_URL` names the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum DatabaseWord {
    /// `embedded`.
    Embedded,
    /// A Postgres URL.
    Url(SecretUrl),
}

/// Reads the whole file.
pub(in crate::config) fn read(
    file: &mut Section<'_, '_>,
    surroundings: &Surroundings<'_>,
) -> Option<ServiceConfig> {
    let database =
        file.table(key("database", "Where Postgres is."), |section| read_database(section, surroundings));
    let http =
        file.table(key("http", "Where the service listens."), |section| read_http(section, surroundings.dir));
    let (owner, shutdown_grace, lease) =
        file.table(key("service", "This deployment of the service."), read_identity);
    let provider = file.table(key("provider", "Which cloud: exactly one table below it."), read_provider);
    Some(ServiceConfig {
        database: database?,
        http,
        owner: owner?,
        shutdown_grace,
        lease,
        provider: provider?,
    })
}

fn read_database(section: &mut Section<'_, '_>, surroundings: &Surroundings<'_>) -> Option<DatabaseConfig> {
    let url = section.optional(
        key(
            "url",
            "A Postgres URL, or \"embedded\": a private Postgres under data_dir, from the installed binaries. The \
             environment variable DATABASE_URL overrides it.",
        ),
        &Text::shown(
            "postgres://fleet_scaler@localhost/fleet_scaler",
            "^(embedded|postgres(ql)?://.*)$",
            parse_database,
            |_| "…".to_owned(),
        ),
    );
    let url_file = section.optional(
        key("url_file", "A file that holds the URL and nothing else; a relative name starts at this folder."),
        &path_text("/run/credentials/db-url"),
    );
    section.at_most_one(["url", "url_file"]);
    let data_dir = section.or(
        key(
            "data_dir",
            "Where the embedded Postgres keeps its data; a relative name starts where the service is started.",
        ),
        &path_text("data"),
        PathBuf::from("data"),
    );
    let max_connections =
        section.or(key("max_connections", "Connections to Postgres at most."), &count(1, 1_000), 10);
    let word = match (&surroundings.database, url, url_file) {
        (Some(word), _, _) => Some(word.clone()),
        (None, Some(url), _) => Some(url.value),
        (None, None, Some(file)) => read_url_file(section, surroundings.dir, &file),
        (None, None, None) => {
            if !section.has("url") && !section.has("url_file") {
                section.missing(
                    "url",
                    "missing: write `url = \"postgres://user@host/database\"` or `url = \"embedded\"`",
                );
            }
            None
        }
    };
    let source = match word? {
        DatabaseWord::Embedded => DatabaseSource::Embedded { data_dir },
        DatabaseWord::Url(url) => DatabaseSource::Url(url),
    };
    Some(DatabaseConfig { source, max_connections })
}

fn read_url_file(section: &mut Section<'_, '_>, dir: &Path, file: &At<PathBuf>) -> Option<DatabaseWord> {
    let word = read_bounded(&dir.join(&file.value), MOST_URL_BYTES).and_then(|bytes| {
        let text = String::from_utf8(bytes)
            .map_err(|_| "the file is not UTF-8: it holds one Postgres URL".to_owned())?;
        parse_database(text.trim()).map_err(|problem| format!("the file's content {problem}"))
    });
    word.map_err(|problem| section.wrong(file.start, "url_file", problem)).ok()
}

/// Understands how the database is named. What it says is never repeated: it may hold a password.
pub(in crate::config) fn parse_database(text: &str) -> Result<DatabaseWord, String> {
    if text == "embedded" {
        return Ok(DatabaseWord::Embedded);
    }
    let remedy = "write \"postgres://user@host/database\" or \"embedded\"";
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "postgres" | "postgresql") => {
            Ok(DatabaseWord::Url(SecretUrl::new(text)))
        }
        Ok(_) => Err(format!("is not a Postgres URL: {remedy}")),
        Err(error) => Err(format!("is not a URL ({error}): {remedy}")),
    }
}

fn read_http(section: &mut Section<'_, '_>, dir: &Path) -> HttpConfig {
    let listen = section.setting(
        key("listen", "The address and port to listen on. Off loopback it takes a tokens_file."),
        &text("127.0.0.1:8080", "^.+:[0-9]+$", |text| {
            text.parse::<SocketAddr>()
                .map_err(|_| "is not an address and a port in numbers: write \"127.0.0.1:8080\"".to_owned())
        }),
        SocketAddr::from(([127, 0, 0, 1], 8080)),
    );
    let tokens = section.optional(
        key(
            "tokens_file",
            "Hashed bearer tokens with scope viewer or operator; a relative name starts at this folder.",
        ),
        &path_text("tokens.toml"),
    );
    let tls = read_tls(section, dir);
    let tokens_file = tokens.as_ref().map(|file| dir.join(&file.value));
    let open_to_others = !listen.value.ip().is_loopback();
    match (listen.start, tokens) {
        (Some(start), None) if open_to_others && !section.has("tokens_file") => {
            let port = listen.value.port();
            let message = format!(
                "is reachable from other machines, and no tokens protect it: write \"127.0.0.1:{port}\", or name a \
                 `tokens_file`"
            );
            section.wrong(start, "listen", message);
        }
        (_, Some(file)) if open_to_others && !dir.join(&file.value).is_file() => {
            let message = "there is no such file, and `listen` is reachable from other machines: create it, or listen \
                           on 127.0.0.1";
            section.wrong(file.start, "tokens_file", message);
        }
        (_, Some(file)) => check_tokens(section, dir, &file),
        _ => {}
    }
    HttpConfig { listen: listen.value, tokens_file, tls }
}

/// A certificate is of no use without its key, nor the key without it.
fn read_tls(section: &mut Section<'_, '_>, dir: &Path) -> Option<TlsFiles> {
    let certificate = section.optional(
        key(
            "certificate_file",
            "A certificate in PEM, the server's first: with it the service speaks TLS. A relative name starts at this \
             folder.",
        ),
        &path_text("tls/server.pem"),
    );
    let private = section.optional(
        key("key_file", "The certificate's private key in PEM; a relative name starts at this folder."),
        &path_text("tls/server.key"),
    );
    match (&certificate, &private) {
        (Some(given), None) if !section.has("key_file") => {
            section.wrong(
                given.start,
                "certificate_file",
                "stands alone: name its private key as `key_file`",
            );
        }
        (None, Some(given)) if !section.has("certificate_file") => {
            section.wrong(
                given.start,
                "key_file",
                "stands alone: name its certificate as `certificate_file`",
            );
        }
        _ => {}
    }
    Some(TlsFiles { certificate: dir.join(certificate?.value), key: dir.join(private?.value) })
}

/// A tokens file with a mistake in it is a mistake of the configuration; the first one is enough to find the others.
fn check_tokens(section: &mut Section<'_, '_>, dir: &Path, file: &At<PathBuf>) {
    if let Err(errors) = tokens::load(&dir.join(&file.value))
        && let Some(first) = errors.errors.first()
    {
        section.wrong(file.start, "tokens_file", format!("is not right: {first}"));
    }
}

fn read_identity(section: &mut Section<'_, '_>) -> (Option<OwnerName>, Duration, Duration) {
    let owner = section.required(
        key(
            "owner",
            "This deployment's identity: the value of the ownership tag on every instance. One per region and account.",
        )
        .example("\"prod-1\""),
        &text("prod-1", "^[A-Za-z0-9._:/@-]{1,64}$", parse_owner),
    );
    let shutdown_grace =
        section.or(key("shutdown_grace", "How long a stop may take."), &span(SECOND, HOUR), 30 * SECOND);
    let lease = section.or(
        key("lease", "How long a replica may hold a fleet without renewing."),
        &span(SECOND, HOUR),
        15 * SECOND,
    );
    (owner.map(|owner| owner.value), shutdown_grace, lease)
}

fn parse_owner(text: &str) -> Result<OwnerName, String> {
    let fits = (1..=64).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._:/@-".contains(c));
    if fits {
        return Ok(OwnerName::new(text));
    }
    Err("does not fit a tag's value: write 1 to 64 letters, digits and . _ : / @ -, such as \"prod-1\""
        .to_owned())
}

fn read_provider(section: &mut Section<'_, '_>) -> Option<ProviderConfig> {
    let aws = section.table_if_there(key("aws", "EC2 and ELBv2."), read_aws);
    let simulated = section.table_if_there(
        key("simulated", "An in-process cloud with a load curve, for trying things out."),
        |section| {
            let seed = section.or(key("seed", "The seed of its chance."), &whole(0, i64::MAX as u64), 1);
            Some(SimulatedConfig { seed })
        },
    );
    section
        .exactly_one(&["aws", "simulated"], "write a table `[provider.aws]` with `region = \"eu-west-1\"`");
    aws.map(ProviderConfig::Aws).or(simulated.map(ProviderConfig::Simulated))
}

fn read_aws(section: &mut Section<'_, '_>) -> Option<AwsConfig> {
    let region = section.required(
        key("region", "The region.").example("\"eu-west-1\""),
        &text("eu-west-1", "^[a-z0-9-]{1,64}$", |text| {
            let fits = (1..=64).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            fits.then(|| text.to_owned()).ok_or_else(|| "is not a region: write \"eu-west-1\"".to_owned())
        }),
    );
    let endpoint = section.optional(
        key("endpoint_url", "EC2 and ELBv2 at another endpoint: tests, private endpoints."),
        &text("http://127.0.0.1:5000", "^https?://.+$", |text| parse_http_url(text).map(|_| text.to_owned())),
    );
    let call_timeout = section.or(
        key("call_timeout", "The deadline of one attempt of one call."),
        &span(Duration::from_millis(100), 10 * MINUTE),
        20 * SECOND,
    );
    Some(AwsConfig { region: region?.value, endpoint_url: endpoint.map(|url| url.value), call_timeout })
}

/// The name of a file or a folder.
fn path_text(example: &'static str) -> Text<PathBuf> {
    Text::shown(
        example,
        "^[^\\u0000]+$",
        |text| {
            let fits = !text.is_empty() && !text.contains('\0');
            fits.then(|| PathBuf::from(text)).ok_or_else(|| "is not the name of a file: write one".to_owned())
        },
        |path| path.display().to_string(),
    )
}
