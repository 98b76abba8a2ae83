//! What operators asked for: a size, or one host out. A person's word goes before the load's, and before no guard that
//! keeps the fleet alive.

use crate::decide::census::{Census, is_healthy};
use crate::decide::ground::{Ground, Way};
use crate::decide::leavers::Leavers;
use crate::decide::plan::{Answer, Granted};
use crate::decide::policy::Mode;
use crate::decide::snapshot::{Ask, HostView, OperatorRequest, Protection, Sighting};
use crate::decide::stops::Stops;
use crate::domain::host::DrainReason;
use crate::domain::ids::InstanceId;

/// What became of all requests.
pub(super) struct Requests {
    /// The size that was asked for last and granted.
    pub(super) size: Option<u32>,
    /// The answers, in the order of the requests.
    pub(super) answers: Vec<Answer>,
    /// What was granted, one sentence each.
    pub(super) granted: Vec<String>,
}

/// Answers every request; hosts that are to go for one are chosen.
pub(super) fn answer<'a>(census: &'a Census<'a>, stops: &Stops, leavers: &mut Leavers<'a>) -> Requests {
    let mut requests = Requests { size: None, answers: Vec::new(), granted: Vec::new() };
    for request in &census.snapshot.requests {
        let outcome = match &request.ask {
            Ask::SetSize(size) => {
                set_size(census, stops, *size, requests.size).inspect(|_| requests.size = Some(*size))
            }
            Ask::Drain(host) => drain(census, stops, leavers, host),
        };
        requests.record(request, outcome);
    }
    requests
}

impl Requests {
    fn record(&mut self, request: &OperatorRequest, outcome: Result<String, String>) {
        let (granted, because) = match outcome {
            Ok(sentence) => {
                self.granted.push(format!("{sentence}, asked for by {}: {}", request.actor, request.reason));
                (Granted::Yes, sentence)
            }
            Err(sentence) => (Granted::No, sentence),
        };
        self.answers.push(Answer { request: request.id, granted, because });
    }
}

fn set_size(census: &Census<'_>, stops: &Stops, size: u32, asked: Option<u32>) -> Result<String, String> {
    let bounds = &census.bounds;
    if bounds.clamp(size) != size {
        return Err(Ground::OutOfBounds { size, bounds: bounds.clone() }.to_string());
    }
    dry_run(census)?;
    let from = asked.unwrap_or(census.desired);
    let way = match size.cmp(&from) {
        std::cmp::Ordering::Greater => Way::Out,
        std::cmp::Ordering::Less => Way::In,
        std::cmp::Ordering::Equal => return Ok(format!("the size wanted is {size} already")),
    };
    match stops.pause(way) {
        Some(ground) => Err(ground.to_string()),
        None => Ok(format!("the size wanted goes from {from} to {size}")),
    }
}

fn drain<'a>(
    census: &'a Census<'a>,
    stops: &Stops,
    leavers: &mut Leavers<'a>,
    id: &InstanceId,
) -> Result<String, String> {
    let fleet = &census.policy.fleet;
    let Some(view) = census.snapshot.hosts.iter().find(|view| view.host.id == *id) else {
        return Err(format!("fleet {fleet} has no host {id}"));
    };
    dry_run(census)?;
    may_leave(census, leavers, view)?;
    if let Some((_, ground)) = stops.draining() {
        return Err(ground.to_string());
    }
    if leavers.budget == 0 {
        return Err(leavers.spent().to_string());
    }
    leavers.choose(view, DrainReason::Operator);
    Ok(format!("{id} is taken out"))
}

fn may_leave(census: &Census<'_>, leavers: &Leavers<'_>, view: &HostView) -> Result<(), String> {
    let id = &view.host.id;
    if leavers.is_chosen(view) || !view.host.state.is_capacity() {
        return Err(format!("{id} is on its way out already ({})", view.host.state.name()));
    }
    match view.seen {
        Sighting::Present => {}
        Sighting::Absent => return Err(format!("the cloud does not list {id}")),
        Sighting::Unknown => return Err(format!("nothing was heard of {id} this time: it is left alone")),
    }
    match view.protection {
        Protection::None => {}
        Protection::Tagged => {
            let tag = &census.policy.scale_in.protect_tag;
            return Err(format!(
                "{id} is protected: take the tag {tag} (or its termination protection) off first"
            ));
        }
        Protection::Quarantined => {
            return Err(format!("{id} does not carry this fleet's tags: put them back first"));
        }
    }
    let floor = census.bounds.min;
    if is_healthy(view) && leavers.healthy <= floor {
        return Err(Ground::Floor { healthy: leavers.healthy, floor }.to_string());
    }
    Ok(())
}

fn dry_run(census: &Census<'_>) -> Result<(), String> {
    match census.policy.mode {
        Mode::Live => Ok(()),
        Mode::DryRun => Err(format!("fleet {} is in dry-run: nothing is done to it", census.policy.fleet)),
    }
}
