//! Who may act for a fleet. As in Postgres, a holder that comes back to a lease which nobody else took keeps its epoch.

use std::time::Duration;

use crate::domain::ids::{Epoch, FleetName, ReplicaId};
use crate::domain::time::after;
use crate::store::memory::event::Event;
use crate::store::memory::rows::{LeaseChange, LeaseMove};
use crate::store::memory::transaction::Tx;
use crate::store::shared::bounded_span;
use crate::store::{Fence, Lease, LeaseAnswer, StoreError, TakenOver};

pub(super) fn take(
    tx: &mut Tx<'_>,
    fleet: &FleetName,
    replica: &ReplicaId,
    span: Duration,
) -> Result<LeaseAnswer, StoreError> {
    let now = tx.now;
    let row = tx.know(fleet)?;
    let (taken_over, epoch) = match &row.lease {
        Some(lease) if lease.holder == *replica => (TakenOver::No, lease.epoch),
        Some(lease) if now < lease.expires_at => {
            return Ok(LeaseAnswer::Other { holder: lease.holder.clone(), expires_at: lease.expires_at });
        }
        Some(lease) => (TakenOver::Yes, Epoch(lease.epoch.0 + 1)),
        None => (TakenOver::Yes, Epoch(1)),
    };
    let expires_at = after(now, bounded_span(span));
    let before = row.lease.replace(Lease { holder: replica.clone(), epoch, expires_at });
    if taken_over == TakenOver::Yes {
        let change = LeaseMove::Taken { before: before.map(|lease| lease.holder) };
        row.lease_changes.push(LeaseChange { at: now, holder: replica.clone(), epoch, change });
        tx.event(Some(fleet), Event::LeaseTaken { holder: replica.clone(), epoch });
    }
    let fence = Fence { fleet: fleet.clone(), replica: replica.clone(), epoch };
    Ok(LeaseAnswer::Held { fence, expires_at, taken_over })
}

pub(super) fn release(tx: &mut Tx<'_>, fence: &Fence) -> Result<(), StoreError> {
    tx.check(fence)?;
    let at = tx.now;
    let row = tx.know(&fence.fleet)?;
    if let Some(lease) = &mut row.lease {
        lease.expires_at = at;
    }
    let (holder, epoch) = (fence.replica.clone(), fence.epoch);
    row.lease_changes.push(LeaseChange { at, holder, epoch, change: LeaseMove::Released });
    tx.event(Some(&fence.fleet), Event::LeaseReleased(epoch));
    Ok(())
}
