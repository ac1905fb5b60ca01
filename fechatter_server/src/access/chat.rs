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
use crate::{
    error::{Conflict, Error},
    state::AppState,
};

/// Rows of the permission matrix, as a type: who has the right may do at least one of them.
pub trait ChatRight: Send + Sync + 'static {
    /// Which rows.
    const ACTIONS: &'static [ChatAction];
}

macro_rules! rights {
    ($(#[doc = $doc:literal] $name:ident = $($action:ident)|+),+ $(,)?) => { $(
        #[doc = $doc]
        #[derive(Debug)]
        pub enum $name {}

        impl ChatRight for $name {
            const ACTIONS: &'static [ChatAction] = &[$(ChatAction::$action),+];
        }
    )+ };
}

rights! {
    /// To see a chat and its history.
    ReadChat = Read,
    /// To send, to react, to mark as read and to choose one's notifications.
    SendTo = Send,
    /// To edit one's own messages.
    EditMessage = EditOwnMessage,
    /// To delete some messages: which ones, [`ChatNow::demand`] tells once the author is known.
    DeleteMessage = DeleteOwnMessage | DeleteOthersMessage,
    /// To pin messages.
    PinMessage = Pin,
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

/// The caller's claim to the right `R` to the chat that the path names by `{id}`: nobody was asked yet.
///
/// Only a statement that asks by itself takes one, in place of a [`ChatPermit`]; it saves the question before.
#[derive(Debug)]
pub struct ChatClaim<R> {
    chat_id: ChatId,
    user_id: UserId,
    right: PhantomData<R>,
}

impl<R> ChatClaim<R> {
    /// Which chat.
    #[must_use]
    pub fn chat_id(&self) -> ChatId {
        self.chat_id
    }

    /// Who claims it.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        self.user_id
    }
}

impl<R: ChatRight> ChatClaim<R> {
    /// Asks whether the claim is right.
    ///
    /// # Errors
    /// Not found or forbidden.
    pub async fn confirm(&self, connection: &mut PgConnection) -> Result<ChatNow, Error> {
        check::<R>(store::chat_now(connection, self.chat_id, self.user_id).await?)
    }
}

/// The proof that the caller has the right `R` to the chat that the path names by `{id}`.
#[derive(Debug)]
pub struct ChatPermit<R> {
    claim: ChatClaim<R>,
    workspace_id: WorkspaceId,
    standing: ChatStanding,
}

impl<R> ChatPermit<R> {
    /// Which chat.
    #[must_use]
    pub fn chat_id(&self) -> ChatId {
        self.claim.chat_id
    }

    /// The workspace that holds it.
    #[must_use]
    pub fn workspace_id(&self) -> WorkspaceId {
        self.workspace_id
    }

    /// Whose right it is.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        self.claim.user_id
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
        self.claim.confirm(connection).await
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

impl ChatNow {
    /// Asks for one of the rows that a right stands for.
    ///
    /// # Errors
    /// Not found or forbidden.
    pub fn demand(&self, action: ChatAction) -> Result<(), Error> {
        match self.standing.may(action) {
            Verdict::Allowed => Ok(()),
            Verdict::Forbidden => Err(Error::Forbidden("Your role in this chat does not allow that.")),
            Verdict::Invisible => Err(Error::NotFound),
        }
    }

    /// Refuses when nothing may be written here.
    ///
    /// # Errors
    /// Archived.
    pub fn refuse_archived(&self) -> Result<(), Error> {
        if self.archived { Err(Error::Conflict(Conflict::Archived)) } else { Ok(()) }
    }
}

fn check<R: ChatRight>(chat: Option<ChatNow>) -> Result<ChatNow, Error> {
    let chat = chat.ok_or(Error::NotFound)?;
    let mut verdict = Err(Error::NotFound);
    for action in R::ACTIONS {
        verdict = chat.demand(*action);
        if verdict.is_ok() {
            break;
        }
    }
    verdict.map(|()| chat)
}

impl<R: ChatRight> FromRequestParts<AppState> for ChatClaim<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let chat_id: ChatId = path_id(parts, "id").await?;
        Ok(Self { chat_id, user_id: caller.user_id(), right: PhantomData })
    }
}

impl<R: ChatRight> FromRequestParts<AppState> for ChatPermit<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let claim = ChatClaim::from_request_parts(parts, state).await?;
        let mut connection = state.pool.acquire().await?;
        let ChatNow { workspace_id, standing, .. } = claim.confirm(&mut connection).await?;
        Ok(Self { claim, workspace_id, standing })
    }
}

impl<R: ChatRight> Input for ChatPermit<R> {
    fn describe(operation: &mut Operation) {
        ChatClaim::<R>::describe(operation);
    }
}

impl<R: ChatRight> Input for ChatClaim<R> {
    fn describe(operation: &mut Operation) {
        operation.requires_token();
        operation.refuses(&[404]);
        if R::ACTIONS != [ChatAction::Read] {
            operation.refuses(&[403]);
        }
    }
}
