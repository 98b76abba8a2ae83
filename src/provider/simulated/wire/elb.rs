//! ELBv2's query protocol, API version 2015-12-01.

use std::sync::Arc;

use serde_json::json;

use crate::domain::ids::{InstanceId, TargetGroupArn};
use crate::provider::TargetHealth;
use crate::provider::simulated::call::{Answer, Call, Shared};
use crate::provider::simulated::model::Model;
use crate::provider::simulated::model::api::{ApiError, Op, TargetGroupView, TargetName, Targets};
use crate::provider::simulated::model::journal::Door;
use crate::provider::simulated::model::target_state_name;
use crate::provider::simulated::wire::form::Form;
use crate::provider::simulated::wire::xml::Xml;

const NAMESPACE: &str = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";

/// Answers one call: the document, or a refusal. `Err` is a request that cannot even be read.
pub(super) async fn answer(shared: &Arc<Shared>, op: Op, form: &Form) -> Result<Answer<String>, ApiError> {
    match op {
        Op::RegisterTargets => change(shared, op, targets(form)?, Model::register).await,
        Op::DeregisterTargets => change(shared, op, targets(form)?, Model::deregister).await,
        Op::DescribeTargetHealth => {
            let request = targets(form)?;
            let parameters = json!(request);
            let call = call(op, parameters);
            let answer = shared.call(call, move |model, _| model.target_health(&request)).await;
            Ok(answer.into_document(|found, id| document(op, id, |xml| health(xml, found))))
        }
        Op::DescribeTargetGroups => {
            let arns = arns(form);
            let call = call(op, json!({ "target_groups": arns }));
            let answer = shared.call(call, move |model, _| model.target_groups(&arns)).await;
            Ok(answer.into_document(|found, id| document(op, id, |xml| groups(xml, found))))
        }
        _ => {
            let arns = vec![TargetGroupArn::new(form.required("TargetGroupArn")?)];
            let call = call(op, json!({ "target_groups": arns }));
            let answer = shared.call(call, move |model, _| model.target_groups(&arns)).await;
            Ok(answer.into_document(|found, id| document(op, id, |xml| attributes(xml, found))))
        }
    }
}

async fn change(
    shared: &Arc<Shared>,
    op: Op,
    request: Targets,
    work: fn(&mut Model, &Targets) -> Result<(), ApiError>,
) -> Result<Answer<String>, ApiError> {
    if request.targets.is_empty() {
        return Err(ApiError::client("ValidationError", "At least one target must be named"));
    }
    let call = call(op, json!(request));
    let answer = shared.call(call, move |model, _| work(model, &request)).await;
    Ok(answer.into_document(|(), id| document(op, id, |_| {})))
}

fn call(op: Op, parameters: serde_json::Value) -> Call {
    Call { door: Door::Wire, op, subnet: None, instances: 0, parameters }
}

fn targets(form: &Form) -> Result<Targets, ApiError> {
    let target = |index: u32| {
        let name = format!("Targets.member.{index}");
        let host = InstanceId::new(form.required(&format!("{name}.Id"))?);
        Ok(TargetName { host, port: form.number(&format!("{name}.Port"))? })
    };
    Ok(Targets {
        group: TargetGroupArn::new(form.required("TargetGroupArn")?),
        targets: form.indices("Targets.member").into_iter().map(target).collect::<Result<_, ApiError>>()?,
    })
}

fn arns(form: &Form) -> Vec<TargetGroupArn> {
    form.list("TargetGroupArns.member").into_iter().map(TargetGroupArn::new).collect()
}

fn document(op: Op, request_id: &str, content: impl FnOnce(&mut Xml)) -> String {
    Xml::document(&format!("{op}Response"), Some(NAMESPACE), |xml| {
        xml.nest(&format!("{op}Result"), content);
        xml.nest("ResponseMetadata", |xml| {
            xml.leaf("RequestId", request_id);
        });
    })
}

fn health(xml: &mut Xml, found: &[TargetHealth]) {
    xml.list("TargetHealthDescriptions", "member", found, |xml, one| {
        xml.nest("Target", |xml| {
            xml.leaf("Id", &one.target.host).leaf("Port", one.target.port);
        });
        xml.leaf("HealthCheckPort", one.target.port);
        xml.nest("TargetHealth", |xml| {
            xml.leaf("State", target_state_name(one.state));
            if !one.reason.is_empty() {
                xml.leaf("Reason", &one.reason);
                xml.leaf("Description", describe(&one.reason));
            }
        });
    });
}

fn describe(reason: &str) -> &str {
    match reason {
        "Elb.InitialHealthChecking" => "Initial health checks in progress",
        "Target.DeregistrationInProgress" => "Target deregistration is in progress",
        "Target.FailedHealthChecks" => "Health checks failed",
        "Target.Timeout" => "Request timed out",
        "Target.NotRegistered" => "Target is not registered to the target group",
        "Target.NotInUse" => "Target is in an Availability Zone that is not enabled for the load balancer",
        "Target.InvalidState" => "Target is in the terminated state",
        other => other,
    }
}

fn groups(xml: &mut Xml, found: &[TargetGroupView]) {
    xml.list("TargetGroups", "member", found, |xml, one| {
        xml.leaf("TargetGroupArn", &one.group.arn)
            .leaf("TargetGroupName", &one.name)
            .leaf("Protocol", "HTTP")
            .leaf("Port", one.group.port)
            .leaf("VpcId", "vpc-demo")
            .leaf("HealthCheckProtocol", "HTTP")
            .leaf("HealthCheckPort", "traffic-port")
            .leaf("HealthCheckEnabled", true)
            .leaf("HealthCheckIntervalSeconds", 10)
            .leaf("HealthCheckTimeoutSeconds", 5)
            .leaf("HealthyThresholdCount", 2)
            .leaf("UnhealthyThresholdCount", 2)
            .leaf("HealthCheckPath", "/")
            .leaf("TargetType", &one.group.target_type)
            .leaf("ProtocolVersion", "HTTP1")
            .leaf("IpAddressType", "ipv4");
        xml.nest("Matcher", |xml| {
            xml.leaf("HttpCode", 200);
        });
        xml.list("LoadBalancerArns", "member", Vec::<String>::new(), |_, _| {});
    });
}

fn attributes(xml: &mut Xml, found: &[TargetGroupView]) {
    let delay = found.first().map_or(0, |one| one.group.deregistration_delay.as_secs());
    let attributes = [
        ("deregistration_delay.timeout_seconds", delay.to_string()),
        ("stickiness.enabled", "false".to_owned()),
        ("slow_start.duration_seconds", "0".to_owned()),
        ("load_balancing.algorithm.type", "round_robin".to_owned()),
        ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration".to_owned()),
    ];
    xml.list("Attributes", "member", attributes, |xml, (key, value)| {
        xml.leaf("Key", key).leaf("Value", value);
    });
}

/// A refusal.
pub(super) fn error(error: &ApiError, request_id: &str) -> String {
    Xml::document("ErrorResponse", Some(NAMESPACE), |xml| {
        xml.nest("Error", |xml| {
            let blames = if error.http_status < 500 { "Sender" } else { "Receiver" };
            xml.leaf("Type", blames).leaf("Code", &error.code).leaf("Message", &error.message);
        });
        xml.leaf("RequestId", request_id);
    })
}
