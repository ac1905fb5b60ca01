//! A chat's people over HTTP.

use axum::extract::State;
use chat_core::{
    http::{
        answer::{Done, Found, Listed},
        json::Json,
        path::PathId,
        query::Query,
    },
    store::Snapshot,
};

use super::{
    store,
    types::{AddMembers, ChangeRole, ChangeSettings, ListMembers, Member, MemberPage, Members, UserInPath},
};
use crate::{
    access::{AddToChat, ChatPermit, JoinChat, LeaveChat, ManageChatMembers, ReadChat, SendTo},
    chats::types::ChatView,
    error::Error,
    state::AppState,
};

/// A chat's people.
pub async fn list(
    State(state): State<AppState>,
    permit: ChatPermit<ReadChat>,
    Query(query): Query<ListMembers>,
) -> Result<Listed<MemberPage>, Error> {
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let body = store::list(&mut snapshot.tx, &permit, &query).await?;
    Ok(Listed { body, position: snapshot.position })
}

/// Adds people of the workspace.
pub async fn add(
    State(state): State<AppState>,
    permit: ChatPermit<AddToChat>,
    Json(body): Json<AddMembers>,
) -> Result<Found<Members>, Error> {
    let members = store::add(&state.pool, &permit, &body.member_ids).await?;
    Ok(Found(Members { members }))
}

/// Joins a public channel.
pub async fn join(
    State(state): State<AppState>,
    permit: ChatPermit<JoinChat>,
) -> Result<Found<ChatView>, Error> {
    store::join(&state.pool, &permit).await.map(Found)
}

/// Chooses what one is notified of.
pub async fn change_settings(
    State(state): State<AppState>,
    permit: ChatPermit<SendTo>,
    Json(body): Json<ChangeSettings>,
) -> Result<Found<ChatView>, Error> {
    store::change_settings(&state.pool, &permit, body.notify_level).await.map(Found)
}

/// Leaves.
pub async fn leave(State(state): State<AppState>, permit: ChatPermit<LeaveChat>) -> Result<Done, Error> {
    store::leave(&state.pool, &permit).await.map(|()| Done)
}

/// Gives somebody another role.
pub async fn change_role(
    State(state): State<AppState>,
    permit: ChatPermit<ManageChatMembers>,
    PathId(user_id): PathId<UserInPath>,
    Json(body): Json<ChangeRole>,
) -> Result<Found<Member>, Error> {
    store::change_role(&state.pool, &permit, user_id, body.role).await.map(Found)
}

/// Removes somebody.
pub async fn remove(
    State(state): State<AppState>,
    permit: ChatPermit<ManageChatMembers>,
    PathId(user_id): PathId<UserInPath>,
) -> Result<Done, Error> {
    store::remove(&state.pool, &permit, user_id).await.map(|()| Done)
}
