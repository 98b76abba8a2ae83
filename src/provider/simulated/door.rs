//! The door for the service in this process: the model as a [`CloudProvider`].
//!
//! It asks what the adapter to AWS asks, call for call and page for page, so that a fault meant for one call strikes the
//! same one through either door. One suite of tests is run through both.

use std::collections::BTreeMap;
use std::net::IpAddr;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::domain::failure::{CloudError, FailureClass};
use crate::domain::ids::{InstanceId, LaunchId, OwnerName, SubnetId, TargetGroupArn};
use crate::domain::launch::{Market, RunRequest, TemplateRef};
use crate::domain::tags;
use crate::provider::failure_codes::classify;
use crate::provider::simulated::SimulatedCloud;
use crate::provider::simulated::call::{Answer, Call};
use crate::provider::simulated::model::Model;
use crate::provider::simulated::model::api::{
    ApiError, DescribeInstances, DryRun, Filter, Op, RunInstances, Summary, TargetName, Targets,
};
use crate::provider::simulated::model::instance::Instance;
use crate::provider::simulated::model::journal::Door;
use crate::provider::{
    CloudInstance, CloudProvider, InstanceState, Receipt, RunReply, SubnetInfo, TargetGroup, TargetHealth,
    TargetId,
};

/// Instances of one page: what the adapter to AWS asks for.
const PAGE_SIZE: usize = 1000;
/// Values of one filter; EC2 allows no more.
const FILTER_VALUES_MAX: usize = 200;

impl SimulatedCloud {
    /// One call with its deadline. Gives the answer and the id of the request.
    async fn ask<T: Summary + Send + 'static>(
        &self,
        call: Call,
        work: impl FnOnce(&mut Model, &str) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<(T, String), CloudError> {
        let limit = self.shared.with(|model| model.options().call_timeout);
        let answer = tokio::select! {
            answer = self.shared.call(call, work) => answer,
            () = self.shared.clock.sleep(limit) => {
                let text = format!("no answer within {}", humantime::format_duration(limit));
                return Err(CloudError::new(FailureClass::Unknown, "Timeout", text));
            }
        };
        match answer {
            Answer::Said { request_id, result: Ok(answer) } => Ok((answer, request_id)),
            Answer::Said { request_id, result: Err(error) } => Err(CloudError {
                class: classify(&error.code, Some(error.http_status)),
                code: error.code,
                message: error.message,
                request_id: Some(request_id),
            }),
            Answer::Silence => {
                let text = "the connection was closed without an answer";
                Err(CloudError::new(FailureClass::Unknown, "ConnectionReset", text))
            }
        }
    }

    async fn find(&self, name: String, values: Vec<String>) -> Result<Vec<CloudInstance>, CloudError> {
        let mut request = DescribeInstances {
            filters: vec![Filter { name, values }],
            max_results: Some(PAGE_SIZE),
            ..DescribeInstances::default()
        };
        let mut found = BTreeMap::new();
        loop {
            let (call, asked) = (plain(Op::DescribeInstances, json!(request)), request.clone());
            let (page, _) = self.ask(call, move |model, _| model.describe_instances(&asked)).await?;
            found.extend(page.instances.iter().map(cloud_instance).map(|one| (one.id.clone(), one)));
            // The model's tokens rise with the ids, so the pages have an end.
            let Some(next) = page.next_token else { return Ok(found.into_values().collect()) };
            request.next_token = Some(next);
        }
    }

    async fn targets(&self, op: Op, targets: Targets) -> Result<Receipt, CloudError> {
        if targets.targets.is_empty() {
            return Ok(Receipt::default());
        }
        let call = plain(op, json!(targets));
        let work = move |model: &mut Model, _: &str| match op {
            Op::RegisterTargets => model.register(&targets),
            _ => model.deregister(&targets),
        };
        let ((), request_id) = self.ask(call, work).await?;
        Ok(Receipt { request_id: Some(request_id) })
    }
}

fn plain(op: Op, parameters: Value) -> Call {
    Call { door: Door::Trait, op, subnet: None, instances: 0, parameters }
}

fn cloud_instance(instance: &Instance) -> CloudInstance {
    // A terminated instance has lost its network: EC2 no longer shows where it was attached.
    let attached = instance.state != InstanceState::Terminated;
    CloudInstance {
        id: instance.id.clone(),
        state: instance.state,
        zone: instance.zone.clone(),
        subnet: attached.then(|| instance.subnet.clone()),
        instance_type: instance.instance_type.clone(),
        address: attached.then_some(IpAddr::V4(instance.address)),
        launched_at: instance.launched_at,
        tags: instance.tags.clone(),
    }
}

fn run_instances(request: &RunRequest, dry_run: DryRun) -> RunInstances {
    let mut other =
        BTreeMap::from([("InstanceInitiatedShutdownBehavior".to_owned(), "terminate".to_owned())]);
    if request.template.market == Market::Spot {
        let of_spot = |name: &str| format!("InstanceMarketOptions.SpotOptions.{name}");
        other.insert(of_spot("InstanceInterruptionBehavior"), "terminate".to_owned());
        other.insert(of_spot("SpotInstanceType"), "one-time".to_owned());
    }
    RunInstances {
        client_token: Some(request.client_token.to_string()),
        template: Some(request.template.template.clone()),
        version: Some(request.template.version.to_string()),
        subnet: Some(request.subnet.clone()),
        instance_type: request.pool.instance_type.clone(),
        min_count: 1,
        max_count: request.max_count,
        market: request.template.market,
        tags: request.template.tags.clone(),
        other,
        dry_run,
    }
}

fn run_call(request: &RunInstances) -> Call {
    Call {
        door: Door::Trait,
        op: Op::RunInstances,
        subnet: request.subnet.clone(),
        instances: request.max_count,
        parameters: json!(request),
    }
}

#[async_trait]
impl CloudProvider for SimulatedCloud {
    async fn instances(&self, owner: &OwnerName) -> Result<Vec<CloudInstance>, CloudError> {
        self.find(format!("tag:{}", tags::OWNER), vec![owner.to_string()]).await
    }

    async fn instances_of_launch(&self, launch: LaunchId) -> Result<Vec<CloudInstance>, CloudError> {
        self.find(format!("tag:{}", tags::LAUNCH), vec![launch.to_string()]).await
    }

    async fn instances_named(&self, hosts: &[InstanceId]) -> Result<Vec<CloudInstance>, CloudError> {
        let mut found = BTreeMap::new();
        for batch in hosts.chunks(FILTER_VALUES_MAX) {
            let ids = batch.iter().map(ToString::to_string).collect();
            let named = self.find("instance-id".to_owned(), ids).await?;
            found.extend(named.into_iter().map(|one| (one.id.clone(), one)));
        }
        Ok(found.into_values().collect())
    }

    async fn template_version(&self, template: &TemplateRef, version: &str) -> Result<u64, CloudError> {
        let (template, versions) = (template.clone(), vec![version.to_owned()]);
        let parameters = json!({ "template": template, "versions": versions });
        let call = plain(Op::DescribeLaunchTemplateVersions, parameters);
        let (found, _) =
            self.ask(call, move |model, _| model.template_versions(&template, &versions)).await?;
        found.first().map(|version| version.number).ok_or_else(|| {
            CloudError::new(FailureClass::NotFound, "InvalidLaunchTemplateId.VersionNotFound", version)
        })
    }

    async fn subnets(&self, subnets: &[SubnetId]) -> Result<Vec<SubnetInfo>, CloudError> {
        if subnets.is_empty() {
            return Ok(Vec::new());
        }
        let ids = subnets.to_vec();
        let call = plain(Op::DescribeSubnets, json!({ "subnets": ids }));
        let (found, _) = self.ask(call, move |model, _| model.subnets(&ids)).await?;
        Ok(found.into_iter().map(|one| SubnetInfo { subnet: one.id, zone: one.zone }).collect())
    }

    async fn target_group(&self, group: &TargetGroupArn) -> Result<TargetGroup, CloudError> {
        let mut found = Vec::new();
        for op in [Op::DescribeTargetGroups, Op::DescribeTargetGroupAttributes] {
            let arns = vec![group.clone()];
            let call = plain(op, json!({ "target_groups": arns }));
            (found, _) = self.ask(call, move |model, _| model.target_groups(&arns)).await?;
        }
        found.into_iter().next().map(|view| view.group).ok_or_else(|| {
            CloudError::new(FailureClass::NotFound, "TargetGroupNotFound", format!("no target group {group}"))
        })
    }

    async fn target_health(&self, group: &TargetGroupArn) -> Result<Vec<TargetHealth>, CloudError> {
        let request = Targets { group: group.clone(), targets: Vec::new() };
        let call = plain(Op::DescribeTargetHealth, json!(request));
        let (found, _) = self.ask(call, move |model, _| model.target_health(&request)).await?;
        Ok(found)
    }

    async fn run_instances(&self, request: &RunRequest) -> Result<RunReply, CloudError> {
        let request = run_instances(request, DryRun::No);
        let call = run_call(&request);
        let (reservation, request_id) = self.ask(call, move |model, _| model.run_instances(&request)).await?;
        let mut instances: Vec<CloudInstance> = reservation.instances.iter().map(cloud_instance).collect();
        instances.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(RunReply { instances, request_id: Some(request_id) })
    }

    async fn register(&self, group: &TargetGroupArn, hosts: &[InstanceId]) -> Result<Receipt, CloudError> {
        let targets = hosts.iter().map(|host| TargetName { host: host.clone(), port: None }).collect();
        self.targets(Op::RegisterTargets, Targets { group: group.clone(), targets }).await
    }

    async fn deregister(&self, group: &TargetGroupArn, targets: &[TargetId]) -> Result<Receipt, CloudError> {
        let name = |target: &TargetId| TargetName { host: target.host.clone(), port: Some(target.port) };
        let targets = targets.iter().map(name).collect();
        self.targets(Op::DeregisterTargets, Targets { group: group.clone(), targets }).await
    }

    async fn terminate(&self, hosts: &[InstanceId]) -> Result<Receipt, CloudError> {
        if hosts.is_empty() {
            return Ok(Receipt::default());
        }
        let ids = hosts.to_vec();
        let call = plain(Op::TerminateInstances, json!({ "instances": ids }));
        let (_, request_id) =
            self.ask(call, move |model, request_id| model.terminate(&ids, request_id)).await?;
        Ok(Receipt { request_id: Some(request_id) })
    }

    async fn may_launch(&self, request: &RunRequest) -> Result<(), CloudError> {
        let request = run_instances(request, DryRun::Yes);
        let call = run_call(&request);
        match self.ask(call, move |model, _| model.run_instances(&request)).await {
            Ok(_) => Ok(()),
            Err(error) if error.code == "DryRunOperation" => Ok(()),
            Err(error) => Err(error),
        }
    }
}
