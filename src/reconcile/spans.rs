//! The spans of a tick: where its time went, and what stopped it.
//!
//! A tick is one trace. What is marked here are its steps; the cloud's calls, the scrape and the queries mark themselves
//! where they are made. Names are those of the log and of the audit rows, so that one word finds all three. Without
//! anybody who collects spans (docs/tracing.md) none is made, and nothing here costs more than a comparison.

use std::fmt::Display;

use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span, info_span};

use crate::decide::Plan;
use crate::domain::ids::{FleetName, ReplicaId};
use crate::reconcile::commit::Committed;
use crate::store::Fence;

/// The whole tick. It is no part of anything: what woke it carries no trace.
pub(super) fn tick(fleet: &FleetName, replica: &ReplicaId) -> Span {
    info_span!(
        parent: None,
        "tick",
        %fleet,
        %replica,
        epoch = Empty,
        decision = Empty,
        action = Empty,
        from = Empty,
        to = Empty,
        reason = Empty,
        outcome = Empty,
        otel.status_description = Empty,
    )
}

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident)+) => {
        $($(#[$doc])*
        pub(super) fn $name() -> Span {
            info_span!(stringify!($name), otel.status_description = Empty)
        })+
    };
}

steps! {
    /// Taking or keeping the lease.
    lease
    /// Looking: the cloud, the rows, the hosts, the queries.
    observe
    /// Reading the rows.
    rows
    /// The judgment.
    decide
    /// Writing it down.
    commit
    /// Moving every intent and every host on its way.
    act
}

/// Does one step of a tick. A step that fails says why.
pub(super) async fn within<T, E: Display>(
    span: &Span,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let result = step.instrument(span.clone()).await;
    if let Err(error) = &result {
        failed(span, error);
    }
    result
}

/// The fleet is ours, under this epoch.
pub(super) fn held(fence: &Fence) {
    Span::current().record("epoch", fence.epoch.0);
}

/// What was decided, for the tick that we are in.
pub(super) fn decided(plan: &Plan, committed: &Committed) {
    let span = Span::current();
    if let Committed::Yes { decision, .. } = committed {
        span.record("decision", display(decision));
    }
    span.record("action", plan.action.as_str());
    span.record("from", i64::from(plan.size_before));
    span.record("to", i64::from(plan.size_wanted));
    span.record("reason", plan.reason.as_str());
}

/// How a tick ended; `why`, where it ended early.
pub(super) fn ended(tick: &Span, outcome: &'static str, why: Option<&str>) {
    tick.record("outcome", outcome);
    if let Some(why) = why {
        failed(tick, why);
    }
}

/// Collectors read an error off this field's presence.
fn failed(span: &Span, why: impl Display) {
    span.record("otel.status_description", display(why));
}
