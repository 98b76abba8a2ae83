//! A private Postgres, made from the installed binaries: a database for one machine that nobody had to set up.
//!
//! It listens on a Unix socket in a folder that only its own user can enter, and nowhere else, so there is no port to
//! clash and no password to lose. Its life is tied to ours by a pipe: a small shell process waits for the end of its
//! standard input, which comes when we close it or when we die in whatever way, and then stops the server. A lock on a
//! file, which the kernel drops with our life too, says whose server it is:
//!
//! - the lock is free, and a server runs: its owner and the shell were both killed. It is stopped, and started anew;
//! - the lock is held: another process of ours (the service, while this is a command line) owns a running server, which
//!   is used and left alone.

mod account;
mod installation;

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;
use url::form_urlencoded::byte_serialize;

use crate::config::service::SecretUrl;
use crate::store::embedded::account::Account;
use crate::store::embedded::installation::Installation;

/// Crash recovery after a power cut takes its time; nothing else does.
const START_TIMEOUT: Duration = Duration::from_mins(2);
const INITDB_TIMEOUT: Duration = Duration::from_mins(2);
/// A fast stop; after that the shell makes it an immediate one.
const STOP_SECONDS: u64 = 30;
const POLL: Duration = Duration::from_millis(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Of a server's log in an error message.
const LOG_TAIL: usize = 2_000;
/// The longest path of a Unix socket that every system takes, less the socket's own name.
const SOCKET_DIR_MAX: usize = 103 - "/.s.PGSQL.5432".len();

/// Starts the server, and stops it at the end of standard input. `$1` is the signal that stops it, `$2` the seconds
/// before it is stopped for good, `$3` a folder to remove afterwards (or empty), the rest the server's command.
const SUPERVISOR: &str = r#"
signal=$1; patience=$2; sweep=$3; shift 3
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
trap '' INT TERM HUP
(
    cat <&3 >/dev/null
    if [ -n "$sweep" ]; then : >"$sweep/.over"; fi
    kill -s "$signal" "$server"
    sleep "$patience"
    kill -s QUIT "$server"
) 2>/dev/null &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill -s KILL "$watcher" 2>/dev/null
if [ -n "$sweep" ] && [ -e "$sweep/.over" ]; then rm -rf "$sweep"; fi
exit "$status"
"#;

/// How much the data is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Everything: committed is on disk.
    Durable,
    /// Nothing: fast, not synced, and the folder is removed when its owner goes.
    Throwaway,
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Transactions are rolled back, everything is written.
    Fast,
    /// At once, as by a power cut; the next start recovers. The data stays, whatever its durability.
    Immediate,
}

/// A private Postgres, owned or shared.
#[derive(Debug)]
pub struct Embedded {
    socket_dir: PathBuf,
    owned: Option<Owned>,
}

/// What only the owner has.
#[derive(Debug)]
struct Owned {
    supervisor: Child,
    layout: Layout,
    installation: Installation,
    account: Account,
    durability: Durability,
    /// Held as long as the server is ours.
    _lock: File,
}

/// Why there is no private Postgres.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The binaries are not there, or not the right ones.
    #[error(
        "no PostgreSQL server {wanted} is installed (looked for initdb and postgres in {looked}): install it (on \
         Debian and Ubuntu: apt-get install postgresql), or give database.url the URL of a server"
    )]
    NotInstalled {
        /// The version that the data needs, or nothing.
        wanted: String,
        /// Where we looked.
        looked: String,
    },
    /// PostgreSQL refuses to run as root, and there is nobody else.
    #[error(
        "PostgreSQL refuses to run as root, and there is no user `postgres` to run it as: install PostgreSQL's package, \
         which makes that user, or run fleet-scaler as another user"
    )]
    NoAccount,
    /// The user of the server cannot get at the folder.
    #[error(
        "user `postgres`, as whom PostgreSQL must run because we are root, cannot enter {}: set database.data_dir to a \
         folder such as /var/lib/fleet-scaler", .0.display()
    )]
    Unreachable(PathBuf),
    /// A program of PostgreSQL's failed.
    #[error("{what} failed: {said}")]
    Failed {
        /// Which.
        what: &'static str,
        /// What it said.
        said: String,
    },
    /// A file or folder could not be used.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server runs and does not let us in.
    #[error("the private PostgreSQL does not answer: {0}")]
    Connect(#[from] sqlx::Error),
}

impl EmbeddedError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Where things are under the data folder.
#[derive(Clone, Debug)]
struct Layout {
    root: PathBuf,
    /// The server's own: its user owns it, and nobody else may enter.
    home: PathBuf,
    /// The cluster.
    cluster: PathBuf,
    log: PathBuf,
    pid_file: PathBuf,
}

impl Layout {
    fn under(root: PathBuf) -> Self {
        let home = root.join("postgres");
        let cluster = home.join("data");
        Self { log: home.join("server.log"), pid_file: cluster.join("postmaster.pid"), cluster, home, root }
    }

    /// Beside the cluster, unless the path is longer than a socket's may be.
    fn socket_dir(&self) -> Result<PathBuf, EmbeddedError> {
        if self.home.as_os_str().len() <= SOCKET_DIR_MAX {
            return Ok(self.home.clone());
        }
        Err(EmbeddedError::Failed {
            what: "making a Unix socket",
            said: format!(
                "{} is longer than the {SOCKET_DIR_MAX} characters that a socket's folder may have: choose a shorter \
                 database.data_dir",
                self.home.display()
            ),
        })
    }
}

impl Embedded {
    /// Starts a server on a data folder, which is made if it is not there; or joins the one that runs on it already.
    pub async fn start(data_dir: &Path, durability: Durability) -> Result<Self, EmbeddedError> {
        std::fs::create_dir_all(data_dir).map_err(EmbeddedError::io(data_dir))?;
        let root = data_dir.canonicalize().map_err(EmbeddedError::io(data_dir))?;
        let layout = Layout::under(root);
        let socket_dir = layout.socket_dir()?;
        let Some(lock) = own(&layout)? else {
            wait_ready(&layout, None).await?;
            return Ok(Self { socket_dir, owned: None });
        };
        let account = Account::for_server(&layout.root, &layout.home, durability).await?;
        let installation = Installation::find(&layout.cluster).await?;
        stop_orphan(&layout, &installation, &account).await?;
        initialize(&layout, &installation, &account, durability).await?;
        let mut supervisor = spawn(&layout, &installation, &account, durability)?;
        wait_ready(&layout, Some(&mut supervisor)).await?;
        let owned = Owned { supervisor, layout, installation, account, durability, _lock: lock };
        let started = Self { socket_dir, owned: Some(owned) };
        started.create_database().await?;
        Ok(started)
    }

    /// The scaler's own database, as its owner: a role that may create roles and is no superuser.
    #[must_use]
    pub fn url(&self) -> SecretUrl {
        self.url_of("fleet_scaler", "fleet_scaler")
    }

    /// The `postgres` database, as superuser: for tests, and for whoever mends things by hand.
    #[must_use]
    pub fn admin_url(&self) -> SecretUrl {
        self.url_of("postgres", "postgres")
    }

    /// A database as a role. Nobody is asked for a password: who can reach the socket is the server's user, or root.
    #[must_use]
    pub fn url_of(&self, role: &str, database: &str) -> SecretUrl {
        let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let host = encode(&self.socket_dir.to_string_lossy());
        SecretUrl::new(format!("postgres://{}@localhost/{}?host={host}", encode(role), encode(database)))
    }

    /// The folder of the socket, for `psql -h`.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// Stops the server, if it is ours. (Dropping does too, but nobody then knows when it is done.)
    pub async fn stop(self, how: Shutdown) -> Result<(), EmbeddedError> {
        let Some(mut owned) = self.owned else { return Ok(()) };
        match how {
            Shutdown::Fast => drop(owned.supervisor.stdin.take()),
            Shutdown::Immediate => {
                pg_ctl_stop(&owned.layout, &owned.installation, &owned.account, "immediate").await?;
            }
        }
        let deadline = Instant::now() + Duration::from_secs(STOP_SECONDS + 10);
        while owned.supervisor.try_wait().map_err(EmbeddedError::io(&owned.layout.home))?.is_none() {
            if Instant::now() > deadline {
                return Err(EmbeddedError::Failed {
                    what: "stopping PostgreSQL",
                    said: "it is still there".into(),
                });
            }
            tokio::time::sleep(POLL).await;
        }
        if how == Shutdown::Fast && owned.durability == Durability::Throwaway {
            // The shell has swept it; what is left is what the server's user may not remove.
            let _ = std::fs::remove_dir_all(&owned.layout.root);
        }
        Ok(())
    }

    async fn create_database(&self) -> Result<(), EmbeddedError> {
        let admin = self.admin_url();
        let work = async {
            let mut connection = PgConnection::connect(admin.reveal()).await?;
            let role = sqlx::query_scalar!(
                r#"SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleet_scaler') AS "exists!""#
            );
            if !role.fetch_one(&mut connection).await? {
                sqlx::raw_sql("CREATE ROLE fleet_scaler LOGIN CREATEROLE").execute(&mut connection).await?;
            }
            let database = sqlx::query_scalar!(
                r#"SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'fleet_scaler') AS "exists!""#
            );
            if !database.fetch_one(&mut connection).await? {
                sqlx::raw_sql("CREATE DATABASE fleet_scaler OWNER fleet_scaler")
                    .execute(&mut connection)
                    .await?;
            }
            connection.close().await
        };
        let timeout = || io::Error::from(io::ErrorKind::TimedOut);
        tokio::time::timeout(CONNECT_TIMEOUT, work).await.map_err(|_| sqlx::Error::Io(timeout()))??;
        Ok(())
    }
}

/// Takes the lock that says whose server it is; `None`: another process has it.
fn own(layout: &Layout) -> Result<Option<File>, EmbeddedError> {
    let path = layout.root.join("owner.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(EmbeddedError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(EmbeddedError::Io { path, source }),
    }
}

/// Stops a server that outlived its owner, and removes what a killed one left behind: its number may be another
/// process's by now, which PostgreSQL would take for the server.
async fn stop_orphan(
    layout: &Layout,
    installation: &Installation,
    account: &Account,
) -> Result<(), EmbeddedError> {
    let Ok(text) = std::fs::read_to_string(&layout.pid_file) else { return Ok(()) };
    let pid = text.lines().next().unwrap_or_default();
    if runs_here(pid, &layout.cluster) && pg_ctl_stop(layout, installation, account, "fast").await.is_err() {
        pg_ctl_stop(layout, installation, account, "immediate").await?;
    }
    match std::fs::remove_file(&layout.pid_file) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(EmbeddedError::Io { path: layout.pid_file.clone(), source }),
    }
}

/// Whether the process with this number is a server on this cluster: a server's working folder is its cluster. Where
/// there is no /proc to ask, the number is believed.
fn runs_here(pid: &str, cluster: &Path) -> bool {
    if pid.is_empty() || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    if !Path::new("/proc/self/cwd").exists() {
        return true;
    }
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == cluster)
}

async fn pg_ctl_stop(
    layout: &Layout,
    installation: &Installation,
    account: &Account,
    mode: &'static str,
) -> Result<(), EmbeddedError> {
    let mut command = account.command(&installation.program("pg_ctl"));
    command.arg("stop").arg("-D").arg(&layout.cluster).args([
        "-w",
        "-m",
        mode,
        "-t",
        &STOP_SECONDS.to_string(),
    ]);
    installation::output("pg_ctl stop", command, Duration::from_secs(STOP_SECONDS + 5)).await.map(drop)
}

/// Makes the cluster, if it is not there. It is made beside its place and moved there when it is whole.
async fn initialize(
    layout: &Layout,
    installation: &Installation,
    account: &Account,
    durability: Durability,
) -> Result<(), EmbeddedError> {
    if layout.cluster.join("PG_VERSION").exists() {
        return Ok(());
    }
    let unfinished = layout.home.join("data.unfinished");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(EmbeddedError::io(&unfinished))?;
    }
    let mut command = account.command(&installation.program("initdb"));
    command.arg("-D").arg(&unfinished).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]);
    command.arg(match durability {
        Durability::Durable => "--data-checksums",
        Durability::Throwaway => "--no-sync",
    });
    installation::output("initdb", command, INITDB_TIMEOUT).await?;
    std::fs::rename(&unfinished, &layout.cluster).map_err(EmbeddedError::io(&layout.cluster))
}

fn spawn(
    layout: &Layout,
    installation: &Installation,
    account: &Account,
    durability: Durability,
) -> Result<Child, EmbeddedError> {
    let earlier = layout.home.join("server.log.1");
    let _ = std::fs::rename(&layout.log, earlier);
    let log = File::create(&layout.log).map_err(EmbeddedError::io(&layout.log))?;
    let errors = log.try_clone().map_err(EmbeddedError::io(&layout.log))?;
    let (signal, sweep, settings): (_, &Path, &[&str]) = match durability {
        Durability::Durable => ("INT", Path::new(""), &["max_connections=100"]),
        // Commits still reach the kernel, so that an immediate stop loses none.
        Durability::Throwaway => {
            ("QUIT", &layout.root, &["max_connections=500", "fsync=off", "full_page_writes=off"])
        }
    };
    let mut command = account.command(Path::new("/bin/sh"));
    command.args(["-c", SUPERVISOR, "sh", signal, &STOP_SECONDS.to_string()]).arg(sweep);
    command.arg(installation.program("postgres")).arg("-D").arg(&layout.cluster);
    command.arg("-k").arg(&layout.home).args(["-p", "5432", "-c", "listen_addresses="]);
    command.args(["-c", "unix_socket_permissions=0700", "-c", "shared_buffers=64MB"]);
    for setting in settings {
        command.args(["-c", setting]);
    }
    // A group of its own: Ctrl-C in a terminal is for us, and the server goes when we have parked what is in flight.
    command.stdin(Stdio::piped()).stdout(log).stderr(errors).process_group(0);
    command.spawn().map_err(EmbeddedError::io(Path::new("/bin/sh")))
}

/// Waits until the server says in its file that it is ready; gives up when it has ended, or the time is over.
async fn wait_ready(layout: &Layout, mut supervisor: Option<&mut Child>) -> Result<(), EmbeddedError> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let file = std::fs::read_to_string(&layout.pid_file).unwrap_or_default();
        let mut lines = file.lines();
        let pid = lines.next().unwrap_or_default();
        if lines.nth(6).is_some_and(|status| status.trim() == "ready") && runs_here(pid, &layout.cluster) {
            return Ok(());
        }
        let ended = match supervisor.as_mut() {
            Some(supervisor) => supervisor.try_wait().map_err(EmbeddedError::io(&layout.home))?.is_some(),
            None => false,
        };
        if ended || Instant::now() > deadline {
            let log = std::fs::read_to_string(&layout.log).unwrap_or_default();
            let tail = log.char_indices().rev().nth(LOG_TAIL).map_or(0, |(start, _)| start);
            return Err(EmbeddedError::Failed {
                what: "starting PostgreSQL",
                said: log[tail..].trim().to_owned(),
            });
        }
        tokio::time::sleep(POLL).await;
    }
}
