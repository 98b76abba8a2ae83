//! From a configuration to the parts that the loop and the commands are made of: the one place that knows which
//! implementation stands behind which contract.

use std::process;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::cli::context::{environment, hostname};
use crate::clock::SystemClock;
use crate::config::Configuration;
use crate::config::service::{AwsConfig, DatabaseSource, ProviderConfig, SecretUrl};
use crate::domain::ids::ReplicaId;
use crate::entropy::{ChaChaEntropy, Entropy};
use crate::provider::CloudProvider;
use crate::provider::paced::Paced;
use crate::provider::simulated::options::CloudOptions;
use crate::provider::simulated::{CloudHandle, SimulatedCloud};
use crate::reconcile::Parts;
use crate::signals::live::LiveSignals;
use crate::store::embedded::{Durability, Embedded, Shutdown};
use crate::store::postgres::{ChainReport, PostgresStore};
use crate::store::{Store, StoreError};

/// Connections of a command that is over in a moment.
const FEW: u32 = 2;
/// A call waits at most so long for its turn in the call budget; then it counts as not sent.
const TURN_PATIENCE: Duration = Duration::from_secs(5);

/// A Postgres to connect to, and the private one behind it where it is ours.
pub(crate) struct Database {
    url: SecretUrl,
    max_connections: u32,
    embedded: Option<Embedded>,
}

impl Database {
    /// Stops the private Postgres, where there is one.
    pub(crate) async fn close(self) {
        let Some(embedded) = self.embedded else { return };
        if let Err(error) = embedded.stop(Shutdown::Fast).await {
            tracing::warn!(%error, "the private Postgres did not stop as it should");
        }
    }
}

/// A connected store whose schema fits.
pub(crate) struct Memory {
    /// The store.
    pub(crate) store: Arc<PostgresStore>,
    database: Option<Database>,
}

impl Memory {
    /// The store, by its contract.
    pub(crate) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Lets go of the database.
    pub(crate) async fn close(self) {
        self.store.close().await;
        if let Some(database) = self.database {
            database.close().await;
        }
    }
}

/// Finds the database, and starts it where it is ours. Connects to nothing yet.
pub(crate) async fn database(configuration: &Configuration) -> anyhow::Result<Database> {
    let config = &configuration.service.database;
    let (url, embedded) = match &config.source {
        DatabaseSource::Url(url) => (url.clone(), None),
        DatabaseSource::Embedded { data_dir } => {
            let embedded = Embedded::start(data_dir, Durability::Durable).await.with_context(|| {
                format!("the private Postgres under {} could not be started", data_dir.display())
            })?;
            (embedded.url(), Some(embedded))
        }
    };
    Ok(Database { url, max_connections: config.max_connections, embedded })
}

/// Brings the schema up to date; gives the versions that were applied.
pub(crate) async fn migrate(database: &Database) -> Result<Vec<i64>, StoreError> {
    PostgresStore::migrate(&database.url).await
}

/// Checks every audit chain.
pub(crate) async fn verify_audit(database: &Database) -> Result<Vec<ChainReport>, StoreError> {
    let store = connect(database, FEW).await?;
    let reports = store.verify_audit().await;
    store.close().await;
    reports
}

/// Connects, migrates first if wanted, and sees that the schema fits.
pub(crate) async fn prepare(database: &Database, migrate_first: bool) -> Result<Memory, StoreError> {
    if migrate_first {
        migrate(database).await?;
    }
    let store = connect(database, database.max_connections).await?;
    Ok(Memory { store, database: None })
}

/// The store for one command.
pub(crate) async fn open(configuration: &Configuration) -> anyhow::Result<Memory> {
    let database = database(configuration).await?;
    match connect(&database, FEW).await {
        Ok(store) => Ok(Memory { store, database: Some(database) }),
        Err(error) => {
            database.close().await;
            Err(error.into())
        }
    }
}

async fn connect(database: &Database, connections: u32) -> Result<Arc<PostgresStore>, StoreError> {
    let store = PostgresStore::connect(&database.url, connections.min(database.max_connections))?;
    store.schema_check().await?;
    Ok(Arc::new(store))
}

/// A cloud, and what keeps it alive where it runs in this process.
pub(crate) struct Cloud {
    /// The cloud.
    pub(crate) provider: Arc<dyn CloudProvider>,
    _simulated: Option<CloudHandle>,
}

impl Cloud {
    /// One that somebody else keeps alive.
    pub(crate) fn given(provider: Arc<dyn CloudProvider>) -> Self {
        Self { provider, _simulated: None }
    }
}

/// The configured cloud.
pub(crate) async fn cloud(configuration: &Configuration) -> anyhow::Result<Cloud> {
    let (provider, simulated): (Arc<dyn CloudProvider>, _) = match &configuration.service.provider {
        ProviderConfig::Aws(config) => (aws(config).await?, None),
        ProviderConfig::Simulated(config) => {
            let options = CloudOptions::from(config);
            let handle =
                SimulatedCloud::start(options, Arc::new(SystemClock), &CancellationToken::new()).await?;
            (handle.cloud.clone(), Some(handle))
        }
    };
    Ok(Cloud { provider, _simulated: simulated })
}

#[cfg(feature = "aws")]
async fn aws(config: &AwsConfig) -> anyhow::Result<Arc<dyn CloudProvider>> {
    Ok(Arc::new(crate::provider::aws::AwsProvider::connect(config).await?))
}

#[cfg(not(feature = "aws"))]
async fn aws(config: &AwsConfig) -> anyhow::Result<Arc<dyn CloudProvider>> {
    let sentence = format!(
        "the configuration names AWS ({}), and this program was built without it (--no-default-features): build it \
         with its default features, or use [provider.simulated]",
        config.region
    );
    std::future::ready(Err(crate::cli::exit::Usage(sentence).into())).await
}

/// Everything the loop is made of, with the call budget in front of the cloud.
pub(crate) fn parts(cloud: Arc<dyn CloudProvider>, store: Arc<dyn Store>) -> anyhow::Result<Parts> {
    let entropy: Arc<dyn Entropy> = Arc::new(ChaChaEntropy::from_os());
    let clock = Arc::new(SystemClock);
    Ok(Parts {
        replica: replica(entropy.as_ref()),
        cloud: Arc::new(Paced::new(cloud, clock.clone(), TURN_PATIENCE)),
        clock,
        entropy,
        signals: Arc::new(LiveSignals::new()?),
        store,
    })
}

/// Who this process is: told apart from any other, also from the one before it on this machine.
fn replica(entropy: &dyn Entropy) -> ReplicaId {
    let name = environment("FLEET_SCALER_REPLICA")
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("{}-{}", hostname(&environment), process::id()));
    // The name alone may be the same after a restart, and a fence must tell the two processes apart.
    let random = entropy.uuid().simple().to_string();
    ReplicaId::new(format!("{name}-{}", &random[..8]))
}
