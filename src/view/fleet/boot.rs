//! How long a fleet's hosts take from launch to healthy, as they are told it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::config::fleet::FleetConfig;
use crate::domain::boot::{Boot, BootTimes};
use crate::domain::ids::Zone;

/// How long the last hosts took from launch to healthy: at most 50 of them, of the last 14 days.
#[derive(Debug, Serialize, ToSchema)]
pub struct BootStatus {
    /// Half of them were as fast, in seconds.
    pub p50_seconds: f64,
    /// All but a twentieth of them were, in seconds.
    pub p95_seconds: f64,
    /// How many they are.
    pub hosts: usize,
    /// The same of each zone.
    pub zones: Vec<ZoneBoots>,
}

/// The hosts of one zone.
#[derive(Debug, Serialize, ToSchema)]
pub struct ZoneBoots {
    /// Which.
    pub zone: Zone,
    /// All but a twentieth of them were as fast, in seconds.
    pub p95_seconds: f64,
    /// How many they are.
    pub hosts: usize,
}

impl BootStatus {
    /// Works it out; `None`: too few hosts are known, or no file configures the fleet.
    #[must_use]
    pub fn of(config: Option<&FleetConfig>, boots: &[Boot]) -> Option<Self> {
        let times = BootTimes::of(boots, &config?.launch.template)?;
        let zones = times.zones.into_iter().map(|(zone, (p95, hosts))| ZoneBoots {
            zone,
            p95_seconds: p95.as_secs_f64(),
            hosts,
        });
        Some(Self {
            p50_seconds: times.p50.as_secs_f64(),
            p95_seconds: times.p95.as_secs_f64(),
            hosts: times.hosts,
            zones: zones.collect(),
        })
    }

    /// `62 s p95 of 50, 48 s p50; eu-west-1a 58 s of 20`.
    #[must_use]
    pub fn line(&self) -> String {
        let zones = self
            .zones
            .iter()
            .map(|zone| format!("{} {:.0} s of {}", zone.zone, zone.p95_seconds.ceil(), zone.hosts));
        let zones = zones.collect::<Vec<_>>().join(", ");
        let (p50, p95) = (self.p50_seconds.ceil(), self.p95_seconds.ceil());
        format!("{p95:.0} s p95 of {}, {p50:.0} s p50; {zones}", self.hosts)
    }
}
