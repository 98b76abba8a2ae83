//! What a person asks of a fleet: recorded with who and why, and answered by the fleet's next decision.
//!
//! These commands never touch a cloud. They write one row; whichever replica holds the fleet reads it at its next
//! evaluation, so a request made while the service is down is answered when it is up again.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::context::{self, Context};
use crate::cli::exit::Refused;
use crate::cli::output::room::Room;
use crate::cli::output::{self, Report};
use crate::decide::plan::Granted;
use crate::domain::ids::{DecisionId, FleetName, OperatorActionId};
use crate::entropy::{ChaChaEntropy, Entropy as _};
use crate::store::{DecisionFilter, OperatorAction, OperatorActionKind, Store};
use crate::view::words::{parse_reason, parse_span, span};

/// How often the answer is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Who and why.
#[derive(Debug, Args)]
pub(crate) struct Who {
    /// Why, in a few words; it stands in the audit trail
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(crate) reason: String,
    /// Who asks; by default the user (the one behind sudo) and this machine
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
}

/// Whether to wait for the decision that answers.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Wait so long for the decision that answers; exit code 3 if a guard refuses
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    wait: Option<Duration>,
}

/// What was recorded.
#[derive(Debug, Serialize)]
pub(crate) struct Recorded {
    action_id: OperatorActionId,
    fleet: FleetName,
    action: &'static str,
    actor: String,
    reason: String,
    message: String,
    answer: Option<Answered>,
}

#[derive(Debug, Serialize)]
struct Answered {
    decision_id: DecisionId,
    granted: bool,
    because: String,
}

impl Report for Recorded {
    fn table(&self, _room: Room) -> String {
        match &self.answer {
            None => self.message.clone(),
            Some(answer) => format!("{}\nDecision {}: {}", self.message, answer.decision_id, answer.because),
        }
    }
}

/// Records what a person asks.
pub(crate) async fn record(
    store: &dyn Store,
    fleet: &FleetName,
    who: (Option<&str>, &str),
    kind: OperatorActionKind,
    message: String,
) -> anyhow::Result<Recorded> {
    let (actor, reason) = who;
    let action = OperatorAction {
        id: OperatorActionId(ChaChaEntropy::from_os().uuid()),
        fleet: fleet.clone(),
        actor: context::actor(actor, &context::environment),
        reason: reason.to_owned(),
        kind,
    };
    store.operator_act(&action).await?;
    Ok(Recorded {
        action_id: action.id,
        fleet: action.fleet,
        action: action.kind.name(),
        actor: action.actor,
        reason: action.reason,
        message,
        answer: None,
    })
}

/// Prints what was recorded; where the caller wants to wait, with the answer.
pub(crate) async fn conclude(
    context: &Context,
    store: &dyn Store,
    mut recorded: Recorded,
    wait: &Wait,
) -> anyhow::Result<()> {
    if let Some(patience) = wait.wait {
        recorded.answer = Some(await_answer(store, &recorded, patience).await?);
    }
    output::print(context.format, &recorded)?;
    match recorded.answer {
        Some(Answered { granted: false, because, .. }) => Err(Refused(because).into()),
        Some(_) | None => Ok(()),
    }
}

async fn await_answer(
    store: &dyn Store,
    recorded: &Recorded,
    patience: Duration,
) -> anyhow::Result<Answered> {
    let search = async {
        loop {
            if let Some(answer) = find_answer(store, recorded).await? {
                return anyhow::Ok(answer);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(patience, search).await.unwrap_or_else(|_| {
        Err(anyhow::anyhow!(
            "the request {} is recorded, but no decision answered it within {}: is the service running? \
             `fleet-scaler status {}` shows who holds the fleet",
            recorded.action_id,
            span(patience),
            recorded.fleet
        ))
    })
}

async fn find_answer(store: &dyn Store, recorded: &Recorded) -> anyhow::Result<Option<Answered>> {
    let filter =
        DecisionFilter { fleet: Some(recorded.fleet.clone()), limit: 20, ..DecisionFilter::default() };
    let rows = store.decisions(&filter).await?;
    Ok(rows.into_iter().find_map(|row| {
        let answer = row.plan.answered.into_iter().find(|answer| answer.request == recorded.action_id)?;
        let granted = match answer.granted {
            Granted::Yes => true,
            Granted::No => false,
        };
        Some(Answered { decision_id: row.id, granted, because: answer.because })
    }))
}
