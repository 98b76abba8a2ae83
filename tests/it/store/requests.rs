//! Requests to a store, drawn: mostly such as a fleet's life brings, and some that are wrong.

use std::time::Duration;

use fleet_scaler::decide::plan::{Action, Answer, Granted};
use fleet_scaler::decide::policy::Mode;
use fleet_scaler::decide::snapshot::PoolHealth;
use fleet_scaler::domain::failure::{CloudError, FailureClass};
use fleet_scaler::domain::host::{Drain, DrainReason, Host, HostState, Step};
use fleet_scaler::domain::ids::{
    AttemptId, CallId, Epoch, FleetName, InstanceId, LaunchId, OperatorActionId, ReplicaId, TargetGroupArn,
};
use fleet_scaler::domain::launch::{AbandonReason, Attempt, AttemptOutcome, AttemptState, Launch};
use fleet_scaler::domain::time::{Timestamp, after, before};
use fleet_scaler::store::memory::rows::{AttemptRow, Rows};
use fleet_scaler::store::{
    CallAnswer, CloudCall, ConfigChange, ConfigOutcome, DecisionCommit, Direction, DrainBudget, Fence,
    HostChange, Operation, OperatorAction, OperatorActionKind, Orphan, PoolChange, Resolution, Store,
    StoreError,
};
use proptest::prelude::*;

use super::fixture::{
    GROUP, HOUR, attempt, begin_drain, decision, fresh, host, launch, launched, pool, resolution,
};

const MINUTE: Duration = Duration::from_mins(1);

/// One throw of the dice.
#[derive(Clone, Debug)]
pub(super) struct Draw {
    kind: u8,
    dice: [u8; 5],
}

impl Draw {
    /// How long nothing happens before it; `None`: no time worth speaking of.
    pub(super) fn pause(&self) -> Option<Duration> {
        match self.dice[4] {
            0..=219 => None,
            220..=235 => Some(Duration::from_secs(20)),
            236..=243 => Some(16 * MINUTE),
            244..=250 => Some(61 * MINUTE),
            251..=255 => Some(125 * MINUTE),
        }
    }

    fn one_in(&self, die: usize, many: u8) -> bool {
        self.dice[die].is_multiple_of(many)
    }

    fn pick<T>(&self, die: usize, from: impl IntoIterator<Item = T>) -> Option<T> {
        let mut from: Vec<T> = from.into_iter().collect();
        let place = usize::from(self.dice[die]) % from.len().max(1);
        (place < from.len()).then(|| from.swap_remove(place))
    }
}

pub(super) fn draws(most: usize) -> impl Strategy<Value = Vec<Draw>> {
    let draw = (any::<u8>(), prop::array::uniform5(any::<u8>())).prop_map(|(kind, dice)| Draw { kind, dice });
    prop::collection::vec(draw, most / 2..most)
}

/// Something that is asked of a store.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Take(FleetName, ReplicaId, Duration),
    Release(Fence),
    Commit(Fence, Box<DecisionCommit>),
    Open(Fence, Box<Attempt>),
    Defer(Fence, AttemptId, FailureClass, Duration),
    Resolve(Fence, Box<Resolution>),
    Abandon(Fence, LaunchId, AbandonReason),
    Begin(Fence, Box<CloudCall>),
    End(CallId, Box<CallAnswer>),
    Settle(Fence),
    Advance(Fence, Box<HostChange>),
    Sight(Fence, Orphan),
    Adopt(Fence, Box<Host>),
    Act(OperatorAction),
    Configure(ConfigChange),
}

impl Request {
    /// Asks it.
    pub(super) async fn of(&self, store: &dyn Store) -> Result<String, StoreError> {
        let said = match self {
            Self::Take(fleet, replica, span) => {
                return store.lease_take(fleet, replica, *span).await.map(|answer| format!("{answer:?}"));
            }
            Self::Commit(fence, commit) => {
                return store.decision_commit(fence, commit).await.map(|at| at.to_string());
            }
            Self::Settle(fence) => return store.calls_settle_abandoned(fence).await.map(|n| n.to_string()),
            Self::Sight(fence, orphan) => {
                return store.orphan_sighted(fence, orphan).await.map(|seen| format!("{seen:?}"));
            }
            Self::Release(fence) => store.lease_release(fence).await,
            Self::Open(fence, attempt) => store.attempt_open(fence, attempt).await,
            Self::Defer(fence, id, class, wait) => store.attempt_defer(fence, *id, *class, *wait).await,
            Self::Resolve(fence, resolution) => store.attempt_resolve(fence, resolution).await,
            Self::Abandon(fence, id, reason) => store.launch_abandon(fence, *id, *reason).await,
            Self::Begin(fence, call) => store.call_begin(fence, call).await,
            Self::End(id, answer) => store.call_end(*id, answer).await,
            Self::Advance(fence, change) => store.host_advance(fence, change).await,
            Self::Adopt(fence, host) => store.host_adopt(fence, host).await,
            Self::Act(action) => store.operator_act(action).await,
            Self::Configure(change) => store.config_record(change).await,
        };
        said.map(|()| String::new())
    }
}

/// The fleets of one history, and what was asked so far.
pub(super) struct Stage {
    number: u64,
    fleets: [FleetName; 2],
    asked: Vec<Request>,
}

/// What a request is made from.
struct Scene<'a> {
    number: u64,
    rows: &'a Rows,
    now: Timestamp,
    draw: &'a Draw,
    fleet: &'a FleetName,
    fence: Fence,
}

impl Stage {
    pub(super) fn new(number: u64, fleets: [FleetName; 2]) -> Self {
        Self { number, fleets, asked: Vec::new() }
    }

    /// The next request.
    pub(super) fn request(&mut self, rows: &Rows, now: Timestamp, draw: &Draw) -> Request {
        let fleet = &self.fleets[usize::from(draw.one_in(3, 10))];
        let scene = Scene { number: self.number, rows, now, draw, fleet, fence: fence(rows, fleet, draw) };
        let held = rows.fleets.get(fleet).and_then(|row| row.lease.as_ref());
        let is_held = held.is_some_and(|lease| now < lease.expires_at);
        let request = if is_held || draw.one_in(0, 4) {
            scene.any(&self.asked).unwrap_or_else(|| scene.scale_out())
        } else {
            scene.take()
        };
        self.asked.push(request.clone());
        request
    }
}

/// The fence that stands, as far as the holder knows; or, seldom, one that does not.
fn fence(rows: &Rows, fleet: &FleetName, draw: &Draw) -> Fence {
    let lease = rows.fleets.get(fleet).and_then(|row| row.lease.clone());
    let (replica, epoch) =
        lease.map_or((ReplicaId::new("nobody"), Epoch(1)), |lease| (lease.holder, lease.epoch));
    match draw.dice[2] {
        0..=6 => Fence { fleet: fleet.clone(), replica, epoch: Epoch(epoch.0 - 1) },
        7..=13 => Fence { fleet: fleet.clone(), replica: ReplicaId::new("stranger"), epoch },
        _ => Fence { fleet: fleet.clone(), replica, epoch },
    }
}

impl Scene<'_> {
    fn any(&self, asked: &[Request]) -> Option<Request> {
        Some(match self.draw.kind {
            0..=9 => self.take(),
            10..=12 => Request::Release(self.fence.clone()),
            13..=27 => self.quiet(),
            28..=52 => self.scale_out(),
            53..=78 => return self.scale_in(),
            79..=84 => return self.recall(),
            85..=92 => self.answer(),
            93..=104 => return self.open(),
            105..=112 => return self.defer(),
            113..=137 => return self.resolve(),
            138..=143 => self.abandon(),
            144..=160 => return self.begin(),
            161..=172 => return self.end(),
            173..=176 => Request::Settle(self.fence.clone()),
            177..=216 => return self.advance(),
            217..=221 => self.sight(),
            222..=228 => return self.adopt(),
            229..=235 => self.act(),
            236..=238 => self.configure(),
            239..=255 => return self.draw.pick(1, asked.iter().cloned()),
        })
    }

    fn take(&self) -> Request {
        let replica = ReplicaId::new(if self.draw.one_in(1, 3) { "b" } else { "a" });
        let span = if self.draw.one_in(0, 9) { Duration::ZERO } else { 40 * MINUTE };
        Request::Take(self.fleet.clone(), replica, span)
    }

    fn commit(&self, commit: DecisionCommit) -> Request {
        Request::Commit(self.fence.clone(), Box::new(commit))
    }

    fn quiet(&self) -> Request {
        let wanted = u32::from(self.draw.dice[0] % 2);
        let action = if self.draw.one_in(1, 8) { Action::ScaleOut } else { Action::Hold };
        let mut commit = decision(action, 2, 2 + wanted, self.now);
        if self.draw.one_in(1, 4) {
            commit.mode = Mode::DryRun;
        }
        if self.draw.one_in(0, 5) {
            commit.plan.rules_fired = vec!["hot".to_owned()];
        }
        if self.draw.one_in(1, 7) {
            commit.plan.observation.at = before(self.now, 90 * MINUTE);
        }
        self.commit(commit)
    }

    fn scale_out(&self) -> Request {
        let count = u32::from(self.draw.dice[0] % 4);
        let action = [Action::ScaleOut, Action::Repair, Action::Manual][usize::from(self.draw.dice[1] % 3)];
        let mut commit = decision(action, 1, 1 + count, self.now);
        let mut launch =
            launch(&self.fence, commit.id, count.max(u32::from(self.draw.one_in(0, 3))), self.now);
        match self.draw.dice[1] {
            0..=7 => launch.decision = super::fixture::decision_id(),
            8..=15 => launch.launched = 1,
            16..=23 => launch.state = fleet_scaler::domain::launch::LaunchState::Open { attempt: None },
            _ => {}
        }
        commit.max = 3 + u32::from(self.draw.dice[1] % 10);
        commit.orphans = u32::from(self.draw.one_in(1, 6));
        commit.plan.rules_fired = vec![format!("rule-{}", self.draw.dice[0] % 3)];
        commit.launches.push(launch);
        self.commit(commit)
    }

    fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.rows.hosts.values().map(|row| &row.host).filter(|host| host.fleet == *self.fleet)
    }

    fn alive(&self) -> impl Iterator<Item = &Host> {
        self.hosts().filter(|host| !host.state.is_final())
    }

    fn scale_in(&self) -> Option<Request> {
        let chosen = self.draw.pick(0, self.alive().filter(|host| host.state.is_capacity()))?;
        let reason = self.draw.pick(1, DrainReason::ALL)?;
        let mut commit = decision(Action::ScaleIn, 2, 1, self.now);
        let mut change = begin_drain(chosen, reason, self.now);
        if self.draw.one_in(1, 11) {
            change.after.version += 1;
        }
        commit.hosts.push(change);
        if self.draw.one_in(0, 3) {
            let others = self.alive().filter(|host| host.state.is_capacity() && host.id != chosen.id);
            let second = self.draw.pick(1, others);
            commit.hosts.extend(second.map(|host| begin_drain(host, DrainReason::ScaleIn, self.now)));
        }
        commit.min = u32::from(self.draw.dice[0] % 3);
        commit.budget = DrainBudget { count: 1 + u32::from(self.draw.dice[1] % 6), per: HOUR };
        Some(self.commit(commit))
    }

    fn recall(&self) -> Option<Request> {
        let draining = self.alive().filter(|host| matches!(host.state, HostState::Draining { .. }));
        let after = self.draw.pick(0, draining)?.clone().advance(&Step::CancelDrain, self.now).ok()?;
        let mut commit = decision(Action::Hold, 1, 2, self.now);
        commit.hosts.push(HostChange { after, step: Some(Step::CancelDrain) });
        Some(self.commit(commit))
    }

    fn answer(&self) -> Request {
        let mut commit = decision(Action::Manual, 1, 3, self.now);
        let ours = self.rows.actions.values().filter(|row| row.action.fleet == *self.fleet);
        let request = self.draw.pick(0, ours).map_or(OperatorActionId(fresh()), |row| row.action.id);
        commit.plan.answered =
            vec![Answer { request, granted: Granted::Yes, because: "so be it".to_owned() }];
        self.commit(commit)
    }

    fn launches(&self) -> impl Iterator<Item = &Launch> {
        self.rows.launches.values().map(|row| &row.launch).filter(|launch| launch.fleet == *self.fleet)
    }

    fn attempts(&self) -> impl Iterator<Item = &AttemptRow> {
        self.rows.attempts.values().filter(|row| row.fleet == *self.fleet)
    }

    /// Mostly one that is still open, where there is one.
    fn attempt(&self) -> Option<&AttemptRow> {
        let is_open = |row: &&AttemptRow| matches!(row.attempt.state, AttemptState::Open { .. });
        let open = self.draw.pick(0, self.attempts().filter(is_open));
        open.filter(|_| !self.draw.one_in(1, 8)).or_else(|| self.draw.pick(0, self.attempts()))
    }

    fn open(&self) -> Option<Request> {
        let lacking = self.draw.pick(0, self.launches().filter(|launch| launch.missing() > 0));
        let launch = lacking.or_else(|| self.draw.pick(0, self.launches()))?;
        let mut next = attempt(launch, "eu-west-1b", self.now);
        match self.draw.dice[1] {
            0..=15 => next.ordinal += 1,
            16..=31 => next.request.max_count += 1,
            32..=47 => next.request.client_token = fleet_scaler::domain::ids::ClientToken::new("not a token"),
            48..=63 => {
                next.request.client_token =
                    self.draw.pick(0, self.attempts())?.attempt.request.client_token.clone();
            }
            64..=79 => next.id = self.draw.pick(0, self.attempts())?.attempt.id,
            _ => {}
        }
        Some(Request::Open(self.fence.clone(), Box::new(next)))
    }

    fn class(&self, die: usize) -> FailureClass {
        use FailureClass as F;
        [F::Capacity, F::Quota, F::Throttled, F::Denied, F::Invalid, F::Unknown, F::TokenSpent, F::Capacity]
            [usize::from(self.draw.dice[die] % 8)]
    }

    fn defer(&self) -> Option<Request> {
        let id = self.attempt()?.attempt.id;
        Some(Request::Defer(self.fence.clone(), id, self.class(1), Duration::from_millis(1500)))
    }

    /// One of a few ids, so that they meet again.
    fn instance(&self, die: usize, more: u8) -> InstanceId {
        InstanceId::new(format!("i-{}-{}", self.number, self.draw.dice[die].wrapping_add(more) % 32))
    }

    fn resolve(&self) -> Option<Request> {
        let row = self.attempt()?;
        let bought = &self.rows.launches.get(&row.attempt.launch)?.launch;
        let dice = self.draw.dice;
        let count = u32::from(dice[1] % 4).min(row.attempt.request.max_count);
        let hosts = (0..count).map(|n| {
            let id = self.instance(0, u8::try_from(n).unwrap());
            host(bought, id.as_str(), self.now)
        });
        let (outcome, hosts) = match dice[0] {
            0..=150 if count > 0 || dice[0] == 0 => (launched(count), hosts.collect()),
            0..=235 => {
                let error = CloudError::new(self.class(1), "SomeCode", "said the cloud");
                (AttemptOutcome::Refused { error }, vec![])
            }
            236..=255 => (AttemptOutcome::Spent, vec![]),
        };
        let health = PoolHealth {
            pool: pool(if dice[1].is_multiple_of(2) { "eu-west-1a" } else { "eu-west-1b" }),
            failures: 1 + u32::from(dice[1] % 3),
            cooling_until: after(self.now, HOUR),
            allowance: 1,
        };
        let pool = match dice[1] % 5 {
            0 => PoolChange::Set(health),
            1 => PoolChange::Clear(health.pool),
            _ => PoolChange::Unchanged,
        };
        let state =
            fleet_scaler::domain::launch::LaunchState::Open { attempt: Some(Box::new(row.attempt.clone())) };
        let told = resolution(&Launch { state, ..bought.clone() }, outcome, hosts);
        Some(Request::Resolve(self.fence.clone(), Box::new(Resolution { pool, ..told })))
    }

    fn abandon(&self) -> Request {
        let launch = self.draw.pick(0, self.launches()).map_or(LaunchId(fresh()), |launch| launch.id);
        let reason = if self.draw.one_in(1, 2) { AbandonReason::NotWanted } else { AbandonReason::NoPool };
        Request::Abandon(self.fence.clone(), launch, reason)
    }

    fn begin(&self) -> Option<Request> {
        let op = self.draw.pick(
            1,
            [
                Operation::RunInstances,
                Operation::RegisterTargets,
                Operation::DeregisterTargets,
                Operation::DeregisterTargets,
                Operation::TerminateInstances,
            ],
        )?;
        let attempt = (op == Operation::RunInstances).then(|| self.attempt()).flatten();
        let instances = if op == Operation::RunInstances { None } else { self.draw.pick(0, self.alive()) };
        let of_group = matches!(op, Operation::RegisterTargets | Operation::DeregisterTargets);
        let call = CloudCall {
            id: CallId(fresh()),
            fleet: if self.draw.one_in(0, 30) { FleetName::new("other") } else { self.fleet.clone() },
            op,
            decision: self.draw.one_in(1, 20).then(super::fixture::decision_id),
            launch: attempt.map(|row| row.attempt.launch),
            attempt: attempt.map(|row| row.attempt.id),
            ordinal: u32::from(!self.draw.one_in(0, 25)),
            instances: instances.map(|host| host.id.clone()).into_iter().collect(),
            target_group: of_group.then(|| TargetGroupArn::new(format!("{GROUP}{}", self.draw.dice[1] % 2))),
            zone: None,
            client_token: attempt.map(|row| row.attempt.request.client_token.clone()),
        };
        Some(Request::Begin(self.fence.clone(), Box::new(call)))
    }

    fn end(&self) -> Option<Request> {
        let id = self.draw.pick(0, self.rows.calls_of(self.fleet))?.call.id;
        let failure =
            self.draw.one_in(1, 2).then(|| CloudError::new(self.class(0), "SomeCode", "said the cloud"));
        let answer = CallAnswer { failure, instances: vec![], request_id: None, duration: MINUTE };
        Some(Request::End(if self.draw.one_in(1, 30) { CallId(fresh()) } else { id }, Box::new(answer)))
    }

    /// A step of the machine, or any other state at all.
    fn advance(&self) -> Option<Request> {
        let host = self.draw.pick(0, self.alive()).filter(|_| !self.draw.one_in(1, 16));
        let host = host.or_else(|| self.draw.pick(0, self.hosts()))?;
        let drain = Drain {
            reason: self.draw.pick(1, DrainReason::ALL)?,
            started_at: self.now,
            groups: vec![TargetGroupArn::new(GROUP)],
        };
        let deadline = after(self.now, MINUTE);
        let steps = [
            Step::Run,
            Step::Register,
            Step::BecomeHealthy,
            Step::BecomeUnhealthy,
            Step::BeginDrain { drain: drain.clone() },
            Step::CancelDrain,
            Step::Deregister { deadline },
            Step::Terminate,
            Step::ConfirmTerminated,
            Step::Lose,
        ];
        let lawful = steps.iter().filter_map(|step| Some((host.clone().advance(step, self.now).ok()?, step)));
        let change = match self.draw.pick(1, lawful) {
            Some((after, step)) if self.draw.dice[0] < 200 => HostChange { after, step: Some(step.clone()) },
            _ => self.unlawful(host, &drain, deadline),
        };
        Some(Request::Advance(self.fence.clone(), Box::new(change)))
    }

    fn unlawful(&self, host: &Host, drain: &Drain, deadline: Timestamp) -> HostChange {
        let since = self.now;
        let states = [
            host.state.clone(),
            HostState::Pending { since },
            HostState::Running { since },
            HostState::Registered { since },
            HostState::Healthy { since },
            HostState::Unhealthy { since },
            HostState::Draining { drain: drain.clone() },
            HostState::Deregistered { drain: drain.clone(), since, deadline },
            HostState::Terminating { drain: drain.clone(), since },
            HostState::Terminated { since, reason: drain.reason },
            HostState::Lost { since },
        ];
        let state = self.draw.pick(1, states).unwrap_or(HostState::Lost { since });
        let healthy_at = if self.draw.one_in(0, 5) { Some(since) } else { host.healthy_at };
        let version = host.version + if self.draw.one_in(0, 7) { 2 } else { 1 };
        let address = self.draw.one_in(0, 3).then(|| "10.1.2.3".parse().unwrap());
        HostChange { after: Host { state, healthy_at, version, address, ..host.clone() }, step: None }
    }

    fn sight(&self) -> Request {
        let orphan = Orphan { id: self.instance(0, 0), fleet: self.fleet.clone() };
        Request::Sight(self.fence.clone(), orphan)
    }

    fn adopt(&self) -> Option<Request> {
        let known = self.draw.pick(1, self.launches())?;
        let mut found = host(known, self.instance(0, 0).as_str(), self.now);
        match self.draw.dice[1] {
            0..=99 => found.launch = None,
            100..=129 => found.launch = Some(LaunchId(fresh())),
            130..=149 => found.state = HostState::Healthy { since: self.now },
            150..=169 => found.state = HostState::Lost { since: self.now },
            _ => {}
        }
        Some(Request::Adopt(self.fence.clone(), Box::new(found)))
    }

    fn act(&self) -> Request {
        let directions = [Direction::Out, Direction::In, Direction::Both];
        let direction = directions[usize::from(self.draw.dice[1] % 3)];
        let kind = match self.draw.dice[0] % 5 {
            0 => OperatorActionKind::Pause { direction, span: Some(MINUTE) },
            1 => OperatorActionKind::Pause { direction, span: None },
            2 => OperatorActionKind::Resume,
            3 => OperatorActionKind::SetSize(u32::from(self.draw.dice[1])),
            _ => OperatorActionKind::Drain(self.instance(1, 0)),
        };
        let actor = if self.draw.one_in(1, 9) { String::new() } else { "ada".to_owned() };
        let (id, fleet) = (OperatorActionId(fresh()), self.fleet.clone());
        Request::Act(OperatorAction { id, fleet, actor, reason: "because".to_owned(), kind })
    }

    fn configure(&self) -> Request {
        let fleet = FleetName::new(if self.draw.one_in(0, 2) { "No Name" } else { self.fleet.as_str() });
        let version = format!("v{}", self.draw.dice[1] % 3);
        let outcome = ConfigOutcome::Applied;
        Request::Configure(ConfigChange { fleet: Some(fleet), version, outcome, text: "a = 1".to_owned() })
    }
}
