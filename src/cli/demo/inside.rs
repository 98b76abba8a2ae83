//! The service in this process: its own pages and loop, and the cloud through the trait. For a build without AWS's SDK.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::context::environment;
use crate::cli::demo::stage::Stage;
use crate::cli::serve;

/// The service stops well within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// The environment, but for what would lead the demo to another database.
fn undisturbed(name: &str) -> Option<String> {
    environment(name).filter(|_| name != "DATABASE_URL")
}

/// The service, as `serve` runs it.
pub(super) struct Service {
    work: Pin<Box<dyn Future<Output = anyhow::Result<()>>>>,
    stop: CancellationToken,
}

impl Service {
    /// How it reaches the cloud.
    pub(super) const DOOR: &'static str = "in this process (built without the AWS SDK; with it, it runs beside, and talks to the cloud over HTTP)";

    /// Starts it.
    pub(super) async fn start(stage: &Stage) -> anyhow::Result<Self> {
        let configuration = crate::config::load(&stage.config, &undisturbed)?;
        let listener = TcpListener::bind(configuration.service.http.listen).await;
        let listener = listener.context("the dashboard's port was taken meanwhile")?;
        let service = serve::Service::new(stage.config.clone(), configuration)?.on(stage.cloud.cloud.clone());
        let stop = service.stop();
        let work = async move { service.serve(listener, true).await };
        Ok(Self { work: Box::pin(work), stop })
    }

    /// Waits for an end that nobody asked for.
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        match self.work.as_mut().await {
            Ok(()) => anyhow!("the service ended by itself"),
            Err(error) => error.context("the service ended by itself"),
        }
    }

    /// Stops it.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.work.as_mut())
            .await
            .with_context(|| format!("the service did not stop within {} s", PATIENCE.as_secs()))?
    }
}
