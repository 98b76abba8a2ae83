//! How long the last hosts of a fleet took from launch to healthy.

use std::time::Duration;

use sqlx::types::Json;

use crate::domain::boot::Boot;
use crate::domain::ids::{FleetName, Zone};
use crate::domain::launch::LaunchTemplate;
use crate::domain::time::{before, since};
use crate::store::StoreError;
use crate::store::postgres::fleet;
use crate::store::postgres::session::Tx;

/// The newest first.
pub(super) async fn boots(
    tx: &mut Tx,
    name: &FleetName,
    span: Duration,
    most: u32,
) -> Result<Vec<Boot>, StoreError> {
    let now = fleet::now(tx).await?;
    let rows = sqlx::query!(
        r#"SELECT h.zone, h.launched_at, h.healthy_at AS "healthy_at!", l.template AS "template: Json<LaunchTemplate>"
           FROM scaler.host h JOIN scaler.launch l ON l.id = h.launch_id
           WHERE h.fleet = $1 AND h.healthy_at IS NOT NULL AND h.launch_id IS NOT NULL
             AND h.healthy_at >= $2
           ORDER BY h.healthy_at DESC, h.instance_id COLLATE "C"
           LIMIT $3"#,
        name.as_str(),
        before(now, span),
        i64::from(most),
    )
    .fetch_all(tx)
    .await?;
    let boot = rows.into_iter().map(|row| Boot {
        zone: Zone::new(row.zone),
        template: row.template.0.template,
        healthy_at: row.healthy_at,
        took: since(row.healthy_at, row.launched_at),
    });
    Ok(boot.collect())
}
