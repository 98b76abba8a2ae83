//! ELBv2: target groups, the health of their targets, and who is in them.

use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::operation::RequestId as _;
use aws_sdk_elasticloadbalancingv2::types::{
    TargetDescription, TargetGroupAttribute, TargetHealthDescription, TargetHealthStateEnum, TargetTypeEnum,
};

use crate::domain::failure::{CloudError, FailureClass};
use crate::domain::ids::{InstanceId, TargetGroupArn};
use crate::provider::aws::error::{from_sdk, malformed};
use crate::provider::aws::receipt;
use crate::provider::{Receipt, TargetGroup, TargetHealth, TargetId, TargetState};

/// Targets of one call. ELBv2 documents no limit; its console and the load balancer controllers stay below this.
const TARGETS_MAX: usize = 100;
/// The attribute that says how long a deregistered target drains, and what holds where it is not set.
const DEREGISTRATION_DELAY: &str = "deregistration_delay.timeout_seconds";
const DEREGISTRATION_DELAY_DEFAULT: Duration = Duration::from_mins(5);
/// Seconds of it at most, far above what ELBv2 allows: a number that is no time must not become a deadline.
const DEREGISTRATION_DELAY_MAX: u64 = 7 * 24 * 60 * 60;

/// One target group with its deregistration delay: two calls.
pub(super) async fn target_group(client: &Client, group: &TargetGroupArn) -> Result<TargetGroup, CloudError> {
    let reply = client
        .describe_target_groups()
        .target_group_arns(group.as_str())
        .send()
        .await
        .map_err(|error| from_sdk(&error))?;
    let lacks =
        |what: &str| malformed(format!("DescribeTargetGroups came without {what}"), reply.request_id());
    let groups = reply.target_groups.as_deref().ok_or_else(|| lacks("its list"))?;
    if groups.iter().any(|found| found.target_group_arn().unwrap_or_default().is_empty()) {
        return Err(lacks("the ARN of a group"));
    }
    let found = groups.iter().find(|found| found.target_group_arn() == Some(group.as_str()));
    let found = found.ok_or_else(|| {
        let text = format!("target group {group} is not there");
        CloudError::new(FailureClass::NotFound, "TargetGroupNotFound", text)
    })?;
    let target_type = found.target_type().ok_or_else(|| lacks("the type of its targets"))?;
    // A group of Lambda functions has no port, and none of our hosts will ever be in it.
    let port = match found.port() {
        None if *target_type == TargetTypeEnum::Lambda => 0,
        None => return Err(lacks("the port of a group")),
        Some(port) => port,
    };
    let attributes = client
        .describe_target_group_attributes()
        .target_group_arn(group.as_str())
        .send()
        .await
        .map_err(|error| from_sdk(&error))?;
    Ok(TargetGroup {
        arn: group.clone(),
        port: port_of(port).map_err(|what| malformed(what, reply.request_id()))?,
        deregistration_delay: attributes
            .attributes
            .as_deref()
            .ok_or_else(|| "a target group came without its attributes".to_owned())
            .and_then(delay_of)
            .map_err(|what| malformed(what, attributes.request_id()))?,
        target_type: target_type.as_str().to_owned(),
    })
}

fn delay_of(attributes: &[TargetGroupAttribute]) -> Result<Duration, String> {
    if attributes.iter().any(|attribute| attribute.key().unwrap_or_default().is_empty()) {
        return Err("an attribute came without its key".to_owned());
    }
    let found = attributes.iter().find(|attribute| attribute.key() == Some(DEREGISTRATION_DELAY));
    match found.map(|attribute| attribute.value().unwrap_or_default()) {
        None => Ok(DEREGISTRATION_DELAY_DEFAULT),
        Some(text) => text
            .parse()
            .ok()
            .filter(|seconds| *seconds <= DEREGISTRATION_DELAY_MAX)
            .map(Duration::from_secs)
            .ok_or_else(|| format!("{DEREGISTRATION_DELAY} is {text:?}, no number of seconds that could be")),
    }
}

/// The health of every target, ordered by instance and port.
pub(super) async fn target_health(
    client: &Client,
    group: &TargetGroupArn,
) -> Result<Vec<TargetHealth>, CloudError> {
    let reply = client
        .describe_target_health()
        .target_group_arn(group.as_str())
        .send()
        .await
        .map_err(|error| from_sdk(&error))?;
    let mut health = reply
        .target_health_descriptions
        .as_ref()
        // ELBv2 writes an empty list where there is nobody. No list says nothing, least of all that a host has drained.
        .ok_or_else(|| malformed("DescribeTargetHealth came without its list", reply.request_id()))?
        .iter()
        .map(|target| health_of(target).map_err(|what| malformed(what, reply.request_id())))
        .collect::<Result<Vec<_>, _>>()?;
    health.sort_by(|a, b| a.target.cmp(&b.target));
    health.dedup();
    match health.windows(2).find(|pair| pair[0].target == pair[1].target) {
        None => Ok(health),
        Some(pair) => {
            let TargetId { host, port } = &pair[0].target;
            let text = format!("target {host}:{port} is {:?} and {:?} at once", pair[0].state, pair[1].state);
            Err(malformed(text, reply.request_id()))
        }
    }
}

fn health_of(target: &TargetHealthDescription) -> Result<TargetHealth, String> {
    // Where ELBv2 must send an id and did not, the SDK has an empty one.
    let id = target.target().and_then(|target| target.id()).filter(|id| !id.is_empty());
    let id = id.ok_or("a target came without its id")?;
    let port = target.target().and_then(TargetDescription::port);
    let health = target.target_health();
    let state = health
        .and_then(|health| health.state())
        .ok_or_else(|| format!("target {id} came without its state"))?;
    Ok(TargetHealth {
        target: TargetId {
            host: InstanceId::new(id),
            port: port_of(port.ok_or_else(|| format!("target {id} came without its port"))?)?,
        },
        state: state_of(state)
            .ok_or_else(|| format!("target {id} is {state:?}, a state that is not known"))?,
        reason: health
            .and_then(|health| health.reason())
            .map_or_else(String::new, |reason| reason.as_str().to_owned()),
    })
}

fn state_of(state: &TargetHealthStateEnum) -> Option<TargetState> {
    match state {
        TargetHealthStateEnum::Initial => Some(TargetState::Initial),
        TargetHealthStateEnum::Healthy => Some(TargetState::Healthy),
        // Still registered: a group that lets unhealthy targets finish their connections calls them so.
        TargetHealthStateEnum::Unhealthy | TargetHealthStateEnum::UnhealthyDraining => {
            Some(TargetState::Unhealthy)
        }
        TargetHealthStateEnum::Unused => Some(TargetState::Unused),
        TargetHealthStateEnum::Draining => Some(TargetState::Draining),
        TargetHealthStateEnum::Unavailable => Some(TargetState::Unavailable),
        _ => None,
    }
}

fn port_of(port: i32) -> Result<u16, String> {
    u16::try_from(port).map_err(|_| format!("{port} is no port"))
}

/// Registers at the group's own port. Registering twice is harmless.
pub(super) async fn register(
    client: &Client,
    group: &TargetGroupArn,
    hosts: &[InstanceId],
) -> Result<Receipt, CloudError> {
    let mut request_ids = Vec::new();
    for batch in hosts.chunks(TARGETS_MAX) {
        let targets = batch.iter().map(|host| TargetDescription::builder().id(host.as_str()).build());
        let reply = client
            .register_targets()
            .target_group_arn(group.as_str())
            .set_targets(Some(targets.collect()))
            .send()
            .await
            .map_err(|error| from_sdk(&error))?;
        request_ids.extend(reply.request_id().map(str::to_owned));
    }
    Ok(receipt(&request_ids))
}

/// Deregisters at exactly the id and port that is registered: without its port, ELBv2 would let go of another target of
/// the same host. Deregistering twice is harmless.
pub(super) async fn deregister(
    client: &Client,
    group: &TargetGroupArn,
    targets: &[TargetId],
) -> Result<Receipt, CloudError> {
    let mut request_ids = Vec::new();
    for batch in targets.chunks(TARGETS_MAX) {
        let described = batch.iter().map(|target| {
            TargetDescription::builder().id(target.host.as_str()).port(i32::from(target.port)).build()
        });
        let reply = client
            .deregister_targets()
            .target_group_arn(group.as_str())
            .set_targets(Some(described.collect()))
            .send()
            .await
            .map_err(|error| from_sdk(&error))?;
        request_ids.extend(reply.request_id().map(str::to_owned));
    }
    Ok(receipt(&request_ids))
}
