//! Which files a folder has, and their text. The loader and the watcher look at the same ones.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crate::config::ConfigError;
use crate::config::report::place;

/// The service's own file.
pub(super) const SERVICE_FILE: &str = "fleet-scaler.toml";
/// The folder of the fleets' files.
pub(super) const FLEETS_FOLDER: &str = "fleets";

/// Most bytes of one file.
const MOST_BYTES: u64 = 1024 * 1024;
/// Most fleets of one folder.
const MOST_FLEETS: usize = 10_000;

/// One file's text.
#[derive(Debug)]
pub(super) struct Source {
    /// The file, as the operator named the folder.
    pub(super) file: String,
    /// The file's name without `.toml`.
    pub(super) stem: String,
    /// What it says.
    pub(super) text: String,
}

/// A folder's files, as far as they could be read.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// `fleet-scaler.toml`.
    pub(super) service: Option<Source>,
    /// `fleets/*.toml`, by name.
    pub(super) fleets: Vec<Source>,
    /// What could not be read.
    pub(super) errors: Vec<ConfigError>,
}

/// Reads every file of a folder.
pub(super) fn read_folder(dir: &Path) -> Folder {
    let mut folder = Folder::default();
    if !dir.is_dir() {
        let message = "there is no such folder: name the one that holds fleet-scaler.toml with --config DIR";
        folder.errors.push(whole_file(dir, "--config", message.to_owned()));
        return folder;
    }
    let service = dir.join(SERVICE_FILE);
    if service.exists() {
        match read_source(&service) {
            Ok(source) => folder.service = Some(source),
            Err(error) => folder.errors.push(error),
        }
    } else {
        let message = "there is no such file: every folder has one, with the tables [database], [service] and \
                       [provider.aws]; is this the folder you mean?";
        folder.errors.push(whole_file(&service, "file", message.to_owned()));
    }
    let paths = fleet_paths(dir).unwrap_or_else(|error| {
        folder.errors.push(error);
        Vec::new()
    });
    for path in paths {
        match read_source(&path) {
            Ok(source) => folder.fleets.push(source),
            Err(error) => folder.errors.push(error),
        }
    }
    folder
}

/// The fleets' files, by name. Names that start with a dot are left out: editors and Kubernetes keep their own things
/// under such names. A folder without `fleets/` has none.
pub(super) fn fleet_paths(dir: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let fleets = dir.join(FLEETS_FOLDER);
    let unreadable = |error: &std::io::Error| {
        let message =
            format!("the folder of fleets cannot be read ({error}): it holds one TOML file a fleet");
        whole_file(&fleets, FLEETS_FOLDER, message)
    };
    let entries = match std::fs::read_dir(&fleets) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(&error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(&error))?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        if paths.len() == MOST_FLEETS {
            let message = format!("holds more than {MOST_FLEETS} files: split them over deployments");
            return Err(whole_file(&fleets, FLEETS_FOLDER, message));
        }
        paths.push(path);
    }
    paths.sort();
    Ok(paths)
}

/// Reads one file as text.
pub(super) fn read_source(path: &Path) -> Result<Source, ConfigError> {
    let bytes = read_bounded(path, MOST_BYTES).map_err(|message| whole_file(path, "file", message))?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { file: path.display().to_string(), stem, text }),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let (line, column) = place(&String::from_utf8_lossy(&error.as_bytes()[..valid]), valid);
            let message = "is not UTF-8 from here on: save the file as UTF-8".to_owned();
            Err(ConfigError { line, column, ..whole_file(path, "file", message) })
        }
    }
}

/// Reads a regular file of at most `most` bytes. A pipe or a device would hang the reload, so it is refused.
pub(super) fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "there is no such file: create it, or mend its name".to_owned(),
        _ => format!("cannot be read: {error}"),
    })?;
    if !metadata.is_file() {
        return Err("is not a file: put a regular file there".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > most {
        return Err(format!("is larger than {most} bytes: no configuration needs that; make it smaller"));
    }
    Ok(bytes)
}

/// An error about a file as a whole.
pub(super) fn whole_file(path: &Path, key: &str, message: String) -> ConfigError {
    ConfigError { file: path.display().to_string(), line: 1, column: 1, key: key.to_owned(), message }
}
