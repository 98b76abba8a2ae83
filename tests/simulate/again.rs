//! At the end of a day its decisions are made again, from what the store kept with them.
//!
//! The shipped function and the same inputs must give the recorded plan to the last letter, whatever happened on the way:
//! a reply that was lost, another process, an observation that nobody recorded. Not each of them is, which would take
//! longer than the day: every seventh, beginning where the seed says, so that many days are all of them.

use fleet_scaler::backtest::again;
use fleet_scaler::domain::ids::FleetName;
use fleet_scaler::domain::time::after;
use fleet_scaler::store::history::{ObservedQuery, Recorded, RecordedQuery};

use crate::clock::Time;
use crate::run::{Day, at_once};

/// Of so many decisions one is made again.
const EVERY: u64 = 7;
const PAGE: u32 = 200;

impl Day {
    /// I6: what is recorded of a decision is what it was made from, and what came of it.
    pub(crate) fn make_again(&self, seed: u64) {
        for fleet in self.fleets.keys() {
            let until = after(self.world.now(), std::time::Duration::from_secs(1));
            let since = Time::default().now();
            let mut query = RecordedQuery { fleet: fleet.clone(), since, until, after: None, limit: PAGE };
            let mut place = seed % EVERY;
            while let Some(Ok(page)) = at_once(self.world.store.recorded(&query)) {
                let Some(last) = page.last() else { break };
                query.after = Some((last.at, last.id));
                for decision in &page {
                    place += 1;
                    if place.is_multiple_of(EVERY) {
                        self.judge_again(fleet, decision);
                    }
                }
            }
        }
    }

    fn judge_again(&self, fleet: &FleetName, decision: &Recorded) {
        let wrong = match self.once_more(fleet, decision) {
            Ok(None) => {
                self.world.state().tally.count("reached", "decision made again");
                return;
            }
            Ok(Some(difference)) => difference.to_string(),
            Err(why) => why,
        };
        self.world.fail("I6", format!("decision {} of {fleet}, made again: {wrong}", decision.id));
    }

    fn once_more(&self, fleet: &FleetName, decision: &Recorded) -> Result<Option<again::Difference>, String> {
        let inputs = decision.inputs.as_ref().ok_or("no inputs are kept")?;
        let opened = match again::open(inputs, decision.seal.as_deref()) {
            Ok(opened) => opened.map_err(|why| why.to_string())?,
            Err(difference) => return Ok(Some(difference)),
        };
        let window = opened.looked_back().map_or(Ok(Vec::new()), |(first, last)| {
            let query = ObservedQuery { fleet: fleet.clone(), first, last };
            let window = at_once(self.world.store.observed(&query)).ok_or("the store waits")?;
            window.map_err(|error| error.to_string())
        })?;
        again::judge(opened, window, &decision.plan).map_err(|why| why.to_string())
    }
}
