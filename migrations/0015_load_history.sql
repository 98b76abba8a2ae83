-- Why: a forecast takes the load of weeks, and observations are kept for two days. Of each signal that is forecast the highest
-- load of every ten minutes is kept, some four weeks back; it is worked out from the observations, so nothing is lost where it
-- is worked out late.

CREATE TABLE scaler.load_history (
    fleet text NOT NULL REFERENCES scaler.fleet_state,
    signal text NOT NULL CHECK (signal <> ''),
    at timestamptz NOT NULL,
    load double precision NOT NULL,
    PRIMARY KEY (fleet, signal, at),
    CONSTRAINT every_ten_minutes CHECK (at = date_bin('10 minutes', at, 'epoch'))
);
COMMENT ON TABLE scaler.load_history IS 'The highest load of every ten minutes, of signals that are forecast. Pruned as long as the fleet forecasts any.';
COMMENT ON COLUMN scaler.load_history.fleet IS 'The fleet.';
COMMENT ON COLUMN scaler.load_history.signal IS 'The signal.';
COMMENT ON COLUMN scaler.load_history.at IS 'The beginning of the ten minutes.';
COMMENT ON COLUMN scaler.load_history.load IS 'The signal times the hosts that it is spread over, at its highest.';

-- As the program works it out, too.
CREATE FUNCTION scaler.load_of(observation jsonb, signal text, of_hosts boolean) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT value * hosts FROM (SELECT
        (observation -> 'values' -> signal ->> 'heard')::double precision AS value,
        CASE WHEN of_hosts THEN (observation ->> 'hosts_asked')::double precision
             ELSE (observation -> 'values' -> 'hosts.healthy' ->> 'heard')::double precision END AS hosts) seen
    WHERE hosts > 0 AND abs(value) < 1e300);
COMMENT ON FUNCTION scaler.load_of IS 'The load behind a signal in an observation; null: it has no value, or no host stands under it.';

CREATE VIEW audit.load_history AS
SELECT l.fleet, l.signal, l.at, l.load
FROM scaler.load_history l JOIN scaler.fleet_state f ON f.fleet = l.fleet;
COMMENT ON VIEW audit.load_history IS 'What forecasts are made from: the highest load of every ten minutes, some four weeks back.';
COMMENT ON COLUMN audit.load_history.fleet IS 'The fleet.';
COMMENT ON COLUMN audit.load_history.signal IS 'The signal.';
COMMENT ON COLUMN audit.load_history.at IS 'The beginning of the ten minutes.';
COMMENT ON COLUMN audit.load_history.load IS 'The signal times the hosts that it is spread over, at its highest.';

GRANT EXECUTE ON FUNCTION scaler.load_of TO fleet_scaler_service;
GRANT SELECT ON audit.load_history TO fleet_auditor, fleet_scaler_service;
GRANT SELECT, INSERT, DELETE ON scaler.load_history TO fleet_scaler_service;
