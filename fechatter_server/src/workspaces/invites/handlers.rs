//! Invites over HTTP.

use axum::extract::State;
use chat_core::{
    caller::Caller,
    http::{
        answer::{Done, Ensured, Found, Listed},
        json::Json,
        path::PathId,
    },
    store::Snapshot,
};

use super::{
    store,
    types::{AcceptInvite, InviteDraft, InviteInPath, InviteList, Made, NewInvite},
};
use crate::{
    access::{ManageWorkspaceMembers, WorkspacePermit},
    auth::opaque::OpaqueToken,
    error::Error,
    idempotency::types::Once,
    state::AppState,
    workspaces::types::Workspace,
};

/// Makes an invite; its token is shown once, and not when the request is repeated.
pub async fn create(
    State(state): State<AppState>,
    permit: WorkspacePermit<ManageWorkspaceMembers>,
    once: Once<InviteDraft>,
) -> Result<Ensured<NewInvite>, Error> {
    let token = OpaqueToken::random();
    Ok(match store::create(&state.pool, &permit, &once, &token, state.clock.now()).await? {
        Made::Now(invite) => Ensured::New(NewInvite { invite, token: Some(token.text()) }),
        Made::Before(invite) => Ensured::Existing(NewInvite { invite, token: None }),
    })
}

/// The invites in force.
pub async fn list(
    State(state): State<AppState>,
    permit: WorkspacePermit<ManageWorkspaceMembers>,
) -> Result<Listed<InviteList>, Error> {
    let mut snapshot = Snapshot::begin(&state.pool).await?;
    let invites = store::list(&mut snapshot.tx, &permit, state.clock.now()).await?;
    Ok(Listed { body: InviteList { invites }, position: snapshot.position })
}

/// Revokes an invite.
pub async fn revoke(
    State(state): State<AppState>,
    permit: WorkspacePermit<ManageWorkspaceMembers>,
    PathId(invite): PathId<InviteInPath>,
) -> Result<Done, Error> {
    store::revoke(&state.pool, &permit, invite, state.clock.now()).await.map(|()| Done)
}

/// Joins a workspace by an invite's token.
pub async fn accept(
    State(state): State<AppState>,
    caller: Caller,
    Json(body): Json<AcceptInvite>,
) -> Result<Found<Workspace>, Error> {
    let token = OpaqueToken::parse(&body.token).ok_or(Error::NotFound)?;
    store::join(&state.pool, caller, &token, state.clock.now()).await.map(Found)
}
