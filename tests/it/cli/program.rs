//! Runs the program with a clean environment and a time limit.

use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// No command of these tests takes longer on any machine that is alive.
const LIMIT: Duration = Duration::from_mins(1);

/// What a run of the program left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The same, having ended with this code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Its stdout as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", self.stdout))
    }
}

/// The program, with none of this process's settings.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleet-scaler"));
    for name in ["FLEET_SCALER_CONFIG", "FLEET_SCALER_REPLICA", "FLEET_SCALER_LOG_FORMAT", "DATABASE_URL"] {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("OTEL_")) {
            command.env_remove(name);
        }
    }
    // `CI` counts as a wish for colours, so what is tested would depend on where.
    for name in
        ["NO_COLOR", "RUST_LOG", "CI", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "SUDO_USER", "LOGNAME"]
    {
        command.env_remove(name);
    }
    command.env("USER", "ada").env("HOSTNAME", "ops-1").stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut running = Running(child);
    let mut stdout = running.0.stdout.take().unwrap();
    let mut stderr = running.0.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    let status = running.wait();
    Ran { code: status.code().unwrap_or(-1), stdout: text, stderr: errors.join().unwrap() }
}

/// Runs it with these arguments.
pub(crate) fn call(arguments: &[&str]) -> Ran {
    run(program().args(arguments))
}

/// A program that runs until it is told to stop; it does not outlive its test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Starts one; its stderr goes line by line to `log` until it ends.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Reads stderr until a line contains `text`, gives that line back, and keeps draining the rest.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) -> String {
        let mut reader = BufReader::new(self.0.stderr.take().expect("stderr is read once"));
        let line = until(&mut reader, text);
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        line
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.0.id().to_string()])
            .status()
            .expect("kill is there");
        assert!(status.success());
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < LIMIT, "it did not end within {LIMIT:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads lines until one contains the text; gives that one.
#[track_caller]
pub(crate) fn until(reader: &mut impl BufRead, text: &str) -> String {
    let mut heard = String::new();
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "it ended without {text:?}:\n{heard}");
        if line.contains(text) {
            return line;
        }
        heard.push_str(&line);
    }
}

/// A configuration's folder with one fleet, `web`, on the simulated cloud.
pub(crate) struct Folder {
    dir: tempfile::TempDir,
}

/// A service's file that is right, for this database.
pub(crate) fn service_file(database: &str, listen: &str) -> String {
    format!(
        "[database]\nurl = \"{database}\"\n\n[http]\nlisten = \"{listen}\"\n\n[service]\nowner = \"prod-1\"\n\
         shutdown_grace = \"5s\"\n\n[provider.simulated]\nseed = 1\n"
    )
}

/// A fleet's file that is right.
pub(crate) const WEB: &str = r#"name = "web"
mode = "live"
interval = "1s"

[size]
min = 2
max = 6

[launch]
launch_template_id = "lt-demo"
launch_template_version = "1"
subnets = ["subnet-a", "subnet-b", "subnet-c"]

[balancer]
target_groups = []

[metrics.host]
allow_loopback = true

[[rule]]
name = "hot"
when = "cpu.avg > 0.75"
sustained = "2 of 3"
action = { add = 1 }
"#;

impl Folder {
    /// With these two files.
    pub(crate) fn new(service: &str, web: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("fleets")).unwrap();
        std::fs::write(dir.path().join("fleet-scaler.toml"), service).unwrap();
        std::fs::write(dir.path().join("fleets/web.toml"), web).unwrap();
        Self { dir }
    }

    /// A right one, for a database that is not there.
    pub(crate) fn without_database() -> Self {
        Self::new(&service_file("postgres://nobody:geheim@127.0.0.1:1/none", "127.0.0.1:0"), WEB)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path in it.
    pub(crate) fn join(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Runs a command with this folder.
    pub(crate) fn call(&self, arguments: &[&str]) -> Ran {
        run(program().args(arguments).arg("--config").arg(self.path()))
    }
}
