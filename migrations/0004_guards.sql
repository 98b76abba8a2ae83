-- Why: the schema defends itself. History refuses everything but INSERT, whoever asks, the owner included, so that an
-- installation with a single role has an audit trail too. (An owner can still drop a trigger; that is DDL, and shows.
-- A larger installation runs the service as fleet_scaler_service, which cannot.) State refuses steps that its machine
-- does not have. And all of history hangs on one hash chain a fleet, so that what got round the triggers is found.

CREATE FUNCTION scaler.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '% of %.% is refused: rows there are written once and never changed or removed',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
COMMENT ON FUNCTION scaler.refuse_change() IS 'Refuses the statement, even where it would touch no row.';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON scaler.decision FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON scaler.operator_action FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON scaler.operator_answer FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON scaler.config_version FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON scaler.event FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON scaler.cloud_call FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON scaler.cloud_call_outcome FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
-- ALWAYS: also where session_replication_role would silence ordinary triggers.
ALTER TABLE scaler.decision ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE scaler.operator_action ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE scaler.operator_answer ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE scaler.config_version ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE scaler.event ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE scaler.cloud_call ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE scaler.cloud_call_outcome ENABLE ALWAYS TRIGGER append_only;

-- State tables change, but their rows never go away: an instance, a launch, a drain happened.
CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON scaler.fleet_state FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON scaler.lease FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON scaler.decision_run FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON scaler.event_chain FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON scaler.launch FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON scaler.launch_attempt FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON scaler.host FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON scaler.drain FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();

CREATE FUNCTION scaler.refuse(what text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '%', what USING ERRCODE = 'check_violation';
END $$;
COMMENT ON FUNCTION scaler.refuse(text) IS 'Refuses a row, with a sentence.';

CREATE FUNCTION scaler.guard_lease() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NEW.fleet <> OLD.fleet OR NEW.epoch < OLD.epoch
        OR (NEW.epoch = OLD.epoch AND NEW.holder IS DISTINCT FROM OLD.holder) THEN
        PERFORM scaler.refuse(format('the lease of %s: an epoch only rises, and a new holder needs a new one', OLD.fleet));
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION scaler.guard_lease() IS 'Epochs only rise.';
CREATE TRIGGER epochs_only_rise BEFORE UPDATE ON scaler.lease FOR EACH ROW EXECUTE FUNCTION scaler.guard_lease();

CREATE FUNCTION scaler.guard_decision_run() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NEW.decision_id <> OLD.decision_id OR NEW.count <= OLD.count OR NEW.last_at < OLD.last_at THEN
        PERFORM scaler.refuse(format('decision %s: a count of repetitions only rises', OLD.decision_id));
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION scaler.guard_decision_run() IS 'Counts of repetitions only rise.';
CREATE TRIGGER counts_only_rise BEFORE UPDATE ON scaler.decision_run FOR EACH ROW EXECUTE FUNCTION scaler.guard_decision_run();

CREATE FUNCTION scaler.guard_launch() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF (NEW.id, NEW.fleet, NEW.decision_id, NEW.count, NEW.template, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.fleet, OLD.decision_id, OLD.count, OLD.template, OLD.created_at) THEN
        PERFORM scaler.refuse(format('launch %s: an intent is frozen when it is committed', OLD.id));
    END IF;
    IF NEW.launched < OLD.launched OR NEW.attempts < OLD.attempts THEN
        PERFORM scaler.refuse(format('launch %s: what was launched or tried cannot be taken back', OLD.id));
    END IF;
    IF OLD.state <> 'open' AND (NEW.state, NEW.closed_at, NEW.abandon_reason, NEW.attempts)
        IS DISTINCT FROM (OLD.state, OLD.closed_at, OLD.abandon_reason, OLD.attempts) THEN
        PERFORM scaler.refuse(format('launch %s is %s, which is final', OLD.id, OLD.state));
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION scaler.guard_launch() IS 'Intents are frozen, and closed ones stay closed.';
CREATE TRIGGER frozen BEFORE UPDATE ON scaler.launch FOR EACH ROW EXECUTE FUNCTION scaler.guard_launch();

CREATE FUNCTION scaler.guard_attempt() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF OLD.state = 'resolved' THEN
        PERFORM scaler.refuse(format('attempt %s is resolved, which is final', OLD.id));
    END IF;
    IF (NEW.id, NEW.fleet, NEW.launch_id, NEW.ordinal, NEW.client_token, NEW.zone, NEW.instance_type, NEW.max_count,
        NEW.request, NEW.opened_at)
        IS DISTINCT FROM (OLD.id, OLD.fleet, OLD.launch_id, OLD.ordinal, OLD.client_token, OLD.zone,
        OLD.instance_type, OLD.max_count, OLD.request, OLD.opened_at) THEN
        PERFORM scaler.refuse(format('attempt %s: a request is frozen when it is committed', OLD.id));
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION scaler.guard_attempt() IS 'Requests are frozen, and resolved attempts never change.';
CREATE TRIGGER frozen BEFORE UPDATE ON scaler.launch_attempt FOR EACH ROW EXECUTE FUNCTION scaler.guard_attempt();

CREATE FUNCTION scaler.host_may(before scaler.host_state, after scaler.host_state) RETURNS boolean
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT before = after OR CASE before
        WHEN 'pending' THEN after IN ('running', 'draining', 'lost')
        WHEN 'running' THEN after IN ('registered', 'healthy', 'draining', 'lost')
        WHEN 'registered' THEN after IN ('healthy', 'draining', 'lost')
        WHEN 'healthy' THEN after IN ('unhealthy', 'draining', 'lost')
        WHEN 'unhealthy' THEN after IN ('healthy', 'draining', 'lost')
        WHEN 'draining' THEN after IN ('running', 'unhealthy', 'deregistered', 'terminated', 'lost')
        WHEN 'deregistered' THEN after IN ('terminating', 'terminated', 'lost')
        WHEN 'terminating' THEN after IN ('terminated', 'lost')
        ELSE false END
$$;
COMMENT ON FUNCTION scaler.host_may(scaler.host_state, scaler.host_state) IS 'The host state machine''s arrows.';

CREATE FUNCTION scaler.guard_host() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF OLD.state IN ('terminated', 'lost') THEN
        PERFORM scaler.refuse(format('host %s is %s, which is final', OLD.instance_id, OLD.state));
    END IF;
    IF NEW.version <> OLD.version + 1 THEN
        PERFORM scaler.refuse(format('host %s: its version rises by one with every change', OLD.instance_id));
    END IF;
    IF (NEW.instance_id, NEW.fleet, NEW.launch_id, NEW.launched_at, NEW.recorded_at)
        IS DISTINCT FROM (OLD.instance_id, OLD.fleet, OLD.launch_id, OLD.launched_at, OLD.recorded_at)
        OR (OLD.healthy_at IS NOT NULL AND NEW.healthy_at IS DISTINCT FROM OLD.healthy_at) THEN
        PERFORM scaler.refuse(format('host %s: what it is and when it came do not change', OLD.instance_id));
    END IF;
    IF NOT scaler.host_may(OLD.state, NEW.state) THEN
        PERFORM scaler.refuse(format('host %s cannot go from %s to %s', OLD.instance_id, OLD.state, NEW.state));
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION scaler.guard_host() IS 'Hosts take only the steps that their state machine has.';
CREATE TRIGGER lawful BEFORE UPDATE ON scaler.host FOR EACH ROW EXECUTE FUNCTION scaler.guard_host();

CREATE FUNCTION scaler.guard_drain() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF OLD.ended_at IS NOT NULL THEN
        PERFORM scaler.refuse(format('the drain of %s has ended, which is final', OLD.instance_id));
    END IF;
    IF (NEW.id, NEW.instance_id, NEW.fleet, NEW.decision_id, NEW.reason, NEW.groups, NEW.started_at)
        IS DISTINCT FROM (OLD.id, OLD.instance_id, OLD.fleet, OLD.decision_id, OLD.reason, OLD.groups, OLD.started_at)
        OR (OLD.deregistered_at IS NOT NULL AND (NEW.deregistered_at, NEW.deadline)
            IS DISTINCT FROM (OLD.deregistered_at, OLD.deadline))
        OR (OLD.terminating_at IS NOT NULL AND NEW.terminating_at IS DISTINCT FROM OLD.terminating_at) THEN
        PERFORM scaler.refuse(format('the drain of %s: what was done of it cannot be undone', OLD.instance_id));
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION scaler.guard_drain() IS 'Drains go one way, and ended ones never change.';
CREATE TRIGGER one_way BEFORE UPDATE ON scaler.drain FOR EACH ROW EXECUTE FUNCTION scaler.guard_drain();

-- The chain. Time zone and interval style are pinned where rows become text: a digest must not depend on a session.

CREATE FUNCTION scaler.row_digest(doc jsonb) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT encode(sha256(convert_to(jsonb_strip_nulls(doc)::text, 'UTF8')), 'hex')
$$;
COMMENT ON FUNCTION scaler.row_digest(jsonb) IS 'SHA-256 of a row as jsonb, without nulls: a column that a later version adds changes no old digest.';

CREATE FUNCTION scaler.event_hash(e scaler.event) RETURNS bytea
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog SET "TimeZone" = 'UTC' AS $$
    SELECT sha256(e.prev_hash || convert_to(
        jsonb_build_array(e.fleet, e.seq, to_char(e.at, 'YYYY-MM-DD"T"HH24:MI:SS.US'), e.kind, e.subject, e.data)::text,
        'UTF8'))
$$;
COMMENT ON FUNCTION scaler.event_hash(scaler.event) IS 'What an event''s hash must be.';

CREATE FUNCTION scaler.chain_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    head scaler.event_chain;
BEGIN
    SELECT * INTO head FROM scaler.event_chain WHERE fleet = NEW.fleet FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO scaler.event_chain VALUES (NEW.fleet, 0, decode(repeat('00', 32), 'hex')) ON CONFLICT DO NOTHING;
        SELECT * INTO head FROM scaler.event_chain WHERE fleet = NEW.fleet FOR UPDATE;
    END IF;
    NEW.seq := head.seq + 1;
    NEW.prev_hash := head.hash;
    NEW.hash := scaler.event_hash(NEW);
    UPDATE scaler.event_chain SET seq = NEW.seq, hash = NEW.hash WHERE fleet = NEW.fleet;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION scaler.chain_event() IS 'Gives a new event its place, its predecessor''s hash and its own.';
CREATE TRIGGER chained BEFORE INSERT ON scaler.event FOR EACH ROW EXECUTE FUNCTION scaler.chain_event();
ALTER TABLE scaler.event ENABLE ALWAYS TRIGGER chained;

CREATE FUNCTION scaler.guard_chain() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    -- Depth 1 is a statement of somebody's own; an event's insert comes here at depth 2.
    IF pg_trigger_depth() < 2 THEN
        PERFORM scaler.refuse('the head of an event chain moves only with an event');
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION scaler.guard_chain() IS 'The head of a chain moves only with an event.';
CREATE TRIGGER only_with_an_event BEFORE INSERT OR UPDATE ON scaler.event_chain FOR EACH ROW EXECUTE FUNCTION scaler.guard_chain();
ALTER TABLE scaler.event_chain ENABLE ALWAYS TRIGGER only_with_an_event;

CREATE FUNCTION scaler.chain_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET "TimeZone" = 'UTC' SET "IntervalStyle" = 'postgres' AS $$
DECLARE
    doc jsonb := to_jsonb(NEW);
BEGIN
    INSERT INTO scaler.event (fleet, kind, subject, data)
    VALUES (coalesce(doc ->> 'fleet', ''), TG_TABLE_NAME, doc ->> TG_ARGV[0],
            jsonb_build_object('digest', scaler.row_digest(doc)));
    RETURN NULL;
END $$;
COMMENT ON FUNCTION scaler.chain_row() IS 'Hangs a digest of a new row of history on the fleet''s chain.';
CREATE TRIGGER chained AFTER INSERT ON scaler.decision FOR EACH ROW EXECUTE FUNCTION scaler.chain_row('id');
CREATE TRIGGER chained AFTER INSERT ON scaler.operator_action FOR EACH ROW EXECUTE FUNCTION scaler.chain_row('id');
CREATE TRIGGER chained AFTER INSERT ON scaler.operator_answer FOR EACH ROW EXECUTE FUNCTION scaler.chain_row('action_id');
CREATE TRIGGER chained AFTER INSERT ON scaler.config_version FOR EACH ROW EXECUTE FUNCTION scaler.chain_row('id');
CREATE TRIGGER chained AFTER INSERT ON scaler.cloud_call FOR EACH ROW EXECUTE FUNCTION scaler.chain_row('id');
CREATE TRIGGER chained AFTER INSERT ON scaler.cloud_call_outcome FOR EACH ROW EXECUTE FUNCTION scaler.chain_row('call_id');
ALTER TABLE scaler.decision ENABLE ALWAYS TRIGGER chained;
ALTER TABLE scaler.operator_action ENABLE ALWAYS TRIGGER chained;
ALTER TABLE scaler.operator_answer ENABLE ALWAYS TRIGGER chained;
ALTER TABLE scaler.config_version ENABLE ALWAYS TRIGGER chained;
ALTER TABLE scaler.cloud_call ENABLE ALWAYS TRIGGER chained;
ALTER TABLE scaler.cloud_call_outcome ENABLE ALWAYS TRIGGER chained;

CREATE FUNCTION scaler.history_digests(p_fleet text) RETURNS TABLE (kind text, subject text, digest text)
    LANGUAGE sql STABLE SET search_path = pg_catalog SET "TimeZone" = 'UTC' SET "IntervalStyle" = 'postgres' AS $$
    SELECT 'decision', t.id::text, scaler.row_digest(to_jsonb(t)) FROM scaler.decision t WHERE t.fleet = p_fleet
    UNION ALL
    SELECT 'operator_action', t.id::text, scaler.row_digest(to_jsonb(t)) FROM scaler.operator_action t WHERE t.fleet = p_fleet
    UNION ALL
    SELECT 'operator_answer', t.action_id::text, scaler.row_digest(to_jsonb(t)) FROM scaler.operator_answer t WHERE t.fleet = p_fleet
    UNION ALL
    SELECT 'config_version', t.id::text, scaler.row_digest(to_jsonb(t)) FROM scaler.config_version t WHERE coalesce(t.fleet, '') = p_fleet
    UNION ALL
    SELECT 'cloud_call', t.id::text, scaler.row_digest(to_jsonb(t)) FROM scaler.cloud_call t WHERE t.fleet = p_fleet
    UNION ALL
    SELECT 'cloud_call_outcome', t.call_id::text, scaler.row_digest(to_jsonb(t)) FROM scaler.cloud_call_outcome t WHERE t.fleet = p_fleet
$$;
COMMENT ON FUNCTION scaler.history_digests(text) IS 'The digest of every row of a fleet''s history as it is now.';

CREATE FUNCTION scaler.verify_chain(p_fleet text) RETURNS TABLE (seq bigint, problem text)
    LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    WITH chain AS (
        SELECT e.seq, e.kind, e.subject, e.data, e.hash, e.prev_hash, scaler.event_hash(e) AS right_hash,
               lag(e.hash, 1, decode(repeat('00', 32), 'hex')) OVER w AS before_hash,
               lag(e.seq, 1, 0::bigint) OVER w AS before_seq
        FROM scaler.event e WHERE e.fleet = p_fleet WINDOW w AS (ORDER BY e.seq)),
    records AS (SELECT c.seq, c.kind, c.subject, c.data ->> 'digest' AS digest FROM chain c WHERE c.data ? 'digest')
    SELECT c.seq, format('events %s to %s are missing', c.before_seq + 1, c.seq - 1) FROM chain c WHERE c.seq <> c.before_seq + 1
    UNION ALL
    SELECT c.seq, format('event %s (%s of %s) was changed', c.seq, c.kind, c.subject) FROM chain c WHERE c.hash <> c.right_hash
    UNION ALL
    SELECT c.seq, format('event %s does not follow the one before it', c.seq) FROM chain c
        WHERE c.seq = c.before_seq + 1 AND c.prev_hash <> c.before_hash
    UNION ALL
    SELECT h.seq, format('the chain should end with event %s, and does not', h.seq) FROM scaler.event_chain h
        WHERE h.fleet = p_fleet AND NOT EXISTS (
            SELECT FROM chain c WHERE c.seq = h.seq AND c.hash = h.hash
                AND NOT EXISTS (SELECT FROM chain later WHERE later.seq > h.seq))
    UNION ALL
    SELECT r.seq, CASE WHEN d.digest IS NULL THEN format('%s %s was removed', coalesce(r.kind, d.kind), coalesce(r.subject, d.subject))
                       WHEN r.digest IS NULL THEN format('%s %s came in beside the chain', d.kind, d.subject)
                       ELSE format('%s %s was changed', d.kind, d.subject) END
        FROM records r FULL JOIN scaler.history_digests(p_fleet) d ON d.kind = r.kind AND d.subject = r.subject
        WHERE r.digest IS DISTINCT FROM d.digest
    UNION ALL
    SELECT NULL, format('there are events of %L and no head of their chain', p_fleet)
        WHERE EXISTS (SELECT FROM chain) AND NOT EXISTS (SELECT FROM scaler.event_chain h WHERE h.fleet = p_fleet)
    ORDER BY 1 NULLS LAST
$$;
COMMENT ON FUNCTION scaler.verify_chain(text) IS 'Everything that is wrong with a fleet''s history; no row: nothing.';
