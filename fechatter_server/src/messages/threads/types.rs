//! What is sent and shown of threads.

use std::{fmt, str::FromStr};

use chat_core::{
    http::page::default_limit,
    ids::{ChatId, MessageId, WorkspaceId},
    message::Message,
};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use utoipa::{IntoParams, ToSchema};

/// A page of a thread.
#[derive(Debug, Serialize, ToSchema)]
pub struct ThreadPage {
    /// The message under which it stands.
    pub root: Message,
    /// The replies, newest first; oldest first with `after`. Deleted ones stay in their places, without content.
    pub messages: Vec<Message>,
    /// Whether there are more in the direction of the page: newer ones with `after`, else older ones.
    pub has_more: bool,
    /// With `around`: whether there are newer ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = bool, required = false)]
    pub has_newer: Option<bool>,
}

/// Which of the threads that one follows.
#[derive(Clone, Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListThreads {
    /// Those of this workspace only.
    #[serde(default)]
    #[garde(skip)]
    #[param(value_type = Option<uuid::Uuid>)]
    pub workspace_id: Option<WorkspaceId>,
    /// Threads in the answer.
    #[serde(default = "default_limit")]
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: i64,
    /// Those after the page that gave this as its `next`.
    #[serde(default)]
    #[garde(skip)]
    #[param(value_type = Option<String>)]
    pub cursor: Option<ThreadCursor>,
}

/// The threads that one follows.
#[derive(Debug, Serialize, ToSchema)]
pub struct ThreadList {
    /// The messages under which they stand, latest reply first; those without a reply are not among them.
    pub threads: Vec<Message>,
    /// Whether there are more.
    pub has_more: bool,
    /// The `cursor` of the next page; null when there is none. Opaque.
    #[schema(value_type = Option<String>)]
    pub next: Option<ThreadCursor>,
}

/// A place among threads: when the last reply came, and under which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadCursor {
    /// When the last reply came.
    pub last_reply_at: DateTime<Utc>,
    /// Under which message.
    pub root: MessageId,
}

impl fmt::Display for ThreadCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.last_reply_at.timestamp_micros(), self.root.0.simple())
    }
}

impl FromStr for ThreadCursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "is not the next of a page";
        let (at, root) = text.split_once('.').ok_or(WRONG)?;
        let micros = i64::from_str_radix(at, 16).map_err(|_| WRONG)?;
        let last_reply_at = DateTime::from_timestamp_micros(micros).ok_or(WRONG)?;
        let cursor = Self { last_reply_at, root: root.parse().map_err(|_| WRONG)? };
        // What PostgreSQL has no time for was never given out.
        if cursor.to_string() == text && micros >= 0 { Ok(cursor) } else { Err(WRONG) }
    }
}

impl Serialize for ThreadCursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ThreadCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// How the caller keeps a thread.
#[derive(Debug, Serialize, ToSchema)]
pub struct ThreadState {
    /// The chat that holds it.
    pub chat_id: ChatId,
    /// The message under which it stands.
    pub message_id: MessageId,
    /// Whether the caller follows it.
    pub following: bool,
    /// Replies up to this seq are read; 0 for who does not follow it.
    pub last_read_seq: i64,
    /// What others replied after it and nobody deleted, exact to 999; 1000 stands for more. 0 for who does not follow it.
    pub unread_count: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_the_wire_and_nothing_else_is_one() {
        let last_reply_at = DateTime::from_timestamp_micros(1_795_300_000_123_456).expect("a time");
        let cursor = ThreadCursor { last_reply_at, root: MessageId::new() };
        let text = cursor.to_string();
        assert_eq!(text.parse(), Ok(cursor));
        let shouted = text.to_uppercase();
        let overlong = format!("7fffffffffffffff.{}", text.split_once('.').expect("a dot").1);
        let negative = format!("-{text}");
        for wrong in ["", ".", "0", "x.y", &text[1..text.len() - 1], &shouted, &overlong, &negative] {
            assert!(wrong.parse::<ThreadCursor>().is_err(), "{wrong:?}");
        }
    }
}
