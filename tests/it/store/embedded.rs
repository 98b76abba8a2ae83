//! The private Postgres: it keeps its data, and its life is tied to its owner's.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fleet_scaler::store::Store as _;
use fleet_scaler::store::embedded::{Durability, Embedded, EmbeddedError, Shutdown};
use fleet_scaler::store::postgres::PostgresStore;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("fs_embedded").permissions(open_to_all()).tempdir().unwrap()
}

fn open_to_all() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

async fn fleets(server: &Embedded) -> usize {
    let store = PostgresStore::connect(&server.url(), 2).unwrap();
    let fleets = store.fleets().await.unwrap().len();
    store.close().await;
    fleets
}

#[tokio::test]
async fn it_keeps_its_data_over_a_stop_and_a_start() {
    let folder = folder();
    let data = folder.path().join("data");
    let server = Embedded::start(&data, Durability::Durable).await.unwrap();
    PostgresStore::migrate(&server.url()).await.unwrap();
    super::fixture::take(&PostgresStore::connect(&server.url(), 1).unwrap(), "web", "a").await;
    let url = server.url();
    server.stop(Shutdown::Fast).await.unwrap();
    for how in [Shutdown::Immediate, Shutdown::Fast] {
        let server = Embedded::start(&data, Durability::Durable).await.unwrap();
        assert_eq!(server.url(), url, "its address stays");
        assert_eq!(fleets(&server).await, 1);
        server.stop(how).await.unwrap();
    }
}

#[tokio::test]
async fn a_second_process_joins_the_server_and_leaves_it_running() {
    let folder = folder();
    let owner = Embedded::start(folder.path(), Durability::Durable).await.unwrap();
    PostgresStore::migrate(&owner.url()).await.unwrap();
    let guest = Embedded::start(folder.path(), Durability::Durable).await.unwrap();
    assert_eq!(guest.url(), owner.url());
    assert_eq!(fleets(&guest).await, 0);
    guest.stop(Shutdown::Fast).await.unwrap();
    assert_eq!(fleets(&owner).await, 0);
    owner.stop(Shutdown::Fast).await.unwrap();
}

#[tokio::test]
async fn a_throwaway_takes_its_folder_with_it() {
    let folder = folder();
    let data = folder.path().join("data");
    let server = Embedded::start(&data, Durability::Throwaway).await.unwrap();
    assert!(data.join("postgres/data/PG_VERSION").exists());
    server.stop(Shutdown::Fast).await.unwrap();
    assert!(!data.exists());
}

#[tokio::test]
async fn it_runs_below_a_folder_that_only_its_owner_may_enter() {
    let folder = folder();
    let private = folder.path().join("home");
    DirBuilder::new().mode(0o700).create(&private).unwrap();
    let server = Embedded::start(&private.join("data"), Durability::Durable).await.unwrap();
    PostgresStore::migrate(&server.url()).await.unwrap();
    assert_eq!(fleets(&server).await, 0);
    server.stop(Shutdown::Fast).await.unwrap();
}

#[tokio::test]
async fn a_folder_with_too_long_a_name_is_refused_with_what_would_be_right() {
    let folder = folder();
    let error = Embedded::start(&folder.path().join("x".repeat(100)), Durability::Durable).await.unwrap_err();
    assert!(error.to_string().contains("choose a shorter database.data_dir"), "{error}");
}

#[tokio::test]
async fn data_of_a_version_that_is_not_installed_is_refused_by_name() {
    let folder = folder();
    std::fs::create_dir_all(folder.path().join("postgres/data")).unwrap();
    std::fs::write(folder.path().join("postgres/data/PG_VERSION"), "8\n").unwrap();
    let error = Embedded::start(folder.path(), Durability::Durable).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::NotInstalled { .. }), "{error:?}");
    assert!(
        error.to_string().contains("server 8 is installed") && error.to_string().contains("apt-get"),
        "{error}"
    );
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain until {what}");
}

fn alive(pid: u32) -> bool {
    // A dead orphan may stay as a zombie for as long as nobody waits for it.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

/// Starts an owner in a process of its own, the service with no fleets; gives it and its server's number.
async fn owner(dir: &Path) -> (std::process::Child, u32) {
    let config = dir.join("config");
    std::fs::create_dir_all(config.join("fleets")).unwrap();
    let service = format!(
        "[database]\nurl = \"embedded\"\ndata_dir = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [service]\nowner = \"test\"\n[provider.simulated]\nseed = 1\n",
        dir.display()
    );
    std::fs::write(config.join("fleet-scaler.toml"), service).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_fleet-scaler"))
        .args(["serve", "--config"])
        .arg(&config)
        .env_remove("DATABASE_URL")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid_file = dir.join("postgres/data/postmaster.pid");
    let lines = || std::fs::read_to_string(&pid_file).unwrap_or_default();
    until("the server is ready", || lines().lines().nth(7).is_some_and(|line| line.trim() == "ready")).await;
    let server = lines().lines().next().unwrap().parse().unwrap();
    (child, server)
}

#[tokio::test]
async fn it_dies_with_an_owner_that_is_killed() {
    let folder = folder();
    let (mut child, server) = owner(folder.path()).await;
    assert!(alive(server));
    child.kill().unwrap();
    child.wait().unwrap();
    until("the server is gone", || !alive(server)).await;
    let again = Embedded::start(folder.path(), Durability::Durable).await.unwrap();
    again.stop(Shutdown::Fast).await.unwrap();
}

#[tokio::test]
async fn a_server_whose_owner_and_keeper_were_killed_is_replaced_at_the_next_start() {
    let folder = folder();
    let (mut child, server) = owner(folder.path()).await;
    let status = std::fs::read_to_string(format!("/proc/{server}/status")).unwrap();
    let keeper = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    kill(keeper);
    child.kill().unwrap();
    child.wait().unwrap();
    let again = Embedded::start(folder.path(), Durability::Durable).await.unwrap();
    assert!(!alive(server), "the orphan was stopped");
    PostgresStore::migrate(&again.url()).await.unwrap();
    again.stop(Shutdown::Fast).await.unwrap();
}

#[tokio::test]
async fn what_a_killed_server_left_behind_does_not_keep_the_next_from_starting() {
    let folder = folder();
    let (mut child, server) = owner(folder.path()).await;
    kill(server);
    child.kill().unwrap();
    child.wait().unwrap();
    // Its number belongs to somebody else by now.
    let pid_file = folder.path().join("postgres/data/postmaster.pid");
    let stale = std::fs::read_to_string(&pid_file).unwrap();
    let taken = stale.replacen(&server.to_string(), &std::process::id().to_string(), 1);
    std::fs::write(&pid_file, taken).unwrap();
    until("its children are gone", || !backends_of(&folder.path().join("postgres/data"))).await;
    let again = Embedded::start(folder.path(), Durability::Durable).await.unwrap();
    again.stop(Shutdown::Fast).await.unwrap();
}

fn backends_of(cluster: &Path) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .into_iter()
        .any(|process| std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == cluster))
}
