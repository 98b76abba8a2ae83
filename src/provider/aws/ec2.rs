//! EC2's reads, and TerminateInstances.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::RequestId as _;
use aws_sdk_ec2::operation::describe_instances::DescribeInstancesOutput;
use aws_sdk_ec2::types::{Filter, InstanceStateChange, Reservation};

use crate::domain::failure::{CloudError, FailureClass};
use crate::domain::ids::{InstanceId, SubnetId, Zone};
use crate::domain::launch::TemplateRef;
use crate::provider::aws::error::{from_sdk, malformed};
use crate::provider::aws::{instance, receipt};
use crate::provider::{CloudInstance, Receipt, SubnetInfo};

/// Instances of one page; EC2 allows no more.
const PAGE_SIZE: i32 = 1_000;
/// Pages at most: a hundred times the largest fleet that is planned for, and an end to a cloud that never stops.
const PAGES_MAX: usize = 200;
/// Values of one filter; EC2 allows no more.
const FILTER_VALUES_MAX: usize = 200;
/// Instances of one TerminateInstances: EC2 advises against more than 1,000 at once.
const TERMINATE_MAX: usize = 500;

/// Every instance with this tag, in any state, ordered by id.
pub(super) async fn instances_tagged(
    client: &Client,
    key: &str,
    value: &str,
) -> Result<Vec<CloudInstance>, CloudError> {
    instances(client, &Filter::builder().name(format!("tag:{key}")).values(value).build()).await
}

/// Those of these instances that EC2 shows, ordered by id. They are a filter and not a parameter: one id that is not
/// there would fail the call, and its absence is what is asked about.
pub(super) async fn instances_named(
    client: &Client,
    hosts: &[InstanceId],
) -> Result<Vec<CloudInstance>, CloudError> {
    let mut found = Vec::new();
    for batch in hosts.chunks(FILTER_VALUES_MAX) {
        let ids = batch.iter().map(ToString::to_string).collect();
        let filter = Filter::builder().name("instance-id").set_values(Some(ids)).build();
        found.extend(instances(client, &filter).await?);
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    Ok(found)
}

/// Every instance that matches, ordered by id.
///
/// An instance may move between pages while they are read and so be seen twice; the later sighting counts.
async fn instances(client: &Client, filter: &Filter) -> Result<Vec<CloudInstance>, CloudError> {
    let mut found = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut token = None;
    for _ in 0..PAGES_MAX {
        let page = client
            .describe_instances()
            .filters(filter.clone())
            .max_results(PAGE_SIZE)
            .set_next_token(token)
            .send()
            .await
            .map_err(|error| from_sdk(&error))?;
        collect(&page, &mut found)?;
        match page.next_token.as_deref().filter(|token| !token.is_empty()) {
            None => return Ok(found.into_values().collect()),
            Some(next) if !seen.insert(next.to_owned()) => {
                return Err(malformed(
                    "DescribeInstances gave a page token twice: its pages have no end",
                    page.request_id(),
                ));
            }
            Some(next) => token = Some(next.to_owned()),
        }
    }
    Err(malformed(format!("DescribeInstances has more than {PAGES_MAX} pages of {PAGE_SIZE}"), None))
}

fn collect(
    page: &DescribeInstancesOutput,
    found: &mut BTreeMap<InstanceId, CloudInstance>,
) -> Result<(), CloudError> {
    let lacks = |what: &str| malformed(format!("DescribeInstances came without {what}"), page.request_id());
    // EC2 writes an empty list where there is nothing. No list says nothing.
    let reservations = page.reservations.as_ref().ok_or_else(|| lacks("its list"))?;
    for reservation in reservations {
        if reservation.instances.is_none() {
            return Err(lacks("the instances of a reservation"));
        }
    }
    for instance in reservations.iter().flat_map(Reservation::instances) {
        let instance = instance::from_sdk(instance).map_err(|what| malformed(what, page.request_id()))?;
        found.insert(instance.id.clone(), instance);
    }
    Ok(())
}

/// A launch template's version as a number.
pub(super) async fn template_version(
    client: &Client,
    template: &TemplateRef,
    version: &str,
) -> Result<u64, CloudError> {
    let request = match template {
        TemplateRef::Id(id) => client.describe_launch_template_versions().launch_template_id(id),
        TemplateRef::Name(name) => client.describe_launch_template_versions().launch_template_name(name),
    };
    let reply = request.versions(version).send().await.map_err(|error| from_sdk(&error))?;
    let versions = reply.launch_template_versions.as_deref().ok_or_else(|| {
        malformed("DescribeLaunchTemplateVersions came without its list", reply.request_id())
    })?;
    match versions.first().map(|found| found.version_number().and_then(|number| u64::try_from(number).ok())) {
        Some(Some(number)) => Ok(number),
        Some(None) => Err(malformed("the launch template's version is no number", reply.request_id())),
        None => Err(CloudError {
            request_id: reply.request_id().map(str::to_owned),
            ..CloudError::new(
                FailureClass::NotFound,
                "InvalidLaunchTemplateId.VersionNotFound",
                format!("launch template {template} has no version {version}"),
            )
        }),
    }
}

/// The subnets asked for, in that order, each with its zone.
pub(super) async fn subnets(client: &Client, subnets: &[SubnetId]) -> Result<Vec<SubnetInfo>, CloudError> {
    if subnets.is_empty() {
        // An empty list of ids would ask for every subnet there is.
        return Ok(Vec::new());
    }
    let reply = client
        .describe_subnets()
        .set_subnet_ids(Some(subnets.iter().map(ToString::to_string).collect()))
        .send()
        .await
        .map_err(|error| from_sdk(&error))?;
    let lacks = |what: &str| malformed(format!("DescribeSubnets came without {what}"), reply.request_id());
    let zones = reply
        .subnets
        .as_ref()
        .ok_or_else(|| lacks("its list"))?
        .iter()
        .map(|subnet| {
            Some((subnet.subnet_id()?, subnet.availability_zone().filter(|zone| !zone.is_empty())?))
        })
        .collect::<Option<BTreeMap<&str, &str>>>()
        .ok_or_else(|| lacks("a subnet's id or zone"))?;
    let zone_of = |subnet: &SubnetId| match zones.get(subnet.as_str()) {
        Some(zone) => Ok(SubnetInfo { subnet: subnet.clone(), zone: Zone::new(*zone) }),
        None => Err(CloudError {
            request_id: reply.request_id().map(str::to_owned),
            ..CloudError::new(
                FailureClass::NotFound,
                "InvalidSubnetID.NotFound",
                format!("subnet {subnet} is not there"),
            )
        }),
    };
    subnets.iter().map(zone_of).collect()
}

/// Terminates, in as few calls as EC2 advises. Terminating twice is harmless, so a failure in the middle leaves nothing
/// that the next try could get wrong.
pub(super) async fn terminate(client: &Client, hosts: &[InstanceId]) -> Result<Receipt, CloudError> {
    let mut request_ids = Vec::new();
    for batch in hosts.chunks(TERMINATE_MAX) {
        let reply = client
            .terminate_instances()
            .set_instance_ids(Some(batch.iter().map(ToString::to_string).collect()))
            .send()
            .await
            .map_err(|error| from_sdk(&error))?;
        // EC2 names every instance that it terminates, those too that were terminated before.
        let told: BTreeSet<&str> =
            reply.terminating_instances().iter().filter_map(InstanceStateChange::instance_id).collect();
        if let Some(untold) = batch.iter().find(|host| !told.contains(host.as_str())) {
            let text = format!("TerminateInstances succeeded, and does not speak of {untold}");
            return Err(malformed(text, reply.request_id()));
        }
        request_ids.extend(reply.request_id().map(str::to_owned));
    }
    Ok(receipt(&request_ids))
}
