//! Messages over HTTP.

use axum::extract::State;
use chat_core::{
    http::{
        answer::{Done, Ensured, Found, Listed},
        json::Json,
        path::PathId,
        query::Query,
    },
    message::Message,
    problem::Problem,
    store::Snapshot,
};

use super::{
    cursors::store as cursors,
    history::store as history,
    sending, store,
    types::{
        ListMessages, MarkRead, MarkUnread, MessageInPath, MessagePage, ReadState, SendMessage, Sent, Window,
    },
};
use crate::{
    access::{ChatClaim, ChatPermit, ReadChat, SendTo},
    error::Error,
    idempotency::types::IdempotencyKey,
    limits::SendAllowance,
    state::AppState,
};

/// A page of a chat's history.
pub async fn list(
    State(state): State<AppState>,
    permit: ChatPermit<ReadChat>,
    Query(query): Query<ListMessages>,
) -> Result<Listed<MessagePage>, Error> {
    if matches!(query.window(), Window::Newest)
        && let Some((body, position)) = history::newest(&state.pool, &permit, query.limit).await?
    {
        return Ok(Listed { body, position });
    }
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let body = history::history(&mut snapshot.tx, &permit, query.window(), query.limit).await?;
    Ok(Listed { body, position: snapshot.position })
}

/// Sends a message: 201 once it is durable, 200 when it was sent before.
pub async fn send(
    State(state): State<AppState>,
    _: SendAllowance,
    claim: ChatClaim<SendTo>,
    key: IdempotencyKey,
    Json(draft): Json<SendMessage>,
) -> Result<Ensured<Message>, Problem> {
    let draft = draft.with_key(key)?;
    Ok(match sending::send(&state, &claim, draft).await? {
        Sent::New(message) => Ensured::New(message),
        Sent::Earlier(message) => Ensured::Existing(message),
    })
}

/// One message.
pub async fn get(
    State(state): State<AppState>,
    permit: ChatPermit<ReadChat>,
    PathId(message_id): PathId<MessageInPath>,
) -> Result<Found<Message>, Error> {
    store::message(&state.pool, &permit, message_id).await?.map(Found).ok_or(Error::NotFound)
}

/// Tells the others that one is writing: 204, whether or not anybody hears it.
pub async fn typing(State(state): State<AppState>, claim: ChatClaim<SendTo>) -> Result<Done, Error> {
    super::typing::tell(&state, &claim).await.map(|()| Done)
}

/// Marks a chat as read up to a message; never moves back.
pub async fn mark_read(
    State(state): State<AppState>,
    permit: ChatPermit<SendTo>,
    Json(mark): Json<MarkRead>,
) -> Result<Found<ReadState>, Error> {
    cursors::mark_read(&state.pool, &permit, mark).await.map(Found)
}

/// Marks a chat as unread from a message on: the only way back.
pub async fn mark_unread(
    State(state): State<AppState>,
    permit: ChatPermit<SendTo>,
    Json(mark): Json<MarkUnread>,
) -> Result<Found<ReadState>, Error> {
    cursors::mark_unread(&state.pool, &permit, &mark).await.map(Found)
}
