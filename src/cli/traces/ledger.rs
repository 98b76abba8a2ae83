//! What becomes of spans: how many wait, how many were lost, and the one line that says so.
//!
//! A collector that is away is away for thousands of spans. Each is counted; the log hears when it begins, with the
//! reason, and when it is over. The queue of the SDK drops silently what does not fit, so its bound is kept here, one step
//! before it, where what is dropped can be counted.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counts spans by what became of them.
const SPANS: &str = "fleet_scaler_trace_spans_total";

/// What becomes of spans.
#[derive(Debug)]
pub(super) struct Ledger {
    /// The collector, as the log may name it.
    place: String,
    capacity: usize,
    queued: AtomicUsize,
    /// Not told in the log yet.
    dropped: AtomicU64,
    told: Mutex<Told>,
}

/// How it stands with the sending of spans.
#[derive(Debug, Default)]
struct Told {
    state: State,
    /// Spans lost since all was well.
    lost: u64,
    /// Why the last request failed.
    why: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Well,
    /// The collector cannot be reached, or refuses.
    Away,
    /// It takes what it is sent, and more comes than is sent.
    Behind,
}

impl Ledger {
    pub(super) fn new(place: String, capacity: usize) -> Self {
        Self {
            place,
            capacity,
            queued: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            told: Mutex::default(),
        }
    }

    /// Whether one more span may wait. If not, it is dropped.
    pub(super) fn admits(&self) -> bool {
        let one_more = |queued: usize| (queued < self.capacity).then_some(queued + 1);
        let admitted = self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
        if !admitted {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            metrics::counter!(SPANS, "outcome" => "dropped").increment(1);
        }
        admitted
    }

    /// So many wait no longer: they are about to be sent.
    pub(super) fn taken(&self, spans: usize) {
        let rest = |queued: usize| Some(queued.saturating_sub(spans));
        let _ = self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
    }

    /// Notes why a request failed, for the line that follows.
    pub(super) fn failed(&self, why: String) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).why = Some(why);
    }

    /// So many were sent, or given up.
    pub(super) fn sent(&self, spans: usize, arrived: bool) {
        let spans = u64::try_from(spans).unwrap_or(u64::MAX);
        let (sent, failed) = if arrived { (spans, 0) } else { (0, spans) };
        // All three from zero on: of a counter that begins at three, nobody can say that it rose.
        metrics::counter!(SPANS, "outcome" => "sent").increment(sent);
        metrics::counter!(SPANS, "outcome" => "failed").increment(failed);
        metrics::counter!(SPANS, "outcome" => "dropped").increment(0);
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.state;
        told.lost = told.lost.saturating_add(failed).saturating_add(dropped);
        told.state = match (arrived, dropped) {
            (false, _) => State::Away,
            (true, 0) => State::Well,
            (true, _) => State::Behind,
        };
        if told.state != before {
            told.tell(&self.place);
        }
    }
}

impl Told {
    fn tell(&mut self, collector: &str) {
        let lost = self.lost;
        match self.state {
            State::Away => {
                let why = self.why.take().unwrap_or_else(|| "it did not take them".to_owned());
                tracing::warn!(
                    collector,
                    why,
                    "spans cannot be sent; the service goes on, and they are dropped"
                );
            }
            State::Behind => tracing::warn!(
                collector,
                lost,
                "more spans are made than are sent; raise OTEL_BSP_MAX_QUEUE_SIZE, or trace a share of the ticks"
            ),
            State::Well => {
                tracing::info!(collector, lost, "spans are sent again");
                self.lost = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_until_there_is_room() {
        let ledger = Ledger::new("here".to_owned(), 2);
        assert!(ledger.admits() && ledger.admits() && !ledger.admits());
        ledger.taken(1);
        assert!(ledger.admits() && !ledger.admits());
        assert_eq!(ledger.dropped.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_was_lost_is_summed_until_all_is_well() {
        let ledger = Ledger::new("here".to_owned(), 1);
        let stands = |state, lost| {
            let told = ledger.told.lock().unwrap();
            assert_eq!((told.state, told.lost), (state, lost));
        };
        ledger.sent(5, false);
        stands(State::Away, 5);
        assert!(ledger.admits() && !ledger.admits());
        ledger.sent(1, false);
        stands(State::Away, 7);
        assert!(!ledger.admits());
        ledger.sent(1, true);
        stands(State::Behind, 8);
        ledger.sent(1, true);
        stands(State::Well, 0);
    }
}
