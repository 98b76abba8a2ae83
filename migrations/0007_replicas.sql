-- Why: replicas divide the fleets among themselves, and to divide, each must know how many there are. A row here gives no
-- right to anything: who may act for a fleet is said in scaler.lease alone. A wrong count makes an unfair share, never a
-- second holder.

CREATE TABLE scaler.replica (
    name text PRIMARY KEY,
    seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT lives_after_it_was_seen CHECK (expires_at >= seen_at)
);
COMMENT ON TABLE scaler.replica IS 'The replicas that live, or did within the last hour. Counted to divide the fleets; no right to act follows from it.';
COMMENT ON COLUMN scaler.replica.name IS 'The replica, as leases name their holders.';
COMMENT ON COLUMN scaler.replica.seen_at IS 'When it last said that it lives.';
COMMENT ON COLUMN scaler.replica.expires_at IS 'Until when it counts, by the database''s clock.';

GRANT SELECT, INSERT, UPDATE, DELETE ON scaler.replica TO fleet_scaler_service;
