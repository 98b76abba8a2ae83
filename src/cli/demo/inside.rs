//! The service in this process: its own loop, and the cloud through the trait. For a build without AWS's SDK.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cli::context::environment;
use crate::cli::demo::stage::Stage;
use crate::cli::wiring;
use crate::clock::SystemClock;
use crate::reconcile::control::Control;
use crate::reconcile::driver;
use crate::reconcile::health::Health;
use crate::store::postgres::PostgresStore;

/// The service stops well within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// The environment, but for what would lead the demo to another database.
fn undisturbed(name: &str) -> Option<String> {
    environment(name).filter(|_| name != "DATABASE_URL")
}

/// The service's loop.
pub(super) struct Service {
    driver: Pin<Box<dyn Future<Output = ()> + Send>>,
    stop: CancellationToken,
}

impl Service {
    /// How it reaches the cloud.
    pub(super) const DOOR: &'static str = "in this process (built without the AWS SDK; with it, it runs beside, and talks to the cloud over HTTP)";

    /// Starts it.
    pub(super) async fn start(stage: &Stage) -> anyhow::Result<Self> {
        let configuration = crate::config::load(&stage.config, &undisturbed)?;
        let url = stage.database.url();
        PostgresStore::migrate(&url).await.context("the schema could not be made")?;
        let store = Arc::new(PostgresStore::connect(&url, configuration.service.database.max_connections)?);
        let parts = wiring::parts(stage.cloud.cloud.clone(), store)?;
        let stop = CancellationToken::new();
        let driver = driver::run(
            parts,
            Arc::new(Control::new(configuration)),
            stage.config.clone(),
            Arc::new(Health::new(Arc::new(SystemClock))),
            Arc::new(Notify::new()),
            stop.clone(),
        );
        Ok(Self { driver: Box::pin(driver), stop })
    }

    /// Waits for an end that nobody asked for.
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        self.driver.as_mut().await;
        anyhow!("the service's loop ended by itself")
    }

    /// Stops it.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.driver.as_mut())
            .await
            .with_context(|| format!("the service did not stop within {} s", PATIENCE.as_secs()))
    }
}
