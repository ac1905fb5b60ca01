//! Whether this server lives, and whether it can serve.

mod store;

use axum::extract::State;
use chat_core::http::answer::Done;

use crate::{error::Error, state::AppState};

/// The process answers.
pub(crate) async fn live() -> Done {
    Done
}

/// The database answers, and its schema is the one that this version needs.
pub(crate) async fn ready(State(state): State<AppState>) -> Result<Done, Error> {
    check(&state).await.map(|()| Done)
}

/// Whether this server can serve.
pub(crate) async fn check(state: &AppState) -> Result<(), Error> {
    if store::applied_migrations(&state.pool).await? < store::needed_migrations() {
        return Err(Error::Busy("The database's schema is older than this version needs."));
    }
    Ok(())
}
