//! What is sent and shown of messages.

use std::collections::HashSet;

use chat_core::{
    http::{page::default_limit, path::PathPart},
    ids::{ChatId, FileId, MessageId},
    message::Message,
    problem::{FieldError, Problem},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{idempotency::types::IdempotencyKey, text::not_blank};

/// The most code points of a message.
pub(super) const CONTENT_MAX: usize = 10_000;
/// The most code points of a client's own key.
const CLIENT_ID_MAX: usize = 64;
/// The most files of a message.
const FILES_MAX: usize = 10;

/// `{message_id}` in a path.
pub struct MessageInPath;

impl PathPart for MessageInPath {
    type Id = MessageId;
    const NAME: &'static str = "message_id";
}

/// A message to be sent.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// 1 to 10,000 code points, not only white space; kept byte for byte. With files it may be left out.
    #[serde(default)]
    #[garde(length(chars, max = CONTENT_MAX), custom(said(!self.file_ids.is_empty())))]
    #[schema(max_length = 10_000)]
    pub content: String,
    /// The sender's own key: the same key and message again answers with the first one.
    #[serde(default)]
    #[garde(length(chars, min = 1, max = CLIENT_ID_MAX))]
    #[schema(min_length = 1, max_length = 64)]
    pub client_id: Option<String>,
    /// A message of this chat.
    #[serde(default)]
    #[garde(skip)]
    pub reply_to: Option<MessageId>,
    /// A message of this chat that is not in a thread: this one stands in the thread under it.
    #[serde(default)]
    #[garde(skip)]
    pub thread_root: Option<MessageId>,
    /// Whether what stands in a thread is shown in the chat too.
    #[serde(default)]
    #[garde(custom(in_thread(self.thread_root)))]
    pub also_in_chat: bool,
    /// Up to 10 files that the sender uploaded to this workspace, and that no message holds.
    #[serde(default)]
    #[garde(length(max = FILES_MAX), custom(no_repeats))]
    #[schema(max_items = 10)]
    pub file_ids: Vec<FileId>,
}

/// Something is said: by the text, unless there is something else.
fn said<C>(otherwise: bool) -> impl FnOnce(&String, &C) -> garde::Result {
    move |content, context| {
        if content.is_empty() && otherwise {
            return Ok(());
        }
        garde::rules::length::chars::apply(content, (1, CONTENT_MAX))?;
        not_blank(content, context)
    }
}

fn in_thread<C>(thread_root: Option<MessageId>) -> impl FnOnce(&bool, &C) -> garde::Result {
    move |also_in_chat, _| {
        if *also_in_chat && thread_root.is_none() {
            return Err(garde::Error::new("is for what stands in a thread"));
        }
        Ok(())
    }
}

fn no_repeats<C>(file_ids: &[FileId], _: &C) -> garde::Result {
    let different: HashSet<_> = file_ids.iter().collect();
    if different.len() < file_ids.len() {
        return Err(garde::Error::new("names a file twice"));
    }
    Ok(())
}

impl SendMessage {
    /// Whether it is shown in the chat, and not in its thread alone.
    #[must_use]
    pub fn in_chat(&self) -> bool {
        self.thread_root.is_none() || self.also_in_chat
    }

    /// The draft with the key of the `Idempotency-Key` header, which stands for `client_id`.
    ///
    /// # Errors
    /// 400 when both are given and differ.
    pub fn with_key(mut self, key: IdempotencyKey) -> Result<Self, Problem> {
        match (&self.client_id, key.0) {
            (Some(client_id), Some(key)) if *client_id != key => {
                let message = "differs from the Idempotency-Key header";
                Err(Problem::invalid(vec![FieldError::new("client_id", message)]))
            }
            (None, Some(key)) => {
                self.client_id = Some(key);
                Ok(self)
            }
            _ => Ok(self),
        }
    }
}

/// Which part of the history.
#[derive(Clone, Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListMessages {
    /// Messages in the answer.
    #[serde(default = "default_limit")]
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: i64,
    /// Those just before this message, newest first.
    #[serde(default)]
    #[garde(custom(only_one(self.after, self.around)))]
    #[param(value_type = Option<uuid::Uuid>)]
    pub before: Option<MessageId>,
    /// Those just after this message, oldest first.
    #[serde(default)]
    #[garde(custom(only_one(self.before, self.around)))]
    #[param(value_type = Option<uuid::Uuid>)]
    pub after: Option<MessageId>,
    /// This message and its neighbours, newest first.
    #[serde(default)]
    #[garde(skip)]
    #[param(value_type = Option<uuid::Uuid>)]
    pub around: Option<MessageId>,
}

fn only_one<C>(
    other: Option<MessageId>,
    another: Option<MessageId>,
) -> impl FnOnce(&Option<MessageId>, &C) -> garde::Result {
    let alone = other.is_none() && another.is_none();
    move |this, _| {
        if this.is_some() && !alone {
            return Err(garde::Error::new("give only one of before, after and around"));
        }
        Ok(())
    }
}

/// The part of the history that a request asks for.
#[derive(Clone, Copy, Debug)]
pub enum Window {
    /// The newest messages.
    Newest,
    /// Those before a message.
    Before(MessageId),
    /// Those after a message.
    After(MessageId),
    /// A message and its neighbours.
    Around(MessageId),
}

impl ListMessages {
    /// The window asked for.
    #[must_use]
    pub fn window(&self) -> Window {
        let before = self.before.map(Window::Before);
        let after = self.after.map(Window::After);
        before.or(after).or(self.around.map(Window::Around)).unwrap_or(Window::Newest)
    }
}

/// A page of the history.
#[derive(Debug, Serialize, ToSchema)]
pub struct MessagePage {
    /// Newest first; oldest first with `after`. Deleted messages stay in their places, without content.
    pub messages: Vec<Message>,
    /// Whether there are more in the direction of the page: newer ones with `after`, else older ones.
    pub has_more: bool,
    /// With `around`: whether there are newer ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = bool, required = false)]
    pub has_newer: Option<bool>,
}

/// Up to where a chat has been read: one of the two.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkRead {
    /// Up to this message of the chat.
    #[serde(default)]
    #[garde(custom(one_of_two(self.seq)))]
    pub message_id: Option<MessageId>,
    /// Up to the message with this seq.
    #[serde(default)]
    #[garde(range(min = 0))]
    #[schema(minimum = 0)]
    pub seq: Option<i64>,
}

/// From where on a chat is unread.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkUnread {
    /// This message of the chat and everything after it.
    #[garde(skip)]
    pub message_id: MessageId,
}

fn one_of_two<C>(seq: Option<i64>) -> impl FnOnce(&Option<MessageId>, &C) -> garde::Result {
    let seq_given = seq.is_some();
    move |message_id, _| match (message_id.is_some(), seq_given) {
        (true, false) | (false, true) => Ok(()),
        _ => Err(garde::Error::new("give either message_id or seq")),
    }
}

/// How far a chat has been read.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadState {
    /// Which chat.
    pub chat_id: ChatId,
    /// Everything up to this seq is read.
    pub last_read_seq: i64,
    /// What others wrote after it and nobody deleted, exact to 999; 1000 stands for more.
    pub unread_count: i64,
    /// Those of them that mention the reader, or everybody while the reader was there; 1000 stands for more than 999.
    pub mention_count: i64,
}

/// A message that was sent, now or by an earlier request with the same key.
pub enum Sent {
    /// Now.
    New(Message),
    /// Earlier.
    Earlier(Message),
}
