//! A month of 50 fleets: a service of two hosts lives for some ticks, and what it wrote down is multiplied.
//!
//! Rows are written past the triggers that judge single steps of a life (`session_replication_role`); the hash chain's
//! triggers stay on, so the history is as whole as any.

use sqlx::{Executor as _, PgPool};

use fleet_scaler::store::history::INPUTS_KEPT;

use crate::cli::program::WEB;
use crate::site::{Plan, Site};
use crate::support::{TestDatabase, sql};

/// How many fleets.
pub(crate) const FLEETS: u32 = 50;
/// Hosts in service in each.
const HOSTS: u32 = 200;
/// Days of history.
const DAYS: u32 = 30;
/// A decision that is not the one before it every so many minutes; every twelfth changes the size.
const DECISION_MINUTES: u32 = 10;
/// An observation every so many seconds, for as long as they are kept.
const OBSERVATION_SECONDS: u64 = 10;

/// The month, with a service that reads it.
pub(crate) struct Month {
    /// Where it is asked.
    pub(crate) site: Site,
    /// What is there, in a sentence.
    pub(crate) size: String,
    /// Some decisions, by id.
    pub(crate) decisions: Vec<String>,
    /// An action of an operator.
    pub(crate) action: String,
}

impl Month {
    /// Fills it: some minutes.
    pub(crate) async fn fill() -> Self {
        let database = first_ticks().await;
        let pool = database.superuser_pool();
        for (what, text) in statements() {
            println!("  {what}");
            let mut connection = pool.acquire().await.unwrap();
            connection.execute("SET session_replication_role = replica").await.unwrap();
            connection.execute(sql(text)).await.unwrap();
            connection.execute("SET session_replication_role = DEFAULT").await.unwrap();
        }
        pool.execute("VACUUM ANALYZE").await.unwrap();
        let named = |fleet| {
            let name = format!("fleet-{fleet:02}");
            let file = WEB.replace("\"web\"", &format!("\"{name}\"")).replace("max = 6", "max = 300");
            (name, file)
        };
        let fleets = (1..=FLEETS).map(named).collect();
        // Nobody looks after these fleets: they are only read of.
        let site = Site::of(Plan { database, fleets, acts: false, ..Plan::ordinary().await }).await;
        Self {
            site,
            size: size(&pool).await,
            decisions: some_decisions(&pool).await,
            action: an_action(&pool).await,
        }
    }
}

/// The rows of a service of two hosts that lived for some ticks.
async fn first_ticks() -> TestDatabase {
    let site = Site::new().await;
    let pause = serde_json::json!({ "direction": "in", "reason": "the month" });
    site.post("/fleets/web/pause", &pause).await.with(200);
    let decided = |page: &serde_json::Value| page["decisions"].as_array().is_some_and(|all| !all.is_empty());
    site.until("/decisions?fleet=web&limit=3", decided).await;
    site.stop.cancel();
    let Site { database, mut tasks, .. } = site;
    while tasks.join_next().await.is_some() {}
    database
}

async fn an_action(pool: &PgPool) -> String {
    sqlx::query_scalar("SELECT id::text FROM scaler.operator_action LIMIT 1").fetch_one(pool).await.unwrap()
}

async fn size(pool: &PgPool) -> String {
    let count = async |query| sqlx::query_scalar::<_, i64>(query).fetch_one(pool).await.unwrap();
    format!(
        "{FLEETS} fleets of {HOSTS} hosts, {DAYS} days: {} decisions, {} cloud calls, {} hosts that are gone, {} observations, \
         {} events in the hash chains, {} MB in all.",
        count("SELECT count(*) FROM scaler.decision").await,
        count("SELECT count(*) FROM scaler.cloud_call").await,
        count("SELECT count(*) FROM scaler.host WHERE state = 'terminated'").await,
        count("SELECT count(*) FROM scaler.observation").await,
        count("SELECT count(*) FROM scaler.event").await,
        count("SELECT pg_database_size(current_database()) / 1000000").await,
    )
}

async fn some_decisions(pool: &PgPool) -> Vec<String> {
    let query = "SELECT id::text FROM scaler.decision WHERE fleet LIKE 'fleet-%' ORDER BY id LIMIT 500";
    sqlx::query_scalar(query).fetch_all(pool).await.unwrap()
}

/// A candidate that would have had fewer hosts, as it stands in a plan.
const CANDIDATE: &str = r#"{"candidates":[{"name":"leaner","action":"scale_in","size_wanted":190,"recommended":190,"reason":"Scale in 200 → 190: cpu.avg 0.50, 0.60 wanted"}]}"#;

/// What fills the month, in order.
fn statements() -> [(&'static str, String); 8] {
    let decisions = DAYS * 24 * 60 / DECISION_MINUTES;
    let observations = INPUTS_KEPT.as_secs() / OBSERVATION_SECONDS;
    let fleets =
        format!("(SELECT 'fleet-' || lpad(n::text, 2, '0') AS fleet FROM generate_series(1, {FLEETS}) n) f");
    [
        (
            "fleets",
            format!(
                "INSERT INTO scaler.fleet_state (fleet, desired, last_change, last_scale_out)
                 SELECT fleet, {HOSTS}, now(), now() FROM {fleets}"
            ),
        ),
        (
            "decisions",
            format!(
                "INSERT INTO scaler.decision (id, fleet, at, replica, epoch, mode, action, size_before, size_wanted, reason, signature, plan)
                 SELECT gen_random_uuid(), f.fleet, now() - k * interval '{DECISION_MINUTES} minutes', d.replica, d.epoch, d.mode,
                        (CASE WHEN k % 24 = 0 THEN 'scale_out' WHEN k % 24 = 12 THEN 'scale_in' ELSE 'hold' END)::scaler.decision_action,
                        {HOSTS}, {HOSTS} + CASE WHEN k % 24 = 0 THEN 2 WHEN k % 24 = 12 THEN -2 ELSE 0 END,
                        d.reason || ' (' || k || ')', d.signature, d.plan || '{CANDIDATE}'::jsonb
                 FROM {fleets} CROSS JOIN generate_series(1, {decisions}) k
                 CROSS JOIN (SELECT * FROM scaler.decision WHERE fleet = 'web' ORDER BY length(plan::text) DESC LIMIT 1) d"
            ),
        ),
        (
            "calls",
            "INSERT INTO scaler.cloud_call (id, fleet, at, replica, epoch, op, decision_id, ordinal, instance_ids, target_group)
             SELECT gen_random_uuid(), d.fleet, d.at + interval '1 second', d.replica, d.epoch, op::scaler.cloud_operation, d.id, 1,
                    ARRAY['i-' || left(md5(d.id::text), 17)], CASE WHEN op <> 'TerminateInstances' THEN 'group' END
             FROM scaler.decision d CROSS JOIN unnest(ARRAY['RegisterTargets', 'DeregisterTargets', 'TerminateInstances']) op
             WHERE d.action IN ('scale_out', 'scale_in') AND d.fleet LIKE 'fleet-%'"
                .to_owned(),
        ),
        (
            "outcomes",
            "INSERT INTO scaler.cloud_call_outcome (call_id, fleet, at, outcome, request_id, instance_ids, duration)
             SELECT c.id, c.fleet, c.at + interval '90 milliseconds', 'ok', gen_random_uuid()::text, c.instance_ids, interval '90 milliseconds'
             FROM scaler.cloud_call c WHERE c.fleet LIKE 'fleet-%'"
                .to_owned(),
        ),
        ("hosts", hosts(&fleets)),
        (
            "drains",
            "INSERT INTO scaler.drain (instance_id, fleet, reason, groups, started_at, deregistered_at, deadline, terminating_at, ended_at, outcome)
             SELECT instance_id, fleet, 'scale_in', '{}', state_since - interval '6 minutes', state_since - interval '5 minutes',
                    state_since, state_since - interval '1 minute', state_since, 'terminated'
             FROM scaler.host WHERE state = 'terminated' AND fleet LIKE 'fleet-%';
             UPDATE scaler.host h SET drain_id = d.id FROM scaler.drain d WHERE d.instance_id = h.instance_id"
                .to_owned(),
        ),
        ("people", people(&fleets)),
        (
            "observations",
            format!(
                "INSERT INTO scaler.observation (fleet, at, doc)
                 SELECT f.fleet, now() - k * interval '{OBSERVATION_SECONDS} seconds', jsonb_set(o.doc, '{{values,cpu.avg}}',
                        jsonb_build_object('heard', u, 'if_idle', u, 'if_busy', u))
                 FROM {fleets} CROSS JOIN generate_series(1, {observations}) k
                 CROSS JOIN LATERAL (SELECT 0.5 + 0.2 * sin(k / 40.0) AS u) value
                 CROSS JOIN (SELECT * FROM scaler.observation WHERE fleet = 'web' ORDER BY at DESC LIMIT 1) o"
            ),
        ),
    ]
}

/// What three people did: twenty times a day in each fleet.
fn people(fleets: &str) -> String {
    format!(
        "INSERT INTO scaler.operator_action (id, fleet, at, actor, kind, reason, size)
         SELECT gen_random_uuid(), f.fleet, now() - k * interval '72 minutes', (ARRAY['ada', 'grace', 'linus'])[1 + k % 3],
                'set_size', 'a busy hour', {HOSTS} + k % 5
         FROM {fleets} CROSS JOIN generate_series(1, {DAYS} * 20) k"
    )
}

/// Hosts in service, and fifty a day that are gone.
fn hosts(fleets: &str) -> String {
    let gone = DAYS * 50;
    format!(
        "SET CONSTRAINTS ALL DEFERRED;
         ALTER TABLE scaler.host DROP CONSTRAINT on_its_way_out_has_a_drain;
         INSERT INTO scaler.host (instance_id, fleet, zone, subnet, instance_type, launched_at, recorded_at, healthy_at, state, state_since, version)
         SELECT 'i-' || left(md5(f.fleet || k), 17), f.fleet, 'eu-central-1' || substr('abc', 1 + k % 3, 1), 'subnet-a', 'm7g.large',
                at, at, at + interval '70 seconds',
                (CASE WHEN k <= {HOSTS} THEN 'healthy' ELSE 'terminated' END)::scaler.host_state,
                at + CASE WHEN k <= {HOSTS} THEN interval '70 seconds' ELSE interval '12 hours' END, 4
         FROM {fleets} CROSS JOIN generate_series(1, {HOSTS} + {gone}) k
         CROSS JOIN LATERAL (SELECT now() - interval '13 hours' - (k - 1) * interval '{DAYS} days' / ({HOSTS} + {gone}) AS at) moment"
    )
}
