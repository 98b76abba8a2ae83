//! `demo`: what the README's first command shows, as far as a person sees it at once.

use std::io::BufReader;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::program::{Running, program, until};
use super::web;

/// No machine that is alive takes longer for a private Postgres, a cloud and the first hosts.
const PATIENCE: Duration = Duration::from_mins(1);

/// Hosts of the played fleet that serve, as the dashboard's own API has it.
fn healthy(address: SocketAddr) -> u64 {
    let answer = web::get(address, "/api/v1/fleets/web");
    let fleet: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    fleet["hosts"]["healthy"].as_u64().unwrap_or(0)
}

#[test]
fn the_dashboard_is_announced_and_shows_the_fleet_that_is_played() {
    let mut running = Running::start(program().args(["demo", "--minutes", "2"]));
    let mut reader = BufReader::new(running.0.stdout.take().unwrap());
    let line = until(&mut reader, "The dashboard: http://");
    let address = line.trim().trim_start_matches("The dashboard: http://").trim_end_matches('/');
    let address: SocketAddr = address.parse().unwrap();
    let page = web::get_until(address, "/", 200);
    assert!(page.head.contains("text/html") && page.body.contains("<title>"), "{page:?}");
    let start = Instant::now();
    while healthy(address) == 0 {
        assert!(start.elapsed() < PATIENCE, "no host serves: {:?}", web::get(address, "/api/v1/fleets/web"));
        std::thread::sleep(Duration::from_millis(100));
    }
    running.signal("INT");
    until(&mut reader, "Stopped early.");
    assert_eq!(running.wait().code(), Some(0));
}
