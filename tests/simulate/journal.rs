//! The cloud's own journal, read entry by entry: what was launched (I1, I3) and what was ended, and how (I4).

use std::collections::BTreeMap;
use std::time::Duration;

use fleet_scaler::domain::host::HostState;
use fleet_scaler::domain::ids::{FleetName, InstanceId, LaunchId};
use fleet_scaler::domain::tags;
use fleet_scaler::domain::time::since;
use fleet_scaler::provider::simulated::model::journal::{Event, TerminationRecord, Verdict};

use crate::world::World;

/// So long at most lies between a tick's look at the groups and the end of a host that it terminates: its reads, its
/// writes and its calls, each slow.
const LOOK_TO_END: Duration = Duration::from_secs(30);

/// What of an entry is of interest here.
enum News {
    Launched(InstanceId, Option<String>),
    Ended(Box<TerminationRecord>),
}

impl World {
    /// Judges everything that the cloud has written down since the last time.
    pub(crate) fn judge_journal(&self) {
        let from = self.state().journal_next;
        let (news, next) = self.cloud.with_model(|model| {
            let entries = model.journal().since(from).filter_map(|entry| match &entry.event {
                Event::Instance { instance, from: None, .. } => {
                    let launch = model.instance(instance).and_then(|one| one.tags.get(tags::LAUNCH).cloned());
                    Some(News::Launched(instance.clone(), launch))
                }
                Event::Termination(record) => Some(News::Ended(Box::new(record.clone()))),
                _ => None,
            });
            (entries.collect::<Vec<_>>(), model.journal().next_seq())
        });
        self.state().journal_next = next;
        let mut grown = BTreeMap::new();
        for entry in news {
            match entry {
                News::Launched(_, None) => {}
                News::Launched(id, Some(launch)) => grown.extend(self.judge_launched(&id, &launch)),
                News::Ended(record) => self.judge_ended(&record),
            }
        }
        // One launch may bring several: they are counted together.
        for (fleet, span) in grown {
            self.judge_ceiling(&fleet, "an instance was launched", span);
        }
    }

    /// I3: the instances that ever carry a launch's tag are at most its count, over all zones. Gives the launch's
    /// fleet, and how old the bounds may be that it was bought under: one whose outcome is in doubt may exist already,
    /// and is asked for again whatever the file says meanwhile.
    fn judge_launched(&self, id: &InstanceId, launch: &str) -> Option<(FleetName, Duration)> {
        let launch = launch.parse().map(LaunchId).ok()?;
        let mut state = self.state();
        let found = state.book.fleets.iter().find_map(|(name, fleet)| {
            let doubtful = fleet.attempts.values().any(|one| one.launch == launch && one.doubtful);
            let row = fleet.launches.get(&launch)?;
            let age = if doubtful { since(self.now(), row.created_at) } else { Duration::ZERO };
            Some((name.clone(), row.count, age))
        });
        // None: made by hand, with a tag that says something else.
        let (fleet, count, age) = found?;
        let carried = state.book.carried.entry(launch).or_insert(0);
        *carried += 1;
        let carried = *carried;
        drop(state);
        if carried > count {
            self.fail("I3", format!("{id} is number {carried} of launch {launch}, which is for {count}"));
        }
        Some((fleet, age))
    }

    /// Whether what has not let go of a host is only groups that were deleted a whole drain ago, or that were deleted
    /// and that no file names any more: no listener sends anything through either.
    fn long_gone(&self, record: &TerminationRecord) -> bool {
        let state = self.state();
        let fleets = || state.fleets.values();
        let timeout = fleets().filter_map(|fleet| fleet.balancer.drain_timeout).max().unwrap_or_default();
        record.passages.iter().filter(|passage| passage.drained_at.is_none()).all(|passage| {
            let named = fleets().any(|fleet| fleet.balancer.target_groups.contains(&passage.target_group));
            passage.group_deleted_at.is_some_and(|at| !named || since(self.now(), at) >= timeout)
        })
    }

    /// Whether a registration that was given up has reached the host where nobody could know: between the last look at
    /// its groups and its end.
    fn registered_unforeseen(&self, id: &InstanceId) -> bool {
        let state = self.state();
        let Some(late) = state.registered_late.get(id) else { return false };
        let row = state.book.fleets.values().find_map(|fleet| fleet.hosts.get(id));
        row.is_some_and(|host| match host.state {
            HostState::Deregistered { .. } | HostState::Terminating { .. } => {
                since(self.now(), *late) < LOOK_TO_END
            }
            _ => false,
        })
    }

    /// I4: deregistered everywhere, and let go of by every group, or past its deadline, or never in service at all.
    fn judge_ended(&self, record: &TerminationRecord) {
        let id = &record.instance;
        let verdict = record.verdict;
        {
            let mut state = self.state();
            state.tally.count("termination", &format!("{verdict:?}"));
        }
        let waited = match verdict {
            Verdict::AlreadyDead | Verdict::NeverRegistered | Verdict::Drained => return,
            Verdict::StillRegistered => self.registered_unforeseen(id),
            Verdict::GroupDeleted | Verdict::StillDraining => match self.drain_deadline(id) {
                Some((served, deadline)) => !served || self.now() >= deadline || self.long_gone(record),
                None => false,
            },
        };
        if !waited {
            let state = self.state();
            let row = state
                .book
                .fleets
                .values()
                .find_map(|fleet| fleet.hosts.get(id))
                .map(|host| host.state.clone());
            drop(state);
            let passages = &record.passages;
            self.fail(
                "I4",
                format!("{id} was terminated while it served: {verdict:?}, {passages:?}, {row:?}"),
            );
        }
    }
}
