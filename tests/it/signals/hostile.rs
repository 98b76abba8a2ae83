//! Hosts that mean harm, one at a time, each beside a good one of the same fleet and one of another.

use std::time::{Duration, Instant};

use fleet_scaler::signals::live::LiveSignals;
use fleet_scaler::signals::{Harvest, SignalSource as _};

use super::server::{Crowd, Farm, Reply, assert_close, classes, faults, gzip, page, pages, value};

const TIMEOUT: Duration = Duration::from_millis(1500);
/// How much later than its deadline a harvest may be on a machine that is busy with other tests.
const SLACK: Duration = Duration::from_secs(10);

/// Two harvests of a good host and this one, and of a good host of another fleet beside them: the good ones give their
/// values, and all are back in time. Gives the second harvest and how much the bad host sent.
async fn beside(bad: Vec<Reply>) -> (Harvest, usize) {
    let signals = LiveSignals::new().expect("the clients can be made");
    let farm = Farm::start(vec![pages(0.25), bad]).await;
    let neighbour = Farm::start(vec![pages(0.75)]).await;
    let (mine, theirs) = (farm.request("web", TIMEOUT), neighbour.request("api", TIMEOUT));
    let started = Instant::now();
    signals.harvest(&mine).await;
    signals.harvest(&theirs).await;
    let (mine, theirs) = tokio::join!(signals.harvest(&mine), signals.harvest(&theirs));
    assert!(started.elapsed() < TIMEOUT * 3 + SLACK, "took {:?}", started.elapsed());
    assert_close(value(&mine, 0, "cpu"), 0.25);
    assert_close(value(&theirs, 0, "cpu"), 0.75);
    (mine, farm.servers[1].sent())
}

/// A bad host from the first scrape on: it gives nothing, for this reason.
async fn gives_nothing(bad: Reply, class: &str, words: &str) -> usize {
    let shown: String = format!("{bad:?}").chars().take(200).collect();
    let (harvest, sent) = beside(vec![bad]).await;
    assert_eq!(harvest.hosts.len(), 1, "{shown}: {:?}", harvest.hosts);
    assert_eq!(classes(&harvest, 1), [class], "{shown}: {:?}", harvest.faults);
    let message = &faults(&harvest, 1)[0].message;
    assert!(message.contains(words), "{shown}: {message}");
    sent
}

#[tokio::test]
async fn a_page_of_a_gigabyte_that_says_so() {
    let sent =
        gives_nothing(Reply::Flood(Some(1_000_000_000)), "too_large", "larger than 4000000 bytes").await;
    assert!(sent < 100_000_000, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_page_without_end() {
    let sent = gives_nothing(Reply::Flood(None), "too_large", "larger than 4000000 bytes").await;
    assert!(sent < 100_000_000, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_gzip_bomb() {
    let sent = gives_nothing(Reply::Bomb, "too_large", "larger than 4000000 bytes").await;
    assert!(sent < 100_000_000, "{sent} bytes were taken");
}

#[tokio::test]
async fn gzip_without_content_has_an_end_too() {
    let mut blocks = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    blocks.extend([0, 0, 0, 0xff, 0xff].repeat(1_000_000));
    let empty = Reply::Answer("200 OK", "content-encoding: gzip\r\n", blocks);
    gives_nothing(empty, "too_large", "larger than 4000000 bytes").await;
    let members = gzip(b"\n").repeat(2);
    let members = Reply::Answer("200 OK", "content-encoding: gzip\r\n", members);
    gives_nothing(members, "malformed", "gzip").await;
}

#[tokio::test]
async fn a_redirect_to_the_metadata_service() {
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent", "304 Not Modified"] {
        let headers = "location: http://169.254.169.254/latest/meta-data/\r\n";
        gives_nothing(Reply::Answer(status, headers, Vec::new()), "redirect", "never followed").await;
    }
}

#[tokio::test]
async fn a_redirect_is_not_bridged() {
    let mut replies = vec![Reply::Page(page(1.0, 1.0))];
    replies.push(Reply::Answer("302 Found", "location: /elsewhere\r\n", Vec::new()));
    let (harvest, _) = beside(replies).await;
    assert_eq!(harvest.hosts.len(), 1);
    assert_eq!(classes(&harvest, 1), ["redirect"]);
}

#[tokio::test]
async fn silence() {
    gives_nothing(Reply::Hang, "timeout", "no complete answer within 1s 500ms").await;
}

#[tokio::test]
async fn a_head_that_takes_for_ever() {
    gives_nothing(Reply::SlowHead, "timeout", "no complete answer within").await;
}

#[tokio::test]
async fn a_body_that_takes_for_ever() {
    gives_nothing(Reply::Drip, "timeout", "no complete answer within").await;
}

#[tokio::test]
async fn another_protocol() {
    gives_nothing(Reply::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), "broken", "the connection broke").await;
}

#[tokio::test]
async fn a_connection_closed_at_once() {
    gives_nothing(Reply::Raw(Vec::new()), "broken", "the connection broke").await;
}

#[tokio::test]
async fn a_body_shorter_than_it_says() {
    let cut = format!("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{}", page(1.0, 1.0));
    gives_nothing(Reply::Raw(cut.into_bytes()), "broken", "the connection broke").await;
}

#[tokio::test]
async fn an_error_of_the_server() {
    let oops = Reply::Answer("500 Internal Server Error", "", page(1.0, 1.0).into_bytes());
    gives_nothing(oops, "status", "answered 500 Internal Server Error").await;
}

#[tokio::test]
async fn a_page_of_something_else() {
    let html = "<!doctype html>\n<title>Hello</title>\n".to_owned();
    gives_nothing(Reply::Page(html), "malformed", "line 1: expected a metric name").await;
    gives_nothing(Reply::Page("{\"cpu\": 5}".to_owned()), "malformed", "line 1").await;
    let noise = Reply::Answer("200 OK", "", (0..=255).collect());
    gives_nothing(noise, "malformed", "not UTF-8").await;
}

#[tokio::test]
async fn gzip_that_is_cut_off_or_damaged() {
    let good = gzip(page(1.0, 1.0).as_bytes());
    let cut = good[..good.len() - 12].to_vec();
    gives_nothing(Reply::Answer("200 OK", "content-encoding: gzip\r\n", cut), "malformed", "gzip").await;
    let trailer = good[..good.len() - 4].to_vec();
    gives_nothing(Reply::Answer("200 OK", "content-encoding: gzip\r\n", trailer), "malformed", "gzip").await;
    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    gives_nothing(Reply::Answer("200 OK", "content-encoding: gzip\r\n", damaged), "malformed", "gzip").await;
    let plain = page(1.0, 1.0).into_bytes();
    gives_nothing(Reply::Answer("200 OK", "content-encoding: gzip\r\n", plain.clone()), "malformed", "gzip")
        .await;
    gives_nothing(Reply::Answer("200 OK", "content-encoding: br\r\n", plain), "malformed", "says `br`").await;
}

#[tokio::test]
async fn headers_without_end() {
    let head = format!("HTTP/1.1 200 OK\r\n{}", "x-more: yes\r\n".repeat(100_000));
    gives_nothing(Reply::Raw(head.into_bytes()), "broken", "the connection broke").await;
}

#[tokio::test]
async fn nothing_but_nan() {
    let page = page(1.0, 1.0);
    let lines = page.lines().map(|line| match line.rsplit_once(' ') {
        Some((series, _)) if !line.starts_with('#') => format!("{series} NaN\n"),
        _ => format!("{line}\n"),
    });
    let (harvest, _) = beside(vec![Reply::Page(lines.collect())]).await;
    assert_eq!(harvest.hosts.len(), 1);
    assert_eq!(classes(&harvest, 1), ["not_finite"; 3], "cpu, load1 and memory");
}

#[tokio::test]
async fn counters_that_go_back_or_stand_still() {
    let (harvest, _) = beside(vec![Reply::Page(page(1000.0, 500.0)), Reply::Page(page(10.0, 5.0))]).await;
    assert_eq!((value(&harvest, 1, "cpu"), value(&harvest, 1, "memory")), (None, Some(0.25)));
    assert_eq!(classes(&harvest, 1), ["reset"]);
    let (harvest, _) = beside(vec![Reply::Page(page(1000.0, 500.0))]).await;
    assert_eq!((value(&harvest, 1, "cpu"), value(&harvest, 1, "memory")), (None, Some(0.25)));
    assert_eq!(classes(&harvest, 1), ["stale"]);
}

#[tokio::test]
async fn a_hundred_and_forty_hosts_that_hang_keep_no_good_host_from_being_heard() {
    // More than a fleet's connections: the first time the good one may wait behind them, from then on it goes first.
    let mut hosts = vec![vec![Reply::Hang]; 140];
    hosts.push(pages(0.25));
    let crowd = Crowd::start(hosts).await;
    let signals = LiveSignals::new().expect("the clients can be made");
    let request = crowd.request("web", TIMEOUT);
    let started = Instant::now();
    signals.harvest(&request).await;
    signals.harvest(&request).await;
    let third = signals.harvest(&request).await;
    assert!(value(&third, 140, "memory").is_some(), "{:?}", third.faults);
    assert!(started.elapsed() < TIMEOUT * 3 + SLACK, "took {:?}", started.elapsed());
    assert_eq!(third.faults.last().map(|fault| fault.class), Some("more"));
}
