//! What needs neither a database nor a cloud.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::process::Stdio;

use serde_json::json;

use super::program::{Folder, Running, WEB, call, program, run, service_file};

const COMMANDS: [&str; 19] = [
    "serve",
    "migrate",
    "check",
    "plan",
    "status",
    "history",
    "actions",
    "hosts",
    "pause",
    "resume",
    "set-size",
    "drain",
    "backtest",
    "verify-audit",
    "cloud",
    "demo",
    "schema",
    "completions",
    "man",
];

#[test]
fn every_command_explains_itself() {
    for command in COMMANDS {
        call(&[command, "--help"]).ended(0);
    }
    let mut pages = call(&["-h"]).ended(0).stdout;
    for command in COMMANDS {
        assert!(pages.contains(&format!("\n  {command}")), "{command} is not listed");
    }
    for command in COMMANDS {
        let page = call(&[command, "-h"]).ended(0).stdout;
        write!(pages, "\n=== {command} ===\n\n{page}").unwrap();
    }
    insta::with_settings!({ snapshot_path => "../../golden/cli", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("help", pages);
    });
}

#[test]
fn a_wrong_command_line_is_exit_code_2_and_speaks_on_stderr() {
    for line in [
        vec!["explode"],
        vec![],
        vec!["pause", "web"],
        vec!["pause", "web", "--reason", "  "],
        vec!["pause", "web", "--reason", "x", "--for", "soon"],
        vec!["set-size", "web", "many", "--reason", "x"],
        vec!["history", "--action", "explode"],
        vec!["history", "--since", "yesterday"],
        vec!["history", "--limit", "0"],
        vec!["actions", "--since", "yesterday"],
        vec!["actions", "--limit", "0"],
        vec!["status", "--output", "yaml"],
        vec!["status", "--color", "sometimes"],
        vec!["status", "--watch", "--interval", "500ms"],
        vec!["status", "--interval", "5s"],
        vec!["history", "--decision", "latest"],
        vec!["history", "--decision", "019363f4-0c3a-7d31-9e4e-5a2d8f1b6c70", "--limit", "3"],
        vec!["man", "explode"],
    ] {
        let ran = call(&line).ended(2);
        assert!(ran.stdout.is_empty(), "{line:?} wrote to stdout: {}", ran.stdout);
        assert!(!ran.stderr.is_empty(), "{line:?} said nothing");
        assert!(!ran.stderr.contains('\u{1b}'), "{line:?} is coloured though nobody sees it");
    }
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(
        call(&["--version"]).ended(0).stdout.trim(),
        concat!("fleet-scaler ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn check_accepts_a_right_folder_and_says_what_it_saw() {
    let folder = Folder::without_database();
    let ran = folder.call(&["check"]).ended(0);
    assert!(ran.stdout.contains("valid"), "{}", ran.stdout);
    assert!(ran.stdout.contains("web: live, 2 to 6 hosts in 3 subnets"), "{}", ran.stdout);
    let json = folder.call(&["check", "--output", "json"]).ended(0).json();
    assert_eq!(json["ok"], true);
    assert_eq!(json["fleets"][0]["fleet"], "web");
    assert_eq!(json["service"]["database"], "postgres");
}

#[test]
fn check_tells_when_schedules_start_and_where_they_contradict_each_other() {
    let schedules = r#"
[[schedule]]
name = "day"
start = "0 8 * * *"
end = "0 19 * * *"
timezone = "Europe/Berlin"
size = { min = 5 }

[[schedule]]
name = "lunch"
start = "0 12 * * *"
end = "0 13 * * *"
timezone = "Europe/Berlin"
size = { max = 3 }
"#;
    let service = service_file("postgres://nobody@127.0.0.1:1/none", "127.0.0.1:0");
    let folder = Folder::new(&service, &format!("{WEB}{schedules}"));
    let page = folder.call(&["check"]).ended(0).stdout;
    assert!(page.contains("schedule day: min 5, "), "{page}");
    assert!(
        page.contains("schedule day's min = 5 is above schedule lunch's max = 3: the floor wins"),
        "{page}"
    );
    let json = folder.call(&["check", "--output", "json"]).ended(0).json();
    let [day, lunch] = json["fleets"][0]["schedules"].as_array().unwrap().as_slice() else {
        panic!("two schedules: {json}")
    };
    assert_eq!((&day["min"], &lunch["max"], &lunch["min"]), (&json!(5), &json!(3), &json!(null)));
    let starts = day["starts"].as_array().unwrap();
    assert_eq!(starts.len(), 3, "{json}");
    assert!(starts.iter().all(|start| start.as_str().unwrap().ends_with(" 08:00")), "{json}");
    // Neither size is one that this fleet could ever have.
    for size in ["7", "1"] {
        folder.call(&["set-size", "web", size, "--reason", "match day"]).ended(3);
    }
}

#[test]
fn the_example_policies_are_valid() {
    let page = call(&["check", "--config", "config/examples"]).ended(0).stdout;
    for fleet in ["look-again", "office-hours", "quiet-scale-in", "together", "weighted-score"] {
        assert!(page.contains(&format!("{fleet}: live, 2 to 12 hosts")), "{page}");
    }
    assert!(page.contains("schedule sale: min 8 and max 40, ") && !page.contains("warning"), "{page}");
}

#[test]
fn check_names_every_error_of_every_file() {
    let folder = Folder::new(
        &service_file("postgres://nobody@127.0.0.1:1/none", "127.0.0.1:0").replace("owner", "ownr"),
        &WEB.replace("min = 2", "min = 9"),
    );
    let ran = folder.call(&["check"]).ended(2);
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    assert!(ran.stderr.contains("fleet-scaler.toml:"), "{}", ran.stderr);
    assert!(ran.stderr.contains("web.toml:"), "{}", ran.stderr);
    let json = folder.call(&["check", "--output", "json"]).ended(2).json();
    assert_eq!(json["ok"], false);
    let errors = json["errors"].as_array().unwrap();
    assert!(errors.len() >= 2, "{errors:?}");
    for error in errors {
        for key in ["file", "line", "column", "key", "message"] {
            assert!(!error[key].is_null(), "{error} has no {key}");
        }
    }
}

#[test]
fn every_command_refuses_a_broken_folder_with_code_2() {
    let folder = Folder::new("[database]\n", WEB);
    for line in [
        vec!["status"],
        vec!["history"],
        vec!["actions"],
        vec!["hosts", "web"],
        vec!["plan", "web"],
        vec!["serve"],
        vec!["migrate"],
        vec!["resume", "web"],
        vec!["drain", "i-0", "--reason", "x"],
    ] {
        let ran = folder.call(&line).ended(2);
        assert!(ran.stderr.contains("fleet-scaler.toml"), "{line:?}: {}", ran.stderr);
    }
}

#[test]
fn the_folder_comes_from_the_environment_too() {
    let folder = Folder::without_database();
    run(program().arg("check").env("FLEET_SCALER_CONFIG", folder.path())).ended(0);
    run(program().args(["--config"]).arg(folder.path()).arg("check")).ended(0);
    let ran = run(program().args(["check", "--config", "/no/such/folder"])).ended(2);
    assert!(ran.stderr.contains("/no/such/folder"), "{}", ran.stderr);
}

#[test]
fn an_unknown_fleet_is_exit_code_2_and_lists_the_known_ones() {
    let folder = Folder::without_database();
    for line in [
        vec!["plan", "wbe"],
        vec!["pause", "wbe", "--reason", "x"],
        vec!["resume", "wbe"],
        vec!["set-size", "wbe", "3", "--reason", "x"],
    ] {
        let ran = folder.call(&line).ended(2);
        assert!(ran.stderr.contains("\"wbe\"") && ran.stderr.contains("web"), "{line:?}: {}", ran.stderr);
    }
}

#[test]
fn a_size_outside_the_bounds_is_refused_before_anything_is_asked() {
    let folder = Folder::without_database();
    for (size, bound) in [("7", "above max = 6"), ("1", "below min = 2")] {
        let ran = folder.call(&["set-size", "web", size, "--reason", "match day"]).ended(3);
        assert!(ran.stderr.contains(bound) && ran.stderr.contains("2 to 6"), "{}", ran.stderr);
    }
}

#[test]
fn a_database_that_is_away_is_exit_code_1_and_keeps_its_password() {
    let folder = Folder::without_database();
    for line in [vec!["status"], vec!["migrate"], vec!["pause", "web", "--reason", "x"]] {
        let ran = folder.call(&line).ended(1);
        assert!(ran.stderr.contains("database"), "{line:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("geheim"), "{line:?} shows the password: {}", ran.stderr);
    }
}

#[test]
fn schemas_are_json_schemas() {
    let both = call(&["schema"]).ended(0).json();
    for (name, key) in [("service", "database"), ("fleet", "size")] {
        let alone = call(&["schema", name]).ended(0).json();
        assert_eq!(both[name], alone);
        assert!(alone["properties"][key].is_object(), "{name} does not describe {key}: {alone}");
    }
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = call(&["completions", shell]).ended(0).stdout;
        for command in COMMANDS {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
    }
}

/// The names below which a page lies in the folder.
fn pages_in(dir: &std::path::Path) -> BTreeSet<String> {
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    files.collect()
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("share/man/man1");
    let said = call(&["man", "--dir", dir.to_str().unwrap()]).ended(0).stdout;
    let pages = pages_in(&dir);
    assert!(said.starts_with(&format!("{} pages in", pages.len())), "{said}");
    for command in COMMANDS {
        let name = format!("fleet-scaler-{command}.1");
        assert!(pages.contains(&name), "{name} is not among {pages:?}");
        let page = std::fs::read_to_string(dir.join(&name)).unwrap();
        assert!(page.contains(".SH SYNOPSIS") && page.contains("\\-\\-config"), "{name}:\n{page}");
        assert_eq!(call(&["man", command]).ended(0).stdout, page, "the same page, on stdout");
    }
    for name in ["fleet-scaler.1", "fleet-scaler-token-new.1"] {
        assert!(pages.contains(name), "{name} is not among {pages:?}");
    }
    let program = call(&["man"]).ended(0).stdout;
    assert!(
        program.contains("Exit codes: 0 done") && program.contains("fleet\\-scaler\\-status(1)"),
        "{program}"
    );
    assert_groff_has_no_complaint(&dir, &pages);
}

/// groff, which is behind `man` on every Linux, finds nothing to warn of.
fn assert_groff_has_no_complaint(dir: &std::path::Path, pages: &BTreeSet<String>) {
    let mut groff = std::process::Command::new("groff");
    groff.args(["-man", "-Tutf8", "-ww", "-z", "-rF0"]).args(pages.iter().map(|page| dir.join(page)));
    match groff.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: groff is not installed, so nobody has read the manual pages (Debian: groff)");
        }
        ran => {
            let ran = ran.unwrap();
            let complaints = String::from_utf8_lossy(&ran.stderr);
            assert!(ran.status.success() && complaints.is_empty(), "{complaints}");
        }
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut running = Running(
        program()
            .args(["completions", "bash"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    drop(running.0.stdout.take());
    let mut errors = String::new();
    running.0.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(running.wait().code(), Some(0), "{errors}");
    assert_eq!(errors, "");
}
