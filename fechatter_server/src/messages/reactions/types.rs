//! What is sent and shown of reactions.

use axum::{
    RequestPartsExt,
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use chat_core::{
    api::{Input, Operation},
    http::page::default_limit,
    ids::{MessageId, ReactionId},
    message::Reaction,
    problem::{FieldError, Problem},
    user::Person,
};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::emoji::{Emoji, NotAnEmoji};

/// The most kinds of reactions to a message.
pub(super) const KINDS_MAX: usize = 20;

/// `{emoji}` in a path.
pub struct EmojiInPath(pub Emoji);

impl<S: Send + Sync> FromRequestParts<S> for EmojiInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let params = parts.extract::<RawPathParams>().await.ok();
        let emoji =
            params.iter().flatten().find_map(|(key, value)| (key == "emoji").then(|| Emoji::parse(value)));
        let flaw = || Problem::invalid(vec![FieldError::new("emoji", NotAnEmoji.to_string())]);
        emoji.flatten().map(Self).ok_or_else(flaw)
    }
}

impl Input for EmojiInPath {
    fn describe(operation: &mut Operation) {
        operation.path_text("emoji", "One emoji, in any of its spellings.");
    }
}

/// Which reactions to a message.
#[derive(Clone, Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListReactions {
    /// Reactions in the answer.
    #[serde(default = "default_limit")]
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: i64,
    /// Those after this reaction.
    #[serde(default)]
    #[garde(skip)]
    #[param(value_type = Option<uuid::Uuid>)]
    pub after: Option<ReactionId>,
    /// Those with this emoji.
    #[serde(default)]
    #[garde(skip)]
    #[param(value_type = Option<String>)]
    pub emoji: Option<Emoji>,
}

/// Somebody's reaction to a message.
#[derive(Debug, Serialize, ToSchema)]
pub struct Reacted {
    /// Which reaction.
    pub id: ReactionId,
    /// The emoji, as Unicode recommends to spell it.
    pub emoji: String,
    /// Who reacted.
    pub user: Person,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// A page of the reactions to a message.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReactionPage {
    /// In the order in which people reacted.
    pub reactions: Vec<Reacted>,
    /// Whether there are more.
    pub has_more: bool,
}

/// The reactions to a message, counted.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReactionCounts {
    /// Which message.
    pub message_id: MessageId,
    /// As the message shows them.
    pub reactions: Vec<Reaction>,
}
