//! How the model is set up: what it consists of, how long things take, and how much load there is.
//!
//! Every value has a default that behaves like a small, well-kept account in eu-west-1, so that a person can start the
//! cloud with no file at all; everything that a test wants to bend is a field here. Durations are text such as `"30s"`.

pub mod duration;
pub mod load;
pub mod parts;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{SubnetId, Zone};
use crate::provider::simulated::options::load::LoadOptions;
use crate::provider::simulated::options::parts::{
    Buckets, HostOptions, Quota, Span, TargetGroupOptions, TemplateOptions,
};

/// The region that the default zones are in.
pub const DEFAULT_REGION: &str = "eu-west-1";
/// The launch template that is there by default.
pub const DEFAULT_TEMPLATE: &str = "lt-demo";
/// The target group that is there by default.
pub const DEFAULT_TARGET_GROUP: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef";

/// Everything that can be chosen about a simulated cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloudOptions {
    /// Where EC2 and ELBv2 are spoken; port 0 takes a free one, `None` opens no such door.
    pub listen: Option<SocketAddr>,
    /// The port of the hosts' pages, each on its own loopback address; `None` serves no pages.
    pub host_port: Option<u16>,
    /// The same seed, calls and times give the same instances, delays and deaths.
    pub seed: u64,
    /// The region.
    pub region: String,
    /// The subnets, each with its zone.
    pub subnets: BTreeMap<SubnetId, Zone>,
    /// The launch templates.
    pub templates: Vec<TemplateOptions>,
    /// The target groups.
    pub target_groups: Vec<TargetGroupOptions>,
    /// From the launch to `running`.
    pub boot: Span,
    /// From the registration to `healthy`.
    pub health: Span,
    /// From `shutting-down` to `terminated`.
    pub shutdown: Span,
    /// From the launch until describes show the instance.
    pub visibility_lag: Span,
    /// How long a terminated instance is still shown.
    #[serde(with = "duration")]
    pub terminated_visible: Duration,
    /// Instances die by themselves after this long on average; zero: never.
    #[serde(with = "duration")]
    pub mean_lifetime: Duration,
    /// The account's limits.
    pub quota: Quota,
    /// The throttle of each operation.
    pub buckets: Buckets,
    /// What one call through the trait may take.
    #[serde(with = "duration")]
    pub call_timeout: Duration,
    /// What the hosts can carry.
    pub hosts: HostOptions,
    /// How much there is to carry.
    pub load: LoadOptions,
}

impl Default for CloudOptions {
    fn default() -> Self {
        let subnets = ["a", "b", "c"].map(|letter| {
            (SubnetId::new(format!("subnet-{letter}")), Zone::new(format!("{DEFAULT_REGION}{letter}")))
        });
        Self {
            listen: None,
            host_port: Some(9100),
            seed: 1,
            region: DEFAULT_REGION.to_owned(),
            subnets: BTreeMap::from(subnets),
            templates: vec![TemplateOptions::default()],
            target_groups: vec![TargetGroupOptions::default()],
            boot: Span::seconds(20.0, 20.0).with_tail(0.02, 120.0),
            health: Span::seconds(15.0, 15.0).with_tail(0.02, 60.0),
            shutdown: Span::seconds(5.0, 15.0),
            visibility_lag: Span::seconds(1.0, 3.0),
            terminated_visible: Duration::from_hours(1),
            mean_lifetime: Duration::ZERO,
            quota: Quota::default(),
            buckets: Buckets::default(),
            call_timeout: Duration::from_secs(20),
            hosts: HostOptions::default(),
            load: LoadOptions::default(),
        }
    }
}

impl CloudOptions {
    /// With EC2 and ELBv2 spoken at this address.
    #[must_use]
    pub fn with_listen(mut self, listen: SocketAddr) -> Self {
        self.listen = Some(listen);
        self
    }

    /// With this seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// With the hosts' pages at this port, or without pages.
    #[must_use]
    pub fn with_host_port(mut self, port: Option<u16>) -> Self {
        self.host_port = port;
        self
    }

    /// With this load.
    #[must_use]
    pub fn with_load(mut self, load: LoadOptions) -> Self {
        self.load = load;
        self
    }

    /// With everything done at once: no boot, no health checks, no lag, no draining, no throttle. For tests that are about
    /// something else.
    #[must_use]
    pub fn instant(mut self) -> Self {
        for span in [&mut self.boot, &mut self.health, &mut self.shutdown, &mut self.visibility_lag] {
            *span = Span::default();
        }
        for group in &mut self.target_groups {
            group.deregistration_delay = Duration::ZERO;
        }
        self.buckets = Buckets::Unlimited;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_document_is_the_default() {
        let options: CloudOptions = toml::from_str("").unwrap();
        assert_eq!(options, CloudOptions::default());
    }

    #[test]
    fn options_survive_a_round_trip_as_json_and_as_toml() {
        let mut options = CloudOptions::default().with_listen("127.0.0.1:0".parse().unwrap()).with_seed(7);
        options.boot = Span::seconds(1.0, 0.5).with_tail(0.1, 9.0);
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<CloudOptions>(&json).unwrap(), options);
        let toml = toml::to_string(&options).unwrap();
        assert_eq!(toml::from_str::<CloudOptions>(&toml).unwrap(), options);
    }

    #[test]
    fn unknown_keys_and_bare_numbers_for_durations_are_refused() {
        let unknown = toml::from_str::<CloudOptions>("sed = 1").unwrap_err().to_string();
        assert!(unknown.contains("unknown field `sed`"), "{unknown}");
        let bare = toml::from_str::<CloudOptions>("call_timeout = 20").unwrap_err().to_string();
        assert!(bare.contains("a duration such as \"30s\""), "{bare}");
    }
}
