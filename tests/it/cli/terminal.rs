//! What an operator sees: colours where there is a terminal, tables that fit, and a page that keeps itself up to date.
//!
//! The terminal is a real one, a pseudo-terminal of `script` (util-linux), which every Debian has.

use std::collections::BTreeSet;
use std::io::{BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use super::database::Fleet;
use super::program::{Folder, Ran, Running, WEB, program, run, service_file, until};
use crate::support::{TestCluster, TestDatabase};

const ESCAPE: char = '\u{1b}';

/// The program in a terminal of this width.
fn in_terminal(folder: &Folder, columns: u32, line: &str, environment: &[(&str, &str)]) -> Command {
    let program = env!("CARGO_BIN_EXE_fleet-scaler");
    let config = folder.path().display();
    let script = format!("stty cols {columns} rows 24; exec {program} {line} --config {config}");
    let mut command = clean(Command::new("script"));
    command.args(["-qec", &script, "/dev/null"]).env("TERM", "xterm").envs(environment.iter().copied());
    command.stdin(Stdio::piped());
    command
}

/// With the settings of nobody who runs the tests.
fn clean(mut command: Command) -> Command {
    for (name, _) in program().get_envs() {
        command.env_remove(name);
    }
    command
}

fn look(folder: &Folder, columns: u32, line: &str, environment: &[(&str, &str)]) -> Ran {
    run(&mut in_terminal(folder, columns, line, environment))
}

async fn never_served() -> (TestDatabase, Folder) {
    let database = TestDatabase::new().await;
    let folder = Folder::new(&service_file(database.url().reveal(), "127.0.0.1:0"), WEB);
    (database, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_terminals_and_for_those_who_want_them() {
    let (_database, folder) = never_served().await;
    let coloured = |ran: Ran| ran.ended(0).stdout.contains(ESCAPE);
    assert!(coloured(look(&folder, 100, "status", &[])), "a terminal");
    assert!(!coloured(look(&folder, 100, "status", &[("NO_COLOR", "1")])), "NO_COLOR");
    assert!(!coloured(look(&folder, 100, "status --color never", &[])), "--color never");
    assert!(coloured(look(&folder, 100, "status --color always", &[("NO_COLOR", "1")])), "asked for by hand");
    assert!(!coloured(look(&folder, 100, "status", &[("TERM", "dumb")])), "a terminal without colours");
    assert!(!coloured(folder.call(&["status"])), "a pipe");
    assert!(coloured(folder.call(&["status", "--color", "always"])), "a pipe, by hand");
    let forced = run(program().args(["status", "--config"]).arg(folder.path()).env("CLICOLOR_FORCE", "1"));
    assert!(coloured(forced), "CLICOLOR_FORCE");
    let json = folder.call(&["status", "--output", "json", "--color", "always"]).ended(0);
    assert!(!json.stdout.contains(ESCAPE) && json.json().is_array(), "{}", json.stdout);
}

/// The words of a page that are the same a moment later: those without numbers, hosts and zones.
fn words(page: &str) -> BTreeSet<String> {
    let lasting = |word: &&str| {
        !word.contains(|c: char| c.is_ascii_digit()) || word.starts_with("i-") || word.starts_with("eu-west-")
    };
    let page = page.lines().filter(|line| !line.trim_start().starts_with("(no room for "));
    page.flat_map(str::split_whitespace).filter(lasting).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_fits_the_terminal_and_breaks_no_word() {
    let fleet = Fleet::start().await;
    let lines = [
        "status",
        "status web",
        "history",
        "history web",
        "hosts web",
        "history web --verbose --action repair",
    ];
    for line in lines {
        let arguments: Vec<&str> = line.split(' ').collect();
        let mut whole = words(&fleet.call(&arguments).ended(0).stdout);
        for columns in [80, 60] {
            let page = look(&fleet.folder, columns, line, &[("NO_COLOR", "1")]).ended(0).stdout;
            let edge = page.lines().map(|line| line.trim_end().chars().count()).max().unwrap_or(0);
            assert!(edge <= columns as usize, "{line} at {columns} is {edge} wide:\n{page}");
            // The fleet lives: what was decided meanwhile is in a later look.
            whole.extend(words(&fleet.call(&arguments).ended(0).stdout));
            let broken: Vec<_> = words(&page).into_iter().filter(|word| !whole.contains(word)).collect();
            assert!(broken.is_empty(), "{line} at {columns} has {broken:?}:\n{page}");
        }
    }
    let said =
        run(program().args(["hosts", "web", "--config"]).arg(fleet.folder.path()).env("COLUMNS", "60"));
    assert!(said.ended(0).stdout.contains("(no room for TYPE, ADDRESS"), "COLUMNS is heard in a pipe too");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_stand_below_each_other_and_json_knows_no_width() {
    let fleet = Fleet::start().await;
    let history = fleet.call(&["history", "web"]).ended(0).stdout;
    let (header, rows) = history.split_once('\n').unwrap();
    let end = header.find("TIMES").unwrap() + "TIMES".len();
    for row in rows.lines() {
        let cell: String =
            row.chars().take(end).collect::<String>().split("  ").last().unwrap_or("").to_owned();
        assert!(cell.trim().parse::<u32>().is_ok(), "{cell:?} in:\n{history}");
    }
    let keys = |folder: &Folder, columns: &str| {
        let mut command = program();
        command
            .args(["hosts", "web", "--output", "json", "--config"])
            .arg(folder.path())
            .env("COLUMNS", columns);
        let hosts = run(&mut command).ended(0).json();
        hosts[0].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(keys(&fleet.folder, "40"), keys(&fleet.folder, "200"));
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_wrote_cannot_control_the_terminal() {
    let (_database, folder) = never_served().await;
    folder.call(&["pause", "web", "--reason", "deploy \u{1b}]0;gotcha\u{7}\u{1b}[2J of v7"]).ended(0);
    let page = look(&folder, 100, "status web", &[]).ended(0).stdout;
    assert!(page.contains("deploy") && page.contains("of v7"), "{page}");
    assert!(!page.contains("\u{1b}]") && !page.contains("\u{1b}[2J") && !page.contains('\u{7}'), "{page:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_waits_out_an_outage_and_ends_on_an_interrupt() {
    let mut cluster = TestCluster::dedicated().await;
    let database = cluster.database().await;
    let folder = Folder::new(&service_file(database.url().reveal(), "127.0.0.1:0"), WEB);
    let mut command = program();
    command.args(["status", "web", "--watch", "--interval", "1s", "--config"]).arg(folder.path());
    let mut running = Running::start(&mut command);
    let mut stdout = BufReader::new(running.0.stdout.take().unwrap());
    until(&mut stdout, "nobody has held this fleet yet");
    until(&mut stdout, "nobody has held this fleet yet");
    cluster.stop_immediate().await;
    until(&mut stdout, "(1 look): ");
    until(&mut stdout, "(2 looks): ");
    cluster.start().await;
    until(&mut stdout, "nobody has held this fleet yet");
    running.signal("INT");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(running.wait().code(), Some(0));
    assert!(!rest.contains(ESCAPE), "{rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_redraws_the_terminal_until_control_c() {
    let (_database, folder) = never_served().await;
    for line in
        ["status --watch --interval 1s", "hosts web --watch --interval 1s", "history --watch --interval 1s"]
    {
        let mut running = Running::start(&mut in_terminal(&folder, 80, line, &[]));
        let mut stdout = BufReader::new(running.0.stdout.take().unwrap());
        let home = "\u{1b}[H";
        until(&mut stdout, home);
        until(&mut stdout, home);
        running.0.stdin.take().unwrap().write_all(b"\x03").unwrap();
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(running.wait().code(), Some(0), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_in_json_is_one_document_after_another() {
    let (_database, folder) = never_served().await;
    let mut command = program();
    command
        .args(["status", "--watch", "--interval", "1s", "--output", "json", "--config"])
        .arg(folder.path());
    let mut running = Running::start(&mut command);
    let documents = BufReader::new(running.0.stdout.take().unwrap());
    let mut documents = serde_json::Deserializer::from_reader(documents).into_iter::<serde_json::Value>();
    for _ in 0..2 {
        assert_eq!(documents.next().unwrap().unwrap()[0]["fleet"], "web");
    }
    running.signal("TERM");
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn a_watch_of_nothing_fails_at_once() {
    let folder = Folder::without_database();
    let ran = folder.call(&["status", "--watch"]).ended(1);
    assert!(ran.stderr.contains("database"), "{}", ran.stderr);
    let ran = folder.call(&["hosts", "--watch"]).ended(2);
    assert!(ran.stderr.contains("<FLEET>"), "{}", ran.stderr);
}
