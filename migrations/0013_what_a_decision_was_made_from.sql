-- Why: whoever doubts a decision should be able to make it again. What it was made from is kept with it for two days, in
-- the decision's own transaction: the document as it was written (json, not jsonb: a float must come back as the very one),
-- the policy once for all decisions that share it, and the observations before it in the window's own rows, which are kept
-- as long. It is not history, which is kept for ever: it goes when it is old. But until then nobody may change it, and the
-- decision's row, which is history, carries its seal.

ALTER TABLE scaler.decision ADD COLUMN inputs_seal text;
COMMENT ON COLUMN scaler.decision.inputs_seal IS 'SHA-256 of what it was made from, as it was kept beside it; null: nothing was kept then.';

CREATE TABLE scaler.decision_policy (
    fleet text NOT NULL REFERENCES scaler.fleet_state,
    digest text NOT NULL CHECK (digest <> ''),
    doc json NOT NULL,
    PRIMARY KEY (fleet, digest)
);
COMMENT ON TABLE scaler.decision_policy IS 'Policies that decisions of the last days were made by, each once. Goes with the last of them.';
COMMENT ON COLUMN scaler.decision_policy.fleet IS 'The fleet.';
COMMENT ON COLUMN scaler.decision_policy.digest IS 'SHA-256 of the policy.';
COMMENT ON COLUMN scaler.decision_policy.doc IS 'The policy.';

CREATE TABLE scaler.decision_input (
    decision_id uuid PRIMARY KEY REFERENCES scaler.decision,
    fleet text NOT NULL REFERENCES scaler.fleet_state,
    at timestamptz NOT NULL,
    format integer NOT NULL CHECK (format > 0),
    program text NOT NULL CHECK (program <> ''),
    policy text NOT NULL,
    doc json NOT NULL,
    FOREIGN KEY (fleet, policy) REFERENCES scaler.decision_policy
);
CREATE INDEX decision_input_by_time ON scaler.decision_input (fleet, at);
CREATE INDEX decision_input_by_policy ON scaler.decision_input (fleet, policy);
COMMENT ON TABLE scaler.decision_input IS 'What decisions of the last days were made from, so that they can be made again. Never changed; goes when it is old.';
COMMENT ON COLUMN scaler.decision_input.decision_id IS 'The decision.';
COMMENT ON COLUMN scaler.decision_input.fleet IS 'Its fleet.';
COMMENT ON COLUMN scaler.decision_input.at IS 'When it was made.';
COMMENT ON COLUMN scaler.decision_input.format IS 'The format of both documents.';
COMMENT ON COLUMN scaler.decision_input.program IS 'The version of the program that decided.';
COMMENT ON COLUMN scaler.decision_input.policy IS 'The digest of the policy that it was made by.';
COMMENT ON COLUMN scaler.decision_input.doc IS 'Everything else: hosts, open launches, signals, memory, requests; and which observations it looked back on.';

-- The message speaks of removing too, which is allowed here for what is old; the statements that it refuses are not.
CREATE TRIGGER written_once BEFORE UPDATE OR TRUNCATE ON scaler.decision_policy FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
CREATE TRIGGER written_once BEFORE UPDATE OR TRUNCATE ON scaler.decision_input FOR EACH STATEMENT EXECUTE FUNCTION scaler.refuse_change();
ALTER TABLE scaler.decision_policy ENABLE ALWAYS TRIGGER written_once;
ALTER TABLE scaler.decision_input ENABLE ALWAYS TRIGGER written_once;

CREATE VIEW audit.decision_inputs AS
SELECT i.decision_id, i.at, i.fleet, i.format, i.program, i.doc AS inputs, p.doc AS policy, d.inputs_seal AS seal
FROM scaler.decision_input i
JOIN scaler.decision d ON d.id = i.decision_id
JOIN scaler.decision_policy p ON p.fleet = i.fleet AND p.digest = i.policy;
COMMENT ON VIEW audit.decision_inputs IS 'What decisions of the last two days were made from; fleet-scaler backtest --recorded --again makes them again.';
COMMENT ON COLUMN audit.decision_inputs.decision_id IS 'The decision.';
COMMENT ON COLUMN audit.decision_inputs.at IS 'When it was made.';
COMMENT ON COLUMN audit.decision_inputs.fleet IS 'The fleet.';
COMMENT ON COLUMN audit.decision_inputs.format IS 'The format of inputs and policy.';
COMMENT ON COLUMN audit.decision_inputs.program IS 'The version of the program that decided.';
COMMENT ON COLUMN audit.decision_inputs.inputs IS 'Hosts, open launches, signals, memory and requests, as the decision saw them; and which observations it looked back on.';
COMMENT ON COLUMN audit.decision_inputs.policy IS 'The policy that it was made by.';
COMMENT ON COLUMN audit.decision_inputs.seal IS 'SHA-256 of all of it, as the decision''s own row has it.';

GRANT SELECT ON audit.decision_inputs TO fleet_auditor, fleet_scaler_service;
GRANT SELECT, INSERT, DELETE ON scaler.decision_policy, scaler.decision_input TO fleet_scaler_service;
