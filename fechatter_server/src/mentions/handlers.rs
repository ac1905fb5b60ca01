//! Mentions over HTTP.

use axum::extract::State;
use chat_core::{
    caller::Caller,
    http::{answer::Listed, query::Query},
    store::Snapshot,
};

use super::{
    store,
    types::{ListMentions, MentionPage},
};
use crate::{error::Error, state::AppState};

/// The messages that mention the caller, in the chats that the caller can read now.
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<ListMentions>,
) -> Result<Listed<MentionPage>, Error> {
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let body = store::of_caller(&mut snapshot.tx, caller, &query).await?;
    Ok(Listed { body, position: snapshot.position })
}
