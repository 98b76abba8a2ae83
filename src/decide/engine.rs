//! The decision itself, from top to bottom.

use crate::decide::candidates;
use crate::decide::census::{Census, amount};
use crate::decide::ground::Ground;
use crate::decide::guards::{self, Judged};
use crate::decide::leavers::Leavers;
use crate::decide::ledger::Ledger;
use crate::decide::opinion::{self, Advice, Opinion};
use crate::decide::plan::{Action, CandidatePlan, Course, Guard, Plan};
use crate::decide::policy::Mode;
use crate::decide::record;
use crate::decide::requests::{self, Requests};
use crate::decide::signal::Observation;
use crate::decide::snapshot::Snapshot;
use crate::decide::stops::Stops;
use crate::decide::supply::{self, Supply};
use crate::decide::targets;
use crate::decide::telling::Outcome;
use crate::decide::trail;
use crate::domain::host::DrainReason;

/// What is to be done about one fleet at one moment, and why.
///
/// The size wanted comes first: what a person asked for, or else what the load asks for and every guard lets through.
/// Then the fleet is brought to that size, whether the size is new or hosts were lost, found or left over: hosts that
/// failed go, hosts too many go, hosts that are missing are kept back from their drain or bought.
///
/// Pauses work on both: while scale-out is paused nothing is bought, not even for a lost host; while scale-in is paused
/// nothing is drained, not even a failed host. In dry-run the plan is the one that this fleet, as it stands, would get
/// if it were live; nothing of it is to be acted on, and the verdict of that guard says so.
#[must_use]
pub fn decide(snapshot: &Snapshot) -> Plan {
    let census = Census::of(snapshot);
    let stops = Stops::of(&census);
    Settled::of(&census, &stops).plan()
}

/// The same decision, without a word of why: for replays, which ask it a million times and read no sentence.
#[must_use]
pub fn decide_silently(snapshot: &Snapshot) -> Course {
    let census = Census::of(snapshot);
    let stops = Stops::of(&census);
    Settled::of(&census, &stops).course()
}

/// Everything that was decided, before it is put into words.
struct Settled<'a> {
    census: &'a Census<'a>,
    opinions: Vec<Opinion>,
    requests: Requests,
    judged: Judged,
    leavers: Leavers<'a>,
    supply: Supply,
    ledger: Ledger,
}

impl<'a> Settled<'a> {
    fn of(census: &'a Census<'a>, stops: &'a Stops) -> Self {
        let opinions = opinion::gather(census);
        let mut ledger = Ledger::open(census, stops);
        let mut leavers = Leavers::none(census, stops);

        let requests = requests::answer(census, stops, &mut leavers);
        leavers.take_failed(&mut ledger);
        let judged = match requests.size {
            Some(size) => Judged { size, limited: None },
            None => guards::judge(census, stops, &opinions, &leavers, &mut ledger),
        };
        leavers.take_excess(judged.size, &mut ledger);
        let supply = supply::plan(census, stops, judged.size, &leavers, &mut ledger);
        if census.policy.mode == Mode::DryRun && !(leavers.drains.is_empty() && supply.is_empty()) {
            ledger.refuse(Guard::DryRun, Ground::DryRun);
        }
        Self { census, opinions, requests, judged, leavers, supply, ledger }
    }

    fn outcome(&self) -> Outcome<'_> {
        Outcome {
            census: self.census,
            opinions: &self.opinions,
            requests: &self.requests,
            judged: &self.judged,
            leavers: &self.leavers,
            supply: &self.supply,
            size_before: size_before(self.census, &self.leavers),
        }
    }

    fn plan(self) -> Plan {
        let (census, opinions) = (self.census, &self.opinions);
        let outcome = self.outcome();
        let (action, code, reason) = outcome.tell();
        let size_before = outcome.size_before;
        let candidates = candidates::plans(census.snapshot);
        Plan {
            action,
            size_before,
            size_wanted: self.judged.size,
            recommendations: record::recommendations(census, opinions),
            verdicts: self.ledger.close(),
            code,
            reason,
            rules_fired: fired(census, opinions, action),
            observation: observation(census, opinions, &candidates),
            launches: self.supply.launches,
            drains: self.leavers.drains,
            cancelled_drains: self.supply.cancelled,
            answered: self.requests.answers,
            cloud: census.snapshot.cloud.clone(),
            candidates,
        }
    }

    fn course(self) -> Course {
        let (census, opinions) = (self.census, &self.opinions);
        let action = self.outcome().action();
        Course {
            action,
            size_wanted: self.judged.size,
            drains: amount(self.leavers.drains.len()),
            rules_fired: fired(census, opinions, action),
            observation: observation(census, opinions, &candidates::plans(census.snapshot)),
        }
    }
}

/// Hosts that serve or are on their way and hosts being bought; those that failed and go now are neither.
fn size_before(census: &Census<'_>, leavers: &Leavers<'_>) -> u32 {
    let failed = |reason| matches!(reason, DrainReason::BootTimeout | DrainReason::Unhealthy);
    let gone = leavers.drains.iter().filter(|drain| failed(drain.reason)).count();
    census.capacity().saturating_sub(amount(gone))
}

/// The rules that wanted what came about, and were free to.
fn fired(census: &Census<'_>, opinions: &[Opinion], action: Action) -> Vec<String> {
    let wanted_it = |opinion: &&Opinion| match action {
        Action::ScaleOut => opinion.wants_more(census.desired),
        Action::ScaleIn => opinion.wants_fewer(census.desired),
        Action::Hold | Action::Repair | Action::Replace | Action::Manual => false,
    };
    let free = opinions.iter().filter(|opinion| opinion.waits.is_none());
    free.filter(wanted_it).filter_map(|opinion| opinion.source.rule().map(str::to_owned)).collect()
}

/// This tick's observation with the size that was recommended, before any guard but the bounds.
fn observation(census: &Census<'_>, opinions: &[Opinion], candidates: &[CandidatePlan]) -> Observation {
    let recommended = match opinion::combine(opinions.iter(), census.desired) {
        Advice::Out(size) | Advice::In(size) => Some(census.bounds.clamp(size)),
        Advice::Stay => Some(census.desired),
        Advice::Blind => None,
    };
    let learned = census.policy.targets.iter().filter_map(|target| {
        let trail = trail::next(target, census, targets::hosts_under(target, census))?;
        Some((target.name.clone(), trail))
    });
    let candidates = candidates::recommended(candidates);
    Observation { recommended, trails: learned.collect(), candidates, ..census.snapshot.current.clone() }
}
