-- Why: a recommendation says what it rests on since decisions keep it, and the view's comment is where people look it up.

COMMENT ON COLUMN audit.decisions.recommendations IS 'What each rule and target would have liked the size to be: source, size, because; window: what a rule counted; reading: what a target read. Either is missing in decisions of before.';
