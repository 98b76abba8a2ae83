//! The hosts' pages: real exposition text on each host's own address, with rates that are the load.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use fleet_scaler::domain::ids::InstanceId;
use fleet_scaler::provider::simulated::options::CloudOptions;
use fleet_scaler::provider::simulated::options::load::LoadOptions;
use fleet_scaler::provider::{CloudProvider, TargetId};
use serde_json::json;

use super::{Bench, eventually, group, http, quiet};

/// A port that was free a moment ago. The pages of one cloud share it, each on an address of its own.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn with_pages(rps: f64) -> CloudOptions {
    let mut options = quiet().with_host_port(Some(free_port())).with_load(LoadOptions::Constant { rps });
    options.hosts.noise = 0.0;
    options.hosts.idle_cpu = 0.0;
    options
}

/// Hosts that run and whose pages are there, with the pages' addresses.
async fn hosts(bench: &Bench, count: u32) -> BTreeMap<InstanceId, String> {
    let ids = bench.running("t1", "subnet-a", count).await;
    let port = bench.cloud().with_model(|model| model.options().host_port).unwrap();
    let mut pages = BTreeMap::new();
    for one in bench.shown().await.into_iter().filter(|one| ids.contains(&one.id)) {
        let address = std::net::SocketAddr::new(one.address.unwrap(), port);
        assert!(address.ip().to_string().starts_with("127.") && address.ip().to_string() != "127.0.0.1");
        eventually("the page is there", || std::net::TcpStream::connect(address).is_ok()).await;
        pages.insert(one.id, format!("http://{address}/metrics"));
    }
    assert_eq!(pages.len(), count as usize);
    pages
}

async fn text(url: &str) -> String {
    let response = http().get(url).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    response.text().await.unwrap()
}

/// The sum of every sample of a family whose labels contain this.
fn sum(page: &str, family: &str, label: &str) -> f64 {
    let samples = page
        .lines()
        .filter(|line| line.starts_with(family) && !line.starts_with('#') && line.contains(label));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Share of the CPU in use between two looks, as a scraper computes it.
fn cpu(before: &str, after: &str) -> f64 {
    let part = |label: &str| {
        sum(after, "node_cpu_seconds_total", label) - sum(before, "node_cpu_seconds_total", label)
    };
    1.0 - part("mode=\"idle\"") / part("mode=")
}

#[tokio::test]
async fn rates_between_two_looks_are_the_load_over_the_healthy_hosts() {
    let bench = Bench::start(with_pages(120.0)).await;
    let pages = hosts(&bench, 2).await;
    let ids: Vec<InstanceId> = pages.keys().cloned().collect();
    bench.cloud().register(&group(), &ids).await.unwrap();
    bench.pass(20);
    let look = async || {
        let mut looks = Vec::new();
        for url in pages.values() {
            looks.push(text(url).await);
        }
        looks
    };
    let before = look().await;
    bench.pass(60);
    let after = look().await;
    for (before, after) in before.iter().zip(&after) {
        // 60 requests a second on a host of two vCPUs at 50 each.
        assert!((cpu(before, after) - 0.6).abs() < 0.01, "{}", cpu(before, after));
        let requests = sum(after, "http_requests_total", "") - sum(before, "http_requests_total", "");
        assert!((requests - 3600.0).abs() < 40.0, "{requests}");
        let received = |page: &str| sum(page, "node_network_receive_bytes_total", "eth0");
        assert!(received(after) > received(before));
        let available = sum(after, "node_memory_MemAvailable_bytes", "");
        assert!(available > 0.0 && available < sum(after, "node_memory_MemTotal_bytes", ""));
        assert!(sum(after, "node_load1", "") > sum(before, "node_load1", ""));
    }
    let target = TargetId { host: ids[0].clone(), port: 80 };
    bench.cloud().deregister(&group(), &[target]).await.unwrap();
    let before = look().await;
    bench.pass(60);
    let after = look().await;
    assert!(cpu(&before[0], &after[0]) < 0.01, "a draining host gets nothing new");
    assert!((cpu(&before[1], &after[1]) - 1.0).abs() < 0.01, "the other one is full");
    let refused =
        sum(&after[1], "http_requests_total", "503") - sum(&before[1], "http_requests_total", "503");
    assert!((refused - 1200.0).abs() < 30.0, "{refused}");
}

#[tokio::test]
async fn a_fleet_without_a_balancer_has_its_load_by_tag() {
    let bench = Bench::start(with_pages(0.0)).await;
    let pages = hosts(&bench, 2).await;
    let curve = LoadOptions::Constant { rps: 100.0 }.resolve().unwrap();
    let tagged = json!({ "tagged": { "key": "fleet-scaler:fleet", "value": "web" } });
    let target = serde_json::from_value(tagged).unwrap();
    bench.cloud().with_model(|model| model.set_load(Some(target), &curve)).unwrap();
    let url = pages.values().next().unwrap();
    let before = text(url).await;
    bench.pass(30);
    assert!((cpu(&before, &text(url).await) - 0.5).abs() < 0.01);
}

#[tokio::test]
async fn the_page_is_what_prometheus_can_read() {
    let bench = Bench::start(with_pages(10.0)).await;
    let pages = hosts(&bench, 1).await;
    let page = text(pages.values().next().unwrap()).await;
    for family in ["node_cpu_seconds_total", "node_filesystem_avail_bytes", "node_memory_MemTotal_bytes"] {
        assert!(page.contains(&format!("# HELP {family} ")) && page.contains(&format!("# TYPE {family} ")));
    }
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = promtool.expect("promtool comes with Prometheus, and the tests need both");
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let verdict = promtool.wait_with_output().unwrap();
    let text =
        String::from_utf8_lossy(&verdict.stderr).into_owned() + &String::from_utf8_lossy(&verdict.stdout);
    // node_exporter's own names are not to promtool's taste (3); what it cannot parse is an error (1).
    assert!(matches!(verdict.status.code(), Some(0 | 3)), "{text}");
    let other = text.lines().filter(|line| !line.contains("camelCase")).count();
    assert_eq!(other, 0, "{text}");
}

#[tokio::test]
async fn pages_are_packed_when_that_is_asked_for() {
    let bench = Bench::start(with_pages(10.0)).await;
    let pages = hosts(&bench, 1).await;
    let plain = reqwest::Client::builder().no_gzip().build().unwrap();
    let url = pages.values().next().unwrap();
    let packed = plain.get(url).header("accept-encoding", "deflate, gzip;q=0.5").send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let bytes = packed.bytes().await.unwrap();
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut unpacked).unwrap();
    assert!(unpacked.contains("node_load1") && bytes.len() < unpacked.len() / 2);
    let plainly = plain.get(url).header("accept-encoding", "gzip;q=0").send().await.unwrap();
    assert!(!plainly.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn a_dead_host_has_no_page() {
    let bench = Bench::start(with_pages(10.0)).await;
    let pages = hosts(&bench, 2).await;
    let client = http();
    for url in pages.values() {
        assert!(client.get(url).send().await.is_ok());
    }
    let ids: Vec<&InstanceId> = pages.keys().collect();
    bench.fault(&json!({ "fault": "kill_instance", "instance": ids[0] }));
    bench.fault(&json!({ "fault": "kill_instance", "instance": ids[1], "how": "unresponsive" }));
    for url in pages.values() {
        assert!(client.get(url).send().await.is_err(), "not even on the connection that is open");
    }
    let addresses: Vec<&str> = pages.values().map(|url| url[7..].trim_end_matches("/metrics")).collect();
    eventually("the listeners are gone", || {
        bench.pass(1);
        addresses.iter().all(|address| std::net::TcpStream::connect(address).is_err())
    })
    .await;
}

#[tokio::test]
async fn pages_can_be_spoilt_in_every_way() {
    let bench = Bench::start(with_pages(50.0)).await;
    let pages = hosts(&bench, 1).await;
    let url = pages.values().next().unwrap();
    let spoilt = async |page: serde_json::Value| {
        bench.cloud().clear_faults();
        bench.fault(&json!({ "fault": "page", "page": page }));
        http().get(url).timeout(Duration::from_millis(1500)).send().await
    };
    assert!(spoilt(json!("closed")).await.unwrap_err().is_request());
    assert!(spoilt(json!("silent")).await.unwrap_err().is_timeout());
    assert!(spoilt(json!("hang")).await.unwrap().text().await.is_err());
    assert!(spoilt(json!("slow")).await.unwrap().text().await.is_err());
    assert_eq!(spoilt(json!({ "status": { "code": 500 } })).await.unwrap().status(), 500);
    let redirect = spoilt(json!("redirect")).await.unwrap();
    assert_eq!(redirect.status(), 302);
    assert!(redirect.headers()["location"].to_str().unwrap().starts_with("http://169.254.169.254/"));
    assert!(spoilt(json!("empty")).await.unwrap().text().await.unwrap().is_empty());
    assert!(!spoilt(json!("malformed")).await.unwrap().text().await.unwrap().ends_with('\n'));
    for (page, value) in [("nan", "NaN"), ("infinite", "+Inf")] {
        let text = spoilt(json!(page)).await.unwrap().text().await.unwrap();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(samples.len() > 20 && samples.iter().all(|line| line.ends_with(value)), "{text}");
    }
    let text = spoilt(json!("impossible")).await.unwrap().text().await.unwrap();
    let memory = |field: &str| sum(&text, &format!("node_memory_{field}_bytes"), "");
    assert!(memory("MemTotal") < 0.0 && memory("MemAvailable") > memory("MemTotal"), "{text}");
}

#[tokio::test]
async fn a_huge_page_is_as_long_as_was_asked() {
    let bench = Bench::start(with_pages(50.0)).await;
    let pages = hosts(&bench, 1).await;
    let url = pages.values().next().unwrap();
    let size = 40_000_000;
    bench.fault(&json!({ "fault": "page", "page": { "huge": { "bytes": size } } }));
    let mut response = http().get(url).send().await.unwrap();
    let mut length = 0;
    while let Some(chunk) = response.chunk().await.unwrap() {
        length += chunk.len();
    }
    assert_eq!(length, size);
    bench.cloud().clear_faults();
    bench.fault(&json!({ "fault": "page", "page": { "gzip_bomb": { "bytes": size } } }));
    let plain = reqwest::Client::builder().no_gzip().build().unwrap();
    let packed = plain.get(url).send().await.unwrap().bytes().await.unwrap();
    assert!(packed.len() < size / 100, "{}", packed.len());
    let unpacked =
        std::io::copy(&mut flate2::read::GzDecoder::new(&packed[..]), &mut std::io::sink()).unwrap();
    assert_eq!(unpacked, size as u64);
}

#[tokio::test]
async fn half_of_the_pages_may_be_frozen() {
    let bench = Bench::start(with_pages(50.0)).await;
    let pages = hosts(&bench, 4).await;
    bench.fault(&json!({ "fault": "page", "page": "frozen", "share": 0.5 }));
    let look = async || {
        let mut looks = Vec::new();
        for url in pages.values() {
            looks.push(text(url).await);
        }
        looks
    };
    let before = look().await;
    bench.pass(30);
    let after = look().await;
    let frozen = before.iter().zip(&after).filter(|(before, after)| before == after).count();
    assert_eq!(frozen, 2);
    bench.cloud().clear_faults();
    let thawed = look().await;
    assert!(before.iter().zip(&thawed).all(|(before, after)| before != after));
}

#[tokio::test]
async fn a_host_that_dies_breaks_its_page_off() {
    let bench = Bench::start(with_pages(50.0)).await;
    let pages = hosts(&bench, 1).await;
    let (id, url) = pages.iter().next().unwrap();
    bench.fault(&json!({ "fault": "page", "page": "hang" }));
    let mut response = http().get(url).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some(), "the beginning is there");
    bench.fault(&json!({ "fault": "kill_instance", "instance": id }));
    bench.pass(1);
    assert!(response.chunk().await.is_err());
}
