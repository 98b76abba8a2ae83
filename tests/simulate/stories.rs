//! The stories of the crash matrix: together they take every step that the loop knows.
//!
//! Each is a few minutes in the life of one fleet without rules, whose sizes are set by hand. A chapter ends when the
//! fleet has come to rest at the size that was asked for, whatever has gone wrong on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet_scaler::domain::ids::{FleetName, InstanceId, Zone};
use fleet_scaler::domain::tags;
use fleet_scaler::domain::time::{Timestamp, since};
use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::{Death, Fault};
use fleet_scaler::store::OperatorActionKind;

use crate::run::{Day, at_once};

/// How long a chapter may take.
const CHAPTER: Duration = Duration::from_mins(40);
/// How long something is given to happen that need not.
const A_WHILE: Duration = Duration::from_mins(3);
/// How long somebody takes to start the service again.
const RESTART: Duration = Duration::from_secs(3);
/// How often a chapter is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// One story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Story {
    Launch,
    Drain,
    Sweep,
}

impl Story {
    pub(crate) const ALL: [Self; 3] = [Self::Launch, Self::Drain, Self::Sweep];

    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Drain => "drain",
            Self::Sweep => "sweep",
        }
    }

    /// Tells it.
    pub(crate) fn tell(self, day: &mut Day) {
        day.rest_at(2);
        match self {
            Self::Launch => launch(day),
            Self::Drain => drain(day),
            Self::Sweep => sweep(day),
        }
    }
}

/// A zone is dry, the cloud throttles, and then nobody sells anything for a while.
fn launch(day: &mut Day) {
    let dry = day.fault(capacity(Some("eu-west-1a")));
    let throttled = day.fault(refusal(Op::RunInstances, "RequestLimitExceeded", 1));
    day.set_size(4);
    day.rest_at(4);
    day.relieved(dry);
    day.relieved(throttled);
    let dry = day.fault(capacity(None));
    day.set_size(5);
    day.happens("launch", "abandoned: no_pool");
    day.relieved(dry);
    day.rest_at(5);
    // Nobody hears of what is bought, somebody takes its launch tag away, and it is adopted before it is heard of.
    let lost = Fault::DropReply { op: Some(Op::RunInstances), count: None, probability: Some(1.0) };
    let lost = day.fault(lost);
    day.set_size(6);
    day.happens("answer", "RunInstances Unknown");
    if let Some(instance) = day.newest() {
        let remove = [tags::LAUNCH.to_owned()].into();
        day.fault(Fault::ChangeTags { instance, set: BTreeMap::new(), remove });
    }
    day.happens("host", "adopted");
    day.relieved(lost);
    day.rest_at_any();
}

/// Hosts are sent away by size and by name, the groups are slow to listen, and one host refuses to end.
fn drain(day: &mut Day) {
    day.set_size(4);
    day.rest_at(4);
    let refused = day.fault(refusal(Op::DeregisterTargets, "RequestLimitExceeded", 2));
    let oldest = day.oldest();
    let protected = oldest.clone().and_then(|instance| day.fault(Fault::Protect { instance }));
    day.set_size(2);
    day.happens("answer", "TerminateInstances Protected");
    day.relieved(protected);
    day.relieved(refused);
    day.rest_at(2);
    day.set_size(3);
    day.rest_at(3);
    if let (Some(instance), Some(fleet)) = (day.oldest(), day.fleet()) {
        day.act(&fleet, OperatorActionKind::Drain(instance));
        day.happens("host", "terminating");
    }
    day.rest_at_any();
}

/// A host is ended by somebody else, one turns up that has no row, and one falls ill.
fn sweep(day: &mut Day) {
    if let Some(instance) = day.oldest() {
        day.fault(Fault::KillInstance { instance, how: Death::Terminated });
        day.pass(Duration::from_secs(20));
    }
    day.rest_at(2);
    day.make_an_orphan();
    day.happens("host", "adopted");
    day.rest_at_any();
    day.set_size(3);
    day.rest_at(3);
    if let Some(instance) = day.oldest() {
        day.fault(Fault::KillInstance { instance, how: Death::Unresponsive });
        day.happens("host", "unhealthy");
    }
    day.rest_at(3);
}

fn capacity(zone: Option<&str>) -> Fault {
    Fault::Capacity { zone: zone.map(Zone::new), instance_type: None, left: 0 }
}

fn refusal(op: Op, code: &str, count: u32) -> Fault {
    Fault::Error {
        op: Some(op),
        zone: None,
        code: code.to_owned(),
        http_status: None,
        message: None,
        count: Some(count),
        probability: None,
    }
}

impl Day {
    fn fleet(&self) -> Option<FleetName> {
        self.fleets.keys().next().cloned()
    }

    fn fault(&mut self, fault: Fault) -> Option<u64> {
        self.world.cloud.set_fault(fault).ok()
    }

    fn relieved(&mut self, fault: Option<u64>) {
        if let Some(id) = fault {
            drop(self.world.cloud.clear_fault(id));
        }
    }

    fn set_size(&mut self, size: u32) {
        if let Some(fleet) = self.fleet() {
            self.act(&fleet, OperatorActionKind::SetSize(size));
        }
    }

    /// The instance of ours that lives longest.
    fn oldest(&self) -> Option<InstanceId> {
        let (fleet, span) = (self.fleet()?, Duration::from_mins(1));
        let stored = at_once(self.world.store.fleet_load(&fleet, span, span))?.ok()?;
        let healthy = stored.hosts.iter().filter(|host| host.state.name() == "healthy");
        healthy.min_by_key(|host| host.launched_at).map(|host| host.id.clone())
    }

    /// The instance of ours that was launched last.
    fn newest(&self) -> Option<InstanceId> {
        self.world.cloud.with_model(|model| {
            let ours = model.instances().filter(|one| one.tags.contains_key(tags::OWNER));
            ours.max_by_key(|one| one.launched_at).map(|one| one.id.clone())
        })
    }

    /// One step, and another process in the place of one that has died in it.
    fn turn(&mut self) {
        self.advance(false);
        let died = self.world.state().script.as_mut().and_then(|script| script.died.take());
        if died.is_some() {
            self.kill(0, RESTART);
        }
    }

    pub(crate) fn pass(&mut self, span: Duration) {
        let began = self.world.now();
        while self.goes_on() && since(self.world.now(), began) < span {
            self.turn();
        }
    }

    /// Waits until something has happened once more; after a mishap it need not.
    fn happens(&mut self, kind: &'static str, name: &str) {
        let (began, before) = (self.world.now(), self.world.state().tally.of(kind, name));
        while self.goes_on() && since(self.world.now(), began) < A_WHILE {
            if self.world.state().tally.of(kind, name) > before {
                return;
            }
            self.turn();
        }
    }

    fn rest_at(&mut self, size: u32) {
        self.rest(Some(size));
    }

    fn rest_at_any(&mut self) {
        self.rest(None);
    }

    /// Waits until rows, cloud and the size wanted agree.
    fn rest(&mut self, size: Option<u32>) {
        let Some(fleet) = self.fleet() else { return };
        let began = self.world.now();
        let mut looked: Option<Timestamp> = None;
        while self.goes_on() {
            let now = self.world.now();
            if looked.is_none_or(|at| since(now, at) >= LOOK) {
                looked = Some(now);
                let unrest = self.unrest_of(&fleet).or_else(|| self.other_size(&fleet, size));
                let Some(unrest) = unrest else { return };
                if since(now, began) > CHAPTER {
                    return self.world.fail("I10", format!("no rest within {CHAPTER:?}: {unrest}"));
                }
            }
            self.turn();
        }
    }

    fn other_size(&self, fleet: &FleetName, size: Option<u32>) -> Option<String> {
        let desired = self.world.state().book.fleet(fleet).desired;
        (size.is_some() && desired != size).then(|| format!("{desired:?} hosts are wanted, not {size:?}"))
    }
}
