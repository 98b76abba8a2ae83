//! Hours of a service's life in as many seconds: real decisions, made by the real loop from what simulated hosts say, on
//! a clock that runs fast until now, and rightly from then on. So the page has a past to show, and goes on living.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fleet_scaler::clock::{Clock, SystemClock};
use fleet_scaler::domain::ids::{SubnetId, TargetGroupArn, Zone};
use fleet_scaler::domain::time::{Timestamp, after};
use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::Fault;
use fleet_scaler::provider::simulated::model::load::{AtEnd, LoadTarget};
use fleet_scaler::provider::simulated::options::load::LoadOptions;
use fleet_scaler::provider::simulated::options::parts::{Buckets, TargetGroupOptions};
use fleet_scaler::provider::simulated::options::{CloudOptions, DEFAULT_TARGET_GROUP};

use crate::http::site::{Plan, Site};
use crate::support::{TEST_CLOCK, TestDatabase, sql};

/// A clock that is so many times too fast, up to a moment at which it is right; it is right ever after.
#[derive(Clone, Copy)]
struct DayClock {
    right_at: Timestamp,
    speed: u32,
    /// The two moments, as time passed in the process's life.
    began: Duration,
    length: Duration,
}

impl DayClock {
    fn new(length: Duration, speed: u32) -> Self {
        let began = SystemClock.elapsed();
        Self { right_at: after(SystemClock.now(), length), speed, began, length }
    }

    /// The same clock for the database, so that the two agree to the microsecond.
    fn sql(&self) -> String {
        let Self { right_at, speed, .. } = self;
        format!(
            "{TEST_CLOCK};
             CREATE OR REPLACE FUNCTION test_clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
             'SELECT CASE WHEN at >= ends THEN at ELSE ends - (ends - at) * {speed} END FROM
              (SELECT pg_catalog.clock_timestamp() AS at, ''{}''::timestamptz AS ends) AS real'",
            right_at.to_rfc3339()
        )
    }

    /// Real time from one moment of this clock to a later one.
    fn real(&self, span: Duration) -> Duration {
        let fast = (self.began + self.length).saturating_sub(SystemClock.elapsed()) * self.speed;
        fast.min(span) / self.speed + span.saturating_sub(fast)
    }
}

#[async_trait]
impl Clock for DayClock {
    fn now(&self) -> Timestamp {
        let real = SystemClock.now();
        let left = (self.right_at - real).max(chrono::TimeDelta::zero());
        real.max(self.right_at) - left * i32::try_from(self.speed).expect("a speed is a small number")
    }

    fn elapsed(&self) -> Duration {
        let real = SystemClock.elapsed();
        real + real.saturating_sub(self.began).min(self.length) * (self.speed - 1)
    }

    async fn sleep(&self, span: Duration) {
        SystemClock.sleep(self.real(span)).await;
    }
}

/// The fleets of the day. `web` lives through a rush, `api` through calm waves; somebody has paused `search`, nothing
/// can be bought for `batch`, and `staging` only says what it would do.
const FLEETS: [&str; 5] = ["web", "api", "search", "batch", "staging"];

const FLEET: &str = r#"name = "NAME"
mode = "MODE"
interval = "15s"

[size]
min = MIN
max = MAX
step_out_max = 4
step_in_max = 2

[launch]
launch_template_id = "lt-demo"
launch_template_version = "$Latest"
subnets = SUBNETS
boot_timeout = "5m"
pool_cooldown = "2m"
pool_cooldown_max = "10m"

[balancer]
target_groups = ["GROUP"]
drain_timeout = "2m"
health_grace = "1m"

[metrics.host]
port = PORT
timeout = "2s"
allow_loopback = true

[[rule]]
name = "hot"
when = "cpu.avg > 0.85 || memory.avg > 0.90"
sustained = "2 of 3"
action = { add = 2 }
cooldown = "1m"

[[target]]
name = "cpu-60"
signal = "cpu.avg"
value = 0.60
tolerance = 0.10

[cooldown]
scale_out = "1m"
scale_in = "2m"

[scale_in]
window = "3m"
order = "oldest"

[safety]
termination_budget = { count = 40, per = "1h" }
"#;

/// What `web` has besides: a floor for the day and a ceiling for a sale, and two policies that are tried.
const WEB_TOO: &str = r#"
[[schedule]]
name = "day"
start = "0 6 * * *"
end = "0 2 * * *"
timezone = "Europe/Berlin"
size = { min = 4 }

[[schedule]]
name = "sale"
start = "0 18 24 DEC *"
end = "0 23 24 DEC *"
timezone = "Europe/Berlin"
size = { max = 24 }

[[candidate]]
name = "calmer"
cooldown = { scale_out = "3m", scale_in = "10m" }

[[candidate]]
name = "leaner"

[[candidate.target]]
name = "cpu-75"
signal = "cpu.avg"
value = 0.75
tolerance = 0.10
"#;

fn group(name: &str) -> TargetGroupArn {
    TargetGroupArn::new(DEFAULT_TARGET_GROUP.replace("web", name))
}

fn file(name: &str, port: u16) -> String {
    let (mode, min, max, subnets) = match name {
        "web" => ("live", 3, 16, r#"["subnet-a", "subnet-b", "subnet-c"]"#),
        "api" => ("live", 2, 10, r#"["subnet-a", "subnet-b"]"#),
        "search" => ("live", 2, 8, r#"["subnet-b", "subnet-c"]"#),
        "batch" => ("live", 1, 4, r#"["subnet-d"]"#),
        _ => ("dry-run", 1, 4, r#"["subnet-a"]"#),
    };
    let besides = if name == "web" { WEB_TOO } else { "" };
    format!("{FLEET}{besides}")
        .replace("NAME", name)
        .replace("MODE", mode)
        .replace("MIN", &min.to_string())
        .replace("MAX", &max.to_string())
        .replace("SUBNETS", subnets)
        .replace("GROUP", group(name).as_str())
        .replace("PORT", &port.to_string())
}

fn cloud(port: u16, load: LoadOptions) -> CloudOptions {
    let group_of = |name: &&str| TargetGroupOptions {
        arn: group(name),
        name: (*name).to_owned(),
        deregistration_delay: Duration::from_mins(1),
        ..TargetGroupOptions::default()
    };
    let mut options = CloudOptions::default().with_host_port(Some(port)).with_load(load);
    options.subnets.insert(SubnetId::new("subnet-d"), Zone::new("eu-west-1d"));
    options.target_groups = FLEETS.iter().map(group_of).collect();
    // What is seen here is what is decided, and not how calls are paced; the clock is too fast for that.
    options.buckets = Buckets::Unlimited;
    options
}

/// A slow rise, a rush that nobody expected, and the way down: requests a second, by the share of the day.
const RUSH: [(f64, f64); 9] = [
    (0.0, 160.0),
    (0.3, 240.0),
    (0.55, 410.0),
    (0.76, 460.0),
    (0.77, 880.0),
    (0.85, 840.0),
    (0.92, 520.0),
    (0.97, 430.0),
    (1.0, 360.0),
];
/// A zone has nothing to sell from just before the rush until it is over.
const SHORTAGE: (f64, f64) = (0.7, 0.85);

/// So much of a day, at this speed, with all that has become of it; most of it is over when this returns.
pub(super) async fn day(length: Duration, speed: u32) -> Site {
    let database = TestDatabase::new().await;
    let clock = DayClock::new(length, speed);
    sqlx::raw_sql(sql(clock.sql())).execute(&database.superuser_pool()).await.unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let seconds = f64::from(speed) * length.as_secs_f64();
    let points = RUSH.map(|(share, rps)| (share * seconds, rps)).into();
    let site = Site::of(Plan {
        database,
        tokens: None,
        fleets: FLEETS.map(|name| (name.to_owned(), file(name, port))).into(),
        service: "lease = \"10m\"\n".to_owned(),
        cloud: cloud(port, LoadOptions::Points { points, speed: 1.0, at_end: AtEnd::Hold }),
        clock: Arc::new(clock),
        acts: true,
    })
    .await;
    trouble(&site);
    let (from, until) = SHORTAGE;
    SystemClock.sleep(length.mul_f64(from)).await;
    let full = Fault::Capacity { zone: Some(Zone::new("eu-west-1b")), instance_type: None, left: 0 };
    let full = site.cloud.cloud.set_fault(full).unwrap();
    SystemClock.sleep(length.mul_f64(until - from)).await;
    site.cloud.cloud.clear_fault(full).unwrap();
    site
}

/// What goes wrong on it, and the loads of those for whom nothing does.
fn trouble(site: &Site) {
    let cloud = &site.cloud.cloud;
    let refused = Fault::Error {
        op: Some(Op::RunInstances),
        zone: Some(Zone::new("eu-west-1d")),
        code: "InvalidAMIID.NotFound".to_owned(),
        http_status: None,
        message: Some("The image id '[ami-0123456789abcdef0]' does not exist".to_owned()),
        count: None,
        probability: None,
    };
    cloud.set_fault(refused).unwrap();
    let waves = [
        ("api", 180.0, 70.0, 45),
        ("search", 120.0, 30.0, 30),
        ("batch", 40.0, 0.0, 60),
        ("staging", 40.0, 0.0, 60),
    ];
    for (name, mean, amplitude, minutes) in waves {
        let load = LoadOptions::Sine { mean, amplitude, period: Duration::from_mins(minutes) };
        let (target, curve) = (LoadTarget::TargetGroup(group(name)), load.resolve().unwrap());
        cloud.with_model(|model| model.set_load(Some(target), &curve)).unwrap();
    }
}
