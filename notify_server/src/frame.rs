//! Frames: events as they stand on the wire (HTML standard, section 9.2.5).

#[cfg(test)]
mod tests;

use bytes::Bytes;
use chat_core::{
    event::{Ephemeral, Event, EventKind, Position},
    ids::MessageId,
    message::{Message, Quote},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// An event of the log, encoded once and shared by everybody who receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    chunk: Chunk,
    /// Where the data begins in the text.
    data: usize,
}

/// A piece of a stream, as text and as a chunk of an HTTP/1.1 body (RFC 9112, section 7.1), in one piece of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    framed: Bytes,
    /// Where the text begins.
    start: usize,
}

/// How a stream's text goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is: whoever writes it frames it.
    Text,
    /// Framed as chunks already.
    Chunked,
}

/// After a chunk's text.
const CHUNK_END: &[u8] = b"\r\n";
/// The chunk that ends a body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

impl Chunk {
    /// The chunk of these pieces of text, which must not all be empty: that would end the body.
    fn of(pieces: &[&[u8]]) -> Self {
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut framed = format!("{len:x}\r\n").into_bytes();
        let start = framed.len();
        framed.reserve_exact(len + CHUNK_END.len());
        for piece in pieces {
            framed.extend_from_slice(piece);
        }
        framed.extend_from_slice(CHUNK_END);
        Self { framed: framed.into(), start }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.framed[self.start..self.framed.len() - CHUNK_END.len()]
    }

    /// The bytes to write.
    #[must_use]
    pub fn bytes(&self, form: Form) -> &[u8] {
        match form {
            Form::Text => self.text(),
            Form::Chunked => &self.framed,
        }
    }

    /// The bytes to write, shared.
    #[must_use]
    pub fn share(&self, form: Form) -> Bytes {
        match form {
            Form::Text => self.framed.slice(self.start..self.framed.len() - CHUNK_END.len()),
            Form::Chunked => self.framed.clone(),
        }
    }
}

/// After the data.
const END: &[u8] = b"\n\n";

impl Frame {
    /// The frame of an event; none for internal kinds, and for a message that is not there any more.
    #[must_use]
    pub fn of(event: &Event, position: &Position) -> Option<Self> {
        let name = event.kind.stream_name()?;
        let data = match event.kind {
            EventKind::Message | EventKind::MessageUpdate | EventKind::MessageDelete => {
                let message = event.message.as_ref()?;
                to_json(&MessageData { message_id: message.id, message })
            }
            EventKind::Reaction => to_json(&reaction_data(event)),
            EventKind::ThreadUpdate => to_json(&thread_data(event)),
            EventKind::Read | EventKind::Saved | EventKind::Mention => to_json(&chat_facts(event)),
            _ => to_json(&update_data(event)),
        };
        Some(Self::encode(&head(Some(position), name), &data))
    }

    /// The same event with the data of `newest`, a later event about the same message.
    #[must_use]
    pub fn with_data_of(&self, newest: &Self) -> Self {
        let newest = newest.chunk.text().split_at(newest.data).1;
        let data = &newest[..newest.len() - END.len()];
        Self::encode(&self.chunk.text()[..self.data], data)
    }

    /// The same event of a message, with what the message that it answers shows now; nothing when that is gone.
    #[must_use]
    pub fn with_quote(&self, quote: Option<&Quote>) -> Self {
        let text = self.chunk.text();
        let (head, data) = (&text[..self.data], &text[self.data..text.len() - END.len()]);
        let mut data: Map<String, Value> = serde_json::from_slice(data).unwrap_or_else(|error| {
            // It was encoded here.
            tracing::error!(%error, "a frame could not be read");
            Map::new()
        });
        data.insert("quote".into(), json!(quote));
        Self::encode(head, &to_json(&data))
    }

    /// What goes out.
    #[must_use]
    pub fn chunk(&self) -> &Chunk {
        &self.chunk
    }

    /// JSON holds no line break, so the data is one line.
    fn encode(head: &[u8], data: &[u8]) -> Self {
        Self { chunk: Chunk::of(&[head, data, END]), data: head.len() }
    }
}

/// The message as REST shows it; its own fields hold `chat_id`.
#[derive(Serialize)]
struct MessageData<'a> {
    message_id: MessageId,
    #[serde(flatten)]
    message: &'a Message,
}

fn chat_facts(event: &Event) -> Map<String, Value> {
    let mut data = facts(event);
    data.insert("chat_id".into(), json!(event.chat_id));
    data
}

fn reaction_data(event: &Event) -> Map<String, Value> {
    let mut data = chat_facts(event);
    data.insert("user_id".into(), json!(event.user_id));
    data
}

/// Like [`chat_facts`]; of replies, with the people in place of their ids.
fn thread_data(event: &Event) -> Map<String, Value> {
    let mut data = chat_facts(event);
    if let Some(participants) = data.get_mut("participants") {
        *participants = json!(event.participants);
    }
    data
}

/// The facts of a `chat_update` or `workspace_update`, and what they are about.
fn update_data(event: &Event) -> Map<String, Value> {
    let mut data = facts(event);
    data.insert("workspace_id".into(), json!(event.workspace_id));
    data.insert("actor_id".into(), json!(event.actor_id));
    let mut insert = |name: &str, value: Option<Value>| value.map(|value| data.insert(name.into(), value));
    insert("chat_id", event.chat_id.map(|id| json!(id)));
    insert("user_id", event.user_id.map(|id| json!(id)));
    insert("member", event.person.as_ref().map(|person| json!(person)));
    data
}

/// The facts, with their times in UTC: the triggers write them in the time zone of who changed the data.
fn facts(event: &Event) -> Map<String, Value> {
    let mut facts = event.data.as_object().cloned().unwrap_or_default();
    for (_, value) in facts.iter_mut().filter(|(name, _)| name.ends_with("_at")) {
        if let Some(time) = value.as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok()) {
            *value = json!(time);
        }
    }
    facts
}

/// The first frame: where the stream starts. `retry_ms` is for clients that lose the connection without a `bye`.
#[must_use]
pub fn hello(
    position: &Position,
    connection: Uuid,
    heartbeat_s: u64,
    now: DateTime<Utc>,
    retry_ms: u32,
) -> Chunk {
    let data = json!({ "connection": connection, "heartbeat_s": heartbeat_s, "server_time": now });
    let head = [format!("retry: {retry_ms}\n").into_bytes(), head(Some(position), "hello")].concat();
    Frame::encode(&head, &to_json(&data)).chunk
}

/// A sign of life: everything up to `position` is behind.
#[must_use]
pub fn ping(position: &Position) -> Chunk {
    Frame::encode(&head(Some(position), "ping"), b"{}").chunk
}

/// A break: reload by REST, and read on from `position`.
#[must_use]
pub fn reset(position: &Position, reason: &str) -> Chunk {
    Frame::encode(&head(Some(position), "reset"), &to_json(&json!({ "reason": reason }))).chunk
}

/// What is told at most once: without an id, for nothing can be resumed from it.
#[must_use]
pub fn ephemeral(what: &Ephemeral) -> Chunk {
    let data = json!({ "chat_id": what.chat_id, "user_id": what.user_id });
    Frame::encode(&head(None, what.kind.stream_name()), &to_json(&data)).chunk
}

/// The last frame.
#[must_use]
pub fn bye(reason: &str, reconnect_ms: u32) -> Chunk {
    let data = json!({ "reason": reason, "reconnect_ms": reconnect_ms });
    Frame::encode(&head(None, "bye"), &to_json(&data)).chunk
}

fn head(position: Option<&Position>, name: &str) -> Vec<u8> {
    let id = position.map(|position| format!("id: {position}\n")).unwrap_or_default();
    format!("{id}event: {name}\ndata: ").into_bytes()
}

fn to_json<T: Serialize>(data: &T) -> Vec<u8> {
    serde_json::to_vec(data).unwrap_or_else(|error| {
        // Only maps with keys that are not strings can fail.
        tracing::error!(%error, "an event could not be encoded");
        b"{}".to_vec()
    })
}
