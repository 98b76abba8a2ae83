//! EC2's description of an instance, in our words.
//!
//! What EC2 leaves out of a terminated instance (subnet, address) is optional; what it always sends is not. A reply
//! without it is refused as a whole: a list that silently drops one instance says of that instance that it is gone.

use std::net::IpAddr;

use aws_sdk_ec2::primitives::DateTime as SdkDateTime;
use aws_sdk_ec2::types::{Instance, InstanceStateName};

use crate::domain::ids::{InstanceId, InstanceType, SubnetId, Zone};
use crate::domain::time::{Timestamp, to_micros};
use crate::provider::{CloudInstance, InstanceState};

/// Reads one instance, or says what is missing from it.
pub(super) fn from_sdk(instance: &Instance) -> Result<CloudInstance, String> {
    let id = instance.instance_id().filter(|id| !id.is_empty()).ok_or("an instance came without its id")?;
    let lacks = |what: &str| format!("instance {id} came without its {what}");
    let zone = instance.placement().and_then(|placement| placement.availability_zone());
    let zone = zone.filter(|zone| !zone.is_empty());
    let kind = instance.instance_type().filter(|kind| !kind.as_str().is_empty());
    let state = instance.state().and_then(|state| state.name()).ok_or_else(|| lacks("state"))?;
    Ok(CloudInstance {
        state: state_of(state)
            .ok_or_else(|| format!("instance {id} is {state:?}, a state that is not known"))?,
        zone: Zone::new(zone.ok_or_else(|| lacks("zone"))?),
        subnet: instance.subnet_id().map(SubnetId::new),
        instance_type: InstanceType::new(kind.ok_or_else(|| lacks("type"))?.as_str()),
        address: address_of(instance)?,
        launched_at: instance.launch_time().and_then(timestamp).ok_or_else(|| lacks("launch time"))?,
        tags: instance
            .tags()
            .iter()
            .map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(|| lacks("tag's key"))?,
        id: InstanceId::new(id),
    })
}

fn state_of(name: &InstanceStateName) -> Option<InstanceState> {
    match name {
        InstanceStateName::Pending => Some(InstanceState::Pending),
        InstanceStateName::Running => Some(InstanceState::Running),
        InstanceStateName::ShuttingDown => Some(InstanceState::ShuttingDown),
        InstanceStateName::Terminated => Some(InstanceState::Terminated),
        InstanceStateName::Stopping => Some(InstanceState::Stopping),
        InstanceStateName::Stopped => Some(InstanceState::Stopped),
        _ => None,
    }
}

/// The private IPv4 address, or the IPv6 address of a host in a subnet that has no other.
fn address_of(instance: &Instance) -> Result<Option<IpAddr>, String> {
    let text = [instance.private_ip_address(), instance.ipv6_address()]
        .into_iter()
        .flatten()
        .find(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(|_| format!("{text:?} is no address"))).transpose()
}

fn timestamp(at: &SdkDateTime) -> Option<Timestamp> {
    Timestamp::from_timestamp(at.secs(), at.subsec_nanos()).map(to_micros)
}
