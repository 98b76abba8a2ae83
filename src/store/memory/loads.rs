//! The highest load of every ten minutes.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::forecast::history::{BUCKET, LOOK_BACK, bucket, load_of};
use crate::decide::signal::SignalName;
use crate::domain::ids::FleetName;
use crate::domain::time::{Timestamp, after, before};
use crate::store::memory::rows::{FleetRow, Rows};
use crate::store::memory::transaction::Tx;
use crate::store::{Fence, StoreError};

pub(super) fn fold(tx: &mut Tx<'_>, fence: &Fence, signals: &BTreeSet<SignalName>) -> Result<(), StoreError> {
    tx.check(fence)?;
    let (end, oldest) = (bucket(tx.now), before(tx.now, LOOK_BACK));
    let Some(row) = tx.rows.fleets.get_mut(&fence.fleet) else { return Ok(()) };
    for signal in signals {
        fold_one(row, signal, end);
    }
    for known in row.loads.values_mut() {
        *known = known.split_off(&oldest);
    }
    Ok(())
}

/// `end`: the beginning of the bucket that is not over.
fn fold_one(row: &mut FleetRow, signal: &SignalName, end: Timestamp) {
    let known = row.loads.entry(signal.clone()).or_default();
    let next = known.last_key_value().map(|(at, _)| after(*at, BUCKET));
    let mut highest: BTreeMap<Timestamp, f64> = BTreeMap::new();
    for (at, seen) in row.window.iter().filter(|(at, _)| **at < end && next.is_none_or(|next| **at >= next)) {
        if let Some(load) = load_of(signal, seen) {
            let most = highest.entry(bucket(*at)).or_insert(load);
            *most = load.max(*most);
        }
    }
    known.extend(highest);
}

pub(super) fn list(rows: &Rows, fleet: &FleetName, signal: &str) -> Vec<(Timestamp, f64)> {
    let known = rows.fleets.get(fleet).and_then(|row| row.loads.get(signal));
    known.into_iter().flatten().map(|(at, load)| (*at, *load)).collect()
}
