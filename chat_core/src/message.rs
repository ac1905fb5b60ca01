//! Messages, as REST and the stream show them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ids::{ChatId, FileId, MessageId, UserId},
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

/// What a message tells of a file that it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileFacts {
    /// Which file.
    pub id: FileId,
    /// What its uploader called it.
    pub name: String,
    /// The type that its bytes show (RFC 6838); never what the uploader said.
    pub content_type: String,
    /// Bytes.
    pub size: u64,
    /// Pixels from left to right, of an image.
    pub width: Option<u32>,
    /// Pixels from top to bottom, of an image.
    pub height: Option<u32>,
    /// Whether there is a small picture of it.
    pub thumbnail: bool,
}

/// How many people reacted to a message with an emoji.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// People.
    pub count: u32,
    /// Whether the reader is one of them; not in events, which are the same for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = bool, required = false)]
    pub me: Option<bool>,
}

/// What the root of a thread tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Thread {
    /// Replies that are not deleted.
    pub reply_count: u32,
    /// When the last of them was sent.
    pub last_reply_at: Option<DateTime<Utc>>,
    /// Up to five people, who replied last first; not in the events of messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Person>, required = false)]
    pub participants: Option<Vec<Person>>,
    /// Whether the reader follows it; not in events, which are the same for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = bool, required = false)]
    pub following: Option<bool>,
    /// Replies up to this seq are read; 0 for who does not follow it. Not in events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false)]
    pub last_read_seq: Option<i64>,
    /// Replies by others that the reader has not read, exact to 999, 1000 stands for more; 0 for who does not follow
    /// it. Not in events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, required = false)]
    pub unread_count: Option<i64>,
}

impl Thread {
    /// The thread of a row of `messages`; none when nobody ever replied.
    #[must_use]
    pub fn of(reply_count: i32, last_reply_at: Option<DateTime<Utc>>) -> Option<Self> {
        let reply_count = u32::try_from(reply_count).unwrap_or_default();
        (reply_count > 0).then_some(Self {
            reply_count,
            last_reply_at,
            participants: None,
            following: None,
            last_read_seq: None,
            unread_count: None,
        })
    }
}

/// What a message shows of the one that it answers, as that is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quote {
    /// Which message.
    pub id: MessageId,
    /// Who made it.
    pub kind: MessageKind,
    /// The first 200 code points of the text; null once deleted, and for what the server noted.
    pub content: Option<String>,
    /// What the server noted; null for what a person wrote.
    pub system: Option<SystemNote>,
    /// How many files it holds.
    pub file_count: u32,
    /// Who sent it, or did what was noted.
    pub sender: Person,
    /// The message under which it stands in a thread.
    pub thread_root: Option<MessageId>,
    /// Whether it is shown in the chat.
    pub in_chat: bool,
    /// When it was sent.
    pub created_at: DateTime<Utc>,
    /// When it was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// The most code points of a quote.
const QUOTED: usize = 200;

impl Quote {
    /// What is shown of `message` where it is quoted.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        Self {
            id: message.id,
            kind: message.kind,
            content: message.content.as_ref().map(|content| content.chars().take(QUOTED).collect()),
            system: message.system.clone(),
            file_count: u32::try_from(message.files.len()).unwrap_or(u32::MAX),
            sender: message.sender.clone(),
            thread_root: message.thread_root,
            in_chat: message.in_chat,
            created_at: message.created_at,
            deleted_at: message.deleted_at,
        }
    }
}

/// That a message is pinned to its chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pin {
    /// Since when.
    pub at: DateTime<Utc>,
    /// By whom.
    pub by: UserId,
}

impl Pin {
    /// The pin of a row of `messages`.
    #[must_use]
    pub fn of(at: Option<DateTime<Utc>>, by: Option<UserId>) -> Option<Self> {
        Some(Self { at: at?, by: by? })
    }
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
    /// What is shown of that message.
    pub quote: Option<Quote>,
    /// The message under which it stands in a thread, in the same chat.
    pub thread_root: Option<MessageId>,
    /// Whether it is shown in the chat: not so a reply that is shown in its thread alone.
    pub in_chat: bool,
    /// The thread under it, when it has replies.
    pub thread: Option<Thread>,
    /// The members that it names, frozen when it was written.
    pub mentions: Vec<UserId>,
    /// Whether it names everybody.
    pub mentions_all: bool,
    /// Its files, in the sender's order.
    pub files: Vec<FileFacts>,
    /// The reactions to it, in the order of their first use.
    pub reactions: Vec<Reaction>,
    /// That it is pinned.
    pub pinned: Option<Pin>,
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
