//! Messages, as REST and the stream show them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ids::{ChatId, MessageId, UserId},
    user::Person,
};

/// Who made a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[sqlx(type_name = "message_kind")]
pub enum MessageKind {
    /// A person wrote it.
    User,
    /// The server noted what somebody did; never counted as unread.
    System,
}

/// What the server noted: each is written together with the change, by who made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SystemNote {
    /// The sender joined.
    MemberJoined,
    /// The sender left.
    MemberLeft,
    /// The sender added people.
    MembersAdded {
        /// Whom.
        user_ids: Vec<UserId>,
    },
    /// The sender removed somebody.
    MemberRemoved {
        /// Whom.
        user_id: UserId,
    },
    /// The sender renamed the chat.
    NameChanged {
        /// The name it was given.
        name: String,
    },
    /// The sender changed what the chat says of itself.
    DescriptionChanged {
        /// What it says now; null when it says nothing.
        description: Option<String>,
    },
    /// The sender archived the chat.
    Archived,
    /// The sender took the chat out of the archive.
    Unarchived,
    /// Noted by a newer server.
    #[serde(other)]
    Unknown,
}

/// A message, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// Which message.
    pub id: MessageId,
    /// The chat that holds it.
    pub chat_id: ChatId,
    /// Its place in the chat: counts up by one.
    pub seq: i64,
    /// Who made it.
    pub kind: MessageKind,
    /// The text; null once deleted, and for what the server noted.
    pub content: Option<String>,
    /// What the server noted; null for what a person wrote.
    pub system: Option<SystemNote>,
    /// Who sent it, or did what was noted.
    pub sender: Person,
    /// The message it answers, in the same chat.
    pub reply_to: Option<MessageId>,
    /// The key by which the sender's client recognises it.
    pub client_id: Option<String>,
    /// When it was sent.
    pub created_at: DateTime<Utc>,
    /// When it was last edited.
    pub edited_at: Option<DateTime<Utc>>,
    /// Counts the edits; 1 for a message as sent.
    pub version: i32,
    /// When it was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
    /// Who deleted it.
    pub deleted_by: Option<UserId>,
}
