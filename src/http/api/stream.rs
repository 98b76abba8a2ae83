//! A stream of changes, as server-sent events: which fleet has changed, and no more. Whoever listens asks for what it
//! shows, with the ETag it has; so a stream carries little, loses nothing that a question would not bring back, and two
//! readers of one fleet see the same thing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use futures::stream::unfold;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::ids::FleetName;
use crate::http::api::Api;
use crate::http::api::parameters::Problems;
use crate::http::problem::Problem;
use crate::store::history::Pulse;

/// How often changes are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A stream on which nothing happens says that it lives: a silent connection is closed after some while.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A stream ends after so long, and its reader opens another: a token that was taken out is not good for ever.
const LIFE: Duration = Duration::from_mins(15);

/// A fleet has changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Change {
    /// The fleet.
    fleet: FleetName,
    /// The place of its newest event.
    seq: i64,
    /// When it was last observed; null: never.
    #[serde(serialize_with = "crate::domain::time::json::optional")]
    observed_at: Option<DateTime<Utc>>,
}

/// What one stream remembers.
struct Listener {
    api: Arc<Api>,
    told: BTreeMap<FleetName, Pulse>,
    ends_at: Duration,
}

/// Follows every fleet: an event `fleet` at first for each, and then whenever something has happened to one.
///
/// Each event's data is a `Change`. A comment every ten seconds keeps the connection open; the stream ends after a quarter
/// of an hour or with the service, and is simply opened again.
#[utoipa::path(
    get,
    path = "/stream",
    tag = "fleets",
    responses(
        (status = 200, description = "Events named `fleet`", body = Change, content_type = "text/event-stream"),
        Problems
    )
)]
pub(super) async fn stream(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    api.served()?;
    let Ok(permit) = Arc::clone(&api.streams).try_acquire_owned() else {
        let detail = "all streams of this process are taken; ask again later, or poll with ETags";
        return Err(Problem::unavailable("streams_taken", detail).retry_after(10));
    };
    let ends_at = api.clock.elapsed() + LIFE;
    let listener = Listener { api, told: BTreeMap::new(), ends_at };
    let batches = unfold(Some(listener), |listener| async {
        let mut listener = listener?;
        let batch = listener.next().await?;
        Some((futures::stream::iter(batch), Some(listener)))
    });
    let events = batches.flatten().map(move |change| {
        // It is given back when the stream is dropped, however that comes about.
        let _held = &permit;
        Ok::<_, Infallible>(event(&change))
    });
    let keep_alive = KeepAlive::new().interval(HEARTBEAT);
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    Ok((no_store, Sse::new(events).keep_alive(keep_alive)).into_response())
}

fn event(change: &Change) -> Event {
    Event::default().event("fleet").json_data(change).unwrap_or_default()
}

impl Listener {
    /// The next changes; `None`: the stream ends.
    async fn next(&mut self) -> Option<Vec<Change>> {
        loop {
            // The first look is at once.
            if !self.told.is_empty() {
                tokio::select! {
                    () = self.api.stop.cancelled() => return None,
                    () = self.api.clock.sleep(LOOK_EVERY) => {}
                }
            }
            if self.api.stop.is_cancelled() || self.api.clock.elapsed() >= self.ends_at {
                return None;
            }
            // A database that is away is back later; meanwhile the heartbeat goes on.
            let Ok(pulses) = self.api.history().ok()?.pulses().await else {
                self.api.clock.sleep(LOOK_EVERY).await;
                continue;
            };
            let changes = self.changes(pulses);
            if !changes.is_empty() {
                return Some(changes);
            }
            if self.told.is_empty() {
                self.api.clock.sleep(LOOK_EVERY).await;
            }
        }
    }

    fn changes(&mut self, pulses: BTreeMap<FleetName, Pulse>) -> Vec<Change> {
        let is_new = |(name, pulse): &(&FleetName, &Pulse)| self.told.get(*name) != Some(*pulse);
        let changes = pulses.iter().filter(is_new).map(|(fleet, pulse)| Change {
            fleet: fleet.clone(),
            seq: pulse.seq,
            observed_at: pulse.observed_at,
        });
        let changes = changes.collect();
        self.told = pulses;
        changes
    }
}
