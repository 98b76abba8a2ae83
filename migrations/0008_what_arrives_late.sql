-- A call that was given up may arrive all the same, later: a registration revives a target that was let go, and a launch
-- succeeds whose repetition was refused.

ALTER TABLE scaler.launch_attempt ADD COLUMN doubted_at timestamptz;
COMMENT ON COLUMN scaler.launch_attempt.doubted_at IS 'When a call of it was given up last without an answer; null: every call was answered.';
UPDATE scaler.launch_attempt SET doubted_at = clock_timestamp() WHERE state = 'open' AND last_failure = 'unknown';

-- A group that holds a deregistered host again (a registration that arrived late, or a person's) is told again, and the
-- deadline begins anew. It may only move later, and only while nobody was asked to terminate the host.

CREATE OR REPLACE FUNCTION scaler.guard_drain() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF OLD.ended_at IS NOT NULL THEN
        PERFORM scaler.refuse(format('the drain of %s has ended, which is final', OLD.instance_id));
    END IF;
    IF (NEW.id, NEW.instance_id, NEW.fleet, NEW.decision_id, NEW.reason, NEW.groups, NEW.started_at)
        IS DISTINCT FROM (OLD.id, OLD.instance_id, OLD.fleet, OLD.decision_id, OLD.reason, OLD.groups, OLD.started_at)
        OR (OLD.deregistered_at IS NOT NULL AND (NEW.deregistered_at, NEW.deadline)
            IS DISTINCT FROM (OLD.deregistered_at, OLD.deadline)
            AND NOT coalesce(OLD.terminating_at IS NULL AND NEW.deregistered_at >= OLD.deregistered_at
                AND NEW.deadline >= OLD.deadline, false))
        OR (OLD.terminating_at IS NOT NULL AND NEW.terminating_at IS DISTINCT FROM OLD.terminating_at) THEN
        PERFORM scaler.refuse(format('the drain of %s: what was done of it cannot be undone', OLD.instance_id));
    END IF;
    RETURN NEW;
END $$;
COMMENT ON COLUMN scaler.drain.deregistered_at IS 'When every target group had been asked to let it go, the last time.';
COMMENT ON COLUMN scaler.drain.deadline IS 'When it is terminated at the latest, unless a target group holds it again.';
COMMENT ON COLUMN audit.instances.deregistered_at IS 'When every target group had been asked to let it go, the last time.';
