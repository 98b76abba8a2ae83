//! RunInstances: the one call that spends money.
//!
//! Its bytes are a function of the frozen [`RunRequest`] and nothing else, so that a replay after a crash is the same
//! request to EC2: the token is ours (the SDK would make up a random one), tags go in the order of their keys, and
//! nothing is read from a clock or a default that may change between two sends.
//!
//! Tags are set on the instance only, not on its volumes. Volumes would need `ec2:CreateTags` on `volume/*`, a second
//! permission without which every launch fails; whoever wants their costs allocated by tag puts a tag specification
//! for volumes into the launch template.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::RequestId as _;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    InstanceInterruptionBehavior, InstanceMarketOptionsRequest, InstanceType, LaunchTemplateSpecification,
    MarketType, ResourceType, ShutdownBehavior, SpotInstanceType, SpotMarketOptions, Tag, TagSpecification,
};

use crate::domain::failure::{CloudError, FailureClass};
use crate::domain::ids::ClientToken;
use crate::domain::launch::{Market, RunRequest, TemplateRef};
use crate::provider::RunReply;
use crate::provider::aws::error::{from_sdk, malformed};
use crate::provider::aws::instance;

/// How EC2 says yes to a dry run.
const DRY_RUN_YES: &str = "DryRunOperation";

/// Launches; sent exactly once.
pub(super) async fn run(client: &Client, request: &RunRequest) -> Result<RunReply, CloudError> {
    let reply = input(client, request)
        .client_token(request.client_token.as_str())
        .send()
        .await
        .map_err(|error| from_sdk(&error))?;
    let request_id = reply.request_id();
    let mut instances = reply
        .instances()
        .iter()
        .map(|launched| instance::from_sdk(launched).map_err(|what| malformed(what, request_id)))
        .collect::<Result<Vec<_>, _>>()?;
    if instances.is_empty() {
        return Err(malformed("RunInstances succeeded without any instance", request_id));
    }
    instances.sort_by(|a, b| a.id.cmp(&b.id));
    instances.dedup_by(|a, b| a.id == b.id);
    Ok(RunReply { instances, request_id: request_id.map(str::to_owned) })
}

/// Asks for permission only. The token is not the launch's own: EC2 does not say whether a dry run uses one up.
pub(super) async fn may_run(client: &Client, request: &RunRequest) -> Result<(), CloudError> {
    let token = dry_run_token(&request.client_token);
    match input(client, request).client_token(token).dry_run(true).send().await {
        Ok(reply) => {
            let ids: Vec<&str> =
                reply.instances().iter().filter_map(|launched| launched.instance_id()).collect();
            Err(CloudError {
                request_id: reply.request_id().map(str::to_owned),
                ..CloudError::new(
                    FailureClass::Invalid,
                    "DryRunIgnored",
                    format!(
                        "the endpoint does not know DryRun and launched {}: terminate it",
                        ids.join(", ")
                    ),
                )
            })
        }
        Err(error) => match from_sdk(&error) {
            told if told.code == DRY_RUN_YES => Ok(()),
            told => Err(told),
        },
    }
}

fn dry_run_token(token: &ClientToken) -> String {
    format!("dry-{token}").chars().take(64).collect()
}

fn input(client: &Client, request: &RunRequest) -> RunInstancesFluentBuilder {
    let template = &request.template;
    let tags = template.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    let specification =
        TagSpecification::builder().resource_type(ResourceType::Instance).set_tags(Some(tags.collect()));
    client
        .run_instances()
        .launch_template(launch_template(&template.template, template.version))
        .subnet_id(request.subnet.as_str())
        .set_instance_type(request.pool.instance_type.as_ref().map(|kind| InstanceType::from(kind.as_str())))
        .min_count(1)
        .max_count(i32::try_from(request.max_count).unwrap_or(i32::MAX))
        .tag_specifications(specification.build())
        // EC2's default is to stop: a host that shut itself down would be paid for and never seen again.
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .set_instance_market_options(market_options(template.market))
}

fn launch_template(template: &TemplateRef, version: u64) -> LaunchTemplateSpecification {
    let builder = match template {
        TemplateRef::Id(id) => LaunchTemplateSpecification::builder().launch_template_id(id),
        TemplateRef::Name(name) => LaunchTemplateSpecification::builder().launch_template_name(name),
    };
    builder.version(version.to_string()).build()
}

/// One-time: a persistent spot request would buy hosts again by itself, behind the ceiling's back.
fn market_options(market: Market) -> Option<InstanceMarketOptionsRequest> {
    match market {
        Market::OnDemand => None,
        Market::Spot => {
            let spot = SpotMarketOptions::builder()
                .spot_instance_type(SpotInstanceType::OneTime)
                .instance_interruption_behavior(InstanceInterruptionBehavior::Terminate);
            let options = InstanceMarketOptionsRequest::builder()
                .market_type(MarketType::Spot)
                .spot_options(spot.build());
            Some(options.build())
        }
    }
}
