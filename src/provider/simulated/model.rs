//! The model: EC2 and ELBv2 as a state machine that knows no clock, no socket and no thread.
//!
//! Time is handed in, randomness comes from a seed, and what is due happens in the order of its time whenever the model is
//! next looked at. So the same seed and the same calls at the same times give the same cloud, down to the ids; a day can
//! pass in a millisecond; and a service that polls and a test that jumps see the same story.
//!
//! | file | what |
//! |---|---|
//! | [`api`] | requests, answers, refusals |
//! | `agenda` | what is due when, and what happens then |
//! | `launch`, `terminate`, `reads`, `balancer`, `admin` | the operations |
//! | [`faults`] | what can be made to go wrong |
//! | [`load`], [`counters`] | how much there is to do, and what hosts count of it |
//! | [`journal`] | what happened |

pub mod admin;
mod agenda;
pub mod api;
mod balancer;
pub mod counters;
pub mod faults;
pub mod instance;
pub mod journal;
mod launch;
pub mod load;
pub mod page;
mod reads;
mod terminate;
mod throttle;

pub(crate) use balancer::state_name as target_state_name;
pub(crate) use reads::{state_code as instance_state_code, state_name as instance_state_name};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

use crate::domain::ids::{InstanceId, SubnetId, TargetGroupArn, Zone};
use crate::domain::time::Timestamp;
use crate::provider::simulated::model::agenda::Due;
use crate::provider::simulated::model::api::{ApiError, Op};
use crate::provider::simulated::model::balancer::Group;
use crate::provider::simulated::model::faults::active::{ActiveFaults, Gate};
use crate::provider::simulated::model::instance::Instance;
use crate::provider::simulated::model::journal::{Event, Journal};
use crate::provider::simulated::model::launch::Token;
use crate::provider::simulated::model::load::{ActiveLoad, Curve, LoadTarget};
use crate::provider::simulated::model::throttle::Throttle;
use crate::provider::simulated::options::CloudOptions;
use crate::provider::simulated::options::parts::{Span, TemplateOptions};

/// EC2 and ELBv2 of one account in one region.
pub struct Model {
    options: CloudOptions,
    now: Timestamp,
    rng: ChaCha12Rng,
    launched: u64,
    address_offset: u32,
    subnets: BTreeMap<SubnetId, Zone>,
    templates: BTreeMap<String, TemplateOptions>,
    groups: BTreeMap<TargetGroupArn, Group>,
    instances: BTreeMap<InstanceId, Instance>,
    tokens: BTreeMap<(Option<Zone>, String), Token>,
    agenda: BTreeSet<(Timestamp, Due)>,
    faults: ActiveFaults,
    throttle: Throttle,
    loads: BTreeMap<LoadTarget, ActiveLoad>,
    loaded_until: Timestamp,
    journal: Journal,
}

impl Model {
    /// A fresh cloud. `load` is shared by the healthy targets of each of its target groups.
    #[must_use]
    pub fn new(options: CloudOptions, load: &Curve, now: Timestamp) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(options.seed);
        let groups: BTreeMap<_, _> =
            options.target_groups.iter().map(|group| (group.arn.clone(), Group::new(group))).collect();
        let loads = groups
            .keys()
            .map(|arn| (LoadTarget::TargetGroup(arn.clone()), ActiveLoad { curve: load.clone(), since: now }))
            .collect();
        Self {
            now,
            launched: 0,
            address_offset: rng.random_range(0..launch::ADDRESSES),
            rng,
            subnets: options.subnets.clone(),
            templates: options.templates.iter().map(|one| (one.id.clone(), one.clone())).collect(),
            groups,
            instances: BTreeMap::new(),
            tokens: BTreeMap::new(),
            agenda: BTreeSet::new(),
            faults: ActiveFaults::default(),
            throttle: Throttle::new(&options.buckets, now),
            loads,
            loaded_until: now,
            journal: Journal::default(),
            options,
        }
    }

    /// The time it is at.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What it was set up with.
    #[must_use]
    pub fn options(&self) -> &CloudOptions {
        &self.options
    }

    /// What happened so far.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Every instance it knows, dead ones as long as they are shown, whether describes show them yet or not.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }

    /// One instance.
    #[must_use]
    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.instances.get(id)
    }

    /// An id for the next request.
    pub(crate) fn request_id(&mut self) -> String {
        let bytes = self.rng.random::<u128>().to_be_bytes();
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// What the faults make of a call that came just now. `subnet` is the launch's, where it is one.
    pub(crate) fn gate(&mut self, op: Op, subnet: Option<&SubnetId>) -> Gate {
        let zone = subnet.and_then(|subnet| self.subnets.get(subnet)).cloned();
        let rng = &mut self.rng;
        self.faults.gate(op, zone.as_ref(), || rng.random_range(0.0..1.0))
    }

    /// Takes a call's worth out of its bucket.
    pub(crate) fn admit(&mut self, op: Op, instances: u32) -> Result<(), ApiError> {
        self.throttle.take(op, instances, self.now)
    }

    pub(crate) fn record(&mut self, event: Event) {
        self.journal.push(self.now, event);
    }

    /// Whether a fault is in force.
    pub(crate) fn has_fault(&self, id: u64) -> bool {
        self.faults.contains(id)
    }

    fn sample(&mut self, span: Span) -> Duration {
        span.sample(self.rng.random_range(0.0..1.0), self.rng.random_range(0.0..1.0))
    }

    fn hex(&mut self, digits: usize) -> String {
        format!("{:032x}", self.rng.random::<u128>())[..digits].to_owned()
    }
}
