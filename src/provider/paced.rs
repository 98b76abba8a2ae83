//! One call budget for all fleets, kept in front of the cloud.
//!
//! AWS throttles an account, not a fleet. Were each fleet to pace itself, a hundred of them would still run into the
//! limit together, so every call of the process goes through one [`Paced`], first come, first served within each kind of
//! call. A call whose turn would not come in time is not sent at all; its answer is *throttled* with the code
//! `LocalBudget`, which the loop treats as it treats the cloud's own throttle: the same call later, no blame on anyone.
//!
//! It is also the one place where every call of every kind passes, so calls are counted, timed and marked as spans here.
//!
//! Sizes and rates are AWS's documented defaults:
//! <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html> and
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-throttling.html>.

mod budget;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span, info_span};

use crate::clock::Clock;
use crate::domain::failure::{CloudError, FailureClass};
use crate::domain::ids::{InstanceId, LaunchId, OwnerName, SubnetId, TargetGroupArn};
use crate::domain::launch::{RunRequest, TemplateRef};
use crate::domain::time::since;
use crate::provider::paced::budget::{Cost, Lane, Rate, Refused};
use crate::provider::{
    CloudInstance, CloudProvider, Receipt, RunReply, SubnetInfo, TargetGroup, TargetHealth, TargetId,
};

/// The code of a call that was not sent, because its turn would not have come in time.
pub const LOCAL_BUDGET: &str = "LocalBudget";

/// Counts every call by operation and outcome: `ok`, a failure's class, or `not_sent`.
const CALLS: &str = "fleet_scaler_cloud_calls_total";
/// Times every call that was sent.
const SECONDS: &str = "fleet_scaler_cloud_call_seconds";

/// RunInstances: its own, small bucket of requests, and one of instances.
const RUN: Rate = Rate { burst: 5.0, per_second: 2.0 };
const RUN_INSTANCES: Rate = Rate { burst: 1_000.0, per_second: 2.0 };
/// TerminateInstances: a mutating action's requests, and a bucket of instances.
const TERMINATE: Rate = Rate { burst: 50.0, per_second: 5.0 };
const TERMINATE_INSTANCES: Rate = Rate { burst: 1_000.0, per_second: 20.0 };
/// EC2's filtered or paginated reads.
const DESCRIBE: Rate = Rate { burst: 100.0, per_second: 20.0 };
/// ELBv2's registrations, and its reads.
const ELB_MUTATE: Rate = Rate { burst: 20.0, per_second: 4.0 };
const ELB_READ: Rate = Rate { burst: 40.0, per_second: 10.0 };

/// Targets that the adapter sends in one request; a longer list is several.
const TARGETS_PER_REQUEST: usize = 100;

/// Ids that the adapter names in one describe.
const NAMES_PER_REQUEST: usize = 200;

/// A cloud whose calls wait for their turn.
pub struct Paced {
    inner: Arc<dyn CloudProvider>,
    clock: Arc<dyn Clock>,
    patience: Duration,
    run: Lane,
    terminate: Lane,
    describe: Lane,
    elb_mutate: Lane,
    elb_read: Lane,
}

impl Paced {
    /// Paces every call to `inner`. A call waits for its turn at most as long as `patience`. Make one for the process.
    #[must_use]
    pub fn new(inner: Arc<dyn CloudProvider>, clock: Arc<dyn Clock>, patience: Duration) -> Self {
        metrics::describe_counter!(CALLS, "Calls to the cloud, by operation and outcome.");
        metrics::describe_histogram!(
            SECONDS,
            metrics::Unit::Seconds,
            "How long a call to the cloud took, by operation; waiting for its turn not included."
        );
        let now = clock.now();
        Self {
            inner,
            clock,
            patience,
            run: Lane::new(RUN, Some(RUN_INSTANCES), now),
            terminate: Lane::new(TERMINATE, Some(TERMINATE_INSTANCES), now),
            describe: Lane::new(DESCRIBE, None, now),
            elb_mutate: Lane::new(ELB_MUTATE, None, now),
            elb_read: Lane::new(ELB_READ, None, now),
        }
    }

    async fn send<T>(
        &self,
        op: &'static str,
        lane: &Lane,
        cost: Cost,
        call: impl Future<Output = Result<T, CloudError>>,
    ) -> Result<T, CloudError> {
        let span = span_of(op);
        let answer = self.take_turn(op, lane, cost, call).instrument(span.clone()).await;
        match &answer {
            Ok(_) => _ = span.record("outcome", "ok"),
            Err(error) => told_failed(&span, error),
        }
        answer
    }

    async fn take_turn<T>(
        &self,
        op: &'static str,
        lane: &Lane,
        cost: Cost,
        call: impl Future<Output = Result<T, CloudError>>,
    ) -> Result<T, CloudError> {
        if let Err(refused) = lane.admit(self.clock.as_ref(), cost, self.patience).await {
            metrics::counter!(CALLS, "op" => op, "outcome" => "not_sent").increment(1);
            return Err(self.not_sent(op, refused));
        }
        let sent_at = self.clock.now();
        let answer = call.await;
        let now = self.clock.now();
        metrics::histogram!(SECONDS, "op" => op).record(since(now, sent_at).as_secs_f64());
        let outcome = answer.as_ref().map_or_else(|error| error.class.as_str(), |_| "ok");
        metrics::counter!(CALLS, "op" => op, "outcome" => outcome).increment(1);
        if answer.as_ref().is_err_and(|error| error.class == FailureClass::Throttled) {
            lane.throttled(sent_at, now);
        }
        answer
    }

    fn not_sent(&self, op: &str, refused: Refused) -> CloudError {
        let text = match refused {
            Refused::TooLate => {
                format!(
                    "{op} was not sent: its turn in the call budget does not come within {:?}",
                    self.patience
                )
            }
            Refused::QueueFull => format!("{op} was not sent: too many calls wait for their turn already"),
        };
        CloudError::new(FailureClass::Throttled, LOCAL_BUDGET, text)
    }
}

/// The span of one call, its wait for its turn included. A call outside of any tick is part of no trace.
fn span_of(op: &'static str) -> Span {
    if Span::current().is_none() {
        return Span::none();
    }
    info_span!(
        "cloud call",
        otel.name = op,
        otel.kind = "client",
        op,
        zone = Empty,
        request_id = Empty,
        outcome = Empty,
        class = Empty,
        code = Empty,
        otel.status_description = Empty,
    )
}

fn told_failed(span: &Span, error: &CloudError) {
    let outcome = if error.code == LOCAL_BUDGET { "not_sent" } else { "failed" };
    span.record("outcome", outcome);
    span.record("class", error.class.as_str());
    span.record("code", error.code.as_str());
    span.record("request_id", error.request_id.as_deref());
    span.record("otel.status_description", display(error));
}

/// Puts the cloud's id of the request on the span of the call that we are in.
async fn identified<T>(
    call: impl Future<Output = Result<T, CloudError>>,
    request_id: fn(&T) -> Option<&str>,
) -> Result<T, CloudError> {
    let answer = call.await;
    if let Ok(reply) = &answer {
        Span::current().record("request_id", request_id(reply));
    }
    answer
}

/// The same, of a receipt.
async fn receipted(call: impl Future<Output = Result<Receipt, CloudError>>) -> Result<Receipt, CloudError> {
    identified(call, |receipt| receipt.request_id.as_deref()).await
}

/// One request that names no resources.
const ONE: Cost = Cost { requests: 1.0, resources: 0.0 };

/// One request for each full batch of targets, and one for the rest.
fn batches(targets: usize) -> Cost {
    Cost { requests: targets.div_ceil(TARGETS_PER_REQUEST).max(1) as f64, resources: 0.0 }
}

#[async_trait]
impl CloudProvider for Paced {
    async fn instances(&self, owner: &OwnerName) -> Result<Vec<CloudInstance>, CloudError> {
        self.send("DescribeInstances", &self.describe, ONE, self.inner.instances(owner)).await
    }

    async fn instances_of_launch(&self, launch: LaunchId) -> Result<Vec<CloudInstance>, CloudError> {
        self.send("DescribeInstances", &self.describe, ONE, self.inner.instances_of_launch(launch)).await
    }

    async fn instances_named(&self, hosts: &[InstanceId]) -> Result<Vec<CloudInstance>, CloudError> {
        let cost = Cost { requests: hosts.len().div_ceil(NAMES_PER_REQUEST).max(1) as f64, ..ONE };
        self.send("DescribeInstances", &self.describe, cost, self.inner.instances_named(hosts)).await
    }

    async fn template_version(&self, template: &TemplateRef, version: &str) -> Result<u64, CloudError> {
        let call = self.inner.template_version(template, version);
        self.send("DescribeLaunchTemplateVersions", &self.describe, ONE, call).await
    }

    async fn subnets(&self, subnets: &[SubnetId]) -> Result<Vec<SubnetInfo>, CloudError> {
        self.send("DescribeSubnets", &self.describe, ONE, self.inner.subnets(subnets)).await
    }

    async fn target_group(&self, group: &TargetGroupArn) -> Result<TargetGroup, CloudError> {
        let cost = Cost { requests: 2.0, ..ONE };
        self.send("DescribeTargetGroups", &self.elb_read, cost, self.inner.target_group(group)).await
    }

    async fn target_health(&self, group: &TargetGroupArn) -> Result<Vec<TargetHealth>, CloudError> {
        self.send("DescribeTargetHealth", &self.elb_read, ONE, self.inner.target_health(group)).await
    }

    async fn run_instances(&self, request: &RunRequest) -> Result<RunReply, CloudError> {
        let cost = Cost { resources: f64::from(request.max_count), ..ONE };
        let call = async {
            Span::current().record("zone", display(&request.pool.zone));
            identified(self.inner.run_instances(request), |reply| reply.request_id.as_deref()).await
        };
        self.send("RunInstances", &self.run, cost, call).await
    }

    async fn register(&self, group: &TargetGroupArn, hosts: &[InstanceId]) -> Result<Receipt, CloudError> {
        let call = self.inner.register(group, hosts);
        self.send("RegisterTargets", &self.elb_mutate, batches(hosts.len()), receipted(call)).await
    }

    async fn deregister(&self, group: &TargetGroupArn, targets: &[TargetId]) -> Result<Receipt, CloudError> {
        let call = self.inner.deregister(group, targets);
        self.send("DeregisterTargets", &self.elb_mutate, batches(targets.len()), receipted(call)).await
    }

    async fn terminate(&self, hosts: &[InstanceId]) -> Result<Receipt, CloudError> {
        let cost = Cost { resources: hosts.len() as f64, ..ONE };
        self.send("TerminateInstances", &self.terminate, cost, receipted(self.inner.terminate(hosts))).await
    }

    async fn may_launch(&self, request: &RunRequest) -> Result<(), CloudError> {
        self.send("RunInstances", &self.run, ONE, self.inner.may_launch(request)).await
    }
}
