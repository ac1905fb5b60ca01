//! From a row of the event table, joined with what it names, to an event.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;

use crate::{
    event::{Event, EventKind},
    ids::{ChatId, MessageId, UserId, WorkspaceId},
    message::{FileFacts, Message, MessageKind, Pin, Quote, Reaction, SystemNote, Thread},
    user::Person,
};

/// What a statement answers: the log's state, and an event unless there was none.
pub(super) struct Row {
    pub(super) epoch: String,
    pub(super) dropped_through: i64,
    pub(super) cursor_at: Option<DateTime<Utc>>,
    pub(super) id: Option<i64>,
    pub(super) kind: Option<String>,
    pub(super) at: Option<DateTime<Utc>>,
    pub(super) workspace_id: Option<WorkspaceId>,
    pub(super) chat_id: Option<ChatId>,
    pub(super) user_id: Option<UserId>,
    pub(super) actor_id: Option<UserId>,
    pub(super) message_id: Option<MessageId>,
    pub(super) data: Option<Value>,
    pub(super) participants: Option<Json<Vec<Person>>>,
    pub(super) seq: Option<i64>,
    pub(super) message_kind: Option<MessageKind>,
    pub(super) content: Option<String>,
    pub(super) system: Option<Json<SystemNote>>,
    pub(super) reply_to: Option<MessageId>,
    pub(super) quote: Option<Json<Quote>>,
    pub(super) thread_root: Option<MessageId>,
    pub(super) in_chat: Option<bool>,
    pub(super) mentions: Option<Vec<UserId>>,
    pub(super) mentions_all: Option<bool>,
    pub(super) files: Option<Json<Vec<FileFacts>>>,
    pub(super) reactions: Option<Json<Vec<Reaction>>>,
    pub(super) reply_count: Option<i32>,
    pub(super) last_reply_at: Option<DateTime<Utc>>,
    pub(super) pinned_at: Option<DateTime<Utc>>,
    pub(super) pinned_by: Option<UserId>,
    pub(super) client_id: Option<String>,
    pub(super) created_at: Option<DateTime<Utc>>,
    pub(super) edited_at: Option<DateTime<Utc>>,
    pub(super) version: Option<i32>,
    pub(super) deleted_at: Option<DateTime<Utc>>,
    pub(super) deleted_by: Option<UserId>,
    pub(super) person_id: Option<UserId>,
    pub(super) person_name: Option<String>,
    pub(super) person_username: Option<String>,
    pub(super) person_avatar_url: Option<String>,
}

impl Row {
    /// None for the one row that stands for an empty batch.
    pub(super) fn into_event(mut self) -> Option<Event> {
        let person = self.take_person();
        let (id, at) = (self.id?, self.at?);
        let kind = EventKind::parse(self.kind.as_deref().unwrap_or_default());
        let message = person.clone().and_then(|sender| self.take_message(sender));
        Some(Event {
            id,
            kind,
            workspace_id: self.workspace_id,
            chat_id: self.chat_id,
            user_id: self.user_id,
            actor_id: self.actor_id,
            message_id: self.message_id,
            data: self.data.unwrap_or_default(),
            participants: self.participants.map(|Json(people)| people).unwrap_or_default(),
            at,
            person: person.filter(|_| message.is_none()),
            message,
        })
    }

    fn take_person(&mut self) -> Option<Person> {
        Some(Person {
            id: self.person_id?,
            name: self.person_name.take()?,
            username: self.person_username.take()?,
            avatar_url: self.person_avatar_url.take(),
        })
    }

    fn take_message(&mut self, sender: Person) -> Option<Message> {
        Some(Message {
            id: self.message_id?,
            chat_id: self.chat_id?,
            seq: self.seq?,
            kind: self.message_kind?,
            content: self.content.take(),
            system: self.system.take().map(|Json(note)| note),
            sender,
            reply_to: self.reply_to,
            quote: self.quote.take().map(|Json(quote)| quote),
            thread_root: self.thread_root,
            in_chat: self.in_chat?,
            thread: Thread::of(self.reply_count?, self.last_reply_at),
            mentions: self.mentions.take().unwrap_or_default(),
            mentions_all: self.mentions_all?,
            files: self.files.take().map(|Json(files)| files).unwrap_or_default(),
            reactions: self.reactions.take().map(|Json(reactions)| reactions).unwrap_or_default(),
            pinned: Pin::of(self.pinned_at, self.pinned_by),
            client_id: self.client_id.take(),
            created_at: self.created_at?,
            edited_at: self.edited_at,
            version: self.version?,
            deleted_at: self.deleted_at,
            deleted_by: self.deleted_by,
        })
    }
}
