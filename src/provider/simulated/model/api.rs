//! What can be asked of the model, what it answers, and how it refuses: AWS's own operations, codes and statuses.
//!
//! Both doors build these requests and nothing else, so what a token was used with, what the journal shows and what a
//! fault matches do not depend on the door.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::ids::{InstanceId, InstanceType, SubnetId, TargetGroupArn, Zone};
use crate::domain::launch::{Market, TemplateRef};
use crate::provider::simulated::model::instance::Instance;
use crate::provider::simulated::options::parts::TemplateVersion;
use crate::provider::{InstanceState, TargetGroup, TargetHealth};

/// An operation, by AWS's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "AWS's own names; there is nothing to add to them")]
pub enum Op {
    RunInstances,
    TerminateInstances,
    CreateTags,
    DescribeInstances,
    DescribeInstanceStatus,
    DescribeSubnets,
    DescribeAvailabilityZones,
    DescribeLaunchTemplates,
    DescribeLaunchTemplateVersions,
    RegisterTargets,
    DeregisterTargets,
    DescribeTargetHealth,
    DescribeTargetGroups,
    DescribeTargetGroupAttributes,
}

/// Which service an operation belongs to: they differ in how they say no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// EC2, API version 2016-11-15.
    Ec2,
    /// ELBv2, API version 2015-12-01.
    Elb,
}

impl Op {
    /// Every operation.
    pub const ALL: [Self; 14] = [
        Self::RunInstances,
        Self::TerminateInstances,
        Self::CreateTags,
        Self::DescribeInstances,
        Self::DescribeInstanceStatus,
        Self::DescribeSubnets,
        Self::DescribeAvailabilityZones,
        Self::DescribeLaunchTemplates,
        Self::DescribeLaunchTemplateVersions,
        Self::RegisterTargets,
        Self::DeregisterTargets,
        Self::DescribeTargetHealth,
        Self::DescribeTargetGroups,
        Self::DescribeTargetGroupAttributes,
    ];

    /// AWS's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunInstances => "RunInstances",
            Self::TerminateInstances => "TerminateInstances",
            Self::CreateTags => "CreateTags",
            Self::DescribeInstances => "DescribeInstances",
            Self::DescribeInstanceStatus => "DescribeInstanceStatus",
            Self::DescribeSubnets => "DescribeSubnets",
            Self::DescribeAvailabilityZones => "DescribeAvailabilityZones",
            Self::DescribeLaunchTemplates => "DescribeLaunchTemplates",
            Self::DescribeLaunchTemplateVersions => "DescribeLaunchTemplateVersions",
            Self::RegisterTargets => "RegisterTargets",
            Self::DeregisterTargets => "DeregisterTargets",
            Self::DescribeTargetHealth => "DescribeTargetHealth",
            Self::DescribeTargetGroups => "DescribeTargetGroups",
            Self::DescribeTargetGroupAttributes => "DescribeTargetGroupAttributes",
        }
    }

    /// The operation of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == name)
    }

    /// Whose it is.
    #[must_use]
    pub fn service(self) -> Service {
        match self {
            Self::RunInstances
            | Self::TerminateInstances
            | Self::CreateTags
            | Self::DescribeInstances
            | Self::DescribeInstanceStatus
            | Self::DescribeSubnets
            | Self::DescribeAvailabilityZones
            | Self::DescribeLaunchTemplates
            | Self::DescribeLaunchTemplateVersions => Service::Ec2,
            Self::RegisterTargets
            | Self::DeregisterTargets
            | Self::DescribeTargetHealth
            | Self::DescribeTargetGroups
            | Self::DescribeTargetGroupAttributes => Service::Elb,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A refusal, as AWS words it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{code} ({http_status}): {message}")]
pub struct ApiError {
    /// AWS's code.
    pub code: String,
    /// A sentence.
    pub message: String,
    /// The HTTP status it travels with.
    pub http_status: u16,
}

impl ApiError {
    /// A refusal with any status.
    pub fn new(http_status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), http_status }
    }

    /// A refusal that blames the request: HTTP 400.
    pub fn client(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }
}

/// RunInstances. Serialized without its token, it is what the token is bound to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunInstances {
    /// `ClientToken`.
    pub client_token: Option<String>,
    /// `LaunchTemplate.LaunchTemplateId` or `…Name`.
    pub template: Option<TemplateRef>,
    /// `LaunchTemplate.Version`: a number, `$Latest` or `$Default` (which is also what leaving it out means).
    pub version: Option<String>,
    /// `SubnetId`.
    pub subnet: Option<SubnetId>,
    /// `InstanceType`, over the template's.
    pub instance_type: Option<InstanceType>,
    /// `MinCount`.
    pub min_count: u32,
    /// `MaxCount`.
    pub max_count: u32,
    /// `InstanceMarketOptions.MarketType`.
    pub market: Market,
    /// `TagSpecification` for `instance`.
    pub tags: BTreeMap<String, String>,
    /// Every other parameter that was sent, as it was sent.
    pub other: BTreeMap<String, String>,
    /// Whether it was only asked whether it would be permitted.
    pub dry_run: DryRun,
}

/// `DryRun`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DryRun {
    /// Do it.
    #[default]
    No,
    /// Only say whether it may be done.
    Yes,
}

/// What RunInstances answers.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// `r-…`.
    pub id: String,
    /// The instances, in launch order.
    pub instances: Vec<Instance>,
}

/// DescribeInstances, DescribeInstanceStatus.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DescribeInstances {
    /// `InstanceId.N`: each must be known, or the call fails.
    pub ids: Vec<InstanceId>,
    /// `Filter.N`: all of them must match.
    pub filters: Vec<Filter>,
    /// `MaxResults`.
    pub max_results: Option<usize>,
    /// `NextToken`.
    pub next_token: Option<String>,
}

/// One filter: the name matches if any of its values does. `*` and `?` are wildcards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// Its name, such as `tag:team`.
    pub name: String,
    /// What it may be.
    pub values: Vec<String>,
}

/// One page of instances.
#[derive(Clone, Debug)]
pub struct InstancePage {
    /// Ordered by id.
    pub instances: Vec<Instance>,
    /// Where the next page starts; `None`: this was the last.
    pub next_token: Option<String>,
}

/// What TerminateInstances answers for one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateChange {
    /// Which instance.
    pub id: InstanceId,
    /// Before the call.
    pub previous: InstanceState,
    /// After it.
    pub current: InstanceState,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subnet {
    /// Its id.
    pub id: SubnetId,
    /// Its zone.
    pub zone: Zone,
}

/// One version of a launch template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TemplateVersionView {
    /// The template's id.
    pub template_id: String,
    /// The template's name.
    pub template_name: String,
    /// The version.
    pub number: u64,
    /// The template's default version.
    pub default_version: u64,
    /// What it says.
    pub data: TemplateVersion,
}

/// A launch template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TemplateView {
    /// `lt-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What `$Default` means.
    pub default_version: u64,
    /// What `$Latest` means.
    pub latest_version: u64,
}

/// A target group with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetGroupView {
    /// Its name.
    pub name: String,
    /// The rest.
    pub group: TargetGroup,
}

/// One target as a call names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetName {
    /// `Id`.
    pub host: InstanceId,
    /// `Port`; left out: the group's own.
    pub port: Option<u16>,
}

/// Parameters of the calls that name targets of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Targets {
    /// `TargetGroupArn`.
    pub group: TargetGroupArn,
    /// `Targets.N`.
    pub targets: Vec<TargetName>,
}

/// What the journal shows of an answer.
pub trait Summary {
    /// In short.
    fn summary(&self) -> Value;
}

impl Summary for () {
    fn summary(&self) -> Value {
        Value::Null
    }
}

impl Summary for Reservation {
    fn summary(&self) -> Value {
        json!({ "instances": self.instances.iter().map(|instance| &instance.id).collect::<Vec<_>>() })
    }
}

impl Summary for InstancePage {
    fn summary(&self) -> Value {
        json!({ "instances": self.instances.len(), "more": self.next_token.is_some() })
    }
}

impl Summary for Vec<StateChange> {
    fn summary(&self) -> Value {
        json!({ "instances": self.iter().map(|change| &change.id).collect::<Vec<_>>() })
    }
}

macro_rules! counted {
    ($($item:ty),*) => {$(
        impl Summary for Vec<$item> {
            fn summary(&self) -> Value {
                json!({ "items": self.len() })
            }
        }
    )*};
}

counted!(Subnet, Zone, TemplateView, TemplateVersionView, TargetGroupView, TargetHealth);
