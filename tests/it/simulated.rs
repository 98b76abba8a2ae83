//! The simulated cloud: AWS's semantics through the trait, AWS's words over HTTP, its faults, and its hosts' pages.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod faults;
mod pages;
mod seed;
mod verdicts;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use fleet_scaler::clock::Clock;
use fleet_scaler::domain::ids::{ClientToken, InstanceId, OwnerName, Pool, SubnetId, TargetGroupArn, Zone};
use fleet_scaler::domain::launch::{LaunchTemplate, Market, RunRequest, TemplateRef};
use fleet_scaler::domain::tags;
use fleet_scaler::domain::time::{Timestamp, after, since};
use fleet_scaler::provider::simulated::model::faults::Fault;
use fleet_scaler::provider::simulated::options::parts::Span;
use fleet_scaler::provider::simulated::options::{CloudOptions, DEFAULT_TARGET_GROUP, DEFAULT_TEMPLATE};
use fleet_scaler::provider::simulated::{CloudHandle, SimulatedCloud};
use fleet_scaler::provider::{CloudInstance, CloudProvider, InstanceState};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A clock that moves when it is told to.
pub(crate) struct ManualClock(watch::Sender<Timestamp>);

impl ManualClock {
    fn new() -> Self {
        let start: DateTime<Utc> = "1998-06-10T13:00:00Z".parse().unwrap();
        Self(watch::Sender::new(start))
    }

    pub(crate) fn pass(&self, span: Duration) {
        self.0.send_modify(|now| *now = after(*now, span));
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    fn elapsed(&self) -> Duration {
        since(*self.0.borrow(), Timestamp::UNIX_EPOCH)
    }

    async fn sleep(&self, span: Duration) {
        let until = after(self.now(), span);
        let _ = self.0.subscribe().wait_for(|now| *now >= until).await;
    }
}

/// A cloud under test, with its clock in hand.
pub(crate) struct Bench {
    pub(crate) handle: CloudHandle,
    pub(crate) clock: Arc<ManualClock>,
}

impl Bench {
    pub(crate) async fn start(options: CloudOptions) -> Self {
        let clock = Arc::new(ManualClock::new());
        let stop = CancellationToken::new();
        let handle =
            SimulatedCloud::start(options, Arc::clone(&clock) as Arc<dyn Clock>, &stop).await.unwrap();
        Self { handle, clock }
    }

    pub(crate) fn cloud(&self) -> &SimulatedCloud {
        &self.handle.cloud
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.pass(Duration::from_secs(seconds));
    }

    pub(crate) fn fault(&self, fault: &Value) -> u64 {
        let fault: Fault = serde_json::from_value(fault.clone()).unwrap();
        self.cloud().set_fault(fault).unwrap()
    }

    async fn shown(&self) -> Vec<CloudInstance> {
        self.cloud().instances(&OwnerName::new("prod-1")).await.unwrap()
    }

    /// Launches, and waits until the instances run.
    async fn running(&self, token: &str, subnet: &str, count: u32) -> Vec<InstanceId> {
        let reply = self.cloud().run_instances(&request(token, subnet, count)).await.unwrap();
        self.pass(60);
        let ids: Vec<InstanceId> = reply.instances.into_iter().map(|one| one.id).collect();
        for one in self.shown().await.iter().filter(|one| ids.contains(&one.id)) {
            assert_eq!(one.state, InstanceState::Running);
        }
        ids
    }

    /// The journal as JSON, as a person would read it.
    pub(crate) fn journal(&self) -> Vec<Value> {
        self.cloud().with_model(|model| {
            model.journal().since(0).map(|entry| serde_json::to_value(entry).unwrap()).collect()
        })
    }

    pub(crate) fn calls(&self, op: &str) -> Vec<Value> {
        self.journal().into_iter().filter(|entry| entry["kind"] == "call" && entry["op"] == op).collect()
    }
}

/// No pages, no HTTP, no throttle, and every span the same each time.
pub(crate) fn quiet() -> CloudOptions {
    let mut options = CloudOptions::default().with_host_port(None).instant();
    options.boot = Span::exactly(Duration::from_secs(30));
    options.health = Span::exactly(Duration::from_secs(20));
    options.shutdown = Span::exactly(Duration::from_secs(10));
    options.target_groups[0].deregistration_delay = Duration::from_mins(5);
    options
}

pub(crate) fn with_wire(options: CloudOptions) -> CloudOptions {
    options.with_listen("127.0.0.1:0".parse().unwrap())
}

pub(crate) fn zone_of(subnet: &str) -> Zone {
    Zone::new(subnet.replace("subnet-", "eu-west-1"))
}

pub(crate) fn request(token: &str, subnet: &str, max_count: u32) -> RunRequest {
    let tags = BTreeMap::from([
        (tags::OWNER.to_owned(), "prod-1".to_owned()),
        (tags::FLEET.to_owned(), "web".to_owned()),
    ]);
    RunRequest {
        client_token: ClientToken::new(token),
        template: LaunchTemplate {
            template: TemplateRef::Id(DEFAULT_TEMPLATE.to_owned()),
            version: 1,
            market: Market::OnDemand,
            tags,
        },
        subnet: SubnetId::new(subnet),
        pool: Pool { zone: zone_of(subnet), instance_type: None },
        max_count,
    }
}

pub(crate) fn group() -> TargetGroupArn {
    TargetGroupArn::new(DEFAULT_TARGET_GROUP)
}

/// Waits for something that another task does, in real time, and not for ever.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never came to pass that {what}");
}

fn http() -> reqwest::Client {
    // Another test may have been first; either way one is installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap()
}
