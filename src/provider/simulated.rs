//! A model of EC2 and ELBv2 with AWS's real semantics, behind two doors.
//!
//! Ready-made doubles of AWS answer, but they answer like no AWS there is: a token launches twice, instances run and serve
//! at once, a deregistered target is gone at once, nothing is ever short, late or lost. What this program is for happens in
//! just those gaps. So the gaps are modelled here: the table of tokens with its zones, lags and tails, draining for all of
//! the delay, refusals with AWS's codes and statuses, answers that get lost after the work is done.
//!
//! ```text
//!   the service, in this process ──► CloudProvider ─┐
//!                                                   ├─► call (faults, throttle, journal) ─► Model
//!   the real SDK, the AWS CLI, curl ──► HTTP front ─┘                                        │
//!   a scraper ──► http://127.16…:9100/metrics ◄──── one page a running host ◄────────────────┘
//! ```
//!
//! The [`model`] is a state machine without clock, socket or thread. Everything that waits is in `call` and below it.

mod call;
mod connection;
mod door;
pub mod model;
pub mod options;
mod pages;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::Clock;
use crate::config::service::SimulatedConfig;
use crate::provider::simulated::call::{Shared, Turn};
use crate::provider::simulated::connection::CutListener;
use crate::provider::simulated::model::Model;
use crate::provider::simulated::model::api::ApiError;
use crate::provider::simulated::model::faults::Fault;
use crate::provider::simulated::model::faults::active::ActiveFault;
use crate::provider::simulated::options::CloudOptions;
use crate::provider::simulated::options::load::LoadError;

/// The model as a [`CloudProvider`](crate::provider::CloudProvider).
pub struct SimulatedCloud {
    shared: Arc<Shared>,
}

/// Why a simulated cloud could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The load makes no sense.
    #[error("the load of the simulated cloud cannot be used")]
    Load(#[from] LoadError),
    /// The address is not to be had.
    #[error("the simulated cloud cannot listen at {address}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// A running cloud: dropped, it stops.
pub struct CloudHandle {
    /// Where EC2 and ELBv2 are spoken; `None`: no such door was asked for.
    pub addr: Option<SocketAddr>,
    /// The other door.
    pub cloud: Arc<SimulatedCloud>,
    tasks: JoinSet<()>,
    _stop: DropGuard,
}

impl CloudHandle {
    /// Waits until the cloud was told to stop, and has stopped.
    pub async fn stopped(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

impl SimulatedCloud {
    /// Starts a cloud: its hosts' pages, and its HTTP front where the options have an address for one. It ends with `stop`,
    /// or when the handle is dropped.
    pub async fn start(
        options: CloudOptions,
        clock: Arc<dyn Clock>,
        stop: &CancellationToken,
    ) -> Result<CloudHandle, StartError> {
        let load = options.load.resolve()?;
        let stop = stop.child_token();
        let (listen, host_port) = (options.listen, options.host_port);
        let now = clock.now();
        let shared = Arc::new(Shared::new(Model::new(options, &load, now), clock, stop.clone(), Turn::Own));
        let mut tasks = JoinSet::new();
        let addr = match listen {
            None => None,
            Some(address) => {
                let failed = |source| StartError::Listen { address, source };
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let bound = listener.local_addr().map_err(failed)?;
                if !bound.ip().is_loopback() {
                    tracing::warn!(address = %bound, "whoever reaches this address can do anything to this cloud");
                }
                tasks.spawn(wire::serve(CutListener(listener), Arc::clone(&shared), stop.clone()));
                Some(bound)
            }
        };
        tasks.spawn(pages::serve(host_port, Arc::clone(&shared), stop.clone()));
        Ok(CloudHandle { addr, cloud: Arc::new(Self { shared }), tasks, _stop: stop.drop_guard() })
    }

    /// A cloud with the trait's door only: no pages, no front, no task and no runtime. Every call is worked on in its
    /// caller's turn, so that whoever polls the callers, one at a time, decides everything that happens.
    pub fn stepped(options: CloudOptions, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let load = options.load.resolve()?;
        let model = Model::new(options, &load, clock.now());
        Ok(Self { shared: Arc::new(Shared::new(model, clock, CancellationToken::new(), Turn::Callers)) })
    }

    /// Looks at the model, or changes it, as it is now.
    pub fn with_model<T>(&self, look: impl FnOnce(&mut Model) -> T) -> T {
        let seen = self.shared.with(look);
        self.shared.tell_held_calls();
        seen
    }

    /// Puts a fault in force, or applies it. Gives its number.
    pub fn set_fault(&self, fault: Fault) -> Result<u64, ApiError> {
        self.with_model(|model| model.set_fault(fault))
    }

    /// Takes a fault away. Calls that it holds go on.
    pub fn clear_fault(&self, id: u64) -> Result<ActiveFault, ApiError> {
        self.with_model(|model| model.clear_fault(id))
    }

    /// Takes every fault away.
    pub fn clear_faults(&self) -> Vec<ActiveFault> {
        self.with_model(Model::clear_faults)
    }
}

/// Runs a cloud until `stop`.
pub async fn serve(
    options: CloudOptions,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), StartError> {
    SimulatedCloud::start(options, clock, &stop).await?.stopped().await;
    Ok(())
}

impl From<&SimulatedConfig> for CloudOptions {
    fn from(config: &SimulatedConfig) -> Self {
        Self::default().with_seed(config.seed)
    }
}
