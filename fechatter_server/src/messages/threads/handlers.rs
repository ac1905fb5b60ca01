//! Threads over HTTP.

use axum::extract::State;
use chat_core::{
    caller::Caller,
    http::{
        answer::{Found, Listed},
        json::Json,
        path::PathId,
        query::Query,
    },
    store::Snapshot,
};

use super::{
    store,
    types::{ListThreads, ThreadList, ThreadPage, ThreadState},
};
use crate::{
    access::{ChatPermit, ReadChat, ReadWorkspace, SendTo, WorkspacePermit},
    error::Error,
    messages::types::{ListMessages, MarkRead, MessageInPath},
    state::AppState,
};

/// A thread, by its root or any of its replies.
pub async fn get(
    State(state): State<AppState>,
    permit: ChatPermit<ReadChat>,
    PathId(message_id): PathId<MessageInPath>,
    Query(query): Query<ListMessages>,
) -> Result<Listed<ThreadPage>, Error> {
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let body = store::page(&mut snapshot.tx, &permit, message_id, query.window(), query.limit).await?;
    Ok(Listed { body, position: snapshot.position })
}

/// The threads that one follows.
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<ListThreads>,
) -> Result<Listed<ThreadList>, Error> {
    if let Some(workspace_id) = query.workspace_id {
        WorkspacePermit::<ReadWorkspace>::look_up(&state, caller, workspace_id).await?;
    }
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let body = store::followed(&mut snapshot.tx, caller, &query).await?;
    Ok(Listed { body, position: snapshot.position })
}

/// Follows a thread.
pub async fn follow(
    State(state): State<AppState>,
    permit: ChatPermit<SendTo>,
    PathId(message_id): PathId<MessageInPath>,
) -> Result<Found<ThreadState>, Error> {
    store::set_following(&state.pool, &permit, message_id, true).await.map(Found)
}

/// Follows a thread no more.
pub async fn unfollow(
    State(state): State<AppState>,
    permit: ChatPermit<SendTo>,
    PathId(message_id): PathId<MessageInPath>,
) -> Result<Found<ThreadState>, Error> {
    store::set_following(&state.pool, &permit, message_id, false).await.map(Found)
}

/// Marks a thread as read up to a reply; never moves back.
pub async fn mark_read(
    State(state): State<AppState>,
    permit: ChatPermit<SendTo>,
    PathId(message_id): PathId<MessageInPath>,
    Json(mark): Json<MarkRead>,
) -> Result<Found<ThreadState>, Error> {
    store::mark_read(&state.pool, &permit, message_id, &mark).await.map(Found)
}
