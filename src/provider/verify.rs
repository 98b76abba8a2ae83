//! Whether the cloud has what a fleet's file names, and lets us use it.
//!
//! A file can be valid and still name a template that was deleted, a subnet of another account, or a group that takes
//! addresses instead of instances. Each of those would show itself only at the first launch, at night. `check --online`
//! asks beforehand, over the same trait the loop uses and without changing anything.
//!
//! Every question is asked even if an earlier one failed, so that one run names everything that is to be mended; only
//! what cannot be asked without an earlier answer is left out.

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

use crate::config::fleet::FleetConfig;
use crate::domain::failure::{CloudError, FailureClass};
use crate::domain::ids::{
    AttemptId, FleetName, InstanceType, LaunchId, OwnerName, Pool, SubnetId, TargetGroupArn,
};
use crate::domain::launch::{LaunchTemplate, RunRequest};
use crate::domain::tags;
use crate::domain::time::Timestamp;
use crate::provider::{CloudProvider, SubnetInfo, TargetGroup};

/// One thing that was asked of the cloud, and what it means for the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the fleet can live with it.
    pub verdict: Verdict,
    /// Whose file.
    pub fleet: FleetName,
    /// Which key of it, dotted: `launch.subnets[1]`.
    pub key: String,
    /// What was found.
    pub what: String,
    /// What would be right, where something is not.
    pub remedy: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: fleets/{}.toml: {}: {}", self.verdict, self.fleet, self.key, self.what)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// What a finding means for the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, but hardly as it was meant.
    Doubtful,
    /// The cloud gave no answer; nothing is known.
    Unanswered,
    /// The fleet cannot work like this.
    Bad,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "ok",
            Self::Doubtful => "warning",
            Self::Unanswered => "unknown",
            Self::Bad => "error",
        })
    }
}

/// Asks the cloud about everything that one fleet's file names, in the order of the file.
pub async fn verify(cloud: &dyn CloudProvider, owner: &OwnerName, fleet: &FleetConfig) -> Vec<Finding> {
    let mut check = Check { cloud, fleet, findings: Vec::new() };
    check.sight(owner).await;
    let version = check.template().await;
    let subnets = check.subnets().await;
    if let Some(version) = version {
        check.launches(owner, version, &subnets).await;
    }
    for (index, group) in fleet.balancer.target_groups.iter().enumerate() {
        check.group(index, group).await;
    }
    check.findings
}

struct Check<'a> {
    cloud: &'a dyn CloudProvider,
    fleet: &'a FleetConfig,
    findings: Vec<Finding>,
}

impl Check<'_> {
    /// Without sight of its instances the scaler could do nothing at all.
    async fn sight(&mut self, owner: &OwnerName) {
        match self.cloud.instances(owner).await {
            Ok(instances) => {
                let text = format!("sees {} instances of owner {owner}", instances.len());
                self.good("name", text);
            }
            Err(error) => {
                let permission = "ec2:DescribeInstances";
                self.failed("name", "the instances of this owner", permission, "", &error);
            }
        }
    }

    async fn template(&mut self) -> Option<u64> {
        let launch = &self.fleet.launch;
        let what = format!("launch template {} version {}", launch.template, launch.template_version);
        match self.cloud.template_version(&launch.template, &launch.template_version).await {
            Ok(version) => {
                self.good("launch.launch_template_version", format!("{what} is version {version}"));
                Some(version)
            }
            Err(error) => {
                let right =
                    "name a template of this region and a version it has, \"$Latest\" or \"$Default\"";
                let permission = "ec2:DescribeLaunchTemplateVersions";
                self.failed("launch.launch_template_version", &what, permission, right, &error);
                None
            }
        }
    }

    /// Asked for together, as the loop does; one by one where that fails, to name the one that is at fault.
    async fn subnets(&mut self) -> Vec<SubnetInfo> {
        let subnets = &self.fleet.launch.subnets;
        let together = self.cloud.subnets(subnets).await;
        let mut found = Vec::new();
        for (index, subnet) in subnets.iter().enumerate() {
            let key = format!("launch.subnets[{index}]");
            let answer = match &together {
                Ok(all) => Ok(all.iter().find(|info| info.subnet == *subnet).cloned().into_iter().collect()),
                Err(_) => self.cloud.subnets(std::slice::from_ref(subnet)).await,
            };
            match answer {
                Ok(infos) => {
                    for info in infos {
                        self.good(&key, format!("{} is in {}", info.subnet, info.zone));
                        found.push(info);
                    }
                }
                Err(error) => {
                    let right = "name a subnet of this region and account";
                    self.failed(&key, &format!("subnet {subnet}"), "ec2:DescribeSubnets", right, &error);
                }
            }
        }
        found
    }

    /// A dry run in each subnet with the first type, and of each other type in the first subnet.
    async fn launches(&mut self, owner: &OwnerName, version: u64, subnets: &[SubnetInfo]) {
        let types = &self.fleet.launch.instance_types;
        for info in subnets {
            let key = self.subnet_key(&info.subnet);
            self.launch(owner, version, info, types.first(), &key).await;
        }
        let Some(first) = subnets.first() else { return };
        for (index, kind) in types.iter().enumerate().skip(1) {
            self.launch(owner, version, first, Some(kind), &format!("launch.instance_types[{index}]")).await;
        }
    }

    async fn launch(
        &mut self,
        owner: &OwnerName,
        version: u64,
        subnet: &SubnetInfo,
        kind: Option<&InstanceType>,
        key: &str,
    ) {
        let pool = Pool { zone: subnet.zone.clone(), instance_type: kind.cloned() };
        let what = format!("a launch of {pool}");
        let request = dry_run(owner, self.fleet, version, &subnet.subnet, pool);
        match self.cloud.may_launch(&request).await {
            Ok(()) => self.good(key, format!("{what} is permitted")),
            Err(error) => {
                let permission = "ec2:RunInstances, ec2:CreateTags on RunInstances, and iam:PassRole for the \
                                  template's instance profile";
                let right = "mend what the message names in the launch template or in this file";
                self.failed(key, &what, permission, right, &error);
            }
        }
    }

    async fn group(&mut self, index: usize, group: &TargetGroupArn) {
        let key = format!("balancer.target_groups[{index}]");
        match self.cloud.target_group(group).await {
            Ok(found) => self.group_found(&key, &found),
            Err(error) => {
                let permission = "elasticloadbalancing:DescribeTargetGroups and \
                                  elasticloadbalancing:DescribeTargetGroupAttributes";
                let right = "give the ARN of a target group of this region and account";
                self.failed(&key, &format!("target group {group}"), permission, right, &error);
                return;
            }
        }
        if let Err(error) = self.cloud.target_health(group).await {
            let permission = "elasticloadbalancing:DescribeTargetHealth";
            self.failed(&key, &format!("the health of target group {group}"), permission, "", &error);
        }
    }

    fn group_found(&mut self, key: &str, group: &TargetGroup) {
        if group.target_type != "instance" {
            let what = format!("target group {} takes targets of type {}", group.arn, group.target_type);
            let right = "the scaler registers instances: make a group with target type \"instance\"";
            self.add(Verdict::Bad, key, what, Some(right.to_owned()));
            return;
        }
        let delay = group.deregistration_delay;
        let what = format!(
            "target group {} takes instances at port {} and drains for {delay:?}",
            group.arn, group.port
        );
        self.good(key, what);
        if let Some(timeout) = self.fleet.balancer.drain_timeout.filter(|timeout| *timeout < delay) {
            let what = format!(
                "hosts are terminated after {timeout:?}, while {} may still send them requests for {delay:?}",
                group.arn
            );
            let right = format!("give at least {delay:?}, or lower the group's deregistration delay");
            self.add(Verdict::Doubtful, "balancer.drain_timeout", what, Some(right));
        }
    }

    fn subnet_key(&self, subnet: &SubnetId) -> String {
        let index = self.fleet.launch.subnets.iter().position(|other| other == subnet).unwrap_or_default();
        format!("launch.subnets[{index}]")
    }

    fn good(&mut self, key: &str, what: String) {
        self.add(Verdict::Good, key, what, None);
    }

    /// What a failed question means: a refusal is a fault of the file or of the permissions, no answer is neither.
    fn failed(&mut self, key: &str, asked: &str, permission: &str, right: &str, error: &CloudError) {
        let what = format!("{asked}: {} ({})", error.message, error.code);
        let (verdict, remedy) = match error.class {
            FailureClass::Denied => {
                (Verdict::Bad, format!("allow {permission} to the credentials that this runs with"))
            }
            FailureClass::Quota => {
                (Verdict::Doubtful, "have the account's quota raised, or lower size.max".to_owned())
            }
            FailureClass::Capacity => {
                (Verdict::Doubtful, "the pool has no room now; other pools will be tried".to_owned())
            }
            FailureClass::Throttled => {
                (Verdict::Unanswered, "the account is throttled: ask again later".to_owned())
            }
            FailureClass::Unknown => {
                let text = "no answer: look at the network, at the credentials and at [provider.aws], then ask again";
                (Verdict::Unanswered, text.to_owned())
            }
            FailureClass::Invalid
            | FailureClass::NotFound
            | FailureClass::TokenMismatch
            | FailureClass::TokenSpent
            | FailureClass::Protected => (Verdict::Bad, right.to_owned()),
        };
        self.add(verdict, key, what, Some(remedy).filter(|text| !text.is_empty()));
    }

    fn add(&mut self, verdict: Verdict, key: &str, what: String, remedy: Option<String>) {
        self.findings.push(Finding {
            verdict,
            fleet: self.fleet.name.clone(),
            key: key.to_owned(),
            what,
            remedy,
        });
    }
}

/// The request of a launch that never happens: everything that permissions and parameters are judged by, and a launch
/// id that no launch has.
fn dry_run(
    owner: &OwnerName,
    fleet: &FleetConfig,
    version: u64,
    subnet: &SubnetId,
    pool: Pool,
) -> RunRequest {
    let user: &BTreeMap<String, String> = &fleet.launch.tags;
    RunRequest {
        client_token: AttemptId(Uuid::nil()).client_token(),
        template: LaunchTemplate {
            template: fleet.launch.template.clone(),
            version,
            market: fleet.launch.market,
            tags: tags::of_launch(owner, &fleet.name, LaunchId(Uuid::nil()), Timestamp::UNIX_EPOCH, user),
        },
        subnet: subnet.clone(),
        pool,
        max_count: 1,
    }
}
