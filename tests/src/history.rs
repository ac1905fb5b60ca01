//! What clients did and saw, and whether the promises of the event stream were kept.
//!
//! A history is recorded from outside: what was acknowledged, what each stream delivered, and how the chats look in
//! the end. [`History::check`] holds it against five promises:
//!
//! 1. What was committed while somebody was in a chat reached each of their streams, or was excused by a `reset`
//!    after which they found it by REST.
//! 2. Ids rise on a connection, and an id stands for the same event on every stream.
//! 3. Nothing came from before somebody joined, and nothing after they were removed, by whatever event.
//! 4. What was acknowledged is there in the end, once, and was delivered.
//! 5. A position says that everything up to it was delivered: that of a ping as well, and that of a snapshot.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use chat_core::event::Position;
use serde_json::Value;
use tokio::time::Instant;

use crate::Received;

mod check;
mod log;
#[cfg(test)]
mod tests;
mod walk;

/// All that was recorded.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The chats as they are in the end.
    pub chats: Vec<Chat>,
    /// What was sent, or tried.
    pub sends: Vec<Send>,
    /// What messages were made to say later, or may have been.
    pub edits: Vec<Edit>,
    /// Who was surely not in a chat, and when.
    pub absences: Vec<Absence>,
    /// The streams.
    pub clients: Vec<Client>,
    /// The number of the log's last position, which each client has to come to.
    pub end: i64,
}

/// A chat as its owner reads it in the end.
#[derive(Clone, Debug)]
pub struct Chat {
    /// Which.
    pub id: String,
    /// The people it was made with, before any client began.
    pub first_members: BTreeSet<String>,
    /// All its messages, by `seq`.
    pub messages: Vec<Message>,
}

/// A message as it is in the end.
#[derive(Clone, Debug)]
pub struct Message {
    /// Which.
    pub id: String,
    /// Its place in the chat.
    pub seq: i64,
    /// By whom, and under which key, when a client sent it; none for what the server noted.
    pub sent: Option<(String, String)>,
    /// Who joined by what it notes.
    pub joined: Vec<String>,
    /// Who left by what it notes.
    pub left: Vec<String>,
}

impl Message {
    /// Reads one that REST showed.
    ///
    /// # Panics
    /// When it is none.
    pub fn of(shown: &Value) -> Self {
        let sender = text(&shown["sender"]["id"]);
        let note = &shown["system"];
        let mut message = Self {
            id: text(&shown["id"]),
            seq: shown["seq"].as_i64().expect("a seq"),
            sent: shown["client_id"].as_str().map(|key| (sender.clone(), key.to_owned())),
            joined: Vec::new(),
            left: Vec::new(),
        };
        match note["type"].as_str() {
            Some("member_joined") => message.joined.push(sender),
            Some("members_added") => {
                message.joined = note["user_ids"].as_array().expect("people").iter().map(text).collect();
            }
            Some("member_left") => message.left.push(sender),
            Some("member_removed") => message.left.push(text(&note["user_id"])),
            _ => {}
        }
        message
    }
}

/// A message that a client sent, as often as it took.
#[derive(Clone, Debug)]
pub struct Send {
    /// Where to.
    pub chat: String,
    /// By whom.
    pub sender: String,
    /// The key by which repetitions are told.
    pub client_id: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What a sender knows of a message in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 201, or 200 to a repetition.
    Acknowledged {
        /// Which message.
        message: String,
        /// Its place in the chat.
        seq: i64,
    },
    /// Refused, and no answer was lost before.
    Refused,
    /// An answer was lost, and none came after it.
    Unknown,
}

/// A new text of a message.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Which message.
    pub message: String,
    /// Which version of it the text is of.
    pub version: i64,
    /// When it was asked for.
    pub begun: Instant,
}

/// The text of a version: it says which one it is.
pub fn text_of(version: i64, words: &str) -> String {
    format!("{version} {words}")
}

/// A time in which a person was surely not in a chat.
#[derive(Clone, Debug)]
pub struct Absence {
    /// From which chat.
    pub chat: String,
    /// Who.
    pub person: String,
    /// When the removal was acknowledged.
    pub from: Instant,
    /// When they were to be taken in again.
    pub until: Option<Instant>,
}

/// One device of a person: a stream that comes back with its last position.
#[derive(Clone, Debug)]
pub struct Client {
    /// For messages.
    pub name: String,
    /// Whose.
    pub person: String,
    /// What happened to it, in order.
    pub steps: Vec<Step>,
}

/// What can happen to a client.
#[derive(Clone, Debug)]
pub enum Step {
    /// A connection was opened, from here. Without a position it is from now.
    Opened(Option<Position>),
    /// An event arrived.
    Frame(Frame),
    /// Everything was read by REST.
    Reloaded(Reload),
}

/// An event as it arrived.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its name.
    pub event: String,
    /// Its position.
    pub position: Position,
    /// What else tells it from others.
    pub about: About,
    /// The messages whose text it shows, as of when it was read.
    pub shown: Vec<Shown>,
    /// When it arrived.
    pub at: Instant,
}

/// A message whose text was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Which.
    pub message: String,
    /// What it said.
    pub version: i64,
}

impl Shown {
    /// Of a message or a quote; none without a text that says of which version it is.
    fn of(message: &Value, shown: &Value) -> Option<Self> {
        let (version, _) = shown["content"].as_str()?.split_once(' ')?;
        Some(Self { message: message.as_str()?.to_owned(), version: version.parse().ok()? })
    }
}

/// What an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The chat it names.
    pub chat: Option<String>,
    /// The message it names.
    pub message: Option<String>,
    /// The person it names.
    pub person: Option<String>,
    /// The `type` of a change.
    pub kind: Option<String>,
}

impl Frame {
    /// Of an event from a stream; none for `bye`, which has no position.
    ///
    /// # Panics
    /// When its id is not a position.
    pub fn of(received: &Received) -> Option<Self> {
        let field = |name: &str| received.data[name].as_str().map(str::to_owned);
        if received.event == "bye" {
            return None;
        }
        let position =
            Position::parse(&received.id).unwrap_or_else(|| panic!("not a position: {received:?}"));
        let about = About {
            chat: field("chat_id"),
            message: field("message_id"),
            person: field("user_id"),
            kind: field("type"),
        };
        let data = &received.data;
        let message = Shown::of(&data["message_id"], data);
        let shown = message.into_iter().chain(Shown::of(&data["reply_to"], &data["quote"])).collect();
        Some(Self { event: received.event.clone(), position, about, shown, at: Instant::now() })
    }
}

/// What somebody read by REST.
#[derive(Clone, Debug, Default)]
pub struct Reload {
    /// The number of the position that the list of chats was of.
    pub position: i64,
    /// The messages of each chat in the list; none when the person was taken out of it before they could be read.
    pub chats: BTreeMap<String, Option<BTreeSet<String>>>,
}

/// A promise that was broken, in words.
#[derive(Clone, PartialEq, Eq)]
pub struct Violation {
    /// How.
    pub breach: Breach,
    /// By what.
    pub details: String,
}

/// How a promise can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// What was acknowledged is not there, or is another.
    NotDurable,
    /// What was sent once is there twice.
    SentTwice,
    /// What was refused, or never sent, is there.
    Phantom,
    /// The messages of a chat have no gapless order.
    Numbering,
    /// An id stands for two events, or an event has two ids.
    Disagreement,
    /// Ids do not rise on a connection, or not as the messages of a chat do.
    Order,
    /// The same event twice on one connection.
    Repeated,
    /// Something did not arrive, without a word.
    Hole,
    /// Something arrived at who was not to see it.
    Leak,
    /// Somebody was told to have joined or left who had done so before.
    Membership,
    /// A client was told to reload, and did not.
    NotReloaded,
    /// A client never came to the end.
    Behind,
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.breach, self.details)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
