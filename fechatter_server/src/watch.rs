//! Follows the event feed, so that ended sessions are refused at once.

use chat_core::{
    event::{Event, EventKind},
    feed::{Batch, EventFeed},
};
use sqlx::postgres::PgConnectOptions;

use crate::state::AppState;

/// Forgets every session that ends; never returns.
pub(crate) async fn revocations(state: AppState, listen: PgConnectOptions) {
    let mut feed = EventFeed::start(state.pool.clone(), listen);
    loop {
        match feed.next().await {
            Batch::Gap { .. } => state.authenticator.forget_all(),
            Batch::Events(events) => {
                let ended = events.iter().filter(|event| event.kind == EventKind::SessionRevoked);
                for session in ended.filter_map(Event::session_id) {
                    state.authenticator.forget(session);
                }
            }
        }
    }
}
