//! EC2's and ELBv2's token buckets, one for each operation, and RunInstances's second one that counts instances.

use std::collections::BTreeMap;

use crate::domain::time::{Timestamp, since};
use crate::provider::simulated::model::api::{ApiError, Op, Service};
use crate::provider::simulated::options::parts::{BucketOptions, Buckets};

/// RunInstances may start so many instances at once, and regains so many a second.
const RUN_RESOURCES: BucketOptions = BucketOptions { size: 1000.0, refill_per_second: 2.0 };

/// The buckets of one account in one region.
#[derive(Debug)]
pub(super) struct Throttle {
    calls: BTreeMap<Op, Bucket>,
    resources: Option<Bucket>,
}

impl Throttle {
    pub(super) fn new(buckets: &Buckets, now: Timestamp) -> Self {
        let custom = match buckets {
            Buckets::Unlimited => return Self { calls: BTreeMap::new(), resources: None },
            Buckets::Documented => BTreeMap::new(),
            Buckets::Custom(custom) => custom.clone(),
        };
        let bucket = |op: Op| custom.get(&op).copied().unwrap_or_else(|| documented(op));
        let calls = Op::ALL.into_iter().map(|op| (op, Bucket::full(bucket(op), now))).collect();
        Self { calls, resources: Some(Bucket::full(RUN_RESOURCES, now)) }
    }

    /// Replaces one operation's bucket with a full one of this size; `None` puts back what `buckets` says.
    pub(super) fn resize(
        &mut self,
        op: Op,
        options: Option<BucketOptions>,
        buckets: &Buckets,
        now: Timestamp,
    ) {
        let usual = Self::new(buckets, now).calls.remove(&op);
        match options.map(|options| Bucket::full(options, now)).or(usual) {
            Some(bucket) => self.calls.insert(op, bucket),
            None => self.calls.remove(&op),
        };
    }

    /// Takes one call, and the instances it asks for, or says that it is too much.
    pub(super) fn take(&mut self, op: Op, instances: u32, now: Timestamp) -> Result<(), ApiError> {
        let call = self.calls.get_mut(&op).is_none_or(|bucket| bucket.take(1.0, now));
        let resources = instances == 0
            || self.resources.as_mut().is_none_or(|bucket| bucket.take(f64::from(instances), now));
        if call && resources { Ok(()) } else { Err(refusal(op)) }
    }
}

fn refusal(op: Op) -> ApiError {
    match op.service() {
        Service::Ec2 => ApiError::new(503, "RequestLimitExceeded", "Request limit exceeded."),
        Service::Elb => ApiError::client("Throttling", "Rate exceeded"),
    }
}

fn documented(op: Op) -> BucketOptions {
    let (size, refill_per_second) = match op {
        Op::RunInstances => (5.0, 2.0),
        Op::TerminateInstances => (100.0, 5.0),
        Op::CreateTags => (100.0, 10.0),
        Op::RegisterTargets | Op::DeregisterTargets => (40.0, 10.0),
        Op::DescribeInstances
        | Op::DescribeInstanceStatus
        | Op::DescribeSubnets
        | Op::DescribeAvailabilityZones
        | Op::DescribeLaunchTemplates
        | Op::DescribeLaunchTemplateVersions
        | Op::DescribeTargetHealth
        | Op::DescribeTargetGroups
        | Op::DescribeTargetGroupAttributes => (100.0, 20.0),
    };
    BucketOptions { size, refill_per_second }
}

#[derive(Debug)]
struct Bucket {
    options: BucketOptions,
    left: f64,
    at: Timestamp,
}

impl Bucket {
    fn full(options: BucketOptions, now: Timestamp) -> Self {
        Self { options, left: options.size, at: now }
    }

    fn take(&mut self, cost: f64, now: Timestamp) -> bool {
        let regained = since(now, self.at).as_secs_f64() * self.options.refill_per_second;
        self.left = (self.left + regained).min(self.options.size);
        self.at = self.at.max(now);
        let enough = self.left >= cost;
        if enough {
            self.left -= cost;
        }
        enough
    }
}
