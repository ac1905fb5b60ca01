//! A workspace's people over HTTP.

use axum::extract::State;
use chat_core::{
    http::{
        answer::{Done, Ensured, Found, Listed},
        json::Json,
        path::PathId,
        query::Query,
    },
    store::Snapshot,
};

use super::{
    store,
    types::{AddPerson, ListPeople, PeoplePage},
};
use crate::{
    access::{LeaveWorkspace, ManageWorkspaceMembers, ReadWorkspace, WorkspacePermit},
    error::Error,
    idempotency::types::Once,
    members::types::{ChangeRole, Member, UserInPath},
    state::AppState,
};

/// A workspace's people.
pub async fn list(
    State(state): State<AppState>,
    permit: WorkspacePermit<ReadWorkspace>,
    Query(query): Query<ListPeople>,
) -> Result<Listed<PeoplePage>, Error> {
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let body = store::list(&mut snapshot.tx, &permit, &query).await?;
    Ok(Listed { body, position: snapshot.position })
}

/// Adds somebody who has an account.
pub async fn add(
    State(state): State<AppState>,
    permit: WorkspacePermit<ManageWorkspaceMembers>,
    Once { body, key }: Once<AddPerson>,
) -> Result<Ensured<Member>, Error> {
    let (whom, role) = body.parse()?;
    store::add(&state.pool, &permit, &whom, role, key.as_ref(), state.clock.now()).await
}

/// Leaves.
pub async fn leave(
    State(state): State<AppState>,
    permit: WorkspacePermit<LeaveWorkspace>,
) -> Result<Done, Error> {
    store::leave(&state.pool, &permit, state.clock.now()).await.map(|()| Done)
}

/// Gives somebody another role.
pub async fn change_role(
    State(state): State<AppState>,
    permit: WorkspacePermit<ManageWorkspaceMembers>,
    PathId(person): PathId<UserInPath>,
    Json(body): Json<ChangeRole>,
) -> Result<Found<Member>, Error> {
    store::change_role(&state.pool, &permit, person, body.role).await.map(Found)
}

/// Removes somebody.
pub async fn remove(
    State(state): State<AppState>,
    permit: WorkspacePermit<ManageWorkspaceMembers>,
    PathId(person): PathId<UserInPath>,
) -> Result<Done, Error> {
    store::remove(&state.pool, &permit, person, state.clock.now()).await.map(|()| Done)
}
