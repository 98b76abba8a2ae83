//! As whom the server runs. PostgreSQL refuses to be root; where we are, it runs as the user that its package makes.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::store::embedded::installation::output;
use crate::store::embedded::{Durability, EmbeddedError};

const ASK_TIMEOUT: Duration = Duration::from_secs(10);
const USER: &str = "postgres";

/// A way of running programs.
#[derive(Clone, Debug)]
pub(super) enum Account {
    /// We are an ordinary user: as ourselves.
    Ourselves,
    /// We are root: as this user and group.
    Other {
        /// The user's number.
        user: u32,
        /// The group's number.
        group: u32,
    },
    /// As that user, with leave to enter any folder: the data folder lies below one that only root may enter (as root's
    /// home). The server takes nothing from anywhere but the socket, which root alone can reach.
    OtherEnteringAnywhere,
}

impl Account {
    /// Finds the account, and makes the server's folder, which nobody else may enter. A throwaway's root goes to the
    /// server's user too, who then can remove all of it.
    pub(super) async fn for_server(
        root: &Path,
        home: &Path,
        durability: Durability,
    ) -> Result<Self, EmbeddedError> {
        let account = Self::find().await?;
        if !home.exists() {
            DirBuilder::new().mode(0o700).create(home).map_err(EmbeddedError::io(home))?;
        }
        std::fs::set_permissions(home, Permissions::from_mode(0o700)).map_err(EmbeddedError::io(home))?;
        let Self::Other { user, group } = account else { return Ok(account) };
        chown(home, Some(user), Some(group)).map_err(EmbeddedError::io(home))?;
        if durability == Durability::Throwaway {
            chown(root, Some(user), Some(group)).map_err(EmbeddedError::io(root))?;
        }
        for account in [account, Self::OtherEnteringAnywhere] {
            if account.can_write(home).await {
                return Ok(account);
            }
        }
        Err(EmbeddedError::Unreachable(home.to_owned()))
    }

    async fn find() -> Result<Self, EmbeddedError> {
        if id(&["-u"]).await? != 0 {
            return Ok(Self::Ourselves);
        }
        match (id(&["-u", USER]).await, id(&["-g", USER]).await) {
            (Ok(user), Ok(group)) => Ok(Self::Other { user, group }),
            _ => Err(EmbeddedError::NoAccount),
        }
    }

    async fn can_write(&self, folder: &Path) -> bool {
        let mut command = self.command(Path::new("/bin/sh"));
        command.args(["-c", "test -x \"$1\" && test -w \"$1\"", "sh"]).arg(folder);
        output("looking at the data folder", command, ASK_TIMEOUT).await.is_ok()
    }

    /// A program under this account, with nothing of our environment: `PG…` variables would change what it does.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = match self {
            Self::Ourselves => Command::new(program),
            Self::Other { user, group } => {
                let mut command = Command::new(program);
                command.uid(*user).gid(*group);
                command
            }
            Self::OtherEnteringAnywhere => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", USER, "--regid", USER, "--init-groups"]);
                command.args(["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"]).arg(program);
                command
            }
        };
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        command.env_clear().env("PATH", path).env("LC_ALL", "C").current_dir("/");
        command
    }
}

async fn id(arguments: &[&str]) -> Result<u32, EmbeddedError> {
    let mut command = Command::new("id");
    command.args(arguments);
    let text = output("id", command, ASK_TIMEOUT).await?;
    let unreadable = |_| EmbeddedError::Failed { what: "id", said: format!("it said {text:?}") };
    text.trim().parse().map_err(unreadable)
}
