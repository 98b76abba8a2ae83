//! How far long work is, told on stderr: a bar where somebody watches, else a line now and then.
//!
//! Work that is over in a moment says nothing. The work counts and a thread of its own tells, so that what is counted,
//! a thousand times a second, never waits for a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a bar is drawn anew.
const BAR: Duration = Duration::from_millis(250);
/// How often a line is written where nobody watches.
const LINE: Duration = Duration::from_secs(10);
const WIDTH: usize = 30;

/// Counts, and tells until it is dropped.
pub(super) struct Progress {
    done: Arc<AtomicU64>,
    stop: Option<Sender<()>>,
    teller: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins to tell of work that is so much altogether.
    pub(super) fn start(what: &str, total: u64) -> Self {
        let done = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = channel();
        let (counted, what) = (done.clone(), what.to_owned());
        let teller = std::thread::spawn(move || tell(&what, &counted, total, &stopped));
        Self { done, stop: Some(stop), teller: Some(teller) }
    }

    /// So much more is done.
    pub(super) fn add(&self, more: u64) {
        self.done.fetch_add(more, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(teller) = self.teller.take() {
            let _ = teller.join();
        }
    }
}

fn tell(what: &str, done: &AtomicU64, total: u64, stopped: &Receiver<()>) {
    let is_watched = io::stderr().is_terminal();
    let pause = if is_watched { BAR } else { LINE };
    let mut is_drawn = false;
    // A terminal that is gone is no reason to end the work: what cannot be told is left untold.
    while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        let words =
            if is_watched { bar(what, percent(done, total)) } else { line(what, percent(done, total)) };
        let _ = io::stderr().lock().write_all(words.as_bytes());
        is_drawn = is_watched;
    }
    if is_drawn {
        let _ = io::stderr().lock().write_all(b"\r\x1b[2K");
    }
}

/// How much is done, 0–99: it is over when the result is there.
fn percent(done: &AtomicU64, total: u64) -> u64 {
    (done.load(Ordering::Relaxed).saturating_mul(100) / total.max(1)).min(99)
}

fn bar(what: &str, percent: u64) -> String {
    let full = usize::try_from(percent).unwrap_or(0) * WIDTH / 100;
    format!("\r\x1b[2K{what} [{}{}] {percent} %", "#".repeat(full), "-".repeat(WIDTH - full))
}

fn line(what: &str, percent: u64) -> String {
    format!("{what}: {percent} %\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done() {
        assert_eq!(bar("replay", 0), format!("\r\x1b[2Kreplay [{}] 0 %", "-".repeat(30)));
        assert_eq!(bar("replay", 50), format!("\r\x1b[2Kreplay [{}{}] 50 %", "#".repeat(15), "-".repeat(15)));
        assert_eq!(line("replay", 7), "replay: 7 %\n");
    }

    #[test]
    fn it_never_claims_to_be_over() {
        assert_eq!(percent(&AtomicU64::new(u64::MAX), 10), 99);
        assert_eq!(percent(&AtomicU64::new(3), 0), 99);
        assert_eq!(percent(&AtomicU64::new(5), 10), 50);
    }
}
