-- Why: whoever reads the audit trail must not be able to touch the fleet, and a service that may not rewrite history is
-- better than one that does not. Roles belong to the whole cluster: another database may have made them already, or be
-- making them at this very moment, and both are fine. The one who migrates needs CREATEROLE for it, not superuser.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['fleet_auditor', 'fleet_scaler_service'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'role % may not create role %: grant it CREATEROLE, or let an administrator run: CREATE ROLE % NOLOGIN',
                        current_user, wanted, wanted USING ERRCODE = 'insufficient_privilege';
            END;
        END IF;
    END LOOP;
END $$;

REVOKE ALL ON SCHEMA scaler, audit FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA scaler FROM PUBLIC;

GRANT USAGE ON SCHEMA audit TO fleet_auditor, fleet_scaler_service;
GRANT SELECT ON ALL TABLES IN SCHEMA audit TO fleet_auditor, fleet_scaler_service;

-- The service: everything may be read, history may only grow, nothing may be truncated, no trigger touched.
GRANT USAGE ON SCHEMA scaler TO fleet_scaler_service;
GRANT SELECT ON ALL TABLES IN SCHEMA scaler TO fleet_scaler_service;
GRANT INSERT ON scaler.decision, scaler.operator_action, scaler.operator_answer, scaler.config_version, scaler.event,
    scaler.cloud_call, scaler.cloud_call_outcome TO fleet_scaler_service;
GRANT INSERT, UPDATE ON scaler.fleet_state, scaler.lease, scaler.decision_run, scaler.launch, scaler.launch_attempt,
    scaler.host, scaler.drain TO fleet_scaler_service;
GRANT INSERT, UPDATE, DELETE ON scaler.observation, scaler.pool_health, scaler.orphan TO fleet_scaler_service;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA scaler TO fleet_scaler_service;
