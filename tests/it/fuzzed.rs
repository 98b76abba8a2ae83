//! What a fuzzer is let loose on, held to the same properties in every run of the tests.
//!
//! The properties lie below, one file a target, and `fuzz/` includes those very files: what `make fuzz` finds is an input
//! that fails here as soon as it is put into `tests/data/fuzz/`, and stays there when it is mended. The pages and folders
//! of other tests are inputs, too.

mod configuration;
mod exposition;

use std::path::{Path, PathBuf};

use crate::config::conformity;

/// Every file of a folder, in the order of their names.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Holds every file of a folder to a property; names the one that breaks it.
fn replay(folder: &str, least: usize, check: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let files = files(folder);
    assert!(files.len() >= least, "only {} inputs in {folder}: the walk is broken", files.len());
    for path in files {
        let input = std::fs::read(&path).unwrap();
        std::panic::catch_unwind(|| check(&input)).unwrap_or_else(|_| panic!("{} fails", path.display()));
    }
}

#[test]
fn kept_pages_hold() {
    replay("tests/data/fuzz/exposition", 3, exposition::check);
    for page in ["node_exporter-1.5.0-a.txt", "node_exporter-1.5.0-b.txt", "prometheus-2.42.0.txt"] {
        exposition::check(&std::fs::read(Path::new("tests/data").join(page)).unwrap());
    }
}

#[test]
fn kept_configurations_hold() {
    let hold = |input: &[u8]| {
        configuration::check(input);
    };
    replay("tests/data/fuzz/configuration", 3, hold);
    let folders = std::fs::read_dir("tests/golden/config").unwrap().map(|entry| entry.unwrap().path());
    let (mut pairs, mut accepted) = (0, 0);
    for folder in folders.chain([PathBuf::from("config")]) {
        let Ok(service) = std::fs::read(folder.join("fleet-scaler.toml")) else { continue };
        let Ok(fleet) = std::fs::read(folder.join("fleets/web.toml")) else { continue };
        let input = [&service, configuration::SEPARATOR, &fleet].concat();
        accepted += usize::from(configuration::check(&input));
        pairs += 1;
    }
    assert!(pairs > 10, "only {pairs} folders: the walk is broken");
    assert!(accepted >= 1, "nothing is accepted: one half of the property is never asked");
}

/// A property that nothing can break proves nothing.
#[test]
fn a_broken_promise_is_noticed() {
    let fails = |what: fn()| assert!(std::panic::catch_unwind(what).is_err());
    fails(|| exposition::same_again(&exposition::read(b"a 1\n"), &exposition::read(b"a 2\n")));
    fails(|| exposition::same_again(&exposition::read(b"a{x=\"1\"} 1\n"), &exposition::read(b"a 1\n")));
    fails(|| exposition::same_again(&exposition::read(b"a 1\n"), &exposition::read(b"a 1 5\n")));
    fails(|| configuration::held("name = 1\n", 3, 1));
    fails(|| configuration::held("name = 1\n", 1, 10));
}
