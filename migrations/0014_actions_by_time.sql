-- Why: "who did what" is asked of every fleet together, newest first, a page at a time; the index by fleet answers that
-- only for one of them.

CREATE INDEX operator_action_by_time ON scaler.operator_action (at DESC, id DESC);
