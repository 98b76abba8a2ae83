//! TerminateInstances and CreateTags: calls that name instances, and fail whole where one name is bad.
//!
//! Protection is the exception: one protected instance fails the call, and keeps the others of its zone; those of other
//! zones go all the same. Whoever reads the refusal as "nothing was done" is wrong about them.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::{InstanceId, Zone};
use crate::provider::InstanceState;
use crate::provider::simulated::model::Model;
use crate::provider::simulated::model::api::{ApiError, StateChange};
use crate::provider::simulated::model::instance::Instance;
use crate::provider::simulated::model::journal::{Event, TerminationRecord, Verdict};
use crate::provider::simulated::model::launch::validate_tags;

impl Model {
    /// TerminateInstances. An instance that is dead already is no error as long as it is shown.
    pub(crate) fn terminate(
        &mut self,
        ids: &[InstanceId],
        request_id: &str,
    ) -> Result<Vec<StateChange>, ApiError> {
        let instances = self.named(ids)?;
        let is_protected = |one: &&&Instance| !one.is_dead() && self.faults.is_protected(one);
        let refused = instances.iter().find(is_protected).map(|one| protected(&one.id));
        let kept: BTreeSet<&Zone> = instances.iter().filter(is_protected).map(|one| &one.zone).collect();
        let records: Vec<TerminationRecord> = instances
            .iter()
            .filter(|instance| !kept.contains(&instance.zone))
            .map(|instance| TerminationRecord {
                instance: instance.id.clone(),
                was: instance.state,
                verdict: Verdict::of(instance.state, &instance.passages),
                passages: instance.passages.clone(),
                request_id: request_id.to_owned(),
            })
            .collect();
        let changes = records.into_iter().map(|record| self.terminate_one(record)).collect();
        refused.map_or(Ok(changes), Err)
    }

    fn terminate_one(&mut self, record: TerminationRecord) -> StateChange {
        let (id, previous) = (record.instance.clone(), record.was);
        self.record(Event::Termination(record));
        self.end_instance(&id, "Client.UserInitiatedShutdown: User initiated shutdown");
        let current = self.instances.get(&id).map_or(InstanceState::Terminated, |instance| instance.state);
        StateChange { id, previous, current }
    }

    /// CreateTags on instances.
    pub(crate) fn create_tags(
        &mut self,
        ids: &[InstanceId],
        tags: &BTreeMap<String, String>,
    ) -> Result<(), ApiError> {
        self.named(ids)?;
        validate_tags(tags)?;
        for id in ids {
            if let Some(instance) = self.instances.get_mut(id) {
                instance.tags.extend(tags.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
        }
        Ok(())
    }

    /// The instances that a call names, each once. One that describes do not show (yet, or any more) is not there.
    pub(super) fn named(&self, ids: &[InstanceId]) -> Result<Vec<&Instance>, ApiError> {
        if ids.is_empty() {
            let text = "The request must contain the parameter InstanceId";
            return Err(ApiError::client("MissingParameter", text));
        }
        if let Some(id) = ids.iter().find(|id| !id.as_str().starts_with("i-")) {
            let text = format!("Invalid id: \"{id}\" (expecting \"i-...\")");
            return Err(ApiError::client("InvalidInstanceID.Malformed", text));
        }
        let shown = |id: &&InstanceId| self.instances.get(id).is_some_and(|one| one.visible_at <= self.now);
        let absent: Vec<&str> = ids.iter().filter(|id| !shown(id)).map(InstanceId::as_str).collect();
        if !absent.is_empty() {
            let text = format!("The instance IDs '{}' do not exist", absent.join(", "));
            return Err(ApiError::client("InvalidInstanceID.NotFound", text));
        }
        let once: std::collections::BTreeSet<&InstanceId> = ids.iter().collect();
        Ok(once.into_iter().filter_map(|id| self.instances.get(id)).collect())
    }
}

fn protected(id: &InstanceId) -> ApiError {
    let text = format!(
        "The instance '{id}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again."
    );
    ApiError::client("OperationNotPermitted", text)
}
