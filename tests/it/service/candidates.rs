//! Candidates in the whole loop: they are heard, written down, and never acted on.

use std::time::Duration;

use crate::service::world::{FLEET, World, fleet, quick_cloud, turn_until};

const EAGER: &str = r#"
[[candidate]]
name = "eager"
size = { min = 6, max = 8 }
"#;

#[tokio::test]
async fn a_candidate_is_recorded_beside_the_real_decision_and_never_acts() {
    let world = World::new(fleet(&format!("{FLEET}{EAGER}")), quick_cloud()).await;
    let mut runner = world.runner("a");
    turn_until(&mut runner, "two hosts healthy", || async { world.hosts_in("healthy").await == 2 }).await;
    world.turn_for(&mut runner, Duration::from_secs(3)).await;
    assert_eq!((world.ever_launched(), world.terminations().len()), (2, 0));
    let rows: Vec<(String, String, i32, i32)> = sqlx::query_as(
        "SELECT candidate, reason, size_wanted, real_size_wanted FROM audit.candidates WHERE fleet = 'web' ORDER BY at",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert!(!rows.is_empty());
    assert!(rows.iter().all(|row| (row.0.as_str(), row.2, row.3) == ("eager", 6, 2)), "{rows:?}");
    let (_, reason, ..) = rows.last().unwrap();
    assert!(reason.starts_with("Repair 2 → 6: fewer than min = 6"), "{reason}");
    world.check_promises().await;
}
