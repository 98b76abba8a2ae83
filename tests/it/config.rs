//! Configuration as an operator meets it: whole folders in, checked types or errors out.

#![allow(clippy::expect_used, reason = "a test that cannot set its stage is a test that fails")]

mod arbitrary;
pub(crate) mod conformity;
mod examples;
mod golden;
mod schema;
mod secrets;
mod valid;
mod watch;

use std::path::{Path, PathBuf};

use fleet_scaler::config::{ConfigErrors, Configuration, load};

/// The smallest service file that is valid.
const SERVICE: &str = "[database]\nurl = \"embedded\"\n[service]\nowner = \"prod-1\"\n[provider.simulated]\n";

/// The smallest fleet file that is valid.
const FLEET: &str = "name = \"web\"\n[size]\nmin = 2\nmax = 20\n\
    [launch]\nlaunch_template_id = \"lt-0abc\"\nsubnets = [\"subnet-a\"]\n";

/// A folder of the tests' data.
fn golden(name: &str) -> PathBuf {
    Path::new("tests/golden/config").join(name)
}

/// Loads a folder in an environment without variables.
fn load_bare(dir: &Path) -> Result<Configuration, ConfigErrors> {
    load(dir, &|_| None)
}

/// A folder with a service's file and one fleet's.
fn folder(service: &str, fleet: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(dir.path().join("fleets")).expect("create the folder of fleets");
    std::fs::write(dir.path().join("fleet-scaler.toml"), service).expect("write the service's file");
    std::fs::write(dir.path().join("fleets/web.toml"), fleet).expect("write the fleet's file");
    dir
}

/// The errors of a folder, one line each, as if it were called `config`.
fn errors_of(dir: &Path) -> String {
    let errors = load_bare(dir).expect_err("a broken folder").to_string();
    errors.replace(&dir.display().to_string(), "config")
}
