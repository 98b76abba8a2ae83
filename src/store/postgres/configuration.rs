//! Configurations that were applied or refused, each with what changed since the last one that was applied.

use crate::domain::ids::FleetName;
use crate::store::postgres::lease;
use crate::store::postgres::session::Tx;
use crate::store::{ConfigChange, ConfigOutcome, StoreError};

/// Lines beyond which a difference is not worked out line by line: the work grows with the product of both sides.
const LINES_MAX: usize = 1_000;

pub(super) async fn record(tx: &mut Tx, change: &ConfigChange) -> Result<(), StoreError> {
    // Two replicas load the same change at the same time, and the service's own file has no fleet to lock. The lock is
    // the transaction's, not the session's.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('fleet-scaler configuration'))")
        .execute(&mut *tx)
        .await?;
    if let Some(fleet) = &change.fleet {
        lease::lock(tx, fleet).await?;
    }
    let fleet = change.fleet.as_ref().map(FleetName::as_str);
    let outcome = match change.outcome {
        ConfigOutcome::Applied => "applied",
        ConfigOutcome::Refused => "refused",
        ConfigOutcome::Vanished => "vanished",
    };
    let last = sqlx::query!(
        r#"SELECT version, outcome::text AS "outcome!" FROM scaler.config_version
           WHERE fleet IS NOT DISTINCT FROM $1 ORDER BY id DESC LIMIT 1"#,
        fleet
    )
    .fetch_optional(&mut *tx)
    .await?;
    if last.is_some_and(|last| last.version == change.version && last.outcome == outcome) {
        return Ok(());
    }
    let text = change.text.replace('\0', "");
    let diff = match change.outcome {
        ConfigOutcome::Applied | ConfigOutcome::Vanished => diff(&last_applied(tx, fleet).await?, &text),
        ConfigOutcome::Refused => text.clone(),
    };
    sqlx::query!(
        "INSERT INTO scaler.config_version (fleet, version, outcome, text, diff)
         VALUES ($1, $2, $3::text::scaler.config_outcome, $4, $5)",
        fleet,
        change.version,
        outcome,
        text,
        diff,
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn last_applied(tx: &mut Tx, fleet: Option<&str>) -> Result<String, StoreError> {
    let text = sqlx::query_scalar!(
        "SELECT text FROM scaler.config_version
         WHERE fleet IS NOT DISTINCT FROM $1 AND outcome = 'applied' ORDER BY id DESC LIMIT 1",
        fleet
    )
    .fetch_optional(tx)
    .await?;
    Ok(text.unwrap_or_default())
}

/// Lines that went (`-`) and came (`+`), in the order of the text, by the longest common subsequence.
fn diff(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    if old.len() > LINES_MAX || new.len() > LINES_MAX {
        return format!("{} lines replaced by {}", old.len(), new.len());
    }
    let common = common_lengths(old, new);
    let (mut lines, mut i, mut j) = (Vec::new(), 0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            lines.push(format!("-{}", old[i]));
            i += 1;
        } else {
            lines.push(format!("+{}", new[j]));
            j += 1;
        }
    }
    lines.join("\n")
}

/// `table[i][j]`: how many lines `old[i..]` and `new[j..]` have in common, in order.
fn common_lengths(old: &[&str], new: &[&str]) -> Vec<Vec<u32>> {
    let mut table = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            table[i][j] =
                if old[i] == new[j] { table[i + 1][j + 1] + 1 } else { table[i + 1][j].max(table[i][j + 1]) };
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn a_difference_names_the_lines_that_went_and_came() {
        assert_eq!(diff("", "a\nb"), "+a\n+b");
        assert_eq!(diff("a\nb\nc", "a\nx\nc"), "-b\n+x");
        assert_eq!(diff("a\nb\nc\nd", "b\nc\ne\nd"), "-a\n+e");
        assert_eq!(diff("a\nb", "a\nb"), "");
        assert_eq!(diff("a", ""), "-a");
    }

    #[test]
    fn a_difference_of_huge_texts_is_only_counted() {
        let long = "x\n".repeat(2_000);
        assert_eq!(diff(&long, "y"), "2000 lines replaced by 1");
    }
}
