//! The one way to a mutating call.
//!
//! 1. The lease is renewed, so that the call starts with a full lease ahead of it.
//! 2. The call's row is committed, under the fence.
//! 3. Unless too much of the lease went by meanwhile (this process may have been stopped between two instructions),
//!    the call is sent.
//! 4. Its one outcome is recorded. Failing to record it changes nothing: the row says "no outcome", which is *unknown*,
//!    the step that made the call looks again next tick, and the next tick writes `unknown` into the row.
//!
//! No transaction is open while a call is out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::field::display;

use crate::domain::failure::{CloudError, FailureClass};
use crate::domain::ids::{
    AttemptId, CallId, ClientToken, DecisionId, InstanceId, LaunchId, TargetGroupArn, Zone,
};
use crate::reconcile::Parts;
use crate::store::{CallAnswer, CloudCall, Fence, LeaseAnswer, Operation, StoreError};

/// Share of the lease that may have gone by when a call starts.
const LEASE_SHARE_MAX: u32 = 2;

/// What a call is about, as its row says it.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The decision it goes back to.
    pub decision: Option<DecisionId>,
    /// The launch it goes back to.
    pub launch: Option<LaunchId>,
    /// The attempt it is a call of.
    pub attempt: Option<AttemptId>,
    /// 1 for the first, 2 for its first repetition.
    pub ordinal: u32,
    /// The instances it names.
    pub instances: Vec<InstanceId>,
    /// The target group it names.
    pub target_group: Option<TargetGroupArn>,
    /// The zone it is in.
    pub zone: Option<Zone>,
    /// The token it carries.
    pub client_token: Option<ClientToken>,
}

/// What a successful call gave, as far as its row needs it.
pub trait Answered {
    /// The instances it gave.
    fn instances(&self) -> Vec<InstanceId>;
    /// The cloud's id of the request.
    fn request_id(&self) -> Option<String>;
}

impl Answered for crate::provider::RunReply {
    fn instances(&self) -> Vec<InstanceId> {
        self.instances.iter().map(|instance| instance.id.clone()).collect()
    }

    fn request_id(&self) -> Option<String> {
        self.request_id.clone()
    }
}

impl Answered for crate::provider::Receipt {
    fn instances(&self) -> Vec<InstanceId> {
        Vec::new()
    }

    fn request_id(&self) -> Option<String> {
        self.request_id.clone()
    }
}

/// Makes the mutating calls of one fleet under one fence.
pub struct Caller<'a> {
    parts: &'a Parts,
    fence: &'a Fence,
    lease: Duration,
    /// Whether the outcome of some call could not be recorded.
    unrecorded: AtomicBool,
}

impl<'a> Caller<'a> {
    /// A caller for one tick.
    #[must_use]
    pub fn new(parts: &'a Parts, fence: &'a Fence, lease: Duration) -> Self {
        Self { parts, fence, lease, unrecorded: AtomicBool::new(false) }
    }

    /// Makes one call. The outer error is the store's: then nothing was sent.
    pub async fn make<T: Answered>(
        &self,
        op: Operation,
        about: About,
        send: impl Future<Output = Result<T, CloudError>>,
    ) -> Result<Result<T, CloudError>, StoreError> {
        let renewed_at = self.parts.clock.elapsed();
        self.renew().await?;
        let call = self.row(op, about);
        self.parts.store.call_begin(self.fence, &call).await?;
        let answer = if self.since(renewed_at) * LEASE_SHARE_MAX > self.lease {
            Err(CloudError::new(
                FailureClass::Throttled,
                "LeaseMargin",
                "not sent: too little of the lease is left",
            ))
        } else {
            send.await
        };
        self.record(&call, &answer, renewed_at).await;
        // The answer is about to be written down, and the call may have outlived the lease. If somebody else has taken
        // it, that write is refused; this one need not be.
        drop(self.renew().await);
        Ok(answer)
    }

    /// Whether some call was left without an outcome, which the next tick settles.
    #[must_use]
    pub fn left_unrecorded(&self) -> bool {
        self.unrecorded.load(Ordering::Relaxed)
    }

    fn since(&self, earlier: Duration) -> Duration {
        self.parts.clock.elapsed().saturating_sub(earlier)
    }

    /// Keeps the lease, or learns that it is somebody else's.
    pub async fn renew(&self) -> Result<(), StoreError> {
        let Fence { fleet, replica, epoch } = self.fence;
        match self.parts.store.lease_take(fleet, replica, self.lease).await? {
            LeaseAnswer::Held { fence, .. } if fence.epoch == *epoch => Ok(()),
            LeaseAnswer::Held { .. } | LeaseAnswer::Other { .. } => {
                Err(StoreError::Fenced { fleet: fleet.clone(), epoch: *epoch })
            }
        }
    }

    fn row(&self, op: Operation, about: About) -> CloudCall {
        CloudCall {
            id: CallId(self.parts.entropy.uuid()),
            fleet: self.fence.fleet.clone(),
            op,
            decision: about.decision,
            launch: about.launch,
            attempt: about.attempt,
            ordinal: about.ordinal.max(1),
            instances: about.instances,
            target_group: about.target_group,
            zone: about.zone,
            client_token: about.client_token,
        }
    }

    async fn record<T: Answered>(&self, call: &CloudCall, answer: &Result<T, CloudError>, started: Duration) {
        let row = CallAnswer {
            failure: answer.as_ref().err().cloned(),
            instances: answer.as_ref().map(Answered::instances).unwrap_or_default(),
            request_id: match answer {
                Ok(reply) => reply.request_id(),
                Err(error) => error.request_id.clone(),
            },
            duration: self.since(started),
        };
        tell(call, &row);
        let (fleet, op) = (&call.fleet, call.op.as_str());
        if let Err(error) = self.parts.store.call_end(call.id, &row).await {
            tracing::warn!(%fleet, op, call = %call.id, %error, "the call's outcome could not be recorded");
            self.unrecorded.store(true, Ordering::Relaxed);
        }
    }
}

/// The one line of a call, with everything by which it is found again: here, in the rows, and at AWS.
fn tell(call: &CloudCall, answer: &CallAnswer) {
    let CloudCall { fleet, id, .. } = call;
    let op = call.op.as_str();
    let (decision, launch) = (call.decision.map(display), call.launch.map(display));
    let (zone, group) = (call.zone.as_ref().map(display), call.target_group.as_ref().map(display));
    let hosts = if call.instances.is_empty() { &answer.instances } else { &call.instances };
    let hosts =
        (!hosts.is_empty()).then(|| hosts.iter().map(InstanceId::as_str).collect::<Vec<_>>().join(" "));
    let request_id = answer.request_id.as_deref();
    match &answer.failure {
        None => tracing::info!(
            %fleet, op, call = %id, decision, launch, zone, group, hosts, request_id, "cloud call answered"
        ),
        Some(error) => tracing::warn!(
            %fleet, op, call = %id, decision, launch, zone, group, hosts, request_id, %error, "cloud call failed"
        ),
    }
}
