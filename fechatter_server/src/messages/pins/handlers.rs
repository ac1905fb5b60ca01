//! Pins over HTTP.

use axum::extract::State;
use chat_core::{
    http::{
        answer::{Done, Found, Listed},
        path::PathId,
    },
    message::Message,
    store::Snapshot,
};

use super::{store, types::PinList};
use crate::{
    access::{ChatPermit, PinMessage, ReadChat},
    error::Error,
    messages::types::MessageInPath,
    state::AppState,
};

/// Pins a message; one that is pinned stays as it is.
pub async fn pin(
    State(state): State<AppState>,
    permit: ChatPermit<PinMessage>,
    PathId(message_id): PathId<MessageInPath>,
) -> Result<Found<Message>, Error> {
    store::pin(&state.pool, &permit, message_id).await.map(Found)
}

/// Unpins a message, whoever pinned it.
pub async fn unpin(
    State(state): State<AppState>,
    permit: ChatPermit<PinMessage>,
    PathId(message_id): PathId<MessageInPath>,
) -> Result<Done, Error> {
    store::unpin(&state.pool, &permit, message_id).await.map(|()| Done)
}

/// The pinned messages of a chat.
pub async fn list(
    State(state): State<AppState>,
    permit: ChatPermit<ReadChat>,
) -> Result<Listed<PinList>, Error> {
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let messages = store::list(&mut snapshot.tx, &permit).await?;
    Ok(Listed { body: PinList { messages }, position: snapshot.position })
}
