//! `serve`: the service.
//!
//! It starts with whatever is missing and says so: the pages answer from the first moment, `/readyz` names what is
//! waited for, and the loop (and with it the first call to a cloud) begins only once the database is there and its
//! schema fits. A supervisor therefore sees a service that waits, not one that crashes over and over.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cli::context::Context;
use crate::cli::exit::{FAILED, Usage, sentence};
use crate::cli::traces::Traces;
use crate::cli::wiring::{self, Cloud, Database, Memory};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Configuration;
use crate::entropy::ChaChaEntropy;
use crate::http::access::{Door, Keeper};
use crate::http::api::Api;
use crate::http::metrics::MetricsPage;
use crate::http::tls::Identity;
use crate::http::{self, Pages, Startup};
use crate::provider::CloudProvider;
use crate::reconcile::control::Control;
use crate::reconcile::driver;
use crate::reconcile::health::Health;
use crate::store::StoreError;

/// The first wait between two attempts to reach the database; it doubles…
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// …up to this.
const RETRY_LAST: Duration = Duration::from_secs(5);
/// Requests that are open when the loop has ended may finish for so long.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// The loop gives itself `shutdown_grace`; if it outlives that by so much, it is left behind.
const BEYOND_GRACE: Duration = Duration::from_secs(5);

/// `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Leave the schema as it is; until `migrate` has brought it up to date, the service is not ready
    #[arg(long)]
    no_migrate: bool,
}

/// Runs it until SIGTERM or SIGINT.
pub(crate) async fn run(context: &Context, args: &ServeArgs, traces: Option<Traces>) -> anyhow::Result<()> {
    let configuration = context.configuration()?;
    let grace = configuration.service.shutdown_grace;
    let listen = configuration.service.http.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("{listen} cannot be listened on: is another one running? Change http.listen or stop it")
    })?;
    let service = Service::new(context.dir.clone(), configuration)?;
    let mut wishes = Wishes::listen(&service)?;
    tracing::info!(address = %listener.local_addr().unwrap_or(listen), "listening");
    let result = tokio::select! {
        result = service.serve(listener, !args.no_migrate) => result,
        never = wishes.obey() => match never {},
    };
    if let Some(traces) = traces {
        let left = grace.saturating_sub(wishes.stopping_for());
        tokio::select! {
            () = traces.finish(left) => {}
            never = wishes.obey() => match never {},
        }
    }
    result
}

/// The pages and the loop of one process.
pub(crate) struct Service {
    configuration: Configuration,
    dir: PathBuf,
    given: Option<Arc<dyn CloudProvider>>,
    metrics: MetricsPage,
    startup: Arc<Startup>,
    health: Arc<Health>,
    control: Arc<Control>,
    api: Arc<Api>,
    identity: Option<Arc<Identity>>,
    reload: Arc<Notify>,
    stop: CancellationToken,
}

impl Service {
    /// Puts it together; `dir` is where its configuration was read from, and is watched. Once a process: the metrics
    /// are the process's.
    pub(crate) fn new(dir: PathBuf, configuration: Configuration) -> anyhow::Result<Self> {
        let metrics = MetricsPage::install().context("the metrics recorder could not be set up")?;
        let clock = Arc::new(SystemClock);
        let startup = Arc::new(Startup::waiting("the database was not asked yet"));
        let control = Arc::new(Control::new(configuration.clone()));
        let keeper = configuration.service.http.tokens_file.clone().map(Keeper::open).transpose()?;
        let tls = configuration.service.http.tls.clone();
        let identity = tls.map(|files| Identity::open(files.certificate, files.key)).transpose();
        let identity = identity.map_err(|error| Usage(error.to_string()))?.map(Arc::new);
        let stop = CancellationToken::new();
        let api = Api::new(
            startup.clone(),
            control.clone(),
            clock.clone(),
            Arc::new(ChaChaEntropy::from_os()),
            Door::new(clock.clone(), keeper),
            stop.clone(),
        );
        Ok(Self {
            configuration,
            dir,
            given: None,
            metrics,
            startup,
            health: Arc::new(Health::new(clock)),
            control,
            api: Arc::new(api),
            identity,
            reload: Arc::new(Notify::new()),
            stop,
        })
    }

    /// On a cloud that is there already, whatever the configuration says.
    #[cfg(not(feature = "aws"))]
    pub(crate) fn on(self, cloud: Arc<dyn CloudProvider>) -> Self {
        Self { given: Some(cloud), ..self }
    }

    /// Cancelled, it finishes what is in flight within `shutdown_grace` and ends.
    #[cfg(not(feature = "aws"))]
    pub(crate) fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// The pages and the work beside each other; the pages outlive the work by a moment.
    pub(crate) async fn serve(&self, listener: TcpListener, migrate: bool) -> anyhow::Result<()> {
        let (startup, health, api) = (self.startup.clone(), self.health.clone(), self.api.clone());
        let (metrics, identity) = (self.metrics.clone(), self.identity.clone());
        let pages = Pages { startup, health, metrics, api, identity };
        let close_pages = CancellationToken::new();
        let mut pages = pin!(http::serve(listener, pages, close_pages.clone()));
        let mut work = pin!(self.work(migrate));
        let result = tokio::select! {
            result = &mut work => result,
            ended = &mut pages => {
                self.stop.cancel();
                let worked = work.await;
                return worked.and(ended.context("the HTTP server ended"));
            }
        };
        close_pages.cancel();
        let _ = tokio::time::timeout(LAST_ANSWERS, pages).await;
        tracing::info!("stopped");
        result
    }

    async fn work(&self, migrate: bool) -> anyhow::Result<()> {
        let Some(database) = self.until_stopped(wiring::database(&self.configuration)).await else {
            return Ok(());
        };
        let database = database?;
        let Some(memory) = self.until_stopped(Box::pin(self.remember(&database, migrate))).await else {
            database.close().await;
            return Ok(());
        };
        let result = match memory {
            Ok(memory) => self.loop_with(&memory).await,
            Err(error) => Err(error),
        };
        database.close().await;
        result
    }

    async fn loop_with(&self, memory: &Memory) -> anyhow::Result<()> {
        let cloud = match self.given.clone() {
            Some(cloud) => Cloud::given(cloud),
            None => wiring::cloud(&self.configuration).await?,
        };
        let parts = wiring::parts(cloud.provider.clone(), memory.store.clone())?;
        self.api.serve(memory.store.clone(), parts.replica.clone());
        tracing::info!(replica = %parts.replica, fleets = self.configuration.fleets.len(), "the loop starts");
        self.startup.done();
        let grace = self.configuration.service.shutdown_grace + BEYOND_GRACE;
        let mut driver = pin!(driver::run(
            parts,
            self.control.clone(),
            self.dir.clone(),
            self.health.clone(),
            self.reload.clone(),
            self.stop.clone(),
        ));
        tokio::select! {
            () = &mut driver => return Ok(()),
            () = self.stop.cancelled() => self.startup.wait_for("the service is stopping"),
        }
        if tokio::time::timeout(grace, driver).await.is_err() {
            tracing::warn!(
                "the loop did not end within its grace; what is in flight is found again at the next start"
            );
        }
        Ok(())
    }

    /// Reaches the database and sees that its schema fits, however long that takes.
    async fn remember(&self, database: &Database, migrate: bool) -> anyhow::Result<Memory> {
        let mut wait = RETRY_FIRST;
        loop {
            let error = match wiring::prepare(database, migrate).await {
                Ok(memory) => return Ok(memory),
                Err(error) => error,
            };
            if !worth_waiting_for(&error, migrate) {
                return Err(error.into());
            }
            let reason = sentence(&error.into());
            self.startup.wait_for(reason.clone());
            tracing::warn!(%reason, again_in = ?wait, "the service waits for its database");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_LAST);
        }
    }

    async fn until_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = self.stop.cancelled() => None,
            done = work => Some(done),
        }
    }
}

/// A database that is away comes back; a schema that somebody else migrates gets there. Anything else stays as it is.
fn worth_waiting_for(error: &StoreError, migrate: bool) -> bool {
    match error {
        StoreError::Unavailable(_) => true,
        StoreError::Schema(_) => !migrate,
        StoreError::Fenced { .. } | StoreError::Conflict(_) | StoreError::Refused(_) => false,
    }
}

/// What the operating system asks of the process.
struct Wishes {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    stop: CancellationToken,
    /// When the end was asked for.
    stopping_since: Option<Duration>,
    reload: Arc<Notify>,
}

impl Wishes {
    fn listen(service: &Service) -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("signals cannot be listened for");
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hang_up: on(SignalKind::hangup())?,
            stop: service.stop.clone(),
            stopping_since: None,
            reload: service.reload.clone(),
        })
    }

    async fn obey(&mut self) -> std::convert::Infallible {
        loop {
            tokio::select! {
                _ = self.hang_up.recv() => {
                    tracing::info!("SIGHUP: the configuration is read again");
                    self.reload.notify_one();
                }
                _ = self.terminate.recv() => self.end("SIGTERM"),
                _ = self.interrupt.recv() => self.end("SIGINT"),
            }
        }
    }

    /// How long ago the end was asked for.
    fn stopping_for(&self) -> Duration {
        self.stopping_since.map_or(Duration::ZERO, |since| SystemClock.elapsed().saturating_sub(since))
    }

    fn end(&mut self, name: &str) {
        if self.stop.is_cancelled() {
            tracing::warn!("{name} again: ending at once; the next start finds what was in flight");
            std::process::exit(i32::from(FAILED));
        }
        tracing::info!("{name}: stopping; once more ends at once");
        self.stopping_since = Some(SystemClock.elapsed());
        self.stop.cancel();
    }
}
