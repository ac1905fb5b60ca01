//! Events: the log's rows and their positions.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ids::{ChatId, MessageId, SessionId, UserId, WorkspaceId},
    message::Message,
    user::Person,
};

/// A row of the event log, joined with what it names.
#[derive(Clone, Debug)]
pub struct Event {
    /// The place in the log: a greater id was committed later.
    pub id: i64,
    /// What happened.
    pub kind: EventKind,
    /// The workspace it happened in.
    pub workspace_id: Option<WorkspaceId>,
    /// The chat it happened in.
    pub chat_id: Option<ChatId>,
    /// The person it is about, or for.
    pub user_id: Option<UserId>,
    /// Who did it.
    pub actor_id: Option<UserId>,
    /// The message it names.
    pub message_id: Option<MessageId>,
    /// Small facts; an object or null.
    pub data: Value,
    /// Who took part in the thread, as they are now, for `thread_update`.
    pub participants: Vec<Person>,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// The message as it is now, for events that name one.
    pub message: Option<Message>,
    /// The person of `user_id` as they are now, for `member_added`.
    pub person: Option<Person>,
}

impl Event {
    /// The `type` among the facts, as in `member_added`; empty for kinds without one.
    #[must_use]
    pub fn fact_type(&self) -> &str {
        self.data.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    /// The session that a `SessionRevoked` event ended.
    #[must_use]
    pub fn session_id(&self) -> Option<SessionId> {
        self.data.get("session_id")?.as_str()?.parse().ok()
    }
}

/// The kinds of events.
///
/// A server meets kinds that it does not know while a newer one runs beside it; it passes over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A message was sent.
    Message,
    /// A message was edited.
    MessageUpdate,
    /// A message was deleted.
    MessageDelete,
    /// A chat, or who is in it, changed.
    ChatUpdate,
    /// A workspace, or who is in it, changed.
    WorkspaceUpdate,
    /// A person read a chat up to some message.
    Read,
    /// Somebody reacted to a message, or took it back.
    Reaction,
    /// A person saved a message, or took it out; for nobody else.
    Saved,
    /// A thread got or lost a reply; or a person follows it, or read it up to some reply.
    ThreadUpdate,
    /// An edit mentions a person for the first time; without a person, everybody in the chat.
    Mention,
    /// A session was ended; internal.
    SessionRevoked,
    /// A person was suspended; internal.
    UserSuspended,
    /// A person's name, handle or picture changed; internal.
    UserChanged,
    /// Written by a newer version.
    Unknown,
}

impl EventKind {
    /// The kind by its name in the log.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "message" => Self::Message,
            "message_update" => Self::MessageUpdate,
            "message_delete" => Self::MessageDelete,
            "chat_update" => Self::ChatUpdate,
            "workspace_update" => Self::WorkspaceUpdate,
            "read" => Self::Read,
            "reaction" => Self::Reaction,
            "saved" => Self::Saved,
            "thread_update" => Self::ThreadUpdate,
            "mention" => Self::Mention,
            "session_revoked" => Self::SessionRevoked,
            "user_suspended" => Self::UserSuspended,
            "user_changed" => Self::UserChanged,
            _ => Self::Unknown,
        }
    }

    /// The name of the event on the stream; none for internal kinds.
    #[must_use]
    pub fn stream_name(self) -> Option<&'static str> {
        match self {
            Self::Message => Some("message"),
            Self::MessageUpdate => Some("message_update"),
            Self::MessageDelete => Some("message_delete"),
            Self::ChatUpdate => Some("chat_update"),
            Self::WorkspaceUpdate => Some("workspace_update"),
            Self::Read => Some("read"),
            Self::Reaction => Some("reaction"),
            Self::Saved => Some("saved"),
            Self::ThreadUpdate => Some("thread_update"),
            Self::Mention => Some("mention"),
            Self::SessionRevoked | Self::UserSuspended | Self::UserChanged | Self::Unknown => None,
        }
    }
}

/// What is of interest only now: told at most once, never stored, and dropped where there is no room for it.
///
/// It travels in the notification itself, as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ephemeral {
    /// What.
    pub kind: EphemeralKind,
    /// In which chat: its members are told.
    pub chat_id: ChatId,
    /// Who, who is not told.
    pub user_id: UserId,
    /// The last event of the log when it was said: only who has taken that in knows who the members were.
    pub after: i64,
}

/// The kinds of [`Ephemeral`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EphemeralKind {
    /// Somebody is writing a message.
    Typing,
}

impl EphemeralKind {
    /// The name of the event on the stream.
    #[must_use]
    pub fn stream_name(self) -> &'static str {
        match self {
            Self::Typing => "typing",
        }
    }
}

/// Which log: random, and renewed when a database is restored to an earlier time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub String);

/// A position in one log, written `<epoch>-<n>`: everything up to event `n` is behind it.
///
/// Clients treat it as opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which log.
    pub epoch: Epoch,
    /// The id of the last event behind the position; 0 at the log's beginning.
    pub id: i64,
}

impl Position {
    /// Reads a position that a client sent back; none when it never was one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, id) = text.rsplit_once('-')?;
        let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        let known =
            !epoch.is_empty() && epoch.len() <= 32 && epoch.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !digits || !known {
            return None;
        }
        Some(Self { epoch: Epoch(epoch.to_owned()), id: id.parse().ok()? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch.0, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_the_wire() {
        let position = Position { epoch: Epoch("0a1b2c3d".into()), id: 42 };
        assert_eq!(Position::parse(&position.to_string()), Some(position));
    }

    #[test]
    fn what_never_was_a_position_is_none() {
        for text in ["", "-", "42", "a-", "-1", "a--1", "a-+1", "a-1 ", "a b-1", "a-99999999999999999999"] {
            assert_eq!(Position::parse(text), None, "{text:?}");
        }
    }
}
