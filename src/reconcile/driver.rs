//! The only place that spawns: a task a fleet, one that asks the database how it is, one that hears of the other replicas,
//! and one that watches for instances of no fleet. The configuration is watched by the caller's own loop here.
//!
//! Fleets are independent: each has its own task and its own deadline for a tick, so one that hangs, or panics, holds up
//! nobody else and is started afresh.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::config::fleet::FleetConfig;
use crate::config::service::ServiceConfig;
use crate::config::watch::Watcher;
use crate::config::{self, Configuration};
use crate::domain::ids::FleetName;
use crate::reconcile::control::Control;
use crate::reconcile::health::Health;
use crate::reconcile::observe::Lookout;
use crate::reconcile::roster::Roster;
use crate::reconcile::tick::{FleetRunner, Ticked};
use crate::reconcile::{Parts, spans, telemetry, unowned};
use crate::store::{ConfigChange, ConfigOutcome, StoreError};

/// A tick that takes longer is given up; what it had sent is in the rows.
const TICK_DEADLINE: Duration = Duration::from_mins(5);
/// How often the database is asked how it is: `/readyz` must notice within five seconds.
const DATABASE_INTERVAL: Duration = Duration::from_secs(2);
/// How long it may take to answer that.
const DATABASE_DEADLINE: Duration = Duration::from_secs(2);
/// Of a lease: how often a replica says that it lives, and a fleet that rests looks whether it must keep, take or give.
const LEASE_PARTS: u32 = 3;
/// How long before a fleet whose task died is started again.
const RESTART_WAIT: Duration = Duration::from_secs(5);

/// Runs every fleet of the configuration that `control` starts with until `stop`, and returns within `shutdown_grace` of that: what is in flight is
/// finished or parked, and the leases are given back. The folder is watched, and read again on `reload` (SIGHUP) too; a
/// version of it that does not validate changes nothing.
pub async fn run(
    parts: Parts,
    control: Arc<Control>,
    dir: PathBuf,
    health: Arc<Health>,
    reload: Arc<Notify>,
    stop: CancellationToken,
) {
    let configuration = Configuration::clone(&control.configuration());
    let service = configuration.service.clone();
    let lookout =
        Arc::new(Lookout::new(Arc::clone(&parts.cloud), Arc::clone(&parts.clock), service.owner.clone()));
    let mut watcher = Watcher::start(&dir).await;
    let (names, fleets_in_force) = watch::channel(configuration.fleets.keys().cloned().collect::<Vec<_>>());
    let roster = Arc::new(Roster::new(Arc::clone(&parts.clock), service.lease));
    // Before anybody can say that the database answers: with no fleet expected yet, that alone would look ready.
    for (name, fleet) in &configuration.fleets {
        health.expect(name, fleet.interval);
        roster.expect(name);
    }
    // Heard first, so that a replica that joins others does not start by taking more than its share.
    tokio::select! {
        () = stop.cancelled() => {}
        () = muster(&parts, &roster, service.lease) => {}
    }
    let background = [
        tokio::spawn(watch_database(parts.clone(), Arc::clone(&health), stop.clone())),
        tokio::spawn(watch_replicas(parts.clone(), Arc::clone(&roster), service.lease, stop.clone())),
        tokio::spawn(unowned::watch(parts.clone(), Arc::clone(&lookout), fleets_in_force, stop.clone())),
    ];
    let mut crew = Crew {
        parts,
        service,
        lookout,
        roster,
        health,
        control,
        stop: stop.clone(),
        tasks: BTreeMap::new(),
        leaving: BTreeMap::new(),
    };
    crew.apply(&configuration).await;
    let mut in_force = configuration;
    // What changed between the first load and the start of the watch is looked at now.
    reload.notify_one();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = reload.notified() => {}
            () = watcher.changed() => {}
        }
        if let Some(next) = crew.reload(&dir, &in_force).await {
            in_force = next;
            drop(names.send(in_force.fleets.keys().cloned().collect()));
        }
    }
    crew.disband().await;
    for task in background {
        task.abort();
    }
}

/// The fleets' tasks.
struct Crew {
    parts: Parts,
    service: ServiceConfig,
    lookout: Arc<Lookout>,
    roster: Arc<Roster>,
    health: Arc<Health>,
    control: Arc<Control>,
    stop: CancellationToken,
    tasks: BTreeMap<FleetName, FleetTask>,
    /// Loops of fleets whose file has vanished, until they have come to rest.
    leaving: BTreeMap<FleetName, JoinHandle<()>>,
}

struct FleetTask {
    config: watch::Sender<Arc<FleetConfig>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Crew {
    /// Reads the folder again. `None`: nothing is new, or it does not validate.
    async fn reload(&mut self, dir: &Path, in_force: &Configuration) -> Option<Configuration> {
        match config::load(dir, &|key| std::env::var(key).ok()) {
            Ok(next) if next.version == in_force.version => {
                telemetry::configuration(true);
                self.record_folder(&next).await;
                None
            }
            Ok(next) => {
                if next.service != in_force.service {
                    tracing::warn!(
                        "fleet-scaler.toml has changed: its settings apply when the service is restarted"
                    );
                }
                tracing::info!(version = %next.version, "configuration applied");
                self.apply(&next).await;
                Some(next)
            }
            Err(errors) => {
                tracing::error!(%errors, "the configuration does not validate; the last good version stays");
                telemetry::configuration(false);
                let text = errors.to_string();
                let version = config::version_of(&text);
                self.record(ConfigChange { fleet: None, version, outcome: ConfigOutcome::Refused, text })
                    .await;
                None
            }
        }
    }

    /// Starts, changes and stops fleets so that they are those of the configuration. A fleet that vanished from the
    /// files is left exactly as it is, with nobody acting on it.
    async fn apply(&mut self, next: &Configuration) {
        telemetry::configuration(true);
        self.control.put_in_force(next);
        self.record_folder(next).await;
        let vanished: Vec<_> =
            self.tasks.keys().filter(|name| !next.fleets.contains_key(*name)).cloned().collect();
        for name in vanished {
            tracing::warn!(fleet = %name, "its file is gone: the fleet is paused; nothing is terminated");
            if let Some(task) = self.tasks.remove(&name) {
                task.stop.cancel();
                self.leaving.insert(name.clone(), task.task);
            }
            self.health.forget(&name);
            self.control.forget(&name);
            self.roster.forget(&name);
            telemetry::configured(&name, false);
            for direction in ["out", "in"] {
                telemetry::paused(&name, direction, true);
            }
            let text = "the fleet's file is gone".to_owned();
            let version = next.version.clone();
            self.record(ConfigChange { fleet: Some(name), version, outcome: ConfigOutcome::Vanished, text })
                .await;
        }
        for (name, fleet) in &next.fleets {
            let config = Arc::new(fleet.clone());
            match self.tasks.get(name) {
                Some(task) if **task.config.borrow() == *config => continue,
                Some(task) => drop(task.config.send(config)),
                None => self.start(name.clone(), config),
            }
            let text = next.texts.get(name).cloned().unwrap_or_default();
            let version = next.version.clone();
            let change =
                ConfigChange { fleet: Some(name.clone()), version, outcome: ConfigOutcome::Applied, text };
            self.record(change).await;
        }
    }

    fn start(&mut self, name: FleetName, config: Arc<FleetConfig>) {
        let interval = config.interval;
        let (sender, receiver) = watch::channel(config);
        let stop = self.stop.child_token();
        let looked_after = Post {
            parts: self.parts.clone(),
            lookout: Arc::clone(&self.lookout),
            roster: Arc::clone(&self.roster),
            lease: self.service.lease,
            health: Arc::clone(&self.health),
            bell: self.control.bell(&name),
            config: receiver,
            stop: stop.clone(),
        };
        self.health.expect(&name, interval);
        self.roster.expect(&name);
        telemetry::configured(&name, true);
        let before = self.leaving.remove(&name);
        let task = tokio::spawn(async move {
            // A file that vanished and came back: two loops of one fleet would share one lease.
            if let Some(before) = before {
                drop(before.await);
            }
            look_after(looked_after).await;
        });
        self.tasks.insert(name, FleetTask { config: sender, stop, task });
    }

    /// A row for the folder as a whole, so that a refusal is seen to have been mended.
    async fn record_folder(&self, next: &Configuration) {
        let names: Vec<_> = next.fleets.keys().map(|name| format!("fleet {name}")).collect();
        let text = names.join("\n");
        let version = next.version.clone();
        self.record(ConfigChange { fleet: None, version, outcome: ConfigOutcome::Applied, text }).await;
    }

    async fn record(&self, change: ConfigChange) {
        if let Err(error) = self.parts.store.config_record(&change).await {
            tracing::warn!(%error, "the change of configuration could not be recorded");
        }
    }

    /// Waits for every fleet to come to rest, as long as the grace lasts.
    async fn disband(&mut self) {
        let started = self.parts.clock.elapsed();
        for (name, fleet) in std::mem::take(&mut self.tasks) {
            let left = self
                .service
                .shutdown_grace
                .saturating_sub(self.parts.clock.elapsed().saturating_sub(started));
            let abort = fleet.task.abort_handle();
            if tokio::time::timeout(left, fleet.task).await.is_err() {
                abort.abort();
                tracing::warn!(fleet = %name, "did not come to rest within shutdown_grace; its rows say how far it got");
            }
        }
    }
}

/// What one fleet's task works with.
#[derive(Clone)]
struct Post {
    parts: Parts,
    lookout: Arc<Lookout>,
    roster: Arc<Roster>,
    lease: Duration,
    health: Arc<Health>,
    bell: Arc<Notify>,
    config: watch::Receiver<Arc<FleetConfig>>,
    stop: CancellationToken,
}

/// Keeps one fleet's loop going, whatever becomes of it.
async fn look_after(post: Post) {
    while !post.stop.is_cancelled() {
        // In a set, so that the loop ends with this task, however that ends.
        let mut running = JoinSet::new();
        running.spawn(fleet_loop(post.clone()));
        match running.join_next().await {
            None | Some(Ok(())) => return,
            Some(Err(panic)) => {
                let fleet = post.config.borrow().name.clone();
                tracing::error!(%fleet, %panic, "the fleet's loop died; it is started again");
                post.health.ticked(&fleet, RESTART_WAIT, Err("its loop died".to_owned()));
                tokio::select! {
                    () = post.stop.cancelled() => return,
                    () = post.parts.clock.sleep(RESTART_WAIT) => {}
                }
            }
        }
    }
}

async fn fleet_loop(mut post: Post) {
    let config = Arc::clone(&post.config.borrow_and_update());
    let mut runner = FleetRunner::new(post.parts.clone(), Arc::clone(&post.lookout), post.lease, config);
    while !post.stop.is_cancelled() {
        if post.config.has_changed().unwrap_or(false) {
            runner.reconfigure(Arc::clone(&post.config.borrow_and_update()));
        }
        let started = post.parts.clock.elapsed();
        one_tick(&post, &mut runner).await;
        let rest =
            runner.config().interval.saturating_sub(post.parts.clock.elapsed().saturating_sub(started));
        rest_between_ticks(&mut post, &mut runner, rest).await;
    }
    runner.release().await;
}

/// Waits for the next tick, or for a reason to make it sooner. Meanwhile it keeps the lease where it would run out, gives it
/// to a replica that holds too few, and ends the wait where a lease is there to be taken.
async fn rest_between_ticks(post: &mut Post, runner: &mut FleetRunner, rest: Duration) {
    let mut left = rest;
    loop {
        if runner.is_at_rest() && post.roster.lets_go(&runner.config().name) {
            tracing::info!(fleet = %runner.config().name, "given to a replica that holds fewer fleets");
            runner.release().await;
        }
        let nap = left.min(post.lease / LEASE_PARTS);
        tokio::select! {
            () = post.stop.cancelled() => return,
            _ = post.config.changed() => return post.config.mark_changed(),
            () = post.bell.notified() => return,
            () = post.parts.clock.sleep(nap) => {}
        }
        left = left.saturating_sub(nap);
        let to_be_taken = !runner.holds() && post.roster.offers(&runner.config().name);
        if left.is_zero() || to_be_taken {
            return;
        }
        if let Err(error) = runner.keep().await {
            tracing::debug!(fleet = %runner.config().name, %error, "the lease could not be kept between two ticks");
        }
    }
}

async fn one_tick(post: &Post, runner: &mut FleetRunner) {
    let fleet = runner.config().name.clone();
    let interval = runner.config().interval;
    let started = post.parts.clock.elapsed();
    let claimed = post.roster.claim(&fleet);
    let span = if claimed { spans::tick(&fleet, &post.parts.replica) } else { Span::none() };
    let outcome = if claimed {
        tokio::time::timeout(TICK_DEADLINE, runner.tick().instrument(span.clone())).await
    } else {
        telemetry::lease(&fleet, false);
        Ok(Ok(Ticked::NotHeld))
    };
    post.roster.settle(&fleet, runner.holds());
    let took = post.parts.clock.elapsed().saturating_sub(started);
    let (label, result) = match &outcome {
        Ok(Ok(Ticked::Done(_))) => (telemetry::DONE, Ok(())),
        Ok(Ok(Ticked::NotHeld)) => ("not_held", Ok(())),
        Ok(Err(error)) => (label_of(error), Err(error.to_string())),
        Err(_) => {
            runner.was_cut_off();
            ("deadline", Err(format!("a tick took longer than {} s", TICK_DEADLINE.as_secs())))
        }
    };
    let why = result.as_ref().err().map(String::as_str);
    spans::ended(&span, label, why);
    if let Some(why) = why {
        let _entered = span.enter();
        tracing::warn!(%fleet, why, "the tick ended early; the next one starts from the rows");
    }
    telemetry::ticked(&fleet, (took, interval), label, post.parts.clock.now());
    post.health.ticked(&fleet, interval, result);
}

fn label_of(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) => "database",
        StoreError::Fenced { .. } => "fenced",
        StoreError::Conflict(_) => "conflict",
        StoreError::Refused(_) => "refused",
        StoreError::Schema(_) => "schema",
    }
}

/// Asks the database how it is, for `/readyz`.
async fn watch_database(parts: Parts, health: Arc<Health>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let answer = match tokio::time::timeout(DATABASE_DEADLINE, parts.store.schema_check()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", DATABASE_DEADLINE.as_secs())),
        };
        health.database(answer);
        tokio::select! {
            () = stop.cancelled() => return,
            () = parts.clock.sleep(DATABASE_INTERVAL) => {}
        }
    }
}

/// Says that this replica lives and hears of the others, until it ends; then says that, before its leases are given back.
async fn watch_replicas(parts: Parts, roster: Arc<Roster>, lease: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = parts.clock.sleep(lease / LEASE_PARTS) => {}
        }
        muster(&parts, &roster, lease).await;
    }
    if let Err(error) = parts.store.muster_leave(&parts.replica).await {
        tracing::debug!(%error, "the others learn of this end by its silence");
    }
}

async fn muster(parts: &Parts, roster: &Roster, lease: Duration) {
    match parts.store.muster(&parts.replica, lease).await {
        Ok(muster) => {
            telemetry::replicas(muster.replicas.len());
            roster.hear(&muster, &parts.replica);
        }
        Err(error) => tracing::debug!(%error, "how many replicas there are is not known at this moment"),
    }
}
