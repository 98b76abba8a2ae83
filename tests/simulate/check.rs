//! The invariants, judged at every step, from the outside.
//!
//! A state of this world changes in three ways only: a write that the store accepts, a call that leaves a process, and an
//! entry in the cloud's journal. Each is judged as it happens, so nothing can be wrong between two steps and right again
//! before anybody looks. What is judged is the cloud's truth and what the store accepted ([`crate::book`]).

use std::collections::BTreeSet;
use std::time::Duration;

use fleet_scaler::decide::plan::Action;
use fleet_scaler::decide::policy::{Mode, looks_back};
use fleet_scaler::domain::failure::FailureClass;
use fleet_scaler::domain::host::{DrainReason, Host, HostState, Step};
use fleet_scaler::domain::ids::{
    AttemptId, CallId, ClientToken, FleetName, InstanceId, LaunchId, ReplicaId, TargetGroupArn,
};
use fleet_scaler::domain::launch::{AbandonReason, Attempt};
use fleet_scaler::domain::time::{Timestamp, after, before, since};
use fleet_scaler::store::{
    CloudCall, DecisionCommit, Fence, HostChange, LeaseAnswer, Operation, Orphan, Resolution,
};

use crate::book::Lease;
use crate::world::{LEASE, World};

/// A tick that was frozen goes on with the bounds that it began with: for as long as a lease can be kept without a word.
const STALE_BOUNDS: Duration = Duration::from_mins(3);
/// Orphans are adopted after two sightings so far apart.
const ORPHAN_AGE: Duration = Duration::from_mins(1);

impl World {
    pub(crate) fn saw_lease(&self, fleet: &FleetName, answer: &LeaseAnswer) {
        let LeaseAnswer::Held { fence, expires_at, .. } = answer else { return };
        let before = self.state().book.fleet(fleet).lease.clone();
        if let Some(before) = before {
            let taken = before.replica != fence.replica;
            if fence.epoch < before.epoch || (taken && fence.epoch <= before.epoch) {
                self.fail("I9", format!("the epoch went from {} to {}", before.epoch, fence.epoch));
            }
            if taken && self.now() < before.expires_at {
                self.fail("I9", format!("{} took a lease that {} still held", fence.replica, before.replica));
            }
        }
        let lease = Lease { replica: fence.replica.clone(), epoch: fence.epoch, expires_at: *expires_at };
        self.state().book.fleet(fleet).lease = Some(lease);
    }

    pub(crate) fn saw_release(&self, fence: &Fence) {
        let now = self.now();
        if let Some(lease) = &mut self.state().book.fleet(&fence.fleet).lease {
            lease.expires_at = now;
        }
    }

    /// I9: every commit carries the current epoch, of a lease that has not run out.
    fn judge_fence(&self, fence: &Fence, what: &str) {
        let lease = self.state().book.fleet(&fence.fleet).lease.clone();
        let now = self.now();
        let holds = lease.as_ref().is_some_and(|lease| {
            lease.replica == fence.replica && lease.epoch == fence.epoch && now <= lease.expires_at
        });
        if !holds {
            self.fail("I9", format!("{what} was committed by {fence:?}, and the lease is {lease:?}"));
        }
    }

    pub(crate) fn saw_decision(&self, fence: &Fence, commit: &DecisionCommit, at: Timestamp) {
        self.judge_fence(fence, "a decision");
        if commit.mode == Mode::DryRun && !(commit.launches.is_empty() && commit.hosts.is_empty()) {
            self.fail("I12", "a dry run started something");
        }
        self.judge_evidence(fence, commit, at);
        self.judge_cooldown(fence, commit, at);
        self.judge_drains(fence, commit, at);
        {
            let mut state = self.state();
            for launch in &commit.launches {
                state.book.fleet(&fence.fleet).launches.insert(launch.id, launch.clone());
                if let Some(attempt) = launch.open_attempt() {
                    state.book.attempt_opened(&fence.fleet, attempt);
                }
            }
            for change in &commit.hosts {
                state.book.host_set(&change.after);
                state.tally.count("host", change.after.state.name());
            }
            state.tally.count("decision", commit.plan.action.as_str());
        }
        if !commit.launches.is_empty() {
            self.judge_ceiling(&fence.fleet, "an intent was committed", STALE_BOUNDS);
        }
    }

    /// I1: whatever exists, and whatever may come to exist, is at most `max`.
    pub(crate) fn judge_ceiling(&self, fleet: &FleetName, when: &str, span: Duration) {
        let alive = self.alive(fleet);
        let now = self.now();
        let mut state = self.state();
        let reserved = state.book.reserved(fleet);
        let (_, max) = state.book.fleet(fleet).bounds_lately(now, span.max(STALE_BOUNDS));
        drop(state);
        if alive + reserved > max {
            let rows = self.rows_of(fleet);
            self.fail(
                "I1",
                format!("{when}: {alive} alive and {reserved} on their way, and max is {max}: {rows}"),
            );
        }
    }

    /// The fleet's hosts with their states, in short.
    fn rows_of(&self, fleet: &FleetName) -> String {
        let state = self.state();
        let hosts = state.book.fleets.get(fleet).map(|book| &book.hosts);
        let each = hosts.into_iter().flatten().map(|(id, host)| format!("{id} {}", host.state.name()));
        each.collect::<Vec<_>>().join(", ")
    }

    /// Instances that launches of this fleet brought, alive, and not asked to terminate.
    fn alive(&self, fleet: &FleetName) -> u32 {
        let state = self.state();
        let launches: BTreeSet<String> = state
            .book
            .fleets
            .get(fleet)
            .map(|book| book.launches.keys().map(ToString::to_string).collect())
            .unwrap_or_default();
        let terminated = &state.book.terminated;
        let count = self.cloud.with_model(|model| {
            let ours = model.instances().filter(|one| {
                !one.is_dead()
                    && !terminated.contains(&one.id)
                    && one
                        .tags
                        .get(fleet_scaler::domain::tags::LAUNCH)
                        .is_some_and(|id| launches.contains(id))
            });
            ours.count()
        });
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// I7: a scale-in cites hosts that were truly heard, in every observation that it rests on.
    fn judge_evidence(&self, fence: &Fence, commit: &DecisionCommit, at: Timestamp) {
        let mut state = self.state();
        let Some(config) = state.fleets.get(&fence.fleet).cloned() else { return };
        let (asked, heard) =
            state.harvests.get(&(fence.replica.clone(), fence.fleet.clone())).copied().unwrap_or((0, 0));
        let quorum = heard > 0 && heard as f64 + 1e-9 >= config.metrics.host.quorum * asked as f64;
        let book = state.book.fleet(&fence.fleet);
        book.heard.push((at, quorum));
        if commit.plan.action != Action::ScaleIn {
            return;
        }
        let depth = config.rules.iter().filter(|rule| !rule.action.is_out()).map(|rule| rule.sustained.of);
        let depth = depth.max().unwrap_or(1) as usize;
        // What was seen before the last change of size is no evidence for another, and neither is what is older than any
        // rule looks back: after a long silence the window begins afresh.
        let oldest = before(at, looks_back(config.interval, &config.rules, &config.scale_in));
        let counts =
            |when: &Timestamp| *when >= oldest && book.last_change.is_none_or(|change| *when > change);
        let mut cited = book.heard.iter().rev().take(depth).filter(|(when, _)| counts(when));
        let deaf = cited.find(|(_, heard)| !heard).copied();
        let began = book.heard.first().map_or(at, |(first, _)| *first);
        drop(state);
        if let Some((when, _)) = deaf {
            self.fail("I7", format!("a scale-in at {at} rests on {when}, when no quorum was heard"));
        }
        if since(at, began) + config.interval * 3 < config.scale_in.window {
            self.fail("I7", format!("a scale-in at {at} rests on a window that began at {began}"));
        }
    }

    /// I8: no change for the load comes too soon after the last one.
    fn judge_cooldown(&self, fence: &Fence, commit: &DecisionCommit, at: Timestamp) {
        let mut state = self.state();
        let Some(config) = state.fleets.get(&fence.fleet).cloned() else { return };
        let book = state.book.fleet(&fence.fleet);
        let before = book.desired.replace(commit.plan.size_wanted).unwrap_or(commit.plan.size_before);
        let (last, cooldown) = match commit.plan.action {
            Action::ScaleOut => (book.last_scale_out, config.cooldown.scale_out),
            Action::ScaleIn => (book.last_change, config.cooldown.scale_in),
            Action::Manual => (None, Duration::ZERO),
            Action::Hold | Action::Repair | Action::Replace => return,
        };
        if commit.plan.size_wanted > before {
            book.last_scale_out = Some(at);
        }
        if commit.plan.size_wanted != before {
            book.last_change = Some(at);
            book.changes += 1;
        }
        drop(state);
        // The decision is judged a moment before it is committed.
        if let Some(last) = last.filter(|last| since(at, *last) < cooldown) {
            let waited = since(at, last);
            self.fail("I8", format!("{} only {waited:?} after the last change", commit.plan.action));
        }
    }

    /// I2, I11, and half of I4: who may be sent away, and that nobody comes back who was told to go.
    fn judge_drains(&self, fence: &Fence, commit: &DecisionCommit, at: Timestamp) {
        for change in &commit.hosts {
            self.judge_way_back(change);
            if change.step == Some(Step::CancelDrain) {
                self.state().book.fleet(&fence.fleet).drains.retain(|(_, id)| *id != change.after.id);
            }
        }
        let drains: Vec<DrainReason> = commit.hosts.iter().filter_map(begun).collect();
        if drains.is_empty() {
            return;
        }
        let mut state = self.state();
        let Some(config) = state.fleets.get(&fence.fleet).cloned() else { return };
        let book = state.book.fleet(&fence.fleet);
        let chosen = commit.hosts.iter().filter(|change| {
            let serves =
                book.hosts.get(&change.after.id).map(|host| matches!(host.state, HostState::Healthy { .. }));
            serves == Some(true) && begun(change).is_some_and(is_chosen)
        });
        let leaving = chosen.count();
        let (healthy, (min, _)) = (book.healthy(), book.bounds_lately(at, STALE_BOUNDS));
        let troubled = troubled(book.hosts.values(), at, config.balancer.health_grace);
        let population = book.hosts.values().filter(|host| host.state.is_capacity()).count() + troubled.1;
        let leaves = commit.hosts.iter().filter(|change| begun(change).is_some());
        book.drains.extend(leaves.map(|change| (change.after.state.since(), change.after.id.clone())));
        let spent =
            book.drains.iter().filter(|(when, _)| since(at, *when) < config.safety.budget_per).count();
        state.tally.count("reached", "drain chosen");
        drop(state);
        if leaving > 0 && healthy - leaving < min as usize {
            self.fail(
                "I2",
                format!("{leaving} of {healthy} healthy hosts were chosen to go, and min is {min}"),
            );
        }
        if spent > config.safety.budget_count as usize {
            self.fail("I11", format!("{spent} hosts were sent away within {:?}", config.safety.budget_per));
        }
        let sick = troubled.0 + troubled.1;
        if sick > 2 && sick as f64 > config.safety.halt_unhealthy * population as f64 {
            self.fail("I11", format!("hosts were sent away while {sick} of {population} were unhealthy"));
        }
    }

    /// One way: a host that any group was asked to let go of is not taken back.
    fn judge_way_back(&self, change: &HostChange) {
        if change.step == Some(Step::CancelDrain) && self.state().book.told.contains(&change.after.id) {
            self.fail("I4", format!("{} is taken back though a group was told", change.after.id));
        }
    }

    pub(crate) fn saw_attempt(&self, fence: &Fence, attempt: &Attempt) {
        self.judge_fence(fence, "an attempt");
        let mut state = self.state();
        state.book.attempt_opened(&fence.fleet, attempt);
        let fleet = state.book.fleet(&fence.fleet);
        let unresolved = fleet.unresolved(attempt.launch);
        let token = &attempt.request.client_token;
        let same = fleet.attempts.values().filter(|other| other.token == *token).count();
        drop(state);
        if unresolved > 1 {
            self.fail("I3", format!("launch {} has {unresolved} unresolved attempts", attempt.launch));
        }
        if same > 1 {
            self.fail("I3", format!("token {token} is used by {same} attempts"));
        }
    }

    pub(crate) fn saw_deferral(&self, fence: &Fence, attempt: AttemptId, failure: FailureClass) {
        self.judge_fence(fence, "a deferral");
        let mut state = self.state();
        state.tally.count("launch", &format!("deferred: {failure:?}"));
        if let Some(book) = state.book.fleet(&fence.fleet).attempts.get_mut(&attempt) {
            book.doubtful |= failure == FailureClass::Unknown;
        }
    }

    pub(crate) fn saw_resolution(&self, fence: &Fence, resolution: &Resolution) {
        self.judge_fence(fence, "a resolution");
        let now = self.now();
        let mut state = self.state();
        let name = match &resolution.outcome {
            fleet_scaler::domain::launch::AttemptOutcome::Launched { .. } => "launched",
            fleet_scaler::domain::launch::AttemptOutcome::Refused { .. } => "refused",
            fleet_scaler::domain::launch::AttemptOutcome::Spent => "spent",
        };
        state.tally.count("launch", name);
        state.book.resolved(&fence.fleet, resolution, now);
    }

    pub(crate) fn saw_abandonment(&self, fence: &Fence, launch: LaunchId, reason: AbandonReason) {
        self.judge_fence(fence, "an abandonment");
        let now = self.now();
        let mut state = self.state();
        state.tally.count("launch", &format!("abandoned: {}", reason.as_str()));
        state.book.abandoned(&fence.fleet, launch, reason, now);
        let unresolved = state.book.fleet(&fence.fleet).unresolved(launch);
        drop(state);
        if unresolved > 0 {
            self.fail("I3", format!("launch {launch} was given up with an unresolved attempt"));
        }
    }

    pub(crate) fn saw_call(&self, fence: &Fence, call: &CloudCall) {
        self.judge_fence(fence, "a call's row");
        let mut state = self.state();
        state.tally.count("call", call.op.as_str());
        if call.op == Operation::DeregisterTargets {
            state.book.told.extend(call.instances.iter().cloned());
        }
        state.book.call_begun(fence, call);
    }

    pub(crate) fn saw_answer(&self, call: CallId) {
        self.state().book.call_ended(call);
    }

    pub(crate) fn saw_settled(&self, fence: &Fence, count: u64) {
        self.judge_fence(fence, "a settlement of calls");
        let mut state = self.state();
        if count > 0 {
            state.tally.count("reached", "abandoned calls settled");
        }
        // Attempts with a call that nobody heard of are in doubt from now on.
        let doubtful: Vec<AttemptId> = state
            .book
            .calls
            .values()
            .filter(|book| book.answers == 0 && book.call.fleet == fence.fleet)
            .filter_map(|book| book.call.attempt)
            .collect();
        for attempt in doubtful {
            if let Some(book) = state.book.fleet(&fence.fleet).attempts.get_mut(&attempt) {
                book.doubtful |= !book.resolved;
            }
        }
    }

    pub(crate) fn saw_host(&self, fence: &Fence, change: &HostChange) {
        self.judge_fence(fence, "a host's step");
        self.judge_way_back(change);
        let mut state = self.state();
        state.tally.count("host", change.after.state.name());
        state.book.host_set(&change.after);
    }

    pub(crate) fn saw_orphan(&self, fence: &Fence, orphan: &Orphan) {
        self.judge_fence(fence, "a sighting");
        let now = self.now();
        let mut state = self.state();
        state.tally.count("reached", "orphan seen");
        let entry =
            state.book.fleet(&fence.fleet).sightings.entry(orphan.id.clone()).or_insert((now, now, 0));
        *entry = (entry.0, now, entry.2 + 1);
    }

    /// I5: an orphan is adopted after two sightings and a minimum age, and only if it carries our tags.
    pub(crate) fn saw_adoption(&self, fence: &Fence, host: &Host) {
        self.judge_fence(fence, "an adoption");
        let ours = self.is_ours(&host.id, &fence.fleet);
        let mut state = self.state();
        state.tally.count("host", "adopted");
        let seen = state.book.fleet(&fence.fleet).sightings.get(&host.id).copied();
        state.book.host_set(host);
        drop(state);
        let well_seen =
            seen.is_some_and(|(first, last, count)| count >= 2 && since(last, first) >= ORPHAN_AGE);
        if !well_seen || !ours {
            self.fail("I5", format!("{} was adopted after {seen:?}, ours: {ours}", host.id));
        }
    }

    /// Whether the cloud itself shows our tags on it, or did until a hand changed them just now.
    fn is_ours(&self, id: &InstanceId, fleet: &FleetName) -> bool {
        let retagged = self.state().retagged.get(id).copied();
        let tagged = self.cloud.with_model(|model| {
            model.instance(id).is_none_or(|one| {
                let tag = |key: &str| one.tags.get(key).map(String::as_str);
                tag(fleet_scaler::domain::tags::OWNER) == Some(crate::run::OWNER)
                    && tag(fleet_scaler::domain::tags::FLEET) == Some(fleet.as_str())
            })
        });
        tagged || retagged.is_some_and(|at| since(self.now(), at) < STALE_BOUNDS)
    }

    /// A mutating call is about to leave the process. I5: only what is ours and has a row. I6: its own row is there. I9:
    /// with lease time to spare.
    pub(crate) fn judge_sending(
        &self,
        replica: &ReplicaId,
        op: Operation,
        (token, group): (Option<&ClientToken>, Option<&TargetGroupArn>),
        instances: &BTreeSet<InstanceId>,
    ) {
        let mut state = self.state();
        let row = state.book.row_of(replica, op, token, group, instances);
        let Some(fence) = row.map(|row| {
            row.sent = true;
            row.fence.clone()
        }) else {
            drop(state);
            return self.fail("I6", format!("{} {instances:?} has no row", op.as_str()));
        };
        let fleet = state.book.fleet(&fence.fleet);
        let lease = fleet.lease.clone();
        let unknown = instances.iter().find(|id| !fleet.hosts.contains_key(*id)).cloned();
        drop(state);
        if let Some(id) = unknown {
            self.fail("I5", format!("{} names {id}, which has no row", op.as_str()));
        }
        for id in instances {
            if !self.is_ours(id, &fence.fleet) {
                self.fail("I5", format!("{} names {id}, which is not ours", op.as_str()));
            }
        }
        let spare =
            lease.as_ref().filter(|lease| lease.replica == fence.replica && lease.epoch == fence.epoch);
        let spare = spare.map(|lease| since(lease.expires_at, self.now()));
        if spare.is_none_or(|spare| spare * 2 < LEASE) {
            self.fail("I9", format!("{} starts with {spare:?} of the lease left", op.as_str()));
        }
    }

    /// I4, for one termination: deregistered everywhere, and let go or past the deadline.
    pub(crate) fn drain_deadline(&self, id: &InstanceId) -> Option<(bool, Timestamp)> {
        let state = self.state();
        let host = state.book.fleets.values().find_map(|fleet| fleet.hosts.get(id))?;
        let served = host.healthy_at.is_some();
        match &host.state {
            HostState::Deregistered { deadline, .. } => Some((served, *deadline)),
            HostState::Terminating { since, .. } => Some((served, *since)),
            _ => Some((served, after(self.now(), Duration::from_secs(1)))),
        }
    }
}

/// Why a host begins its way out by this change, if it does.
fn begun(change: &HostChange) -> Option<DrainReason> {
    match &change.step {
        Some(Step::BeginDrain { drain }) => Some(drain.reason),
        _ => None,
    }
}

/// Whether somebody chose it to go who might have chosen otherwise.
fn is_chosen(reason: DrainReason) -> bool {
    match reason {
        DrainReason::ScaleIn | DrainReason::Operator | DrainReason::AboveMax => true,
        DrainReason::BootTimeout | DrainReason::Unhealthy => false,
    }
}

/// Hosts unhealthy for longer than the grace, and those that are leaving for it.
fn troubled<'a>(hosts: impl Iterator<Item = &'a Host>, now: Timestamp, grace: Duration) -> (usize, usize) {
    let mut count = (0, 0);
    for host in hosts {
        match &host.state {
            HostState::Unhealthy { since: start } if since(now, *start) > grace + Duration::from_mins(1) => {
                count.0 += 1;
            }
            state if state.drain().is_some_and(|drain| drain.reason == DrainReason::Unhealthy) => {
                count.1 += 1;
            }
            _ => {}
        }
    }
    count
}
