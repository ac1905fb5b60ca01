//! What is sent and shown of changes of messages.

use chat_core::http::page::default_limit;
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{messages::types::CONTENT_MAX, text::not_blank};

/// What a message is to say from now on.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditMessage {
    /// 1 to 10,000 code points, not only white space; kept byte for byte.
    #[garde(length(chars, min = 1, max = CONTENT_MAX), custom(not_blank))]
    #[schema(min_length = 1, max_length = 10_000)]
    pub content: String,
    /// The version that the editor saw: another one answers 409 `version_mismatch`.
    #[serde(default)]
    #[garde(range(min = 1))]
    #[schema(minimum = 1)]
    pub expected_version: Option<i32>,
}

/// Which part of a message's past.
#[derive(Clone, Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListEdits {
    /// Versions in the answer.
    #[serde(default = "default_limit")]
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: i64,
    /// Those before this version.
    #[serde(default)]
    #[garde(range(min = 1))]
    #[param(minimum = 1)]
    pub before: Option<i32>,
}

/// What a message said before an edit.
#[derive(Debug, Serialize, ToSchema)]
pub struct Edit {
    /// Which version.
    pub version: i32,
    /// The text.
    pub content: String,
    /// When it was written.
    pub written_at: DateTime<Utc>,
}

/// A page of a message's past.
#[derive(Debug, Serialize, ToSchema)]
pub struct EditPage {
    /// Latest version first, without the present one; a deleted message has none.
    pub edits: Vec<Edit>,
    /// Whether there are earlier ones.
    pub has_more: bool,
}
