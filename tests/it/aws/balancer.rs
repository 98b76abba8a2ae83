//! Target groups, and TerminateInstances: who is named, at which port, in how many calls.

use std::time::Duration;

use fleet_scaler::domain::failure::FailureClass;
use fleet_scaler::domain::ids::{InstanceId, TargetGroupArn};
use fleet_scaler::provider::{CloudProvider as _, TargetId, TargetState};

use super::connect;
use super::server::{Asked, Reply, Server};

const SECONDS: Duration = Duration::from_secs(20);

/// An answer of ELBv2 around this result.
pub(super) fn elb_xml(action: &str, result: &str) -> String {
    format!(
        "<{action}Response xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><{action}Result>{result}\
         </{action}Result><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></{action}Response>"
    )
}

fn group() -> TargetGroupArn {
    TargetGroupArn::new("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/1")
}

/// An answer to TerminateInstances that speaks of every instance it was asked for.
pub(super) fn terminate_xml(asked: &Asked) -> String {
    let items: Vec<String> = asked
        .form()
        .iter()
        .filter(|(key, _)| key.starts_with("InstanceId."))
        .map(|(_, id)| {
            format!(
                "<item><instanceId>{id}</instanceId><currentState><code>32</code><name>shutting-down</name>\
                 </currentState></item>"
            )
        })
        .collect();
    format!(
        "<TerminateInstancesResponse><instancesSet>{}</instancesSet></TerminateInstancesResponse>",
        items.concat()
    )
}

/// A group of this type, with this deregistration delay where it has one.
pub(super) fn group_reply(action: &str, target_type: &str, delay: Option<&str>) -> Reply {
    let result = if action == "DescribeTargetGroups" {
        format!(
            "<TargetGroups><member><TargetGroupArn>{}</TargetGroupArn><Port>8080</Port><TargetType>{target_type}\
             </TargetType></member></TargetGroups>",
            group()
        )
    } else {
        let delay = delay.map(|value| {
            format!("<member><Key>deregistration_delay.timeout_seconds</Key><Value>{value}</Value></member>")
        });
        format!(
            "<Attributes><member><Key>stickiness.enabled</Key><Value>false</Value></member>{}</Attributes>",
            delay.unwrap_or_default()
        )
    };
    Reply::ok(elb_xml(action, &result))
}

#[tokio::test]
async fn a_group_tells_its_port_and_its_delay() {
    for (delay, seconds) in [(Some("45"), 45), (None, 300)] {
        let server = Server::start(move |asked, _| group_reply(&asked.action(), "instance", delay)).await;
        let found = connect(&server.url(), SECONDS).await.target_group(&group()).await.unwrap();
        assert_eq!(found.port, 8080);
        assert_eq!(found.deregistration_delay, Duration::from_secs(seconds));
        assert_eq!((found.arn, found.target_type.as_str()), (group(), "instance"));
        let signed_for = server.asked()[0].headers["authorization"].clone();
        assert!(signed_for.contains("/eu-west-1/elasticloadbalancing/aws4_request"), "{signed_for}");
    }
}

#[tokio::test]
async fn health_is_told_in_order_with_its_reason() {
    let member = |id: &str, port: u16, state: &str, reason: &str| {
        let reason = if reason.is_empty() { String::new() } else { format!("<Reason>{reason}</Reason>") };
        format!(
            "<member><Target><Id>{id}</Id><Port>{port}</Port></Target><TargetHealth><State>{state}</State>{reason}\
             </TargetHealth></member>"
        )
    };
    let members = [
        member("i-3", 8080, "draining", "Target.DeregistrationInProgress"),
        member("i-1", 8081, "healthy", ""),
        member("i-1", 8080, "initial", "Elb.RegistrationInProgress"),
        member("i-2", 8080, "unhealthy.draining", "Target.FailedHealthChecks"),
        member("i-4", 8080, "unused", "Target.NotInUse"),
    ];
    let result = format!("<TargetHealthDescriptions>{}</TargetHealthDescriptions>", members.concat());
    let server = Server::always(Reply::ok(elb_xml("DescribeTargetHealth", &result))).await;
    let health = connect(&server.url(), SECONDS).await.target_health(&group()).await.unwrap();
    let told: Vec<_> = health
        .iter()
        .map(|health| (health.target.host.as_str(), health.target.port, health.state, health.reason.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("i-1", 8080, TargetState::Initial, "Elb.RegistrationInProgress"),
            ("i-1", 8081, TargetState::Healthy, ""),
            ("i-2", 8080, TargetState::Unhealthy, "Target.FailedHealthChecks"),
            ("i-3", 8080, TargetState::Draining, "Target.DeregistrationInProgress"),
            ("i-4", 8080, TargetState::Unused, "Target.NotInUse"),
        ]
    );
}

#[tokio::test]
async fn a_target_in_a_state_that_nobody_knows_fails_the_read() {
    let result = "<TargetHealthDescriptions><member><Target><Id>i-1</Id><Port>80</Port></Target><TargetHealth>\
                  <State>meditating</State></TargetHealth></member></TargetHealthDescriptions>";
    let server = Server::always(Reply::ok(elb_xml("DescribeTargetHealth", result))).await;
    let error = connect(&server.url(), SECONDS).await.target_health(&group()).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FailureClass::Unknown, "MalformedReply"));
    assert!(error.message.contains("meditating"), "{}", error.message);
}

#[tokio::test]
async fn hosts_are_registered_at_the_groups_port_and_deregistered_at_their_own() {
    let server =
        Server::start(|asked, _| Reply::ok(elb_xml(&asked.action(), "")).with("x-amzn-requestid", "req-1"))
            .await;
    let cloud = connect(&server.url(), SECONDS).await;
    let receipt = cloud.register(&group(), &[InstanceId::new("i-1"), InstanceId::new("i-2")]).await.unwrap();
    assert_eq!(receipt.request_id.as_deref(), Some("req-1"));
    let target = TargetId { host: InstanceId::new("i-1"), port: 8081 };
    cloud.deregister(&group(), &[target]).await.unwrap();
    let asked = server.asked();
    let register = asked[0].form();
    assert_eq!(
        (register["Targets.member.1.Id"].as_str(), register["Targets.member.2.Id"].as_str()),
        ("i-1", "i-2")
    );
    assert!(!register.contains_key("Targets.member.1.Port"));
    let deregister = asked[1].form();
    assert_eq!(deregister["TargetGroupArn"], group().as_str());
    assert_eq!(deregister["Targets.member.1.Id"], "i-1");
    assert_eq!(deregister["Targets.member.1.Port"], "8081");
}

#[tokio::test]
async fn long_lists_go_in_batches_and_empty_ones_not_at_all() {
    let server = Server::start(|asked, index| {
        let action = asked.action();
        let body = match action.as_str() {
            "TerminateInstances" => terminate_xml(asked),
            _ => elb_xml(&action, ""),
        };
        Reply::ok(body).with("x-amzn-requestid", format!("req-{index}"))
    })
    .await;
    let cloud = connect(&server.url(), SECONDS).await;
    let hosts: Vec<InstanceId> = (0..501).map(|number| InstanceId::new(format!("i-{number}"))).collect();
    let receipt = cloud.register(&group(), &hosts[..101]).await.unwrap();
    assert_eq!(receipt.request_id.as_deref(), Some("req-0,req-1"));
    let receipt = cloud.terminate(&hosts).await.unwrap();
    assert_eq!(receipt.request_id.as_deref(), Some("req-2,req-3"));
    let asked = server.asked();
    assert_eq!(asked[1].form()["Targets.member.1.Id"], "i-100");
    assert_eq!(asked[2].form()["InstanceId.500"], "i-499");
    assert_eq!(asked[3].form()["InstanceId.1"], "i-500");
    assert_eq!(cloud.register(&group(), &[]).await.unwrap().request_id, None);
    assert_eq!(cloud.deregister(&group(), &[]).await.unwrap().request_id, None);
    assert_eq!(cloud.terminate(&[]).await.unwrap().request_id, None);
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn a_protected_host_is_told_apart() {
    let reply = Reply::ec2_error(400, "OperationNotPermitted", "The instance 'i-1' may not be terminated.");
    let server = Server::always(reply).await;
    let error = connect(&server.url(), SECONDS).await.terminate(&[InstanceId::new("i-1")]).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Protected);
}
