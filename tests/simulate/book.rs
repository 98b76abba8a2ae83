//! What the store has accepted, as a witness outside of it wrote it down.
//!
//! Every write passes a seam on its way to the store. What the store accepts there, applied or not acknowledged, is
//! copied here, and the invariants are judged by this copy and by the cloud's own journal: never by what the loop
//! believes. Each time a fleet is loaded, the copy is held against what the store gives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fleet_scaler::domain::host::{Host, HostState};
use fleet_scaler::domain::ids::{
    AttemptId, CallId, ClientToken, Epoch, FleetName, InstanceId, LaunchId, ReplicaId, TargetGroupArn, Zone,
};
use fleet_scaler::domain::launch::{AbandonReason, Attempt, AttemptOutcome, Launch, LaunchState};
use fleet_scaler::domain::time::Timestamp;
use fleet_scaler::store::{CloudCall, Fence, Operation, Resolution, StoredFleet};

/// One fleet as the store has it.
#[derive(Debug, Default)]
pub(crate) struct FleetBook {
    pub(crate) lease: Option<Lease>,
    pub(crate) hosts: BTreeMap<InstanceId, Host>,
    pub(crate) launches: BTreeMap<LaunchId, Launch>,
    pub(crate) attempts: BTreeMap<AttemptId, AttemptBook>,
    /// When hosts were chosen to go, whatever for; one that was taken back has cost nothing.
    pub(crate) drains: Vec<(Timestamp, InstanceId)>,
    /// The size last wanted.
    pub(crate) desired: Option<u32>,
    pub(crate) last_scale_out: Option<Timestamp>,
    pub(crate) last_change: Option<Timestamp>,
    /// When each orphan was seen for the first time, and the last, and how often.
    pub(crate) sightings: BTreeMap<InstanceId, (Timestamp, Timestamp, u32)>,
    /// Of each observation that was committed: when, and whether a quorum of hosts was truly heard.
    pub(crate) heard: Vec<(Timestamp, bool)>,
    /// The smallest and the largest size in force since when.
    pub(crate) bounds: Vec<(Timestamp, u32, u32)>,
    /// Changes of the size wanted for the load.
    pub(crate) changes: u64,
}

/// Who may act.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) replica: ReplicaId,
    pub(crate) epoch: Epoch,
    pub(crate) expires_at: Timestamp,
}

/// One attempt.
#[derive(Clone, Debug)]
pub(crate) struct AttemptBook {
    pub(crate) launch: LaunchId,
    pub(crate) zone: Zone,
    pub(crate) token: ClientToken,
    pub(crate) resolved: bool,
    /// A call of it went unanswered.
    pub(crate) doubtful: bool,
}

/// One recorded call.
#[derive(Clone, Debug)]
pub(crate) struct CallBook {
    pub(crate) call: CloudCall,
    pub(crate) fence: Fence,
    pub(crate) sent: bool,
    pub(crate) answers: u32,
}

/// Every fleet, and every call.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) fleets: BTreeMap<FleetName, FleetBook>,
    pub(crate) calls: BTreeMap<CallId, CallBook>,
    /// Calls with no answer, by the process that recorded them: where a call that is sent finds its row.
    unanswered: BTreeMap<ReplicaId, Vec<CallId>>,
    /// How many instances have ever carried each launch's tag.
    pub(crate) carried: BTreeMap<LaunchId, u32>,
    /// Hosts that some group was asked to let go of.
    pub(crate) told: BTreeSet<InstanceId>,
    /// Instances whose termination was asked for, and the cloud has said yes.
    pub(crate) terminated: BTreeSet<InstanceId>,
}

impl FleetBook {
    /// Hosts that are in service.
    pub(crate) fn healthy(&self) -> usize {
        self.hosts.values().filter(|host| matches!(host.state, HostState::Healthy { .. })).count()
    }

    /// Counts the hosts of a launch, which is fulfilled once none is missing.
    fn recount(&mut self, id: LaunchId, at: Timestamp) {
        let launched = self.hosts.values().filter(|host| host.launch == Some(id)).count();
        let Some(launch) = self.launches.get_mut(&id) else { return };
        launch.launched = u32::try_from(launched).unwrap_or(u32::MAX);
        if launch.launched >= launch.count && matches!(launch.state, LaunchState::Open { .. }) {
            launch.state = LaunchState::Fulfilled { at };
        }
    }

    /// The attempts of a launch that have no outcome.
    pub(crate) fn unresolved(&self, launch: LaunchId) -> usize {
        self.attempts.values().filter(|attempt| attempt.launch == launch && !attempt.resolved).count()
    }

    /// The widest bounds that a decision made now may have been made under: a tick that was frozen keeps what it began
    /// with.
    pub(crate) fn bounds_lately(&self, now: Timestamp, span: Duration) -> (u32, u32) {
        let mut bounds = (u32::MAX, 0);
        for (place, (_, min, max)) in self.bounds.iter().enumerate() {
            let over = self.bounds.get(place + 1).map(|next| next.0);
            let counts = over.is_none_or(|until| fleet_scaler::domain::time::since(now, until) < span);
            if counts {
                bounds = (bounds.0.min(*min), bounds.1.max(*max));
            }
        }
        bounds
    }
}

impl Book {
    pub(crate) fn fleet(&mut self, name: &FleetName) -> &mut FleetBook {
        self.fleets.entry(name.clone()).or_default()
    }

    /// A host row as the store has it now.
    pub(crate) fn host_set(&mut self, host: &Host) {
        self.fleet(&host.fleet).hosts.insert(host.id.clone(), host.clone());
    }

    pub(crate) fn attempt_opened(&mut self, fleet: &FleetName, attempt: &Attempt) {
        let book = AttemptBook {
            launch: attempt.launch,
            zone: attempt.request.pool.zone.clone(),
            token: attempt.request.client_token.clone(),
            resolved: false,
            doubtful: false,
        };
        self.fleet(fleet).attempts.entry(attempt.id).or_insert(book);
    }

    pub(crate) fn resolved(&mut self, name: &FleetName, resolution: &Resolution, at: Timestamp) {
        for host in &resolution.hosts {
            self.host_set(host);
        }
        let fleet = self.fleet(name);
        if let Some(attempt) = fleet.attempts.get_mut(&resolution.attempt) {
            attempt.resolved = true;
        }
        fleet.recount(resolution.launch, at);
        let over = match &resolution.outcome {
            AttemptOutcome::Spent => Some(AbandonReason::TokenSpent),
            outcome if outcome.is_launch_failure() => Some(AbandonReason::Refused),
            AttemptOutcome::Launched { .. } | AttemptOutcome::Refused { .. } => None,
        };
        if let Some(reason) = over {
            self.abandoned(name, resolution.launch, reason, at);
        }
    }

    /// A launch was given up with hosts missing.
    pub(crate) fn abandoned(
        &mut self,
        fleet: &FleetName,
        launch: LaunchId,
        reason: AbandonReason,
        at: Timestamp,
    ) {
        if let Some(launch) = self.fleet(fleet).launches.get_mut(&launch)
            && matches!(launch.state, LaunchState::Open { .. })
        {
            launch.state = LaunchState::Abandoned { at, reason };
        }
    }

    pub(crate) fn call_begun(&mut self, fence: &Fence, call: &CloudCall) {
        let book = CallBook { call: call.clone(), fence: fence.clone(), sent: false, answers: 0 };
        if self.calls.insert(call.id, book).is_none() {
            self.unanswered.entry(fence.replica.clone()).or_default().push(call.id);
        }
    }

    pub(crate) fn call_ended(&mut self, call: CallId) {
        let Some(book) = self.calls.get_mut(&call) else { return };
        book.answers += 1;
        if let Some(open) = self.unanswered.get_mut(&book.fence.replica) {
            open.retain(|id| *id != call);
        }
    }

    /// The row of a call that is about to be sent: of this process, without an answer, not sent yet, and about just this.
    pub(crate) fn row_of(
        &mut self,
        replica: &ReplicaId,
        op: Operation,
        token: Option<&ClientToken>,
        group: Option<&TargetGroupArn>,
        instances: &BTreeSet<InstanceId>,
    ) -> Option<&mut CallBook> {
        let id = self.unanswered.get(replica)?.iter().rev().copied().find(|id| {
            self.calls.get(id).is_some_and(|book| {
                book.call.op == op
                    && !book.sent
                    && book.call.client_token.as_ref() == token
                    && book.call.target_group.as_ref() == group
                    && book.call.instances.iter().cloned().collect::<BTreeSet<_>>() == *instances
            })
        })?;
        self.calls.get_mut(&id)
    }

    /// Where the store gives something else than what it accepted, the first difference.
    pub(crate) fn differs(&self, name: &FleetName, stored: &StoredFleet) -> Option<String> {
        let empty = FleetBook::default();
        let book = self.fleets.get(name).unwrap_or(&empty);
        let living: Vec<&Host> = book.hosts.values().filter(|host| !host.state.is_final()).collect();
        if living.len() != stored.hosts.len() {
            return Some(format!("{} hosts were written, {} are loaded", living.len(), stored.hosts.len()));
        }
        for (written, loaded) in living.into_iter().zip(&stored.hosts) {
            if written != loaded {
                return Some(format!(
                    "host {} was written as {written:?} and loaded as {loaded:?}",
                    written.id
                ));
            }
        }
        for loaded in &stored.launches {
            let Some(written) = book.launches.get(&loaded.id) else {
                return Some(format!("launch {} was never written", loaded.id));
            };
            if written.count != loaded.count || written.launched != loaded.launched {
                return Some(format!("launch {}: {written:?} is loaded as {loaded:?}", loaded.id));
            }
            let open = loaded.open_attempt().map(|attempt| attempt.id);
            let lost = book
                .attempts
                .iter()
                .find(|(id, attempt)| attempt.launch == loaded.id && !attempt.resolved && Some(**id) != open);
            if let Some((id, _)) = lost {
                return Some(format!("attempt {id} of launch {} is loaded as resolved", loaded.id));
            }
        }
        None
    }

    /// Hosts under way to being bought: what each open launch may still bring, by the cloud's own count of what it has
    /// brought.
    pub(crate) fn reserved(&self, fleet: &FleetName) -> u32 {
        let Some(book) = self.fleets.get(fleet) else { return 0 };
        let open = book.launches.values().filter(|launch| matches!(launch.state, LaunchState::Open { .. }));
        open.map(|launch| launch.count.saturating_sub(self.carried.get(&launch.id).copied().unwrap_or(0)))
            .sum()
    }
}
