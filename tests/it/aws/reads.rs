//! Reads: whole or an error.

use std::time::Duration;

use fleet_scaler::domain::failure::FailureClass;
use fleet_scaler::domain::ids::{LaunchId, OwnerName, SubnetId};
use fleet_scaler::domain::launch::TemplateRef;
use fleet_scaler::provider::{CloudProvider as _, InstanceState};

use super::connect;
use super::launch::instance_xml;
use super::server::{Reply, Server};

const SECONDS: Duration = Duration::from_secs(20);

pub(super) fn page(instances: &str, next: Option<&str>) -> String {
    let next = next.map(|token| format!("<nextToken>{token}</nextToken>")).unwrap_or_default();
    format!(
        "<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r-1</requestId>\
         <reservationSet><item><reservationId>r-9</reservationId><instancesSet>{instances}</instancesSet></item>\
         </reservationSet>{next}</DescribeInstancesResponse>"
    )
}

fn owner() -> OwnerName {
    OwnerName::new("prod-1")
}

#[tokio::test]
async fn all_pages_are_read_and_put_in_order() {
    let server = Server::start(|asked, _| {
        let form = asked.form();
        match form.get("NextToken").map(String::as_str) {
            None => Reply::ok(page(&instance_xml("i-3", "pending"), Some("two"))),
            Some("two") => Reply::ok(page(&instance_xml("i-1", "running"), Some("three"))),
            // Seen again with its newer state: instances move between pages while they are read.
            _ => Reply::ok(page(&instance_xml("i-3", "running"), None)),
        }
    })
    .await;
    let found = connect(&server.url(), SECONDS).await.instances(&owner()).await.unwrap();
    let states: Vec<_> = found.iter().map(|instance| (instance.id.as_str(), instance.state)).collect();
    assert_eq!(states, [("i-1", InstanceState::Running), ("i-3", InstanceState::Running)]);
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    for asked in &asked {
        let form = asked.form();
        assert_eq!(form["Filter.1.Name"], "tag:fleet-scaler:owner");
        assert_eq!(form["Filter.1.Value.1"], "prod-1");
        assert_eq!(form["MaxResults"], "1000");
    }
}

#[tokio::test]
async fn a_page_that_fails_fails_the_read() {
    let server = Server::start(|_, index| match index {
        0 => Reply::ok(page(&instance_xml("i-1", "running"), Some("two"))),
        _ => Reply::ec2_error(503, "Unavailable", "try later"),
    })
    .await;
    let error = connect(&server.url(), SECONDS).await.instances(&owner()).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Unknown);
}

#[tokio::test]
async fn pages_without_end_are_an_error() {
    for period in [1, 3] {
        let server = Server::start(move |_, index| {
            Reply::ok(page(&instance_xml("i-1", "running"), Some(&format!("token-{}", index % period))))
        })
        .await;
        let error = connect(&server.url(), SECONDS).await.instances(&owner()).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (FailureClass::Unknown, "MalformedReply"));
        assert_eq!(server.asked().len(), period + 1);
    }
    let server = Server::start(|_, index| Reply::ok(page("", Some(&format!("token-{index}"))))).await;
    let error = connect(&server.url(), SECONDS).await.instances(&owner()).await.unwrap_err();
    assert_eq!(error.code, "MalformedReply");
    assert_eq!(server.asked().len(), 200);
}

#[tokio::test]
async fn a_list_that_is_cut_short_is_no_shorter_list() {
    let whole = page(&format!("{}{}", instance_xml("i-1", "running"), instance_xml("i-2", "running")), None);
    for end in (0..whole.len()).step_by(11) {
        let server = Server::always(Reply::ok(&whole[..end])).await;
        let answer = connect(&server.url(), SECONDS).await.instances(&owner()).await;
        assert_eq!(answer.unwrap_err().class, FailureClass::Unknown, "cut at {end}");
        // Close-delimited, as old proxies send it: nothing but the document itself tells that there should be more.
        let raw = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", &whole[..end]);
        let server = Server::always(Reply::Raw(raw.into_bytes())).await;
        let answer = connect(&server.url(), SECONDS).await.instances(&owner()).await;
        assert_eq!(answer.unwrap_err().class, FailureClass::Unknown, "cut at {end}");
    }
}

#[tokio::test]
async fn an_instance_that_cannot_be_read_fails_the_read() {
    let good = instance_xml("i-2", "running");
    for broken in [
        instance_xml("i-1", "running").replace("<instanceId>i-1</instanceId>", ""),
        instance_xml("i-1", "rebooting-into-a-new-state"),
        instance_xml("i-1", "running").replace("<availabilityZone>eu-west-1a</availabilityZone>", ""),
        instance_xml("i-1", "running").replace("<launchTime>2026-11-22T10:11:12.345Z</launchTime>", ""),
        instance_xml("i-1", "running").replace("10.0.0.7", "10.0.0.700"),
    ] {
        let server = Server::always(Reply::ok(page(&format!("{good}{broken}"), None))).await;
        let error = connect(&server.url(), SECONDS).await.instances(&owner()).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (FailureClass::Unknown, "MalformedReply"), "{broken}");
    }
}

#[tokio::test]
async fn a_terminated_instance_has_no_address_any_more() {
    let gone = instance_xml("i-1", "terminated")
        .replace("<subnetId>subnet-a</subnetId>", "")
        .replace("<privateIpAddress>10.0.0.7</privateIpAddress>", "");
    let server = Server::always(Reply::ok(page(&gone, None))).await;
    let launch = LaunchId(uuid::Uuid::from_u128(7));
    let found = connect(&server.url(), SECONDS).await.instances_of_launch(launch).await.unwrap();
    assert_eq!(found[0].state, InstanceState::Terminated);
    assert_eq!((&found[0].subnet, &found[0].address), (&None, &None));
    let form = server.asked()[0].form();
    assert_eq!(form["Filter.1.Name"], "tag:fleet-scaler:launch");
    assert_eq!(form["Filter.1.Value.1"], launch.to_string());
}

#[tokio::test]
async fn a_template_version_is_a_number() {
    let reply = "<DescribeLaunchTemplateVersionsResponse><launchTemplateVersionSet><item><launchTemplateId>lt-1\
                 </launchTemplateId><versionNumber>12</versionNumber></item></launchTemplateVersionSet>\
                 </DescribeLaunchTemplateVersionsResponse>";
    let server = Server::always(Reply::ok(reply)).await;
    let cloud = connect(&server.url(), SECONDS).await;
    let by_id = TemplateRef::Id("lt-1".to_owned());
    assert_eq!(cloud.template_version(&by_id, "$Latest").await.unwrap(), 12);
    let by_name = TemplateRef::Name("web".to_owned());
    assert_eq!(cloud.template_version(&by_name, "12").await.unwrap(), 12);
    let asked = server.asked();
    assert_eq!(asked[0].form()["LaunchTemplateId"], "lt-1");
    assert_eq!(asked[0].form()["LaunchTemplateVersion.1"], "$Latest");
    assert_eq!(asked[1].form()["LaunchTemplateName"], "web");
}

#[tokio::test]
async fn a_template_version_that_is_not_there_is_named() {
    let reply = "<DescribeLaunchTemplateVersionsResponse><launchTemplateVersionSet/>\
                 </DescribeLaunchTemplateVersionsResponse>";
    let server = Server::always(Reply::ok(reply)).await;
    let cloud = connect(&server.url(), SECONDS).await;
    let error = cloud.template_version(&TemplateRef::Id("lt-1".to_owned()), "99").await.unwrap_err();
    assert_eq!(error.class, FailureClass::NotFound);
    assert!(error.message.contains("lt-1") && error.message.contains("99"), "{}", error.message);
}

#[tokio::test]
async fn subnets_keep_the_order_of_the_question() {
    let reply = "<DescribeSubnetsResponse><subnetSet><item><subnetId>subnet-a</subnetId><availabilityZone>eu-west-1a\
                 </availabilityZone></item><item><subnetId>subnet-b</subnetId><availabilityZone>eu-west-1b\
                 </availabilityZone></item></subnetSet></DescribeSubnetsResponse>";
    let server = Server::always(Reply::ok(reply)).await;
    let cloud = connect(&server.url(), SECONDS).await;
    let ask = |ids: &[&str]| ids.iter().map(|id| SubnetId::new(*id)).collect::<Vec<_>>();
    let found = cloud.subnets(&ask(&["subnet-b", "subnet-a"])).await.unwrap();
    let pairs: Vec<_> = found.iter().map(|info| (info.subnet.as_str(), info.zone.as_str())).collect();
    assert_eq!(pairs, [("subnet-b", "eu-west-1b"), ("subnet-a", "eu-west-1a")]);
    let error = cloud.subnets(&ask(&["subnet-a", "subnet-x"])).await.unwrap_err();
    assert_eq!(error.class, FailureClass::NotFound);
    assert!(error.message.contains("subnet-x"), "{}", error.message);
    assert_eq!(cloud.subnets(&[]).await.unwrap(), []);
    assert_eq!(server.asked().len(), 2, "an empty list asks for nothing, not for everything");
}
