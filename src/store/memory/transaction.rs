//! All or nothing, without a copy: a transaction changes rows in place, keeps the old ones, and puts them back when it is
//! dropped before its commit. Most transactions touch a row or two, so this costs a move or two.
//!
//! Every change of a table goes through a `put` here, which keeps the indexes right, both ways.

use crate::decide::snapshot::FleetMemory;
use crate::domain::host::Host;
use crate::domain::ids::{AttemptId, FleetName, InstanceId, LaunchId};
use crate::domain::launch::{AttemptState, LaunchState};
use crate::domain::time::Timestamp;
use crate::store::memory::event::{Event, EventRow};
use crate::store::memory::rows::{
    AttemptRow, DrainOutcome, DrainRow, FleetRow, HostMove, HostRow, LaunchRow, OrphanRow, Rows,
};
use crate::store::{Fence, StoreError};

/// A row as it was.
enum Undo {
    Host(InstanceId, Option<HostRow>),
    Move(InstanceId),
    Drain(u64, Option<DrainRow>),
    Launch(LaunchId, Option<LaunchRow>),
    Attempt(AttemptId, Option<AttemptRow>),
    Orphan(InstanceId, Option<OrphanRow>),
    Memory(FleetName, FleetMemory),
    Event,
}

/// An open transaction. Dropped, it is rolled back.
pub(super) struct Tx<'a> {
    pub(super) rows: &'a mut Rows,
    /// The store's clock at its beginning.
    pub(super) now: Timestamp,
    undo: Vec<Undo>,
}

impl<'a> Tx<'a> {
    pub(super) fn begin(rows: &'a mut Rows, now: Timestamp) -> Self {
        Self { rows, now, undo: Vec::new() }
    }

    pub(super) fn commit(mut self) {
        self.undo.clear();
    }

    pub(super) fn host(&self, id: &InstanceId) -> Option<&HostRow> {
        self.rows.hosts.get(id)
    }

    /// The host with this id, if it is this fleet's.
    pub(super) fn host_of(&self, fleet: &FleetName, id: &InstanceId) -> Option<&HostRow> {
        self.host(id).filter(|row| row.host.fleet == *fleet)
    }

    pub(super) fn put_host(&mut self, row: HostRow, change: HostMove) {
        let id = row.host.id.clone();
        self.rows.moves.entry(id.clone()).or_default().push(change);
        self.undo.push(Undo::Move(id.clone()));
        let old = self.rows.set_host(&id, Some(row));
        self.undo.push(Undo::Host(id, old));
    }

    /// A number for a new way out.
    pub(super) fn next_drain(&self) -> u64 {
        self.rows.drains.last_key_value().map_or(1, |(number, _)| number + 1)
    }

    pub(super) fn put_drain(&mut self, number: u64, row: DrainRow) {
        let old = self.rows.set_drain(number, Some(row));
        self.undo.push(Undo::Drain(number, old));
    }

    /// The intent with this id, if it is this fleet's.
    pub(super) fn launch_of(&self, fleet: &FleetName, id: LaunchId) -> Option<&LaunchRow> {
        self.rows.launches.get(&id).filter(|row| row.launch.fleet == *fleet)
    }

    pub(super) fn put_launch(&mut self, row: LaunchRow) {
        let id = row.launch.id;
        let old = self.rows.set_launch(id, Some(row));
        self.undo.push(Undo::Launch(id, old));
    }

    pub(super) fn put_attempt(&mut self, row: AttemptRow) {
        let id = row.attempt.id;
        let old = self.rows.set_attempt(id, Some(row));
        self.undo.push(Undo::Attempt(id, old));
    }

    pub(super) fn put_orphan(&mut self, id: &InstanceId, row: Option<OrphanRow>) {
        let old = match row {
            Some(row) => self.rows.orphans.insert(id.clone(), row),
            None => self.rows.orphans.remove(id),
        };
        self.undo.push(Undo::Orphan(id.clone(), old));
    }

    /// The fleet's memory, to be changed.
    pub(super) fn memory(&mut self, fleet: &FleetName) -> Option<&mut FleetMemory> {
        let row = self.rows.fleets.get_mut(fleet)?;
        self.undo.push(Undo::Memory(fleet.clone(), row.memory.clone()));
        Some(&mut row.memory)
    }

    pub(super) fn event(&mut self, fleet: Option<&FleetName>, what: Event) {
        self.rows.newest_event += 1;
        let seq = self.rows.newest_event;
        self.rows.events.push_back(EventRow { seq, at: self.now, fleet: fleet.cloned(), what });
        self.undo.push(Undo::Event);
    }

    /// Whether the fence stands.
    pub(super) fn check(&self, fence: &Fence) -> Result<(), StoreError> {
        let lease = self.rows.fleets.get(&fence.fleet).and_then(|row| row.lease.as_ref());
        let stands = lease.is_some_and(|lease| {
            self.now < lease.expires_at && lease.holder == fence.replica && lease.epoch == fence.epoch
        });
        if stands {
            return Ok(());
        }
        Err(StoreError::Fenced { fleet: fence.fleet.clone(), epoch: fence.epoch })
    }

    /// The row of a fleet, made if it is not there; a name that is none is refused.
    pub(super) fn know(&mut self, fleet: &FleetName) -> Result<&mut FleetRow, StoreError> {
        let now = self.now;
        if !self.rows.fleets.contains_key(fleet) {
            if !is_name(fleet.as_str()) {
                return Err(StoreError::Refused(format!("{:?} is no name of a fleet", fleet.as_str())));
            }
            self.rows.fleets.insert(fleet.clone(), FleetRow::new(now));
        }
        Ok(self.rows.fleets.entry(fleet.clone()).or_insert_with(|| FleetRow::new(now)))
    }
}

/// What the configuration lets a fleet be called.
fn is_name(text: &str) -> bool {
    (1..=48).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Host(id, old) => drop(self.rows.set_host(&id, old)),
                Undo::Move(id) => self.rows.take_move_back(&id),
                Undo::Drain(number, old) => drop(self.rows.set_drain(number, old)),
                Undo::Launch(id, old) => drop(self.rows.set_launch(id, old)),
                Undo::Attempt(id, old) => drop(self.rows.set_attempt(id, old)),
                Undo::Orphan(id, Some(old)) => drop(self.rows.orphans.insert(id, old)),
                Undo::Orphan(id, None) => drop(self.rows.orphans.remove(&id)),
                Undo::Memory(fleet, old) => {
                    if let Some(row) = self.rows.fleets.get_mut(&fleet) {
                        row.memory = old;
                    }
                }
                Undo::Event => {
                    self.rows.newest_event -= 1;
                    self.rows.events.pop_back();
                }
            }
        }
    }
}

impl Rows {
    fn set_host(&mut self, id: &InstanceId, row: Option<HostRow>) -> Option<HostRow> {
        // Most changes are steps of a host that lives on, and move no index.
        if let (Some(new), Some(slot)) = (&row, self.hosts.get_mut(id))
            && !new.host.state.is_final()
            && !slot.host.state.is_final()
        {
            return row.map(|row| std::mem::replace(slot, row));
        }
        let new = row.as_ref().map(|row| row.host.clone());
        let old = match row {
            Some(row) => self.hosts.insert(id.clone(), row),
            None => self.hosts.remove(id),
        };
        if let Some(old) = &old {
            self.index_host(&old.host, false);
        }
        if let Some(new) = &new {
            self.index_host(new, true);
        }
        old
    }

    fn index_host(&mut self, host: &Host, present: bool) {
        if let Some(fleet) = self.fleets.get_mut(&host.fleet) {
            if host.state.is_final() {
                keep(&mut fleet.ended, (host.state.since(), host.id.clone()), present);
            } else {
                keep(&mut fleet.alive, host.id.clone(), present);
            }
        }
        if let Some(launch) = host.launch {
            let bought = self.bought.entry(launch).or_default();
            keep(bought, host.id.clone(), present);
            if bought.is_empty() {
                self.bought.remove(&launch);
            }
        }
    }

    fn take_move_back(&mut self, id: &InstanceId) {
        if let Some(moves) = self.moves.get_mut(id) {
            moves.pop();
            if moves.is_empty() {
                self.moves.remove(id);
            }
        }
    }

    fn set_drain(&mut self, number: u64, row: Option<DrainRow>) -> Option<DrainRow> {
        let of = |row: &DrainRow| (row.fleet.clone(), row.drain.started_at, costs(row));
        let new = row.as_ref().map(of);
        let old = match row {
            Some(row) => self.drains.insert(number, row),
            None => self.drains.remove(&number),
        };
        for (entry, present) in [(old.as_ref().map(of), false), (new, true)] {
            if let Some((fleet, at, true)) = entry
                && let Some(fleet) = self.fleets.get_mut(&fleet)
            {
                keep(&mut fleet.spent, (at, number), present);
            }
        }
        old
    }

    fn set_launch(&mut self, id: LaunchId, row: Option<LaunchRow>) -> Option<LaunchRow> {
        let is_open = row.as_ref().is_some_and(|row| matches!(row.launch.state, LaunchState::Open { .. }));
        let fleet = row.as_ref().map(|row| row.launch.fleet.clone());
        let old = match row {
            Some(row) => self.launches.insert(id, row),
            None => self.launches.remove(&id),
        };
        let fleet = fleet.or_else(|| old.as_ref().map(|row| row.launch.fleet.clone()));
        if let Some(fleet) = fleet.and_then(|fleet| self.fleets.get_mut(&fleet)) {
            keep(&mut fleet.open_launches, id, is_open);
        }
        old
    }

    fn set_attempt(&mut self, id: AttemptId, row: Option<AttemptRow>) -> Option<AttemptRow> {
        let new = row.as_ref().map(|row| (row.attempt.launch, is_unresolved(row)));
        let old = match row {
            Some(row) => {
                self.tokens.entry(row.attempt.request.client_token.clone()).or_insert(id);
                self.attempts.insert(id, row)
            }
            None => self.attempts.remove(&id),
        };
        if let Some(old) = &old {
            if is_unresolved(old) {
                self.unresolved.remove(&old.attempt.launch);
            }
            if new.is_none() {
                self.tokens.remove(&old.attempt.request.client_token);
            }
        }
        if let Some((launch, true)) = new {
            self.unresolved.insert(launch, id);
        }
        old
    }
}

/// Whether a drain is in the budget: one that was taken back cost nothing.
fn costs(row: &DrainRow) -> bool {
    !matches!(row.ended, Some((_, DrainOutcome::Cancelled)))
}

fn is_unresolved(row: &AttemptRow) -> bool {
    matches!(row.attempt.state, AttemptState::Open { .. })
}

fn keep<T: Ord>(set: &mut std::collections::BTreeSet<T>, item: T, present: bool) {
    if present {
        set.insert(item);
    } else {
        set.remove(&item);
    }
}
