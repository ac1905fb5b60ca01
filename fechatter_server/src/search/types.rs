//! What is asked and answered when messages are searched.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_core::{
    chat::ChatType,
    http::page::default_limit,
    ids::{ChatId, MessageId, WorkspaceId},
    message::Message,
    problem::{FieldError, Problem},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    matching::Highlight,
    query::{Flaw, Query},
};

/// The most code points of a query.
const QUERY_MAX: usize = 1000;
/// The most characters of a cursor.
const CURSOR_MAX: usize = 64;

/// A search.
#[derive(Clone, Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct SearchMessages {
    /// Words, all of which a message must say; `"a phrase"`, `begin*`, `-not this`; and filters: `from:handle` (or
    /// `from:me`), `in:chat` (its name or id, or `in:@handle`), `before:2026-01-31` and `after:2026-01-31` (without
    /// that day, in UTC), `has:file`, `mentions:me`. Neither case nor marks on letters count.
    #[garde(length(chars, min = 1, max = QUERY_MAX))]
    #[param(min_length = 1, max_length = 1000)]
    pub q: String,
    /// In this workspace only.
    #[serde(default)]
    #[garde(skip)]
    #[param(value_type = Option<uuid::Uuid>)]
    pub workspace_id: Option<WorkspaceId>,
    /// What comes first.
    #[serde(default)]
    #[garde(skip)]
    #[param(inline, default = "newest")]
    pub sort: Sort,
    /// The `next_cursor` of the page before, of the same search.
    #[serde(default)]
    #[garde(length(chars, max = CURSOR_MAX))]
    #[param(max_length = 64)]
    pub cursor: Option<String>,
    /// Results in the answer.
    #[serde(default = "default_limit")]
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: i64,
}

impl SearchMessages {
    /// What is asked for, and after which result.
    ///
    /// # Errors
    /// 400 for a query that means nothing, and for a cursor that is not of this kind of search.
    pub fn read(&self) -> Result<(Query, Option<Cursor>), Problem> {
        let query = Query::parse(&self.q)?;
        let cursor = match self.cursor.as_deref() {
            None => None,
            Some(text) => {
                Some(Cursor::read(text).filter(|cursor| cursor.sort() == self.sort).ok_or_else(|| {
                    Problem::invalid(vec![FieldError::new("cursor", "is not one of such a search")])
                })?)
            }
        };
        Ok((query, cursor))
    }
}

impl From<Flaw> for Problem {
    fn from(flaw: Flaw) -> Self {
        Self::invalid(vec![FieldError::new("q", flaw.to_string())])
    }
}

/// The order of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// The newest first.
    #[default]
    Newest,
    /// The best first, among the 1,000 newest that match.
    Best,
}

/// After which result a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// The last message of the page before.
    Newest(MessageId),
    /// The newest message that was compared, and the last one of the page before with its score.
    Best {
        /// Nothing newer is compared.
        newest: MessageId,
        /// The score of the last one.
        score: u32,
        /// The last one.
        last: MessageId,
    },
}

impl Cursor {
    fn sort(&self) -> Sort {
        match self {
            Self::Newest(_) => Sort::Newest,
            Self::Best { .. } => Sort::Best,
        }
    }

    /// As clients see it.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut bytes = Vec::new();
        match self {
            Self::Newest(last) => bytes.extend(last.0.as_bytes()),
            Self::Best { newest, score, last } => {
                bytes.extend(newest.0.as_bytes());
                bytes.extend(score.to_be_bytes());
                bytes.extend(last.0.as_bytes());
            }
        }
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let id = |bytes: &[u8]| Uuid::from_slice(bytes).ok().map(MessageId);
        match bytes.len() {
            16 => Some(Self::Newest(id(&bytes)?)),
            36 => Some(Self::Best {
                newest: id(&bytes[..16])?,
                score: u32::from_be_bytes(bytes[16..20].try_into().ok()?),
                last: id(&bytes[20..])?,
            }),
            _ => None,
        }
    }
}

/// A page of results.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchPage {
    /// What was found.
    pub results: Vec<SearchResult>,
    /// Whether there are more.
    pub has_more: bool,
    /// With this as `cursor` the next page begins; null for the last one.
    pub next_cursor: Option<String>,
}

/// A message that was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchResult {
    /// The message.
    pub message: Message,
    /// The chat that holds it.
    pub chat: ChatFacts,
    /// Where it says what was asked for, as code points of `content` (not bytes, not UTF-16 units), in rising order; the
    /// first 100.
    pub highlights: Vec<Highlight>,
}

/// A chat, by what a result tells of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChatFacts {
    /// Which chat.
    pub id: ChatId,
    /// Its name, as in the caller's list of chats.
    pub name: String,
    /// Its type.
    pub chat_type: ChatType,
}
