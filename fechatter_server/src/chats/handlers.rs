//! Chats over HTTP.

use axum::extract::State;
use chat_core::{
    caller::Caller,
    http::{
        answer::{Done, Encoded, Ensured, Found, Listed, ListedEncoded},
        coding::AcceptsGzip,
        json::Json,
        query::Query,
    },
    store::Snapshot,
};

use super::{
    store,
    types::{ChannelPage, ChatList, ChatView, CreateChat, ListChannels, ListChats, UpdateChat},
    views::{self, cache::Kept},
};
use crate::{
    access::{self, ChatPermit, DeleteChat, HideChat, ReadChat, ReadWorkspace, WorkspacePermit},
    error::Error,
    idempotency::types::Once,
    state::AppState,
};

/// One's chats, latest activity first.
pub async fn list(
    State(state): State<AppState>,
    caller: Caller,
    accepts_gzip: AcceptsGzip,
    Query(query): Query<ListChats>,
) -> Result<ListedEncoded<ChatList>, Error> {
    let key = (caller.user_id(), query.workspace_id);
    let since =
        state.chat_lists.end().await.ok_or(Error::Busy("The database is not available at the moment."))?;
    if let Some(listed) = state.chat_lists.get(&key, &since, accepts_gzip).await {
        return Ok(listed);
    }
    if let Some(workspace_id) = query.workspace_id {
        WorkspacePermit::<ReadWorkspace>::look_up(&state, caller, workspace_id).await?;
    }
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let chats = views::store::of_caller(&mut snapshot.tx, caller, query.workspace_id).await?;
    let mut ids = views::store::ids_of_caller(&mut snapshot.tx, caller).await?;
    ids.push(caller.user_id().0);
    ids.extend(query.workspace_id.map(|id| id.0));
    let body = Encoded::of(&ChatList { chats }).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(state.chat_lists.keep(key, Kept { since, shows: snapshot.position, ids, body }, accepts_gzip).await)
}

/// Makes a chat; a `Single` one that is there is found.
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    once: Once<CreateChat>,
) -> Result<Ensured<ChatView>, Error> {
    let permit =
        WorkspacePermit::<access::CreateChat>::look_up(&state, caller, once.body.workspace_id).await?;
    store::create(&state.pool, &permit, &once, state.clock.now()).await
}

/// One chat.
pub async fn get(
    State(state): State<AppState>,
    permit: ChatPermit<ReadChat>,
) -> Result<Listed<ChatView>, Error> {
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let body = views::store::view(&mut snapshot.tx, &permit).await?;
    Ok(Listed { body, position: snapshot.position })
}

/// Renames or describes a chat.
pub async fn update(
    State(state): State<AppState>,
    permit: ChatPermit<access::UpdateChat>,
    Json(change): Json<UpdateChat>,
) -> Result<Found<ChatView>, Error> {
    store::update(&state.pool, &permit, &change).await.map(Found)
}

/// Makes a chat read-only.
pub async fn archive(
    State(state): State<AppState>,
    permit: ChatPermit<access::UpdateChat>,
) -> Result<Found<ChatView>, Error> {
    store::set_archived(&state.pool, &permit, true).await.map(Found)
}

/// Lets people write again.
pub async fn unarchive(
    State(state): State<AppState>,
    permit: ChatPermit<access::UpdateChat>,
) -> Result<Found<ChatView>, Error> {
    store::set_archived(&state.pool, &permit, false).await.map(Found)
}

/// Hides a `Single` chat.
pub async fn hide(
    State(state): State<AppState>,
    permit: ChatPermit<HideChat>,
) -> Result<Found<ChatView>, Error> {
    store::hide(&state.pool, &permit).await.map(Found)
}

/// Deletes a chat.
pub async fn delete(State(state): State<AppState>, permit: ChatPermit<DeleteChat>) -> Result<Done, Error> {
    store::delete(&state.pool, &permit).await.map(|()| Done)
}

/// The directory of a workspace's public channels.
pub async fn channels(
    State(state): State<AppState>,
    permit: WorkspacePermit<ReadWorkspace>,
    Query(query): Query<ListChannels>,
) -> Result<Listed<ChannelPage>, Error> {
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let body = views::store::channels(&mut snapshot.tx, &permit, &query).await?;
    Ok(Listed { body, position: snapshot.position })
}
