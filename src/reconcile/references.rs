//! What a fleet's configuration refers to in the cloud: the zones of its subnets, its template's version, its groups.
//!
//! All of it is looked up before an intent is written, so that nothing is left to choose when a call is made. Zones of
//! subnets never change and are kept; a group's attributes are kept for a while; `$Latest` is asked for each time. And, from our own rows and
//! once in a while, how long hosts take to boot.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::fleet::FleetConfig;
use crate::decide::policy::Place;
use crate::domain::boot::{self, BootTimes};
use crate::domain::failure::CloudError;
use crate::domain::ids::TargetGroupArn;
use crate::provider::{CloudProvider, TargetGroup};
use crate::store::{Store, StoreError};

/// How long a group's attributes are believed.
const GROUP_AGE: Duration = Duration::from_mins(5);
/// How long a measurement of boots is believed.
const BOOTS_AGE: Duration = Duration::from_mins(5);
/// What is added to the longest deregistration delay where no drain time-out is configured.
const DRAIN_MARGIN: Duration = Duration::from_mins(1);
/// ELBv2's default deregistration delay, assumed of a group that does not answer.
const DEREGISTRATION_DELAY: Duration = Duration::from_mins(5);
/// The port that a group's targets are deregistered at when neither it nor its targets can be seen any more.
const UNKNOWN_PORT: u16 = 80;

/// What was looked up for one fleet.
#[derive(Debug, Default)]
pub struct References {
    places: Vec<Place>,
    groups: BTreeMap<TargetGroupArn, (Duration, TargetGroup)>,
    joined: Option<Vec<TargetGroupArn>>,
    boots: Option<(Duration, Option<BootTimes>)>,
}

impl References {
    /// The fleet's subnets with their zones, in the order of the file.
    pub async fn places(
        &mut self,
        cloud: &dyn CloudProvider,
        fleet: &FleetConfig,
    ) -> Result<Vec<Place>, CloudError> {
        let known = self.places.iter().map(|place| &place.subnet);
        if !known.eq(fleet.launch.subnets.iter()) {
            let found = cloud.subnets(&fleet.launch.subnets).await?;
            let zones: BTreeMap<_, _> = found.into_iter().map(|info| (info.subnet, info.zone)).collect();
            self.places = fleet
                .launch
                .subnets
                .iter()
                .filter_map(|subnet| {
                    zones.get(subnet).map(|zone| Place { zone: zone.clone(), subnet: subnet.clone() })
                })
                .collect();
        }
        Ok(self.places.clone())
    }

    /// Looks up, once for each version of the configuration, which groups living hosts were ever registered with. A group
    /// that has left the configuration still has them, and must let go of them before they end.
    pub async fn refresh_joined(&mut self, store: &dyn Store, fleet: &FleetConfig) -> Result<(), StoreError> {
        if self.joined.is_none() {
            self.joined = Some(store.groups_joined(&fleet.name).await?);
        }
        Ok(())
    }

    /// The groups that living hosts were ever registered with, as far as they were looked up.
    #[must_use]
    pub fn joined(&self) -> &[TargetGroupArn] {
        self.joined.as_deref().unwrap_or_default()
    }

    /// Measures anew how long the last hosts took from launch to healthy, where that was not done for a while.
    pub async fn refresh_boots(
        &mut self,
        store: &dyn Store,
        clock: &dyn Clock,
        fleet: &FleetConfig,
    ) -> Result<(), StoreError> {
        let now = clock.elapsed();
        if self.boots.as_ref().is_none_or(|(at, _)| now.saturating_sub(*at) >= BOOTS_AGE) {
            let boots = store.boots(&fleet.name, boot::LOOK_BACK, boot::MOST).await?;
            self.boots = Some((now, BootTimes::of(&boots, &fleet.launch.template)));
        }
        Ok(())
    }

    /// How long the last hosts took from launch to healthy, as far as that was measured.
    #[must_use]
    pub fn boot_times(&self) -> Option<&BootTimes> {
        self.boots.as_ref().and_then(|(_, times)| times.as_ref())
    }

    /// Looks up the attributes of groups that are not known, or not any more. A group that does not answer keeps what
    /// was known of it: its absence is noticed where its targets are asked for.
    pub async fn refresh_groups(
        &mut self,
        cloud: &dyn CloudProvider,
        clock: &dyn Clock,
        groups: &[TargetGroupArn],
    ) {
        for arn in groups {
            let now = clock.elapsed();
            if self.groups.get(arn).is_some_and(|(at, _)| now.saturating_sub(*at) < GROUP_AGE) {
                continue;
            }
            if let Ok(group) = cloud.target_group(arn).await {
                self.groups.insert(arn.clone(), (now, group));
            }
        }
    }

    /// The port that a group registers targets at.
    #[must_use]
    pub fn port(&self, group: &TargetGroupArn) -> u16 {
        self.groups.get(group).map_or(UNKNOWN_PORT, |(_, known)| known.port)
    }

    /// How long after deregistration a host is terminated at the latest.
    #[must_use]
    pub fn drain_timeout(&self, fleet: &FleetConfig, groups: &[TargetGroupArn]) -> Duration {
        fleet.balancer.drain_timeout.unwrap_or_else(|| {
            let delays = groups.iter().map(|arn| {
                self.groups.get(arn).map_or(DEREGISTRATION_DELAY, |(_, known)| known.deregistration_delay)
            });
            delays.max().unwrap_or_default() + DRAIN_MARGIN
        })
    }
}

/// The template's version as a number. A number in the file is taken as it is: the launch itself checks it.
pub async fn template_version(cloud: &dyn CloudProvider, fleet: &FleetConfig) -> Result<u64, CloudError> {
    let launch = &fleet.launch;
    match launch.template_version.parse() {
        Ok(version) => Ok(version),
        Err(_) => cloud.template_version(&launch.template, &launch.template_version).await,
    }
}
