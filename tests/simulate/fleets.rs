//! The fleets of the simulated days. Their files are read once, by the program's own loader; each seed then moves some of
//! the numbers.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rand::Rng as _;
use rand_chacha::ChaCha12Rng;

use fleet_scaler::config::fleet::FleetConfig;
use fleet_scaler::config::{self};
use fleet_scaler::domain::ids::FleetName;

/// The second target group of some fleets.
pub(crate) const SECOND_GROUP: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/more/0123456789abcdef";

const SERVICE: &str = "[database]\nurl = \"postgres://unused\"\n[service]\nowner = \"prod-1\"\n[provider.simulated]\nseed = 1\n";

/// Spans are short, so that a whole story fits into a few hundred steps.
const COMMON: &str = r#"
interval = "10s"
[size]
min = 2
max = 8
step_out_max = 3
step_in_max = 2
[launch]
launch_template_id = "lt-demo"
launch_template_version = "$Latest"
subnets = ["subnet-a", "subnet-b", "subnet-c"]
pool_cooldown = "20s"
pool_cooldown_max = "60s"
boot_timeout = "90s"
[balancer]
target_groups = ["arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0123456789abcdef"]
drain_timeout = "40s"
health_grace = "20s"
[cooldown]
scale_out = "20s"
scale_in = "40s"
[scale_in]
window = "30s"
[safety]
termination_budget = { count = 4, per = "2m" }
breaker_reset = "60s"
"#;

const RULES: &str = r#"
[[rule]]
name = "hot"
when = "cpu.avg > 0.75"
sustained = "2 of 3"
action = { add = 2 }
[[rule]]
name = "idle"
when = "cpu.avg < 0.35"
sustained = "2 of 3"
action = { remove = 1 }
"#;

const TARGET: &str = r#"
[[target]]
name = "cpu-60"
signal = "cpu.avg"
value = 0.60
tolerance = 0.10
"#;

/// Makes the fleet work out its load, as one with a forecast does, and never acts.
const FORESEEN: &str = r#"
[[candidate]]
name = "foreseen"
[[candidate.target]]
name = "cpu-60"
signal = "cpu.avg"
value = 0.60
forecast = { hosts_max = 1 }
"#;

/// The fleet of the crash matrix: sizes are set by hand.
const OF_THE_STORIES: &str = "stories";

fn templates() -> &'static BTreeMap<FleetName, FleetConfig> {
    static LOADED: OnceLock<BTreeMap<FleetName, FleetConfig>> = OnceLock::new();
    LOADED.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a folder for the configuration");
        std::fs::create_dir(dir.path().join("fleets")).expect("a folder for the fleets");
        std::fs::write(dir.path().join("fleet-scaler.toml"), SERVICE).expect("the service's file");
        for (name, more) in [
            ("rules", RULES.to_owned()),
            ("target", TARGET.to_owned()),
            ("both", format!("{RULES}{TARGET}")),
            (OF_THE_STORIES, FORESEEN.to_owned()),
        ] {
            let text = format!("name = \"{name}\"\n{COMMON}{more}");
            std::fs::write(dir.path().join(format!("fleets/{name}.toml")), text).expect("a fleet's file");
        }
        config::load(dir.path(), &|_| None).unwrap_or_else(|errors| panic!("{errors}")).fleets
    })
}

/// The fleets of one seed.
pub(crate) fn draw(rng: &mut ChaCha12Rng) -> BTreeMap<FleetName, Arc<FleetConfig>> {
    let all: Vec<_> = templates().values().filter(|fleet| fleet.name.as_str() != OF_THE_STORIES).collect();
    let count = if rng.random_range(0.0..1.0) < 0.15 { 2 } else { 1 };
    let first = rng.random_range(0..all.len());
    (0..count)
        .map(|place| {
            let mut config = all[(first + place) % all.len()].clone();
            config.size.min = rng.random_range(1..=3);
            config.size.max = config.size.min + rng.random_range(2..=5);
            config.interval = Duration::from_secs([5, 10, 10, 15][rng.random_range(0..4)]);
            if rng.random_range(0.0..1.0) < 0.2 {
                config
                    .balancer
                    .target_groups
                    .push(fleet_scaler::domain::ids::TargetGroupArn::new(SECOND_GROUP));
            }
            (config.name.clone(), Arc::new(config))
        })
        .collect()
}

/// The fleet of the crash matrix, with both groups, and patience with hosts that boot slowly: what is bought is to depend
/// on the mishap alone.
pub(crate) fn of_the_stories() -> BTreeMap<FleetName, Arc<FleetConfig>> {
    let mut config = templates()[&FleetName::new(OF_THE_STORIES)].clone();
    config.balancer.target_groups.push(fleet_scaler::domain::ids::TargetGroupArn::new(SECOND_GROUP));
    config.launch.boot_timeout = Duration::from_mins(20);
    [(config.name.clone(), Arc::new(config))].into()
}
