//! What is sent and shown of saved messages.

use chat_core::{http::page::default_limit, ids::SavedId, message::Message};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The most messages that a person can save.
pub(super) const SAVED_MAX: i64 = 10_000;

/// Which of one's saved messages.
#[derive(Clone, Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListSaved {
    /// Messages in the answer.
    #[serde(default = "default_limit")]
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: i64,
    /// Those that were saved before this one.
    #[serde(default)]
    #[garde(skip)]
    #[param(value_type = Option<uuid::Uuid>)]
    pub before: Option<SavedId>,
}

/// A saved message.
#[derive(Debug, Serialize, ToSchema)]
pub struct Saved {
    /// Its place among one's saved messages.
    pub id: SavedId,
    /// When it was saved.
    pub saved_at: DateTime<Utc>,
    /// The message as it is now; a deleted one stays, without content.
    pub message: Message,
}

/// A page of one's saved messages.
#[derive(Debug, Serialize, ToSchema)]
pub struct SavedPage {
    /// The last one to be saved first; those that one may not read at present are left out.
    pub saved: Vec<Saved>,
    /// Whether there are earlier ones.
    pub has_more: bool,
}
