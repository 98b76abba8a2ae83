//! What EC2 answers, element for element as its SDKs read it.

use chrono::SecondsFormat;

use crate::domain::ids::Zone;
use crate::domain::launch::Market;
use crate::provider::InstanceState;
use crate::provider::simulated::model::api::{
    ApiError, InstancePage, Reservation, StateChange, Subnet, TemplateVersionView, TemplateView,
};
use crate::provider::simulated::model::instance::Instance;
use crate::provider::simulated::model::{instance_state_code, instance_state_name};
use crate::provider::simulated::wire::xml::Xml;

const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
/// The account that everything belongs to.
const ACCOUNT: &str = "123456789012";
const VPC: &str = "vpc-demo";
/// The templates have been there for ever.
const CREATED: &str = "2025-01-01T00:00:00.000Z";

fn document(name: &str, request_id: &str, content: impl FnOnce(&mut Xml)) -> String {
    Xml::document(name, Some(NAMESPACE), |xml| {
        xml.leaf("requestId", request_id);
        content(xml);
    })
}

/// An answer that says no more than that it was done.
pub(in crate::provider::simulated::wire) fn done(name: &str, request_id: &str) -> String {
    document(name, request_id, |xml| {
        xml.leaf("return", true);
    })
}

pub(super) fn reservation(done: &Reservation, region: &str, request_id: &str) -> String {
    document("RunInstancesResponse", request_id, |xml| {
        xml.leaf("reservationId", &done.id).leaf("ownerId", ACCOUNT);
        xml.list("instancesSet", "item", &done.instances, |xml, one| instance(xml, one, region));
    })
}

/// Instances by the reservation that they came with, as EC2 groups them.
pub(super) fn instances(page: &InstancePage, region: &str, request_id: &str) -> String {
    let mut reservations: Vec<(&str, Vec<&Instance>)> = Vec::new();
    for one in &page.instances {
        match reservations.iter_mut().find(|(id, _)| *id == one.reservation) {
            Some((_, instances)) => instances.push(one),
            None => reservations.push((&one.reservation, vec![one])),
        }
    }
    document("DescribeInstancesResponse", request_id, |xml| {
        xml.list("reservationSet", "item", reservations, |xml, (id, instances)| {
            xml.leaf("reservationId", id).leaf("ownerId", ACCOUNT);
            xml.list("instancesSet", "item", instances, |xml, one| instance(xml, one, region));
        });
        next_token(xml, page.next_token.as_deref());
    })
}

fn next_token(xml: &mut Xml, token: Option<&str>) {
    if let Some(token) = token {
        xml.leaf("nextToken", token);
    }
}

fn state(xml: &mut Xml, element: &str, state: InstanceState) {
    xml.nest(element, |xml| {
        xml.leaf("code", instance_state_code(state)).leaf("name", instance_state_name(state));
    });
}

fn instance(xml: &mut Xml, one: &Instance, region: &str) {
    xml.leaf("instanceId", &one.id).leaf("imageId", &one.image_id);
    state(xml, "instanceState", one.state);
    let attached = one.state != InstanceState::Terminated;
    if attached {
        let dashed = one.address.to_string().replace('.', "-");
        xml.leaf("privateDnsName", format!("ip-{dashed}.{region}.compute.internal"));
        xml.leaf("privateIpAddress", one.address).leaf("subnetId", &one.subnet).leaf("vpcId", VPC);
    }
    if let Some((code, message)) = one.reason.split_once(": ") {
        xml.leaf("reason", message);
        xml.nest("stateReason", |xml| {
            xml.leaf("code", code).leaf("message", &one.reason);
        });
    }
    xml.leaf("amiLaunchIndex", one.launch_index)
        .leaf("instanceType", &one.instance_type)
        .leaf("launchTime", one.launched_at.to_rfc3339_opts(SecondsFormat::Millis, true));
    xml.nest("placement", |xml| {
        xml.leaf("availabilityZone", &one.zone).leaf("groupName", "").leaf("tenancy", "default");
    });
    xml.nest("monitoring", |xml| {
        xml.leaf("state", "disabled");
    });
    xml.leaf("architecture", "arm64")
        .leaf("rootDeviceType", "ebs")
        .leaf("virtualizationType", "hvm")
        .leaf("hypervisor", "xen");
    if one.market == Market::Spot {
        xml.leaf("instanceLifecycle", "spot");
    }
    if let Some(token) = &one.client_token {
        xml.leaf("clientToken", token);
    }
    xml.list("tagSet", "item", &one.tags, |xml, (key, value)| {
        xml.leaf("key", key).leaf("value", value);
    });
}

pub(super) fn statuses(page: &InstancePage, request_id: &str) -> String {
    // Like EC2, only of instances that run, unless asked for all; nobody here asks.
    let running = page.instances.iter().filter(|one| one.state == InstanceState::Running);
    document("DescribeInstanceStatusResponse", request_id, |xml| {
        xml.list("instanceStatusSet", "item", running, |xml, one| {
            xml.leaf("instanceId", &one.id).leaf("availabilityZone", &one.zone);
            state(xml, "instanceState", one.state);
            let healthy = if one.has_page() { ("ok", "passed") } else { ("impaired", "failed") };
            for (element, (status, detail)) in
                [("systemStatus", ("ok", "passed")), ("instanceStatus", healthy)]
            {
                xml.nest(element, |xml| {
                    xml.leaf("status", status);
                    xml.list("details", "item", ["reachability"], |xml, name| {
                        xml.leaf("name", name).leaf("status", detail);
                    });
                });
            }
        });
        next_token(xml, page.next_token.as_deref());
    })
}

pub(super) fn state_changes(changes: &[StateChange], request_id: &str) -> String {
    document("TerminateInstancesResponse", request_id, |xml| {
        xml.list("instancesSet", "item", changes, |xml, change| {
            xml.leaf("instanceId", &change.id);
            state(xml, "currentState", change.current);
            state(xml, "previousState", change.previous);
        });
    })
}

pub(super) fn subnets(found: &[Subnet], request_id: &str) -> String {
    document("DescribeSubnetsResponse", request_id, |xml| {
        xml.list("subnetSet", "item", found, |xml, one| {
            xml.leaf("subnetId", &one.id)
                .leaf("state", "available")
                .leaf("ownerId", ACCOUNT)
                .leaf("vpcId", VPC)
                .leaf("cidrBlock", "127.16.0.0/12")
                .leaf("availableIpAddressCount", 4091)
                .leaf("availabilityZone", &one.zone)
                .leaf("defaultForAz", false)
                .leaf("mapPublicIpOnLaunch", false);
        });
    })
}

pub(super) fn zones(found: &[Zone], region: &str, request_id: &str) -> String {
    document("DescribeAvailabilityZonesResponse", request_id, |xml| {
        xml.list("availabilityZoneInfo", "item", found, |xml, zone| {
            xml.leaf("zoneName", zone)
                .leaf("zoneState", "available")
                .leaf("regionName", region)
                .leaf("zoneType", "availability-zone")
                .leaf("optInStatus", "opt-in-not-required");
        });
    })
}

pub(super) fn templates(found: &[TemplateView], request_id: &str) -> String {
    document("DescribeLaunchTemplatesResponse", request_id, |xml| {
        xml.list("launchTemplates", "item", found, |xml, one| {
            xml.leaf("launchTemplateId", &one.id)
                .leaf("launchTemplateName", &one.name)
                .leaf("createTime", CREATED)
                .leaf("createdBy", format!("arn:aws:iam::{ACCOUNT}:root"))
                .leaf("defaultVersionNumber", one.default_version)
                .leaf("latestVersionNumber", one.latest_version);
        });
    })
}

pub(super) fn template_versions(found: &[TemplateVersionView], request_id: &str) -> String {
    document("DescribeLaunchTemplateVersionsResponse", request_id, |xml| {
        xml.list("launchTemplateVersionSet", "item", found, |xml, one| {
            xml.leaf("launchTemplateId", &one.template_id)
                .leaf("launchTemplateName", &one.template_name)
                .leaf("versionNumber", one.number)
                .leaf("createTime", CREATED)
                .leaf("createdBy", format!("arn:aws:iam::{ACCOUNT}:root"))
                .leaf("defaultVersion", one.number == one.default_version);
            xml.nest("launchTemplateData", |xml| {
                xml.leaf("imageId", &one.data.image_id).leaf("instanceType", &one.data.instance_type);
            });
        });
    })
}

/// A refusal.
pub(in crate::provider::simulated::wire) fn error(error: &ApiError, request_id: &str) -> String {
    Xml::document("Response", None, |xml| {
        xml.nest("Errors", |xml| {
            xml.nest("Error", |xml| {
                xml.leaf("Code", &error.code).leaf("Message", &error.message);
            });
        });
        xml.leaf("RequestID", request_id);
    })
}
