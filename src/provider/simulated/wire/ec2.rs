//! EC2's query protocol, API version 2016-11-15: the requests. [`documents`] has the answers.

mod documents;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::domain::ids::{InstanceId, InstanceType, SubnetId};
use crate::domain::launch::{Market, TemplateRef};
use crate::provider::simulated::call::{Answer, Call, Shared};
use crate::provider::simulated::model::Model;
use crate::provider::simulated::model::api::{
    ApiError, DescribeInstances, DryRun, InstancePage, Op, RunInstances, Service,
};
use crate::provider::simulated::model::journal::Door;
use crate::provider::simulated::wire::form::Form;

pub(super) use documents::error;

/// What a signature puts into the address; it says nothing about what is asked.
const SIGNATURE: [&str; 5] =
    ["AWSAccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "Timestamp"];

/// Answers one call: the document, or a refusal. `Err` is a request that cannot even be read.
pub(super) async fn answer(shared: &Arc<Shared>, op: Op, form: &Form) -> Result<Answer<String>, ApiError> {
    debug_assert_eq!(op.service(), Service::Ec2);
    match op {
        Op::RunInstances => run_instances(shared, form).await,
        Op::TerminateInstances => terminate(shared, form).await,
        Op::CreateTags => create_tags(shared, form).await,
        Op::DescribeInstances => {
            let region = shared.with(|model| model.options().region.clone());
            let found = describe(shared, op, form).await?;
            Ok(found.into_document(|page, id| documents::instances(page, &region, id)))
        }
        Op::DescribeInstanceStatus => {
            let found = describe(shared, op, form).await?;
            Ok(found.into_document(documents::statuses))
        }
        Op::DescribeSubnets => {
            let ids: Vec<SubnetId> = form.list("SubnetId").into_iter().map(SubnetId::new).collect();
            let call = plain(op, json!({ "subnets": ids }));
            let found = shared.call(call, move |model, _| model.subnets(&ids)).await;
            Ok(found.into_document(|found, id| documents::subnets(found, id)))
        }
        Op::DescribeAvailabilityZones => {
            let region = shared.with(|model| model.options().region.clone());
            let found = shared.call(plain(op, json!({})), |model, _| Ok(model.zones())).await;
            Ok(found.into_document(|found, id| documents::zones(found, &region, id)))
        }
        _ => templates(shared, op, form).await,
    }
}

fn plain(op: Op, parameters: Value) -> Call {
    Call { door: Door::Wire, op, subnet: None, instances: 0, parameters }
}

/// A dry run of a change that would have been made.
fn check_dry_run(form: &Form) -> Result<(), ApiError> {
    match form.dry_run() {
        DryRun::No => Ok(()),
        DryRun::Yes => {
            let text = "Request would have succeeded, but DryRun flag is set.";
            Err(ApiError::new(412, "DryRunOperation", text))
        }
    }
}

async fn run_instances(shared: &Arc<Shared>, form: &Form) -> Result<Answer<String>, ApiError> {
    let request = read_run_instances(form)?;
    let call = Call {
        door: Door::Wire,
        op: Op::RunInstances,
        subnet: request.subnet.clone(),
        instances: request.max_count,
        parameters: json!(request),
    };
    let region = shared.with(|model| model.options().region.clone());
    let done = shared.call(call, move |model, _| model.run_instances(&request)).await;
    Ok(done.into_document(|done, id| documents::reservation(done, &region, id)))
}

fn read_run_instances(form: &Form) -> Result<RunInstances, ApiError> {
    let count = |name: &str| {
        form.required(name)?;
        form.number::<u32>(name).map(Option::unwrap_or_default)
    };
    let market = match form.get("InstanceMarketOptions.MarketType") {
        None => Market::OnDemand,
        Some("spot") => Market::Spot,
        Some(other) => {
            let text = format!("Value ({other}) for parameter InstanceMarketOptions.MarketType is invalid.");
            return Err(ApiError::client("InvalidParameterValue", text));
        }
    };
    let (tags, specification) = instance_tags(form)?;
    let used = |key: &str| {
        let named = [
            "Action",
            "Version",
            "ClientToken",
            "DryRun",
            "SubnetId",
            "InstanceType",
            "MinCount",
            "MaxCount",
        ];
        named.contains(&key)
            || SIGNATURE.contains(&key)
            || key.starts_with("X-Amz-")
            || key.starts_with("LaunchTemplate.")
            || key == "InstanceMarketOptions.MarketType"
            || specification.as_ref().is_some_and(|name| key.starts_with(name))
    };
    let subnet = form.get("SubnetId").or_else(|| form.get("NetworkInterface.1.SubnetId"));
    Ok(RunInstances {
        client_token: form.text("ClientToken"),
        template: template_named(form, "LaunchTemplate.")?,
        version: form.text("LaunchTemplate.Version"),
        subnet: subnet.map(SubnetId::new),
        instance_type: form.get("InstanceType").map(InstanceType::new),
        min_count: count("MinCount")?,
        max_count: count("MaxCount")?,
        market,
        tags,
        other: form.without(used),
        dry_run: form.dry_run(),
    })
}

/// The tags for the instances, and how the keys of that specification begin.
fn instance_tags(
    form: &Form,
) -> Result<(std::collections::BTreeMap<String, String>, Option<String>), ApiError> {
    for index in form.indices("TagSpecification") {
        let name = format!("TagSpecification.{index}");
        if form.required(&format!("{name}.ResourceType"))? == "instance" {
            return Ok((form.tags(&format!("{name}.Tag"))?, Some(format!("{name}."))));
        }
    }
    Ok((std::collections::BTreeMap::new(), None))
}

fn template_named(form: &Form, prefix: &str) -> Result<Option<TemplateRef>, ApiError> {
    let part = |name: &str| form.text(&format!("{prefix}LaunchTemplate{name}"));
    match (part("Id"), part("Name")) {
        (Some(id), None) => Ok(Some(TemplateRef::Id(id))),
        (None, Some(name)) => Ok(Some(TemplateRef::Name(name))),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            let text = "Only one of LaunchTemplateId and LaunchTemplateName may be given";
            Err(ApiError::client("InvalidParameterCombination", text))
        }
    }
}

fn instance_ids(form: &Form, name: &str) -> Vec<InstanceId> {
    form.list(name).into_iter().map(InstanceId::new).collect()
}

async fn terminate(shared: &Arc<Shared>, form: &Form) -> Result<Answer<String>, ApiError> {
    let ids = instance_ids(form, "InstanceId");
    let dry_run = check_dry_run(form);
    let call = plain(Op::TerminateInstances, json!({ "instances": ids }));
    let work = move |model: &mut Model, request_id: &str| {
        dry_run?;
        model.terminate(&ids, request_id)
    };
    let done = shared.call(call, work).await;
    Ok(done.into_document(|changes, id| documents::state_changes(changes, id)))
}

async fn create_tags(shared: &Arc<Shared>, form: &Form) -> Result<Answer<String>, ApiError> {
    let ids = instance_ids(form, "ResourceId");
    let tags = form.tags("Tag")?;
    let dry_run = check_dry_run(form);
    let call = plain(Op::CreateTags, json!({ "resources": ids, "tags": tags }));
    let work = move |model: &mut Model, _: &str| {
        dry_run?;
        model.create_tags(&ids, &tags)
    };
    let done = shared.call(call, work).await;
    Ok(done.into_document(|(), id| documents::done("CreateTagsResponse", id)))
}

async fn describe(shared: &Arc<Shared>, op: Op, form: &Form) -> Result<Answer<InstancePage>, ApiError> {
    let request = DescribeInstances {
        ids: instance_ids(form, "InstanceId"),
        filters: form.filters()?,
        max_results: form.number("MaxResults")?,
        next_token: form.text("NextToken"),
    };
    let call = plain(op, json!(request));
    Ok(shared.call(call, move |model, _| model.describe_instances(&request)).await)
}

async fn templates(shared: &Arc<Shared>, op: Op, form: &Form) -> Result<Answer<String>, ApiError> {
    if op == Op::DescribeLaunchTemplates {
        let ids = form.list("LaunchTemplateId").into_iter().map(TemplateRef::Id);
        let named = form.list("LaunchTemplateName").into_iter().map(TemplateRef::Name);
        let wanted: Vec<TemplateRef> = ids.chain(named).collect();
        let call = plain(op, json!({ "templates": wanted }));
        let found = shared.call(call, move |model, _| model.templates(&wanted)).await;
        return Ok(found.into_document(|found, id| documents::templates(found, id)));
    }
    let Some(template) = template_named(form, "")? else {
        let text = "The request must contain LaunchTemplateId or LaunchTemplateName";
        return Err(ApiError::client("MissingParameter", text));
    };
    let versions = form.list("LaunchTemplateVersion");
    let call = plain(op, json!({ "template": template, "versions": versions }));
    let found = shared.call(call, move |model, _| model.template_versions(&template, &versions)).await;
    Ok(found.into_document(|found, id| documents::template_versions(found, id)))
}
