//! The cloud, as the loop needs it: a few reads, four mutations, and errors that say what to do.

#[cfg(feature = "aws")]
pub mod aws;
pub mod failure_codes;
pub mod paced;
pub mod simulated;
pub mod verify;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::failure::CloudError;
use crate::domain::ids::{InstanceId, InstanceType, LaunchId, OwnerName, SubnetId, TargetGroupArn, Zone};
use crate::domain::launch::{RunRequest, TemplateRef};
use crate::domain::time::Timestamp;

/// A cloud that launches VMs and balances load over them: EC2 and ELBv2, or a model of them.
///
/// Contract, for every implementation:
///
/// - Each method is one logical request with a deadline; a call that outlives it returns [`FailureClass::Unknown`]
///   (code `Timeout`) and may still have done its work.
/// - `run_instances` is sent exactly once per call: no retries inside. The same request (same token, same bytes) in the
///   same zone gives the same instances; changed bytes give [`FailureClass::TokenMismatch`].
/// - Reads are eventually consistent: an instance that was just launched may be missing from them. They are whole or an
///   error: every page was read, or `Err`.
/// - `deregister` of a target that is not registered succeeds. `terminate` of one bad id fails the whole batch.
///
/// [`FailureClass::Unknown`]: crate::domain::failure::FailureClass::Unknown
/// [`FailureClass::TokenMismatch`]: crate::domain::failure::FailureClass::TokenMismatch
#[async_trait]
pub trait CloudProvider: Send + Sync {
    /// Every instance that carries this owner's tag, terminated ones included as long as the cloud shows them. Ordered
    /// by id.
    async fn instances(&self, owner: &OwnerName) -> Result<Vec<CloudInstance>, CloudError>;
    /// Every instance that carries this launch's tag, in any state. Ordered by id.
    async fn instances_of_launch(&self, launch: LaunchId) -> Result<Vec<CloudInstance>, CloudError>;
    /// Those of these instances that the cloud shows, whatever their tags say, in any state. Ordered by id; one that it
    /// does not show is left out, and is no error.
    async fn instances_named(&self, hosts: &[InstanceId]) -> Result<Vec<CloudInstance>, CloudError>;
    /// A launch template's version as a number: `$Latest` and `$Default` resolved, a number checked to exist.
    async fn template_version(&self, template: &TemplateRef, version: &str) -> Result<u64, CloudError>;
    /// The subnets asked for, each with its zone. A subnet that is not there is an error that names it.
    async fn subnets(&self, subnets: &[SubnetId]) -> Result<Vec<SubnetInfo>, CloudError>;
    /// One target group and what of its attributes matters here.
    async fn target_group(&self, group: &TargetGroupArn) -> Result<TargetGroup, CloudError>;
    /// The health of every target of one group, ordered by instance and port. `NotFound` where the group is gone.
    async fn target_health(&self, group: &TargetGroupArn) -> Result<Vec<TargetHealth>, CloudError>;

    /// Launches. At least one instance or an error; fewer than `max_count` is an answer, not an error.
    async fn run_instances(&self, request: &RunRequest) -> Result<RunReply, CloudError>;
    /// Registers running instances with a group, at the group's own port.
    async fn register(&self, group: &TargetGroupArn, hosts: &[InstanceId]) -> Result<Receipt, CloudError>;
    /// Asks a group to let instances go, each at exactly the id and port it is registered with.
    async fn deregister(&self, group: &TargetGroupArn, targets: &[TargetId]) -> Result<Receipt, CloudError>;
    /// Terminates.
    async fn terminate(&self, hosts: &[InstanceId]) -> Result<Receipt, CloudError>;

    /// Asks whether the credentials may launch this, without launching (`DryRun`).
    async fn may_launch(&self, request: &RunRequest) -> Result<(), CloudError>;
}

/// What the cloud says of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudInstance {
    /// Its id.
    pub id: InstanceId,
    /// What the cloud calls its state.
    pub state: InstanceState,
    /// Where it stands.
    pub zone: Zone,
    /// Its subnet; gone from the answer once it is terminated.
    pub subnet: Option<SubnetId>,
    /// What it is.
    pub instance_type: InstanceType,
    /// Its private address; gone from the answer once it is terminated.
    pub address: Option<IpAddr>,
    /// When it was launched.
    pub launched_at: Timestamp,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// EC2's instance states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Being launched.
    Pending,
    /// Running.
    Running,
    /// Being terminated.
    ShuttingDown,
    /// Gone; shown for about an hour more.
    Terminated,
    /// Being stopped.
    Stopping,
    /// Stopped; it still exists and may be started again.
    Stopped,
}

/// A subnet and its zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetInfo {
    /// The subnet.
    pub subnet: SubnetId,
    /// The zone it is in.
    pub zone: Zone,
}

/// A target group, as far as draining needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// Its ARN.
    pub arn: TargetGroupArn,
    /// The port targets are registered at unless they say otherwise.
    pub port: u16,
    /// `deregistration_delay.timeout_seconds`: how long a deregistered target says `draining`.
    pub deregistration_delay: Duration,
    /// `instance`, `ip`, `lambda` or `alb`; the scaler registers instances only.
    pub target_type: String,
}

/// One registered (or recently deregistered) target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TargetId {
    /// The instance.
    pub host: InstanceId,
    /// The port.
    pub port: u16,
}

/// One target's health in one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetHealth {
    /// Which target.
    pub target: TargetId,
    /// What the group says.
    pub state: TargetState,
    /// ELBv2's reason code, such as `Target.NotInUse`; empty where it gave none.
    pub reason: String,
}

/// ELBv2's target states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetState {
    /// Being registered, or not checked often enough yet.
    Initial,
    /// Passes its checks.
    Healthy,
    /// Fails its checks.
    Unhealthy,
    /// Not registered, or the group is used by no listener, or its zone is not enabled.
    Unused,
    /// Being deregistered.
    Draining,
    /// Health checks are off.
    Unavailable,
}

/// An answer to a launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReply {
    /// What was launched, ordered by id.
    pub instances: Vec<CloudInstance>,
    /// The cloud's id of the request.
    pub request_id: Option<String>,
}

/// An answer to any other mutation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The cloud's id of the request.
    pub request_id: Option<String>,
}
