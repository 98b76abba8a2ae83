-- Why: what happened is written once and never again. These tables only grow; migration 0004 gives them the triggers that
-- refuse everything but INSERT, the owner's own UPDATE included, and the hash chain that shows if somebody got round them.

CREATE TABLE scaler.fleet_state (
    fleet text PRIMARY KEY CHECK (fleet ~ '^[a-z0-9-]{1,48}$'),
    first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    desired integer CHECK (desired >= 0),
    last_scale_out timestamptz,
    last_change timestamptz,
    rules_fired jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(rules_fired) = 'object'),
    launch_failures integer NOT NULL DEFAULT 0 CHECK (launch_failures >= 0),
    last_launch_failure timestamptz,
    pause_out_actor text,
    pause_out_reason text,
    pause_out_until timestamptz,
    pause_in_actor text,
    pause_in_reason text,
    pause_in_until timestamptz,
    CONSTRAINT failures_have_a_time CHECK ((launch_failures > 0) = (last_launch_failure IS NOT NULL)),
    CONSTRAINT scale_out_is_a_change CHECK (last_scale_out IS NULL OR last_change >= last_scale_out),
    CONSTRAINT pause_out_is_whole CHECK (
        (pause_out_actor IS NULL) = (pause_out_reason IS NULL)
        AND (pause_out_until IS NULL OR pause_out_actor IS NOT NULL)),
    CONSTRAINT pause_in_is_whole CHECK (
        (pause_in_actor IS NULL) = (pause_in_reason IS NULL)
        AND (pause_in_until IS NULL OR pause_in_actor IS NOT NULL))
);
COMMENT ON TABLE scaler.fleet_state IS 'What is remembered of a fleet between ticks, restarts and replicas; a row for every fleet ever known.';
COMMENT ON COLUMN scaler.fleet_state.fleet IS 'The fleet''s name.';
COMMENT ON COLUMN scaler.fleet_state.first_seen_at IS 'When the fleet was first heard of.';
COMMENT ON COLUMN scaler.fleet_state.desired IS 'The size last wanted; null: nothing was ever decided.';
COMMENT ON COLUMN scaler.fleet_state.last_scale_out IS 'When a decision last made the fleet larger; the scale-out cooldown runs from here.';
COMMENT ON COLUMN scaler.fleet_state.last_change IS 'When a decision last changed the size in either direction; the scale-in cooldown runs from here.';
COMMENT ON COLUMN scaler.fleet_state.rules_fired IS 'When each rule last fired, by name.';
COMMENT ON COLUMN scaler.fleet_state.launch_failures IS 'Launch failures in a row: refused for good, or never healthy. The breaker counts these.';
COMMENT ON COLUMN scaler.fleet_state.last_launch_failure IS 'When the last of them was.';
COMMENT ON COLUMN scaler.fleet_state.pause_out_actor IS 'Who paused growing; null: nobody.';
COMMENT ON COLUMN scaler.fleet_state.pause_out_reason IS 'Why growing is paused.';
COMMENT ON COLUMN scaler.fleet_state.pause_out_until IS 'When that pause ends by itself; null: when somebody resumes.';
COMMENT ON COLUMN scaler.fleet_state.pause_in_actor IS 'Who paused shrinking; null: nobody.';
COMMENT ON COLUMN scaler.fleet_state.pause_in_reason IS 'Why shrinking is paused.';
COMMENT ON COLUMN scaler.fleet_state.pause_in_until IS 'When that pause ends by itself; null: when somebody resumes.';

CREATE TABLE scaler.decision (
    id uuid PRIMARY KEY,
    fleet text NOT NULL REFERENCES scaler.fleet_state,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    replica text NOT NULL,
    epoch bigint NOT NULL CHECK (epoch > 0),
    mode scaler.decision_mode NOT NULL,
    action scaler.decision_action NOT NULL,
    size_before integer NOT NULL CHECK (size_before >= 0),
    size_wanted integer NOT NULL CHECK (size_wanted >= 0),
    reason text NOT NULL,
    signature text NOT NULL,
    plan jsonb NOT NULL CHECK (jsonb_typeof(plan) = 'object'),
    starts_nothing boolean NOT NULL GENERATED ALWAYS AS (
        plan -> 'launches' = '[]' AND plan -> 'drains' = '[]' AND plan -> 'cancelled_drains' = '[]') STORED
);
CREATE INDEX decision_by_fleet ON scaler.decision (fleet, at DESC);
CREATE INDEX decision_by_time ON scaler.decision (at DESC);
COMMENT ON TABLE scaler.decision IS 'Every decision, also those that did nothing. Append-only.';
COMMENT ON COLUMN scaler.decision.id IS 'Its id.';
COMMENT ON COLUMN scaler.decision.fleet IS 'The fleet.';
COMMENT ON COLUMN scaler.decision.at IS 'When it was committed, by the database''s clock.';
COMMENT ON COLUMN scaler.decision.replica IS 'The process that made it.';
COMMENT ON COLUMN scaler.decision.epoch IS 'The number of the lease it was made under.';
COMMENT ON COLUMN scaler.decision.mode IS 'Whether it was acted on.';
COMMENT ON COLUMN scaler.decision.action IS 'In which direction, and on whose account.';
COMMENT ON COLUMN scaler.decision.size_before IS 'Hosts that served or were on their way, before it.';
COMMENT ON COLUMN scaler.decision.size_wanted IS 'The size wanted from then on.';
COMMENT ON COLUMN scaler.decision.reason IS 'Why, in one sentence.';
COMMENT ON COLUMN scaler.decision.signature IS 'What stays the same while the answer stays the same; equal quiet answers share a row.';
COMMENT ON COLUMN scaler.decision.starts_nothing IS 'Whether it neither buys, nor sends away, nor takes back any host.';
COMMENT ON COLUMN scaler.decision.plan IS 'Everything it said: inputs, recommendations, verdicts, launches, drains.';

CREATE TABLE scaler.decision_run (
    decision_id uuid PRIMARY KEY REFERENCES scaler.decision,
    count bigint NOT NULL CHECK (count >= 2),
    last_at timestamptz NOT NULL,
    last_id uuid NOT NULL
);
COMMENT ON TABLE scaler.decision_run IS 'How often a quiet decision was made again, unchanged. Beside the history, so that the history stays untouched.';
COMMENT ON COLUMN scaler.decision_run.decision_id IS 'The decision that was made again.';
COMMENT ON COLUMN scaler.decision_run.count IS 'How often it was made, the first time included. Only rises.';
COMMENT ON COLUMN scaler.decision_run.last_at IS 'When it was last made.';
COMMENT ON COLUMN scaler.decision_run.last_id IS 'The id of that last time: a commit that is repeated is not counted twice.';

CREATE TABLE scaler.operator_action (
    id uuid PRIMARY KEY,
    fleet text NOT NULL REFERENCES scaler.fleet_state,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL CHECK (actor <> ''),
    kind scaler.operator_action_kind NOT NULL,
    reason text NOT NULL,
    direction scaler.direction,
    until timestamptz,
    size integer CHECK (size >= 0),
    instance_id text,
    CONSTRAINT kind_has_its_columns CHECK (
        (kind = 'pause') = (direction IS NOT NULL)
        AND (until IS NULL OR kind = 'pause')
        AND (kind = 'set_size') = (size IS NOT NULL)
        AND (kind = 'drain') = (instance_id IS NOT NULL))
);
CREATE INDEX operator_action_by_fleet ON scaler.operator_action (fleet, at);
COMMENT ON TABLE scaler.operator_action IS 'What people did. Append-only.';
COMMENT ON COLUMN scaler.operator_action.id IS 'Its id.';
COMMENT ON COLUMN scaler.operator_action.fleet IS 'On which fleet.';
COMMENT ON COLUMN scaler.operator_action.at IS 'When.';
COMMENT ON COLUMN scaler.operator_action.actor IS 'Who.';
COMMENT ON COLUMN scaler.operator_action.kind IS 'What.';
COMMENT ON COLUMN scaler.operator_action.reason IS 'Why, in their words.';
COMMENT ON COLUMN scaler.operator_action.direction IS 'Of a pause: which changes.';
COMMENT ON COLUMN scaler.operator_action.until IS 'Of a pause: when it ends by itself.';
COMMENT ON COLUMN scaler.operator_action.size IS 'Of a size: which.';
COMMENT ON COLUMN scaler.operator_action.instance_id IS 'Of a drain: which host.';

CREATE TABLE scaler.operator_answer (
    action_id uuid PRIMARY KEY REFERENCES scaler.operator_action,
    fleet text NOT NULL REFERENCES scaler.fleet_state,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    decision_id uuid NOT NULL REFERENCES scaler.decision,
    granted boolean NOT NULL,
    because text NOT NULL
);
COMMENT ON TABLE scaler.operator_answer IS 'What became of a person''s request. Append-only.';
COMMENT ON COLUMN scaler.operator_answer.action_id IS 'The request.';
COMMENT ON COLUMN scaler.operator_answer.fleet IS 'Its fleet.';
COMMENT ON COLUMN scaler.operator_answer.at IS 'When it was answered.';
COMMENT ON COLUMN scaler.operator_answer.decision_id IS 'The decision that answered it.';
COMMENT ON COLUMN scaler.operator_answer.granted IS 'Whether it was granted; if not, a guard refused it.';
COMMENT ON COLUMN scaler.operator_answer.because IS 'The sentence that the operator reads.';

CREATE TABLE scaler.config_version (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fleet text REFERENCES scaler.fleet_state,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    version text NOT NULL,
    outcome scaler.config_outcome NOT NULL,
    text text NOT NULL,
    diff text NOT NULL
);
CREATE INDEX config_version_by_fleet ON scaler.config_version (fleet, id DESC);
COMMENT ON TABLE scaler.config_version IS 'Configurations that were applied or refused. Append-only.';
COMMENT ON COLUMN scaler.config_version.id IS 'Rises with every row.';
COMMENT ON COLUMN scaler.config_version.fleet IS 'The fleet; null: the service''s own file, or the folder as a whole.';
COMMENT ON COLUMN scaler.config_version.at IS 'When.';
COMMENT ON COLUMN scaler.config_version.version IS 'A hash of the text.';
COMMENT ON COLUMN scaler.config_version.outcome IS 'What became of it.';
COMMENT ON COLUMN scaler.config_version.text IS 'The configuration, or, where it was refused, the errors.';
COMMENT ON COLUMN scaler.config_version.diff IS 'Lines that went (-) and came (+) since the last one applied.';

CREATE TABLE scaler.event (
    fleet text NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL CHECK (kind <> ''),
    subject text NOT NULL,
    data jsonb NOT NULL,
    prev_hash bytea NOT NULL CHECK (length(prev_hash) = 32),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (fleet, seq)
);
CREATE INDEX event_by_subject ON scaler.event (subject, seq);
COMMENT ON TABLE scaler.event IS 'Every change of every launch and host, and a digest of every row of the other histories, in one chain a fleet. Append-only.';
COMMENT ON COLUMN scaler.event.fleet IS 'The chain: a fleet''s name, or empty for the service itself.';
COMMENT ON COLUMN scaler.event.seq IS 'Its place in the chain, from 1, without gaps.';
COMMENT ON COLUMN scaler.event.at IS 'When.';
COMMENT ON COLUMN scaler.event.kind IS 'What happened; the name of a table where it is the digest of that table''s new row.';
COMMENT ON COLUMN scaler.event.subject IS 'To what: an instance, a launch, an attempt, or the id of the row.';
COMMENT ON COLUMN scaler.event.data IS 'The state after it, or the row''s digest.';
COMMENT ON COLUMN scaler.event.prev_hash IS 'The hash of the event before it; zeros for the first.';
COMMENT ON COLUMN scaler.event.hash IS 'SHA-256 over the previous hash and everything else in this row.';

CREATE TABLE scaler.event_chain (
    fleet text PRIMARY KEY,
    seq bigint NOT NULL CHECK (seq >= 0),
    hash bytea NOT NULL CHECK (length(hash) = 32)
);
COMMENT ON TABLE scaler.event_chain IS 'The newest event of each chain; its row lock puts the events of a fleet in one order.';
COMMENT ON COLUMN scaler.event_chain.fleet IS 'The chain.';
COMMENT ON COLUMN scaler.event_chain.seq IS 'The newest event''s number.';
COMMENT ON COLUMN scaler.event_chain.hash IS 'The newest event''s hash.';
