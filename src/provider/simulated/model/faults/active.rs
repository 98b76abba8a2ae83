//! The faults in force, and what they make of one call.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::domain::ids::{InstanceType, TargetGroupArn, Zone};
use crate::domain::time::Timestamp;
use crate::provider::simulated::model::api::{ApiError, Op};
use crate::provider::simulated::model::faults::{Fault, PageFault};
use crate::provider::simulated::model::instance::Instance;
use crate::provider::simulated::model::journal::HoldPoint;
use crate::provider::simulated::options::parts::{BucketOptions, Quota};

/// A fault in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActiveFault {
    /// Its number, for clearing it.
    pub id: u64,
    /// Since when.
    pub since: Timestamp,
    /// How many calls or launches it has hit.
    pub hits: u64,
    /// How many more it will hit; `None`: no end.
    pub left: Option<u32>,
    /// What it is.
    pub fault: Fault,
}

/// What the faults make of one call.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// It takes so much longer.
    pub delay: Duration,
    /// It waits for these faults to be cleared before its work.
    pub hold_before: Vec<u64>,
    /// It waits for these faults to be cleared after its work.
    pub hold_after: Vec<u64>,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a call.
#[derive(Clone, Debug, Default)]
pub enum Fate {
    /// It is done and answered.
    #[default]
    Answered,
    /// It is done, and nobody hears of it.
    ReplyLost,
    /// It never reaches the service.
    RequestLost,
    /// It is refused.
    Refused(ApiError),
}

/// The faults in force, by number.
#[derive(Debug, Default)]
pub(crate) struct ActiveFaults {
    faults: BTreeMap<u64, ActiveFault>,
    last_id: u64,
}

impl ActiveFaults {
    /// A number for a fault that is applied once and not kept.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(crate) fn set(&mut self, fault: Fault, now: Timestamp) -> u64 {
        let id = self.next_id();
        let left = match &fault {
            Fault::NeverHealthy { next, .. } => *next,
            Fault::Capacity { left, .. } => Some(*left),
            other => other.calls().and_then(|calls| calls.count),
        };
        self.faults.insert(id, ActiveFault { id, since: now, hits: 0, left, fault });
        id
    }

    pub(crate) fn clear(&mut self, id: u64) -> Option<ActiveFault> {
        self.faults.remove(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &ActiveFault> {
        self.faults.values()
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.faults.contains_key(&id)
    }

    /// What the faults make of this call. `chance` gives numbers in `[0, 1)`.
    pub(crate) fn gate(&mut self, op: Op, zone: Option<&Zone>, mut chance: impl FnMut() -> f64) -> Gate {
        let mut gate = Gate::default();
        for active in self.faults.values_mut() {
            let Some(calls) = active.fault.calls() else { continue };
            let matches = calls.op.is_none_or(|wanted| wanted == op)
                && calls.zone.as_ref().is_none_or(|wanted| Some(wanted) == zone)
                && active.left != Some(0)
                // The fault that decides over a call's fate first does; the others keep their count for the next call.
                && (matches!(gate.fate, Fate::Answered) || !active.fault.is_fate())
                && calls.probability.is_none_or(|probability| chance() < probability);
            if matches {
                active.hit(1);
                active.join(&mut gate);
            }
        }
        gate
    }

    /// How many instances the pools that match still have; `None`: any number.
    pub(crate) fn capacity(&self, zone: &Zone, kind: &InstanceType) -> Option<u32> {
        self.faults.values().filter(|active| active.fault.is_pool(zone, kind)).filter_map(|a| a.left).min()
    }

    pub(crate) fn take_capacity(&mut self, zone: &Zone, kind: &InstanceType, count: u32) {
        for active in self.faults.values_mut().filter(|active| active.fault.is_pool(zone, kind)) {
            active.hit(count);
        }
    }

    /// Whether the instance launched just now is one of those that never get well.
    pub(crate) fn takes_next_launch(&mut self) -> bool {
        let mut hit = false;
        for active in self.faults.values_mut() {
            let counts_launches = matches!(active.fault, Fault::NeverHealthy { next: Some(_), .. });
            if counts_launches && active.left != Some(0) {
                active.hit(1);
                hit = true;
            }
        }
        hit
    }

    pub(crate) fn quota(&self) -> Option<Quota> {
        self.latest(|fault| match fault {
            Fault::Quota { instances, vcpus } => Some(Quota { instances: *instances, vcpus: *vcpus }),
            _ => None,
        })
    }

    pub(crate) fn bucket(&self, of: Op) -> Option<BucketOptions> {
        self.latest(|fault| match fault {
            Fault::Throttle { op, size, refill_per_second } if *op == of => {
                Some(BucketOptions { size: *size, refill_per_second: *refill_per_second })
            }
            _ => None,
        })
    }

    pub(crate) fn visibility_lag(&self) -> Option<Duration> {
        self.latest(|fault| match fault {
            Fault::VisibilityLag { ms } => Some(Duration::from_millis(*ms)),
            _ => None,
        })
    }

    pub(crate) fn boot(&self, zone: &Zone) -> Option<Duration> {
        self.latest(|fault| match fault {
            Fault::SlowBoot { zone: only, ms } if only.as_ref().is_none_or(|only| only == zone) => {
                Some(Duration::from_millis(*ms))
            }
            _ => None,
        })
    }

    pub(crate) fn is_sick(&self, host: &Instance) -> bool {
        self.faults.values().any(|active| active.fault.sickens(host))
    }

    pub(crate) fn is_protected(&self, host: &Instance) -> bool {
        let protects = |fault: &Fault| matches!(fault, Fault::Protect { instance } if *instance == host.id);
        self.faults.values().any(|active| protects(&active.fault))
    }

    pub(crate) fn is_stuck(&self, group: &TargetGroupArn) -> bool {
        let sticks = |fault: &Fault| match fault {
            Fault::StuckDraining { target_group } => target_group.as_ref().is_none_or(|only| only == group),
            _ => false,
        };
        self.faults.values().any(|active| sticks(&active.fault))
    }

    pub(crate) fn is_zone_off(&self, zone: &Zone) -> bool {
        let off = |fault: &Fault| matches!(fault, Fault::ZoneNotEnabled { zone: only } if only == zone);
        self.faults.values().any(|active| off(&active.fault))
    }

    /// What is wrong with this host's page, and since when.
    pub(crate) fn page_of(&self, host: &Instance) -> Option<(PageFault, Timestamp)> {
        self.faults
            .values()
            .rev()
            .find_map(|active| active.fault.page_of(host).map(|page| (page, active.since)))
    }

    /// What the fault set last says, of those that say anything.
    fn latest<T>(&self, read: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.faults.values().rev().find_map(|active| read(&active.fault))
    }
}

impl ActiveFault {
    fn hit(&mut self, count: u32) {
        self.hits += u64::from(count);
        self.left = self.left.map(|left| left.saturating_sub(count));
    }

    fn join(&self, gate: &mut Gate) {
        match &self.fault {
            Fault::Delay { ms, .. } => gate.delay += Duration::from_millis(*ms),
            Fault::Hold { when: HoldPoint::Before, .. } => gate.hold_before.push(self.id),
            Fault::Hold { when: HoldPoint::After, .. } => gate.hold_after.push(self.id),
            Fault::DropReply { .. } => gate.fate = Fate::ReplyLost,
            Fault::DropRequest { .. } => gate.fate = Fate::RequestLost,
            Fault::Error { code, http_status, message, .. } => {
                let status = http_status.unwrap_or_else(|| Fault::usual_status(code));
                let words = message.clone().unwrap_or_else(|| format!("injected by fault {}", self.id));
                gate.fate = Fate::Refused(ApiError::new(status, code.clone(), words));
            }
            _ => {}
        }
    }
}

impl Fault {
    fn is_fate(&self) -> bool {
        matches!(self, Self::Error { .. } | Self::DropReply { .. } | Self::DropRequest { .. })
    }

    fn is_pool(&self, in_zone: &Zone, of_type: &InstanceType) -> bool {
        match self {
            Self::Capacity { zone, instance_type, .. } => {
                zone.as_ref().is_none_or(|zone| zone == in_zone)
                    && instance_type.as_ref().is_none_or(|kind| kind == of_type)
            }
            _ => false,
        }
    }
}
