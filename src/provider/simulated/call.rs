//! The way of one call, the same through either door: what the faults make of it, its bucket, its work, its record.
//!
//! A real service does not notice that its caller died, gave up or hung up: a request that has arrived is worked on. So
//! a call goes on in a task of its own, and only its answer depends on somebody being there to take it.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::ids::SubnetId;
use crate::domain::time::Timestamp;
use crate::provider::simulated::model::Model;
use crate::provider::simulated::model::api::{ApiError, Op, Summary};
use crate::provider::simulated::model::faults::active::{Fate, Gate};
use crate::provider::simulated::model::journal::{CallOutcome, CallRecord, Door, Event, HoldPoint, Reply};

/// Calls that may be on their way at once, held ones among them.
const MAX_IN_FLIGHT: usize = 4096;

/// Whose turn a call is worked on in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A task of its own, as a real service: a caller that goes away changes nothing.
    Own,
    /// The caller's, which needs no runtime and has no order of its own: whoever polls decides what happens when. A
    /// caller that goes away in the middle of a delay takes its call with it.
    Callers,
}

/// What both doors and the pages have in common.
pub(crate) struct Shared {
    model: Mutex<Model>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stop: CancellationToken,
    turn: Turn,
    in_flight: Semaphore,
    /// Rises whenever a fault may have been cleared.
    faults_changed: watch::Sender<u64>,
}

/// One call, as far as the way it goes depends on it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Through which door.
    pub(crate) door: Door,
    /// Which operation.
    pub(crate) op: Op,
    /// The launch's subnet.
    pub(crate) subnet: Option<SubnetId>,
    /// How many instances it may start.
    pub(crate) instances: u32,
    /// For the journal.
    pub(crate) parameters: Value,
}

/// What the caller gets.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    /// An answer.
    Said {
        /// The id of the request.
        request_id: String,
        /// What came of it.
        result: Result<T, ApiError>,
    },
    /// None: the connection is closed.
    Silence,
}

impl<T> Answer<T> {
    /// The same answer as a document, which names the request.
    pub(crate) fn into_document(self, write: impl FnOnce(&T, &str) -> String) -> Answer<String> {
        match self {
            Self::Silence => Answer::Silence,
            Self::Said { request_id, result } => {
                let result = result.map(|answer| write(&answer, &request_id));
                Answer::Said { request_id, result }
            }
        }
    }
}

/// A call on its way.
struct Passing {
    call: Call,
    request_id: String,
    arrived_at: Timestamp,
    gate: Gate,
}

impl Shared {
    pub(crate) fn new(model: Model, clock: Arc<dyn Clock>, stop: CancellationToken, turn: Turn) -> Self {
        Self {
            model: Mutex::new(model),
            clock,
            stop,
            turn,
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            faults_changed: watch::Sender::new(0),
        }
    }

    /// The model, as it is now. Never held across a wait.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        let now = self.clock.now();
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        model.advance(now);
        work(&mut model)
    }

    /// Lets the calls that are held look whether they still are.
    pub(crate) fn tell_held_calls(&self) {
        self.faults_changed.send_modify(|version| *version += 1);
    }

    /// Sends one call its way. `work` gets the model and the id of the request.
    pub(crate) async fn call<T: Summary + Send + 'static>(
        self: &Arc<Self>,
        call: Call,
        work: impl FnOnce(&mut Model, &str) -> Result<T, ApiError> + Send + 'static,
    ) -> Answer<T> {
        if self.turn == Turn::Callers {
            return self.pass(call, work).await;
        }
        let shared = Arc::clone(self);
        let passing = tokio::spawn(async move {
            tokio::select! {
                () = shared.stop.cancelled() => Answer::Silence,
                answer = shared.pass(call, work) => answer,
            }
        });
        passing.await.unwrap_or(Answer::Silence)
    }

    async fn pass<T: Summary>(
        &self,
        call: Call,
        work: impl FnOnce(&mut Model, &str) -> Result<T, ApiError>,
    ) -> Answer<T> {
        let passing = self.with(|model| Passing {
            request_id: model.request_id(),
            arrived_at: model.now(),
            gate: model.gate(call.op, call.subnet.as_ref()),
            call,
        });
        let Ok(_permit) = self.in_flight.try_acquire() else {
            let error = ApiError::new(503, "Unavailable", "too many calls are on their way or held");
            return Answer::Said { request_id: passing.request_id, result: Err(error) };
        };
        if !passing.gate.delay.is_zero() {
            self.clock.sleep(passing.gate.delay).await;
        }
        self.wait_while_held(&passing, HoldPoint::Before, &passing.gate.hold_before).await;
        match &passing.gate.fate {
            Fate::RequestLost => {
                self.with(|model| passing.record(model, CallOutcome::Lost, Reply::Dropped));
                Answer::Silence
            }
            Fate::Refused(error) => {
                let error = error.clone();
                self.with(|model| {
                    passing.record(model, CallOutcome::Refused { error: error.clone() }, Reply::Sent);
                });
                Answer::Said { request_id: passing.request_id, result: Err(error) }
            }
            Fate::Answered | Fate::ReplyLost => self.work(passing, work).await,
        }
    }

    async fn work<T: Summary>(
        &self,
        passing: Passing,
        work: impl FnOnce(&mut Model, &str) -> Result<T, ApiError>,
    ) -> Answer<T> {
        let lost = matches!(passing.gate.fate, Fate::ReplyLost);
        let reply = match (lost, passing.gate.hold_after.is_empty()) {
            (true, _) => Reply::Dropped,
            (false, false) => Reply::Held,
            (false, true) => Reply::Sent,
        };
        let result = self.with(|model| {
            let admitted = model.admit(passing.call.op, passing.call.instances);
            let result = admitted.and_then(|()| work(model, &passing.request_id));
            let outcome = match &result {
                Ok(answer) => CallOutcome::Ok { result: answer.summary() },
                Err(error) => CallOutcome::Refused { error: error.clone() },
            };
            passing.record(model, outcome, reply);
            result
        });
        self.wait_while_held(&passing, HoldPoint::After, &passing.gate.hold_after).await;
        if lost { Answer::Silence } else { Answer::Said { request_id: passing.request_id, result } }
    }

    /// Waits until every fault that holds the call is gone.
    async fn wait_while_held(&self, passing: &Passing, when: HoldPoint, faults: &[u64]) {
        let mut changes = self.faults_changed.subscribe();
        if !faults.is_empty() {
            let (op, request_id) = (passing.call.op, passing.request_id.clone());
            self.with(|model| model.record(Event::Held { op, request_id, when }));
        }
        while self.with(|model| faults.iter().any(|id| model.has_fault(*id))) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Passing {
    fn record(&self, model: &mut Model, outcome: CallOutcome, reply: Reply) {
        model.record(Event::Call(Box::new(CallRecord {
            op: self.call.op,
            door: self.call.door,
            request_id: self.request_id.clone(),
            arrived_at: self.arrived_at,
            parameters: self.call.parameters.clone(),
            outcome,
            reply,
        })));
    }
}
