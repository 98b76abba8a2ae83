//! What pages come to, without a network: every signal, and every reason for not having one.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::derive::{Baseline, Derived, Reject, derive};
use super::memory::Memory;
use super::page::{Page, PagePlan};
use super::page_url;
use crate::config::fleet::{HostMetricsConfig, MetricsConfig, ScrapeConfig, SeriesKind};
use crate::domain::ids::FleetName;
use crate::domain::time::Timestamp;
use crate::signals::HarvestRequest;

const PAGE_A: &str = include_str!("../../../tests/data/node_exporter-1.5.0-a.txt");
const PAGE_B: &str = include_str!("../../../tests/data/node_exporter-1.5.0-b.txt");
const HORIZON: Duration = Duration::from_mins(1);

fn metrics(scrapes: Vec<ScrapeConfig>) -> MetricsConfig {
    MetricsConfig {
        host: HostMetricsConfig {
            port: 9100,
            path: "/metrics".to_owned(),
            timeout: Duration::from_secs(3),
            max_bytes: 4_000_000,
            quorum: 0.75,
            allow_loopback: false,
        },
        host_needed: true,
        queries: Vec::new(),
        scrapes,
    }
}

fn scrape(name: &str, metric: &str, kind: SeriesKind, labels: &[(&str, &str)], scale: f64) -> ScrapeConfig {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ScrapeConfig { name: name.to_owned(), metric: metric.to_owned(), labels, kind, scale, port: None }
}

/// Derives a run of pages, `step` apart, each compared with the one before; gives what the last comes to.
fn last_of(scrapes: Vec<ScrapeConfig>, pages: &[&str], step: Duration) -> Derived {
    let metrics = metrics(scrapes);
    let plans = PagePlan::all(&metrics);
    let mut received = Instant::now();
    let mut before: Option<Baseline> = None;
    let mut derived = None;
    for text in pages {
        let page = Page::read(&plans[0], text.as_bytes()).expect("the page is valid");
        let next = derive(&plans[0], &page, received, before.as_ref(), HORIZON);
        before = Some(next.baseline.clone());
        derived = Some(next);
        received += step;
    }
    derived.expect("there is a page")
}

fn builtin(pages: &[&str]) -> Derived {
    last_of(Vec::new(), pages, Duration::from_secs(10))
}

fn user(kind: SeriesKind, pages: &[&str]) -> Result<f64, Reject> {
    let derived = last_of(vec![scrape("mine", "mine", kind, &[], 1.0)], pages, Duration::from_secs(10));
    derived.values.get("mine").copied().ok_or_else(|| why(&derived, "mine"))
}

fn why(derived: &Derived, signal: &str) -> Reject {
    derived.rejects.iter().find(|(name, _)| name == signal).expect("it was rejected").1
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

#[test]
fn two_real_pages_give_what_another_program_computes_from_them() {
    let derived = last_of(Vec::new(), &[PAGE_A, PAGE_B], Duration::from_secs(3));
    close(derived.values["cpu"], 0.956_448_911_222_745_4);
    close(derived.values["memory"], 0.031_200_671_655_468_36);
    close(derived.values["load1"], 0.965);
    close(derived.values["disk"], 0.714_100_631_370_062_5);
    // Nobody but this program talked to the host, and that over loopback.
    let quiet = [("net_rx".to_owned(), Reject::StoodStill), ("net_tx".to_owned(), Reject::StoodStill)];
    assert_eq!(derived.rejects, quiet);
}

#[test]
fn one_page_gives_what_needs_no_rate() {
    let derived = builtin(&[PAGE_A]);
    assert_eq!(derived.values.keys().collect::<Vec<_>>(), ["disk", "load1", "memory"]);
    for signal in ["cpu", "net_rx", "net_tx"] {
        assert_eq!(why(&derived, signal), Reject::First, "{signal}");
    }
}

#[test]
fn the_same_page_again_gives_no_rates() {
    let derived = builtin(&[PAGE_A, PAGE_A]);
    for signal in ["cpu", "net_rx", "net_tx"] {
        assert_eq!(why(&derived, signal), Reject::StoodStill, "{signal}");
    }
    assert!(derived.values.contains_key("memory"));
}

#[test]
fn a_host_that_restarted_gives_rates_again_two_pages_later() {
    let derived = builtin(&[PAGE_B, PAGE_A]);
    assert_eq!(why(&derived, "cpu"), Reject::WentBack);
    assert!(builtin(&[PAGE_B, PAGE_A, PAGE_B]).values.contains_key("cpu"));
}

#[test]
fn an_empty_page_gives_nothing_and_says_so() {
    let derived = builtin(&[""]);
    assert_eq!(derived.values, BTreeMap::new());
    assert!(derived.rejects.iter().all(|(_, reject)| *reject == Reject::Absent));
}

fn cpu(idle: &str, iowait: &str, user: &str) -> String {
    format!(
        "node_cpu_seconds_total{{cpu=\"0\",mode=\"idle\"}} {idle}\nnode_cpu_seconds_total{{cpu=\"0\",mode=\"iowait\"}} \
         {iowait}\nnode_cpu_seconds_total{{cpu=\"0\",mode=\"user\"}} {user}\n"
    )
}

#[test]
fn cpu_is_what_was_neither_idle_nor_waiting() {
    let derived = builtin(&[&cpu("100", "10", "50"), &cpu("106", "11", "53")]);
    close(derived.values["cpu"], 0.3);
}

#[test]
fn guest_time_is_not_counted_twice() {
    let guest = |seconds: u32| format!("node_cpu_seconds_total{{cpu=\"0\",mode=\"guest\"}} {seconds}\n");
    let pages = [cpu("100", "0", "50") + &guest(10), cpu("105", "0", "55") + &guest(15)];
    close(builtin(&[&pages[0], &pages[1]]).values["cpu"], 0.5);
}

#[test]
fn a_cpu_that_comes_or_goes_makes_a_new_beginning() {
    let second = "node_cpu_seconds_total{cpu=\"1\",mode=\"idle\"} 5000\n";
    let (now, later) = (cpu("100", "0", "50"), cpu("105", "0", "55"));
    assert_eq!(why(&builtin(&[&now, &(later.clone() + second)]), "cpu"), Reject::First);
    assert_eq!(why(&builtin(&[&(now + second), &later]), "cpu"), Reject::First);
}

#[test]
fn one_counter_that_goes_back_spoils_the_signal() {
    let pages = [cpu("100", "10", "50"), cpu("200", "9", "60")];
    assert_eq!(why(&builtin(&[&pages[0], &pages[1]]), "cpu"), Reject::WentBack);
}

#[test]
fn values_that_cannot_be_are_rejected() {
    for (idle, user) in [("NaN", "50"), ("+Inf", "50"), ("100", "-Inf"), ("100", "1e999")] {
        let reject = why(&builtin(&[&cpu("90", "0", "40"), &cpu(idle, "0", user)]), "cpu");
        assert!(matches!(reject, Reject::NotFinite { .. }), "{idle} {user}: {reject:?}");
    }
    let reject = why(&builtin(&[&cpu("90", "0", "40"), &cpu("-1", "0", "50")]), "cpu");
    assert_eq!(reject, Reject::Impossible { line: Some(1), value: -1.0 });
    // A page that was rejected is nothing to compare with either.
    let pages = [cpu("90", "0", "40"), cpu("NaN", "0", "50"), cpu("110", "0", "60")];
    assert_eq!(why(&builtin(&[&pages[0], &pages[1], &pages[2]]), "cpu"), Reject::First);
}

#[test]
fn memory_is_a_share() {
    let page = |available: &str, total: &str| {
        format!("node_memory_MemAvailable_bytes {available}\nnode_memory_MemTotal_bytes {total}\n")
    };
    close(builtin(&[&page("250", "1000")]).values["memory"], 0.75);
    // Float noise is noise; more than that is not.
    close(builtin(&[&page("1000.0000001", "1000")]).values["memory"], 0.0);
    for (available, total) in [("1001", "1000"), ("0", "0"), ("5", "0")] {
        let reject = why(&builtin(&[&page(available, total)]), "memory");
        assert!(matches!(reject, Reject::Impossible { line: None, .. }), "{available}/{total}: {reject:?}");
    }
    for (available, total) in [("-5", "1000"), ("5", "-1000")] {
        let reject = why(&builtin(&[&page(available, total)]), "memory");
        assert!(
            matches!(reject, Reject::Impossible { line: Some(_), .. }),
            "{available}/{total}: {reject:?}"
        );
    }
    let two = page("250", "1000") + "node_memory_MemTotal_bytes{node=\"b\"} 2000\n";
    assert_eq!(why(&builtin(&[&two]), "memory"), Reject::Several);
}

#[test]
fn load_is_per_core_and_needs_to_know_the_cores() {
    let cores = "node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 1\nnode_cpu_seconds_total{cpu=\"1\",mode=\"idle\"} 1\n";
    close(builtin(&[&format!("{cores}node_load1 3\n")]).values["load1"], 1.5);
    assert_eq!(why(&builtin(&["node_load1 3\n"]), "load1"), Reject::Absent);
}

#[test]
fn disk_is_the_fullest_real_filesystem() {
    let fs = |kind: &str, mount: &str, available: &str| {
        let labels = format!("{{device=\"d\",fstype=\"{kind}\",mountpoint=\"{mount}\"}}");
        format!("node_filesystem_size_bytes{labels} 100\nnode_filesystem_avail_bytes{labels} {available}\n")
    };
    let real = fs("ext4", "/", "60") + &fs("xfs", "/data", "20");
    let unreal = fs("tmpfs", "/run", "NaN") + &fs("squashfs", "/snap", "0") + &fs("overlay", "/merged", "0");
    let sizeless = "node_filesystem_size_bytes{fstype=\"ext4\",mountpoint=\"/x\"} 0\n\
                    node_filesystem_avail_bytes{fstype=\"ext4\",mountpoint=\"/x\"} 0\n";
    close(builtin(&[&(real.clone() + &unreal + sizeless)]).values["disk"], 0.8);
    assert_eq!(why(&builtin(&[&unreal]), "disk"), Reject::Absent);
    let broken = real + &fs("ext4", "/broken", "NaN");
    assert!(matches!(why(&builtin(&[&broken]), "disk"), Reject::NotFinite { .. }));
}

#[test]
fn network_is_the_sum_over_real_devices() {
    let net = |device: &str, bytes: u32| {
        format!("node_network_receive_bytes_total{{device=\"{device}\"}} {bytes}\n")
    };
    let before =
        net("eth0", 1000) + &net("eth1", 500) + &net("lo", 7) + &net("veth1a", 7) + &net("docker0", 7);
    let after =
        net("eth0", 1600) + &net("eth1", 900) + &net("lo", 9) + &net("veth2b", 99) + &net("eth2", 12345);
    close(builtin(&[&before, &after]).values["net_rx"], 100.0);
    assert_eq!(why(&builtin(&[&before, &net("eth7", 5)]), "net_rx"), Reject::First);
}

#[test]
fn series_of_the_users_own_are_matched_summed_and_scaled() {
    let page =
        "gpu{gpu=\"0\",model=\"a\"} 40\ngpu{gpu=\"0\",model=\"b\"} 20\ngpu{gpu=\"1\",model=\"a\"} 90\n";
    let of = |labels: &[(&str, &str)]| {
        let derived = last_of(
            vec![scrape("gpu", "gpu", SeriesKind::Gauge, labels, 0.01)],
            &[page],
            Duration::from_secs(1),
        );
        derived.values.get("gpu").copied()
    };
    close(of(&[("gpu", "0")]).unwrap(), 0.6);
    close(of(&[("gpu", "0"), ("model", "b")]).unwrap(), 0.2);
    close(of(&[]).unwrap(), 1.5);
    // To Prometheus an empty label is no label.
    close(of(&[("pod", "")]).unwrap(), 1.5);
    assert_eq!(of(&[("gpu", "2")]), None);
}

#[test]
fn gauges_may_be_negative_and_counters_may_not() {
    close(user(SeriesKind::Gauge, &["mine -4\n"]).unwrap(), -4.0);
    let reject = user(SeriesKind::Counter, &["mine 1\n", "mine -4\n"]).unwrap_err();
    assert_eq!(reject, Reject::Impossible { line: Some(1), value: -4.0 });
    assert!(matches!(user(SeriesKind::Gauge, &["mine NaN\n"]), Err(Reject::NotFinite { line: 1 })));
    let sum = "mine{a=\"1\"} 1e308\nmine{a=\"2\"} 1e308\n";
    assert_eq!(user(SeriesKind::Gauge, &[sum]), Err(Reject::Overflow));
}

#[test]
fn counters_of_the_users_own_are_rates() {
    close(user(SeriesKind::Counter, &["mine 100\n", "mine 150\n"]).unwrap(), 5.0);
    assert_eq!(user(SeriesKind::Counter, &["mine 100\n"]), Err(Reject::First));
    assert_eq!(user(SeriesKind::Counter, &["mine 100\n", "mine 100\n"]), Err(Reject::StoodStill));
    assert_eq!(user(SeriesKind::Counter, &["mine 100\n", "mine 3\n"]), Err(Reject::WentBack));
    close(user(SeriesKind::Counter, &["mine 100\n", "mine 3\n", "mine 23\n"]).unwrap(), 2.0);
}

#[test]
fn a_series_that_occurs_twice_is_not_believed() {
    assert_eq!(
        user(SeriesKind::Gauge, &["mine{a=\"1\",b=\"2\"} 5\nmine{b=\"2\",a=\"1\"} 5\n"]),
        Err(Reject::Twice)
    );
    let twice = cpu("100", "0", "50") + &cpu("100", "0", "50");
    assert_eq!(why(&builtin(&[&twice]), "cpu"), Reject::Twice);
}

#[test]
fn samples_that_the_page_dates_must_be_newer_each_time() {
    let duplicate = user(SeriesKind::Gauge, &["mine 1 5000\n", "mine 1 5000\n"]).unwrap_err();
    assert_eq!(duplicate, Reject::NotNewer { stamp: 5000, before: 5000 });
    let late = user(SeriesKind::Gauge, &["mine 1 5000\n", "mine 1 4000\n"]).unwrap_err();
    assert_eq!(late, Reject::NotNewer { stamp: 4000, before: 5000 });
    close(user(SeriesKind::Gauge, &["mine 1 5000\n", "mine 2 6000\n"]).unwrap(), 2.0);
    // A duplicate in between does not make the rate look twice as high: it runs from the first time it was seen.
    let pages = ["mine 100 5000\n", "mine 100 5000\n", "mine 200 6000\n"];
    close(user(SeriesKind::Counter, &pages).unwrap(), 5.0);
    let pages = ["mine 100 5000\n", "mine 50 4000\n", "mine 200 6000\n"];
    assert_eq!(user(SeriesKind::Counter, &pages), Err(Reject::First));
}

#[test]
fn what_is_too_old_is_not_compared_with() {
    let counter = || vec![scrape("mine", "mine", SeriesKind::Counter, &[], 1.0)];
    let derived = last_of(counter(), &["mine 100\n", "mine 200\n"], HORIZON + Duration::from_secs(1));
    assert_eq!(why(&derived, "mine"), Reject::First);
    close(last_of(counter(), &["mine 100\n", "mine 160\n"], HORIZON).values["mine"], 1.0);
}

#[test]
fn each_port_is_a_page_of_its_own() {
    let mut own = scrape("gpu", "gpu", SeriesKind::Gauge, &[], 1.0);
    own.port = Some(9400);
    let metrics = metrics(vec![own, scrape("queue", "queue", SeriesKind::Gauge, &[], 1.0)]);
    let plans = PagePlan::all(&metrics);
    let names = |plan: &PagePlan<'_>, text: &str| {
        let page = Page::read(plan, text.as_bytes()).expect("the page is valid");
        let derived = derive(plan, &page, Instant::now(), None, HORIZON);
        derived.values.into_keys().collect::<Vec<_>>()
    };
    let everything = format!("{PAGE_A}gpu 1\nqueue 2\n");
    assert_eq!(plans.iter().map(|plan| plan.port).collect::<Vec<_>>(), [9100, 9400]);
    assert_eq!(names(&plans[0], &everything), ["disk", "load1", "memory", "queue"]);
    assert_eq!(names(&plans[1], &everything), ["gpu"]);
}

#[test]
fn a_page_is_asked_for_at_the_address_itself() {
    let url = |address: &str, path: &str| page_url(address.parse().unwrap(), 9100, path).unwrap().to_string();
    assert_eq!(url("10.0.3.7", "/metrics"), "http://10.0.3.7:9100/metrics");
    assert_eq!(
        url("2600:1f18::1", "/metrics?collect[]=cpu"),
        "http://[2600:1f18::1]:9100/metrics?collect[]=cpu"
    );
    // Whatever the path is, it is a path.
    assert_eq!(url("10.0.3.7", "@169.254.169.254/"), "http://10.0.3.7:9100/@169.254.169.254/");
    assert_eq!(url("10.0.3.7", "//169.254.169.254/"), "http://10.0.3.7:9100//169.254.169.254/");
}

/// Harvests of one fleet at these seconds; gives how old something kept may be at the last of them.
fn horizon_at(seconds: &[u64]) -> u64 {
    let fleet = FleetName::new("web");
    let request =
        HarvestRequest { fleet, hosts: Vec::new(), metrics: metrics(Vec::new()), now: Timestamp::UNIX_EPOCH };
    let (mut memory, start) = (Memory::default(), Instant::now());
    let mut horizon = Duration::ZERO;
    for at in seconds {
        let now = start + Duration::from_secs(*at);
        horizon = memory.begin(&request, now).horizon(now);
    }
    horizon.as_secs()
}

#[test]
fn what_is_kept_is_of_use_for_a_few_intervals() {
    assert_eq!(horizon_at(&[0]), 60);
    assert_eq!(horizon_at(&[0, 10, 20]), 60);
    assert_eq!(horizon_at(&[0, 600, 1200]), 1800);
    // A poke in between does not make a long interval short.
    assert_eq!(horizon_at(&[0, 600, 601, 1200]), 900);
    // A fleet that comes back after half an hour is not half an hour slow.
    assert_eq!(horizon_at(&[0, 10, 20, 1820]), 60);
}
