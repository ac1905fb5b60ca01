//! What is shown of mentions.

use chat_core::{http::page::default_limit, ids::MessageId, message::Message};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::chats::types::ChatView;

/// Which of one's mentions.
#[derive(Clone, Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListMentions {
    /// Messages in the answer.
    #[serde(default = "default_limit")]
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: i64,
    /// Those before this message: the last one of the page before.
    #[serde(default)]
    #[garde(skip)]
    #[param(value_type = Option<uuid::Uuid>)]
    pub before: Option<MessageId>,
}

/// A page of one's mentions.
#[derive(Debug, Serialize, ToSchema)]
pub struct MentionPage {
    /// Newest first; replies that are shown in their threads alone are among them.
    pub messages: Vec<Message>,
    /// The chats that hold them, each once.
    pub chats: Vec<ChatView>,
    /// Whether there are older ones.
    pub has_more: bool,
}
