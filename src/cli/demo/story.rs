//! The story once more, as an operator would ask for it: queries of the audit views, through `psql`.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::cli::output;
use crate::store::embedded::Embedded;

/// Question and query.
const QUESTIONS: [(&str, &str); 6] = [
    (
        "Every change of size: why, and how did it go?",
        "SELECT to_char(at, 'HH24:MI:SS') AS at, action, size_before || ' -> ' || size_after AS size, outcome,\n       \
         left(cause, 100) AS cause\nFROM audit.scale_events ORDER BY audit.scale_events.at",
    ),
    (
        "Where did the hosts stand, and how long did they take?",
        "SELECT zone, count(*) AS launched, count(healthy_at) AS healthy,\n       \
         round(avg(extract(epoch FROM healthy_at - launched_at)), 1) AS seconds_to_healthy,\n       \
         count(*) FILTER (WHERE state = 'terminated') AS terminated\n\
         FROM audit.instances GROUP BY zone ORDER BY zone",
    ),
    (
        "Which hosts were sent away? (the oldest first)",
        "SELECT instance_id, zone, to_char(launched_at, 'HH24:MI:SS') AS launched,\n       \
         to_char(drain_started_at, 'HH24:MI:SS') AS drained, to_char(terminated_at, 'HH24:MI:SS') AS terminated,\n       \
         termination_reason\n\
         FROM audit.instances WHERE drain_started_at IS NOT NULL ORDER BY drain_started_at, launched_at",
    ),
    (
        "What was asked of the cloud, and what did it say?",
        "SELECT op, outcome, coalesce(error_code, '') AS error_code, count(*) AS calls\n\
         FROM audit.cloud_calls GROUP BY op, outcome, error_code ORDER BY op, outcome, error_code",
    ),
    (
        "Why did it scale out the last time? Everybody's opinion:",
        "SELECT r.source, r.size, r.because\nFROM audit.decisions d,\n     \
         jsonb_to_recordset(d.recommendations) AS r(source text, size int, because text)\n\
         WHERE d.decision_id = (SELECT decision_id FROM audit.scale_events\n                       \
         WHERE action = 'scale_out' ORDER BY at DESC LIMIT 1)",
    ),
    (
        "Did it ever buy more than it meant to, or end a host that was not deregistered?",
        "SELECT (SELECT count(*) FROM audit.instances\n        WHERE state = 'terminated' AND deregistered_at IS NULL) \
         AS ended_without_deregistration,\n       \
         (SELECT count(*) FROM audit.cloud_calls WHERE outcome IN ('unknown', 'pending')) AS calls_without_an_answer",
    ),
];

/// Asks them all.
pub(super) async fn tell(database: &Embedded) -> anyhow::Result<()> {
    let psql = psql();
    for (question, query) in QUESTIONS {
        output::line(&format!("\n== {question}\n\n{query};\n"))?;
        let answer = Command::new(&psql)
            .args(["-X", "-q", "-P", "pager=off", "-P", "footer=off", "-v", "ON_ERROR_STOP=1"])
            .args(["-U", "fleet_scaler", "-d", "fleet_scaler", "-h"])
            .arg(database.socket_dir())
            .args(["-c", query])
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("{} could not be run", psql.display()))?;
        if !answer.status.success() {
            bail!("psql could not answer: {}", String::from_utf8_lossy(&answer.stderr).trim());
        }
        output::line(String::from_utf8_lossy(&answer.stdout).trim_end())?;
    }
    Ok(())
}

/// The one on the path; where it is not, one beside an installed server.
fn psql() -> PathBuf {
    let on_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .map(|folder| folder.join("psql"))
        .find(|program| program.is_file());
    let installed = || {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let mut found: Vec<PathBuf> = versions
            .filter_map(|version| Some(version.ok()?.path().join("bin/psql")))
            .filter(|program| program.is_file())
            .collect();
        found.sort();
        found.pop()
    };
    on_path.or_else(installed).unwrap_or_else(|| PathBuf::from("psql"))
}
