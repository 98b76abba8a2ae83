-- Why: every few minutes the loop asks how long a fleet's last hosts took from launch to healthy, and a fleet that has
-- lived for years has had many hosts. The newest of them are found without looking at the others.

CREATE INDEX host_by_healthy ON scaler.host (fleet, healthy_at DESC)
    WHERE healthy_at IS NOT NULL AND launch_id IS NOT NULL;
