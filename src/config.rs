//! Configuration: from TOML files to checked types, with every error of every file in one go.
//!
//! Only validated configuration exists beyond this module: a [`Configuration`] comes from loading a folder that is
//! valid as a whole. An operator who mends five mistakes should meet them once and not five times, so nothing here
//! stops at the first; and the one who reads the error knows TOML better than this program, so an error says where,
//! what, and what would be right.

mod duration;
mod files;
pub mod fleet;
mod nearest;
mod reader;
mod report;
pub mod schema;
pub mod service;
mod syntax;
pub mod tokens;
pub mod watch;

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::files::{FLEETS_FOLDER, Folder, Source, read_folder, read_source, whole_file};
use crate::config::fleet::FleetConfig;
use crate::config::reader::Section;
use crate::config::report::Report;
use crate::config::service::ServiceConfig;
use crate::config::service::read::{DatabaseWord, Surroundings, parse_database};
use crate::domain::ids::FleetName;

/// A folder that validated as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// `fleet-scaler.toml`.
    pub service: ServiceConfig,
    /// `fleets/*.toml`, by name.
    pub fleets: BTreeMap<FleetName, FleetConfig>,
    /// A hash of the text of every file: the same text gives the same version.
    pub version: String,
    /// The text of each fleet's file, for the audit trail. Fleet files hold no secrets.
    pub texts: BTreeMap<FleetName, String>,
}

/// Everything that is wrong with a folder, in the order of files and lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors {
    /// At least one.
    pub errors: Vec<ConfigError>,
}

/// One thing that is wrong: where, what, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {key}: {message}")]
pub struct ConfigError {
    /// The file, relative to the folder's parent as the operator named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The key, dotted: `rule[2].sustained`.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Most errors that are told at once.
const MOST_ERRORS: usize = 1_000;

/// Loads and validates a folder. `env` reads environment variables (`DATABASE_URL` overrides the file's).
///
/// A folder without fleets is valid. What is loaded is what the files said at one moment each, not all at one moment: a
/// watcher that starts before the load sees a change that comes between.
pub fn load(dir: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Configuration, ConfigErrors> {
    let mut folder = read_folder(dir);
    let mut errors = std::mem::take(&mut folder.errors);
    let database = database_override(env, &mut errors);
    let surroundings = Surroundings { dir, database };
    let service = folder
        .service
        .as_ref()
        .and_then(|source| check(source, &mut errors, |file| service::read::read(file, &surroundings)));
    let mut fleets = BTreeMap::new();
    let mut texts = BTreeMap::new();
    for source in &folder.fleets {
        if let Some(fleet) = check(source, &mut errors, |file| fleet::read::read(file, Some(&source.stem))) {
            texts.insert(fleet.name.clone(), source.text.clone());
            fleets.insert(fleet.name.clone(), fleet);
        }
    }
    match service {
        Some(service) if errors.is_empty() => {
            Ok(Configuration { service, fleets, version: version(&folder), texts })
        }
        _ => Err(in_order(dir, errors)),
    }
}

/// Loads one fleet's file by itself, wherever it lies and whatever it is called: one that is not in force yet.
pub fn load_fleet(file: &Path) -> Result<FleetConfig, ConfigErrors> {
    let mut errors = Vec::new();
    let source = read_source(file).map_err(|error| ConfigErrors { errors: vec![error] })?;
    check(&source, &mut errors, |file| fleet::read::read(file, None)).ok_or(ConfigErrors { errors })
}

/// Checks one file: its errors are added to the others, and there is a value only if there were none.
fn check<T>(
    source: &Source,
    errors: &mut Vec<ConfigError>,
    read: impl FnOnce(&mut Section<'_, '_>) -> Option<T>,
) -> Option<T> {
    let mut report = Report::new(&source.file, &source.text);
    let document = syntax::parse(&mut report);
    let value = document.as_ref().and_then(|document| {
        let mut file = Section::file(&mut report, Some(document.get_ref()));
        let value = read(&mut file);
        file.finish();
        value
    });
    let found = report.into_errors();
    let valid = found.is_empty();
    errors.extend(found);
    value.filter(|_| valid)
}

fn database_override(
    env: &dyn Fn(&str) -> Option<String>,
    errors: &mut Vec<ConfigError>,
) -> Option<DatabaseWord> {
    const VARIABLE: &str = "DATABASE_URL";
    let text = env(VARIABLE).filter(|text| !text.is_empty())?;
    parse_database(&text)
        .map_err(|message| errors.push(whole_file(Path::new("environment"), VARIABLE, message)))
        .ok()
}

/// The service's file first, then the fleets' by name, and within a file by line; bounded.
fn in_order(dir: &Path, mut errors: Vec<ConfigError>) -> ConfigErrors {
    let fleets = dir.join(FLEETS_FOLDER).display().to_string();
    // The sort is stable, and the lines of one file are in order already.
    errors.sort_by_cached_key(|error| (error.file.starts_with(&fleets), error.file.clone()));
    if errors.len() > MOST_ERRORS {
        let message = format!("{} more are wrong: mend the above first", errors.len() - MOST_ERRORS);
        errors.truncate(MOST_ERRORS);
        errors.push(whole_file(dir, "…", message));
    }
    ConfigErrors { errors }
}

/// A hash of every file's name and text: FNV-1a, 128 bits wide. It tells one configuration from another in logs and
/// audit rows; it is no defence against somebody who looks for two texts with the same one.
fn version(folder: &Folder) -> String {
    let sources = folder.service.iter().chain(&folder.fleets);
    hash(sources.flat_map(|source| [source.stem.as_str(), source.text.as_str()]))
}

/// The same hash of one text: what errors are told apart by.
#[must_use]
pub fn version_of(text: &str) -> String {
    hash([text])
}

fn hash<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    const START: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let mut hash = START;
    for text in texts {
        // The length keeps a text's end apart from the next one's beginning.
        for byte in (text.len() as u64).to_le_bytes().into_iter().chain(text.bytes()) {
            hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
        }
    }
    format!("{hash:032x}")
}
