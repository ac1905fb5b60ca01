//! What is shown of pinned messages.

use chat_core::message::Message;
use serde::Serialize;
use utoipa::ToSchema;

/// The most pinned messages of a chat.
pub(super) const PINS_MAX: i64 = 100;

/// The pinned messages of a chat.
#[derive(Debug, Serialize, ToSchema)]
pub struct PinList {
    /// At most 100, the last one to be pinned first.
    pub messages: Vec<Message>,
}
