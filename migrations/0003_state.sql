-- Why: what is true now. These rows change, and the schema ties each state to the columns it needs, so that a row which
-- the program's types cannot express cannot be stored either. Intents and their attempts are here as well: they are what
-- a restart goes on from.

CREATE TABLE scaler.lease (
    fleet text PRIMARY KEY REFERENCES scaler.fleet_state,
    holder text,
    epoch bigint NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    expires_at timestamptz,
    CONSTRAINT held_or_never_held CHECK (
        (holder IS NULL) = (epoch = 0) AND (expires_at IS NULL) = (epoch = 0))
);
COMMENT ON TABLE scaler.lease IS 'Which replica may act for a fleet. Its row lock is the fleet''s mutex: every transaction that writes for the fleet takes it first.';
COMMENT ON COLUMN scaler.lease.fleet IS 'The fleet.';
COMMENT ON COLUMN scaler.lease.holder IS 'Who holds it, or held it last; null: nobody ever did.';
COMMENT ON COLUMN scaler.lease.epoch IS 'Rises whenever the lease changes hands; every write carries it.';
COMMENT ON COLUMN scaler.lease.expires_at IS 'Until when, by the database''s clock.';

CREATE TABLE scaler.observation (
    fleet text NOT NULL REFERENCES scaler.fleet_state,
    at timestamptz NOT NULL,
    doc jsonb NOT NULL,
    PRIMARY KEY (fleet, at)
);
COMMENT ON TABLE scaler.observation IS 'The window of each fleet: what was observed at each tick. Pruned.';
COMMENT ON COLUMN scaler.observation.fleet IS 'The fleet.';
COMMENT ON COLUMN scaler.observation.at IS 'The tick.';
COMMENT ON COLUMN scaler.observation.doc IS 'Every signal''s value, the hosts asked and heard, the size recommended, the faults.';

CREATE TABLE scaler.launch (
    id uuid PRIMARY KEY,
    fleet text NOT NULL REFERENCES scaler.fleet_state,
    decision_id uuid NOT NULL REFERENCES scaler.decision,
    count integer NOT NULL CHECK (count > 0),
    launched integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    template jsonb NOT NULL,
    state scaler.launch_state NOT NULL,
    created_at timestamptz NOT NULL,
    closed_at timestamptz,
    abandon_reason scaler.abandon_reason,
    CONSTRAINT never_more_than_wanted CHECK (launched BETWEEN 0 AND count),
    CONSTRAINT closed_has_a_time CHECK ((state = 'open') = (closed_at IS NULL)),
    CONSTRAINT abandoned_has_a_reason CHECK ((state = 'abandoned') = (abandon_reason IS NOT NULL)),
    CONSTRAINT fulfilled_is_complete CHECK (state <> 'fulfilled' OR launched = count)
);
CREATE INDEX launch_open ON scaler.launch (fleet) WHERE state = 'open';
CREATE INDEX launch_by_decision ON scaler.launch (decision_id);
COMMENT ON TABLE scaler.launch IS 'Launch intents: so many hosts are wanted, and this is all a call for them needs.';
COMMENT ON COLUMN scaler.launch.id IS 'Its id; the value of the launch tag on every instance it buys.';
COMMENT ON COLUMN scaler.launch.fleet IS 'The fleet it is for.';
COMMENT ON COLUMN scaler.launch.decision_id IS 'The decision that wanted it.';
COMMENT ON COLUMN scaler.launch.count IS 'How many hosts it may ever buy.';
COMMENT ON COLUMN scaler.launch.launched IS 'How many hosts it has bought.';
COMMENT ON COLUMN scaler.launch.attempts IS 'How many attempts were opened.';
COMMENT ON COLUMN scaler.launch.template IS 'What every attempt sends: launch template and version, market, tags. Frozen.';
COMMENT ON COLUMN scaler.launch.state IS 'Where it is.';
COMMENT ON COLUMN scaler.launch.created_at IS 'When it was committed; also the value of the timestamp tag.';
COMMENT ON COLUMN scaler.launch.closed_at IS 'When it had all its hosts, or was given up.';
COMMENT ON COLUMN scaler.launch.abandon_reason IS 'Why it was given up.';

CREATE TABLE scaler.launch_attempt (
    id uuid PRIMARY KEY,
    fleet text NOT NULL REFERENCES scaler.fleet_state,
    launch_id uuid NOT NULL REFERENCES scaler.launch,
    ordinal integer NOT NULL CHECK (ordinal > 0),
    client_token text NOT NULL UNIQUE CHECK (client_token ~ '^[\x21-\x7e]{1,64}$'),
    zone text NOT NULL,
    instance_type text,
    max_count integer NOT NULL CHECK (max_count > 0),
    request jsonb NOT NULL,
    opened_at timestamptz NOT NULL,
    state scaler.attempt_state NOT NULL DEFAULT 'open',
    calls integer NOT NULL DEFAULT 0 CHECK (calls >= 0),
    not_before timestamptz,
    last_failure scaler.failure_class,
    resolved_at timestamptz,
    outcome scaler.attempt_outcome,
    launched integer CHECK (launched > 0),
    error jsonb,
    UNIQUE (launch_id, ordinal),
    CONSTRAINT resolved_has_its_outcome CHECK (
        (state = 'resolved') = (resolved_at IS NOT NULL) AND (state = 'resolved') = (outcome IS NOT NULL)),
    CONSTRAINT launched_has_a_count CHECK ((outcome IS NOT DISTINCT FROM 'launched') = (launched IS NOT NULL)),
    CONSTRAINT refused_has_an_error CHECK ((outcome IS NOT DISTINCT FROM 'refused') = (error IS NOT NULL))
);
CREATE UNIQUE INDEX attempt_one_unresolved ON scaler.launch_attempt (launch_id) WHERE state = 'open';
COMMENT ON TABLE scaler.launch_attempt IS 'Attempts at a launch: one token, one pool, one frozen request. At most one unresolved a launch; a resolved one never changes.';
COMMENT ON COLUMN scaler.launch_attempt.id IS 'Its id; the token is made from it.';
COMMENT ON COLUMN scaler.launch_attempt.fleet IS 'The fleet.';
COMMENT ON COLUMN scaler.launch_attempt.launch_id IS 'The launch it serves.';
COMMENT ON COLUMN scaler.launch_attempt.ordinal IS '1 for the launch''s first.';
COMMENT ON COLUMN scaler.launch_attempt.client_token IS 'EC2''s idempotency token.';
COMMENT ON COLUMN scaler.launch_attempt.zone IS 'The availability zone of its pool.';
COMMENT ON COLUMN scaler.launch_attempt.instance_type IS 'The instance type of its pool; null: the template''s.';
COMMENT ON COLUMN scaler.launch_attempt.max_count IS 'How many hosts it asks for at most.';
COMMENT ON COLUMN scaler.launch_attempt.request IS 'The whole request; a replay sends exactly this again. Frozen.';
COMMENT ON COLUMN scaler.launch_attempt.opened_at IS 'When it was committed, before anything was sent.';
COMMENT ON COLUMN scaler.launch_attempt.state IS 'Whether the outcome is known.';
COMMENT ON COLUMN scaler.launch_attempt.calls IS 'Calls that were answered without settling it, or given up.';
COMMENT ON COLUMN scaler.launch_attempt.not_before IS 'The same bytes go out again, and not before then.';
COMMENT ON COLUMN scaler.launch_attempt.last_failure IS 'What the last of those calls said.';
COMMENT ON COLUMN scaler.launch_attempt.resolved_at IS 'When the outcome was recorded.';
COMMENT ON COLUMN scaler.launch_attempt.outcome IS 'What came of it.';
COMMENT ON COLUMN scaler.launch_attempt.launched IS 'How many instances carry its token.';
COMMENT ON COLUMN scaler.launch_attempt.error IS 'What the refusal said.';

CREATE TABLE scaler.host (
    instance_id text PRIMARY KEY CHECK (instance_id <> ''),
    fleet text NOT NULL REFERENCES scaler.fleet_state,
    launch_id uuid REFERENCES scaler.launch,
    zone text NOT NULL,
    subnet text,
    instance_type text NOT NULL,
    address inet,
    launched_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    healthy_at timestamptz,
    state scaler.host_state NOT NULL,
    state_since timestamptz NOT NULL,
    drain_id bigint,
    version bigint NOT NULL CHECK (version >= 0),
    CONSTRAINT in_service_was_healthy CHECK (state NOT IN ('healthy', 'unhealthy') OR healthy_at IS NOT NULL),
    CONSTRAINT on_its_way_out_has_a_drain CHECK (
        CASE WHEN state IN ('draining', 'deregistered', 'terminating', 'terminated') THEN drain_id IS NOT NULL
             WHEN state = 'lost' THEN true
             ELSE drain_id IS NULL END)
);
CREATE INDEX host_alive ON scaler.host (fleet) WHERE state NOT IN ('terminated', 'lost');
CREATE INDEX host_ended ON scaler.host (fleet, state_since) WHERE state IN ('terminated', 'lost');
CREATE INDEX host_by_launch ON scaler.host (launch_id);
COMMENT ON TABLE scaler.host IS 'Every host ever owned. One function writes it, by compare-and-set on the version.';
COMMENT ON COLUMN scaler.host.instance_id IS 'The cloud''s id of it.';
COMMENT ON COLUMN scaler.host.fleet IS 'The fleet it serves.';
COMMENT ON COLUMN scaler.host.launch_id IS 'The launch that bought it; null: adopted, and no row knows its launch tag.';
COMMENT ON COLUMN scaler.host.zone IS 'Its availability zone.';
COMMENT ON COLUMN scaler.host.subnet IS 'Its subnet, where the cloud said so.';
COMMENT ON COLUMN scaler.host.instance_type IS 'What it is.';
COMMENT ON COLUMN scaler.host.address IS 'Its private address; null until the cloud says.';
COMMENT ON COLUMN scaler.host.launched_at IS 'When the cloud launched it, by the cloud''s clock.';
COMMENT ON COLUMN scaler.host.recorded_at IS 'When this row was written.';
COMMENT ON COLUMN scaler.host.healthy_at IS 'When it was healthy for the first time. Written once.';
COMMENT ON COLUMN scaler.host.state IS 'Where it is in its life.';
COMMENT ON COLUMN scaler.host.state_since IS 'Since when.';
COMMENT ON COLUMN scaler.host.drain_id IS 'Its way out, if it is on one or went it.';
COMMENT ON COLUMN scaler.host.version IS 'Rises by one with every change.';

CREATE TABLE scaler.drain (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instance_id text NOT NULL REFERENCES scaler.host,
    fleet text NOT NULL REFERENCES scaler.fleet_state,
    decision_id uuid REFERENCES scaler.decision,
    reason scaler.drain_reason NOT NULL,
    groups text[] NOT NULL,
    started_at timestamptz NOT NULL,
    deregistered_at timestamptz,
    deadline timestamptz,
    terminating_at timestamptz,
    ended_at timestamptz,
    outcome scaler.drain_outcome,
    CONSTRAINT deregistered_has_a_deadline CHECK ((deregistered_at IS NULL) = (deadline IS NULL)),
    CONSTRAINT deregister_before_terminate CHECK (terminating_at IS NULL OR deregistered_at IS NOT NULL),
    CONSTRAINT ended_has_an_outcome CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CONSTRAINT cancel_before_deregister CHECK (outcome IS DISTINCT FROM 'cancelled' OR deregistered_at IS NULL)
);
CREATE UNIQUE INDEX drain_one_open ON scaler.drain (instance_id) WHERE ended_at IS NULL;
CREATE INDEX drain_by_fleet ON scaler.drain (fleet, started_at);
CREATE INDEX drain_by_decision ON scaler.drain (decision_id);
ALTER TABLE scaler.host ADD CONSTRAINT host_drain_is_known FOREIGN KEY (drain_id) REFERENCES scaler.drain;
COMMENT ON TABLE scaler.drain IS 'Hosts'' ways out. At most one open a host; an ended one never changes.';
COMMENT ON COLUMN scaler.drain.id IS 'Its id.';
COMMENT ON COLUMN scaler.drain.instance_id IS 'The host.';
COMMENT ON COLUMN scaler.drain.fleet IS 'Its fleet.';
COMMENT ON COLUMN scaler.drain.decision_id IS 'The decision that chose it; null: it was not a decision''s.';
COMMENT ON COLUMN scaler.drain.reason IS 'Why it goes.';
COMMENT ON COLUMN scaler.drain.groups IS 'The target groups it must be deregistered from, as they were when it was chosen.';
COMMENT ON COLUMN scaler.drain.started_at IS 'When it was chosen; the termination budget counts these.';
COMMENT ON COLUMN scaler.drain.deregistered_at IS 'When every target group had been asked to let it go.';
COMMENT ON COLUMN scaler.drain.deadline IS 'Terminated at the latest then, drained or not.';
COMMENT ON COLUMN scaler.drain.terminating_at IS 'When the cloud was asked to terminate it.';
COMMENT ON COLUMN scaler.drain.ended_at IS 'When it was over.';
COMMENT ON COLUMN scaler.drain.outcome IS 'How it ended.';

CREATE TABLE scaler.pool_health (
    fleet text NOT NULL REFERENCES scaler.fleet_state,
    zone text NOT NULL,
    instance_type text NOT NULL,
    failures integer NOT NULL CHECK (failures >= 0),
    cooling_until timestamptz NOT NULL,
    allowance integer NOT NULL CHECK (allowance >= 0),
    PRIMARY KEY (fleet, zone, instance_type)
);
COMMENT ON TABLE scaler.pool_health IS 'Pools (zone and type) that refused for capacity and have not recovered.';
COMMENT ON COLUMN scaler.pool_health.fleet IS 'The fleet that was refused.';
COMMENT ON COLUMN scaler.pool_health.zone IS 'The availability zone.';
COMMENT ON COLUMN scaler.pool_health.instance_type IS 'The instance type; empty: the launch template''s.';
COMMENT ON COLUMN scaler.pool_health.failures IS 'Refusals since it last sold what was asked.';
COMMENT ON COLUMN scaler.pool_health.cooling_until IS 'Left alone until then.';
COMMENT ON COLUMN scaler.pool_health.allowance IS 'Hosts the next attempt may ask for once it no longer cools; doubles on success.';

CREATE TABLE scaler.orphan (
    instance_id text PRIMARY KEY,
    fleet text NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    count integer NOT NULL CHECK (count > 0),
    CHECK (last_at >= first_at)
);
CREATE INDEX orphan_by_last ON scaler.orphan (last_at);
COMMENT ON TABLE scaler.orphan IS 'Instances with our tags and no row, as they were sighted; adoption takes them off.';
COMMENT ON COLUMN scaler.orphan.instance_id IS 'Which.';
COMMENT ON COLUMN scaler.orphan.fleet IS 'What its fleet tag says; it may be no fleet we know.';
COMMENT ON COLUMN scaler.orphan.first_at IS 'When it was first seen.';
COMMENT ON COLUMN scaler.orphan.last_at IS 'When it was last seen.';
COMMENT ON COLUMN scaler.orphan.count IS 'How often it was seen.';

CREATE TABLE scaler.cloud_call (
    id uuid PRIMARY KEY,
    fleet text NOT NULL REFERENCES scaler.fleet_state,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    replica text NOT NULL,
    epoch bigint NOT NULL CHECK (epoch > 0),
    op scaler.cloud_operation NOT NULL,
    decision_id uuid REFERENCES scaler.decision,
    launch_id uuid REFERENCES scaler.launch,
    attempt_id uuid REFERENCES scaler.launch_attempt,
    ordinal integer NOT NULL CHECK (ordinal > 0),
    instance_ids text[] NOT NULL,
    target_group text,
    zone text,
    client_token text,
    CONSTRAINT launches_name_their_attempt CHECK (
        (op = 'RunInstances') = (attempt_id IS NOT NULL) AND (op = 'RunInstances') = (client_token IS NOT NULL)),
    CONSTRAINT groups_are_named CHECK (
        (op IN ('RegisterTargets', 'DeregisterTargets')) = (target_group IS NOT NULL)),
    CONSTRAINT hosts_are_named CHECK (op = 'RunInstances' OR cardinality(instance_ids) > 0)
);
CREATE INDEX cloud_call_by_fleet ON scaler.cloud_call (fleet, at DESC);
CREATE INDEX cloud_call_by_decision ON scaler.cloud_call (decision_id);
CREATE INDEX cloud_call_by_launch ON scaler.cloud_call (launch_id);
COMMENT ON TABLE scaler.cloud_call IS 'Every mutating call, committed before it was sent. Append-only.';
COMMENT ON COLUMN scaler.cloud_call.id IS 'Its id.';
COMMENT ON COLUMN scaler.cloud_call.fleet IS 'For which fleet.';
COMMENT ON COLUMN scaler.cloud_call.at IS 'When it was committed, just before it was sent.';
COMMENT ON COLUMN scaler.cloud_call.replica IS 'The process that sent it.';
COMMENT ON COLUMN scaler.cloud_call.epoch IS 'The number of the lease it was sent under.';
COMMENT ON COLUMN scaler.cloud_call.op IS 'Which operation.';
COMMENT ON COLUMN scaler.cloud_call.decision_id IS 'The decision it goes back to.';
COMMENT ON COLUMN scaler.cloud_call.launch_id IS 'The launch it goes back to.';
COMMENT ON COLUMN scaler.cloud_call.attempt_id IS 'The attempt it is a call of.';
COMMENT ON COLUMN scaler.cloud_call.ordinal IS '1 for the first call of this attempt or step, 2 for its first repetition.';
COMMENT ON COLUMN scaler.cloud_call.instance_ids IS 'The instances it names.';
COMMENT ON COLUMN scaler.cloud_call.target_group IS 'The target group it names.';
COMMENT ON COLUMN scaler.cloud_call.zone IS 'The zone it is in.';
COMMENT ON COLUMN scaler.cloud_call.client_token IS 'The idempotency token it carries.';

CREATE TABLE scaler.cloud_call_outcome (
    call_id uuid PRIMARY KEY REFERENCES scaler.cloud_call,
    fleet text NOT NULL REFERENCES scaler.fleet_state,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome scaler.call_outcome NOT NULL,
    error_class scaler.failure_class,
    error_code text,
    error_message text,
    request_id text,
    instance_ids text[] NOT NULL,
    duration interval,
    CONSTRAINT failures_say_what CHECK (
        (outcome = 'ok') = (error_class IS NULL) AND (outcome = 'ok') = (error_code IS NULL))
);
COMMENT ON TABLE scaler.cloud_call_outcome IS 'The one outcome of each call; a call without one is still out. Append-only.';
COMMENT ON COLUMN scaler.cloud_call_outcome.call_id IS 'The call.';
COMMENT ON COLUMN scaler.cloud_call_outcome.fleet IS 'Its fleet.';
COMMENT ON COLUMN scaler.cloud_call_outcome.at IS 'When the outcome was recorded.';
COMMENT ON COLUMN scaler.cloud_call_outcome.outcome IS 'What came of it.';
COMMENT ON COLUMN scaler.cloud_call_outcome.error_class IS 'What the error means.';
COMMENT ON COLUMN scaler.cloud_call_outcome.error_code IS 'The cloud''s own code.';
COMMENT ON COLUMN scaler.cloud_call_outcome.error_message IS 'The cloud''s own words.';
COMMENT ON COLUMN scaler.cloud_call_outcome.request_id IS 'The cloud''s id of the request.';
COMMENT ON COLUMN scaler.cloud_call_outcome.instance_ids IS 'The instances it gave.';
COMMENT ON COLUMN scaler.cloud_call_outcome.duration IS 'How long it took; null: given up by a process that is gone.';
