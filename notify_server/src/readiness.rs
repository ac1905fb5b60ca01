//! GET /livez and /readyz, for operators.

use std::time::Duration;

use axum::extract::State;
use chat_core::http::answer::Done;
use tokio::time::timeout;

use crate::{error::Error, state::AppState, store};

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process is there.
pub(crate) async fn live() -> Done {
    Done
}

/// The log is followed and the database answers.
pub(crate) async fn ready(State(state): State<AppState>) -> Result<Done, Error> {
    check(&state).await.map(|()| Done)
}

/// Whether this server can serve.
pub(crate) async fn check(state: &AppState) -> Result<(), Error> {
    if !state.hub.is_open() {
        return Err(Error::Ending);
    }
    if state.hub.position().is_none() {
        return Err(Error::Behind);
    }
    let there = timeout(PATIENCE, store::schema_is_there(&state.pool)).await.map_err(|_| Error::Behind)??;
    if there { Ok(()) } else { Err(Error::Behind) }
}
