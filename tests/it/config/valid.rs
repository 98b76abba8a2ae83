//! What valid folders come to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use fleet_scaler::config::fleet::{
    BalancerConfig, CandidateConfig, FleetConfig, HostMetricsConfig, LaunchConfig, MetricsConfig,
    QueryConfig, ScrapeConfig, SeriesKind,
};
use fleet_scaler::config::load;
use fleet_scaler::config::service::{
    AwsConfig, DatabaseConfig, DatabaseSource, HttpConfig, ProviderConfig, SecretUrl, ServiceConfig,
    SimulatedConfig, TlsFiles,
};
use fleet_scaler::decide::condition::Condition;
use fleet_scaler::decide::policy::{
    Cooldown, ForecastPolicy, Mode, Place, Rule, RuleAction, Safety, ScaleIn, SizePolicy, Sustained, Target,
    VictimOrder,
};
use fleet_scaler::decide::schedule::cron::Cron;
use fleet_scaler::decide::schedule::{Schedule, ScheduledSize};
use fleet_scaler::decide::signal::Catalog;
use fleet_scaler::domain::ids::{FleetName, InstanceType, OwnerName, SubnetId, TargetGroupArn, Zone};
use fleet_scaler::domain::launch::{Market, TemplateRef};

use super::{FLEET, SERVICE, folder, golden, load_bare};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn maximal_service() -> ServiceConfig {
    ServiceConfig {
        database: DatabaseConfig {
            source: DatabaseSource::Url(SecretUrl::new("postgres://fleet_scaler@localhost/fleet_scaler")),
            max_connections: 10,
        },
        http: HttpConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tokens_file: Some(golden("maximal/tokens.toml")),
            tls: Some(TlsFiles {
                certificate: golden("maximal/tls/server.pem"),
                key: golden("maximal/tls/server.key"),
            }),
        },
        owner: OwnerName::new("prod-1"),
        shutdown_grace: seconds(30),
        lease: seconds(15),
        provider: ProviderConfig::Aws(AwsConfig {
            region: "eu-west-1".to_owned(),
            endpoint_url: Some("http://127.0.0.1:5000".to_owned()),
            call_timeout: seconds(20),
        }),
    }
}

fn maximal_launch() -> LaunchConfig {
    LaunchConfig {
        template: TemplateRef::Id("lt-0abc".to_owned()),
        template_version: "7".to_owned(),
        subnets: ["subnet-a", "subnet-b", "subnet-c"].map(SubnetId::new).to_vec(),
        instance_types: ["m7g.large", "m6g.large"].map(InstanceType::new).to_vec(),
        market: Market::OnDemand,
        boot_timeout: seconds(15 * 60),
        pool_cooldown: seconds(3 * 60),
        pool_cooldown_max: seconds(30 * 60),
        tags: pairs(&[("team", "payments")]),
    }
}

fn maximal_metrics() -> MetricsConfig {
    MetricsConfig {
        host: HostMetricsConfig {
            port: 9100,
            path: "/metrics".to_owned(),
            timeout: seconds(3),
            max_bytes: 4_000_000,
            quorum: 0.75,
            allow_loopback: false,
        },
        host_needed: true,
        queries: vec![QueryConfig {
            name: "qps".to_owned(),
            url: "http://prometheus:9090".parse().expect("a URL"),
            query: "sum(rate(http_requests_total{job=\"web\"}[1m]))".to_owned(),
            timeout: seconds(5),
        }],
        scrapes: vec![ScrapeConfig {
            name: "gpu".to_owned(),
            metric: "DCGM_FI_DEV_GPU_UTIL".to_owned(),
            labels: pairs(&[("gpu", "0")]),
            kind: SeriesKind::Gauge,
            scale: 0.01,
            port: Some(9400),
        }],
    }
}

fn maximal_rules(catalog: &Catalog) -> Vec<Rule> {
    let condition = |text| Condition::parse(text, catalog).expect("a condition");
    vec![
        Rule {
            name: "hot".to_owned(),
            when: condition("cpu.avg > 0.75 || memory.avg > 0.85"),
            sustained: Sustained { hits: 2, of: 3 },
            action: RuleAction::Add(2),
            cooldown: Some(seconds(60)),
        },
        Rule {
            name: "idle".to_owned(),
            when: condition("cpu.avg < 0.30 && qps < 200.0"),
            sustained: Sustained { hits: 3, of: 3 },
            action: RuleAction::Remove(1),
            cooldown: None,
        },
    ]
}

const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef";

fn maximal_fleet() -> FleetConfig {
    let metrics = maximal_metrics();
    let catalog = metrics.catalog();
    FleetConfig {
        name: FleetName::new("web"),
        mode: Mode::Live,
        interval: seconds(10),
        size: SizePolicy { min: 2, max: 20, step_out_max: Some(4), step_in_max: 1 },
        schedules: vec![Schedule {
            name: "office-hours".to_owned(),
            start: Cron::parse("0 8 * * MON-FRI").expect("cron"),
            end: Cron::parse("0 19 * * MON-FRI").expect("cron"),
            zone: "Europe/Berlin".parse().expect("a time zone"),
            size: ScheduledSize::Both { min: 10, max: 30 },
        }],
        launch: maximal_launch(),
        balancer: BalancerConfig {
            target_groups: vec![TargetGroupArn::new(ARN)],
            drain_timeout: Some(seconds(6 * 60)),
            health_grace: seconds(2 * 60),
        },
        rules: maximal_rules(&catalog),
        metrics,
        targets: vec![Target {
            name: "cpu-60".to_owned(),
            signal: "cpu.avg".to_owned(),
            value: 0.60,
            tolerance: 0.10,
            shortfall: 0.0005,
            forecast: Some(ForecastPolicy { hosts_max: 3 }),
        }],
        cooldown: Cooldown { scale_out: seconds(60), scale_in: seconds(5 * 60) },
        scale_in: ScaleIn {
            window: seconds(5 * 60),
            order: VictimOrder::Oldest,
            protect_tag: "fleet-scaler:protect".to_owned(),
        },
        safety: Safety {
            halt_unhealthy: 0.20,
            budget_count: 5,
            budget_per: seconds(10 * 60),
            launch_failures_max: 3,
            breaker_reset: seconds(10 * 60),
        },
        candidates: vec![CandidateConfig {
            name: "calmer".to_owned(),
            size: SizePolicy { min: 3, max: 15, step_out_max: Some(2), step_in_max: 1 },
            schedules: Vec::new(),
            rules: vec![Rule {
                name: "warm".to_owned(),
                when: Condition::parse("cpu.avg > 0.65", &catalog).expect("a condition"),
                sustained: Sustained { hits: 3, of: 3 },
                action: RuleAction::Add(1),
                cooldown: Some(seconds(120)),
            }],
            targets: Vec::new(),
            cooldown: Cooldown { scale_out: seconds(120), scale_in: seconds(600) },
            scale_in: ScaleIn {
                window: seconds(600),
                order: VictimOrder::Newest,
                protect_tag: "fleet-scaler:protect".to_owned(),
            },
        }],
    }
}

#[test]
fn every_key_is_read() {
    let configuration = load_bare(&golden("maximal")).expect("a valid folder");
    assert_eq!(configuration.service, maximal_service());
    assert_eq!(configuration.fleets, BTreeMap::from([(FleetName::new("web"), maximal_fleet())]));
    let text = std::fs::read_to_string(golden("maximal/fleets/web.toml")).expect("the fleet's file");
    assert_eq!(configuration.texts, BTreeMap::from([(FleetName::new("web"), text)]));
}

/// The maximal example writes the defaults out, so what a minimal file comes to differs only where there is none.
#[test]
fn what_is_left_out_has_the_documented_default() {
    let dir = folder(SERVICE, FLEET);
    let configuration = load_bare(dir.path()).expect("a valid folder");
    let expected = ServiceConfig {
        database: DatabaseConfig {
            source: DatabaseSource::Embedded { data_dir: PathBuf::from("data") },
            max_connections: 10,
        },
        http: HttpConfig { tokens_file: None, tls: None, ..maximal_service().http },
        provider: ProviderConfig::Simulated(SimulatedConfig { seed: 1 }),
        ..maximal_service()
    };
    assert_eq!(configuration.service, expected);
    let full = maximal_fleet();
    let expected = FleetConfig {
        size: SizePolicy { step_out_max: None, ..full.size },
        launch: LaunchConfig {
            template_version: "$Default".to_owned(),
            subnets: vec![SubnetId::new("subnet-a")],
            instance_types: Vec::new(),
            tags: BTreeMap::new(),
            ..full.launch
        },
        balancer: BalancerConfig { target_groups: Vec::new(), drain_timeout: None, ..full.balancer },
        metrics: MetricsConfig {
            host_needed: false,
            queries: Vec::new(),
            scrapes: Vec::new(),
            ..full.metrics
        },
        schedules: Vec::new(),
        rules: Vec::new(),
        targets: Vec::new(),
        candidates: Vec::new(),
        ..full
    };
    assert_eq!(configuration.fleets[&FleetName::new("web")], expected);
}

#[test]
fn the_example_folder_is_valid_and_fits_the_simulated_cloud() {
    let configuration = load_bare("config".as_ref()).expect("the example folder is valid");
    let fleet = &configuration.fleets[&FleetName::new("web")];
    assert_eq!(fleet.launch.template, TemplateRef::Id("lt-demo".to_owned()));
    assert_eq!(fleet.launch.subnets, ["subnet-a", "subnet-b", "subnet-c"].map(SubnetId::new));
    assert_eq!(fleet.balancer.target_groups, [TargetGroupArn::new(ARN)]);
    assert!(fleet.metrics.host.allow_loopback, "simulated hosts are on loopback");
    assert!(fleet.metrics.host_needed);
    let ProviderConfig::Aws(aws) = configuration.service.provider else {
        panic!("the example speaks to EC2's wire")
    };
    assert_eq!(aws.endpoint_url.as_deref(), Some("http://127.0.0.1:5000"));
}

#[test]
fn a_policy_is_what_the_file_says() {
    let places = vec![Place { zone: Zone::new("eu-west-1a"), subnet: SubnetId::new("subnet-a") }];
    let (fleet, policy) = (maximal_fleet(), maximal_fleet().policy(places.clone()));
    assert_eq!(policy.fleet, fleet.name);
    assert_eq!((policy.size, policy.cooldown, policy.safety), (fleet.size, fleet.cooldown, fleet.safety));
    assert_eq!(
        (policy.schedules, policy.rules, policy.targets),
        (fleet.schedules, fleet.rules, fleet.targets)
    );
    assert_eq!((policy.quorum, policy.boot_timeout), (0.75, seconds(15 * 60)));
    assert_eq!((policy.target_groups, policy.places), (fleet.balancer.target_groups, places));
}

#[test]
fn a_catalog_offers_host_pages_scrapes_and_queries() {
    let catalog = maximal_fleet().catalog();
    let host: Vec<&str> = catalog.host.iter().map(String::as_str).collect();
    assert_eq!(host, ["cpu", "disk", "gpu", "load1", "memory", "net_rx", "net_tx"]);
    assert!(catalog.fleet.iter().eq(["qps"]));
}

#[test]
fn host_pages_are_needed_only_by_those_who_use_them() {
    let query = "[[metrics.query]]\nname = \"qps\"\nurl = \"http://localhost:9090\"\nquery = \"up\"\n";
    let scrape = "[[metrics.scrape]]\nname = \"gpu\"\nmetric = \"gpu\"\n";
    for (signal, needed) in [("qps", false), ("hosts.pending", false), ("cpu.avg", true), ("gpu.p99", true)] {
        let target = format!("[[target]]\nname = \"t\"\nsignal = \"{signal}\"\nvalue = 1\n");
        let rule = format!("[[rule]]\nname = \"r\"\nwhen = \"{signal} > 1\"\naction = {{ add = 1 }}\n");
        for user in [target, rule] {
            let dir = folder(SERVICE, &[FLEET, query, scrape, &user].concat());
            let configuration = load_bare(dir.path()).expect("a valid folder");
            assert_eq!(configuration.fleets[&FleetName::new("web")].metrics.host_needed, needed, "{user}");
        }
    }
}

#[test]
fn the_environment_overrides_both_ways_to_name_the_database() {
    for database in ["url = \"embedded\"", "url_file = \"nowhere\"", ""] {
        let service = SERVICE.replace("url = \"embedded\"", database);
        let dir = folder(&service, FLEET);
        let env = |name: &str| (name == "DATABASE_URL").then(|| "postgres://other@db/other".to_owned());
        let configuration = load(dir.path(), &env).expect("a valid folder");
        let expected = DatabaseSource::Url(SecretUrl::new("postgres://other@db/other"));
        assert_eq!(configuration.service.database.source, expected, "{database}");
    }
}

#[test]
fn a_url_file_stands_for_the_url() {
    let dir = folder(&SERVICE.replace("url = \"embedded\"", "url_file = \"db-url\""), FLEET);
    std::fs::write(dir.path().join("db-url"), "postgres://scaler:pw@db/scaler\n")
        .expect("write the URL's file");
    let configuration = load_bare(dir.path()).expect("a valid folder");
    let expected = DatabaseSource::Url(SecretUrl::new("postgres://scaler:pw@db/scaler"));
    assert_eq!(configuration.service.database.source, expected);
}

#[test]
fn off_loopback_takes_tokens_that_are_there() {
    let service = format!("{SERVICE}[http]\nlisten = \"[::]:8080\"\ntokens_file = \"tokens.toml\"\n");
    let dir = folder(&service, FLEET);
    let errors = load_bare(dir.path()).expect_err("the tokens are missing").to_string();
    assert!(errors.contains("fleet-scaler.toml:8:15: http.tokens_file: there is no such file"), "{errors}");
    std::fs::write(dir.path().join("tokens.toml"), "").expect("write the tokens");
    load_bare(dir.path()).expect("a valid folder");
}

#[test]
fn a_folder_without_fleets_is_valid() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("fleet-scaler.toml"), SERVICE).expect("write the service's file");
    assert!(load_bare(dir.path()).expect("a valid folder").fleets.is_empty());
}

#[test]
fn only_toml_files_that_nobody_hides_are_fleets() {
    let dir = folder(SERVICE, FLEET);
    for name in ["web.toml~", ".#api.toml", "notes.md", ".web.toml.swp"] {
        std::fs::write(dir.path().join("fleets").join(name), "no TOML").expect("write another file");
    }
    assert_eq!(load_bare(dir.path()).expect("a valid folder").fleets.len(), 1);
}

#[test]
fn the_version_follows_the_text_of_every_file() {
    let version = |service: &str, fleet: &str| {
        load_bare(folder(service, fleet).path()).expect("a valid folder").version
    };
    let first = version(SERVICE, FLEET);
    assert_eq!(first, version(SERVICE, FLEET), "the same text has the same version, wherever it lies");
    assert_ne!(first, version(&format!("{SERVICE}\n"), FLEET));
    assert_ne!(first, version(SERVICE, &FLEET.replace("min = 2", "min = 3")));
}

#[test]
fn one_pause_of_a_pool_gives_way_to_the_other() {
    for (text, first, most) in [
        ("pool_cooldown = \"1h\"\n", 3_600, 3_600),
        ("pool_cooldown_max = \"1m\"\n", 60, 60),
        ("pool_cooldown = \"1s\"\n", 1, 1_800),
    ] {
        let dir = folder(SERVICE, &format!("{FLEET}{text}"));
        let fleet = load_bare(dir.path()).expect("a valid folder").fleets.remove(&FleetName::new("web"));
        let launch = fleet.expect("the fleet").launch;
        assert_eq!(
            (launch.pool_cooldown, launch.pool_cooldown_max),
            (seconds(first), seconds(most)),
            "{text}"
        );
    }
}

/// Every duration that a fleet has, at one second: the shortest that must be valid everywhere.
#[test]
fn one_second_is_valid_everywhere() {
    let fleet = std::fs::read_to_string(golden("maximal/fleets/web.toml")).expect("the fleet's file");
    let ends = [
        "interval",
        "timeout",
        "cooldown",
        "cooldown_max",
        "grace",
        "window",
        "reset",
        "scale_out",
        "scale_in",
    ];
    let shorten = |line: &str| match line.split_once(" = ") {
        Some((key, _)) if ends.iter().any(|end| key.ends_with(end)) => format!("{key} = \"1s\"\n"),
        _ => line.replace("per = \"10m\"", "per = \"1s\"") + "\n",
    };
    let short: String = fleet.lines().map(shorten).collect();
    assert_eq!(short.matches("\"1s\"").count(), 17, "{short}");
    load_bare(folder(SERVICE, &short).path()).expect("a valid folder");
}
