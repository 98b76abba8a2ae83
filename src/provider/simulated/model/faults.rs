//! What can be made to go wrong while the cloud runs, as a person or a test writes it down.
//!
//! A fault is either *in force* until it is cleared or used up, or *applied* once, like the death of an instance.
//! [`active`] keeps the former.

pub mod active;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::ids::{InstanceId, InstanceType, TargetGroupArn, Zone};
use crate::provider::simulated::model::api::Op;
use crate::provider::simulated::model::instance::Instance;
use crate::provider::simulated::model::journal::HoldPoint;

/// One fault. Where `op` is left out it means every operation; where `count` and `probability` are, every call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// So many instances are left in the pools that match; each launch takes from them, nothing gives back.
    Capacity {
        /// The zone; left out: every zone, together.
        zone: Option<Zone>,
        /// The instance type; left out: every type, together.
        #[serde(alias = "type")]
        instance_type: Option<InstanceType>,
        /// How many are left.
        left: u32,
    },
    /// The account's limits, instead of those in the options.
    Quota {
        /// Instances, pending and running.
        instances: Option<u32>,
        /// Their vCPUs.
        vcpus: Option<u32>,
    },
    /// Calls are refused and nothing is done.
    Error {
        /// Which operation.
        op: Option<Op>,
        /// Only launches in this zone.
        zone: Option<Zone>,
        /// AWS's code.
        code: String,
        /// The HTTP status; left out: 500 for a capacity code, 503 for a throttle of EC2, else 400.
        http_status: Option<u16>,
        /// The sentence that goes with it.
        message: Option<String>,
        /// So many calls.
        count: Option<u32>,
        /// Each call with this chance, 0 to 1.
        probability: Option<f64>,
    },
    /// The work is done, and the connection is closed without an answer.
    DropReply {
        /// Which operation.
        op: Option<Op>,
        /// So many calls.
        count: Option<u32>,
        /// Each call with this chance, 0 to 1.
        probability: Option<f64>,
    },
    /// The connection is closed and nothing is done.
    DropRequest {
        /// Which operation.
        op: Option<Op>,
        /// So many calls.
        count: Option<u32>,
        /// Each call with this chance, 0 to 1.
        probability: Option<f64>,
    },
    /// Calls take longer. The work is done at the end of the delay, even where the caller has given up by then.
    Delay {
        /// Which operation.
        op: Option<Op>,
        /// How much longer, in milliseconds.
        ms: u64,
        /// So many calls.
        count: Option<u32>,
        /// Each call with this chance, 0 to 1.
        probability: Option<f64>,
    },
    /// Calls wait until this fault is cleared. They go on then, even where the caller is dead by then.
    Hold {
        /// Which operation.
        op: Option<Op>,
        /// Before or after the work.
        when: HoldPoint,
        /// So many calls; further ones pass.
        count: Option<u32>,
    },
    /// Instances launched from now on are not shown by describes for so long.
    VisibilityLag {
        /// In milliseconds.
        ms: u64,
    },
    /// Instances launched from now on stay `pending` for so long.
    SlowBoot {
        /// Only in this zone.
        zone: Option<Zone>,
        /// In milliseconds.
        ms: u64,
    },
    /// Hosts fail their health checks: those that match, or the next so many that are launched.
    NeverHealthy {
        /// This one.
        instance: Option<InstanceId>,
        /// Those in this zone.
        zone: Option<Zone>,
        /// The next so many launched (these stay so after the fault is gone).
        next: Option<u32>,
    },
    /// An instance dies, or is terminated by someone else.
    KillInstance {
        /// Which.
        instance: InstanceId,
        /// How.
        #[serde(default)]
        how: Death,
    },
    /// Somebody changes an instance's tags by hand.
    ChangeTags {
        /// Whose.
        instance: InstanceId,
        /// Tags that it has from now on.
        #[serde(default)]
        set: BTreeMap<String, String>,
        /// Keys of tags that it no longer has.
        #[serde(default)]
        remove: BTreeSet<String>,
    },
    /// An instance refuses to be terminated.
    Protect {
        /// Which.
        instance: InstanceId,
    },
    /// Targets that are draining go on draining after their delay.
    StuckDraining {
        /// Only in this group.
        target_group: Option<TargetGroupArn>,
    },
    /// The balancer does not serve a zone: its targets are `unused` for `Target.NotInUse`.
    ZoneNotEnabled {
        /// Which zone.
        zone: Zone,
    },
    /// A target group is deleted. It does not come back.
    DeleteTargetGroup {
        /// Which.
        target_group: TargetGroupArn,
    },
    /// An operation has a token bucket of this size instead of its own.
    Throttle {
        /// Which operation.
        op: Op,
        /// Calls it holds when full, and is full with now.
        size: f64,
        /// Calls it regains in a second.
        #[serde(default)]
        refill_per_second: f64,
    },
    /// Hosts' pages are not what they should be.
    Page {
        /// What they are instead.
        page: PageFault,
        /// Only this host's.
        instance: Option<InstanceId>,
        /// Only those in this zone.
        zone: Option<Zone>,
        /// Only so large a share of the hosts, 0 to 1, spread evenly over the order they were launched in.
        share: Option<f64>,
    },
}

/// How an instance goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Death {
    /// EC2 shows it `shutting-down`, then `terminated`.
    #[default]
    Terminated,
    /// EC2 shows it `running`; it answers nothing, and its targets are unhealthy.
    Unresponsive,
}

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PageFault {
    /// The connection is accepted, and closed without a byte.
    Closed,
    /// The connection is accepted, and nothing ever comes.
    Silent,
    /// The page begins, and its end never comes.
    Hang,
    /// The page comes a few bytes a second.
    Slow,
    /// Every value is NaN.
    Nan,
    /// Every value is infinite.
    Infinite,
    /// CPU seconds go backwards, memory is negative, and more memory is available than there is.
    Impossible,
    /// So many bytes of valid lines.
    Huge {
        /// How many.
        bytes: u64,
    },
    /// So many bytes of valid lines, gzipped whether that was asked for or not.
    GzipBomb {
        /// How many, once unpacked.
        bytes: u64,
    },
    /// A redirect to the cloud's metadata address.
    Redirect,
    /// An HTTP status, and no page.
    Status {
        /// Which.
        code: u16,
    },
    /// A page that breaks off in the middle of a line, and lines that are none.
    Malformed,
    /// An empty page.
    Empty,
    /// The same page for ever: no counter moves.
    Frozen,
}

impl Fault {
    /// Which calls it takes part in, and how often.
    fn calls(&self) -> Option<CallMatch> {
        match self {
            Self::Error { op, zone, count, probability, .. } => {
                Some(CallMatch { op: *op, zone: zone.clone(), count: *count, probability: *probability })
            }
            Self::DropReply { op, count, probability }
            | Self::DropRequest { op, count, probability }
            | Self::Delay { op, count, probability, .. } => {
                Some(CallMatch { op: *op, zone: None, count: *count, probability: *probability })
            }
            Self::Hold { op, count, .. } => {
                Some(CallMatch { op: *op, zone: None, count: *count, probability: None })
            }
            Self::Capacity { .. }
            | Self::Quota { .. }
            | Self::VisibilityLag { .. }
            | Self::SlowBoot { .. }
            | Self::NeverHealthy { .. }
            | Self::KillInstance { .. }
            | Self::ChangeTags { .. }
            | Self::Protect { .. }
            | Self::StuckDraining { .. }
            | Self::ZoneNotEnabled { .. }
            | Self::DeleteTargetGroup { .. }
            | Self::Throttle { .. }
            | Self::Page { .. } => None,
        }
    }

    /// Whether it keeps a host from passing its health checks.
    fn sickens(&self, host: &Instance) -> bool {
        match self {
            // Where it is for the `next` so many, each launched instance keeps its own mark.
            Self::NeverHealthy { instance, zone, next: None } => {
                instance.as_ref().is_none_or(|id| *id == host.id)
                    && zone.as_ref().is_none_or(|zone| *zone == host.zone)
            }
            _ => false,
        }
    }

    /// What is wrong with this host's page by it.
    fn page_of(&self, host: &Instance) -> Option<PageFault> {
        let Self::Page { page, instance, zone, share } = self else { return None };
        let hit = instance.as_ref().is_none_or(|id| *id == host.id)
            && zone.as_ref().is_none_or(|zone| *zone == host.zone)
            && share.is_none_or(|share| falls_into(host.ordinal, share));
        hit.then_some(*page)
    }

    /// The HTTP status that AWS sends this code with.
    pub(super) fn usual_status(code: &str) -> u16 {
        match code {
            "RequestLimitExceeded" | "Unavailable" | "ServiceUnavailable" => 503,
            "UnauthorizedOperation" | "AuthFailure" | "AccessDenied" => 403,
            "InternalError" | "InternalFailure" | "InsufficientReservedInstanceCapacity" => 500,
            _ if code.starts_with("Insufficient") && code.ends_with("Capacity") => 500,
            _ => 400,
        }
    }
}

/// Whether the n-th of a row is among a share of it that is spread evenly.
#[allow(clippy::float_cmp, reason = "both sides are whole numbers")]
fn falls_into(ordinal: u64, share: f64) -> bool {
    let upto = |n: u64| (n as f64 * share).floor();
    upto(ordinal + 1) != upto(ordinal)
}

/// Which calls a fault takes part in.
struct CallMatch {
    op: Option<Op>,
    zone: Option<Zone>,
    count: Option<u32>,
    probability: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_written_briefly() {
        for (text, fault) in [
            (
                r#"{"fault":"capacity","zone":"eu-west-1a","type":"m7g.large","left":0}"#,
                Fault::Capacity {
                    zone: Some(Zone::new("eu-west-1a")),
                    instance_type: Some(InstanceType::new("m7g.large")),
                    left: 0,
                },
            ),
            (
                r#"{"fault":"drop_reply","op":"RunInstances","count":1}"#,
                Fault::DropReply { op: Some(Op::RunInstances), count: Some(1), probability: None },
            ),
            (
                r#"{"fault":"page","page":"nan","share":0.5}"#,
                Fault::Page { page: PageFault::Nan, instance: None, zone: None, share: Some(0.5) },
            ),
            (
                r#"{"fault":"page","page":{"huge":{"bytes":1000000000}}}"#,
                Fault::Page {
                    page: PageFault::Huge { bytes: 1_000_000_000 },
                    instance: None,
                    zone: None,
                    share: None,
                },
            ),
        ] {
            assert_eq!(serde_json::from_str::<Fault>(text).unwrap(), fault, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named_with_what_would_be_right() {
        for (text, needle) in [
            (r#"{"fault":"capcity","left":0}"#, "unknown variant `capcity`, expected one of `capacity`"),
            (r#"{"fault":"capacity"}"#, "missing field `left`"),
            (r#"{"fault":"delay","op":"RunInstance","ms":1}"#, "unknown variant `RunInstance`"),
            (r#"{"fault":"delay","op":"RunInstances","msec":1}"#, "unknown field `msec`"),
            (r#"{"op":"RunInstances"}"#, "missing field `fault`"),
        ] {
            let error = serde_json::from_str::<Fault>(text).unwrap_err().to_string();
            assert!(error.contains(needle), "{error}");
        }
    }

    #[test]
    fn a_share_is_spread_evenly() {
        let hit = |share: f64| (0..100).filter(|ordinal| falls_into(*ordinal, share)).count();
        assert_eq!((hit(0.0), hit(0.25), hit(0.5), hit(1.0)), (0, 25, 50, 100));
        assert_eq!((0..4).filter(|ordinal| falls_into(*ordinal, 0.5)).collect::<Vec<_>>(), [1, 3]);
    }
}
