//! Workspaces over HTTP.

use axum::extract::State;
use chat_core::{
    caller::Caller,
    http::{
        answer::{Done, Ensured, Found, Listed},
        json::Json,
    },
    store::Snapshot,
};

use super::{
    store,
    types::{Workspace, WorkspaceDraft, WorkspaceList},
};
use crate::{
    access::{DeleteWorkspace, ReadWorkspace, UpdateWorkspace, WorkspacePermit},
    error::Error,
    idempotency::types::Once,
    state::AppState,
};

/// Makes a workspace and owns it.
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    once: Once<WorkspaceDraft>,
) -> Result<Ensured<Workspace>, Error> {
    store::create(&state.pool, caller, &once, state.clock.now()).await
}

/// The workspaces one is in.
pub async fn list(State(state): State<AppState>, caller: Caller) -> Result<Listed<WorkspaceList>, Error> {
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let workspaces = store::list(&mut snapshot.tx, caller).await?;
    Ok(Listed { body: WorkspaceList { workspaces }, position: snapshot.position })
}

/// One workspace.
pub async fn get(
    State(state): State<AppState>,
    permit: WorkspacePermit<ReadWorkspace>,
) -> Result<Found<Workspace>, Error> {
    store::get(&state.pool, &permit).await.map(Found)
}

/// Renames or describes a workspace.
pub async fn update(
    State(state): State<AppState>,
    permit: WorkspacePermit<UpdateWorkspace>,
    Json(body): Json<WorkspaceDraft>,
) -> Result<Found<Workspace>, Error> {
    store::update(&state.pool, &permit, &body, state.clock.now()).await.map(Found)
}

/// Deletes a workspace with its chats.
pub async fn delete(
    State(state): State<AppState>,
    permit: WorkspacePermit<DeleteWorkspace>,
) -> Result<Done, Error> {
    store::delete(&state.pool, &permit, state.clock.now()).await.map(|()| Done)
}
