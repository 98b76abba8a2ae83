//! Which words are coloured how: the same word the same way in every table.

use anstyle::Style;

use crate::cli::output::text::{BAD, DIM, DOUBTFUL, GOOD, MOVING, PLAIN, Text};
use crate::decide::plan::{Action, Effect};

/// A host's state.
pub(crate) fn state(name: &str) -> Text {
    let style = match name {
        "healthy" => GOOD,
        "pending" | "running" | "registered" => MOVING,
        "draining" | "deregistered" | "terminating" => DOUBTFUL,
        "unhealthy" | "lost" => BAD,
        _ => DIM,
    };
    Text::styled(style, name)
}

/// What came of a decision, or of a call.
pub(crate) fn outcome(name: &str) -> Text {
    let style = match name {
        "done" | "ok" | "granted" => GOOD,
        "in_progress" | "pending" => MOVING,
        "held" | "partial" | "throttled" | "dry_run" => DOUBTFUL,
        "failed" | "refused" | "unknown" => BAD,
        _ => DIM,
    };
    Text::styled(style, name)
}

/// In which direction a decision goes.
pub(crate) fn action(action: Action) -> Text {
    let style: Style = match action {
        Action::Hold => DIM,
        Action::ScaleOut | Action::ScaleIn | Action::Repair | Action::Replace | Action::Manual => PLAIN,
    };
    Text::styled(style, action.as_str())
}

/// What a guard did.
pub(crate) fn effect(effect: Effect) -> Text {
    match effect {
        Effect::Pass => Text::styled(DIM, "pass"),
        Effect::Clamp { from, to } => Text::styled(DOUBTFUL, format!("{from} → {to}")),
        Effect::Refuse => Text::styled(BAD, "refused"),
    }
}
