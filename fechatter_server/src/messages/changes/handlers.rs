//! Changes of messages over HTTP.

use axum::extract::State;
use chat_core::{
    http::{
        answer::{Done, Found, Listed},
        json::Json,
        path::PathId,
        query::Query,
    },
    message::Message,
    store::Snapshot,
};

use super::{
    store,
    types::{EditMessage, EditPage, ListEdits},
};
use crate::{
    access::{self, ChatPermit, DeleteMessage, ReadChat},
    error::Error,
    messages::types::MessageInPath,
    state::AppState,
};

/// Edits one's own message; what changes nothing is not an edit.
pub async fn edit(
    State(state): State<AppState>,
    permit: ChatPermit<access::EditMessage>,
    PathId(message_id): PathId<MessageInPath>,
    Json(change): Json<EditMessage>,
) -> Result<Found<Message>, Error> {
    store::edit(&state.pool, &permit, message_id, &change).await.map(Found)
}

/// Deletes a message; deleting it twice is deleting it once.
pub async fn delete(
    State(state): State<AppState>,
    permit: ChatPermit<DeleteMessage>,
    PathId(message_id): PathId<MessageInPath>,
) -> Result<Done, Error> {
    store::delete(&state.pool, &permit, message_id).await.map(|()| Done)
}

/// What a message said before it was edited.
pub async fn edits(
    State(state): State<AppState>,
    permit: ChatPermit<ReadChat>,
    PathId(message_id): PathId<MessageInPath>,
    Query(query): Query<ListEdits>,
) -> Result<Listed<EditPage>, Error> {
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let body = store::edits(&mut snapshot.tx, &permit, message_id, &query).await?;
    Ok(Listed { body, position: snapshot.position })
}
