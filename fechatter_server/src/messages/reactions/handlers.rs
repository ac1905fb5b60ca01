//! Reactions over HTTP.

use axum::extract::State;
use chat_core::{
    http::{
        answer::{Found, Listed},
        path::PathId,
        query::Query,
    },
    store::Snapshot,
};

use super::{
    store,
    types::{EmojiInPath, ListReactions, ReactionCounts, ReactionPage},
};
use crate::{
    access::{ChatPermit, ReadChat, SendTo},
    error::Error,
    messages::types::MessageInPath,
    state::AppState,
};

/// Reacts to a message; doing it twice is doing it once.
pub async fn react(
    State(state): State<AppState>,
    permit: ChatPermit<SendTo>,
    PathId(message_id): PathId<MessageInPath>,
    EmojiInPath(emoji): EmojiInPath,
) -> Result<Found<ReactionCounts>, Error> {
    store::add(&state.pool, &permit, message_id, &emoji).await?;
    store::counts(&state.pool, &permit, message_id).await.map(Found)
}

/// Takes back one's own reaction to a message; doing it twice is doing it once.
pub async fn unreact(
    State(state): State<AppState>,
    permit: ChatPermit<SendTo>,
    PathId(message_id): PathId<MessageInPath>,
    EmojiInPath(emoji): EmojiInPath,
) -> Result<Found<ReactionCounts>, Error> {
    store::remove(&state.pool, &permit, message_id, &emoji).await?;
    store::counts(&state.pool, &permit, message_id).await.map(Found)
}

/// Who reacted to a message.
pub async fn list(
    State(state): State<AppState>,
    permit: ChatPermit<ReadChat>,
    PathId(message_id): PathId<MessageInPath>,
    Query(query): Query<ListReactions>,
) -> Result<Listed<ReactionPage>, Error> {
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let body = store::list(&mut snapshot.tx, &permit, message_id, &query).await?;
    Ok(Listed { body, position: snapshot.position })
}
