//! Proofs about chats.

use std::marker::PhantomData;

use axum::{extract::FromRequestParts, http::request::Parts};
use chat_core::{
    api::{Input, Operation},
    caller::Caller,
    chat::{ChatType, Role},
    http::path::path_id,
    ids::{ChatId, UserId, WorkspaceId},
    permission::{ChatAction, ChatStanding, Verdict},
    problem::Problem,
};
use sqlx::PgConnection;

use super::store;
use crate::{error::Error, state::AppState};

/// A row of the permission matrix, as a type.
pub trait ChatRight: Send + Sync + 'static {
    /// Which row.
    const ACTION: ChatAction;
}

macro_rules! rights {
    ($(#[doc = $doc:literal] $name:ident = $action:ident),+ $(,)?) => { $(
        #[doc = $doc]
        #[derive(Debug)]
        pub enum $name {}

        impl ChatRight for $name {
            const ACTION: ChatAction = ChatAction::$action;
        }
    )+ };
}

rights! {
    /// To see a chat and its history.
    ReadChat = Read,
    /// To send, to mark as read and to choose one's notifications.
    SendTo = Send,
    /// To hide it from one's list.
    HideChat = Hide,
    /// To join.
    JoinChat = Join,
    /// To leave.
    LeaveChat = Leave,
    /// To add people.
    AddToChat = AddMember,
    /// To remove people and change their roles.
    ManageChatMembers = ManageMembers,
    /// To rename, describe and archive.
    UpdateChat = Update,
    /// To delete.
    DeleteChat = Delete,
}

/// The proof that the caller has the right `R` to the chat that the path names by `{id}`.
#[derive(Debug)]
pub struct ChatPermit<R> {
    chat_id: ChatId,
    workspace_id: WorkspaceId,
    user_id: UserId,
    standing: ChatStanding,
    right: PhantomData<R>,
}

impl<R> ChatPermit<R> {
    /// Which chat.
    #[must_use]
    pub fn chat_id(&self) -> ChatId {
        self.chat_id
    }

    /// The workspace that holds it.
    #[must_use]
    pub fn workspace_id(&self) -> WorkspaceId {
        self.workspace_id
    }

    /// Whose right it is.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        self.user_id
    }

    /// The chat's type.
    #[must_use]
    pub fn chat_type(&self) -> ChatType {
        self.standing.chat_type
    }

    /// The role that counted.
    #[must_use]
    pub fn effective_role(&self) -> Option<Role> {
        self.standing.effective_role()
    }
}

impl<R: ChatRight> ChatPermit<R> {
    /// Asks again, inside the transaction that writes: between the check and the ordering lock somebody may
    /// have taken the right away.
    ///
    /// # Errors
    /// As the extractor's: not found or forbidden.
    pub async fn confirm(&self, connection: &mut PgConnection) -> Result<ChatNow, Error> {
        check::<R>(store::chat_now(connection, self.chat_id, self.user_id).await?)
    }
}

/// A chat, and where a person stands towards it, at one moment.
#[derive(Debug)]
pub struct ChatNow {
    /// The workspace that holds it.
    pub workspace_id: WorkspaceId,
    /// Where the person stands.
    pub standing: ChatStanding,
    /// Whether it is archived: it can be read only.
    pub archived: bool,
}

fn check<R: ChatRight>(chat: Option<ChatNow>) -> Result<ChatNow, Error> {
    let chat = chat.ok_or(Error::NotFound)?;
    match chat.standing.may(R::ACTION) {
        Verdict::Allowed => Ok(chat),
        Verdict::Forbidden => Err(Error::Forbidden("Your role in this chat does not allow that.")),
        Verdict::Invisible => Err(Error::NotFound),
    }
}

impl<R: ChatRight> FromRequestParts<AppState> for ChatPermit<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let chat_id: ChatId = path_id(parts, "id").await?;
        let mut connection = state.pool.acquire().await?;
        let chat = store::chat_now(&mut connection, chat_id, caller.user_id()).await?;
        let ChatNow { workspace_id, standing, .. } = check::<R>(chat)?;
        Ok(Self { chat_id, workspace_id, user_id: caller.user_id(), standing, right: PhantomData })
    }
}

impl<R: ChatRight> Input for ChatPermit<R> {
    fn describe(operation: &mut Operation) {
        operation.requires_token();
        operation.refuses(&[404]);
        if R::ACTION != ChatAction::Read {
            operation.refuses(&[403]);
        }
    }
}
