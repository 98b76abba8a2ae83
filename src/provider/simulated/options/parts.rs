//! The parts that a simulated cloud is made of.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{InstanceType, TargetGroupArn};
use crate::provider::simulated::model::api::Op;
use crate::provider::simulated::options::{DEFAULT_TARGET_GROUP, DEFAULT_TEMPLATE, duration};

/// How long something takes: at least `base`, up to `jitter` more, and now and then (`tail_chance`) `tail` on top. Real
/// boots have such tails, and it is the tails that deadlines are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Span {
    /// At least so long.
    #[serde(with = "duration")]
    pub base: Duration,
    /// Up to so much longer, evenly.
    #[serde(with = "duration")]
    pub jitter: Duration,
    /// How often the tail is added, 0 to 1.
    pub tail_chance: f64,
    /// What is added then.
    #[serde(with = "duration")]
    pub tail: Duration,
}

impl Span {
    /// Between `base` and `base + jitter` seconds.
    #[must_use]
    pub fn seconds(base: f64, jitter: f64) -> Self {
        let seconds = |value: f64| Duration::try_from_secs_f64(value).unwrap_or_default();
        Self { base: seconds(base), jitter: seconds(jitter), ..Self::default() }
    }

    /// Exactly so long.
    #[must_use]
    pub fn exactly(base: Duration) -> Self {
        Self { base, ..Self::default() }
    }

    /// With so many seconds more in a share of all cases.
    #[must_use]
    pub fn with_tail(mut self, chance: f64, seconds: f64) -> Self {
        self.tail_chance = chance;
        self.tail = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self
    }

    /// One sample; `place` and `tail` are numbers in `[0, 1)`.
    pub(in crate::provider::simulated) fn sample(&self, place: f64, tail: f64) -> Duration {
        let extra = if tail < self.tail_chance { self.tail } else { Duration::ZERO };
        self.base + self.jitter.mul_f64(place) + extra
    }
}

/// One launch template. Its versions are numbered from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TemplateOptions {
    /// `lt-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What `$Default` means.
    pub default_version: u64,
    /// What each version launches, the first one first.
    pub versions: Vec<TemplateVersion>,
}

/// What one version of a launch template says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateVersion {
    /// The image.
    pub image_id: String,
    /// The type, where the launch does not say another.
    pub instance_type: InstanceType,
}

impl Default for TemplateOptions {
    fn default() -> Self {
        let version = |image: &str| TemplateVersion {
            image_id: image.to_owned(),
            instance_type: InstanceType::new("m7g.large"),
        };
        Self {
            id: DEFAULT_TEMPLATE.to_owned(),
            name: "web".to_owned(),
            default_version: 1,
            versions: ["ami-0000000000000001", "ami-0000000000000002", "ami-0000000000000003"]
                .map(version)
                .to_vec(),
        }
    }
}

/// One target group of type `instance`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TargetGroupOptions {
    /// Its ARN.
    pub arn: TargetGroupArn,
    /// Its name.
    pub name: String,
    /// The port that targets are registered at unless they say otherwise.
    pub port: u16,
    /// How long a deregistered target says `draining`: all of it, drained or not.
    #[serde(with = "duration")]
    pub deregistration_delay: Duration,
}

impl Default for TargetGroupOptions {
    fn default() -> Self {
        Self {
            arn: TargetGroupArn::new(DEFAULT_TARGET_GROUP),
            name: "web".to_owned(),
            port: 80,
            deregistration_delay: Duration::from_mins(5),
        }
    }
}

/// The account's limits; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Instances that are pending or running, at most.
    pub instances: Option<u32>,
    /// Their vCPUs, at most.
    pub vcpus: Option<u32>,
}

/// How the operations are throttled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Buckets {
    /// As AWS documents its defaults.
    #[default]
    Documented,
    /// Not at all.
    Unlimited,
    /// As documented, but for the operations named.
    Custom(BTreeMap<Op, BucketOptions>),
}

/// One token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketOptions {
    /// Calls it holds when full.
    pub size: f64,
    /// Calls it regains in a second.
    pub refill_per_second: f64,
}

/// What the hosts can carry, and how their pages move.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostOptions {
    /// Requests per second that one vCPU can answer.
    pub rps_per_vcpu: f64,
    /// Share of the CPU that a host uses with no requests at all.
    pub idle_cpu: f64,
    /// By how much hosts differ from one another and from one moment to the next, as a share of their load.
    pub noise: f64,
    /// The grid on which the load is summed up into counters.
    #[serde(with = "duration")]
    pub step: Duration,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self { rps_per_vcpu: 50.0, idle_cpu: 0.02, noise: 0.05, step: Duration::from_secs(1) }
    }
}
