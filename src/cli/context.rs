//! What every command needs: where the configuration is, how to print, and who asks.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::cli::exit::{Silent, USAGE, Usage};
use crate::cli::output::{self, Format};
use crate::config::Configuration;
use crate::config::fleet::FleetConfig;
use crate::domain::ids::FleetName;
use crate::store::Store;

/// What every command needs.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The configuration's folder.
    pub(crate) dir: PathBuf,
    /// How results are printed.
    pub(crate) format: Format,
}

impl Context {
    /// The configuration; with any error in it, all of them are said on stderr and the command is over.
    pub(crate) fn configuration(&self) -> anyhow::Result<Configuration> {
        crate::config::load(&self.dir, &environment).map_err(|errors| {
            for error in &errors.errors {
                output::complain(&format!("error: {error}"));
            }
            output::complain(&format!(
                "The configuration in {} was not accepted: {} above.",
                self.dir.display(),
                crate::view::words::count(errors.errors.len(), "error")
            ));
            Silent(USAGE).into()
        })
    }

    /// A configured fleet by its name.
    pub(crate) fn fleet<'a>(
        &self,
        configuration: &'a Configuration,
        name: &str,
    ) -> anyhow::Result<&'a FleetConfig> {
        configuration
            .fleets
            .get(&FleetName::new(name))
            .ok_or_else(|| self.no_such_fleet(configuration, name).into())
    }

    /// A fleet that is configured, or was once: its history outlives its file.
    pub(crate) async fn fleet_ever(
        &self,
        configuration: &Configuration,
        store: &dyn Store,
        name: &str,
    ) -> anyhow::Result<FleetName> {
        let wanted = FleetName::new(name);
        if configuration.fleets.contains_key(&wanted) || store.fleets().await?.contains(&wanted) {
            return Ok(wanted);
        }
        Err(self.no_such_fleet(configuration, name).into())
    }

    /// The same, of a name that may be left out: every fleet is meant then.
    pub(crate) async fn fleet_ever_if_named(
        &self,
        configuration: &Configuration,
        store: &dyn Store,
        name: Option<&str>,
    ) -> anyhow::Result<Option<FleetName>> {
        match name {
            Some(name) => self.fleet_ever(configuration, store, name).await.map(Some),
            None => Ok(None),
        }
    }

    fn no_such_fleet(&self, configuration: &Configuration, name: &str) -> Usage {
        let known: Vec<String> = configuration.fleets.keys().map(ToString::to_string).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Usage(format!("there is no fleet {name:?} in {}; configured: {known}", self.dir.display()))
    }
}

/// The process's environment, as the configuration reads it.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Who asks, for the audit trail: the person behind `sudo`, else the user, and the machine.
pub(crate) fn actor(given: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> String {
    if let Some(given) = given.map(str::trim).filter(|given| !given.is_empty()) {
        return given.to_owned();
    }
    let user = ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .filter_map(env)
        .find(|user| !user.is_empty())
        .or_else(account)
        .unwrap_or_else(|| "unknown".to_owned());
    format!("{user}@{}", hostname(env))
}

/// The name of the account that we run as: a service's shell has no USER.
fn account() -> Option<String> {
    let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

/// This machine's name.
pub(crate) fn hostname(env: &dyn Fn(&str) -> Option<String>) -> String {
    let from_kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let from_file = || std::fs::read_to_string("/etc/hostname").ok();
    env("HOSTNAME")
        .or_else(from_kernel)
        .or_else(from_file)
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_actor_is_the_person_behind_sudo() {
        let env = |name: &str| match name {
            "SUDO_USER" => Some("ada".to_owned()),
            "USER" => Some("root".to_owned()),
            "HOSTNAME" => Some("ops-1".to_owned()),
            _ => None,
        };
        assert_eq!(actor(None, &env), "ada@ops-1");
        assert_eq!(actor(Some("pager-bot"), &env), "pager-bot");
        assert_eq!(actor(Some("  "), &env), "ada@ops-1");
    }
}
