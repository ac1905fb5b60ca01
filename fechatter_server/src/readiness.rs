//! Whether this server lives, and whether it can serve.

use axum::extract::State;
use chat_core::{http::answer::Done, readiness::Readiness};

use crate::state::AppState;

/// The process answers.
pub(crate) async fn live() -> Done {
    Done
}

/// The database answers by the schema of this version, the event log is followed, and the server is not to end.
pub(crate) async fn ready(State(state): State<AppState>) -> Readiness {
    judge(&state)
}

/// The same, for whoever runs this server with another.
pub(crate) fn judge(state: &AppState) -> Readiness {
    state.health.judge(state.health.feed.id())
}
