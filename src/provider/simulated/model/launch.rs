//! RunInstances, and the table of tokens that makes it safe to repeat, or not.
//!
//! A token belongs to a zone as soon as the launch names a subnet: the same token in another zone is another token, and
//! launches again. It is bound to the parameters it was first used with, also where that launch was refused for want of
//! capacity or quota. Once every instance of it is dead it is spent.

use std::net::Ipv4Addr;

use chrono::SubsecRound as _;

use crate::domain::ids::{InstanceId, InstanceType, SubnetId, Zone};
use crate::domain::launch::TemplateRef;
use crate::domain::time::after;
use crate::provider::InstanceState;
use crate::provider::simulated::model::Model;
use crate::provider::simulated::model::agenda::Due;
use crate::provider::simulated::model::api::{ApiError, DryRun, Reservation, RunInstances};
use crate::provider::simulated::model::counters::Counters;
use crate::provider::simulated::model::instance::{Instance, Software, vcpus};
use crate::provider::simulated::model::journal::Event;
use crate::provider::simulated::options::parts::TemplateVersion;

/// EC2's limits on a token and on a launch.
const MAX_TOKEN: usize = 64;
const MAX_LAUNCH: u32 = 1000;
const MAX_TAGS: usize = 50;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;
/// Tokens are remembered for so many launches; the table is not to grow for ever.
const MAX_TOKENS: usize = 100_000;
/// The hosts' addresses are 127.16.0.0/12.
pub(super) const ADDRESSES: u32 = 1 << 20;
const FIRST_ADDRESS: u32 = 0x7f10_0000;
/// Odd, so that stepping by it visits every address; large, so that neighbours do not look alike.
const ADDRESS_STRIDE: u32 = 365_293;

/// What a token was used for.
#[derive(Clone, Debug)]
pub(super) struct Token {
    fingerprint: String,
    reservation: String,
    instances: Vec<InstanceId>,
}

/// Everything about a launch that its request and the account settle.
struct Plan {
    subnet: SubnetId,
    zone: Zone,
    instance_type: InstanceType,
    image_id: String,
}

impl Model {
    /// RunInstances.
    pub(crate) fn run_instances(&mut self, request: &RunInstances) -> Result<Reservation, ApiError> {
        validate(request)?;
        let plan = self.plan_launch(request)?;
        if request.dry_run == DryRun::Yes {
            let text = "Request would have succeeded, but DryRun flag is set.";
            return Err(ApiError::new(412, "DryRunOperation", text));
        }
        let key = request.client_token.as_ref().map(|token| {
            // Only a launch that names its subnet says which zone's token it means.
            (request.subnet.as_ref().map(|_| plan.zone.clone()), token.clone())
        });
        let fingerprint = fingerprint(request);
        if let Some(token) = key.as_ref().and_then(|key| self.tokens.get(key)) {
            if token.fingerprint != fingerprint {
                let text = "The request uses the same client token as a previous, but non-identical request.";
                return Err(ApiError::client("IdempotentParameterMismatch", text));
            }
            if !token.instances.is_empty() {
                return self.replay(token);
            }
        }
        let outcome = self.allowed(request, &plan).map(|count| {
            self.faults.take_capacity(&plan.zone, &plan.instance_type, count);
            self.launch(request, &plan, count)
        });
        if let Some(key) = key {
            let (reservation, instances) = outcome
                .as_ref()
                .map(|done| (done.id.clone(), done.instances.iter().map(|one| one.id.clone()).collect()))
                .unwrap_or_default();
            self.remember(key, Token { fingerprint, reservation, instances });
        }
        outcome
    }

    /// The same instances again, as they are now.
    fn replay(&self, token: &Token) -> Result<Reservation, ApiError> {
        let known: Vec<Instance> =
            token.instances.iter().filter_map(|id| self.instances.get(id)).cloned().collect();
        if known.iter().all(Instance::is_dead) {
            let text = "The request uses the same client token as a previous request whose instances were terminated.";
            return Err(ApiError::client("IdempotentInstanceTerminated", text));
        }
        Ok(Reservation { id: token.reservation.clone(), instances: known })
    }

    fn remember(&mut self, key: (Option<Zone>, String), token: Token) {
        self.tokens.insert(key, token);
        if self.tokens.len() > MAX_TOKENS {
            let instances = &self.instances;
            self.tokens.retain(|_, token| token.instances.iter().any(|id| instances.contains_key(id)));
        }
    }

    fn plan_launch(&self, request: &RunInstances) -> Result<Plan, ApiError> {
        let data = match &request.template {
            Some(template) => Some(self.template_data(template, request.version.as_deref())?),
            None => None,
        };
        let named = data.as_ref().map(|data| data.instance_type.clone());
        let instance_type = request.instance_type.clone().or(named).ok_or_else(|| missing("InstanceType"))?;
        let sent_image = request.other.get("ImageId").cloned();
        let image_id = sent_image.or(data.map(|data| data.image_id)).ok_or_else(|| missing("ImageId"))?;
        let subnet = match &request.subnet {
            Some(subnet) => subnet.clone(),
            None => self.subnets.keys().next().cloned().ok_or_else(|| missing("SubnetId"))?,
        };
        let Some(zone) = self.subnets.get(&subnet).cloned() else {
            let text = format!("The subnet ID '{subnet}' does not exist");
            return Err(ApiError::client("InvalidSubnetID.NotFound", text));
        };
        Ok(Plan { subnet, zone, instance_type, image_id })
    }

    fn template_data(
        &self,
        template: &TemplateRef,
        version: Option<&str>,
    ) -> Result<TemplateVersion, ApiError> {
        let view = self.template_version(template, version.unwrap_or("$Default"))?;
        Ok(view.data)
    }

    /// How many the account and the pool allow, or why too few.
    fn allowed(&self, request: &RunInstances, plan: &Plan) -> Result<u32, ApiError> {
        let by_quota = self.quota_left(&plan.instance_type, request.min_count)?;
        let left = self.faults.capacity(&plan.zone, &plan.instance_type).unwrap_or(u32::MAX);
        if left < request.min_count {
            let text = format!(
                "We currently do not have sufficient {} capacity in the Availability Zone you requested ({}).",
                plan.instance_type, plan.zone
            );
            return Err(ApiError::new(500, "InsufficientInstanceCapacity", text));
        }
        Ok(request.max_count.min(by_quota).min(left))
    }

    fn quota_left(&self, kind: &InstanceType, needed: u32) -> Result<u32, ApiError> {
        let quota = self.faults.quota().unwrap_or(self.options.quota);
        let counted: Vec<&Instance> = self.instances.values().filter(|one| one.is_counted()).collect();
        let used = u32::try_from(counted.len()).unwrap_or(u32::MAX);
        let used_vcpus: u32 = counted.iter().map(|one| vcpus(&one.instance_type)).sum();
        let instances = quota.instances.map_or(u32::MAX, |limit| limit.saturating_sub(used));
        let by_vcpus =
            quota.vcpus.map_or(u32::MAX, |limit| limit.saturating_sub(used_vcpus) / vcpus(kind).max(1));
        if instances < needed {
            let text = format!(
                "You have requested more instances than your current instance limit allows: {used} run."
            );
            return Err(ApiError::client("InstanceLimitExceeded", text));
        }
        if by_vcpus < needed {
            let text = format!(
                "You have requested more vCPU capacity than your current vCPU limit allows: {used_vcpus} are in use."
            );
            return Err(ApiError::client("VcpuLimitExceeded", text));
        }
        Ok(instances.min(by_vcpus))
    }

    /// Instances that nobody's quota or capacity has to allow.
    pub(super) fn launch_freely(&mut self, request: &RunInstances) -> Result<Reservation, ApiError> {
        validate(request)?;
        let plan = self.plan_launch(request)?;
        Ok(self.launch(request, &plan, request.max_count))
    }

    fn launch(&mut self, request: &RunInstances, plan: &Plan, count: u32) -> Reservation {
        let id = format!("r-{}", self.hex(17));
        let instances: Vec<Instance> =
            (0..count).map(|index| self.create(request, plan, &id, index)).collect();
        Reservation { id, instances }
    }

    fn create(&mut self, request: &RunInstances, plan: &Plan, reservation: &str, index: u32) -> Instance {
        let id = InstanceId::new(format!("i-{}", self.hex(17)));
        let lag = self.sample(self.options.visibility_lag);
        let software =
            if self.faults.takes_next_launch() { Software::NeverHealthy } else { Software::Serving };
        let instance = Instance {
            id: id.clone(),
            ordinal: self.launched,
            reservation: reservation.to_owned(),
            launch_index: index,
            state: InstanceState::Pending,
            reason: String::new(),
            zone: plan.zone.clone(),
            subnet: plan.subnet.clone(),
            instance_type: plan.instance_type.clone(),
            image_id: plan.image_id.clone(),
            address: self.free_address(),
            // EC2 tells the launch time in whole seconds.
            launched_at: self.now.trunc_subsecs(0),
            visible_at: after(self.now, self.faults.visibility_lag().unwrap_or(lag)),
            tags: request.tags.clone(),
            client_token: request.client_token.clone(),
            market: request.market,
            software,
            passages: Vec::new(),
            counters: Counters::default(),
            frozen: None,
        };
        self.launched += 1;
        self.instances.insert(id.clone(), instance.clone());
        let cause = format!("launched in {}", plan.zone);
        let to = Some(InstanceState::Pending);
        self.record(Event::Instance { instance: id.clone(), from: None, to, cause });
        self.schedule_life(&id, &plan.zone);
        instance
    }

    fn schedule_life(&mut self, id: &InstanceId, zone: &Zone) {
        let boot = self.sample(self.options.boot);
        let boot = self.faults.boot(zone).unwrap_or(boot);
        self.schedule(boot, Due::Run(id.clone()));
        let mean = self.options.mean_lifetime;
        if !mean.is_zero() {
            let luck: f64 = rand::Rng::random_range(&mut self.rng, 0.0..1.0);
            // Exponential: a machine does not age, it has bad luck. Never more than 20 means, so the span stays finite.
            self.schedule(boot + mean.mul_f64((-(1.0 - luck).ln()).min(20.0)), Due::Die(id.clone()));
        }
    }

    /// The next address of the pool that no instance has. Network and broadcast look-alikes are left out.
    fn free_address(&self) -> Ipv4Addr {
        let taken: std::collections::BTreeSet<Ipv4Addr> =
            self.instances.values().map(|one| one.address).collect();
        let start = u32::try_from(self.launched % u64::from(ADDRESSES)).unwrap_or_default();
        (0..ADDRESSES)
            .map(|step| {
                let place =
                    start.wrapping_add(step).wrapping_mul(ADDRESS_STRIDE).wrapping_add(self.address_offset);
                Ipv4Addr::from(FIRST_ADDRESS | (place % ADDRESSES))
            })
            .find(|address| !matches!(address.octets()[3], 0 | 255) && !taken.contains(address))
            .unwrap_or(Ipv4Addr::LOCALHOST)
    }
}

fn missing(name: &str) -> ApiError {
    ApiError::client("MissingParameter", format!("The request must contain the parameter {name}"))
}

/// What a token is bound to: all that was asked for, but the token itself.
fn fingerprint(request: &RunInstances) -> String {
    format!("{:?}", RunInstances { client_token: None, ..request.clone() })
}

fn validate(request: &RunInstances) -> Result<(), ApiError> {
    let invalid = |text: String| Err(ApiError::client("InvalidParameterValue", text));
    let (min, max) = (request.min_count, request.max_count);
    if min == 0 || max < min || max > MAX_LAUNCH {
        return invalid(format!(
            "MinCount {min} and MaxCount {max} must be 1 to {MAX_LAUNCH}, the lesser first"
        ));
    }
    if let Some(token) = &request.client_token
        && (token.len() > MAX_TOKEN || !token.is_ascii())
    {
        return invalid(format!("ClientToken must be at most {MAX_TOKEN} ASCII characters"));
    }
    validate_tags(&request.tags)
}

/// EC2's rules for tags.
pub(super) fn validate_tags(tags: &std::collections::BTreeMap<String, String>) -> Result<(), ApiError> {
    let invalid = |text: String| Err(ApiError::client("InvalidParameterValue", text));
    if tags.len() > MAX_TAGS {
        return Err(ApiError::client("TagLimitExceeded", format!("At most {MAX_TAGS} tags")));
    }
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > MAX_TAG_KEY || key.starts_with("aws:") {
            return invalid(format!(
                "Tag key {key:?} must be 1 to {MAX_TAG_KEY} characters, not beginning aws:"
            ));
        }
        if value.chars().count() > MAX_TAG_VALUE {
            return invalid(format!("The value of tag {key:?} must be at most {MAX_TAG_VALUE} characters"));
        }
    }
    Ok(())
}
