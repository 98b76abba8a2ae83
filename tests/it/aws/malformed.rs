//! Replies that are none: every operation against everything that can be wrong with what comes back.
//!
//! Three promises. A reply that is not whole is never believed: what is read is what the cloud said, or an error. A change
//! that may have been made is never called refused: what is not a whole document in which the cloud says so is unknown.
//! And whatever comes, the answer comes in bounded time and space.

mod damage;

use std::sync::Arc;
use std::time::Duration;

use fleet_scaler::domain::failure::{CloudError, FailureClass};
use fleet_scaler::domain::ids::{InstanceId, LaunchId, OwnerName, SubnetId, TargetGroupArn};
use fleet_scaler::domain::launch::TemplateRef;
use fleet_scaler::provider::aws::AwsProvider;
use fleet_scaler::provider::{CloudProvider as _, TargetId};

use super::balancer::{elb_xml, group_reply, terminate_xml};
use super::launch::{instance_xml, run_xml};
use super::reads::page;
use super::server::{Asked, Reply, Server};
use super::{connect, run_request};

const SECONDS: Duration = Duration::from_secs(20);
const GROUP: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/1";

/// Everything that is asked of AWS, by the call whose reply is damaged.
const OPERATIONS: [&str; 11] = [
    "DescribeInstances",
    "DescribeInstancesOfLaunch",
    "DescribeLaunchTemplateVersions",
    "DescribeSubnets",
    "DescribeTargetGroups",
    "DescribeTargetGroupAttributes",
    "DescribeTargetHealth",
    "RunInstances",
    "RegisterTargets",
    "DeregisterTargets",
    "TerminateInstances",
];

/// What the cloud says on a good day.
fn whole(action: &str) -> String {
    let instances = format!("{}{}", instance_xml("i-1", "running"), instance_xml("i-2", "pending"));
    let member = |id: &str, state: &str| {
        format!(
            "<member><Target><Id>{id}</Id><Port>8080</Port></Target><TargetHealth><State>{state}</State>\
             <Reason>Target.Why</Reason></TargetHealth></member>"
        )
    };
    match action {
        "DescribeInstances" | "DescribeInstancesOfLaunch" => page(&instances, None),
        "RunInstances" => run_xml(&instances),
        "DescribeLaunchTemplateVersions" => {
            "<DescribeLaunchTemplateVersionsResponse><launchTemplateVersionSet><item><versionNumber>12</versionNumber>\
             </item></launchTemplateVersionSet></DescribeLaunchTemplateVersionsResponse>"
                .to_owned()
        }
        "DescribeSubnets" => {
            "<DescribeSubnetsResponse><subnetSet><item><subnetId>subnet-a</subnetId><availabilityZone>eu-west-1a\
             </availabilityZone></item></subnetSet></DescribeSubnetsResponse>"
                .to_owned()
        }
        "DescribeTargetGroups" | "DescribeTargetGroupAttributes" => {
            match group_reply(action, "instance", Some("45")) {
                Reply::Answer(_, _, body) => body,
                other => panic!("{other:?} is no answer"),
            }
        }
        "DescribeTargetHealth" => {
            let members = format!("{}{}", member("i-1", "healthy"), member("i-2", "draining"));
            elb_xml(action, &format!("<TargetHealthDescriptions>{members}</TargetHealthDescriptions>"))
        }
        "TerminateInstances" => "<TerminateInstancesResponse><instancesSet><item><instanceId>i-1</instanceId></item>\
                                 </instancesSet></TerminateInstancesResponse>"
            .to_owned(),
        _ => elb_xml(action, ""),
    }
}

/// Asks; what came of it in words, without the request's id.
async fn ask(cloud: &AwsProvider, action: &str) -> Result<String, CloudError> {
    let (group, host) = (TargetGroupArn::new(GROUP), InstanceId::new("i-1"));
    let target = TargetId { host: host.clone(), port: 8080 };
    Ok(match action {
        "DescribeInstances" => format!("{:?}", cloud.instances(&OwnerName::new("prod-1")).await?),
        "DescribeInstancesOfLaunch" => {
            format!("{:?}", cloud.instances_of_launch(LaunchId(uuid::Uuid::from_u128(7))).await?)
        }
        "DescribeLaunchTemplateVersions" => {
            format!("{:?}", cloud.template_version(&TemplateRef::Id("lt-1".to_owned()), "$Latest").await?)
        }
        "DescribeSubnets" => format!("{:?}", cloud.subnets(&[SubnetId::new("subnet-a")]).await?),
        "DescribeTargetGroups" | "DescribeTargetGroupAttributes" => {
            format!("{:?}", cloud.target_group(&group).await?)
        }
        "DescribeTargetHealth" => format!("{:?}", cloud.target_health(&group).await?),
        "RunInstances" => format!("{:?}", cloud.run_instances(&run_request(2)).await?.instances),
        "RegisterTargets" => cloud.register(&group, &[host]).await.map(|_| "done".to_owned())?,
        "DeregisterTargets" => cloud.deregister(&group, &[target]).await.map(|_| "done".to_owned())?,
        "TerminateInstances" => cloud.terminate(&[host]).await.map(|_| "done".to_owned())?,
        other => panic!("{other} is no operation"),
    })
}

/// A cloud that answers one operation with what it is handed, and the others as on a good day.
struct Stage {
    server: Server,
    cloud: AwsProvider,
    next: Arc<std::sync::Mutex<Reply>>,
    action: &'static str,
}

impl Stage {
    async fn new(action: &'static str) -> Self {
        let next = Arc::new(std::sync::Mutex::new(Reply::ok(whole(action))));
        let shown = next.clone();
        let server = Server::start(move |asked: &Asked, _| match asked.action() {
            asked if action.starts_with(&asked) => shown.lock().unwrap().clone(),
            asked => Reply::ok(whole(&asked)),
        })
        .await;
        let cloud = connect(&server.url(), SECONDS).await;
        Self { server, cloud, next, action }
    }

    async fn answer(&self, reply: Reply) -> Result<String, CloudError> {
        *self.next.lock().unwrap() = reply;
        ask(&self.cloud, self.action).await
    }
}

#[tokio::test]
async fn a_whole_reply_is_believed() {
    for action in OPERATIONS {
        let stage = Stage::new(action).await;
        let answer = stage.answer(Reply::ok(whole(action))).await;
        assert!(answer.is_ok(), "{action}: {answer:?}");
        assert!(!stage.server.asked().is_empty());
    }
}

/// What is no whole answer to the question is unknown, whatever its status.
#[tokio::test]
async fn no_damaged_reply_is_believed() {
    for action in OPERATIONS {
        let stage = Stage::new(action).await;
        for (name, reply) in damage::replies(action, &whole(action)) {
            match stage.answer(reply).await {
                Ok(answer) => panic!("{action}, {name}: {answer} was believed"),
                Err(error) => {
                    assert_eq!(error.class, FailureClass::Unknown, "{action}, {name}: {error}");
                    assert!(error.code.len() <= 128 && error.message.len() <= 4_096, "{action}, {name}");
                }
            }
        }
    }
}

/// Cut at every byte, with a length that agrees and without any length.
#[tokio::test]
async fn no_reply_is_believed_before_its_last_byte() {
    for action in ["DescribeInstances", "DescribeTargetHealth", "RunInstances"] {
        let stage = Stage::new(action).await;
        let whole = whole(action);
        for end in 0..whole.len() {
            let raw = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", &whole[..end]);
            for reply in [Reply::ok(&whole[..end]), Reply::Raw(raw.into_bytes())] {
                let error = stage.answer(reply).await.expect_err("a reply that is cut short");
                assert_eq!(error.class, FailureClass::Unknown, "{action}, cut at {end}: {error}");
            }
        }
    }
}

/// A refusal that breaks off is none: the code may stand there already, and what it is part of is not known.
#[tokio::test]
async fn no_refusal_is_believed_before_its_last_byte() {
    for action in ["RunInstances", "DeregisterTargets", "TerminateInstances"] {
        let stage = Stage::new(action).await;
        let (code, class) = ("InvalidParameterValue", FailureClass::Invalid);
        let refusal = match action {
            "DeregisterTargets" => Reply::elb_error(400, code, "words"),
            _ => Reply::ec2_error(400, code, "words"),
        };
        let Reply::Answer(status, _, whole) = refusal.clone() else { panic!("no answer") };
        assert_eq!(stage.answer(refusal).await.unwrap_err().class, class);
        for end in 0..whole.trim_end().len() {
            let cut = Reply::Answer(status, Vec::new(), whole[..end].to_owned());
            let error = stage.answer(cut).await.expect_err("a refusal");
            assert_eq!(error.class, FailureClass::Unknown, "{action}, cut at {end}: {error}");
        }
    }
}

/// Each element left out in turn, entries of lists aside: what is still believed is what was said before.
#[tokio::test]
async fn no_answer_lacks_what_its_reply_left_out() {
    for action in OPERATIONS {
        let stage = Stage::new(action).await;
        let whole = whole(action);
        let good = stage.answer(Reply::ok(&whole)).await.unwrap();
        let without = damage::without_each_element(&whole);
        assert!(!without.is_empty() || whole.contains("Result></"), "{action} has no elements");
        for (element, body) in without {
            match stage.answer(Reply::ok(body)).await {
                Err(error) => {
                    assert_eq!(error.class, FailureClass::Unknown, "{action}, <{element}>: {error}");
                }
                // What EC2 leaves out at times, and what the default stands for.
                Ok(answer) if ["subnetId", "privateIpAddress", "tagSet", "value"].contains(&&*element) => {
                    let hosts = |text: &str| text.matches("InstanceId(").count();
                    assert_eq!(hosts(&answer), hosts(&good), "{action}, <{element}>");
                }
                Ok(answer) if ["Reason", "member"].contains(&&*element) => {
                    assert_eq!(answer.matches("state").count(), good.matches("state").count(), "{action}");
                }
                Ok(answer) => assert_eq!(answer, good, "{action}, <{element}>"),
            }
        }
    }
}

/// A page of every kind of list that says nothing is an empty list only where it says that it is one.
#[tokio::test]
async fn an_empty_list_is_one_that_is_there() {
    for (action, empty, missing) in [
        ("DescribeInstances", "<reservationSet/>", "<requestId>r</requestId>"),
        ("DescribeTargetHealth", "<TargetHealthDescriptions/>", ""),
    ] {
        let stage = Stage::new(action).await;
        let document = |inside: &str| match action {
            "DescribeInstances" => format!("<{action}Response>{inside}</{action}Response>"),
            _ => elb_xml(action, inside),
        };
        assert_eq!(stage.answer(Reply::ok(document(empty))).await.unwrap(), "[]");
        let error = stage.answer(Reply::ok(document(missing))).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (FailureClass::Unknown, "MalformedReply"));
    }
}

#[tokio::test]
async fn a_host_that_is_told_twice_is_one() {
    let twice = format!("{}{}", instance_xml("i-1", "pending"), instance_xml("i-1", "pending"));
    let stage = Stage::new("RunInstances").await;
    let answer = stage.answer(Reply::ok(run_xml(&twice))).await.unwrap();
    assert_eq!(answer.matches("InstanceId(").count(), 1, "{answer}");
}

#[tokio::test]
async fn terminating_is_done_when_every_host_is_spoken_of() {
    let server = Server::start(|asked, _| Reply::ok(terminate_xml(asked))).await;
    let hosts = [InstanceId::new("i-1"), InstanceId::new("i-2")];
    connect(&server.url(), SECONDS).await.terminate(&hosts).await.unwrap();
    let server = Server::always(Reply::ok(whole("TerminateInstances"))).await;
    let error = connect(&server.url(), SECONDS).await.terminate(&hosts).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Unknown);
    assert!(error.message.contains("i-2"), "{error}");
}
