//! One instance of the model, and what kind of machine it is.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::domain::ids::{InstanceId, InstanceType, SubnetId, Zone};
use crate::domain::launch::Market;
use crate::domain::time::Timestamp;
use crate::provider::InstanceState;
use crate::provider::simulated::model::counters::Counters;
use crate::provider::simulated::model::journal::Passage;

/// One instance, as the model knows it; describes show less.
#[derive(Clone, Debug)]
pub struct Instance {
    /// `i-…`.
    pub id: InstanceId,
    /// The how manieth of the model, from 0.
    pub ordinal: u64,
    /// The reservation it came with.
    pub reservation: String,
    /// Its place in the reservation.
    pub launch_index: u32,
    /// EC2's state.
    pub state: InstanceState,
    /// Why it is in this state, in EC2's words; empty where nothing special happened.
    pub reason: String,
    /// Where it stands.
    pub zone: Zone,
    /// Its subnet.
    pub subnet: SubnetId,
    /// What it is.
    pub instance_type: InstanceType,
    /// Its image.
    pub image_id: String,
    /// Its address, a loopback one: its page is served there.
    pub address: Ipv4Addr,
    /// When it was launched.
    pub launched_at: Timestamp,
    /// Describes show it from then on.
    pub visible_at: Timestamp,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The token it was launched with.
    pub client_token: Option<String>,
    /// How it was bought.
    pub market: Market,
    /// Whether what runs on it answers.
    pub software: Software,
    /// Its time in each group and port, over and current.
    pub passages: Vec<Passage>,
    /// What its page counts.
    pub counters: Counters,
    /// What its page showed when it was frozen.
    pub frozen: Option<(Timestamp, Counters)>,
}

/// Whether what runs on an instance answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Software {
    /// It does.
    Serving,
    /// Its page does, its service never passes a health check.
    NeverHealthy,
    /// Nothing does.
    Unresponsive,
}

impl Instance {
    /// Whether it is on its way out, or gone.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        matches!(self.state, InstanceState::ShuttingDown | InstanceState::Terminated)
    }

    /// Whether the account's limits count it.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        matches!(self.state, InstanceState::Pending | InstanceState::Running)
    }

    /// Whether its page is there.
    #[must_use]
    pub fn has_page(&self) -> bool {
        self.state == InstanceState::Running && self.software != Software::Unresponsive
    }
}

/// How many vCPUs a type has: by its size, as for most families.
#[must_use]
pub fn vcpus(kind: &InstanceType) -> u32 {
    let size = kind.as_str().rsplit('.').next().unwrap_or_default();
    match size {
        "nano" | "micro" | "small" | "medium" => 1,
        "xlarge" => 4,
        "metal" => 96,
        other => match other.strip_suffix("xlarge").and_then(|times| times.parse::<u32>().ok()) {
            Some(times) => times.saturating_mul(4),
            // `large`, and whatever is not a size at all.
            None => 2,
        },
    }
}

/// How much memory a type has: 4 GiB a vCPU, as in the general purpose families.
#[must_use]
pub fn memory_bytes(kind: &InstanceType) -> f64 {
    f64::from(vcpus(kind)) * 4.0 * 1024.0 * 1024.0 * 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_the_type() {
        for (kind, count) in
            [("m7g.medium", 1), ("m7g.large", 2), ("c7i.xlarge", 4), ("c7i.24xlarge", 96), ("odd", 2)]
        {
            assert_eq!(vcpus(&InstanceType::new(kind)), count, "{kind}");
        }
    }
}
