//! One suite for both doors to the simulated cloud: what AWS does, asked through the trait and through AWS's own SDK.
//!
//! The loop is tried against the trait door, and runs in production through the adapter. What was proved through one is
//! worth something at the other only where both say the same: results, order, emptiness, class and code of every failure.
//! So each case is written once, over a [`Subject`], and runs through either door; [`doors`] compares them word for word.
#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod balancer;
mod capacity;
mod doors;
mod ends;
mod lost;
mod reads;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use fleet_scaler::domain::failure::{CloudError, FailureClass};
use fleet_scaler::domain::ids::{InstanceId, OwnerName};
use fleet_scaler::domain::launch::RunRequest;
use fleet_scaler::provider::simulated::options::CloudOptions;
use fleet_scaler::provider::{CloudInstance, CloudProvider, InstanceState, RunReply};
use serde_json::Value;

use crate::aws::connect;
use crate::simulated::{Bench, quiet, request, with_wire};

/// Which way the cloud is asked.
#[derive(Clone, Copy, Debug)]
enum Door {
    /// The model as a provider, in this process.
    Trait,
    /// The provider for AWS, its SDK, HTTP, and the front of the same model.
    Sdk,
}

/// A cloud under test: the model with its clock in hand, and one door to it.
struct Subject {
    bench: Bench,
    cloud: Arc<dyn CloudProvider>,
}

impl Subject {
    /// No pages, no throttle, every span the same each time.
    async fn quiet(door: Door) -> Self {
        Self::start(door, quiet()).await
    }

    async fn start(door: Door, options: CloudOptions) -> Self {
        let timeout = options.call_timeout;
        let bench = Bench::start(with_wire(options)).await;
        let cloud = door_of(&bench, door, timeout).await;
        Self { bench, cloud }
    }

    async fn run(&self, token: &str, subnet: &str, count: u32) -> Result<RunReply, CloudError> {
        self.cloud.run_instances(&request(token, subnet, count)).await
    }

    /// Launches, and gives the ids.
    async fn launch(&self, token: &str, subnet: &str, count: u32) -> Vec<InstanceId> {
        ids(&self.run(token, subnet, count).await.unwrap().instances)
    }

    /// Launches, and waits until the instances run.
    async fn running(&self, token: &str, subnet: &str, count: u32) -> Vec<InstanceId> {
        let ids = self.launch(token, subnet, count).await;
        self.bench.pass(60);
        ids
    }

    async fn shown(&self) -> Vec<CloudInstance> {
        self.cloud.instances(&OwnerName::new("prod-1")).await.unwrap()
    }

    async fn state(&self, id: &InstanceId) -> Option<InstanceState> {
        self.shown().await.into_iter().find(|one| one.id == *id).map(|one| one.state)
    }

    async fn refused(&self, request: &RunRequest) -> (FailureClass, String) {
        told(self.cloud.run_instances(request).await)
    }

    fn fault(&self, fault: &Value) -> u64 {
        self.bench.fault(fault)
    }

    /// How many calls of an operation the cloud has seen.
    fn sent(&self, op: &str) -> usize {
        self.bench.calls(op).len()
    }
}

async fn door_of(bench: &Bench, door: Door, timeout: Duration) -> Arc<dyn CloudProvider> {
    match door {
        Door::Trait => Arc::clone(&bench.handle.cloud) as Arc<dyn CloudProvider>,
        Door::Sdk => {
            let address = bench.handle.addr.unwrap();
            Arc::new(connect(&format!("http://{address}"), timeout).await)
        }
    }
}

fn ids(instances: &[CloudInstance]) -> Vec<InstanceId> {
    instances.iter().map(|one| one.id.clone()).collect()
}

/// What a failure was told as.
fn told<T: std::fmt::Debug>(answer: Result<T, CloudError>) -> (FailureClass, String) {
    let error = answer.unwrap_err();
    (error.class, error.code)
}

fn is(class: FailureClass, code: &str) -> (FailureClass, String) {
    (class, code.to_owned())
}

/// Makes two tests of each case: one a door.
macro_rules! through_both_doors {
    ($($case:ident),* $(,)?) => {
        mod through_the_trait {
            $(#[tokio::test]
            async fn $case() {
                super::$case($crate::cloud_contract::Door::Trait).await;
            })*
        }
        mod through_the_sdk {
            $(#[tokio::test]
            async fn $case() {
                super::$case($crate::cloud_contract::Door::Sdk).await;
            })*
        }
    };
}
use through_both_doors;
