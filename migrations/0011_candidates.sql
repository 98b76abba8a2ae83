-- Why: a policy that is tried beside the one in force is worth something only if both can be compared over days. What it
-- would have done stands in the plan of the very decision that was made instead, so one row here is one answer of a
-- candidate beside the real one.

CREATE VIEW audit.candidates AS
SELECT d.id AS decision_id, d.at, coalesce(r.last_at, d.at) AS last_at, coalesce(r.count, 1) AS count, d.fleet,
       c.name AS candidate, c.action, c.size_wanted, c.recommended, c.reason,
       d.action::text AS real_action, d.size_before AS real_size_before, d.size_wanted AS real_size_wanted
FROM scaler.decision d
LEFT JOIN scaler.decision_run r ON r.decision_id = d.id
CROSS JOIN LATERAL jsonb_to_recordset(coalesce(d.plan -> 'candidates', '[]'))
    AS c(name text, action text, size_wanted integer, recommended integer, reason text);
COMMENT ON VIEW audit.candidates IS 'What policies that are tried beside the one in force would have done. None of it was done.';
COMMENT ON COLUMN audit.candidates.decision_id IS 'The decision that was made instead.';
COMMENT ON COLUMN audit.candidates.at IS 'When it was first made.';
COMMENT ON COLUMN audit.candidates.last_at IS 'When it was last made again, with the same answers.';
COMMENT ON COLUMN audit.candidates.count IS 'How often it was made.';
COMMENT ON COLUMN audit.candidates.fleet IS 'The fleet.';
COMMENT ON COLUMN audit.candidates.candidate IS 'The candidate''s name in the fleet''s file.';
COMMENT ON COLUMN audit.candidates.action IS 'What it would have done.';
COMMENT ON COLUMN audit.candidates.size_wanted IS 'The size that it would have wanted, after all guards.';
COMMENT ON COLUMN audit.candidates.recommended IS 'The size that it recommended before any guard but the bounds; null: it could not say.';
COMMENT ON COLUMN audit.candidates.reason IS 'Why, in one sentence.';
COMMENT ON COLUMN audit.candidates.real_action IS 'What was decided.';
COMMENT ON COLUMN audit.candidates.real_size_before IS 'Hosts that served or were on their way, and hosts reserved, before it.';
COMMENT ON COLUMN audit.candidates.real_size_wanted IS 'The size that was wanted from then on.';
GRANT SELECT ON audit.candidates TO fleet_auditor, fleet_scaler_service;
