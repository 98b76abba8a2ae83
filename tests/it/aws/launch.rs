//! RunInstances on the wire: the same request is the same bytes, and nothing in them is chosen at the last moment.

use std::time::Duration;

use fleet_scaler::domain::failure::FailureClass;
use fleet_scaler::domain::launch::{Market, TemplateRef};
use fleet_scaler::provider::{CloudProvider as _, InstanceState};

use super::server::{Reply, Server};
use super::{connect, run_request};

const SECONDS: Duration = Duration::from_secs(20);

/// One launched instance in EC2's own format.
pub(super) fn instance_xml(id: &str, state: &str) -> String {
    format!(
        "<item><instanceId>{id}</instanceId><imageId>ami-1</imageId><instanceState><code>0</code><name>{state}</name>\
         </instanceState><instanceType>m7g.large</instanceType><launchTime>2026-11-22T10:11:12.345Z</launchTime>\
         <placement><availabilityZone>eu-west-1a</availabilityZone></placement><subnetId>subnet-a</subnetId>\
         <privateIpAddress>10.0.0.7</privateIpAddress><tagSet><item><key>fleet-scaler:fleet</key><value>web</value>\
         </item></tagSet></item>"
    )
}

/// A RunInstances answer.
pub(super) fn run_xml(instances: &str) -> String {
    format!(
        "<RunInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r-1</requestId>\
         <reservationId>r-9</reservationId><instancesSet>{instances}</instancesSet></RunInstancesResponse>"
    )
}

#[tokio::test]
async fn the_same_request_is_the_same_bytes() {
    let server = Server::always(Reply::ok(run_xml(&instance_xml("i-1", "pending")))).await;
    // Two processes, as after a crash: nothing that one of them remembers may be part of the request.
    connect(&server.url(), SECONDS).await.run_instances(&run_request(3)).await.unwrap();
    connect(&server.url(), SECONDS).await.run_instances(&run_request(3)).await.unwrap();
    connect(&server.url(), SECONDS).await.run_instances(&run_request(2)).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[0].body, asked[1].body);
    assert_ne!(asked[0].body, asked[2].body);
}

#[tokio::test]
async fn a_launch_says_what_was_frozen_and_nothing_else() {
    let server = Server::always(Reply::ok(run_xml(&instance_xml("i-1", "pending")))).await;
    connect(&server.url(), SECONDS).await.run_instances(&run_request(3)).await.unwrap();
    let asked = &server.asked()[0];
    let form = asked.form();
    let pairs: Vec<(&str, &str)> = form.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(
        pairs,
        [
            ("Action", "RunInstances"),
            ("ClientToken", "fs-0123456789abcdef0123456789abcdef"),
            ("InstanceInitiatedShutdownBehavior", "terminate"),
            ("InstanceType", "m7g.large"),
            ("LaunchTemplate.LaunchTemplateId", "lt-0abc"),
            ("LaunchTemplate.Version", "7"),
            ("MaxCount", "3"),
            ("MinCount", "1"),
            ("SubnetId", "subnet-a"),
            ("TagSpecification.1.ResourceType", "instance"),
            ("TagSpecification.1.Tag.1.Key", "Name"),
            ("TagSpecification.1.Tag.1.Value", "web & co=1/2"),
            ("TagSpecification.1.Tag.2.Key", "fleet-scaler:fleet"),
            ("TagSpecification.1.Tag.2.Value", "web"),
            ("TagSpecification.1.Tag.3.Key", "fleet-scaler:owner"),
            ("TagSpecification.1.Tag.3.Value", "prod-1"),
            ("Version", "2016-11-15"),
        ]
    );
    let agent = format!("{} {}", asked.headers["user-agent"], asked.headers["x-amz-user-agent"]);
    let version = env!("CARGO_PKG_VERSION");
    assert!(agent.contains("app/fleet-scaler"), "{agent}");
    assert!(agent.contains(&format!("lib/fleet-scaler/{version}")), "{agent}");
    assert!(asked.headers["authorization"].contains("/eu-west-1/ec2/aws4_request"));
}

#[tokio::test]
async fn a_spot_launch_by_name_without_a_type() {
    let server = Server::always(Reply::ok(run_xml(&instance_xml("i-1", "pending")))).await;
    let mut request = run_request(1);
    request.template.template = TemplateRef::Name("web".to_owned());
    request.template.market = Market::Spot;
    request.pool.instance_type = None;
    connect(&server.url(), SECONDS).await.run_instances(&request).await.unwrap();
    let form = server.asked()[0].form();
    assert_eq!(form["LaunchTemplate.LaunchTemplateName"], "web");
    assert_eq!(form["InstanceMarketOptions.MarketType"], "spot");
    assert_eq!(form["InstanceMarketOptions.SpotOptions.SpotInstanceType"], "one-time");
    assert_eq!(form["InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior"], "terminate");
    assert!(!form.contains_key("InstanceType"));
    assert!(!form.contains_key("LaunchTemplate.LaunchTemplateId"));
}

#[tokio::test]
async fn fewer_than_asked_is_an_answer() {
    let instances = format!("{}{}", instance_xml("i-2", "pending"), instance_xml("i-1", "pending"));
    let reply = Reply::ok(run_xml(&instances)).with("x-amzn-requestid", "req-1");
    let server = Server::always(reply).await;
    let reply = connect(&server.url(), SECONDS).await.run_instances(&run_request(5)).await.unwrap();
    let ids: Vec<&str> = reply.instances.iter().map(|instance| instance.id.as_str()).collect();
    assert_eq!(ids, ["i-1", "i-2"], "ordered by id");
    assert_eq!(reply.request_id.as_deref(), Some("req-1"));
    let first = &reply.instances[0];
    assert_eq!(first.state, InstanceState::Pending);
    assert_eq!(first.zone.as_str(), "eu-west-1a");
    assert_eq!(first.address, Some("10.0.0.7".parse().unwrap()));
    assert_eq!(first.launched_at.to_rfc3339(), "2026-11-22T10:11:12.345+00:00");
    assert_eq!(first.tags["fleet-scaler:fleet"], "web");
}

#[tokio::test]
async fn a_success_without_instances_is_no_success() {
    let server = Server::always(Reply::ok(run_xml(""))).await;
    let error = connect(&server.url(), SECONDS).await.run_instances(&run_request(1)).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FailureClass::Unknown, "MalformedReply"));
}

#[tokio::test]
async fn a_dry_run_says_yes_by_an_error() {
    let yes =
        Reply::ec2_error(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.");
    let server = Server::always(yes).await;
    connect(&server.url(), SECONDS).await.may_launch(&run_request(1)).await.unwrap();
    let form = server.asked()[0].form();
    assert_eq!(form["DryRun"], "true");
    assert_ne!(
        form["ClientToken"],
        run_request(1).client_token.as_str(),
        "the launch's own token is not used up"
    );
    assert!(form["ClientToken"].len() <= 64);
}

#[tokio::test]
async fn a_dry_run_that_is_refused_says_why() {
    let no =
        Reply::ec2_error(403, "UnauthorizedOperation", "You are not authorized to perform this operation.");
    let server = Server::always(no).await;
    let error = connect(&server.url(), SECONDS).await.may_launch(&run_request(1)).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FailureClass::Denied, "UnauthorizedOperation"));
}

#[tokio::test]
async fn an_endpoint_that_ignores_dry_run_is_found_out() {
    let server = Server::always(Reply::ok(run_xml(&instance_xml("i-77", "pending")))).await;
    let error = connect(&server.url(), SECONDS).await.may_launch(&run_request(1)).await.unwrap_err();
    assert_eq!(error.code, "DryRunIgnored");
    assert!(error.message.contains("i-77"), "{}", error.message);
}
