//! Tells when a folder's files may have changed.
//!
//! The operating system's notices come at once where they come at all. They do not on some network filesystems, and a
//! watched folder that is itself replaced goes silent, so the files are also looked at every few seconds; what counts
//! is what that look finds. A signal carries no data: whoever gets one loads the folder and compares versions.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::config::files::{FLEETS_FOLDER, SERVICE_FILE, fleet_paths};

/// How often the files are looked at when nobody gives notice.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A change counts as complete after so long without another notice…
const QUIET: Duration = Duration::from_millis(200);
/// …but is looked at after so many of them: a folder that never rests is no reason to wait for ever.
const MOST_NOTICES: usize = 10;

/// Watches one configuration folder.
pub struct Watcher {
    dir: PathBuf,
    seen: Vec<FileMark>,
    notices: Arc<Notify>,
    look: Interval,
    /// Its thread ends with it. `None`: the operating system gives no notices, and looking must do.
    system: Option<RecommendedWatcher>,
}

/// What tells one state of a file from another without reading it: a new inode, a new time of change, a new size.
type FileMark = (PathBuf, u64, i64, i64, u64);

impl Watcher {
    /// Starts watching. Start before the first load, so that no change falls between the two.
    pub async fn start(dir: &Path) -> Self {
        let notices = Arc::new(Notify::new());
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let dir = dir.to_owned();
        let seen = marks(&dir).await;
        let mut watcher = Self { system: system_watcher(&notices), dir, seen, notices, look };
        watcher.watch_folders();
        watcher
    }

    /// Waits until the files may have changed since the last time this said so. A burst of changes is one. It may be
    /// dropped at any moment, and no change is lost by it.
    pub async fn changed(&mut self) {
        loop {
            tokio::select! {
                () = self.notices.notified() => self.settle().await,
                _ = self.look.tick() => {}
            }
            let now = marks(&self.dir).await;
            if now != self.seen {
                self.seen = now;
                self.watch_folders();
                return;
            }
        }
    }

    async fn settle(&self) {
        for _ in 0..MOST_NOTICES {
            if timeout(QUIET, self.notices.notified()).await.is_err() {
                return;
            }
        }
    }

    /// Asks for notices, again after each change: a folder that was made anew is another one to the system.
    fn watch_folders(&mut self) {
        let Some(system) = &mut self.system else { return };
        for folder in [self.dir.clone(), self.dir.join(FLEETS_FOLDER)] {
            // A folder that is not there, or no longer: looking finds it when it comes.
            let _ = system.unwatch(&folder);
            let _ = system.watch(&folder, RecursiveMode::NonRecursive);
        }
    }
}

fn system_watcher(notices: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let notices = Arc::clone(notices);
    let on_event = move |event: notify::Result<notify::Event>| {
        // Reading the files is an event, too, and would wake the reader for ever.
        if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
            notices.notify_one();
        }
    };
    notify::recommended_watcher(on_event).ok()
}

/// The marks of all files that a load would read.
async fn marks(dir: &Path) -> Vec<FileMark> {
    let dir = dir.to_owned();
    let look = move || {
        let mut paths = vec![dir.join(SERVICE_FILE)];
        paths.extend(fleet_paths(&dir).unwrap_or_default());
        paths.into_iter().map(mark).collect()
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

fn mark(path: PathBuf) -> FileMark {
    match std::fs::metadata(&path) {
        Ok(found) => (path, found.ino(), found.ctime(), found.ctime_nsec(), found.size()),
        Err(_) => (path, 0, 0, 0, 0),
    }
}
