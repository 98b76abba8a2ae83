//! What a person or a test does to the cloud from outside AWS's own operations: faults, foreign instances, more groups and
//! templates, another load. Each refusal says what would be right.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::ids::{InstanceId, InstanceType, SubnetId, TargetGroupArn, Zone};
use crate::domain::launch::Market;
use crate::provider::InstanceState;
use crate::provider::simulated::model::Model;
use crate::provider::simulated::model::api::{ApiError, DryRun, RunInstances};
use crate::provider::simulated::model::balancer::{Group, state_name};
use crate::provider::simulated::model::faults::active::ActiveFault;
use crate::provider::simulated::model::faults::{Death, Fault, PageFault};
use crate::provider::simulated::model::instance::{Instance, Software};
use crate::provider::simulated::model::journal::{Event, FaultChange};
use crate::provider::simulated::model::launch::validate_tags;
use crate::provider::simulated::model::load::{ActiveLoad, Curve, LoadTarget};
use crate::provider::simulated::options::parts::{BucketOptions, TargetGroupOptions, TemplateOptions};

/// A page may be made so large.
const MAX_PAGE_BYTES: u64 = 1 << 30;

/// An instance made by hand, as somebody else would: without the scaler's tags, unless they are given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForeignInstance {
    /// Where; left out: the first subnet.
    pub subnet: Option<SubnetId>,
    /// What; left out: `m7g.large`.
    pub instance_type: Option<InstanceType>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// How many; left out: one.
    pub count: Option<u32>,
}

impl Model {
    /// Puts a fault in force, or applies it. Gives its number.
    pub fn set_fault(&mut self, fault: Fault) -> Result<u64, ApiError> {
        self.check_fault(&fault)?;
        let shown = json!(fault);
        let applied = match &fault {
            Fault::KillInstance { instance, how } => {
                self.kill(instance, *how)?;
                true
            }
            Fault::ChangeTags { instance, set, remove } => {
                self.change_tags(instance, set, remove)?;
                true
            }
            Fault::DeleteTargetGroup { target_group } => {
                self.delete_group(target_group)?;
                true
            }
            Fault::Throttle { op, size, refill_per_second } => {
                let bucket = BucketOptions { size: *size, refill_per_second: *refill_per_second };
                self.throttle.resize(*op, Some(bucket), &self.options.buckets, self.now);
                false
            }
            _ => false,
        };
        let (id, change) = if applied {
            (self.faults.next_id(), FaultChange::Applied)
        } else {
            (self.faults.set(fault, self.now), FaultChange::Set)
        };
        self.record(Event::Fault { id, change, fault: shown });
        self.recheck_healthy();
        Ok(id)
    }

    /// Takes a fault away. Calls that it holds go on.
    pub fn clear_fault(&mut self, id: u64) -> Result<ActiveFault, ApiError> {
        let Some(cleared) = self.faults.clear(id) else {
            let known: Vec<u64> = self.faults.iter().map(|fault| fault.id).collect();
            return Err(ApiError::new(404, "NoSuchFault", format!("no fault {id}; in force are {known:?}")));
        };
        if let Fault::Throttle { op, .. } = cleared.fault {
            let other = self.faults.bucket(op);
            self.throttle.resize(op, other, &self.options.buckets, self.now);
        }
        self.record(Event::Fault { id, change: FaultChange::Cleared, fault: json!(cleared.fault) });
        Ok(cleared)
    }

    /// Takes every fault away.
    pub fn clear_faults(&mut self) -> Vec<ActiveFault> {
        let ids: Vec<u64> = self.faults.iter().map(|fault| fault.id).collect();
        ids.into_iter().filter_map(|id| self.clear_fault(id).ok()).collect()
    }

    /// The faults in force.
    #[must_use]
    pub fn faults(&self) -> Vec<ActiveFault> {
        self.faults.iter().cloned().collect()
    }

    fn check_fault(&self, fault: &Fault) -> Result<(), ApiError> {
        match fault {
            Fault::Capacity { zone, .. } | Fault::SlowBoot { zone, .. } => self.check_zone(zone.as_ref()),
            Fault::ZoneNotEnabled { zone } => self.check_zone(Some(zone)),
            Fault::Error { zone, probability, http_status, .. } => {
                if http_status.is_some_and(|status| !(400..=599).contains(&status)) {
                    return Err(wrong("http_status must be 400 to 599"));
                }
                check_share("probability", *probability)?;
                self.check_zone(zone.as_ref())
            }
            Fault::DropReply { probability, .. }
            | Fault::DropRequest { probability, .. }
            | Fault::Delay { probability, .. } => check_share("probability", *probability),
            Fault::NeverHealthy { instance, zone, next } => {
                if instance.is_none() && zone.is_none() && next.is_none() {
                    return Err(wrong("never_healthy needs one of instance, zone, next"));
                }
                self.check_zone(zone.as_ref())?;
                self.check_instance(instance.as_ref())
            }
            Fault::KillInstance { instance, .. }
            | Fault::ChangeTags { instance, .. }
            | Fault::Protect { instance } => self.check_instance(Some(instance)),
            Fault::StuckDraining { target_group } => self.check_group(target_group.as_ref()),
            Fault::DeleteTargetGroup { target_group } => self.check_group(Some(target_group)),
            Fault::Throttle { size, refill_per_second, .. } => check_bucket(*size, *refill_per_second),
            Fault::Page { page, instance, zone, share } => {
                check_page(page)?;
                check_share("share", *share)?;
                self.check_zone(zone.as_ref())?;
                self.check_instance(instance.as_ref())
            }
            Fault::Quota { .. } | Fault::Hold { .. } | Fault::VisibilityLag { .. } => Ok(()),
        }
    }

    fn check_zone(&self, zone: Option<&Zone>) -> Result<(), ApiError> {
        let zones = self.zones();
        match zone.filter(|zone| !zones.contains(zone)) {
            None => Ok(()),
            Some(zone) => {
                let known: Vec<&str> = zones.iter().map(Zone::as_str).collect();
                Err(wrong(&format!("no zone {zone}; there are {}", known.join(", "))))
            }
        }
    }

    fn check_instance(&self, id: Option<&InstanceId>) -> Result<(), ApiError> {
        match id.filter(|id| !self.instances.contains_key(id)) {
            None => Ok(()),
            Some(id) => {
                Err(ApiError::new(404, "NoSuchInstance", format!("no instance {id}; see /_sim/state")))
            }
        }
    }

    fn check_group(&self, arn: Option<&TargetGroupArn>) -> Result<(), ApiError> {
        match arn.filter(|arn| !self.groups.contains_key(arn)) {
            None => Ok(()),
            Some(arn) => {
                let known: Vec<&str> = self.groups.keys().map(TargetGroupArn::as_str).collect();
                Err(wrong(&format!("no target group {arn}; there are {}", known.join(", "))))
            }
        }
    }

    /// An instance dies, or is terminated by somebody else.
    pub fn kill(&mut self, id: &InstanceId, how: Death) -> Result<(), ApiError> {
        self.check_instance(Some(id))?;
        match how {
            Death::Terminated => self.end_instance(id, "Client.UserInitiatedShutdown: terminated outside"),
            Death::Unresponsive => {
                if let Some(instance) = self.instances.get_mut(id) {
                    instance.software = Software::Unresponsive;
                }
                self.recheck_healthy();
            }
        }
        Ok(())
    }

    /// Somebody changes an instance's tags by hand. Describes show it at once, which is the harder case for whoever
    /// filters by them.
    pub fn change_tags(
        &mut self,
        id: &InstanceId,
        set: &BTreeMap<String, String>,
        remove: &BTreeSet<String>,
    ) -> Result<(), ApiError> {
        self.check_instance(Some(id))?;
        if let Some(instance) = self.instances.get_mut(id) {
            let kept = instance.tags.iter().filter(|(key, _)| !remove.contains(*key));
            let tags = kept.chain(set).map(|(key, value)| (key.clone(), value.clone())).collect();
            validate_tags(&tags)?;
            instance.tags = tags;
        }
        Ok(())
    }

    /// Makes instances by hand. They take neither capacity nor quota, and boot like any other.
    pub fn add_instances(&mut self, foreign: &ForeignInstance) -> Result<Vec<Instance>, ApiError> {
        let count = foreign.count.unwrap_or(1);
        let request = RunInstances {
            client_token: None,
            template: None,
            version: None,
            subnet: foreign.subnet.clone(),
            instance_type: foreign.instance_type.clone().or_else(|| Some(InstanceType::new("m7g.large"))),
            min_count: count,
            max_count: count,
            market: Market::OnDemand,
            tags: foreign.tags.clone(),
            other: BTreeMap::from([("ImageId".to_owned(), "ami-foreign".to_owned())]),
            dry_run: DryRun::No,
        };
        self.launch_freely(&request).map(|reservation| reservation.instances)
    }

    /// Adds a target group; the default load is not put on it.
    pub fn add_target_group(&mut self, group: &TargetGroupOptions) -> Result<(), ApiError> {
        if self.groups.contains_key(&group.arn) {
            return Err(wrong(&format!("target group {} is there already", group.arn)));
        }
        if group.port == 0 {
            return Err(wrong("port must be 1 to 65535"));
        }
        self.groups.insert(group.arn.clone(), Group::new(group));
        Ok(())
    }

    /// Adds a launch template, or replaces the one of its id: that is how a new version is made.
    pub fn put_template(&mut self, template: &TemplateOptions) -> Result<(), ApiError> {
        let versions = u64::try_from(template.versions.len()).unwrap_or(u64::MAX);
        if !(1..=versions).contains(&template.default_version) {
            return Err(wrong(&format!("default_version must be 1 to {versions}, the number of versions")));
        }
        let taken = |other: &TemplateOptions| other.name == template.name && other.id != template.id;
        if self.templates.values().any(taken) {
            return Err(wrong(&format!("another launch template is named {}", template.name)));
        }
        self.templates.insert(template.id.clone(), template.clone());
        Ok(())
    }

    /// Puts a load in force from now on, on all target groups where no target is named.
    pub fn set_load(&mut self, target: Option<LoadTarget>, curve: &Curve) -> Result<(), ApiError> {
        if let Some(LoadTarget::TargetGroup(arn)) = &target {
            self.check_group(Some(arn))?;
        }
        let targets = match target {
            Some(target) => vec![target],
            None => self.groups.keys().cloned().map(LoadTarget::TargetGroup).collect(),
        };
        for target in targets {
            self.loads.insert(target, ActiveLoad { curve: curve.clone(), since: self.now });
        }
        Ok(())
    }

    /// Everything, for a person to look at.
    #[must_use]
    pub fn state(&self) -> Value {
        let count = |state| self.instances.values().filter(|one| one.state == state).count();
        json!({
            "now": self.now,
            "seed": self.options.seed,
            "region": self.options.region,
            "subnets": self.subnets,
            "templates": self.templates.values().collect::<Vec<_>>(),
            "counts": {
                "pending": count(InstanceState::Pending),
                "running": count(InstanceState::Running),
                "shutting-down": count(InstanceState::ShuttingDown),
                "terminated": count(InstanceState::Terminated),
            },
            "instances": self.instances.values().map(|one| self.show_instance(one)).collect::<Vec<_>>(),
            "target_groups": self.groups.values().map(show_group).collect::<Vec<_>>(),
            "loads": self.loads.iter().map(|(target, load)| json!({
                "target": target, "since": load.since, "rps": load.rps(self.now),
            })).collect::<Vec<_>>(),
            "faults": self.faults(),
            "journal_next": self.journal.next_seq(),
        })
    }

    fn show_instance(&self, instance: &Instance) -> Value {
        json!({
            "id": instance.id,
            "state": instance.state,
            "zone": instance.zone,
            "subnet": instance.subnet,
            "type": instance.instance_type,
            "address": instance.address,
            "page": instance.has_page().then_some(self.options.host_port).flatten()
                .map(|port| format!("http://{}:{port}/metrics", instance.address)),
            "launched_at": instance.launched_at,
            "shown_to_describes": instance.visible_at <= self.now,
            "client_token": instance.client_token,
            "tags": instance.tags,
            "cpu": instance.counters.utilisation,
        })
    }
}

fn show_group(group: &Group) -> Value {
    json!({
        "arn": group.options.arn,
        "name": group.options.name,
        "port": group.options.port,
        "deregistration_delay": humantime::format_duration(group.options.deregistration_delay).to_string(),
        "targets": group.targets.iter().map(|(id, target)| json!({
            "instance": id.host,
            "port": id.port,
            "state": state_name(target.state),
            "reason": target.reason,
        })).collect::<Vec<_>>(),
    })
}

fn wrong(text: &str) -> ApiError {
    ApiError::client("InvalidRequest", text)
}

fn check_share(name: &str, share: Option<f64>) -> Result<(), ApiError> {
    match share.filter(|share| !(0.0..=1.0).contains(share)) {
        None => Ok(()),
        Some(share) => Err(wrong(&format!("{name} must be 0 to 1, and is {share}"))),
    }
}

fn check_bucket(size: f64, refill_per_second: f64) -> Result<(), ApiError> {
    if size.is_finite() && size >= 0.0 && refill_per_second.is_finite() && refill_per_second >= 0.0 {
        return Ok(());
    }
    Err(wrong("size and refill_per_second must be 0 or more"))
}

fn check_page(page: &PageFault) -> Result<(), ApiError> {
    match page {
        PageFault::Huge { bytes } | PageFault::GzipBomb { bytes } if *bytes > MAX_PAGE_BYTES => {
            Err(wrong(&format!("bytes must be at most {MAX_PAGE_BYTES}")))
        }
        PageFault::Status { code } if !(200..=599).contains(code) => Err(wrong("code must be 200 to 599")),
        _ => Ok(()),
    }
}
