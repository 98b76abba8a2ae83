//! EC2 and ELBv2 as they are spoken over HTTP, read as text: what the SDKs make of it is tested with them.

use std::net::SocketAddr;

use fleet_scaler::provider::simulated::options::DEFAULT_TARGET_GROUP;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Bench, eventually, http, quiet, with_wire};

/// A caller over HTTP.
struct Wire {
    http: reqwest::Client,
    addr: SocketAddr,
}

impl Wire {
    fn of(bench: &Bench) -> Self {
        Self { http: http(), addr: bench.handle.addr.unwrap() }
    }

    async fn send(&self, version: &str, form: &[(&str, &str)]) -> reqwest::Result<(StatusCode, String)> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .append_pair("Version", version)
            .finish();
        let request = self.http.post(format!("http://{}/", self.addr)).body(body);
        let response = request.header("content-type", "application/x-www-form-urlencoded").send().await?;
        assert!(response.headers().contains_key("x-amzn-requestid"));
        Ok((response.status(), response.text().await?))
    }

    async fn ec2(&self, form: &[(&str, &str)]) -> (StatusCode, String) {
        self.send("2016-11-15", form).await.unwrap()
    }

    async fn elb(&self, form: &[(&str, &str)]) -> (StatusCode, String) {
        self.send("2015-12-01", form).await.unwrap()
    }

    async fn admin(&self, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let method = method.parse().unwrap();
        let request = self.http.request(method, format!("http://{}/_sim/{path}", self.addr));
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }
}

/// The text of every element of this name, in order. Also checks that the whole of it is XML.
fn texts(document: &str, element: &str) -> Vec<String> {
    let mut reader = quick_xml::Reader::from_str(document);
    let (mut depth, mut found, mut inside) = (0_i32, Vec::new(), None::<String>);
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Start(start) => {
                depth += 1;
                if start.name().as_ref() == element.as_bytes() {
                    inside = Some(String::new());
                }
            }
            quick_xml::events::Event::Text(text) => {
                if let Some(inside) = &mut inside {
                    inside.push_str(&text.decode().unwrap());
                }
            }
            quick_xml::events::Event::GeneralRef(reference) => {
                if let Some(inside) = &mut inside {
                    let name = reference.decode().unwrap();
                    inside.push_str(quick_xml::escape::resolve_xml_entity(&name).unwrap());
                }
            }
            quick_xml::events::Event::End(end) => {
                depth -= 1;
                if end.name().as_ref() == element.as_bytes() {
                    found.extend(inside.take());
                }
            }
            quick_xml::events::Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0, "{document}");
    found
}

fn text(document: &str, element: &str) -> String {
    texts(document, element).into_iter().next().unwrap_or_else(|| panic!("no <{element}> in {document}"))
}

const RUN: [(&str, &str); 7] = [
    ("Action", "RunInstances"),
    ("LaunchTemplate.LaunchTemplateName", "web"),
    ("LaunchTemplate.Version", "$Latest"),
    ("SubnetId", "subnet-b"),
    ("MinCount", "1"),
    ("ClientToken", "t1"),
    ("InstanceInitiatedShutdownBehavior", "terminate"),
];

const TAGS: [(&str, &str); 5] = [
    ("TagSpecification.1.ResourceType", "instance"),
    ("TagSpecification.1.Tag.1.Key", "team"),
    ("TagSpecification.1.Tag.1.Value", "a<b&c"),
    ("TagSpecification.1.Tag.2.Key", "fleet-scaler:owner"),
    ("TagSpecification.1.Tag.2.Value", "prod-1"),
];

fn run(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&RUN[..], &TAGS, more].concat()
}

#[tokio::test]
async fn instances_are_launched_described_and_terminated() {
    let bench = Bench::start(with_wire(quiet())).await;
    let wire = Wire::of(&bench);
    let (status, launched) = wire.ec2(&run(&[("MaxCount", "2"), ("InstanceType", "c7g.xlarge")])).await;
    assert_eq!(status, StatusCode::OK, "{launched}");
    assert!(launched.contains("<RunInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">"));
    let ids = texts(&launched, "instanceId");
    assert_eq!(ids.len(), 2);
    assert_eq!(texts(&launched, "availabilityZone"), ["eu-west-1b", "eu-west-1b"]);
    assert_eq!(text(&launched, "imageId"), "ami-0000000000000003", "the latest version's");
    assert_eq!(text(&launched, "instanceType"), "c7g.xlarge", "over the template's");
    assert_eq!(text(&launched, "launchTime"), "1998-06-10T13:00:00.000Z");

    bench.pass(31);
    let filter = [
        ("Action", "DescribeInstances"),
        ("Filter.1.Name", "tag:team"),
        ("Filter.1.Value.1", "a<b*"),
        ("Filter.2.Name", "instance-state-name"),
        ("Filter.2.Value.1", "running"),
        ("Filter.3.Name", "client-token"),
        ("Filter.3.Value.1", "t1"),
    ];
    let (_, described) = wire.ec2(&filter).await;
    let mut sorted = ids.clone();
    sorted.sort();
    assert_eq!(texts(&described, "instanceId"), sorted);
    assert_eq!(texts(&described, "code"), ["16", "16"]);
    assert_eq!(texts(&described, "value"), ["prod-1", "a<b&c", "prod-1", "a<b&c"]);
    assert_eq!(texts(&described, "reservationId").len(), 1);

    let terminate = [("Action", "TerminateInstances"), ("InstanceId.1", ids[0].as_str())];
    let (_, changes) = wire.ec2(&terminate).await;
    assert_eq!(texts(&changes, "name"), ["shutting-down", "running"]);
    bench.pass(11);
    let named = [("Action", "DescribeInstances"), ("InstanceId.1", ids[0].as_str())];
    let (_, dead) = wire.ec2(&named).await;
    assert_eq!(text(&dead, "name"), "terminated");
    assert!(texts(&dead, "privateIpAddress").is_empty() && texts(&dead, "subnetId").is_empty());
    assert!(text(&dead, "message").starts_with("Client.UserInitiatedShutdown"));
}

#[tokio::test]
async fn refusals_have_their_codes_and_statuses() {
    let bench = Bench::start(with_wire(quiet())).await;
    let wire = Wire::of(&bench);
    bench.fault(&json!({ "fault": "capacity", "zone": "eu-west-1b", "left": 2 }));
    let cases = [
        (run(&[("MaxCount", "3"), ("MinCount", "3")]), 500, "InsufficientInstanceCapacity"),
        (run(&[("MaxCount", "1"), ("DryRun", "true")]), 412, "DryRunOperation"),
        (run(&[("MaxCount", "0")]), 400, "InvalidParameterValue"),
        (run(&[("MaxCount", "many")]), 400, "InvalidParameterValue"),
        (run(&[]), 400, "MissingParameter"),
        (run(&[("MaxCount", "1"), ("SubnetId", "subnet-x")]), 400, "InvalidSubnetID.NotFound"),
        (
            run(&[("MaxCount", "1"), ("LaunchTemplate.Version", "9")]),
            400,
            "InvalidLaunchTemplateId.VersionNotFound",
        ),
        (vec![("Action", "StopInstances")], 400, "InvalidAction"),
        (vec![("NoAction", "x")], 400, "MissingAction"),
        (
            vec![("Action", "TerminateInstances"), ("InstanceId.1", "web-1")],
            400,
            "InvalidInstanceID.Malformed",
        ),
        (vec![("Action", "DescribeInstances"), ("Filter.1.Name", "colour")], 400, "InvalidParameterValue"),
        (vec![("Action", "DescribeInstances"), ("MaxResults", "2")], 400, "InvalidParameterValue"),
        (
            vec![("Action", "DescribeLaunchTemplateVersions"), ("LaunchTemplateId", "lt-none")],
            400,
            "InvalidLaunchTemplateId.NotFound",
        ),
    ];
    for (form, status, code) in cases {
        let (got, document) = wire.ec2(&form).await;
        assert_eq!((got.as_u16(), text(&document, "Code").as_str()), (status, code), "{form:?}");
        assert!(document.contains("<Response><Errors><Error>") && !text(&document, "RequestID").is_empty());
    }
    let (status, document) = wire.ec2(&run(&[("MaxCount", "5")])).await;
    let told = (status.as_u16(), text(&document, "Code"));
    assert_eq!(told, (400, "IdempotentParameterMismatch".to_owned()), "the refused launch bound its token");
    let other = run(&[("MaxCount", "5"), ("ClientToken", "t2")]);
    assert_eq!(texts(&wire.ec2(&other).await.1, "instanceId").len(), 2, "MinCount 1 takes what there is");
}

#[tokio::test]
async fn target_groups_are_spoken_to() {
    let bench = Bench::start(with_wire(quiet())).await;
    let wire = Wire::of(&bench);
    let (_, launched) = wire.ec2(&run(&[("MaxCount", "1")])).await;
    let id = text(&launched, "instanceId");
    let register = [
        ("Action", "RegisterTargets"),
        ("TargetGroupArn", DEFAULT_TARGET_GROUP),
        ("Targets.member.1.Id", id.as_str()),
        ("Targets.member.1.Port", "8080"),
    ];
    let (status, early) = wire.elb(&register).await;
    assert_eq!((status.as_u16(), text(&early, "Code").as_str()), (400, "InvalidTarget"));
    assert_eq!(text(&early, "Type"), "Sender");
    bench.pass(31);
    let (status, done) = wire.elb(&register).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert!(done.contains("<RegisterTargetsResult>") && !text(&done, "RequestId").is_empty());
    let health = [("Action", "DescribeTargetHealth"), ("TargetGroupArn", DEFAULT_TARGET_GROUP)];
    let (_, seen) = wire.elb(&health).await;
    assert_eq!((text(&seen, "State"), text(&seen, "Port")), ("initial".to_owned(), "8080".to_owned()));
    let stranger = [&health[..], &[("Targets.member.1.Id", "i-0123")]].concat();
    assert_eq!(text(&wire.elb(&stranger).await.1, "Reason"), "Target.NotRegistered");

    let (_, groups) = wire.elb(&[("Action", "DescribeTargetGroups")]).await;
    assert_eq!(text(&groups, "TargetGroupArn"), DEFAULT_TARGET_GROUP);
    let of_group = [("Action", "DescribeTargetGroupAttributes"), ("TargetGroupArn", DEFAULT_TARGET_GROUP)];
    let (_, attributes) = wire.elb(&of_group).await;
    let at = texts(&attributes, "Key").iter().position(|key| key == "deregistration_delay.timeout_seconds");
    assert_eq!(texts(&attributes, "Value")[at.unwrap()], "300");

    bench.fault(&json!({ "fault": "throttle", "op": "DescribeTargetHealth", "size": 0.0 }));
    let (status, throttled) = wire.elb(&health).await;
    assert_eq!((status.as_u16(), text(&throttled, "Code").as_str()), (400, "Throttling"));
    let unknown = [("Action", "DescribeTargetHealth"), ("TargetGroupArn", "arn:none")];
    bench.cloud().clear_faults();
    assert_eq!(text(&wire.elb(&unknown).await.1, "Code"), "TargetGroupNotFound");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let bench = Bench::start(with_wire(quiet())).await;
    let wire = Wire::of(&bench);
    let (_, launched) = wire.ec2(&run(&[("MaxCount", "12")])).await;
    let mut expected = texts(&launched, "instanceId");
    expected.sort();
    let (mut seen, mut sizes, mut token) = (Vec::new(), Vec::new(), None::<String>);
    loop {
        let mut form = vec![("Action", "DescribeInstances"), ("MaxResults", "5")];
        form.extend(token.as_deref().map(|token| ("NextToken", token)));
        let (_, page) = wire.ec2(&form).await;
        let ids = texts(&page, "instanceId");
        sizes.push(ids.len());
        seen.extend(ids);
        token = texts(&page, "nextToken").pop();
        if token.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [5, 5, 2]);
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn the_other_describes_answer() {
    let bench = Bench::start(with_wire(quiet())).await;
    let wire = Wire::of(&bench);
    let (_, subnets) = wire.ec2(&[("Action", "DescribeSubnets"), ("SubnetId.1", "subnet-c")]).await;
    assert_eq!(texts(&subnets, "availabilityZone"), ["eu-west-1c"]);
    let (_, zones) = wire.ec2(&[("Action", "DescribeAvailabilityZones")]).await;
    assert_eq!(texts(&zones, "zoneName"), ["eu-west-1a", "eu-west-1b", "eu-west-1c"]);
    let (_, templates) = wire.ec2(&[("Action", "DescribeLaunchTemplates")]).await;
    assert_eq!(
        (text(&templates, "launchTemplateName"), text(&templates, "latestVersionNumber")),
        ("web".into(), "3".into())
    );
    let versions = [
        ("Action", "DescribeLaunchTemplateVersions"),
        ("LaunchTemplateName", "web"),
        ("LaunchTemplateVersion.1", "$Default"),
    ];
    assert_eq!(texts(&wire.ec2(&versions).await.1, "versionNumber"), ["1"]);
    let (_, launched) = wire.ec2(&run(&[("MaxCount", "1")])).await;
    let id = text(&launched, "instanceId");
    let tag =
        [("Action", "CreateTags"), ("ResourceId.1", id.as_str()), ("Tag.1.Key", "x"), ("Tag.1.Value", "y")];
    assert_eq!(text(&wire.ec2(&tag).await.1, "return"), "true");
    let by_key = [("Action", "DescribeInstances"), ("Filter.1.Name", "tag-key"), ("Filter.1.Value.1", "x")];
    assert_eq!(texts(&wire.ec2(&by_key).await.1, "instanceId"), [id.as_str()]);
    bench.pass(31);
    let (_, status) = wire.ec2(&[("Action", "DescribeInstanceStatus")]).await;
    assert_eq!(texts(&status, "instanceId"), [id.as_str()]);
}

#[tokio::test]
async fn a_dropped_reply_closes_the_connection_without_a_byte() {
    let bench = Bench::start(with_wire(quiet())).await;
    let wire = Wire::of(&bench);
    let (_, _) = wire.ec2(&[("Action", "DescribeSubnets")]).await;
    let fault = json!({ "fault": "drop_reply", "op": "RunInstances", "count": 1 });
    assert_eq!(wire.admin("POST", "faults", &fault).await.0, StatusCode::OK);
    let error = wire.send("2016-11-15", &run(&[("MaxCount", "1")])).await.unwrap_err();
    assert!(error.is_request() && error.status().is_none(), "{error:?}");
    assert_eq!(bench.calls("RunInstances").len(), 1, "nobody sent it twice");
    let (_, again) = wire.ec2(&run(&[("MaxCount", "1")])).await;
    assert_eq!(texts(&again, "instanceId").len(), 1);
    assert_eq!(bench.shown().await.len(), 1);
}

#[tokio::test]
async fn a_caller_that_is_killed_while_held_leaves_its_call_behind() {
    let bench = Bench::start(with_wire(quiet())).await;
    let wire = Wire::of(&bench);
    let hold = json!({ "fault": "hold", "op": "RunInstances", "when": "before" });
    let (_, set) = wire.admin("POST", "faults", &hold).await;
    let addr = wire.addr;
    let caller = tokio::spawn(async move {
        let wire = Wire { http: http(), addr };
        wire.send("2016-11-15", &run(&[("MaxCount", "1")])).await
    });
    eventually("the call is held", || bench.journal().iter().any(|entry| entry["kind"] == "held")).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    assert!(bench.shown().await.is_empty());
    let (status, _) = wire.admin("DELETE", &format!("faults/{}", set["id"]), &Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    eventually("the work is done", || !bench.calls("RunInstances").is_empty()).await;
    assert_eq!(bench.shown().await.len(), 1);
}

#[tokio::test]
async fn large_bodies_and_strange_paths_are_refused() {
    let bench = Bench::start(with_wire(quiet())).await;
    let wire = Wire::of(&bench);
    let long = "x".repeat(2 * 1024 * 1024);
    let (status, document) = wire.ec2(&[("Action", "DescribeSubnets"), ("Padding", &long)]).await;
    assert_eq!((status.as_u16(), text(&document, "Code").as_str()), (413, "RequestEntityTooLarge"));
    let nowhere = wire.http.get(format!("http://{}/latest/meta-data", wire.addr)).send().await.unwrap();
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_person_can_look_into_it_and_bend_it() {
    let bench = Bench::start(with_wire(quiet())).await;
    let wire = Wire::of(&bench);
    let help = wire.http.get(format!("http://{}/_sim/", wire.addr)).send().await.unwrap();
    let help = help.text().await.unwrap();
    assert!(help.contains("drop_reply") && help.contains("/_sim/journal"));

    let (_, made) = wire.admin("POST", "instances", &json!({ "subnet": "subnet-c", "count": 2 })).await;
    let id = made["instances"][0].as_str().unwrap();
    assert!(bench.shown().await.is_empty(), "foreign instances are not ours");
    let (status, _) = wire.admin("POST", &format!("instances/{id}/kill"), &Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    let other = made["instances"][1].as_str().unwrap();
    let tags = json!({ "set": { "team": "ops" }, "remove": ["none"] });
    assert_eq!(wire.admin("POST", &format!("instances/{other}/tags"), &tags).await.0, StatusCode::OK);
    let (_, state) = wire.admin("GET", "state", &Value::Null).await;
    assert!(state.to_string().contains("{\"team\":\"ops\"}"), "{state}");
    assert_eq!((&state["counts"]["pending"], &state["counts"]["shutting-down"]), (&json!(1), &json!(1)));

    let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/api/1";
    let group = json!({ "arn": arn, "name": "api", "port": 8080, "deregistration_delay": "30s" });
    assert_eq!(wire.admin("POST", "target-groups", &group).await.0, StatusCode::OK);
    let (status, twice) = wire.admin("POST", "target-groups", &group).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{twice}");
    let version = json!({ "image_id": "ami-1", "instance_type": "m7g.large" });
    let template = json!({ "id": "lt-api", "name": "api", "default_version": 1, "versions": [version] });
    assert_eq!(wire.admin("POST", "templates", &template).await.0, StatusCode::OK);
    let load = json!({ "curve": "constant", "rps": 42.0, "on": { "target_group": arn } });
    assert_eq!(wire.admin("POST", "load", &load).await, (StatusCode::OK, json!({ "rps_now": 42.0 })));

    let (status, wrong) = wire.admin("POST", "faults", &json!({ "fault": "capcity" })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(wrong["error"]["message"].as_str().unwrap().contains("expected one of `capacity`"), "{wrong}");
    wire.admin("POST", "faults", &json!({ "fault": "visibility_lag", "ms": 5 })).await;
    assert_eq!(wire.admin("GET", "faults", &Value::Null).await.1[0]["fault"]["fault"], "visibility_lag");
    wire.admin("DELETE", "faults", &Value::Null).await;
    assert_eq!(wire.admin("GET", "faults", &Value::Null).await.1, json!([]));

    let (_, journal) = wire.admin("GET", "journal?since=0", &Value::Null).await;
    let next = journal["next"].as_u64().unwrap();
    assert_eq!(journal["entries"].as_array().unwrap().len() as u64, next);
    let (_, rest) = wire.admin("GET", &format!("journal?since={next}"), &Value::Null).await;
    assert_eq!(rest, json!({ "entries": [], "next": next }));
}
