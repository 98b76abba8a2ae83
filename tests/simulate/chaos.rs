//! What goes wrong in a simulated day: one list, from which each seed draws the kinds that it will meet.
//!
//! Not every seed meets everything. A day on which everything fails at once never gets far enough to fail in an
//! interesting way, so each seed has its own few kinds of trouble, and the tally at the end says that all were met.

use std::time::Duration;

use rand::Rng as _;

use fleet_scaler::domain::ids::{InstanceId, OperatorActionId, TargetGroupArn, Zone};
use fleet_scaler::domain::tags;
use fleet_scaler::domain::time::after;
use fleet_scaler::provider::simulated::model::admin::ForeignInstance;
use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::{Death, Fault};
use fleet_scaler::store::{Direction, OperatorAction, OperatorActionKind};

use crate::fleets::SECOND_GROUP;
use crate::run::{Day, OWNER};

macro_rules! trouble {
    ($($variant:ident $name:literal,)*) => {
        /// One kind of trouble.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Trouble { $($variant,)* }

        impl Trouble {
            /// Every kind.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What it is called in the tally.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

trouble! {
    Crash "a process is killed",
    Freeze "a process is frozen",
    ClockStep "a host clock is stepped",
    DatabaseDown "the database is away",
    CommitReplyLost "commits lose their replies",
    ReplyLost "the cloud's replies are lost",
    RequestLost "requests are lost",
    CallsLate "calls arrive late",
    Throttled "the cloud throttles",
    Denied "permission is denied",
    InternalError "the cloud fails inside",
    BadImage "the image is gone",
    ZoneDry "a zone has no capacity",
    AllDry "no zone has capacity",
    Short "a zone is short of capacity",
    Quota "the account is at its limit",
    VisibilityLag "lists lag",
    SlowBoot "boots are slow",
    NeverHealthy "hosts never become healthy",
    Sick "every host fails its checks",
    Killed "an instance is terminated outside",
    Unresponsive "a host stops answering",
    Protected "an instance is protected",
    StuckDraining "draining gets stuck",
    ZoneNotEnabled "the balancer leaves a zone out",
    GroupDeleted "a target group is deleted",
    Orphan "an instance with our tags appears",
    HostsSilent "some hosts' pages are silent",
    AllSilent "all hosts' pages are silent",
    Liar "a host lies",
    Surge "the load rises",
    Calm "the load falls",
    SetSize "an operator sets the size",
    Drain "an operator sends a host away",
    Pause "an operator pauses",
    Bounds "the bounds are changed",
    Retagged "an instance's tags are changed by hand",
}

const CALLS: [Op; 4] = [Op::RunInstances, Op::RegisterTargets, Op::DeregisterTargets, Op::TerminateInstances];
const ANY_CALL: [Op; 6] = [
    Op::RunInstances,
    Op::RegisterTargets,
    Op::DeregisterTargets,
    Op::TerminateInstances,
    Op::DescribeInstances,
    Op::DescribeTargetHealth,
];

/// What a hand writes into a tag of ours.
const SOMEBODY_ELSES: &str = "somebody-elses";

impl Day {
    /// Makes trouble.
    pub(crate) fn make(&mut self, trouble: Trouble) {
        self.world.note("chaos", trouble.name());
        self.world.state().tally.count("trouble", trouble.name());
        match trouble {
            Trouble::Crash => self.crash(),
            Trouble::Freeze => self.freeze(),
            Trouble::ClockStep => self.step_a_clock(),
            Trouble::DatabaseDown | Trouble::CommitReplyLost => self.trouble_the_database(trouble),
            Trouble::HostsSilent | Trouble::AllSilent | Trouble::Liar | Trouble::Surge | Trouble::Calm => {
                self.trouble_the_hosts(trouble);
            }
            Trouble::SetSize | Trouble::Drain | Trouble::Pause | Trouble::Bounds => self.operate(trouble),
            Trouble::Killed | Trouble::Unresponsive | Trouble::Protected => self.trouble_an_instance(trouble),
            Trouble::Orphan => self.make_an_orphan(),
            Trouble::Retagged => self.retag_an_instance(),
            Trouble::CallsLate => {
                self.world.state().network.late = 0.3;
                self.relief_after(5.0..60.0, Relief::CallsLate);
            }
            Trouble::GroupDeleted => self.delete_the_second_group(),
            other => self.trouble_the_cloud(other),
        }
    }

    fn span(&mut self, seconds: std::ops::Range<f64>) -> Duration {
        Duration::from_secs_f64(self.rng.random_range(seconds))
    }

    fn one_of<T: Clone>(&mut self, things: &[T]) -> Option<T> {
        let last = things.len().checked_sub(1)?;
        things.get(self.rng.random_range(0..=last)).cloned()
    }

    fn relief_after(&mut self, seconds: std::ops::Range<f64>, relief: Relief) {
        let span = self.span(seconds);
        self.reliefs.push((after(self.world.now(), span), relief));
    }

    fn step_a_clock(&mut self) {
        let ahead = self.rng.random_range(-3_600_000_000..3_600_000_000_i64);
        let place = self.rng.random_range(0..self.processes.len());
        if let Some(process) = &self.processes[place].alive {
            process.clock.step_to(ahead);
        }
    }

    fn trouble_the_database(&mut self, trouble: Trouble) {
        if trouble == Trouble::CommitReplyLost {
            self.world.state().database.reply_lost = 0.1;
            return self.relief_after(5.0..40.0, Relief::CommitReplies);
        }
        let span = self.span(1.0..40.0);
        self.world.state().database.down_until = Some(after(self.world.now(), span));
    }

    fn trouble_the_hosts(&mut self, trouble: Trouble) {
        let most = self.fleets.values().map(|fleet| fleet.size.max).max().unwrap_or(4);
        let share = self.rng.random_range(0.0..1.0);
        let mut state = self.world.state();
        match trouble {
            Trouble::HostsSilent => state.metrics.silent = 0.2 + 0.6 * share,
            Trouble::AllSilent => state.metrics.silent = 1.0,
            Trouble::Liar => state.metrics.liar = true,
            Trouble::Surge => {
                state.metrics.load = (state.metrics.load + 1.0 + 4.0 * share).min(f64::from(most));
            }
            _ => state.metrics.load *= 0.6 * share,
        }
        drop(state);
        if matches!(trouble, Trouble::HostsSilent | Trouble::AllSilent | Trouble::Liar) {
            self.relief_after(10.0..120.0, Relief::Pages);
        }
    }

    fn trouble_the_cloud(&mut self, trouble: Trouble) {
        let zones = ["a", "b", "c"].map(|letter| Zone::new(format!("eu-west-1{letter}")));
        let zone = self.one_of(&zones);
        let op = self.one_of(&CALLS);
        let any = self.one_of(&ANY_CALL);
        let left = self.rng.random_range(0..3);
        let probability = Some([0.3, 0.6, 1.0][self.rng.random_range(0..3)]);
        let error = |op, code: &str| Fault::Error {
            op,
            zone: None,
            code: code.to_owned(),
            http_status: None,
            message: None,
            count: None,
            probability,
        };
        let fault = match trouble {
            Trouble::ReplyLost => Fault::DropReply { op, count: None, probability },
            Trouble::RequestLost => Fault::DropRequest { op: any, count: None, probability },
            Trouble::Throttled => error(any, "RequestLimitExceeded"),
            Trouble::Denied => error(op, "UnauthorizedOperation"),
            Trouble::InternalError => error(any, "InternalError"),
            Trouble::BadImage => error(Some(Op::RunInstances), "InvalidAMIID.NotFound"),
            Trouble::ZoneDry => Fault::Capacity { zone, instance_type: None, left: 0 },
            Trouble::AllDry => Fault::Capacity { zone: None, instance_type: None, left: 0 },
            Trouble::Short => Fault::Capacity { zone, instance_type: None, left },
            Trouble::Quota => Fault::Quota { instances: Some(2 + left), vcpus: None },
            Trouble::VisibilityLag => Fault::VisibilityLag { ms: 90_000 },
            Trouble::SlowBoot => Fault::SlowBoot { zone, ms: 120_000 },
            Trouble::NeverHealthy => Fault::NeverHealthy { instance: None, zone: None, next: Some(left + 1) },
            Trouble::Sick => Fault::NeverHealthy { instance: None, zone: None, next: None },
            Trouble::StuckDraining => Fault::StuckDraining { target_group: None },
            _ => Fault::ZoneNotEnabled { zone: zone.unwrap_or_else(|| Zone::new("eu-west-1a")) },
        };
        let span = if trouble == Trouble::Sick { 60.0..200.0 } else { 5.0..90.0 };
        if let Ok(id) = self.world.cloud.set_fault(fault)
            && trouble != Trouble::NeverHealthy
        {
            self.relief_after(span, Relief::Fault(id));
        }
    }

    fn living(&self) -> Vec<InstanceId> {
        self.world.cloud.with_model(|model| {
            let ours = model.instances().filter(|one| !one.is_dead() && one.tags.contains_key(tags::OWNER));
            ours.map(|one| one.id.clone()).collect()
        })
    }

    fn trouble_an_instance(&mut self, trouble: Trouble) {
        let living = self.living();
        let Some(instance) = self.one_of(&living) else { return };
        let fault = match trouble {
            Trouble::Killed => Fault::KillInstance { instance, how: Death::Terminated },
            Trouble::Unresponsive => Fault::KillInstance { instance, how: Death::Unresponsive },
            _ => Fault::Protect { instance },
        };
        if let Ok(id) = self.world.cloud.set_fault(fault)
            && trouble == Trouble::Protected
        {
            self.relief_after(30.0..200.0, Relief::Fault(id));
        }
    }

    /// Somebody starts an instance by hand and gives it our tags, or a database was restored from before its launch.
    pub(crate) fn make_an_orphan(&mut self) {
        let names: Vec<_> = self.fleets.keys().cloned().collect();
        let Some(fleet) = self.one_of(&names) else { return };
        let tags = [(tags::OWNER, OWNER), (tags::FLEET, fleet.as_str())]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let foreign = ForeignInstance { tags: tags.into(), ..ForeignInstance::default() };
        drop(self.world.cloud.with_model(|model| model.add_instances(&foreign)));
    }

    /// Somebody changes an instance's tags by hand, and changes them back a while later.
    fn retag_an_instance(&mut self) {
        let living = self.living();
        let Some(instance) = self.one_of(&living) else { return };
        let key = if self.rng.random_range(0.0..1.0) < 0.5 { tags::OWNER } else { tags::FLEET };
        let was = self.world.cloud.with_model(|model| model.instance(&instance)?.tags.get(key).cloned());
        let Some(was) = was.filter(|was| was != SOMEBODY_ELSES) else { return };
        self.world.change_tag(&instance, key, SOMEBODY_ELSES);
        self.relief_after(20.0..200.0, Relief::Tag(instance, key, was));
    }

    /// Somebody deletes a target group, and a while later takes it out of the file.
    fn delete_the_second_group(&mut self) {
        let target_group = TargetGroupArn::new(SECOND_GROUP);
        if self.world.cloud.set_fault(Fault::DeleteTargetGroup { target_group }).is_ok() {
            self.relief_after(20.0..90.0, Relief::SecondGroup);
        }
    }

    fn operate(&mut self, trouble: Trouble) {
        let names: Vec<_> = self.fleets.keys().cloned().collect();
        let Some(fleet) = self.one_of(&names) else { return };
        let Some(config) = self.fleets.get(&fleet).cloned() else { return };
        let living = self.living();
        let kind = match trouble {
            Trouble::SetSize => {
                OperatorActionKind::SetSize(self.rng.random_range(config.size.min..=config.size.max))
            }
            Trouble::Drain => match self.one_of(&living) {
                Some(instance) => OperatorActionKind::Drain(instance),
                None => return,
            },
            Trouble::Pause => {
                let direction = self.one_of(&[Direction::Out, Direction::In, Direction::Both]);
                let span = Some(self.span(10.0..90.0));
                OperatorActionKind::Pause { direction: direction.unwrap_or(Direction::Both), span }
            }
            _ => {
                let min = self.rng.random_range(1..=3);
                let max = min + self.rng.random_range(1..=5);
                return self.change_bounds(&fleet, min, max);
            }
        };
        self.act(&fleet, kind);
    }

    pub(crate) fn act(&mut self, fleet: &fleet_scaler::domain::ids::FleetName, kind: OperatorActionKind) {
        let id = OperatorActionId(uuid::Builder::from_random_bytes(self.rng.random()).into_uuid());
        let action = OperatorAction {
            id,
            fleet: fleet.clone(),
            actor: "somebody".to_owned(),
            reason: "trouble".to_owned(),
            kind,
        };
        self.world.note("operator", &format!("{fleet}: {:?}", action.kind));
        if self.world.database_is_up() {
            let _ = crate::run::at_once(self.world.store.operator_act(&action));
        }
    }

    /// Takes away what is due to end.
    pub(crate) fn relieve(&mut self, everything: bool) {
        let now = self.world.now();
        let (due, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.reliefs).into_iter().partition(|(at, _)| everything || *at <= now);
        self.reliefs = left;
        for (_, relief) in due {
            self.world.note("chaos", &format!("over: {relief:?}"));
            match relief {
                Relief::Fault(id) => drop(self.world.cloud.clear_fault(id)),
                Relief::CallsLate => self.world.state().network.late = 0.0,
                Relief::CommitReplies => self.world.state().database.reply_lost = 0.0,
                Relief::Pages => {
                    let mut state = self.world.state();
                    (state.metrics.silent, state.metrics.liar) = (0.0, false);
                }
                Relief::SecondGroup => self.drop_the_second_group(),
                Relief::Tag(instance, key, was) => self.world.change_tag(&instance, key, &was),
            }
        }
    }
}

/// What ends a trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relief {
    Fault(u64),
    CallsLate,
    CommitReplies,
    Pages,
    SecondGroup,
    Tag(InstanceId, &'static str, String),
}
