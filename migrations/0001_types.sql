-- Why: a state that is an enum cannot be misspelt. The words are those of the program's own state machines; a new word is
-- a new migration, so a binary and a schema can never disagree about what a row may say.
--
-- Everything lives in two schemas. `scaler` holds the tables and is nobody's business but the program's; `audit` holds the
-- views that people read. All names in queries are qualified: nothing depends on a search_path, which a pooler may lose.

CREATE SCHEMA IF NOT EXISTS scaler;
CREATE SCHEMA IF NOT EXISTS audit;
COMMENT ON SCHEMA scaler IS 'Tables of Fleet Scaler. People read the views in schema audit instead.';
COMMENT ON SCHEMA audit IS 'What Fleet Scaler did, why, and why not: views for people. Role fleet_auditor may read them.';

CREATE TYPE scaler.host_state AS ENUM (
    'pending', 'running', 'registered', 'healthy', 'unhealthy',
    'draining', 'deregistered', 'terminating', 'terminated', 'lost');
COMMENT ON TYPE scaler.host_state IS 'Where a host is in its life, in the order of that life.';

CREATE TYPE scaler.drain_reason AS ENUM ('scale_in', 'boot_timeout', 'unhealthy', 'operator', 'above_max');
COMMENT ON TYPE scaler.drain_reason IS 'Why a host is taken out.';

CREATE TYPE scaler.drain_outcome AS ENUM ('terminated', 'cancelled', 'lost');
COMMENT ON TYPE scaler.drain_outcome IS 'How a drain ended: by our termination, taken back, or the host died first.';

CREATE TYPE scaler.decision_action AS ENUM ('hold', 'scale_out', 'scale_in', 'repair', 'replace', 'manual');
COMMENT ON TYPE scaler.decision_action IS 'In which direction a decision goes, and on whose account.';

CREATE TYPE scaler.decision_mode AS ENUM ('live', 'dry_run');
COMMENT ON TYPE scaler.decision_mode IS 'Whether a decision is acted on.';

CREATE TYPE scaler.launch_state AS ENUM ('open', 'fulfilled', 'abandoned');
COMMENT ON TYPE scaler.launch_state IS 'Where a launch intent is.';

CREATE TYPE scaler.abandon_reason AS ENUM ('refused', 'not_wanted', 'token_spent', 'no_pool');
COMMENT ON TYPE scaler.abandon_reason IS 'Why an intent was given up with hosts missing.';

CREATE TYPE scaler.attempt_state AS ENUM ('open', 'resolved');
COMMENT ON TYPE scaler.attempt_state IS 'Whether the outcome of an attempt is known.';

CREATE TYPE scaler.attempt_outcome AS ENUM ('launched', 'refused', 'spent');
COMMENT ON TYPE scaler.attempt_outcome IS 'What came of an attempt, once and for all.';

CREATE TYPE scaler.failure_class AS ENUM (
    'capacity', 'quota', 'throttled', 'denied', 'invalid', 'not_found',
    'token_mismatch', 'token_spent', 'protected', 'unknown');
COMMENT ON TYPE scaler.failure_class IS 'What a failed cloud call means for whoever made it.';

CREATE TYPE scaler.cloud_operation AS ENUM (
    'RunInstances', 'RegisterTargets', 'DeregisterTargets', 'TerminateInstances');
COMMENT ON TYPE scaler.cloud_operation IS 'The mutating calls, by the names that AWS gives them.';

CREATE TYPE scaler.call_outcome AS ENUM ('ok', 'refused', 'throttled', 'unknown');
COMMENT ON TYPE scaler.call_outcome IS 'What came of a call; unknown: nobody can say whether it did its work.';

CREATE TYPE scaler.operator_action_kind AS ENUM ('pause', 'resume', 'set_size', 'drain');
COMMENT ON TYPE scaler.operator_action_kind IS 'What a person can do.';

CREATE TYPE scaler.direction AS ENUM ('out', 'in', 'both');
COMMENT ON TYPE scaler.direction IS 'Which changes of size are meant.';

CREATE TYPE scaler.config_outcome AS ENUM ('applied', 'refused', 'vanished');
COMMENT ON TYPE scaler.config_outcome IS 'What became of a configuration.';
