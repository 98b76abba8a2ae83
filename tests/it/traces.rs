//! Traces, from the real program to a collector that reads what the format's own definitions say.

mod collector;
mod sent;
mod unsent;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::cli::program::{Folder, Running, WEB, program, service_file};
use crate::cli::web::get_until;
use crate::support::TestDatabase;

/// For as long as a busy machine may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// What must not be in any log.
const SECRET: &str = "geheim-4711";

/// The program at work on a simulated fleet, and everything that it says.
struct Serving {
    running: Running,
    said: Arc<Mutex<String>>,
    address: SocketAddr,
    _folder: Folder,
    _database: TestDatabase,
}

impl Serving {
    /// Starts it with these variables, and waits until it is ready.
    async fn start(web: &str, variables: &[(&str, &str)]) -> Self {
        let database = TestDatabase::new().await;
        let folder = Folder::new(&service_file(database.url().reveal(), "127.0.0.1:0"), web);
        let mut command = program();
        command.args(["serve", "--log-format", "json", "--config"]).arg(folder.path());
        command.envs(variables.iter().copied());
        let mut running = Running::start(&mut command);
        let said = Arc::new(Mutex::new(String::new()));
        let (lines, heard) = (BufReader::new(running.0.stderr.take().unwrap()).lines(), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                heard.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let serving = tokio::task::spawn_blocking(move || {
            let listening = until("it listens", || said_once(&said, "listening"));
            let address = listening["address"].as_str().unwrap().parse().unwrap();
            get_until(address, "/readyz", 200);
            Self { running, said, address, _folder: folder, _database: database }
        });
        serving.await.unwrap()
    }

    /// The lines with this message.
    fn lines(&self, message: &str) -> Vec<serde_json::Value> {
        lines(&self.said, message)
    }

    /// Asks it to end; gives the code that it ended with.
    fn end(&mut self) -> Option<i32> {
        self.running.signal("TERM");
        self.running.wait().code()
    }
}

fn lines(said: &Mutex<String>, message: &str) -> Vec<serde_json::Value> {
    let said = said.lock().unwrap();
    let lines = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.filter(|line| line["message"] == message).collect()
}

fn said_once(said: &Mutex<String>, message: &str) -> Option<serde_json::Value> {
    lines(said, message).into_iter().next()
}

/// Waits for something that must come.
#[track_caller]
fn until<T>(what: &str, find: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
