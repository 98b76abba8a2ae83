//! Bad days: every failure is sent once, has a class, and is a refusal only where the cloud said so.

use std::time::{Duration, Instant};

use chrono::{NaiveDateTime, TimeDelta, Utc};
use fleet_scaler::clock::{Clock as _, SystemClock};
use fleet_scaler::domain::failure::{CloudError, FailureClass};
use fleet_scaler::domain::ids::{InstanceId, OwnerName, TargetGroupArn};
use fleet_scaler::provider::CloudProvider as _;

use super::launch::{instance_xml, run_xml};
use super::server::{Reply, Server};
use super::{connect, run_request};

const SECONDS: Duration = Duration::from_secs(20);

/// Launches against this reply; the failure, and how often the call was sent.
async fn launch_against(reply: Reply, timeout: Duration) -> (CloudError, usize) {
    let server = Server::always(reply).await;
    let error = connect(&server.url(), timeout).await.run_instances(&run_request(1)).await.unwrap_err();
    (error, server.asked().len())
}

#[tokio::test]
async fn a_capacity_refusal_comes_as_a_500_and_is_sent_once() {
    let reply =
        Reply::ec2_error(500, "InsufficientInstanceCapacity", "We currently do not have sufficient capacity");
    let (error, sent) = launch_against(reply.with("x-amzn-requestid", "req-ice"), SECONDS).await;
    assert_eq!(sent, 1);
    assert_eq!(error.class, FailureClass::Capacity);
    assert_eq!(error.code, "InsufficientInstanceCapacity");
    assert_eq!(error.message, "We currently do not have sufficient capacity");
    assert_eq!(error.request_id.as_deref(), Some("req-ice"));
}

#[tokio::test]
async fn what_ec2_says_is_classed_by_its_code() {
    for (status, code, class) in [
        (400, "VcpuLimitExceeded", FailureClass::Quota),
        (503, "RequestLimitExceeded", FailureClass::Throttled),
        (400, "InvalidAMIID.NotFound", FailureClass::Invalid),
        (403, "UnauthorizedOperation", FailureClass::Denied),
        (400, "IdempotentParameterMismatch", FailureClass::TokenMismatch),
        (400, "IdempotentInstanceTerminated", FailureClass::TokenSpent),
        (500, "InternalError", FailureClass::Unknown),
        (503, "Unavailable", FailureClass::Unknown),
    ] {
        let (error, sent) = launch_against(Reply::ec2_error(status, code, "words"), SECONDS).await;
        assert_eq!((error.class, error.code.as_str(), sent), (class, code, 1));
        assert_eq!(error.request_id.as_deref(), Some("req-of-the-body"), "{code}");
    }
}

#[tokio::test]
async fn what_elbv2_says_is_classed_by_its_code() {
    let group = TargetGroupArn::new("arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/web/1");
    for (status, code, class) in [
        (400, "TargetGroupNotFound", FailureClass::NotFound),
        (400, "InvalidTarget", FailureClass::NotFound),
        (400, "Throttling", FailureClass::Throttled),
        (400, "TooManyTargets", FailureClass::Quota),
        (403, "AccessDenied", FailureClass::Denied),
    ] {
        let server = Server::always(Reply::elb_error(status, code, "words")).await;
        let cloud = connect(&server.url(), SECONDS).await;
        let error = cloud.register(&group, &[InstanceId::new("i-1")]).await.unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (class, code));
        assert_eq!((error.message.as_str(), error.request_id.as_deref()), ("words", Some("req-of-the-body")));
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_reset_is_unknown_and_sent_once() {
    let (error, sent) = launch_against(Reply::Reset, SECONDS).await;
    assert_eq!((error.class, error.code.as_str(), sent), (FailureClass::Unknown, "ConnectionReset", 1));
}

#[tokio::test]
async fn a_reset_of_a_connection_that_was_used_before_is_sent_once_too() {
    // A pool likes to try again on a fresh connection when an old one turns out dead. Not after it has sent a launch.
    let server = Server::start(|_, index| match index {
        0 => Reply::ok(run_xml(&instance_xml("i-1", "pending"))),
        _ => Reply::Reset,
    })
    .await;
    let cloud = connect(&server.url(), SECONDS).await;
    cloud.run_instances(&run_request(1)).await.unwrap();
    let error = cloud.run_instances(&run_request(1)).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FailureClass::Unknown, "ConnectionReset"));
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn an_end_without_an_answer_is_unknown_and_sent_once() {
    let (error, sent) = launch_against(Reply::Raw(Vec::new()), SECONDS).await;
    assert_eq!((error.class, error.code.as_str(), sent), (FailureClass::Unknown, "ConnectionReset", 1));
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n<RunInstancesResponse>";
    let (error, sent) = launch_against(Reply::Raw(half.into()), SECONDS).await;
    assert_eq!((error.class, error.code.as_str(), sent), (FailureClass::Unknown, "ConnectionReset", 1));
}

#[tokio::test]
async fn a_call_is_given_up_at_its_deadline() {
    for reply in [Reply::Hang, Reply::Drip] {
        let started = Instant::now();
        let (error, sent) = launch_against(reply, Duration::from_millis(300)).await;
        assert_eq!((error.class, error.code.as_str(), sent), (FailureClass::Unknown, "Timeout", 1));
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_read_is_not_repeated_behind_our_back_either() {
    let server = Server::always(Reply::ec2_error(503, "RequestLimitExceeded", "slow down")).await;
    let cloud = connect(&server.url(), SECONDS).await;
    let error = cloud.instances(&OwnerName::new("prod-1")).await.unwrap_err();
    assert_eq!((error.class, server.asked().len()), (FailureClass::Throttled, 1));
}

#[tokio::test]
async fn nobody_listening_means_nothing_was_sent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = connect(&url, SECONDS).await.run_instances(&run_request(1)).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FailureClass::Unknown, "ConnectFailed"));
}

#[tokio::test]
async fn a_gateways_page_is_no_answer() {
    for (status, code) in [(502, "Http502"), (503, "Http503"), (403, "Http403"), (200, "MalformedReply")] {
        let page = "<html><head><title>gateway</title></head><body>sorry</body></html>";
        let (error, sent) = launch_against(Reply::Answer(status, Vec::new(), page.to_owned()), SECONDS).await;
        assert_eq!((error.class, error.code.as_str(), sent), (FailureClass::Unknown, code, 1), "{error}");
    }
}

#[tokio::test]
async fn a_launch_reply_that_is_cut_short_is_unknown_at_every_byte() {
    let whole = run_xml(&instance_xml("i-1", "pending"));
    for end in (0..whole.len()).step_by(7) {
        let (error, _) = launch_against(Reply::ok(&whole[..end]), SECONDS).await;
        assert_eq!(error.class, FailureClass::Unknown, "cut at {end}: {error}");
    }
}

#[tokio::test]
async fn a_body_without_end_is_given_up() {
    let server = Server::always(Reply::Endless).await;
    let cloud = connect(&server.url(), Duration::from_mins(2)).await;
    let error = cloud.run_instances(&run_request(1)).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Unknown, "{error}");
    assert!(server.written() < 100 << 20, "{} bytes were taken", server.written());
}

#[tokio::test]
async fn a_wrong_clock_is_no_wrong_key() {
    let ahead = SystemClock.now() + TimeDelta::hours(1);
    let date = ahead.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let refusal =
        Reply::ec2_error(401, "AuthFailure", "AWS was not able to validate the provided access credentials");
    let server = Server::start(move |_, index| match index {
        0 => refusal.clone().with("date", date.clone()),
        _ => Reply::ok(run_xml(&instance_xml("i-1", "pending"))),
    })
    .await;
    let cloud = connect(&server.url(), SECONDS).await;
    let error = cloud.run_instances(&run_request(1)).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FailureClass::Unknown, "AuthFailure"));
    assert!(error.message.contains("clock"), "{}", error.message);
    cloud.run_instances(&run_request(1)).await.unwrap();
    let asked = server.asked();
    let signed_at = NaiveDateTime::parse_from_str(&asked[1].headers["x-amz-date"], "%Y%m%dT%H%M%SZ").unwrap();
    let off = (signed_at.and_utc() - ahead.with_timezone(&Utc)).abs();
    assert!(off < TimeDelta::minutes(2), "signed at {signed_at}, the cloud's time is {ahead}");
    assert_eq!(asked[0].body, asked[1].body, "the clock is in the signature, not in the request");
}

#[tokio::test]
async fn a_wrong_key_is_a_wrong_key() {
    let date = SystemClock.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let refusal =
        Reply::ec2_error(401, "AuthFailure", "AWS was not able to validate the provided access credentials");
    let (error, sent) = launch_against(refusal.with("date", date), SECONDS).await;
    assert_eq!((error.class, error.code.as_str(), sent), (FailureClass::Denied, "AuthFailure", 1));
}

#[tokio::test]
async fn long_words_are_cut() {
    let words = "é".repeat(50_000);
    let (error, _) = launch_against(Reply::ec2_error(403, "UnauthorizedOperation", &words), SECONDS).await;
    assert!(error.message.chars().count() <= 1_001);
}
