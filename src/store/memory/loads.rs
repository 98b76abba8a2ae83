//! The highest load of every ten minutes.

use std::collections::BTreeMap;

use crate::decide::forecast::history::{BUCKET, LOOK_BACK, bucket, load_of};
use crate::domain::ids::FleetName;
use crate::domain::time::{Timestamp, after, before};
use crate::store::memory::rows::Rows;
use crate::store::memory::transaction::Tx;
use crate::store::{Fence, StoreError};

/// All at once, from `from` on or from where the last time ended.
pub(super) fn fold(
    tx: &mut Tx<'_>,
    fence: &Fence,
    signal: &str,
    from: Option<Timestamp>,
) -> Result<Option<Timestamp>, StoreError> {
    tx.check(fence)?;
    let (end, oldest) = (bucket(tx.now), before(tx.now, LOOK_BACK));
    let Some(row) = tx.rows.fleets.get_mut(&fence.fleet) else { return Ok(None) };
    for known in row.loads.values_mut() {
        *known = known.split_off(&oldest);
    }
    let known = row.loads.entry(signal.to_owned()).or_default();
    let next = known.last_key_value().map(|(at, _)| after(*at, BUCKET));
    let from = from.or(next).unwrap_or(oldest);
    let mut highest: BTreeMap<Timestamp, f64> = BTreeMap::new();
    for (at, seen) in row.window.range(from..end.max(from)) {
        if let Some(load) = load_of(signal, seen) {
            let most = highest.entry(bucket(*at)).or_insert(load);
            *most = load.max(*most);
        }
    }
    for (at, load) in highest {
        known.entry(at).or_insert(load);
    }
    Ok(None)
}

pub(super) fn list(rows: &Rows, fleet: &FleetName, signal: &str) -> Vec<(Timestamp, f64)> {
    let known = rows.fleets.get(fleet).and_then(|row| row.loads.get(signal));
    known.into_iter().flatten().map(|(at, load)| (*at, *load)).collect()
}
