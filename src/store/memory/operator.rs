//! What people do, and which configuration was in force. Pauses take effect at once, requests wait for a decision.

use crate::decide::snapshot::{Ask, OperatorRequest, Pause};
use crate::domain::ids::FleetName;
use crate::domain::time::after;
use crate::store::memory::event::Event;
use crate::store::memory::rows::{ActionRow, ConfigRow, Rows};
use crate::store::memory::transaction::Tx;
use crate::store::shared::{bounded, int};
use crate::store::{ConfigChange, Direction, OperatorAction, OperatorActionKind, StoreError};

pub(super) fn act(tx: &mut Tx<'_>, action: &OperatorAction) -> Result<(), StoreError> {
    let (actor, reason) = (bounded(&action.actor), bounded(&action.reason));
    if actor.is_empty() {
        return Err(StoreError::Refused(format!("action {} is nobody's", action.id)));
    }
    if let OperatorActionKind::SetSize(size) = action.kind {
        int(size)?;
    }
    let at = tx.now;
    let known = tx.rows.actions.contains_key(&action.id);
    let fleet = tx.know(&action.fleet)?;
    if known {
        return Ok(());
    }
    match &action.kind {
        OperatorActionKind::Pause { direction, span } => {
            let until = span.map(|span| after(at, span));
            let pause = Pause { until, actor: actor.clone(), reason: reason.clone() };
            if *direction != Direction::In {
                fleet.memory.pause_out = Some(pause.clone());
            }
            if *direction != Direction::Out {
                fleet.memory.pause_in = Some(pause);
            }
        }
        OperatorActionKind::Resume => (fleet.memory.pause_out, fleet.memory.pause_in) = (None, None),
        OperatorActionKind::SetSize(_) | OperatorActionKind::Drain(_) => {
            fleet.unanswered.insert((at, action.id));
        }
        OperatorActionKind::Evaluate => {}
    }
    let action = OperatorAction { actor, reason, ..action.clone() };
    tx.event(Some(&action.fleet), Event::OperatorActed(action.id));
    tx.rows.actions.insert(action.id, ActionRow { at, action, answer: None });
    Ok(())
}

/// Requests that no decision has answered, oldest first.
pub(super) fn unanswered(rows: &Rows, fleet: &FleetName) -> Vec<OperatorRequest> {
    let waiting = rows.fleets.get(fleet).into_iter().flat_map(|row| &row.unanswered);
    let asked = waiting.filter_map(|(_, id)| rows.actions.get(id)).filter_map(|row| {
        let action = &row.action;
        let ask = match &action.kind {
            OperatorActionKind::SetSize(size) => Ask::SetSize(*size),
            OperatorActionKind::Drain(host) => Ask::Drain(host.clone()),
            OperatorActionKind::Pause { .. } | OperatorActionKind::Resume | OperatorActionKind::Evaluate => {
                return None;
            }
        };
        let (actor, reason) = (action.actor.clone(), action.reason.clone());
        Some(OperatorRequest { id: action.id, actor, reason, ask })
    });
    asked.collect()
}

pub(super) fn configure(tx: &mut Tx<'_>, change: &ConfigChange) -> Result<(), StoreError> {
    if let Some(fleet) = &change.fleet {
        tx.know(fleet)?;
    }
    let last = tx.rows.configurations.iter().rev().find(|row| row.change.fleet == change.fleet);
    let is_same =
        |row: &ConfigRow| row.change.version == change.version && row.change.outcome == change.outcome;
    if last.is_some_and(is_same) {
        return Ok(());
    }
    tx.rows.configurations.push(ConfigRow { at: tx.now, change: change.clone() });
    tx.event(change.fleet.as_ref(), Event::Configured(change.version.clone()));
    Ok(())
}
