//! The budget against a clock that only moves when told to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::budget::{Cost, Lane, Rate, Refused};
use super::*;
use crate::domain::failure::FailureClass;
use crate::domain::ids::{ClientToken, Pool, Zone};
use crate::domain::launch::{LaunchTemplate, Market};
use crate::domain::time::{Timestamp, after, before};

/// Stands still until it is moved; `sleep` ends when enough was moved since.
struct ManualClock {
    slept: watch::Sender<Duration>,
    now: Mutex<Timestamp>,
}

impl ManualClock {
    fn new() -> Arc<Self> {
        let start = Timestamp::from_timestamp(1_800_000_000, 0).unwrap();
        Arc::new(Self { slept: watch::Sender::new(Duration::ZERO), now: Mutex::new(start) })
    }

    /// Moves time, and lets everyone who waited for it run.
    async fn advance(&self, span: Duration) {
        {
            let mut now = self.now.lock().unwrap();
            *now = after(*now, span);
        }
        self.slept.send_modify(|slept| *slept += span);
        settle().await;
    }

    fn set_back(&self, span: Duration) {
        let mut now = self.now.lock().unwrap();
        *now = before(*now, span);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn elapsed(&self) -> Duration {
        *self.slept.borrow()
    }

    async fn sleep(&self, span: Duration) {
        let mut slept = self.slept.subscribe();
        let until = *slept.borrow() + span;
        slept.wait_for(|slept| *slept >= until).await.unwrap();
    }
}

/// Lets every task that can go on do so.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn lane(burst: f64, per_second: f64, clock: &ManualClock) -> Arc<Lane> {
    Arc::new(Lane::new(Rate { burst, per_second }, None, clock.now()))
}

/// Calls that pass at once, without any wait.
async fn immediate(lane: &Lane, clock: &ManualClock) -> usize {
    let mut passed = 0;
    while passed < 10_000 && lane.admit(clock, ONE, Duration::ZERO).await.is_ok() {
        passed += 1;
    }
    passed
}

#[tokio::test]
async fn a_burst_passes_at_once_and_then_the_rate_holds() {
    let clock = ManualClock::new();
    let lane = lane(5.0, 2.0, &clock);
    assert_eq!(immediate(&lane, &clock).await, 5);
    clock.advance(SECOND).await;
    assert_eq!(immediate(&lane, &clock).await, 2);
    clock.advance(SECOND * 3600).await;
    assert_eq!(immediate(&lane, &clock).await, 5, "the bucket holds no more than its burst");
}

#[tokio::test]
async fn whoever_came_first_goes_first() {
    let clock = ManualClock::new();
    let lane = lane(1.0, 1.0, &clock);
    assert_eq!(immediate(&lane, &clock).await, 1);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..6 {
        let (lane, clock, order) = (lane.clone(), clock.clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            lane.admit(clock.as_ref(), ONE, SECOND * 60).await.unwrap();
            order.lock().unwrap().push(number);
        }));
        settle().await;
    }
    for passed in 0..6 {
        assert_eq!(order.lock().unwrap().len(), passed);
        clock.advance(SECOND + Duration::from_millis(1)).await;
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_turn_that_comes_too_late_is_refused_without_waiting_for_it() {
    let clock = ManualClock::new();
    let lane = lane(1.0, 0.1, &clock);
    assert_eq!(immediate(&lane, &clock).await, 1);
    // The next token is ten seconds away, and nobody moves the clock.
    assert_eq!(lane.admit(clock.as_ref(), ONE, SECOND * 9).await, Err(Refused::TooLate));
}

#[tokio::test]
async fn whoever_waits_behind_another_gives_up_at_its_own_deadline() {
    let clock = ManualClock::new();
    let lane = lane(1.0, 0.1, &clock);
    assert_eq!(immediate(&lane, &clock).await, 1);
    let wait_for = |patience: Duration| {
        let (lane, clock) = (lane.clone(), clock.clone());
        tokio::spawn(async move { lane.admit(clock.as_ref(), ONE, patience).await })
    };
    let first = wait_for(SECOND * 30);
    settle().await;
    let second = wait_for(SECOND * 3);
    settle().await;
    clock.advance(SECOND * 4).await;
    assert!(second.is_finished());
    assert_eq!(second.await.unwrap(), Err(Refused::TooLate));
    assert!(!first.is_finished());
    clock.advance(SECOND * 7).await;
    assert_eq!(first.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn instances_are_counted_beside_requests() {
    let clock = ManualClock::new();
    let instances = Rate { burst: 10.0, per_second: 2.0 };
    let lane = Lane::new(Rate { burst: 100.0, per_second: 100.0 }, Some(instances), clock.now());
    let ask = |count: f64| Cost { requests: 1.0, resources: count };
    assert_eq!(lane.admit(clock.as_ref(), ask(8.0), Duration::ZERO).await, Ok(()));
    assert_eq!(lane.admit(clock.as_ref(), ask(3.0), Duration::ZERO).await, Err(Refused::TooLate));
    assert_eq!(lane.admit(clock.as_ref(), ask(2.0), Duration::ZERO).await, Ok(()));
    clock.advance(SECOND * 2).await;
    assert_eq!(lane.admit(clock.as_ref(), ask(4.0), Duration::ZERO).await, Ok(()));
    // More than the bucket ever holds passes with a full one instead of never.
    clock.advance(SECOND * 60).await;
    assert_eq!(lane.admit(clock.as_ref(), ask(500.0), Duration::ZERO).await, Ok(()));
    assert_eq!(lane.admit(clock.as_ref(), ask(1.0), Duration::ZERO).await, Err(Refused::TooLate));
}

#[tokio::test]
async fn a_throttle_halves_the_pace_once_and_it_comes_back_slowly() {
    let clock = ManualClock::new();
    let lane = lane(100.0, 10.0, &clock);
    let sent_at = clock.now();
    clock.advance(SECOND).await;
    for _ in 0..20 {
        // Twenty calls were in flight together; their refusals are one piece of news.
        lane.throttled(sent_at, clock.now());
    }
    assert!((lane.pace(clock.now()) - 0.5).abs() < 1e-9);
    assert_eq!(immediate(&lane, &clock).await, 0, "the cloud's bucket is empty, so is ours");
    clock.advance(SECOND).await;
    assert_eq!(immediate(&lane, &clock).await, 5);
    let slow = lane.pace(clock.now());
    assert!(slow > 0.5 && slow < 0.6, "{slow}");
    clock.advance(SECOND * 120).await;
    assert!((lane.pace(clock.now()) - 1.0).abs() < 1e-9);
}

#[tokio::test]
async fn the_pace_never_stands_still() {
    let clock = ManualClock::new();
    let lane = lane(100.0, 16.0, &clock);
    for _ in 0..50 {
        clock.advance(Duration::from_millis(1)).await;
        lane.throttled(clock.now(), clock.now());
    }
    let pace = lane.pace(clock.now());
    assert!(pace >= 1.0 / 16.0, "{pace}");
    clock.advance(SECOND * 2).await;
    assert!(immediate(&lane, &clock).await >= 1);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_starve_anyone() {
    let clock = ManualClock::new();
    let lane = lane(2.0, 1.0, &clock);
    assert_eq!(immediate(&lane, &clock).await, 2);
    clock.set_back(SECOND * 3600);
    assert_eq!(immediate(&lane, &clock).await, 0);
    clock.advance(SECOND * 2).await;
    assert_eq!(immediate(&lane, &clock).await, 2);
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let clock = ManualClock::new();
    let lane = lane(1.0, 0.001, &clock);
    assert_eq!(immediate(&lane, &clock).await, 1);
    let tasks: Vec<_> = (0..1_024)
        .map(|_| {
            let (lane, clock) = (lane.clone(), clock.clone());
            tokio::spawn(async move { lane.admit(clock.as_ref(), ONE, SECOND * 100_000).await })
        })
        .collect();
    settle().await;
    assert_eq!(lane.admit(clock.as_ref(), ONE, SECOND).await, Err(Refused::QueueFull));
    for task in tasks {
        task.abort();
    }
}

/// Counts what reaches it, and answers every launch the same.
#[derive(Default)]
struct Counting {
    reached: AtomicUsize,
    throttles: bool,
}

impl Counting {
    fn answer<T>(&self, value: T) -> Result<T, CloudError> {
        self.reached.fetch_add(1, Ordering::SeqCst);
        if self.throttles {
            return Err(CloudError::new(FailureClass::Throttled, "RequestLimitExceeded", "slow down"));
        }
        Ok(value)
    }
}

#[async_trait]
impl CloudProvider for Counting {
    async fn instances(&self, _owner: &OwnerName) -> Result<Vec<CloudInstance>, CloudError> {
        self.answer(Vec::new())
    }
    async fn instances_of_launch(&self, _launch: LaunchId) -> Result<Vec<CloudInstance>, CloudError> {
        self.answer(Vec::new())
    }
    async fn instances_named(&self, _hosts: &[InstanceId]) -> Result<Vec<CloudInstance>, CloudError> {
        self.answer(Vec::new())
    }
    async fn template_version(&self, _template: &TemplateRef, _version: &str) -> Result<u64, CloudError> {
        self.answer(7)
    }
    async fn subnets(&self, _subnets: &[SubnetId]) -> Result<Vec<SubnetInfo>, CloudError> {
        self.answer(Vec::new())
    }
    async fn target_group(&self, group: &TargetGroupArn) -> Result<TargetGroup, CloudError> {
        let (arn, target_type) = (group.clone(), "instance".to_owned());
        self.answer(TargetGroup { arn, port: 80, deregistration_delay: SECOND, target_type })
    }
    async fn target_health(&self, _group: &TargetGroupArn) -> Result<Vec<TargetHealth>, CloudError> {
        self.answer(Vec::new())
    }
    async fn run_instances(&self, _request: &RunRequest) -> Result<RunReply, CloudError> {
        self.answer(RunReply { instances: Vec::new(), request_id: None })
    }
    async fn register(&self, _group: &TargetGroupArn, _hosts: &[InstanceId]) -> Result<Receipt, CloudError> {
        self.answer(Receipt::default())
    }
    async fn deregister(
        &self,
        _group: &TargetGroupArn,
        _targets: &[TargetId],
    ) -> Result<Receipt, CloudError> {
        self.answer(Receipt::default())
    }
    async fn terminate(&self, _hosts: &[InstanceId]) -> Result<Receipt, CloudError> {
        self.answer(Receipt::default())
    }
    async fn may_launch(&self, _request: &RunRequest) -> Result<(), CloudError> {
        self.answer(())
    }
}

fn request(max_count: u32) -> RunRequest {
    RunRequest {
        client_token: ClientToken::new("fs-1"),
        template: LaunchTemplate {
            template: TemplateRef::Id("lt-1".to_owned()),
            version: 7,
            market: Market::OnDemand,
            tags: BTreeMap::new(),
        },
        subnet: SubnetId::new("subnet-a"),
        pool: Pool { zone: Zone::new("eu-west-1a"), instance_type: None },
        max_count,
    }
}

#[tokio::test]
async fn what_the_budget_refuses_is_throttled_and_never_sent() {
    let clock = ManualClock::new();
    let cloud = Arc::new(Counting::default());
    let paced = Paced::new(cloud.clone(), clock.clone(), Duration::from_millis(100));
    for _ in 0..5 {
        paced.run_instances(&request(1)).await.unwrap();
    }
    let error = paced.run_instances(&request(1)).await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (FailureClass::Throttled, LOCAL_BUDGET));
    assert_eq!(cloud.reached.load(Ordering::SeqCst), 5);
    // Launches and reads do not share a bucket.
    paced.instances(&OwnerName::new("prod-1")).await.unwrap();
    paced.terminate(&[InstanceId::new("i-1")]).await.unwrap();
    assert_eq!(cloud.reached.load(Ordering::SeqCst), 7);
}

#[tokio::test]
async fn the_clouds_own_throttle_slows_the_next_calls() {
    let clock = ManualClock::new();
    let cloud = Arc::new(Counting { throttles: true, ..Counting::default() });
    let paced = Paced::new(cloud.clone(), clock.clone(), Duration::ZERO);
    let group = TargetGroupArn::new("arn:group");
    let error = paced.target_health(&group).await.unwrap_err();
    assert_eq!(error.code, "RequestLimitExceeded");
    assert_eq!(paced.target_health(&group).await.unwrap_err().code, LOCAL_BUDGET);
    assert_eq!(cloud.reached.load(Ordering::SeqCst), 1);
    clock.advance(SECOND).await;
    assert_eq!(paced.target_health(&group).await.unwrap_err().code, "RequestLimitExceeded");
}

#[test]
fn every_call_is_counted_by_operation_and_outcome() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let clock = ManualClock::new();
            let paced = Paced::new(Arc::new(Counting::default()), clock.clone(), Duration::ZERO);
            for _ in 0..6 {
                let _ = paced.run_instances(&request(1)).await;
            }
            let throttling = Arc::new(Counting { throttles: true, ..Counting::default() });
            let paced = Paced::new(throttling, clock, Duration::ZERO);
            let _ = paced.register(&TargetGroupArn::new("arn:group"), &[InstanceId::new("i-1")]).await;
        });
    });
    let page = handle.render();
    for line in [
        "fleet_scaler_cloud_calls_total{op=\"RunInstances\",outcome=\"ok\"} 5",
        "fleet_scaler_cloud_calls_total{op=\"RunInstances\",outcome=\"not_sent\"} 1",
        "fleet_scaler_cloud_calls_total{op=\"RegisterTargets\",outcome=\"throttled\"} 1",
        "fleet_scaler_cloud_call_seconds_count{op=\"RunInstances\"} 5",
    ] {
        assert!(page.contains(line), "{line} is missing from:\n{page}");
    }
}
