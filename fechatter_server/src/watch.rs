//! Follows the event feed, so that what the servers remember ends with what ends it.

use std::time::Duration;

use chat_core::{
    database::Pool,
    event::{Event, EventKind, Position},
    feed::{Batch, EventFeed},
};
use sqlx::postgres::PgConnectOptions;

use crate::state::AppState;

/// How soon is soon enough: a session that ends is refused within a second, and who needs to know of changes now
/// looks for themselves.
const PACE: Duration = Duration::from_millis(100);

/// Forgets every session that ends, and keeps the log's tail short to read; never returns.
///
/// Reads from `pool`, so that it waits for nobody when requests have taken all other connections.
pub(crate) async fn follow(state: AppState, pool: Pool, listen: PgConnectOptions) {
    let feed = EventFeed::start(pool, listen).bare().paced(PACE);
    let mut feed = feed.telling(state.health.feed.clone());
    let mut cursor: Option<Position> = None;
    loop {
        match feed.next().await {
            Batch::Gap { position, .. } => {
                state.authenticator.forget_all();
                cursor = Some(position);
            }
            Batch::Events(events) => {
                let ended = events.iter().filter(|event| event.kind == EventKind::SessionRevoked);
                for session in ended.filter_map(Event::session_id) {
                    state.authenticator.forget(session);
                }
                if let (Some(cursor), Some(last)) = (&mut cursor, events.last()) {
                    state.log_tail.follow(cursor, &events);
                    cursor.id = last.id;
                }
            }
        }
    }
}
