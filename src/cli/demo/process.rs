//! The service beside us: this very program with `serve`, and the cloud over HTTP through AWS's own SDK.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::process::{Child, Command};

use crate::cli::demo::stage::Stage;

/// The service stops well within this.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of the service's log, where it ended by itself.
const LAST_LINES: usize = 12;

/// The service's process.
pub(super) struct Service {
    child: Child,
    log: std::path::PathBuf,
}

impl Service {
    /// How it reaches the cloud.
    pub(super) const DOOR: &'static str =
        "beside this one and talks to the cloud over HTTP, through AWS's own SDK";

    /// Starts it. Nothing of our own environment may lead it to a real account or another database.
    pub(super) async fn start(stage: &Stage) -> anyhow::Result<Self> {
        let log = stage.log();
        let to_log = tokio::fs::File::create(&log).await?.into_std().await;
        let program = std::env::current_exe().context("where this program is cannot be found out")?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(&stage.config);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("AWS_") || name.starts_with("FLEET_SCALER_") || name == "DATABASE_URL" {
                command.env_remove(name);
            }
        }
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", "demo"),
            ("AWS_SECRET_ACCESS_KEY", "demo"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ] {
            command.env(name, value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(to_log);
        // Ctrl-C at our terminal is for us; we tell the service ourselves. And it does not outlive us.
        command.process_group(0).kill_on_drop(true);
        let child = command.spawn().context("the service could not be started")?;
        Ok(Self { child, log })
    }

    /// Waits for an end that nobody asked for.
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        let status = self.child.wait().await;
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(LAST_LINES).collect();
        let last = lines.into_iter().rev().collect::<Vec<_>>().join("\n");
        match status {
            Ok(status) => anyhow!("the service ended by itself ({status}); its log says at last:\n{last}"),
            Err(error) => anyhow!("the service's process is lost: {error}"),
        }
    }

    /// Stops it, as a supervisor would.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let Some(id) = self.child.id() else { return Ok(()) };
        let told = Command::new("kill").args(["-s", "TERM", &id.to_string()]).status().await;
        told.context("`kill` could not be run")?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status =
            ended.with_context(|| format!("the service did not stop within {} s", PATIENCE.as_secs()))??;
        if !status.success() {
            bail!("the service did not stop as it should: {status}");
        }
        Ok(())
    }
}
