//! Events for the unit tests.

use chat_core::{
    event::{Epoch, Event, EventKind, Position},
    ids::{ChatId, MessageId, SessionId, UserId, WorkspaceId},
    message::{Message, MessageKind},
    user::Person,
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::subscriber::Subscriber;

pub(crate) fn epoch() -> Epoch {
    Epoch("e0".into())
}

pub(crate) fn position(id: i64) -> Position {
    Position { epoch: epoch(), id }
}

pub(crate) fn at() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

pub(crate) fn person(id: UserId) -> Person {
    Person { id, name: "Ann".into(), username: "ann".into(), avatar_url: None }
}

/// A person's stream, by a session of its own.
pub(crate) fn subscriber(user: UserId) -> Subscriber {
    Subscriber::for_test(user, SessionId::new(), at())
}

/// An event without particulars.
pub(crate) fn event(id: i64, kind: EventKind) -> Event {
    Event {
        id,
        kind,
        workspace_id: None,
        chat_id: None,
        user_id: None,
        actor_id: None,
        message_id: None,
        data: Value::Null,
        participants: Vec::new(),
        at: at(),
        message: None,
        person: None,
    }
}

pub(crate) fn message_event(
    id: i64,
    kind: EventKind,
    chat: ChatId,
    message: MessageId,
    content: Option<&str>,
) -> Event {
    let sender = person(UserId::new());
    let message_now = Message {
        id: message,
        chat_id: chat,
        seq: 1,
        kind: MessageKind::User,
        content: content.map(ToOwned::to_owned),
        system: None,
        sender,
        reply_to: None,
        quote: None,
        thread_root: None,
        in_chat: true,
        thread: None,
        mentions: Vec::new(),
        mentions_all: false,
        files: Vec::new(),
        reactions: Vec::new(),
        pinned: None,
        client_id: None,
        created_at: at(),
        edited_at: None,
        version: 1,
        deleted_at: content.is_none().then(at),
        deleted_by: None,
    };
    Event { chat_id: Some(chat), message_id: Some(message), message: Some(message_now), ..event(id, kind) }
}

pub(crate) fn message(id: i64, chat: ChatId) -> Event {
    message_event(id, EventKind::Message, chat, MessageId::new(), Some("hello"))
}

pub(crate) fn chat_update(id: i64, fact: &str, chat: ChatId, user: Option<UserId>) -> Event {
    let data = json!({ "type": fact });
    Event { chat_id: Some(chat), user_id: user, data, ..event(id, EventKind::ChatUpdate) }
}

pub(crate) fn workspace_update(id: i64, fact: &str, workspace: WorkspaceId, user: Option<UserId>) -> Event {
    let data = json!({ "type": fact });
    Event { workspace_id: Some(workspace), user_id: user, data, ..event(id, EventKind::WorkspaceUpdate) }
}
