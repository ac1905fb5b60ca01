//! Proofs about files.

use axum::{extract::FromRequestParts, http::request::Parts};
use chat_core::{
    api::{Input, Operation},
    caller::Caller,
    http::path::path_id,
    ids::{FileId, UserId},
    permission::{ChatAction, ChatStanding, Verdict},
    problem::Problem,
};

use super::store;
use crate::{error::Error, state::AppState};

/// The proof that the caller may read the file that the path names by `{id}`: it is in a message that they may read now,
/// or it is their own, and in none yet.
#[derive(Debug)]
pub struct FilePermit {
    file_id: FileId,
    user_id: UserId,
}

impl FilePermit {
    /// Which file.
    #[must_use]
    pub fn file_id(&self) -> FileId {
        self.file_id
    }

    /// Who may read it.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        self.user_id
    }
}

/// Who holds a file, and where a person stands towards them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holder {
    /// The person, who has not sent it yet.
    Uploader,
    /// A message of a chat.
    Chat(ChatStanding),
    /// Somebody else.
    Nobody,
}

impl Holder {
    fn lets_in(self) -> bool {
        match self {
            Self::Uploader => true,
            Self::Chat(standing) => standing.may(ChatAction::Read) == Verdict::Allowed,
            Self::Nobody => false,
        }
    }
}

impl FromRequestParts<AppState> for FilePermit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let file_id: FileId = path_id(parts, "id").await?;
        let user_id = caller.user_id();
        let mut connection = state.pool.acquire().await?;
        let holder = store::holder_of(&mut connection, file_id, user_id).await?;
        if holder.lets_in() { Ok(Self { file_id, user_id }) } else { Err(Error::NotFound.into()) }
    }
}

impl Input for FilePermit {
    fn describe(operation: &mut Operation) {
        operation.requires_token();
        operation.refuses(&[404]);
    }
}
