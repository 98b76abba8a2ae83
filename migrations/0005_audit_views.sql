-- Why: people ask "why did it do that?", and must neither need to know the tables nor be able to harm them. Every view
-- joins or aggregates, so none of them is updatable; the tables beneath would refuse anyway.

CREATE VIEW scaler.decision_progress AS
WITH work AS (
    -- A host that was bought: achieved once it was healthy, over when it is gone without having been.
    SELECT l.decision_id, h.healthy_at IS NOT NULL AS achieved,
           h.healthy_at IS NULL AND h.state IN ('pending', 'running', 'registered') AS open,
           coalesce(h.healthy_at, h.state_since) AS at
    FROM scaler.launch l JOIN scaler.host h ON h.launch_id = l.id
    UNION ALL
    -- A host that was not bought yet, or never will be.
    SELECT l.decision_id, false, l.state = 'open', l.closed_at
    FROM scaler.launch l CROSS JOIN LATERAL generate_series(1, l.count - l.launched)
    UNION ALL
    -- A host that was to go.
    SELECT d.decision_id, d.outcome IS NOT NULL AND d.outcome <> 'cancelled', d.ended_at IS NULL, d.ended_at
    FROM scaler.drain d)
SELECT w.decision_id, count(*) AS hosts, count(*) FILTER (WHERE w.achieved) AS achieved,
       CASE WHEN bool_or(w.open) THEN 'in_progress'
            WHEN bool_and(w.achieved) THEN 'done'
            WHEN bool_or(w.achieved) THEN 'partial'
            ELSE 'failed' END AS outcome,
       CASE WHEN NOT bool_or(w.open) THEN max(w.at) END AS completed_at
FROM work w WHERE w.decision_id IS NOT NULL GROUP BY w.decision_id;
COMMENT ON VIEW scaler.decision_progress IS 'How the launches and drains of each decision that has any are going.';
COMMENT ON COLUMN scaler.decision_progress.decision_id IS 'The decision.';
COMMENT ON COLUMN scaler.decision_progress.hosts IS 'Hosts it set out to buy or to take out.';
COMMENT ON COLUMN scaler.decision_progress.achieved IS 'Of them, those that became healthy, or are gone.';
COMMENT ON COLUMN scaler.decision_progress.outcome IS 'in_progress, done, partial or failed.';
COMMENT ON COLUMN scaler.decision_progress.completed_at IS 'When the last of them was settled; null while in progress.';

CREATE VIEW audit.decisions AS
SELECT d.id AS decision_id, d.at, d.fleet, d.replica, d.epoch, d.action::text AS action, d.size_before, d.size_wanted,
       d.reason,
       jsonb_build_object(
           'signals', (SELECT coalesce(jsonb_object_agg(v.key, v.value -> 'heard'), '{}')
                       FROM jsonb_each(d.plan #> '{observation,values}') v),
           'hosts_heard', d.plan #> '{observation,hosts_heard}', 'hosts_asked', d.plan #> '{observation,hosts_asked}',
           'faults', d.plan #> '{observation,faults}', 'cloud', d.plan -> 'cloud',
           'observation', d.plan -> 'observation') AS inputs,
       d.plan -> 'recommendations' AS recommendations, d.plan -> 'verdicts' AS verdicts,
       d.mode::text AS mode,
       CASE WHEN d.mode = 'dry_run' THEN 'dry_run'
            ELSE coalesce((SELECT p.outcome FROM scaler.decision_progress p WHERE p.decision_id = d.id),
                          CASE WHEN d.action = 'hold' THEN 'quiet'
                               WHEN d.starts_nothing AND d.size_wanted <> d.size_before THEN 'held'
                               ELSE 'done' END) END AS outcome,
       coalesce(r.count, 1) AS count, coalesce(r.last_at, d.at) AS last_at,
       d.plan -> 'launches' AS launches, d.plan -> 'drains' AS drains, d.plan -> 'rules_fired' AS rules_fired
FROM scaler.decision d LEFT JOIN scaler.decision_run r ON r.decision_id = d.id;
COMMENT ON VIEW audit.decisions IS 'Every decision, also those that did nothing; a run of the same quiet answer is one row with a count.';
COMMENT ON COLUMN audit.decisions.decision_id IS 'Its id.';
COMMENT ON COLUMN audit.decisions.at IS 'When it was (first) made.';
COMMENT ON COLUMN audit.decisions.fleet IS 'The fleet.';
COMMENT ON COLUMN audit.decisions.replica IS 'The process that made it.';
COMMENT ON COLUMN audit.decisions.epoch IS 'The number of the lease it was made under; it rises when another process takes over.';
COMMENT ON COLUMN audit.decisions.action IS 'hold, scale_out, scale_in, repair (back within min and max), replace (lost or failed hosts), manual.';
COMMENT ON COLUMN audit.decisions.size_before IS 'Hosts that served or were on their way, before it.';
COMMENT ON COLUMN audit.decisions.size_wanted IS 'The size wanted from then on.';
COMMENT ON COLUMN audit.decisions.reason IS 'Why, in one sentence.';
COMMENT ON COLUMN audit.decisions.inputs IS 'What it was made from: signals by name, hosts asked and heard, faults, whether the cloud could be seen.';
COMMENT ON COLUMN audit.decisions.recommendations IS 'What each rule and target would have liked the size to be: source, size, because.';
COMMENT ON COLUMN audit.decisions.verdicts IS 'What each guard said, in order: guard, effect, because.';
COMMENT ON COLUMN audit.decisions.mode IS 'live, or dry_run: only said, not done.';
COMMENT ON COLUMN audit.decisions.outcome IS 'quiet (nothing to do), in_progress, done, partial, failed, dry_run, or held: a change is wanted, and nothing could be started; a later decision does it.';
COMMENT ON COLUMN audit.decisions.count IS 'How often the same quiet answer was given in this run.';
COMMENT ON COLUMN audit.decisions.last_at IS 'When it was last given; at and last_at span the run.';
COMMENT ON COLUMN audit.decisions.launches IS 'What was to be bought, by place.';
COMMENT ON COLUMN audit.decisions.drains IS 'Which hosts were to go, and why.';
COMMENT ON COLUMN audit.decisions.rules_fired IS 'The rules whose action is part of the outcome.';

CREATE VIEW audit.scale_events AS
SELECT d.id AS decision_id, d.at, d.fleet, d.action::text AS action, d.size_before, d.size_wanted AS size_after,
       d.reason AS cause,
       CASE WHEN d.mode = 'dry_run' THEN 'dry_run'
            ELSE coalesce(p.outcome, CASE WHEN d.starts_nothing THEN 'held' ELSE 'done' END) END AS outcome,
       CASE WHEN d.mode = 'dry_run' OR (p.decision_id IS NULL AND d.starts_nothing) THEN NULL
            WHEN p.decision_id IS NULL THEN interval '0'
            WHEN p.completed_at IS NOT NULL THEN greatest(p.completed_at - d.at, interval '0') END AS duration,
       coalesce(p.hosts, 0) AS hosts, coalesce(p.achieved, 0) AS achieved
FROM scaler.decision d LEFT JOIN scaler.decision_progress p ON p.decision_id = d.id
WHERE d.action <> 'hold' AND (d.size_wanted <> d.size_before OR p.decision_id IS NOT NULL);
COMMENT ON VIEW audit.scale_events IS 'Every change of size, every replacement of hosts, and how each went.';
COMMENT ON COLUMN audit.scale_events.decision_id IS 'The decision.';
COMMENT ON COLUMN audit.scale_events.at IS 'When it was made.';
COMMENT ON COLUMN audit.scale_events.fleet IS 'The fleet.';
COMMENT ON COLUMN audit.scale_events.action IS 'scale_out, scale_in, repair, replace or manual.';
COMMENT ON COLUMN audit.scale_events.size_before IS 'Hosts that served or were on their way, before it.';
COMMENT ON COLUMN audit.scale_events.size_after IS 'The size wanted from then on.';
COMMENT ON COLUMN audit.scale_events.cause IS 'Why, in one sentence.';
COMMENT ON COLUMN audit.scale_events.outcome IS 'in_progress; done: every host healthy or gone; partial; failed; dry_run: only said; held: nothing could be started, a later decision does it.';
COMMENT ON COLUMN audit.scale_events.duration IS 'From the decision until its last host was healthy, gone or given up; null while in progress or held.';
COMMENT ON COLUMN audit.scale_events.hosts IS 'Hosts it set out to buy or to take out.';
COMMENT ON COLUMN audit.scale_events.achieved IS 'Of them, those that became healthy, or are gone.';

CREATE VIEW audit.instances AS
SELECT h.instance_id, h.fleet, h.state::text AS state, h.zone, h.instance_type, h.launch_id, l.decision_id,
       h.launched_at, h.healthy_at, d.started_at AS drain_started_at,
       CASE WHEN h.state IN ('terminated', 'lost') THEN h.state_since END AS terminated_at,
       CASE WHEN h.state = 'lost' THEN 'lost' ELSE d.reason::text END AS termination_reason,
       h.state_since, host(h.address) AS address, h.subnet, d.decision_id AS drain_decision_id,
       d.deregistered_at, d.deadline AS drain_deadline, h.recorded_at
FROM scaler.host h
LEFT JOIN scaler.launch l ON l.id = h.launch_id
LEFT JOIN scaler.drain d ON d.id = h.drain_id;
COMMENT ON VIEW audit.instances IS 'Every host, ever.';
COMMENT ON COLUMN audit.instances.instance_id IS 'The cloud''s id of it.';
COMMENT ON COLUMN audit.instances.fleet IS 'The fleet it serves or served.';
COMMENT ON COLUMN audit.instances.state IS 'pending, running, registered, healthy, unhealthy, draining, deregistered, terminating, terminated, lost.';
COMMENT ON COLUMN audit.instances.zone IS 'Its availability zone.';
COMMENT ON COLUMN audit.instances.instance_type IS 'What it is.';
COMMENT ON COLUMN audit.instances.launch_id IS 'The launch that bought it, also its fleet-scaler:launch tag; null: adopted.';
COMMENT ON COLUMN audit.instances.decision_id IS 'The decision that bought it.';
COMMENT ON COLUMN audit.instances.launched_at IS 'When the cloud launched it.';
COMMENT ON COLUMN audit.instances.healthy_at IS 'When it was healthy for the first time; null: never yet.';
COMMENT ON COLUMN audit.instances.drain_started_at IS 'When it was chosen to go.';
COMMENT ON COLUMN audit.instances.terminated_at IS 'When it was gone.';
COMMENT ON COLUMN audit.instances.termination_reason IS 'Why it goes or went: scale_in, boot_timeout, unhealthy, operator, above_max; lost: without our doing.';
COMMENT ON COLUMN audit.instances.state_since IS 'Since when it has been in its state.';
COMMENT ON COLUMN audit.instances.address IS 'Its private address.';
COMMENT ON COLUMN audit.instances.subnet IS 'Its subnet.';
COMMENT ON COLUMN audit.instances.drain_decision_id IS 'The decision that chose it to go.';
COMMENT ON COLUMN audit.instances.deregistered_at IS 'When every target group had been asked to let it go.';
COMMENT ON COLUMN audit.instances.drain_deadline IS 'Terminated at the latest then, drained or not.';
COMMENT ON COLUMN audit.instances.recorded_at IS 'When the scaler first wrote it down.';

CREATE VIEW audit.cloud_calls AS
SELECT c.at, c.fleet, c.op::text AS op, coalesce(c.decision_id, l.decision_id) AS decision_id, c.launch_id,
       CASE WHEN cardinality(c.instance_ids) > 0 THEN c.instance_ids
            ELSE coalesce(o.instance_ids, c.instance_ids) END AS instance_ids,
       c.ordinal AS attempt, c.zone, c.client_token, o.request_id,
       coalesce(o.outcome::text, 'pending') AS outcome, o.error_code, o.duration,
       c.id AS call_id, o.error_class::text AS error_class, o.error_message, c.target_group,
       a.ordinal AS launch_attempt, a.instance_type, c.replica, c.epoch, o.at AS answered_at
FROM scaler.cloud_call c
LEFT JOIN scaler.cloud_call_outcome o ON o.call_id = c.id
LEFT JOIN scaler.launch l ON l.id = c.launch_id
LEFT JOIN scaler.launch_attempt a ON a.id = c.attempt_id;
COMMENT ON VIEW audit.cloud_calls IS 'Every mutating call to the cloud, answered or not, refused ones too; each was written down before it was sent.';
COMMENT ON COLUMN audit.cloud_calls.at IS 'When it was written down, just before it was sent.';
COMMENT ON COLUMN audit.cloud_calls.fleet IS 'For which fleet.';
COMMENT ON COLUMN audit.cloud_calls.op IS 'RunInstances, RegisterTargets, DeregisterTargets or TerminateInstances.';
COMMENT ON COLUMN audit.cloud_calls.decision_id IS 'The decision it goes back to.';
COMMENT ON COLUMN audit.cloud_calls.launch_id IS 'The launch it is for.';
COMMENT ON COLUMN audit.cloud_calls.instance_ids IS 'The instances it names, or, of RunInstances, gave.';
COMMENT ON COLUMN audit.cloud_calls.attempt IS '1 for the first call with this token or of this step, 2 for its first repetition.';
COMMENT ON COLUMN audit.cloud_calls.zone IS 'The availability zone it asked in.';
COMMENT ON COLUMN audit.cloud_calls.client_token IS 'The idempotency token it carried.';
COMMENT ON COLUMN audit.cloud_calls.request_id IS 'The cloud''s id of the request; quote it to AWS support.';
COMMENT ON COLUMN audit.cloud_calls.outcome IS 'ok; refused; throttled; unknown: nobody can say whether it did its work; pending: no answer yet.';
COMMENT ON COLUMN audit.cloud_calls.error_code IS 'The cloud''s own code.';
COMMENT ON COLUMN audit.cloud_calls.duration IS 'How long it took.';
COMMENT ON COLUMN audit.cloud_calls.call_id IS 'Its id.';
COMMENT ON COLUMN audit.cloud_calls.error_class IS 'What the error means for the scaler: capacity, quota, throttled, denied, invalid, not_found, token_mismatch, token_spent, protected, unknown.';
COMMENT ON COLUMN audit.cloud_calls.error_message IS 'The cloud''s own words.';
COMMENT ON COLUMN audit.cloud_calls.target_group IS 'The target group it names.';
COMMENT ON COLUMN audit.cloud_calls.launch_attempt IS 'Of RunInstances: which attempt of its launch; each has a token of its own.';
COMMENT ON COLUMN audit.cloud_calls.instance_type IS 'Of RunInstances: the type it asked for; null: the template''s.';
COMMENT ON COLUMN audit.cloud_calls.replica IS 'The process that sent it.';
COMMENT ON COLUMN audit.cloud_calls.epoch IS 'The number of the lease it was sent under.';
COMMENT ON COLUMN audit.cloud_calls.answered_at IS 'When its outcome was written down.';

CREATE VIEW audit.operator_actions AS
SELECT o.at, o.fleet, o.actor, o.kind::text AS action, o.reason, o.direction::text AS direction, o.until, o.size,
       o.instance_id,
       CASE WHEN o.kind IN ('pause', 'resume') THEN 'done'
            WHEN a.action_id IS NULL THEN 'pending'
            WHEN a.granted THEN 'granted' ELSE 'refused' END AS outcome,
       a.because AS answer, a.at AS answered_at, a.decision_id, o.id AS action_id
FROM scaler.operator_action o LEFT JOIN scaler.operator_answer a ON a.action_id = o.id;
COMMENT ON VIEW audit.operator_actions IS 'Everything that a person did.';
COMMENT ON COLUMN audit.operator_actions.at IS 'When.';
COMMENT ON COLUMN audit.operator_actions.fleet IS 'On which fleet.';
COMMENT ON COLUMN audit.operator_actions.actor IS 'Who.';
COMMENT ON COLUMN audit.operator_actions.action IS 'pause, resume, set_size or drain.';
COMMENT ON COLUMN audit.operator_actions.reason IS 'Why, in their words.';
COMMENT ON COLUMN audit.operator_actions.direction IS 'Of a pause: out, in or both.';
COMMENT ON COLUMN audit.operator_actions.until IS 'Of a pause: when it ends by itself; null: when somebody resumes.';
COMMENT ON COLUMN audit.operator_actions.size IS 'Of set_size: the size asked for.';
COMMENT ON COLUMN audit.operator_actions.instance_id IS 'Of drain: the host.';
COMMENT ON COLUMN audit.operator_actions.outcome IS 'done, pending (the next decision answers it), granted, refused (by a guard).';
COMMENT ON COLUMN audit.operator_actions.answer IS 'What the decision said to it.';
COMMENT ON COLUMN audit.operator_actions.answered_at IS 'When it was answered.';
COMMENT ON COLUMN audit.operator_actions.decision_id IS 'The decision that answered it.';
COMMENT ON COLUMN audit.operator_actions.action_id IS 'Its id.';

CREATE VIEW audit.config_changes AS
WITH changes AS (SELECT * FROM scaler.config_version)
SELECT c.at, c.fleet, c.version, c.outcome::text AS outcome, c.diff, c.text FROM changes c;
COMMENT ON VIEW audit.config_changes IS 'Every configuration that was applied or refused.';
COMMENT ON COLUMN audit.config_changes.at IS 'When.';
COMMENT ON COLUMN audit.config_changes.fleet IS 'The fleet; null: the service''s own file, or the folder as a whole.';
COMMENT ON COLUMN audit.config_changes.version IS 'A hash of the text.';
COMMENT ON COLUMN audit.config_changes.outcome IS 'applied; refused: it did not validate and the last good one stayed; vanished: the file is gone.';
COMMENT ON COLUMN audit.config_changes.diff IS 'Lines that went (-) and came (+) since the last one applied.';
COMMENT ON COLUMN audit.config_changes.text IS 'The configuration, or, where it was refused, the errors.';

CREATE VIEW audit.events AS
WITH events AS (SELECT * FROM scaler.event)
SELECT e.fleet, e.seq, e.at, e.kind, e.subject, e.data, encode(e.hash, 'hex') AS hash FROM events e;
COMMENT ON VIEW audit.events IS 'Every single step of every host and launch, in order, hash-chained a fleet.';
COMMENT ON COLUMN audit.events.fleet IS 'The fleet; empty: the service itself.';
COMMENT ON COLUMN audit.events.seq IS 'Its place in the fleet''s chain, from 1, without gaps.';
COMMENT ON COLUMN audit.events.at IS 'When.';
COMMENT ON COLUMN audit.events.kind IS 'What happened.';
COMMENT ON COLUMN audit.events.subject IS 'To what: an instance, a launch, an attempt, or the id of a row of the other views.';
COMMENT ON COLUMN audit.events.data IS 'The state after it, or the digest of that row.';
COMMENT ON COLUMN audit.events.hash IS 'SHA-256 over the previous hash and this row; keep one elsewhere, and the past before it is fixed.';
