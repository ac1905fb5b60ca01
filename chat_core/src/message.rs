//! Messages, as REST and the stream show them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ids::{ChatId, MessageId},
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
    /// The text; null once deleted.
    pub content: Option<String>,
    /// Who sent it.
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
}
