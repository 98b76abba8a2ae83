//! Changes are noticed, however they are made.

use std::path::Path;
use std::time::Duration;

use fleet_scaler::config::watch::Watcher;
use tokio::time::timeout;

use super::{FLEET, SERVICE, folder};

/// Far longer than the ten seconds that are promised: what is tested is that the notice comes.
const PATIENCE: Duration = Duration::from_mins(1);

async fn noticed(watcher: &mut Watcher) {
    timeout(PATIENCE, watcher.changed()).await.expect("the change is noticed");
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).expect("write a file");
}

#[tokio::test]
async fn a_file_written_replaced_added_and_removed() {
    let dir = folder(SERVICE, FLEET);
    let mut watcher = Watcher::start(dir.path()).await;
    write(dir.path(), "fleets/web.toml", "name = \"web\"\n");
    noticed(&mut watcher).await;
    write(dir.path(), "fleets/.new", FLEET);
    std::fs::rename(dir.path().join("fleets/.new"), dir.path().join("fleets/web.toml")).expect("replace");
    noticed(&mut watcher).await;
    write(dir.path(), "fleets/api.toml", FLEET);
    noticed(&mut watcher).await;
    std::fs::remove_file(dir.path().join("fleets/api.toml")).expect("remove");
    noticed(&mut watcher).await;
    write(dir.path(), "fleet-scaler.toml", "");
    noticed(&mut watcher).await;
}

/// Kubernetes mounts each file as a link through a folder's link, and swaps the latter.
#[tokio::test]
async fn a_link_swapped_beneath_the_files() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, dir.path().join(name)).expect("make a link");
    };
    for (version, text) in [("v1", SERVICE), ("v2", "[service]\n")] {
        std::fs::create_dir(dir.path().join(version)).expect("create a version");
        write(&dir.path().join(version), "fleet-scaler.toml", text);
    }
    link("v1", "..data");
    link("..data/fleet-scaler.toml", "fleet-scaler.toml");
    let mut watcher = Watcher::start(dir.path()).await;
    link("v2", "..next");
    std::fs::rename(dir.path().join("..next"), dir.path().join("..data")).expect("swap");
    noticed(&mut watcher).await;
}

/// The watched folder goes away and another comes in its place: no notice of the system tells of what happens there.
#[tokio::test]
async fn a_folder_that_is_itself_replaced() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let dir = parent.path().join("config");
    std::fs::create_dir_all(dir.join("fleets")).expect("create the folder");
    write(&dir, "fleet-scaler.toml", SERVICE);
    let mut watcher = Watcher::start(&dir).await;
    std::fs::rename(&dir, parent.path().join("old")).expect("move away");
    std::fs::create_dir_all(dir.join("fleets")).expect("create the folder anew");
    write(&dir, "fleet-scaler.toml", SERVICE);
    noticed(&mut watcher).await;
    write(&dir, "fleets/web.toml", FLEET);
    noticed(&mut watcher).await;
}

#[tokio::test]
async fn a_change_survives_a_wait_that_is_given_up() {
    let dir = folder(SERVICE, FLEET);
    let mut watcher = Watcher::start(dir.path()).await;
    write(dir.path(), "fleets/web.toml", "name = \"web\"\n");
    for _ in 0..20 {
        if timeout(Duration::from_millis(10), watcher.changed()).await.is_ok() {
            return;
        }
    }
    noticed(&mut watcher).await;
}

#[tokio::test]
async fn what_is_no_file_of_the_configuration_is_no_change() {
    let dir = folder(SERVICE, FLEET);
    let mut watcher = Watcher::start(dir.path()).await;
    write(dir.path(), "fleets/.web.toml.swp", "an editor's own");
    write(dir.path(), "notes.md", "a person's own");
    // Long enough for the system's notices and for one look of the watcher's own.
    timeout(Duration::from_secs(7), watcher.changed()).await.expect_err("nothing changed");
}
