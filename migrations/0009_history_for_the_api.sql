-- Why: the HTTP API asks for what happened in every fleet, newest first, a page at a time, and must answer at once with a
-- month of history behind it. Decisions that hold are most of all decisions and what most readers leave out, so the
-- others have an index of their own. A person may ask for a decision now. And whoever is turned away is counted: by
-- hour, cause and token, so that a flood of wrong tokens makes one row fuller and not a table longer.

CREATE INDEX decision_changes ON scaler.decision (at DESC) WHERE action <> 'hold';
CREATE INDEX event_by_time ON scaler.event (at DESC, (fleet COLLATE "C") DESC, seq DESC);

ALTER TYPE scaler.operator_action_kind ADD VALUE 'evaluate';

-- The new word may not be used in the transaction that adds it; the view says it the other way round.
CREATE OR REPLACE VIEW audit.operator_actions AS
SELECT o.at, o.fleet, o.actor, o.kind::text AS action, o.reason, o.direction::text AS direction, o.until, o.size,
       o.instance_id,
       CASE WHEN o.kind NOT IN ('set_size', 'drain') THEN 'done'
            WHEN a.action_id IS NULL THEN 'pending'
            WHEN a.granted THEN 'granted' ELSE 'refused' END AS outcome,
       a.because AS answer, a.at AS answered_at, a.decision_id, o.id AS action_id
FROM scaler.operator_action o LEFT JOIN scaler.operator_answer a ON a.action_id = o.id;
COMMENT ON COLUMN audit.operator_actions.action IS 'pause, resume, set_size, drain or evaluate.';

CREATE TABLE scaler.refused_request (
    hour timestamptz NOT NULL CHECK (hour = date_trunc('hour', hour, 'UTC')),
    cause text NOT NULL CHECK (cause IN ('no_token', 'unknown_token', 'expired_token', 'scope')),
    token text NOT NULL,
    count bigint NOT NULL CHECK (count > 0),
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    last_peer text NOT NULL,
    last_request text NOT NULL,
    PRIMARY KEY (hour, cause, token),
    CONSTRAINT first_comes_first CHECK (last_at >= first_at)
);
COMMENT ON TABLE scaler.refused_request IS 'Requests to the HTTP API that were turned away for want of a right, counted by hour, cause and token.';
COMMENT ON COLUMN scaler.refused_request.hour IS 'The hour that is counted.';
COMMENT ON COLUMN scaler.refused_request.cause IS 'no_token, unknown_token, expired_token or scope.';
COMMENT ON COLUMN scaler.refused_request.token IS 'The name of the token that was shown; empty: it was none of ours.';
COMMENT ON COLUMN scaler.refused_request.count IS 'How many they were. Only rises.';
COMMENT ON COLUMN scaler.refused_request.first_at IS 'When the first of them was written down.';
COMMENT ON COLUMN scaler.refused_request.last_at IS 'When the last of them was written down.';
COMMENT ON COLUMN scaler.refused_request.last_peer IS 'Where the last of them came from.';
COMMENT ON COLUMN scaler.refused_request.last_request IS 'What the last of them asked for.';

CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON scaler.refused_request FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();

CREATE FUNCTION scaler.guard_refused_request() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF (NEW.hour, NEW.cause, NEW.token, NEW.first_at) IS DISTINCT FROM (OLD.hour, OLD.cause, OLD.token, OLD.first_at)
        OR NEW.count <= OLD.count OR NEW.last_at < OLD.last_at THEN
        PERFORM scaler.refuse('refused requests: a count only rises');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION scaler.guard_refused_request() IS 'Counts of refused requests only rise.';
CREATE TRIGGER counts_only_rise BEFORE UPDATE ON scaler.refused_request FOR EACH ROW EXECUTE FUNCTION scaler.guard_refused_request();

CREATE VIEW audit.refused_requests AS
WITH refusals AS (SELECT * FROM scaler.refused_request)
SELECT r.hour, r.cause, r.token, r.count, r.first_at, r.last_at, r.last_peer, r.last_request FROM refusals r;
COMMENT ON VIEW audit.refused_requests IS 'Requests to the HTTP API that were turned away for want of a right, counted by hour, cause and token.';
COMMENT ON COLUMN audit.refused_requests.hour IS 'The hour that is counted.';
COMMENT ON COLUMN audit.refused_requests.cause IS 'no_token; unknown_token; expired_token; scope: a viewer''s token asked for a change.';
COMMENT ON COLUMN audit.refused_requests.token IS 'The name of the token that was shown; empty: it was none of ours.';
COMMENT ON COLUMN audit.refused_requests.count IS 'How many they were.';
COMMENT ON COLUMN audit.refused_requests.first_at IS 'When the first of them was written down.';
COMMENT ON COLUMN audit.refused_requests.last_at IS 'When the last of them was written down.';
COMMENT ON COLUMN audit.refused_requests.last_peer IS 'Where the last of them came from.';
COMMENT ON COLUMN audit.refused_requests.last_request IS 'What the last of them asked for: a method and a path.';

GRANT SELECT ON audit.refused_requests TO fleet_auditor, fleet_scaler_service;
GRANT SELECT, INSERT, UPDATE ON scaler.refused_request TO fleet_scaler_service;
REVOKE ALL ON FUNCTION scaler.guard_refused_request() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scaler.guard_refused_request() TO fleet_scaler_service;
