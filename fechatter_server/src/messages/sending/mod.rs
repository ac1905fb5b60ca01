//! Sending: through the writer, which commits the messages of many senders together.

pub(crate) mod store;
mod writer;

use chat_core::message::{Message, MessageKind};

pub use self::writer::Writer;
use super::types::{SendMessage, Sent};
use crate::{
    access::{ChatClaim, SendTo},
    error::Error,
    state::AppState,
};

/// How often a message is given to the writer that is refused for a reason which is gone when it is asked for.
const ATTEMPTS: usize = 3;

/// Sends a message: durable when this returns.
pub(super) async fn send(
    state: &AppState,
    claim: &ChatClaim<SendTo>,
    draft: SendMessage,
) -> Result<Sent, Error> {
    for _ in 0..ATTEMPTS {
        if let Some((id, written)) = state.writer.write(claim, draft.clone()).await? {
            return Ok(Sent::New(Message {
                id,
                chat_id: claim.chat_id(),
                seq: written.seq,
                kind: MessageKind::User,
                in_chat: draft.in_chat(),
                content: Some(draft.content),
                system: None,
                sender: written.sender,
                reply_to: draft.reply_to,
                quote: written.quote,
                thread_root: draft.thread_root,
                thread: None,
                mentions: written.mentions,
                mentions_all: written.mentions_all,
                files: written.files,
                reactions: Vec::new(),
                pinned: None,
                client_id: draft.client_id,
                created_at: written.created_at,
                edited_at: None,
                version: 1,
                deleted_at: None,
                deleted_by: None,
            }));
        }
        if let Some(earlier) = store::why_not_written(&state.pool, claim, &draft).await? {
            return Ok(Sent::Earlier(earlier));
        }
    }
    Err(Error::Busy("The chat changes too fast at the moment."))
}
