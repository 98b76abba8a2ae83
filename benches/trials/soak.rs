//! Three replicas for an hour, on a cloud that fails at random, killed, stopped and told to end at random. The promises are
//! checked all the while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fleet_scaler::provider::simulated::model::api::Op;
use fleet_scaler::provider::simulated::model::faults::{Death, Fault};

use crate::cli::program::Running;
use crate::figures::{circumstances, millis, number, report};
use crate::ground::Ground;

const REPLICAS: usize = 3;
const FLEETS: usize = 4;
const LEASE: Duration = Duration::from_secs(2);
/// Between two blows; on average half of it.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A stopped replica sleeps through its lease, or nearly.
const SLEEP_MAX: Duration = Duration::from_secs(5);
const CHECK_EVERY: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What was done, by name.
type Blows = BTreeMap<&'static str, u32>;

struct Replica {
    process: Running,
    /// Stopped until then.
    asleep_until: Option<Instant>,
}

struct Soak {
    ground: Ground,
    replicas: Vec<Replica>,
    started: u32,
    fault: Option<u64>,
    blows: Blows,
    unheld: Unheld,
}

/// How long fleets were without a holder.
#[derive(Default)]
struct Unheld {
    since: BTreeMap<String, Instant>,
    longest: Duration,
}

pub(crate) async fn run() -> Result<(), String> {
    let minutes = number("MINUTES", 60);
    let mut soak = Soak::start(Ground::new(FLEETS, LEASE).await).await;
    println!("soak: {minutes} minutes, seed {}", soak.ground.seed);
    let (began, end) = (Instant::now(), Instant::now() + Duration::from_secs(minutes * 60));
    let (mut next_blow, mut next_check) = (began, began + CHECK_EVERY);
    while Instant::now() < end {
        if Instant::now() >= next_blow {
            soak.strike();
            next_blow = Instant::now() + soak.ground.span(PAUSE_MAX);
        }
        soak.wake(Instant::now());
        soak.look().await;
        if Instant::now() >= next_check {
            soak.ground.check().await?;
            soak.progress(began.elapsed()).await;
            next_check = Instant::now() + CHECK_EVERY;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    soak.conclude(began.elapsed()).await
}

impl Soak {
    async fn start(ground: Ground) -> Self {
        let mut soak = Self {
            ground,
            replicas: Vec::new(),
            started: 0,
            fault: None,
            blows: Blows::new(),
            unheld: Unheld::default(),
        };
        for _ in 0..REPLICAS {
            let replica = soak.another();
            soak.replicas.push(replica);
        }
        soak.ground.site.until_all_serve().await;
        soak
    }

    fn another(&mut self) -> Replica {
        self.started += 1;
        Replica { process: self.ground.site.spawn(&format!("r{}", self.started)), asleep_until: None }
    }

    /// Does one thing that the service must survive.
    fn strike(&mut self) {
        let victim = self.ground.below(REPLICAS);
        let blow = match self.ground.below(8) {
            0 | 1 => {
                self.replicas[victim].process.0.kill().unwrap();
                self.replicas[victim] = self.another();
                "killed and started again"
            }
            2 | 3 => {
                self.replicas[victim].process.signal("STOP");
                self.replicas[victim].asleep_until = Some(Instant::now() + self.ground.span(SLEEP_MAX));
                "stopped and woken"
            }
            4 => {
                self.wake(Instant::now() + SLEEP_MAX);
                self.replicas[victim].process.signal("TERM");
                self.replicas[victim].process.wait();
                self.replicas[victim] = self.another();
                "told to end and started again"
            }
            5 => {
                let alive = self.ground.site.world.cloud.with_model(|model| {
                    model
                        .instances()
                        .filter(|one| one.state == fleet_scaler::provider::InstanceState::Running)
                        .map(|one| one.id.clone())
                        .collect::<Vec<_>>()
                });
                if !alive.is_empty() {
                    let instance = alive[self.ground.below(alive.len())].clone();
                    self.ground.site.world.fault(Fault::KillInstance { instance, how: Death::default() });
                }
                "machine killed"
            }
            _ => self.disturb(),
        };
        *self.blows.entry(blow).or_default() += 1;
    }

    /// Puts another fault of the cloud in the place of the last one.
    fn disturb(&mut self) -> &'static str {
        if let Some(fault) = self.fault.take() {
            // One that has spent itself is gone already.
            let _ = self.ground.site.world.cloud.clear_fault(fault);
        }
        let (op, count, probability) = (None, None, Some(0.3));
        let (fault, name) = match self.ground.below(7) {
            0 => (Fault::DropReply { op, count, probability }, "cloud: answers lost"),
            1 => (Fault::DropRequest { op, count, probability }, "cloud: requests lost"),
            2 => (Fault::Delay { op, ms: 2500, count, probability }, "cloud: slow"),
            3 => (refusal("RequestLimitExceeded", None, probability), "cloud: throttled"),
            4 => (refusal("InternalError", None, probability), "cloud: internal errors"),
            5 => {
                let code = "InsufficientInstanceCapacity";
                (refusal(code, Some(Op::RunInstances), Some(0.7)), "cloud: no capacity")
            }
            _ => return "cloud: well again",
        };
        self.fault = Some(self.ground.site.world.fault(fault));
        name
    }

    /// Lets those go on that have slept long enough by then.
    fn wake(&mut self, by: Instant) {
        for replica in &mut self.replicas {
            if replica.asleep_until.is_some_and(|until| until <= by) {
                replica.process.signal("CONT");
                replica.asleep_until = None;
            }
        }
    }

    /// Notes which fleets nobody holds.
    async fn look(&mut self) {
        let now = Instant::now();
        for (fleet, hold) in self.ground.site.holds().await {
            if hold.live {
                self.unheld.since.remove(&fleet);
            } else {
                let since = *self.unheld.since.entry(fleet).or_insert(now);
                self.unheld.longest = self.unheld.longest.max(now - since);
            }
        }
    }

    async fn progress(&self, elapsed: Duration) {
        println!(
            "{} s: {} blows, {} machines bought, {} decisions, sizes {:?}, held {:?}",
            elapsed.as_secs(),
            self.blows.values().sum::<u32>(),
            self.ground.site.world.ever_launched(),
            self.ground.count("SELECT count(*) FROM scaler.decision").await,
            self.ground.site.sizes().await.values().collect::<Vec<_>>(),
            self.ground.site.spread().await,
        );
    }

    /// Lets everything come to rest, checks a last time, and tells.
    async fn conclude(mut self, took: Duration) -> Result<(), String> {
        self.ground.site.world.cloud.clear_faults();
        self.wake(Instant::now() + SLEEP_MAX);
        let ground = &self.ground;
        ground
            .site
            .until("every fleet is held and nothing is in doubt", || async {
                ground.site.spread().await.values().sum::<usize>() == FLEETS
                    && ground.count("SELECT count(*) FROM scaler.launch WHERE state = 'open'").await == 0
            })
            .await;
        ground.check().await?;
        ground.check_audit().await?;
        let blows: Vec<_> =
            self.blows.iter().map(|(blow, times)| format!("| {blow} | {times} |\n")).collect();
        let blows = blows.concat();
        let takeovers = ground.count("SELECT sum(epoch)::bigint FROM scaler.lease").await;
        let changes =
            "SELECT count(*) FROM audit.decisions WHERE action IN ('scale_out', 'scale_in', 'replace')";
        report(
            "soak.md",
            &format!(
                "# Soak\n\n{}.\n\n{REPLICAS} replicas of the real program and {FLEETS} fleets for {:.1} minutes, over \
                 one database and the simulated cloud,\nspoken to over HTTP, under a load that goes up and down. A \
                 lease lasts {}. `MINUTES=60 make soak` makes this page\nanew; it ends with an error where a promise \
                 is broken.\n\n| what was done to them | times |\n|---|---|\n{blows}\n\
                 | what came of it | |\n|---|---|\n| machines bought | {} |\n| changes of size and replacements | {} \
                 |\n| decisions | {} |\n| leases that changed hands | {takeovers} |\n| calls in doubt | {} |\n\
                 | longest that a fleet was without a holder | {} |\n| launches with more machines than their count | \
                 0 |\n| fleets above their ceiling | 0 |\n| machines terminated that a target group still had | 0 \
                 |\n| calls without a row | 0 |\n| cooldowns broken | 0 |\n| rows written under an epoch that was \
                 over | 0 |\n| audit chain | whole |\n\nThe zeros were checked every {} s and at the end. A fleet may \
                 be without a holder for as long as all replicas that\ncould take it are stopped.\n",
                circumstances(),
                took.as_secs_f64() / 60.0,
                millis(LEASE),
                ground.site.world.ever_launched(),
                ground.count(changes).await,
                ground.count("SELECT count(*) FROM scaler.decision").await,
                ground.count("SELECT count(*) FROM audit.cloud_calls WHERE outcome = 'unknown'").await,
                millis(self.unheld.longest),
                CHECK_EVERY.as_secs(),
            ),
        );
        Ok(())
    }
}

fn refusal(code: &str, op: Option<Op>, probability: Option<f64>) -> Fault {
    Fault::Error {
        op,
        zone: None,
        code: code.to_owned(),
        http_status: None,
        message: None,
        count: None,
        probability,
    }
}
