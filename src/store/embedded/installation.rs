//! Where PostgreSQL's programs are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::store::embedded::EmbeddedError;

const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// Where Debian and its kin put each major version's programs.
const DEBIAN: &str = "/usr/lib/postgresql";

/// One installed PostgreSQL.
#[derive(Clone, Debug)]
pub(super) struct Installation {
    folder: PathBuf,
}

impl Installation {
    /// The installation to run a cluster with: of the cluster's own major version, if the cluster is there already.
    pub(super) async fn find(cluster: &Path) -> Result<Self, EmbeddedError> {
        let wanted =
            std::fs::read_to_string(cluster.join("PG_VERSION")).ok().map(|text| text.trim().to_owned());
        let folders = folders().await;
        for folder in &folders {
            let found = Self { folder: folder.clone() };
            if !found.program("initdb").is_file() || !found.program("postgres").is_file() {
                continue;
            }
            match &wanted {
                None => return Ok(found),
                Some(wanted) if found.major().await.as_ref() == Some(wanted) => return Ok(found),
                Some(_) => {}
            }
        }
        let looked: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        Err(EmbeddedError::NotInstalled { wanted: wanted.unwrap_or_default(), looked: looked.join(", ") })
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// `postgres (PostgreSQL) 15.18 (Debian …)`: 15.
    async fn major(&self) -> Option<String> {
        let mut command = Command::new(self.program("postgres"));
        command.arg("--version");
        let text = output("postgres --version", command, ASK_TIMEOUT).await.ok()?;
        let version = text.split_whitespace().nth(2)?;
        version.split('.').next().map(str::to_owned)
    }
}

/// Folders to look in, the likeliest first.
async fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut command = Command::new("pg_config");
    command.arg("--bindir");
    if let Ok(text) = output("pg_config", command, ASK_TIMEOUT).await {
        folders.push(PathBuf::from(text.trim()));
    }
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut majors: Vec<u32> =
        versions.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    majors.sort_unstable_by(|a, b| b.cmp(a));
    folders.extend(majors.iter().map(|major| Path::new(DEBIAN).join(major.to_string()).join("bin")));
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders
}

/// Runs a program to its end, or kills it at its deadline; gives what it wrote.
pub(super) async fn output(
    what: &'static str,
    command: Command,
    deadline: Duration,
) -> Result<String, EmbeddedError> {
    let failed = |said: String| EmbeddedError::Failed { what, said };
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(deadline, command.output())
        .await
        .map_err(|_| failed(format!("no end within {} s", deadline.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failed(format!("{} ({})", String::from_utf8_lossy(&output.stderr).trim(), output.status)))
    }
}
