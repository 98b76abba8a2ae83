//! Questions about the past, answered by looking through everything: here nothing is so large that it needs an index.

use std::collections::BTreeMap;

use chrono::{DurationRound as _, TimeDelta};
use serde_json::json;

use crate::decide::plan::{Effect, Guard, Plan};
use crate::domain::ids::{DecisionId, FleetName, InstanceId, LaunchId};
use crate::domain::operation::Operation;
use crate::domain::time::Timestamp;
use crate::store::DecisionRow;
use crate::store::history::{
    CallRecord, DecisionHead, DecisionQuery, EventQuery, EventRecord, Pulse, Refusal, Sample, SeriesQuery,
    Standing,
};
use crate::store::memory::event::{Event, EventRow};
use crate::store::memory::rows::{CallRow, Decided, FleetRow, RefusalRow, Rows};
use crate::store::memory::{list, operator};
use crate::store::shared::{bounded, list_limit};

/// A run counts as late as its last repetition, and none is longer than this.
const RUN_MAX: TimeDelta = TimeDelta::hours(1);
/// Calls that one decision shows.
const CALLS_MAX: usize = 1_000;
/// Registrations that are later are no longer told with the decision that bought the host.
const REGISTERED_WITHIN: TimeDelta = TimeDelta::days(1);
/// Rows are written by clocks that are almost the same.
const BEFORE_A_DRAIN: TimeDelta = TimeDelta::minutes(1);

pub(super) fn standings(rows: &Rows, now: Timestamp) -> Vec<Standing> {
    rows.fleets.iter().map(|(name, row)| standing(rows, now, name, row)).collect()
}

fn standing(rows: &Rows, now: Timestamp, name: &FleetName, row: &FleetRow) -> Standing {
    let mut hosts = BTreeMap::new();
    for host in rows.alive(name) {
        *hosts.entry(host.state.name().to_owned()).or_default() += 1;
    }
    let cooling = row.pools.values().filter(|pool| pool.is_cooling(now)).count();
    Standing {
        fleet: name.clone(),
        now,
        lease: row.lease.clone(),
        memory: row.memory.clone(),
        hosts,
        reserved: rows.open_launches(name).map(crate::domain::launch::Launch::missing).sum(),
        pools_cooling: u32::try_from(cooling).unwrap_or(u32::MAX),
        requests: u32::try_from(operator::unanswered(rows, name).len()).unwrap_or(u32::MAX),
        last: row.decisions.back().map(|one| head(rows, name, one)),
        observed: row.window.values().next_back().cloned(),
    }
}

fn head(rows: &Rows, fleet: &FleetName, one: &Decided) -> DecisionHead {
    let row = list::row(rows, fleet, one);
    DecisionHead {
        id: row.id,
        at: row.at,
        last_at: row.last_at,
        count: row.count,
        fleet: row.fleet,
        replica: row.replica,
        epoch: row.epoch,
        action: row.plan.action,
        size_before: row.plan.size_before,
        size_wanted: row.plan.size_wanted,
        code: row.plan.code,
        reason: bounded(&row.plan.reason),
        refused_by: refused_by(&row.plan),
        outcome: row.outcome,
    }
}

fn refused_by(plan: &Plan) -> Vec<Guard> {
    let refusals = plan.verdicts.iter().filter(|verdict| verdict.effect == Effect::Refuse);
    refusals.map(|verdict| verdict.guard).collect()
}

/// Every decision that is kept, with its fleet.
fn decisions(rows: &Rows) -> impl Iterator<Item = (&FleetName, &Decided)> {
    rows.fleets.iter().flat_map(|(name, row)| row.decisions.iter().map(move |one| (name, one)))
}

pub(super) fn heads(rows: &Rows, query: &DecisionQuery) -> Vec<DecisionHead> {
    let wanted = |(name, one): &(&FleetName, &Decided)| {
        let last_at = one.run.map_or(one.at, |run| run.last_at);
        query.fleet.as_ref().is_none_or(|only| only == *name)
            && query.since.is_none_or(|since| one.at >= since - RUN_MAX && last_at >= since)
            && query.until.is_none_or(|until| one.at < until)
            && (query.actions.is_empty() || query.actions.contains(&one.plan.action))
            && query.after.is_none_or(|after| (one.at, one.id) < after)
    };
    let mut found: Vec<_> = decisions(rows).filter(wanted).collect();
    found.sort_by_key(|(_, one)| std::cmp::Reverse((one.at, one.id)));
    found.truncate(list_limit(query.limit) as usize);
    found.into_iter().map(|(fleet, one)| head(rows, fleet, one)).collect()
}

pub(super) fn decision(rows: &Rows, id: DecisionId) -> Option<(DecisionRow, Vec<CallRecord>)> {
    let (fleet, one) = decisions(rows).find(|(_, one)| one.id == id)?;
    let follows = |row: &&CallRow| {
        row.call.decision == Some(id)
            || row.call.launch.is_some_and(|launch| one.launches.contains(&launch))
            || registers(rows, &one.launches, row)
            || takes_out(rows, id, row)
    };
    let mut calls: Vec<_> = rows.calls.iter().filter(follows).collect();
    calls.sort_by_key(|row| (row.at, row.call.id));
    calls.truncate(CALLS_MAX);
    Some((list::row(rows, fleet, one), calls.into_iter().map(call).collect()))
}

/// Whether a call registers a host of one of these launches. It names no launch: it goes for several at once.
fn registers(rows: &Rows, launches: &[LaunchId], row: &CallRow) -> bool {
    let bought = |host: &InstanceId| {
        let launch = rows.hosts.get(host).and_then(|host| host.host.launch);
        let launch = launch.filter(|launch| launches.contains(launch));
        launch.and_then(|launch| rows.launches.get(&launch)).is_some_and(|launch| {
            let since = launch.launch.created_at;
            (since..=since + REGISTERED_WITHIN).contains(&row.at)
        })
    };
    row.call.op == Operation::RegisterTargets && row.call.instances.iter().any(bought)
}

/// Whether a call takes out a host that this decision sent away.
fn takes_out(rows: &Rows, id: DecisionId, row: &CallRow) -> bool {
    let mut drains = rows.drains.values().filter(|drain| drain.decision == Some(id));
    matches!(row.call.op, Operation::DeregisterTargets | Operation::TerminateInstances)
        && drains.any(|drain| {
            row.call.fleet == drain.fleet
                && row.call.instances.contains(&drain.host)
                && row.at >= drain.drain.started_at - BEFORE_A_DRAIN
                && drain.ended.is_none_or(|(ended, _)| row.at <= ended)
        })
}

fn call(row: &CallRow) -> CallRecord {
    let (call, end) = (&row.call, row.end.as_ref());
    let failure = end.and_then(|end| end.failure.as_ref());
    let given = end.map(|end| &end.instances).filter(|_| call.instances.is_empty());
    CallRecord {
        id: call.id,
        at: row.at,
        op: call.op,
        launch: call.launch,
        ordinal: call.ordinal,
        instances: given.unwrap_or(&call.instances).clone(),
        target_group: call.target_group.clone(),
        zone: call.zone.clone(),
        outcome: end.map_or("pending", |end| end.outcome).to_owned(),
        error_code: failure.map(|error| bounded(&error.code)),
        error_message: failure.map(|error| bounded(&error.message)),
        request_id: end.and_then(|end| end.request_id.clone()),
        answered_at: end.map(|end| end.at),
    }
}

pub(super) fn events(rows: &Rows, query: &EventQuery) -> Vec<EventRecord> {
    let wanted = |record: &EventRecord| {
        let key = record.key();
        query.fleet.as_ref().is_none_or(|only| record.fleet.as_ref() == Some(only))
            && query.since.is_none_or(|since| record.at >= since)
            && query.until.is_none_or(|until| record.at < until)
            && (query.kinds.is_empty() || query.kinds.contains(&record.kind))
            && query.subject.as_ref().is_none_or(|only| *only == record.subject)
            && query
                .after
                .as_ref()
                .is_none_or(|after| (key.at, &key.fleet, key.seq) < (after.at, &after.fleet, after.seq))
    };
    let mut found: Vec<_> = rows.events.iter().map(record).filter(wanted).collect();
    found.sort_by(|a, b| (b.at, &b.fleet, b.seq).cmp(&(a.at, &a.fleet, a.seq)));
    found.truncate(list_limit(query.limit) as usize);
    found
}

/// An event under the name that Postgres gives it. Only a host's state and a lease are kept beside the subject.
fn record(row: &EventRow) -> EventRecord {
    let empty = || json!({});
    let (kind, subject, data) = match &row.what {
        Event::LeaseTaken { holder, epoch } => {
            ("lease_taken", text(row.fleet.as_ref()), json!({ "holder": holder, "epoch": epoch }))
        }
        Event::LeaseReleased(epoch) => {
            ("lease_released", text(row.fleet.as_ref()), json!({ "epoch": epoch }))
        }
        Event::Decision(id) => ("decision", id.to_string(), empty()),
        Event::LaunchOpened(id) => ("launch_opened", id.to_string(), empty()),
        Event::LaunchClosed(id, _) => ("launch_closed", id.to_string(), empty()),
        Event::AttemptOpened(id) => ("attempt_opened", id.to_string(), empty()),
        Event::AttemptDeferred(id, failure) => {
            ("attempt_deferred", id.to_string(), json!({ "failure": failure }))
        }
        Event::AttemptResolved(id) => ("attempt_resolved", id.to_string(), empty()),
        Event::HostLaunched(id) => ("host_launched", id.to_string(), empty()),
        Event::HostAdopted(id) => ("host_adopted", id.to_string(), empty()),
        Event::Host { id, state, version } => {
            ("host", id.to_string(), json!({ "state": { "state": state }, "version": version }))
        }
        Event::OrphanSighted(id) => ("orphan_sighted", id.to_string(), empty()),
        Event::PoolSet(health) => ("pool_set", health.pool.to_string(), json!(health)),
        Event::PoolCleared(pool) => ("pool_cleared", pool.to_string(), json!(pool)),
        Event::Call(id) => ("cloud_call", id.to_string(), empty()),
        Event::CallEnded(id) => ("cloud_call_outcome", id.to_string(), empty()),
        Event::OperatorActed(id) => ("operator_action", id.to_string(), empty()),
        Event::OperatorAnswered(id) => ("operator_answer", id.to_string(), empty()),
        Event::Configured(version) => ("config_version", version.clone(), empty()),
    };
    EventRecord {
        fleet: row.fleet.clone(),
        seq: i64::try_from(row.seq).unwrap_or(i64::MAX),
        at: row.at,
        kind: kind.to_owned(),
        subject,
        data,
    }
}

fn text(fleet: Option<&FleetName>) -> String {
    fleet.map(ToString::to_string).unwrap_or_default()
}

pub(super) fn samples(rows: &Rows, query: &SeriesQuery) -> Vec<Sample> {
    let Some(row) = rows.fleets.get(&query.fleet) else { return Vec::new() };
    let step = i64::try_from(query.step().as_micros()).unwrap_or(i64::MAX);
    let part = |at: Timestamp| (at - query.since).num_microseconds().unwrap_or(i64::MAX) / step;
    let kept_since = row.window.keys().next().copied();
    let older = row.decisions.iter().filter(|one| kept_since.is_none_or(|kept| one.at < kept));
    let known = older
        .map(|one| (one.at, &one.plan.observation))
        .chain(row.window.iter().map(|(at, observation)| (*at, observation)));
    let mut parts = BTreeMap::new();
    for (at, observation) in known.filter(|(at, _)| *at >= query.since && *at < query.until) {
        let newest = parts.entry(part(at)).or_insert((at, observation));
        if newest.0 <= at {
            *newest = (at, observation);
        }
    }
    let wanted = |number: i64| {
        let end = query.since + TimeDelta::microseconds((number + 1).saturating_mul(step));
        let made = row.decisions.iter().filter(|one| one.at < end.min(query.until));
        made.max_by_key(|one| one.at).map(|one| one.plan.size_wanted)
    };
    let samples = parts.into_iter().map(|(number, (_, observation))| Sample {
        observation: observation.clone(),
        wanted: wanted(number),
    });
    samples.collect()
}

pub(super) fn pulses(rows: &Rows) -> BTreeMap<FleetName, Pulse> {
    let mut pulses: BTreeMap<_, _> = rows
        .fleets
        .iter()
        .map(|(name, row)| {
            let observed_at = row.window.keys().next_back().copied();
            (name.clone(), Pulse { seq: 0, observed_at })
        })
        .collect();
    for event in &rows.events {
        if let Some(pulse) = event.fleet.as_ref().and_then(|fleet| pulses.get_mut(fleet)) {
            pulse.seq = i64::try_from(event.seq).unwrap_or(i64::MAX);
        }
    }
    pulses
}

pub(super) fn refuse(rows: &mut Rows, now: Timestamp, refusals: &[Refusal]) {
    let hour = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
    for refusal in refusals.iter().filter(|refusal| refusal.count > 0) {
        let key = (hour, refusal.cause, bounded(&refusal.token));
        let row = rows.refusals.entry(key).or_insert_with(|| RefusalRow {
            count: 0,
            first_at: now,
            last_at: now,
            last_peer: String::new(),
            last_request: String::new(),
        });
        row.count += i64::from(refusal.count);
        row.last_at = row.last_at.max(now);
        row.last_peer = bounded(&refusal.peer);
        row.last_request = bounded(&refusal.request);
    }
}
