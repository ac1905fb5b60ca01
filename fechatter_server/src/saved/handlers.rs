//! Saved messages over HTTP.

use axum::extract::State;
use chat_core::{
    caller::Caller,
    http::{
        answer::{Done, Found, Listed},
        path::PathId,
        query::Query,
    },
    store::Snapshot,
};

use super::{
    store,
    types::{ListSaved, Saved, SavedPage},
};
use crate::{
    access::{ChatPermit, ReadChat},
    error::Error,
    messages::types::MessageInPath,
    state::AppState,
};

/// Saves a message for oneself; one that is saved stays in its place.
pub async fn save(
    State(state): State<AppState>,
    permit: ChatPermit<ReadChat>,
    PathId(message_id): PathId<MessageInPath>,
) -> Result<Found<Saved>, Error> {
    store::save(&state.pool, &permit, message_id).await.map(Found)
}

/// Takes a message out of one's saved ones.
pub async fn unsave(
    State(state): State<AppState>,
    permit: ChatPermit<ReadChat>,
    PathId(message_id): PathId<MessageInPath>,
) -> Result<Done, Error> {
    store::unsave(&state.pool, &permit, message_id).await.map(|()| Done)
}

/// One's saved messages, over all chats.
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<ListSaved>,
) -> Result<Listed<SavedPage>, Error> {
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let body = store::list(&mut snapshot.tx, caller, &query).await?;
    Ok(Listed { body, position: snapshot.position })
}
