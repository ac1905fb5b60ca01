//! Proofs about workspaces.

use std::marker::PhantomData;

use axum::{extract::FromRequestParts, http::request::Parts};
use chat_core::{
    api::{Input, Operation},
    caller::Caller,
    chat::Role,
    http::path::path_id,
    ids::{UserId, WorkspaceId},
    permission::{Verdict, WorkspaceAction, may_in_workspace},
    problem::Problem,
};
use sqlx::PgConnection;

use super::store;
use crate::{error::Error, state::AppState};

/// A row of the permission matrix, as a type.
pub trait WorkspaceRight: Send + Sync + 'static {
    /// Which row.
    const ACTION: WorkspaceAction;
}

macro_rules! rights {
    ($(#[doc = $doc:literal] $name:ident = $action:ident),+ $(,)?) => { $(
        #[doc = $doc]
        #[derive(Debug)]
        pub enum $name {}

        impl WorkspaceRight for $name {
            const ACTION: WorkspaceAction = WorkspaceAction::$action;
        }
    )+ };
}

rights! {
    /// To see a workspace, its people and its public channels.
    ReadWorkspace = Read,
    /// To make chats in it.
    CreateChat = CreateChat,
    /// To upload files, for its chats.
    UploadFiles = Upload,
    /// To leave it.
    LeaveWorkspace = Leave,
    /// To rename and describe it.
    UpdateWorkspace = Update,
    /// To invite, add and remove people, and to change their roles.
    ManageWorkspaceMembers = ManageMembers,
    /// To delete it.
    DeleteWorkspace = Delete,
}

/// The proof that a person has the right `R` to a workspace.
#[derive(Debug)]
pub struct WorkspacePermit<R> {
    workspace_id: WorkspaceId,
    user_id: UserId,
    role: Role,
    right: PhantomData<R>,
}

impl<R> WorkspacePermit<R> {
    /// Which workspace.
    #[must_use]
    pub fn workspace_id(&self) -> WorkspaceId {
        self.workspace_id
    }

    /// Whose right it is.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        self.user_id
    }

    /// The person's role in the workspace.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }
}

impl<R: WorkspaceRight> WorkspacePermit<R> {
    /// Asks again, inside the transaction that writes; answers with the role as it is now.
    ///
    /// # Errors
    /// As [`Self::look_up`].
    pub async fn confirm(&self, connection: &mut PgConnection) -> Result<Role, Error> {
        check::<R>(store::workspace_role(connection, self.workspace_id, self.user_id).await?)
    }

    /// Looks the right up, for a workspace that a body or a query names.
    ///
    /// # Errors
    /// Not found for who is not in it; forbidden for who is, with too low a role.
    pub async fn look_up(state: &AppState, caller: Caller, workspace_id: WorkspaceId) -> Result<Self, Error> {
        let user_id = caller.user_id();
        let mut connection = state.pool.acquire().await?;
        let role = check::<R>(store::workspace_role(&mut connection, workspace_id, user_id).await?)?;
        Ok(Self { workspace_id, user_id, role, right: PhantomData })
    }
}

fn check<R: WorkspaceRight>(role: Option<Role>) -> Result<Role, Error> {
    match (role, may_in_workspace(role, R::ACTION)) {
        (Some(role), Verdict::Allowed) => Ok(role),
        (Some(_), Verdict::Forbidden) => {
            Err(Error::Forbidden("Your role in this workspace does not allow that."))
        }
        (None, _) | (_, Verdict::Invisible) => Err(Error::NotFound),
    }
}

impl<R: WorkspaceRight> FromRequestParts<AppState> for WorkspacePermit<R> {
    type Rejection = Problem;

    /// For the workspace that the path names by `{id}`.
    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let workspace_id = path_id(parts, "id").await?;
        Ok(Self::look_up(state, caller, workspace_id).await?)
    }
}

impl<R: WorkspaceRight> Input for WorkspacePermit<R> {
    fn describe(operation: &mut Operation) {
        operation.requires_token();
        operation.refuses(&[404]);
        if may_in_workspace(Some(Role::Member), R::ACTION) != Verdict::Allowed {
            operation.refuses(&[403]);
        }
    }
}
