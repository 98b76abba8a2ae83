//! One step for each open launch intent.
//!
//! What a step does follows from the row alone: without an open attempt, the next one is opened in the best pool that does
//! not cool; with one, its stored request is sent (again). The outcome decides what is learned:
//!
//! | answer | what follows |
//! |---|---|
//! | instances | recorded as hosts; what is missing goes to another pool |
//! | refused by the pool | the pool cools; the next attempt has a new token, once no call in doubt is under way |
//! | throttled, over quota | the same bytes later; no pool is blamed |
//! | unknown | the same bytes, in the same zone, until known |
//! | token used otherwise | the instances are looked up by the launch tag; no other token is ever made up |
//! | token's instances dead | the intent ends; a new decision makes a new one |
//! | refused for good | the intent ends and the breaker counts; after a call in doubt, only once the tag finds nothing |

use std::collections::BTreeSet;
use std::time::Duration;

use crate::decide::policy::Policy;
use crate::decide::snapshot::PoolHealth;
use crate::domain::failure::{CloudError, FailureClass};
use crate::domain::host::Host;
use crate::domain::ids::{AttemptId, InstanceId, Pool, SubnetId, Zone};
use crate::domain::launch::{AbandonReason, Attempt, AttemptOutcome, AttemptState, Launch, LaunchState};
use crate::domain::time::{Timestamp, after};
use crate::provider::CloudInstance;
use crate::reconcile::calls::About;
use crate::reconcile::desk::Desk;
use crate::reconcile::sweep::host_of;
use crate::reconcile::{pace, telemetry};
use crate::store::{Operation, PoolChange, Resolution, StoreError};

/// First and longest wait before an unknown outcome is asked about again.
const UNKNOWN_WAIT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// First and longest wait after a throttle.
const THROTTLE_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// First and longest wait while the account is at its limit.
const QUOTA_WAIT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(10));
/// How long the instances of a call in doubt are looked for, once the cloud refuses the attempt for good.
const DOUBT_SPAN: Duration = Duration::from_mins(10);
/// How long a call that was given up may be under way. If a repetition is refused meanwhile, the first one may still buy.
const LATE_SPAN: Duration = Duration::from_mins(1);
/// First and longest wait while a mismatched token's instances cannot be found yet.
const MISMATCH_WAIT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));

/// Where a new attempt would go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Zone and type.
    pub pool: Pool,
    /// Where in it.
    pub subnet: SubnetId,
    /// At most so many.
    pub most: u32,
}

/// The best place for the next attempt: the zone with the fewest of the fleet's hosts first, types in the order of the
/// file; pools that cool are passed over, and zones that the balancer does not serve. `None`: nothing is left.
#[must_use]
pub fn next_site(
    policy: &Policy,
    hosts: &[Host],
    pools: &[PoolHealth],
    unserved: &BTreeSet<Zone>,
    now: Timestamp,
) -> Option<Site> {
    let mut places: Vec<_> = policy.places.iter().filter(|place| !unserved.contains(&place.zone)).collect();
    places.sort_by_key(|place| {
        hosts.iter().filter(|host| host.zone == place.zone && host.state.is_capacity()).count()
    });
    let types: Vec<_> = if policy.instance_types.is_empty() {
        vec![None]
    } else {
        policy.instance_types.iter().cloned().map(Some).collect()
    };
    let sites = types.iter().flat_map(|kind| {
        places.iter().map(move |place| {
            (Pool { zone: place.zone.clone(), instance_type: kind.clone() }, place.subnet.clone())
        })
    });
    for (pool, subnet) in sites {
        match pools.iter().find(|health| health.pool == pool) {
            Some(health) if health.is_cooling(now) => {}
            Some(health) => return Some(Site { pool, subnet, most: health.allowance.max(1) }),
            None => return Some(Site { pool, subnet, most: u32::MAX }),
        }
    }
    None
}

/// What the intents of one tick know in common; each leaves it up to date for the next.
#[derive(Debug)]
pub struct Board {
    /// Hosts that are not final.
    pub hosts: Vec<Host>,
    /// Every instance that has or had a row.
    pub known: BTreeSet<InstanceId>,
    /// Pools that refused.
    pub pools: Vec<PoolHealth>,
}

/// What an attempt's answer means for the intent.
enum Next {
    /// Nothing more this tick.
    Rest,
    /// So many were bought; what is missing may be asked of another pool at once.
    Elsewhere { bought: u32 },
}

/// Moves one open intent as far as it goes this tick. After a definitive refusal the next pool is asked at once, since a
/// surge should not wait an interval a zone; each refusal cools a pool, so there are at most as many turns as pools.
pub async fn launch_step(desk: &Desk<'_>, mut launch: Launch, board: &mut Board) -> Result<(), StoreError> {
    let pools = desk.policy.places.len() * desk.policy.instance_types.len().max(1);
    for _ in 0..=pools {
        let Some(attempt) = current_attempt(desk, &launch, board).await? else { return Ok(()) };
        let AttemptState::Open { calls, not_before, last_failure, .. } = attempt.state else { return Ok(()) };
        // A pause, or the breaker, stops what was never sent. What may have been done must still become known.
        let held = desk.launching.is_closed() && last_failure != Some(FailureClass::Unknown);
        if held || not_before.is_some_and(|at| desk.now() < at) {
            return Ok(());
        }
        let next = match send(desk, &launch, &attempt, calls + 1).await? {
            Ok(instances) => settle_launched(desk, &launch, &attempt, &instances, board).await?,
            Err(error) => settle_failed(desk, &launch, &attempt, calls + 1, error, board).await?,
        };
        let Next::Elsewhere { bought } = next else { return Ok(()) };
        launch.launched += bought;
        launch.attempts = attempt.ordinal;
        launch.state = LaunchState::Open { attempt: None };
    }
    Ok(())
}

/// The attempt whose outcome is open, or the next one, opened now; `None`: nothing is missing, or every pool cools.
async fn current_attempt(
    desk: &Desk<'_>,
    launch: &Launch,
    board: &Board,
) -> Result<Option<Attempt>, StoreError> {
    if let Some(attempt) = launch.open_attempt() {
        return Ok(Some(attempt.clone()));
    }
    if desk.launching.is_closed() || launch.missing() == 0 {
        return Ok(None);
    }
    let Some(site) = next_site(&desk.policy, &board.hosts, &board.pools, &desk.unserved, desk.now()) else {
        // Waiting with hosts reserved would hold up scale-in for as long as nobody sells. The size wanted stays, and the
        // next decision that finds a pool makes a new intent.
        given_up(launch, "no pool can be asked");
        desk.parts.store.launch_abandon(desk.fence, launch.id, AbandonReason::NoPool).await?;
        return Ok(None);
    };
    let id = AttemptId(desk.parts.entropy.uuid());
    let attempt = Attempt::open(launch, id, site.pool, site.subnet, site.most, desk.now());
    desk.parts.store.attempt_open(desk.fence, &attempt).await?;
    Ok(Some(attempt))
}

async fn send(
    desk: &Desk<'_>,
    launch: &Launch,
    attempt: &Attempt,
    ordinal: u32,
) -> Result<Result<Vec<CloudInstance>, CloudError>, StoreError> {
    let request = &attempt.request;
    let about = About {
        decision: Some(launch.decision),
        launch: Some(launch.id),
        attempt: Some(attempt.id),
        ordinal,
        zone: Some(request.pool.zone.clone()),
        client_token: Some(request.client_token.clone()),
        ..About::default()
    };
    let answer =
        desk.caller.make(Operation::RunInstances, about, desk.parts.cloud.run_instances(request)).await?;
    Ok(match answer {
        // An answer without instances is none that EC2 documents: nobody knows what it did.
        Ok(reply) if reply.instances.is_empty() => {
            Err(CloudError::new(FailureClass::Unknown, "EmptyReply", "the reply lists no instance"))
        }
        Ok(reply) => Ok(reply.instances),
        Err(error)
            if error.class == FailureClass::TokenMismatch || in_doubt(attempt, DOUBT_SPAN, desk.now()) =>
        {
            look_up(desk, launch, attempt, error).await
        }
        Err(error) => Err(error),
    })
}

/// What an attempt bought whose calls do not say: all that the launch tag finds, if that is more than the rows know. Lists
/// lag behind launches, one instance at a time, so fewer than were asked for count as the answer only once no lag explains
/// the rest; until then the same bytes are sent again, and nothing else is bought in their place.
async fn look_up(
    desk: &Desk<'_>,
    launch: &Launch,
    attempt: &Attempt,
    unsettled: CloudError,
) -> Result<Vec<CloudInstance>, CloudError> {
    let Ok(found) = desk.parts.cloud.instances_of_launch(launch.id).await else { return Err(unsettled) };
    let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
    let whole = count >= launch.launched.saturating_add(attempt.request.max_count);
    let settled = desk.now() >= after(attempt.opened_at, DOUBT_SPAN);
    let certain = settled && !in_doubt(attempt, DOUBT_SPAN, desk.now());
    if count > launch.launched && (whole || certain) { Ok(found) } else { Err(unsettled) }
}

async fn settle_launched(
    desk: &Desk<'_>,
    launch: &Launch,
    attempt: &Attempt,
    instances: &[CloudInstance],
    board: &mut Board,
) -> Result<Next, StoreError> {
    let hosts = new_hosts(desk, launch, attempt, instances, board);
    if hosts.is_empty() {
        // Each has a row by now: its tags were changed by hand, and it was adopted. The attempt has nothing left to give.
        let unchanged = PoolChange::Unchanged;
        resolve(desk, launch, attempt, AttemptOutcome::Spent, Vec::new(), unchanged, board).await?;
        return Ok(Next::Rest);
    }
    let bought = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
    let pool = &attempt.request.pool;
    let earlier = board.pools.iter().find(|health| health.pool == *pool);
    let change = if bought < attempt.request.max_count {
        // It sold what it had. Asked again at once, it would refuse.
        PoolChange::Set(desk.cooled(earlier, pool))
    } else {
        match earlier.map(pace::pool_sold) {
            None => PoolChange::Unchanged,
            Some(Some(health)) => PoolChange::Set(health),
            Some(None) => PoolChange::Clear(pool.clone()),
        }
    };
    for host in &hosts {
        tracing::info!(
            fleet = %launch.fleet, decision = %launch.decision, launch = %launch.id, host = %host.id, zone = %host.zone,
            "launched"
        );
    }
    board.known.extend(hosts.iter().map(|host| host.id.clone()));
    board.hosts.extend(hosts.iter().cloned());
    let recorded = hosts.clone();
    resolve(desk, launch, attempt, AttemptOutcome::Launched { count: bought }, hosts, change, board).await?;
    recorded.iter().for_each(telemetry::host_recorded);
    Ok(Next::Elsewhere { bought })
}

/// What an attempt bought and no row knows. A person may have copied its tags to machines of theirs: what was launched
/// first is the attempt's, and no more than it asked for.
fn new_hosts(
    desk: &Desk<'_>,
    launch: &Launch,
    attempt: &Attempt,
    instances: &[CloudInstance],
    board: &Board,
) -> Vec<Host> {
    let mut new: Vec<_> = instances.iter().filter(|instance| !board.known.contains(&instance.id)).collect();
    let most = attempt.request.max_count as usize;
    if new.len() > most {
        tracing::warn!(fleet = %launch.fleet, launch = %launch.id, found = new.len(), most, "more carry its tags than it asked for");
        new.sort_by(|a, b| (a.launched_at, &a.id).cmp(&(b.launched_at, &b.id)));
        new.truncate(most);
    }
    new.into_iter().map(|instance| host_of(instance, &launch.fleet, Some(launch.id), desk.now())).collect()
}

async fn settle_failed(
    desk: &Desk<'_>,
    launch: &Launch,
    attempt: &Attempt,
    calls: u32,
    error: CloudError,
    board: &mut Board,
) -> Result<Next, StoreError> {
    let waits = match error.class {
        FailureClass::Capacity if !in_doubt(attempt, LATE_SPAN, desk.now()) => {
            let earlier = board.pools.iter().find(|health| health.pool == attempt.request.pool);
            let change = PoolChange::Set(desk.cooled(earlier, &attempt.request.pool));
            let outcome = AttemptOutcome::Refused { error };
            resolve(desk, launch, attempt, outcome, Vec::new(), change, board).await?;
            return Ok(Next::Elsewhere { bought: 0 });
        }
        FailureClass::TokenSpent => {
            let unchanged = PoolChange::Unchanged;
            resolve(desk, launch, attempt, AttemptOutcome::Spent, Vec::new(), unchanged, board).await?;
            return Ok(Next::Rest);
        }
        FailureClass::Denied | FailureClass::Invalid | FailureClass::NotFound | FailureClass::Protected
            if !in_doubt(attempt, DOUBT_SPAN, desk.now()) =>
        {
            desk.launching.close();
            let outcome = AttemptOutcome::Refused { error };
            resolve(desk, launch, attempt, outcome, Vec::new(), PoolChange::Unchanged, board).await?;
            return Ok(Next::Rest);
        }
        FailureClass::Throttled => THROTTLE_WAIT,
        FailureClass::Quota => QUOTA_WAIT,
        FailureClass::TokenMismatch
        | FailureClass::Denied
        | FailureClass::Invalid
        | FailureClass::NotFound
        | FailureClass::Protected => MISMATCH_WAIT,
        FailureClass::Capacity | FailureClass::Unknown => UNKNOWN_WAIT,
    };
    let wait = pace::nth_wait(calls, waits.0, waits.1, &*desk.parts.entropy);
    desk.parts.store.attempt_defer(desk.fence, attempt.id, error.class, wait).await?;
    Ok(Next::Rest)
}

/// Whether a call of the attempt was given up so lately. Until then a refusal speaks of its own call only: what the earlier
/// one has bought, or may yet buy, is looked for by tag.
fn in_doubt(attempt: &Attempt, span: Duration, now: Timestamp) -> bool {
    match attempt.state {
        AttemptState::Open { doubted_at: Some(at), .. } => now < after(at, span),
        AttemptState::Open { doubted_at: None, .. } | AttemptState::Resolved { .. } => false,
    }
}

async fn resolve(
    desk: &Desk<'_>,
    launch: &Launch,
    attempt: &Attempt,
    outcome: AttemptOutcome,
    hosts: Vec<Host>,
    pool: PoolChange,
    board: &mut Board,
) -> Result<(), StoreError> {
    let resolution = Resolution { attempt: attempt.id, launch: launch.id, outcome, hosts, pool };
    desk.parts.store.attempt_resolve(desk.fence, &resolution).await?;
    match resolution.pool {
        PoolChange::Unchanged => {}
        PoolChange::Clear(pool) => board.pools.retain(|health| health.pool != pool),
        PoolChange::Set(health) => {
            board.pools.retain(|known| known.pool != health.pool);
            board.pools.push(health);
        }
    }
    Ok(())
}

/// Gives back what intents reserve and nobody wants any more: newest first, only as long as what stays still reaches the
/// size wanted, and never one whose outcome is in doubt. An attempt that the cloud has only put off (a throttle, a quota)
/// has bought nothing: it is called off, or it would buy above a `max` that was lowered meanwhile.
pub async fn abandon_unwanted(
    desk: &Desk<'_>,
    launches: Vec<Launch>,
    live: u32,
    desired: u32,
) -> Result<Vec<Launch>, StoreError> {
    let reserved: u32 = launches.iter().map(Launch::missing).sum();
    let mut excess = live.saturating_add(reserved).saturating_sub(desired);
    let mut kept = Vec::with_capacity(launches.len());
    for launch in launches.into_iter().rev() {
        let certain = launch.open_attempt().is_none_or(has_bought_nothing);
        if certain && launch.missing() > 0 && launch.missing() <= excess {
            excess -= launch.missing();
            call_off(desk, &launch).await?;
            desk.parts.store.launch_abandon(desk.fence, launch.id, AbandonReason::NotWanted).await?;
            given_up(&launch, "no longer wanted");
        } else {
            kept.push(launch);
        }
    }
    kept.reverse();
    Ok(kept)
}

fn given_up(launch: &Launch, why: &str) {
    let Launch { fleet, decision, id, .. } = launch;
    tracing::info!(%fleet, %decision, launch = %id, why, "the intent is given up");
}

/// Whether every call of an attempt was answered, and none of them did anything.
fn has_bought_nothing(attempt: &Attempt) -> bool {
    match &attempt.state {
        AttemptState::Open { last_failure, .. } => {
            matches!(last_failure, None | Some(FailureClass::Throttled | FailureClass::Quota))
        }
        AttemptState::Resolved { .. } => false,
    }
}

/// Settles the attempt of an intent that is given up. Nothing was bought by it, and nothing was learned of its pool.
async fn call_off(desk: &Desk<'_>, launch: &Launch) -> Result<(), StoreError> {
    let Some(attempt) = launch.open_attempt() else { return Ok(()) };
    let class = match &attempt.state {
        AttemptState::Open { last_failure: Some(class), .. } => *class,
        AttemptState::Open { last_failure: None, .. } | AttemptState::Resolved { .. } => {
            FailureClass::Throttled
        }
    };
    let error = CloudError::new(class, "CalledOff", "not sent again: the hosts are no longer wanted");
    let resolution = Resolution {
        attempt: attempt.id,
        launch: launch.id,
        outcome: AttemptOutcome::Refused { error },
        hosts: Vec::new(),
        pool: PoolChange::Unchanged,
    };
    desk.parts.store.attempt_resolve(desk.fence, &resolution).await
}
