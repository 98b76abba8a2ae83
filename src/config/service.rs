//! The service's own settings, checked.

pub(super) mod read;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::ids::OwnerName;

/// `fleet-scaler.toml`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceConfig {
    /// Where Postgres is.
    pub database: DatabaseConfig,
    /// Where to listen.
    pub http: HttpConfig,
    /// This deployment's identity: the value of the ownership tag.
    pub owner: OwnerName,
    /// How long a stop may take.
    pub shutdown_grace: Duration,
    /// How long a replica may hold a fleet without renewing.
    pub lease: Duration,
    /// Which cloud.
    pub provider: ProviderConfig,
}

/// Where Postgres is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// How to reach it.
    pub source: DatabaseSource,
    /// Connections at most.
    pub max_connections: u32,
}

/// How Postgres is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseSource {
    /// At a URL.
    Url(SecretUrl),
    /// A private Postgres, started from the installed binaries, its data under this folder.
    Embedded {
        /// The folder.
        data_dir: PathBuf,
    },
}

/// A URL that may hold a password: it never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Wraps a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL, password and all: for the one place that connects.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretUrl(…)")
    }
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// The address.
    pub listen: SocketAddr,
    /// Hashed bearer tokens; off loopback the service refuses to start without them.
    pub tokens_file: Option<PathBuf>,
    /// The certificate and its key; `None`: the service speaks without TLS.
    pub tls: Option<TlsFiles>,
}

/// Where the service's certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate in PEM, the server's first.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
}

/// Which cloud.
#[derive(Clone, Debug, PartialEq)]
pub enum ProviderConfig {
    /// EC2 and ELBv2.
    Aws(AwsConfig),
    /// The model in this process.
    Simulated(SimulatedConfig),
}

/// How AWS is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsConfig {
    /// The region.
    pub region: String,
    /// EC2 and ELBv2 at another endpoint.
    pub endpoint_url: Option<String>,
    /// One attempt of one call; the call is given up, never the loop.
    pub call_timeout: Duration,
}

/// How the model is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedConfig {
    /// Its seed.
    pub seed: u64,
}
