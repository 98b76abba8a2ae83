//! What the hosts say, from the load and their number: pages that lie, and pages that never come.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use rand::Rng as _;

use fleet_scaler::domain::ids::{FleetName, InstanceId, ReplicaId};
use fleet_scaler::provider::simulated::model::instance::Instance;
use fleet_scaler::signals::{Harvest, HarvestRequest, SignalFault, SignalSource};

use crate::bugs::Bug;
use crate::clock::turn;
use crate::world::World;

/// One process's way to the hosts' pages.
pub(crate) struct SeamSignals {
    pub(crate) world: Arc<World>,
    pub(crate) replica: ReplicaId,
}

impl SeamSignals {
    /// The host's page: its share of the load, unless there is no page.
    fn page(&self, host: &InstanceId, place: usize, asked: usize) -> Option<f64> {
        let has_page =
            self.world.cloud.with_model(|model| model.instance(host).is_some_and(Instance::has_page));
        let mut state = self.world.state();
        let (noise, luck) = (state.rng.random_range(-1.0..1.0), state.rng.random_range(0.0..1.0));
        let metrics = &state.metrics;
        if !has_page || luck < metrics.silent {
            return None;
        }
        if metrics.liar && place == 0 {
            return Some(0.0);
        }
        let share = metrics.load / asked.max(1) as f64;
        Some((share * (1.0 + noise * metrics.noise)).clamp(0.0, 1.0))
    }
}

fn signals(cpu: f64) -> BTreeMap<String, f64> {
    [("cpu".to_owned(), cpu), ("memory".to_owned(), 0.2 + cpu / 2.0)].into()
}

#[async_trait]
impl SignalSource for SeamSignals {
    async fn harvest(&self, request: &HarvestRequest) -> Harvest {
        turn().await;
        let mut harvest = Harvest::default();
        let asked = request.hosts.len();
        for (place, target) in request.hosts.iter().enumerate() {
            match self.page(&target.host, place, asked) {
                Some(cpu) => drop(harvest.hosts.insert(target.host.clone(), signals(cpu))),
                None => harvest.faults.push(SignalFault {
                    source: target.host.to_string(),
                    class: "timeout",
                    message: "no answer".to_owned(),
                }),
            }
        }
        let heard = harvest.hosts.len();
        self.world.state().harvests.insert((self.replica.clone(), request.fleet.clone()), (asked, heard));
        self.world.note(self.replica.as_str(), &format!("harvest: {heard} of {asked} hosts"));
        if self.world.has(Bug::AveragesOverMissingHosts) {
            for target in &request.hosts {
                harvest.hosts.entry(target.host.clone()).or_insert_with(|| signals(0.0));
            }
        }
        harvest
    }

    fn forget(&self, _: &FleetName, _: &InstanceId) {}
}
