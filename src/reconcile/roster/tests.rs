//! Shares, reckoned by hand.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::TimeDelta;

use super::*;
use crate::domain::ids::Epoch;
use crate::domain::time::Timestamp;
use crate::store::Lease;

const LEASE: Duration = Duration::from_secs(10);

/// Time that passes when a test says so.
#[derive(Default)]
struct ManualClock(AtomicU64);

#[async_trait::async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
    async fn sleep(&self, _: Duration) {}
}

struct Table {
    clock: Arc<ManualClock>,
    roster: Roster,
}

fn name(number: usize) -> FleetName {
    FleetName::new(format!("f{number}"))
}

fn us() -> ReplicaId {
    ReplicaId::new("us")
}

impl Table {
    fn new(fleets: usize) -> Self {
        let clock = Arc::new(ManualClock::default());
        let roster = Roster::new(clock.clone(), LEASE);
        for fleet in 0..fleets {
            roster.expect(&name(fleet));
        }
        Self { clock, roster }
    }

    fn pass(&self, secs: u64) {
        self.clock.0.fetch_add(secs, Ordering::Relaxed);
    }

    /// So many replicas live, and another one holds these fleets.
    fn hear(&self, replicas: usize, theirs: std::ops::Range<usize>) {
        let now = Timestamp::UNIX_EPOCH;
        let lease = Lease {
            holder: ReplicaId::new("them"),
            epoch: Epoch(1),
            expires_at: now + TimeDelta::seconds(5),
        };
        let muster = Muster {
            now,
            replicas: (0..replicas).map(|n| ReplicaId::new(format!("r{n}"))).collect(),
            leases: theirs.map(|fleet| (name(fleet), lease.clone())).collect(),
        };
        self.roster.hear(&muster, &us());
    }

    fn claimed(&self, fleets: usize) -> usize {
        (0..fleets).filter(|fleet| self.roster.claim(&name(*fleet))).count()
    }

    fn let_go(&self, fleets: usize) -> usize {
        (0..fleets).filter(|fleet| self.roster.lets_go(&name(*fleet))).count()
    }
}

#[test]
fn one_alone_takes_everything_and_keeps_it() {
    let table = Table::new(6);
    table.hear(1, 0..0);
    assert_eq!(table.claimed(6), 6);
    table.hear(1, 0..0);
    assert_eq!(table.let_go(6), 0);
}

#[test]
fn a_share_is_rounded_up_and_no_more_is_taken() {
    let table = Table::new(7);
    table.hear(2, 0..0);
    assert_eq!(table.claimed(7), 4);
    assert_eq!(table.claimed(7), 4, "those that are ours stay ours");
}

#[test]
fn what_is_too_many_is_let_go_once_for_each_word_of_the_store() {
    let table = Table::new(6);
    table.hear(1, 0..0);
    assert_eq!(table.claimed(6), 6);
    table.pass(1);
    table.hear(3, 0..0);
    assert_eq!(table.let_go(6), 4);
    assert_eq!(table.let_go(6), 0);
    assert_eq!(table.claimed(6), 2, "and what was let go is not taken again");
}

#[test]
fn a_fleet_of_somebody_else_is_not_asked_for_until_it_is_free() {
    let table = Table::new(4);
    table.hear(2, 0..4);
    assert_eq!(table.claimed(4), 0);
    table.hear(2, 2..4);
    assert_eq!(table.claimed(4), 2);
}

#[test]
fn a_claim_that_failed_makes_room_for_another() {
    let table = Table::new(4);
    table.hear(2, 0..0);
    assert_eq!(table.claimed(4), 2);
    table.roster.settle(&name(0), false);
    assert!(!table.roster.claim(&name(0)), "it turned out to be theirs");
    assert!(table.roster.claim(&name(2)));
}

#[test]
fn a_fleet_that_nobody_takes_for_a_lease_is_taken_and_kept() {
    let table = Table::new(4);
    table.hear(2, 0..0);
    assert_eq!(table.claimed(2), 2);
    table.pass(LEASE.as_secs());
    table.hear(2, 0..0);
    assert!(!table.roster.offers(&name(2)), "the one that should may still come");
    table.pass(1);
    table.hear(2, 0..0);
    assert_eq!(table.claimed(4), 4, "nobody came");
    table.hear(2, 0..0);
    assert_eq!((table.roster.lets_go(&name(2)), table.roster.lets_go(&name(3))), (false, false));
    table.pass(LEASE.as_secs() * u64::from(RESCUED_LEASES_KEPT) + 1);
    table.hear(2, 0..0);
    assert_eq!(table.let_go(4), 2, "and given a new chance later");
}

#[test]
fn an_old_word_of_the_store_divides_nothing() {
    let table = Table::new(4);
    table.hear(4, 1..4);
    assert_eq!(table.claimed(4), 1);
    table.pass(LEASE.as_secs() + 1);
    assert_eq!(table.let_go(4), 0);
    assert_eq!(table.claimed(4), 4, "every lease is asked for, as one that knows nobody would");
}

#[test]
fn a_fleet_without_a_file_is_no_longer_counted() {
    let table = Table::new(4);
    table.hear(2, 0..0);
    assert_eq!(table.claimed(4), 2);
    table.roster.forget(&name(3));
    table.roster.forget(&name(2));
    table.hear(2, 0..0);
    assert_eq!(table.let_go(4), 1);
    assert!(!table.roster.claim(&name(3)));
}
