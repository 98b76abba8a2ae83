//! The adapter to EC2 and ELBv2, as it is seen on the wire.
//!
//! Two kinds of counterparts: a scripted server that records every byte and misbehaves on request, for what a cloud does
//! on a bad day; and moto, whose idea of the wire format is not ours, for what it does on a good one.
#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

mod balancer;
mod failures;
mod launch;
mod malformed;
mod moto;
mod reads;
mod server;
mod verify;
mod witness;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ec2::config::Credentials;
use fleet_scaler::config::service::AwsConfig;
use fleet_scaler::domain::ids::{ClientToken, InstanceType, Pool, SubnetId, Zone};
use fleet_scaler::domain::launch::{LaunchTemplate, Market, RunRequest, TemplateRef};
use fleet_scaler::provider::aws::AwsProvider;

/// The adapter, pointed at a server on loopback.
pub(crate) async fn connect(endpoint: &str, call_timeout: Duration) -> AwsProvider {
    let config =
        AwsConfig { region: "eu-west-1".to_owned(), endpoint_url: Some(endpoint.to_owned()), call_timeout };
    let credentials = Credentials::new("AKIATEST", "secret", None, None, "test");
    AwsProvider::connect_as(&config, credentials).await.expect("the settings are sound")
}

/// A frozen request, as a launch intent would carry it.
fn run_request(max_count: u32) -> RunRequest {
    RunRequest {
        client_token: ClientToken::new("fs-0123456789abcdef0123456789abcdef"),
        template: LaunchTemplate {
            template: TemplateRef::Id("lt-0abc".to_owned()),
            version: 7,
            market: Market::OnDemand,
            tags: BTreeMap::from([
                ("fleet-scaler:owner".to_owned(), "prod-1".to_owned()),
                ("fleet-scaler:fleet".to_owned(), "web".to_owned()),
                ("Name".to_owned(), "web & co=1/2".to_owned()),
            ]),
        },
        subnet: SubnetId::new("subnet-a"),
        pool: Pool { zone: Zone::new("eu-west-1a"), instance_type: Some(InstanceType::new("m7g.large")) },
        max_count,
    }
}
