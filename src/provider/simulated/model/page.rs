//! What a host's page shows: the numbers, and what is wrong with them. How it is written and served is none of the model's
//! business.

use std::net::Ipv4Addr;

use crate::domain::ids::InstanceId;
use crate::domain::time::Timestamp;
use crate::provider::simulated::model::Model;
use crate::provider::simulated::model::counters::Counters;
use crate::provider::simulated::model::faults::PageFault;
use crate::provider::simulated::model::instance::{Instance, memory_bytes, vcpus};

/// One look at a host's page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageView {
    /// When.
    pub at: Timestamp,
    /// When the machine was launched.
    pub booted_at: Timestamp,
    /// Its vCPUs.
    pub vcpus: u32,
    /// Its memory.
    pub memory_bytes: f64,
    /// Its counters.
    pub counters: Counters,
    /// What is wrong with the page.
    pub fault: Option<PageFault>,
}

impl Model {
    /// The instances whose pages are there, with their addresses.
    pub(crate) fn pages(&self) -> Vec<(InstanceId, Ipv4Addr)> {
        let there = self.instances.values().filter(|instance| instance.has_page());
        there.map(|instance| (instance.id.clone(), instance.address)).collect()
    }

    /// One look at an instance's page; `None`: it has none, or none any more.
    pub fn page(&mut self, id: &InstanceId) -> Option<PageView> {
        let fault = self.instances.get(id).and_then(|instance| self.faults.page_of(instance));
        let now = self.now;
        let instance = self.instances.get_mut(id).filter(|instance| instance.has_page())?;
        let shown = match fault {
            Some((PageFault::Frozen, since)) => frozen(instance, since, now),
            _ => (now, instance.counters),
        };
        Some(PageView {
            at: shown.0,
            booted_at: instance.launched_at,
            vcpus: vcpus(&instance.instance_type),
            memory_bytes: memory_bytes(&instance.instance_type),
            counters: shown.1,
            fault: fault.map(|(fault, _)| fault),
        })
    }
}

/// What the page showed at the first look since it was frozen.
fn frozen(instance: &mut Instance, since: Timestamp, now: Timestamp) -> (Timestamp, Counters) {
    match instance.frozen {
        Some((at, counters)) if at >= since => (at, counters),
        _ => *instance.frozen.insert((now, instance.counters)),
    }
}
