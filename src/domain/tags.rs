//! The tags that every instance carries from birth. They are set in the launch call itself: an instance that exists
//! without them, even for a moment, is one that nobody would find again after a crash.

use std::collections::BTreeMap;

use crate::domain::ids::{FleetName, LaunchId, OwnerName};
use crate::domain::time::Timestamp;

/// Which deployment of the scaler owns the instance.
pub const OWNER: &str = "fleet-scaler:owner";
/// Which fleet it is a host of.
pub const FLEET: &str = "fleet-scaler:fleet";
/// Which launch intent bought it.
pub const LAUNCH: &str = "fleet-scaler:launch";
/// Says that no person launched it.
pub const SOURCE: &str = "scale-source";
/// The time its launch intent was committed.
pub const TIMESTAMP: &str = "scale-timestamp";
/// What consoles show.
pub const NAME: &str = "Name";

/// All tags of the instances of one launch. A user's tag may set `Name`, and none of the scaler's own.
#[must_use]
pub fn of_launch(
    owner: &OwnerName,
    fleet: &FleetName,
    launch: LaunchId,
    committed_at: Timestamp,
    user: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let short = &launch.0.simple().to_string()[..8];
    let mut tags = BTreeMap::from([(NAME.to_owned(), format!("{fleet}-{short}"))]);
    tags.extend(user.iter().map(|(key, value)| (key.clone(), value.clone())));
    let timestamp = committed_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    for (key, value) in [
        (OWNER, owner.to_string()),
        (FLEET, fleet.to_string()),
        (LAUNCH, launch.to_string()),
        (SOURCE, "auto".to_owned()),
        (TIMESTAMP, timestamp),
    ] {
        tags.insert(key.to_owned(), value);
    }
    tags
}
