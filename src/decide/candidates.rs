//! Candidates: policies that are tried beside the one in force, and never act.
//!
//! A candidate is asked what it would do with this fleet as it stands, by this very observation. It is judged as a dry
//! run is: its own wishes of earlier ticks were never carried out, so they are no basis for the next. What it recommended
//! then is remembered, for its own scale-in window to look back on.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::decide::plan::CandidatePlan;
use crate::decide::policy::{Candidate, Mode, Policy};
use crate::decide::signal::Observation;
use crate::decide::snapshot::{FleetMemory, Snapshot};

/// What every candidate of the policy would do, in the order of the file.
pub(super) fn plans(snapshot: &Snapshot) -> Vec<CandidatePlan> {
    snapshot.policy.candidates.iter().map(|candidate| plan(snapshot, candidate)).collect()
}

/// What each of them recommended, for its window.
pub(super) fn recommended(plans: &[CandidatePlan]) -> BTreeMap<String, Option<u32>> {
    plans.iter().map(|plan| (plan.name.clone(), plan.recommended)).collect()
}

fn plan(snapshot: &Snapshot, candidate: &Candidate) -> CandidatePlan {
    let plan = super::decide(&in_its_place(snapshot, candidate));
    CandidatePlan {
        name: candidate.name.clone(),
        action: plan.action,
        size_wanted: plan.size_wanted,
        recommended: plan.observation.recommended,
        reason: plan.reason,
    }
}

/// The same fleet at the same moment, under the candidate's policy.
fn in_its_place(snapshot: &Snapshot, candidate: &Candidate) -> Snapshot {
    let policy = Policy { mode: Mode::DryRun, candidates: Vec::new(), ..candidate.policy.clone() };
    let signal = |policy: &Policy, name: &str| {
        policy.targets.iter().find(|target| target.name == name).map(|target| target.signal.clone())
    };
    // What a target of the policy in force has learned of its signal serves the candidate's of that name, if it is the
    // same signal.
    let same = |name: &String| signal(&snapshot.policy, name) == signal(&policy, name);
    let seen = |observation: &Observation| Observation {
        recommended: observation.candidates.get(&candidate.name).copied().flatten(),
        candidates: BTreeMap::new(),
        trails: observation
            .trails
            .iter()
            .filter(|(name, _)| same(name))
            .map(|(name, trail)| (name.clone(), *trail))
            .collect(),
        ..observation.clone()
    };
    let window = snapshot.window.iter().map(seen).collect();
    Snapshot {
        policy: Arc::new(policy),
        window,
        // What rules of the policy in force did is not what the candidate's did, though they have the same name.
        memory: FleetMemory { rules_fired: BTreeMap::new(), ..snapshot.memory.clone() },
        // A person asks the fleet, and the policy in force answers.
        requests: Vec::new(),
        ..snapshot.clone()
    }
}
