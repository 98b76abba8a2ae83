//! Failed reads of the cloud, each told in the log with the request's id.
//!
//! A mutating call has a row, and with it its code and its request id; a read has neither. Its failure shows in the
//! decision's faults, as words. So every read of a fleet's loop passes here. What fails at every tick is told when it
//! begins, when its code changes, every few minutes while it goes on, and when it is over: an outage of a night is some
//! dozens of lines, and no line more for a shorter interval.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::domain::failure::CloudError;
use crate::domain::ids::{FleetName, InstanceId, LaunchId, OwnerName, SubnetId, TargetGroupArn};
use crate::domain::launch::{RunRequest, TemplateRef};
use crate::provider::{
    CloudInstance, CloudProvider, Receipt, RunReply, SubnetInfo, TargetGroup, TargetHealth, TargetId,
};

/// How long a failure that goes on is not told again.
const REPEAT: Duration = Duration::from_mins(5);
/// How long a failure is remembered that nobody has asked about since: its launch has ended, its group is gone.
const FORGET: Duration = Duration::from_hours(1);

/// One fleet's way to the cloud, which tells of reads that fail.
pub(super) struct Reads {
    inner: Arc<dyn CloudProvider>,
    clock: Arc<dyn Clock>,
    fleet: FleetName,
    failing: Mutex<Failing>,
}

/// What fails now: the operation, and what it asks about.
type Failing = BTreeMap<(&'static str, String), Failure>;

/// A read that failed the last time.
#[derive(Debug)]
struct Failure {
    code: String,
    times: u32,
    told: Duration,
    seen: Duration,
}

/// What is to be told of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Failed { times: u32 },
    Answered { times: u32 },
}

impl Reads {
    pub(super) fn new(inner: Arc<dyn CloudProvider>, clock: Arc<dyn Clock>, fleet: FleetName) -> Self {
        Self { inner, clock, fleet, failing: Mutex::default() }
    }

    /// Notes the answer of a read that did not pass here: the describe that all fleets share.
    pub(super) fn note<T>(&self, op: &'static str, about: &str, answer: &Result<T, CloudError>) {
        let error = answer.as_ref().err();
        let told = {
            let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
            tell(&mut failing, self.clock.elapsed(), (op, about), error)
        };
        let (fleet, about) = (&self.fleet, (!about.is_empty()).then_some(about));
        match (told, error) {
            (Told::Failed { times }, Some(error)) => {
                let (code, request_id) = (error.code.as_str(), error.request_id.as_deref());
                let class = error.class.as_str();
                tracing::warn!(%fleet, op, about, class, code, request_id, times, %error, "cloud read failed");
            }
            (Told::Answered { times }, _) => {
                tracing::info!(%fleet, op, about, times, "cloud read is answered again");
            }
            (Told::Nothing | Told::Failed { .. }, _) => {}
        }
    }

    async fn read<T>(
        &self,
        op: &'static str,
        about: &str,
        call: impl Future<Output = Result<T, CloudError>>,
    ) -> Result<T, CloudError> {
        let answer = call.await;
        self.note(op, about, &answer);
        answer
    }
}

/// What is to be told, and remembers it.
fn tell(
    failing: &mut Failing,
    now: Duration,
    (op, about): (&'static str, &str),
    error: Option<&CloudError>,
) -> Told {
    failing.retain(|_, failure| now.saturating_sub(failure.seen) < FORGET);
    let key = (op, about.to_owned());
    let Some(error) = error else {
        return failing.remove(&key).map_or(Told::Nothing, |failure| Told::Answered { times: failure.times });
    };
    let new = Failure { code: error.code.clone(), times: 0, told: now, seen: now };
    let failure = failing.entry(key).or_insert(new);
    failure.times = failure.times.saturating_add(1);
    failure.seen = now;
    let first = failure.times == 1 || failure.code != error.code;
    if !first && now.saturating_sub(failure.told) < REPEAT {
        return Told::Nothing;
    }
    failure.told = now;
    failure.code.clone_from(&error.code);
    Told::Failed { times: failure.times }
}

#[async_trait]
impl CloudProvider for Reads {
    async fn instances(&self, owner: &OwnerName) -> Result<Vec<CloudInstance>, CloudError> {
        self.read("DescribeInstances", "", self.inner.instances(owner)).await
    }

    async fn instances_of_launch(&self, launch: LaunchId) -> Result<Vec<CloudInstance>, CloudError> {
        let about = format!("launch {launch}");
        self.read("DescribeInstances", &about, self.inner.instances_of_launch(launch)).await
    }

    async fn instances_named(&self, hosts: &[InstanceId]) -> Result<Vec<CloudInstance>, CloudError> {
        self.read("DescribeInstances", "hosts by their ids", self.inner.instances_named(hosts)).await
    }

    async fn template_version(&self, template: &TemplateRef, version: &str) -> Result<u64, CloudError> {
        let call = self.inner.template_version(template, version);
        self.read("DescribeLaunchTemplateVersions", version, call).await
    }

    async fn subnets(&self, subnets: &[SubnetId]) -> Result<Vec<SubnetInfo>, CloudError> {
        self.read("DescribeSubnets", "", self.inner.subnets(subnets)).await
    }

    async fn target_group(&self, group: &TargetGroupArn) -> Result<TargetGroup, CloudError> {
        self.read("DescribeTargetGroups", group.as_str(), self.inner.target_group(group)).await
    }

    async fn target_health(&self, group: &TargetGroupArn) -> Result<Vec<TargetHealth>, CloudError> {
        self.read("DescribeTargetHealth", group.as_str(), self.inner.target_health(group)).await
    }

    async fn run_instances(&self, request: &RunRequest) -> Result<RunReply, CloudError> {
        self.inner.run_instances(request).await
    }

    async fn register(&self, group: &TargetGroupArn, hosts: &[InstanceId]) -> Result<Receipt, CloudError> {
        self.inner.register(group, hosts).await
    }

    async fn deregister(&self, group: &TargetGroupArn, targets: &[TargetId]) -> Result<Receipt, CloudError> {
        self.inner.deregister(group, targets).await
    }

    async fn terminate(&self, hosts: &[InstanceId]) -> Result<Receipt, CloudError> {
        self.inner.terminate(hosts).await
    }

    async fn may_launch(&self, request: &RunRequest) -> Result<(), CloudError> {
        self.inner.may_launch(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::FailureClass;

    #[test]
    fn an_outage_is_told_when_it_begins_changes_goes_on_and_ends() {
        let mut failing = Failing::new();
        let denied = CloudError::new(FailureClass::Denied, "UnauthorizedOperation", "");
        let silent = CloudError::new(FailureClass::Unknown, "Timeout", "");
        let mut at = |seconds: u64, error: Option<&CloudError>| {
            tell(&mut failing, Duration::from_secs(seconds), ("DescribeInstances", ""), error)
        };
        assert_eq!(at(0, None), Told::Nothing);
        assert_eq!(at(10, Some(&denied)), Told::Failed { times: 1 });
        assert_eq!(at(20, Some(&denied)), Told::Nothing);
        assert_eq!(at(30, Some(&silent)), Told::Failed { times: 3 });
        assert_eq!(at(329, Some(&silent)), Told::Nothing);
        assert_eq!(at(330, Some(&silent)), Told::Failed { times: 5 });
        assert_eq!(at(340, None), Told::Answered { times: 5 });
        assert_eq!(at(350, None), Told::Nothing);
    }

    #[test]
    fn each_thing_asked_about_is_told_of_and_what_is_over_is_forgotten() {
        let mut failing = Failing::new();
        let silent = CloudError::new(FailureClass::Unknown, "Timeout", "");
        for about in ["group a", "group b"] {
            let told = tell(&mut failing, Duration::ZERO, ("DescribeTargetHealth", about), Some(&silent));
            assert_eq!(told, Told::Failed { times: 1 });
        }
        tell(&mut failing, FORGET, ("DescribeTargetHealth", "group c"), Some(&silent));
        assert_eq!(failing.len(), 1, "{failing:?}");
    }
}
